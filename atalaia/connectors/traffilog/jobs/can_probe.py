"""Watch a unit's buses over some cycles, without an installation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from atalaia.connectors.traffilog.heard import collected
from atalaia.connectors.traffilog.jobs.collecting import Collector, summary_of
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.jobs.vehicle_snapshot import SnapshotAsked, window_of
from atalaia.errors import Unavailable
from atalaia.jobs.model import JobContext, JobFailed, JobKind, StepKind

CYCLE_WINDOW_S = 8.0


class ProbeAsked(SnapshotAsked):
    """How often to look. interval_ms: from the start of one cycle to the next.

    enough: end early once so many parameters have a value; 0 = go through all cycles.
    """

    cycles: int = Field(12, ge=1, le=180, title="Cycles", description="How often to look.")
    interval_ms: int = Field(
        12_000, ge=2_000, le=60_000, title="Interval",
        description="Milliseconds from the start of one cycle to the next.",
    )  # fmt: skip
    enough: int = Field(
        0, ge=0, le=1000, title="Enough", description="End early with so many values; 0 = all cycles."
    )


async def run(ctx: JobContext, params: ProbeAsked) -> Mapping[str, Any]:
    """Collect over the cycles; answer {"ok", "snapshot", "summary", "cycles": [{"n", …}], "best"}."""
    async with Live(ctx) as live:
        found = await ctx.step("cycles", StepKind.READ, lambda _: _cycles(live, params))
    cycles: list[dict[str, Any]] = found["cycles"]
    best = max(cycles, key=lambda one: int(one["renewed"]), default=None)
    return {"ok": True, **found, "summary": summary_of(found["snapshot"]), "best": best["n"] if best else 0}


async def _cycles(live: Live, params: ProbeAsked) -> dict[str, Any]:
    clock = live.ctx.ambient.clock
    collector = Collector(live, params.vehicle_id)
    cycles: list[dict[str, Any]] = []
    failures = 0
    while len(cycles) < params.cycles:
        began = clock.monotonic()
        try:
            cycles.append(await _cycle(live, collector, len(cycles) + 1))
            failures = 0
        except Unavailable as error:
            failures += 1
            await live.wait_out(failures, error)
            continue
        await live.ctx.progress(100 * len(cycles) / params.cycles, "Watching the buses.", **cycles[-1])
        if params.enough and len(collector.record.parameters) >= params.enough:
            break
        if len(cycles) < params.cycles:
            await clock.sleep(max(0.0, params.interval_ms / 1000 - (clock.monotonic() - began)))
    await live.ctx.append([collected(params.vehicle_id, live.now_ms(), job=live.ctx.job)])
    return {"snapshot": collector.whole(), "cycles": cycles}


async def _cycle(live: Live, collector: Collector, n: int) -> dict[str, Any]:
    line = await live.line()
    before = dict(collector.record.parameters)
    if not await collector.read_header(line):
        raise JobFailed("vehicle_unknown", "The upstream does not know this vehicle.")
    await collector.subscribe(line, again=False)
    if n == 1:
        await collector.read_names(line)
    window = replace(window_of(live.settings), most_s=CYCLE_WINDOW_S, modules_s=0.0)
    await collector.collect(line, window)
    await collector.read_modules(line, window)
    after = collector.record.parameters
    renewed = sum(before.get(one) != value for one, value in after.items())
    return {"n": n, "values": len(after), "renewed": renewed, "modules": len(collector.module_rows)}


KIND = JobKind(
    name="can_probe",
    title="CAN probe",
    params=ProbeAsked,
    run=run,
    locks=lambda params: (params.lock,),
    seconds_max=4 * 3600,
)
