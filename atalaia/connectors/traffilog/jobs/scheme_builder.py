"""Write a scheme into a unit: queue it once, follow it to its end, believe the configuration key alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import Field

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.jobs.asked import Digits, ForVehicle, traced
from atalaia.connectors.traffilog.jobs.evidence import (
    Trace,
    assigned_name,
    first_row,
    key_is_new,
    keys_agree,
    queued_of,
    still_in_review,
)
from atalaia.connectors.traffilog.jobs.follow import Follower
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.jobs.pipeline import go_on
from atalaia.connectors.traffilog.jobs.plans import Sketch, refuse_read_only
from atalaia.connectors.traffilog.jobs.preparing import (
    AFTER_CHECK_S,
    AFTER_CHOICE_S,
    Prepared,
    Queueing,
    began_ms,
    find_prepared,
)
from atalaia.connectors.traffilog.line import Line
from atalaia.connectors.traffilog.process import CONFIRMED, FAILED, UNCONFIRMED
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.wire import CONFIG_STATUS, MESSAGES, Action, Push, text_of
from atalaia.jobs.model import (
    CannotTell,
    Happened,
    JobContext,
    JobFailed,
    JobKind,
    Planned,
    StepKind,
    Verdict,
)

AFTER_PREPARE_S = 0.5


class SchemeAsked(ForVehicle):
    """Which scheme to write. terminal: nothing follows it, even within an installation."""

    vehicle_setting_id: Digits = Field(
        title="Scheme", description="Id of the scheme that the unit shall run."
    )
    terminal: bool = Field(False, title="Nothing after it", description="Even within an installation.")


async def run(ctx: JobContext, params: SchemeAsked) -> Mapping[str, Any]:
    """Queue the Scheme Builder and follow it.

    Answer: {"ok", "outcome": `confirmed` | `completed_unconfirmed`, "process_id", "already", …}.
    Errors: `JobFailed` `sb_failed`, `sb_unknown` (it may run or have run: a person looks before a retry), …
    """
    refuse_read_only(cast("TraffilogSettings", ctx.settings))
    async with Live(ctx) as live:
        began = await began_ms(live)
        queueing, probe = _queueing(live, params), _Probe(live, params)
        answered = await ctx.step("queue", StepKind.UNSAFE, queueing.run, probe=probe.look, suppose=queued_of)
        queued = probe.found(answered, began)
        if queued["already"]:
            ended = await ctx.step("already assigned", StepKind.READ, lambda _: _already(live, params))
        else:
            ended = await ctx.step("follow", StepKind.READ, lambda _: Follower(live, params, queued).run())
    result = _result(params, queued, ended)
    if not params.terminal:
        await go_on(ctx, "scheme_builder", params, result)
    return result


def _result(params: SchemeAsked, queued: Mapping[str, Any], ended: Mapping[str, Any]) -> dict[str, Any]:
    outcome, why, evidence = ended["outcome"], ended["why"], ended["evidence"]
    known = {
        "outcome": outcome,
        "process_id": queued["process_id"],
        "vehicle_id": params.vehicle_id,
        "vehicle_setting_id": params.vehicle_setting_id,
        "already": queued["already"],
        "why": why,
        "evidence": evidence,
        "ended_ms": evidence.get("heard_ms") or 0,
    }
    if outcome == FAILED:
        raise JobFailed("sb_failed", str(why), **known)
    if outcome not in (CONFIRMED, UNCONFIRMED):
        raise JobFailed("sb_unknown", str(why), **known)
    return {"ok": True, **known}


def _queueing(live: Live, params: SchemeAsked) -> Queueing:
    vehicle, sleep = params.vehicle_id, live.ctx.ambient.clock.sleep

    async def prepare(line: Line) -> Prepared:
        check, first, choice = _prepared_by(params)
        await line.tell(check)
        await sleep(AFTER_CHECK_S)
        await line.tell(first)
        await sleep(AFTER_PREPARE_S)
        answer = await line.ask(choice, fine=frozenset({"1"}))
        await sleep(AFTER_CHOICE_S)
        return await find_prepared(live, line, params, answer.value)

    async def listen(line: Line) -> None:
        # Each is awaited, although the upstream's own clients do not: an error without a name that comes
        # while `execute` alone is in flight is then surely its own (contract §3.7).
        await line.ask(actions.vehicle_info(vehicle, params.client_id))
        for kind in (MESSAGES, CONFIG_STATUS):  # the first must stand before the second tells anything
            await line.ask(actions.subscribe(vehicle, kind))

    return Queueing(
        live=live,
        asked=params,
        prepare=prepare,
        execute=lambda process_id, comment: actions.execute_scheme(params.client_id, process_id, comment),
        listen=listen,
        evidence={"vehicle_setting_id": params.vehicle_setting_id},
    )


def _prepared_by(params: SchemeAsked) -> Sequence[Action]:
    client, name = params.client_id, params.client_name
    return (
        actions.check_vehicle(client, params.vehicle_id, name),
        actions.prepare_scheme(client, name),
        actions.choose_scheme(client, name, params.vehicle_setting_id),
    )


async def _already(live: Live, params: SchemeAsked) -> dict[str, Any]:
    """The scheme was assigned before we came; the keys say whether the unit runs it."""
    line = await live.line()
    info = await line.ask(actions.vehicle_info(params.vehicle_id, params.client_id))
    row = first_row(info)
    agree = keys_agree(row)
    why = "The scheme was assigned already" + (", and the unit runs it." if agree else ".")
    evidence = {
        "configuration_key_db": text_of(row, "configuration_key_db"),
        "configuration_key_unit": text_of(row, "configuration_key_unit"),
    }
    return {"outcome": CONFIRMED if agree else UNCONFIRMED, "why": why, "evidence": evidence}


class _Probe(Trace):
    """Looks for the trace of a Scheme Builder whose `execute` was not answered."""

    def __init__(self, live: Live, params: SchemeAsked) -> None:
        super().__init__()
        self._live = live
        self._params = params

    async def look(self, evidence: Mapping[str, Any]) -> Verdict:
        """Decide by review, keys, status and assigned scheme; what none of them shows a person must say."""
        self.evidence = evidence
        live, params = self._live, self._params
        line = await live.line()
        if (found := await self._by_row(line, evidence)) is not None:
            return found
        waiting = await still_in_review(live, line, params, str(evidence["process_id"]))
        if waiting is not None:
            return waiting
        # It was not assigned when we prepared it, and only an executed process assigns it.
        telling = evidence.get("value") == "0" and evidence.get("attribute")
        if telling and await assigned_name(line, params) == evidence["attribute"]:
            return self._happened(evidence, "The scheme is assigned to the vehicle now.")
        return await self._listen(line, evidence)

    async def _listen(self, line: Line, evidence: Mapping[str, Any]) -> Verdict:
        """Wait for a status: the first comes 15 to 31 s after a process was queued."""
        live, params = self._live, self._params
        for kind in (MESSAGES, CONFIG_STATUS):
            await line.ask(actions.subscribe(params.vehicle_id, kind))
        clock = live.ctx.ambient.clock
        until = clock.monotonic() + live.settings.probe_within_s
        while (left_s := until - clock.monotonic()) > 0:
            for came in await line.pushes(within_s=left_s):
                if isinstance(came.message, Push) and came.message.source == CONFIG_STATUS:
                    return self._happened(evidence, "The unit is being configured.")
        if (found := await self._by_row(line, evidence)) is not None:
            return found
        return CannotTell("The process is not in the review any more, and the unit shows no trace of it.")

    async def _by_row(self, line: Line, evidence: Mapping[str, Any]) -> Happened | None:
        params = self._params
        info = await line.ask(actions.vehicle_info(params.vehicle_id, params.client_id))
        row = first_row(info)
        if key_is_new(row, str(evidence.get("key_before", "")), int(evidence["sent_ms"])):
            return self._happened(evidence, "The vehicle has a configuration key of this process.")
        if text_of(row, "configuration_status").strip():
            return self._happened(evidence, "The unit is being configured.")
        return None

    def _happened(self, evidence: Mapping[str, Any], said: str) -> Happened:
        return Happened(queued_of(evidence), said)


def plan(settings: TraffilogSettings, params: SchemeAsked) -> Sequence[Planned]:
    """Answer the frames of a Scheme Builder, in order."""
    vehicle, client = params.vehicle_id, params.client_id
    sketch = Sketch()
    sketch.login(settings)
    sketch.frame(actions.vehicle_info(vehicle, client), "the key before")
    for action in _prepared_by(params):
        sketch.frame(action)
    sketch.frame(actions.review(client))
    sketch.frame(actions.find_process(client, params.client_name), "until it shows the process")
    sketch.frame(actions.vehicle_info(vehicle, client))
    sketch.frame(actions.subscribe(vehicle, MESSAGES))
    sketch.frame(actions.subscribe(vehicle, CONFIG_STATUS), f"again every {settings.subscribe_every_s:g} s")
    comment = traced(params.comment, "‹trace›", "‹process›")
    sketch.frame(actions.execute_scheme(client, "‹process›", comment), "this changes the unit")
    return sketch.planned


KIND = JobKind(
    name="scheme_builder",
    title="Scheme Builder",
    params=SchemeAsked,
    run=run,
    locks=lambda params: (params.lock,),
    plan=plan,
    seconds_max=3 * 3600,
    resumes=False,
)
