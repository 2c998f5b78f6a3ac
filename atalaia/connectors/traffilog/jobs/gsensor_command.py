"""Tell a unit how it is mounted, and wait for the unit's own acknowledgement (contract §9.2, §9.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import Field, model_validator

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.gsensor import Mount, payload_of, read_mount, with_suffix
from atalaia.connectors.traffilog.jobs.asked import ForVehicle, traced
from atalaia.connectors.traffilog.jobs.evidence import Trace, queued_of, still_in_review
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.jobs.pipeline import go_on
from atalaia.connectors.traffilog.jobs.plans import Sketch, refuse_read_only
from atalaia.connectors.traffilog.jobs.preparing import (
    AFTER_CHECK_S,
    Prepared,
    Queueing,
    began_ms,
    find_prepared,
)
from atalaia.connectors.traffilog.line import Line
from atalaia.connectors.traffilog.protocol import Came
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.units import Command, Executed, Mounting, Report, Transported, read_message
from atalaia.connectors.traffilog.wire import MESSAGES, Action, Push, text_of
from atalaia.errors import Rejected, Unavailable
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

COMMAND_LETTERS = "C6"
SIDES_SAID = "Seen in the vehicle: UP, DOWN, LEFT, RIGHT, FRONT or BACK."
EXECUTED_WITHIN_MS = 5_000


class GsensorAsked(ForVehicle):
    """Which way the label and the harness of the unit point, seen in the vehicle: UP, DOWN, LEFT, …"""

    label: str = Field(max_length=10, title="Label points", description=SIDES_SAID)
    harness: str = Field(max_length=10, title="Harness points", description=SIDES_SAID)

    @model_validator(mode="after")
    def _check_mount(self) -> GsensorAsked:
        try:
            mount = read_mount(self.label, self.harness)
        except Rejected as error:
            raise ValueError(str(error)) from None
        self.label, self.harness = mount.label, mount.harness
        return self

    @property
    def mount(self) -> Mount:
        return Mount(self.label, self.harness)

    @property
    def said(self) -> str:
        """The comment in the portal's history, marked as a G-sensor command once."""
        return with_suffix(self.comment or self.mount.comment)


async def run(ctx: JobContext, params: GsensorAsked) -> Mapping[str, Any]:
    """Queue the command, then wait for the unit: `confirmed`, else `completed_unconfirmed`."""
    settings = cast("TraffilogSettings", ctx.settings)
    refuse_read_only(settings)
    if not settings.gsensor:
        raise JobFailed("gsensor_off", "G-sensor commands are switched off in the connection's settings.")
    async with Live(ctx) as live:
        began = await began_ms(live)
        queueing, probe = _queueing(live, params), _Probe(live, params)
        answered = await ctx.step("queue", StepKind.UNSAFE, queueing.run, probe=probe.look, suppose=queued_of)
        queued = probe.found(answered, began)
        heard = await ctx.step("acknowledged", StepKind.READ, lambda _: _acknowledged(live, params, queued))
    result = {
        "ok": True,
        "outcome": "confirmed" if heard["by"] else "completed_unconfirmed",
        "acknowledged_by": heard["by"],
        "process_id": queued["process_id"],
        "vehicle_id": params.vehicle_id,
        "command": params.mount.command,
    }
    await go_on(ctx, "gsensor_command", params, result)
    return result


def _queueing(live: Live, params: GsensorAsked) -> Queueing:
    said = params.model_copy(update={"comment": params.said})

    async def prepare(line: Line) -> Prepared:
        sleep = live.ctx.ambient.clock.sleep
        for action in _prepared_by(said):
            match action.name, action.parameters.get("call_num"):
                case "vcls_check_opr", _:
                    await line.tell(action)
                    await sleep(AFTER_CHECK_S)
                case "associate_vehicles_actions_opr", "0":
                    await line.tell(action)
                    await sleep(0.3)
                case "associate_vehicles_actions_opr", _:
                    await line.ask(action)
                case _:
                    await line.ask(action, fine=frozenset({"2"}))
        return await find_prepared(live, line, said, "0")

    async def listen(line: Line) -> None:
        await line.ask(actions.subscribe(params.vehicle_id, MESSAGES))

    return Queueing(
        live=live,
        asked=said,
        prepare=prepare,
        execute=lambda process_id, comment: actions.execute_command(said.client_id, process_id, comment),
        listen=listen,
        evidence={"command": params.mount.command},
    )


def _prepared_by(said: GsensorAsked) -> Sequence[Action]:
    client, name = said.client_id, said.client_name
    return (
        actions.check_vehicle(client, said.vehicle_id, name),
        actions.prepare_command(client, name),
        actions.list_commands(client),
        actions.add_command(client, said.mount.command),
        actions.confirm_command(client, name, said.comment),
    )


async def _acknowledged(live: Live, params: GsensorAsked, queued: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for the unit's acknowledgement of the matrix; "" when it does not come in time.

    A lost line is opened again: what the unit said meanwhile may be missed, and then nothing is claimed.
    """
    clock = live.ctx.ambient.clock
    until_ms = int(queued["executed_ms"] or live.now_ms()) + int(live.settings.gs_ack_within_s * 1000)
    listener = AckListener(params.mount.command)
    tries = 0
    subscribed_at = clock.monotonic()
    while (left_s := (until_ms - live.now_ms()) / 1000) > 0:
        try:
            line = await live.line()
            if params.vehicle_id not in line.subscribed:
                await line.ask(actions.subscribe(params.vehicle_id, MESSAGES))
            if clock.monotonic() - subscribed_at > live.settings.subscribe_every_s:
                await line.tell(actions.subscribe(params.vehicle_id, MESSAGES))
                subscribed_at = clock.monotonic()
            for came in await line.pushes(within_s=min(left_s, live.settings.subscribe_every_s)):
                listener.take(came)
            tries = 0
        except Unavailable as error:
            tries += 1
            await live.wait_out(tries, error)
        if listener.executed:
            break
        if listener.by:  # received; that it was executed follows at once, or is not told
            until_ms = min(until_ms, live.now_ms() + EXECUTED_WITHIN_MS)
        await live.ctx.progress(None, "Waiting for the unit's acknowledgement.")
    return {"by": listener.by}


class AckListener:
    """Finds the unit's acknowledgement of one command among its messages.

    by: what acknowledged it, `0401C6` (executed) or `1602<seq>` (received); "" as long as nothing did.
    """

    def __init__(self, command: str) -> None:
        self.by = ""
        self.sent = self.executed = False
        self._payload = payload_of(command)
        self._sequence = ""

    def take(self, came: Came) -> None:
        """Take one push."""
        if not isinstance(came.message, Push) or came.message.source != MESSAGES:
            return
        for row in came.message.rows:
            self._take(text_of(row, "raw_message"))

    def _take(self, raw: str) -> None:
        match read_message(raw):
            case Command(payload=Mounting(matrix=matrix, sequence=sequence)) if matrix == self._payload:
                self.sent, self._sequence = True, sequence
            case Report(payload=Executed(command=letters)) if letters == COMMAND_LETTERS and self.sent:
                self.by, self.executed = f"0401{letters}", True
            case Report(payload=Transported(sequence=sequence)) if self.sent and sequence == self._sequence:
                self.by = self.by or f"1602{sequence}"
            case _:
                pass


class _Probe(Trace):
    """Looks for the trace of a command whose `execute` was not answered."""

    def __init__(self, live: Live, params: GsensorAsked) -> None:
        super().__init__()
        self._live = live
        self._params = params

    async def look(self, evidence: Mapping[str, Any]) -> Verdict:
        """Still in the review: not executed. On its way to the unit: executed. Else a person must say."""
        self.evidence = evidence
        live, params = self._live, self._params
        line = await live.line()
        await line.ask(actions.subscribe(params.vehicle_id, MESSAGES))
        waiting = await still_in_review(live, line, params, str(evidence["process_id"]))
        if waiting is not None:
            return waiting
        listener = AckListener(str(evidence["command"]))
        clock = live.ctx.ambient.clock
        until = clock.monotonic() + live.settings.probe_within_s
        while (left_s := until - clock.monotonic()) > 0 and not listener.sent:
            for came in await line.pushes(within_s=left_s):
                listener.take(came)
        if listener.sent:
            return Happened(queued_of(evidence), "The unit was sent the command.")
        said = "The command is not in the review any more, and the unit was not seen getting it."
        return CannotTell(said)


def plan(settings: TraffilogSettings, params: GsensorAsked) -> Sequence[Planned]:
    """Answer the frames of a G-sensor command, in order."""
    said = params.model_copy(update={"comment": params.said})
    sketch = Sketch()
    sketch.login(settings)
    sketch.frame(actions.vehicle_info(said.vehicle_id, said.client_id))
    for action in _prepared_by(said):
        sketch.frame(action)
    sketch.frame(actions.review(said.client_id))
    sketch.frame(actions.find_process(said.client_id, said.client_name), "until it shows the process")
    sketch.frame(actions.subscribe(said.vehicle_id, MESSAGES))
    comment = traced(said.comment, "‹trace›", "‹process›")
    sketch.frame(actions.execute_command(said.client_id, "‹process›", comment), "this changes the unit")
    return sketch.planned


KIND = JobKind(
    name="gsensor_command",
    title="G-sensor command",
    params=GsensorAsked,
    run=run,
    locks=lambda params: (params.lock,),
    plan=plan,
    seconds_max=3600,
    resumes=False,
)
