"""Read a vehicle as it is: header, parameters, modules; after a Scheme Builder only once the unit is back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.heard import collected
from atalaia.connectors.traffilog.jobs.asked import CLIENT, CLIENT_ID, ForVehicle
from atalaia.connectors.traffilog.jobs.collecting import Collector, Window, summary_of
from atalaia.connectors.traffilog.jobs.evidence import first_row
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.jobs.pipeline import APPROVED_SERVICES, go_on
from atalaia.connectors.traffilog.jobs.plans import Sketch
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.wire import (
    CONFIG_STATUS,
    MESSAGES,
    PARAMETERS,
    Push,
    read_time_ms,
    text_of,
)
from atalaia.errors import Unavailable
from atalaia.jobs.model import JobContext, JobFailed, JobKind, Planned, StepKind


class SnapshotAsked(ForVehicle):
    """What to read. mode: `full`; `header` (stored data alone); `post_sb` (wait for the unit, then `full`).

    after_ms: the unit's last packet must be newer than this, Unix milliseconds. round: which CAN check of an
    installation this is.
    """

    client_id: str = Field("", pattern=r"^\d{0,12}$", title="Client id", description=CLIENT_ID)
    client_name: str = Field("", max_length=200, title="Client", description=CLIENT)
    mode: Literal["full", "header", "post_sb"] = Field(
        "full", title="What to read",
        description="full; header: stored data alone; post_sb: wait for the unit to come back first.",
    )  # fmt: skip
    after_ms: int = Field(
        0, ge=0, title="Packet newer than", description="Unix milliseconds, for post_sb; 0 = any fresh one."
    )
    round: int = Field(1, ge=1, le=1000, title="Check", description="Which CAN check of an installation.")


async def run(ctx: JobContext, params: SnapshotAsked) -> Mapping[str, Any]:
    """Collect a snapshot.

    Answer: {"ok", "snapshot", "summary", "attempts", "round", "job"}. Errors: `JobFailed` `vehicle_unknown`,
    in an installation `can_sem_parametros` when not one parameter came.
    """
    settings: TraffilogSettings = ctx.settings
    async with Live(ctx) as live:
        if params.mode == "post_sb":
            await ctx.sleep(settings.warmup_s)
            await ctx.step("gate", StepKind.READ, lambda _: _gate(live, params))
        found = await ctx.step("collect", StepKind.READ, lambda _: _collect(live, params))
    snapshot = found["snapshot"]
    rejected = params.chain is not None and params.chain.service in APPROVED_SERVICES
    if rejected and not snapshot["parameters"]:
        said = "The unit did not report a single parameter; check its installation and read it again."
        raise JobFailed("can_sem_parametros", said, snapshot=snapshot)
    result = {"ok": True, **found, "summary": summary_of(snapshot), "round": params.round, "job": ctx.job}
    await go_on(ctx, "vehicle_snapshot", params, result)
    return result


async def _collect(live: Live, params: SnapshotAsked) -> dict[str, Any]:
    """Try until parameters came, each time with a login of its own; the last try stands as it is."""
    settings = live.settings
    collector = Collector(live, params.vehicle_id)
    most = 1 if params.mode == "header" else settings.can_attempts
    n = failures = 0
    while n < most:
        try:
            await live.leave()
            await _attempt(live, collector, params)
            n, failures = n + 1, 0
        except Unavailable as error:
            failures += 1
            await live.wait_out(failures, error)
            continue
        if collector.record.parameters or n >= most:
            break
        await live.ctx.progress(None, "No parameter came; trying again.", attempt=n)
        await live.leave()
        await live.ctx.ambient.clock.sleep(settings.can_pause_s)
    await live.ctx.append([collected(params.vehicle_id, live.now_ms(), job=live.ctx.job)])
    return {"snapshot": collector.whole(), "attempts": n}


async def _attempt(live: Live, collector: Collector, params: SnapshotAsked) -> None:
    """Go once through the order of contract §9.4."""
    line = await live.line()
    if not await collector.read_header(line):
        raise JobFailed("vehicle_unknown", "The upstream does not know this vehicle.")
    if params.mode == "header":
        return
    window = window_of(live.settings)
    await collector.subscribe(line)
    await collector.read_names(line)
    await collector.collect(line, window)
    await collector.read_modules(line, window)


def window_of(settings: TraffilogSettings) -> Window:
    """Answer how long a reading may take."""
    return Window(
        most_s=settings.can_window_s,
        quiet_s=settings.quiet_s,
        quick_every_s=settings.quick_every_s,
        resubscribe_every_s=settings.resubscribe_every_s,
        modules_s=settings.modules_within_s,
        modules_every_s=settings.modules_every_s,
    )


async def _gate(live: Live, params: SnapshotAsked) -> dict[str, Any]:
    """Wait until the unit is back after its reset: a packet that is fresh and newer than the process.

    Answer {"passed", "contact_ms"}; when it does not come in time the snapshot is taken all the same.
    """
    settings, clock = live.settings, live.ctx.ambient.clock
    until = clock.monotonic() + settings.gate_within_min * 60
    contact_ms = tries = 0
    while True:
        try:
            line = await live.line()
            await line.tell(actions.subscribe(params.vehicle_id, MESSAGES))
            row = first_row(await line.ask(actions.vehicle_info(params.vehicle_id)))
            contact_ms = read_time_ms(text_of(row, "server_time")) or 0
            fresh = live.now_ms() - contact_ms <= settings.gate_fresh_s * 1000
            if fresh and contact_ms > params.after_ms:
                return {"passed": True, "contact_ms": contact_ms}
            left_s = until - clock.monotonic()
            if left_s <= 0:
                return {"passed": False, "contact_ms": contact_ms}
            await live.ctx.progress(None, "Waiting for the unit to come back.", contact_ms=contact_ms)
            pushes = await line.pushes(within_s=min(settings.gate_every_s, left_s))
            tries = 0
            if any(_from_unit(one.message) for one in pushes):  # live traffic beats what is stored
                return {"passed": True, "contact_ms": live.now_ms()}
        except Unavailable as error:
            tries += 1
            await live.wait_out(tries, error)


def _from_unit(message: object) -> bool:
    return isinstance(message, Push) and any(text_of(row, "inbound") == "1" for row in message.rows)


def plan(settings: TraffilogSettings, params: SnapshotAsked) -> Sequence[Planned]:
    """Answer the frames of a snapshot, in order; none changes anything."""
    vehicle = params.vehicle_id
    sketch = Sketch()
    sketch.login(settings)
    sketch.frame(actions.vehicle_info(vehicle))
    sketch.frame(actions.connected(vehicle))
    if params.mode == "header":
        return sketch.planned
    sketch.frame(actions.unsubscribe(vehicle))
    for kind in (MESSAGES, CONFIG_STATUS, PARAMETERS):
        sketch.frame(actions.subscribe(vehicle, kind, value=True))
    sketch.frame(actions.parameter_list(vehicle))
    sketch.frame(actions.parameter_metadata(vehicle))
    every = f"again every {settings.quick_every_s:g} s while values are missing"
    sketch.frame(actions.quick_command("SPT:‹unit›"), every)
    sketch.frame(actions.module_state(vehicle), f"again every {settings.modules_every_s:g} s until complete")
    return sketch.planned


KIND = JobKind(
    name="vehicle_snapshot",
    title="Vehicle snapshot",
    params=SnapshotAsked,
    run=run,
    locks=lambda params: (params.lock,),
    plan=plan,
    seconds_max=2 * 3600,
)
