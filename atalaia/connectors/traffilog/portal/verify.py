"""Do finished installations have the scheme they were meant to have? Source: contract §11.3.

It proves the assignment only; that the unit runs the scheme is proven by its configuration key. Uninstalled
vehicles are left alone: a sweep once wrote schemes into four of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from atalaia.clock import to_ms
from atalaia.connectors.traffilog.heard import verified
from atalaia.connectors.traffilog.jobs.plans import refuse_read_only
from atalaia.connectors.traffilog.portal import lookups, plans, reading
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.effects import unit_of
from atalaia.connectors.traffilog.portal.lookups import same_serial
from atalaia.connectors.traffilog.portal.params import SweepRow, VerifySchemes
from atalaia.connectors.traffilog.portal.xml import Row
from atalaia.jobs.model import Effect, JobContext, JobFailed, JobKind, StepKind

KIND_NAME = "verify_schemes"
AGE_MS_MAX = 24 * 3600 * 1000
UNINSTALL = "UNINSTALL"
BROKE = "unexpected_error"
TOLD = ("ok", "mismatch", "unknown")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the portal shows of one row.

    verdict: `ok`, `mismatch`, `unknown`, `excluded` (uninstalled) or `too_old`. assigned: the scheme's id, ""
    when it is not known. unit: the serial at the vehicle. why: of `unknown`, a sentence.
    """

    verdict: str
    assigned: str = ""
    unit: str = ""
    why: str = ""
    moved: bool = False


async def run(ctx: JobContext, params: VerifySchemes) -> Mapping[str, Any]:
    """Answer a verdict a row, as `Verdict` has it, and write each down.

    A mismatch is sent again by a Scheme Builder of its own unless it is a dry run; `job` names it.
    """
    now_ms = await _began(ctx)
    verdicts: list[dict[str, Any]] = []
    for number, row in enumerate(params.rows):
        await ctx.progress(100 * number / len(params.rows), "Comparing schemes")
        said = await _verify(ctx, row, f"read:{number}", now_ms)
        told = {
            "vehicle_id": row.vehicle_id, "plate": row.plate, **asdict(said), "meant": row.vehicle_setting_id,
            "installation": row.installation, "job": "",
        }  # fmt: skip
        may = row.resend and row.client_id and row.client_name
        if said.verdict == "mismatch" and may and not params.dry_run:
            refuse_read_only(ctx.settings)
            told["job"] = await ctx.follow_up(
                "scheme_builder", scheme_builder_of(row), step=f"resend:{row.vehicle_id}"
            )
        if said.verdict in TOLD or row.standing:
            await ctx.append([verified(row.vehicle_id, now_ms, told | {"service": row.service}, job=ctx.job)])
        verdicts.append(told)
    counts = {word: sum(1 for one in verdicts if one["verdict"] == word) for word in TOLD}
    return {"ok": True, "dry_run": params.dry_run, "counts": counts, "rows": verdicts}


def scheme_builder_of(row: SweepRow) -> dict[str, Any]:
    """Answer the params of the Scheme Builder that sends a scheme again, with nothing after it."""
    return {
        "client_id": row.client_id, "client_name": row.client_name, "vehicle_id": row.vehicle_id,
        "vehicle_setting_id": row.vehicle_setting_id, "comment": row.comment or "scheme verification",
        "terminal": True,
    }  # fmt: skip


async def _began(ctx: JobContext) -> int:
    async def work(_: Effect) -> int:
        return to_ms(ctx.ambient.clock.now())

    return await ctx.step("began", StepKind.READ, work)


async def _verify(ctx: JobContext, row: SweepRow, name: str, now_ms: int) -> Verdict:
    if row.service.strip().upper() == UNINSTALL:
        return Verdict("excluded")
    if now_ms - row.done_ms > AGE_MS_MAX and not row.standing:
        return Verdict("too_old")

    async def ask(portal: Portal) -> Row:
        return await lookups.activation_of(portal, row.vehicle_id) or {}

    try:
        found = await reading.read(ctx, name, ask, broke=BROKE)
    except JobFailed as error:
        if error.reason != BROKE:
            raise
        return Verdict("unknown", why=str(error))  # one that cannot be read keeps none of the others waiting
    return judge(row, found)


def judge(row: SweepRow, found: Mapping[str, str]) -> Verdict:
    """Hold a vehicle's activation data against what its installation meant."""
    assigned, unit = found.get("ASSIGNED_VEHICLE_SETTING_ID", "").strip(), unit_of(found)
    if not found:
        return Verdict("unknown", why=f"The portal shows no vehicle {row.vehicle_id}.")
    if not unit or (row.serial and not same_serial(unit, row.serial)):
        said = f"The vehicle {row.vehicle_id} carries another unit by now ({unit or 'none'})."
        return Verdict("unknown", assigned, unit, said, moved=True)
    if not row.vehicle_setting_id or assigned in ("", "-1"):
        return Verdict("unknown", assigned, unit, f"The portal shows no scheme for vehicle {row.vehicle_id}.")
    return Verdict("ok" if assigned == row.vehicle_setting_id else "mismatch", assigned, unit)


VERIFY_SCHEMES = JobKind(
    KIND_NAME, "Verify assigned schemes", VerifySchemes, run,
    locks=lambda _: ["verify_schemes"], plan=plans.verify_schemes, seconds_max=3600.0,
)  # fmt: skip
