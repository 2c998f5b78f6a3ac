"""Do finished installations have the scheme they were meant to have? Source: contract §11.3.

It proves the assignment only; that the unit runs the scheme is proven by its configuration key. Uninstalled
vehicles are left alone: a sweep once wrote schemes into four of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.clock import to_ms
from atalaia.connectors.traffilog.jobs.plans import refuse_read_only
from atalaia.connectors.traffilog.portal import lookups, plans, reading
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.params import SweepRow, VerifySchemes
from atalaia.jobs.model import Effect, JobContext, JobKind, StepKind

AGE_MS_MAX = 24 * 3600 * 1000
UNINSTALL = "UNINSTALL"


async def run(ctx: JobContext, params: VerifySchemes) -> Mapping[str, Any]:
    """Answer a verdict a row: `ok`, `mismatch`, `unknown`, `excluded` (uninstalled) or `too_old`.

    A mismatch is sent again by a Scheme Builder of its own unless it is a dry run; `job` names it.
    """
    now_ms = await _began(ctx)
    verdicts: list[dict[str, Any]] = []
    for number, row in enumerate(params.rows):
        await ctx.progress(100 * number / len(params.rows), "Comparing schemes")
        verdict, assigned = await _verify(ctx, row, f"read:{number}", now_ms)
        told = {
            "vehicle_id": row.vehicle_id, "plate": row.plate, "verdict": verdict, "assigned": assigned,
            "meant": row.vehicle_setting_id, "job": "",
        }  # fmt: skip
        if verdict == "mismatch" and not params.dry_run:
            refuse_read_only(ctx.settings)
            told["job"] = await ctx.follow_up(
                "scheme_builder", scheme_builder_of(row), step=f"resend:{row.vehicle_id}"
            )
        verdicts.append(told)
    counts = {
        word: sum(1 for one in verdicts if one["verdict"] == word) for word in ("ok", "mismatch", "unknown")
    }
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


async def _verify(ctx: JobContext, row: SweepRow, name: str, now_ms: int) -> tuple[str, str]:
    if row.service.strip().upper() == UNINSTALL:
        return "excluded", ""
    if now_ms - row.done_ms > AGE_MS_MAX:
        return "too_old", ""

    async def ask(portal: Portal) -> str:
        found = await lookups.activation_of(portal, row.vehicle_id)
        return (found or {}).get("ASSIGNED_VEHICLE_SETTING_ID", "").strip()

    assigned = await reading.read(ctx, name, ask, broke="unexpected_error")
    if not row.vehicle_setting_id or assigned in ("", "-1"):
        return "unknown", assigned
    return ("ok" if assigned == row.vehicle_setting_id else "mismatch"), assigned


VERIFY_SCHEMES = JobKind(
    "verify_schemes", "Verify assigned schemes", VerifySchemes, run,
    locks=lambda _: ["verify_schemes"], plan=plans.verify_schemes, seconds_max=3600.0,
)  # fmt: skip
