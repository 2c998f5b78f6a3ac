"""The ends of an installation: a person's word about the CAN check, and the record that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from atalaia.connectors.traffilog.jobs.asked import ForVehicle
from atalaia.connectors.traffilog.jobs.collecting import Collector
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.jobs.pipeline import check_again, go_on
from atalaia.connectors.traffilog.jobs.vehicle_snapshot import SnapshotAsked
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.desk.words import N_
from atalaia.jobs.model import Decision, JobContext, JobFailed, JobKind, StepKind

APPROVE, OVERRIDE, AGAIN, REFUSE = "approve", "approve_anyway", "check_again", "refuse"
CHOICES = (APPROVE, OVERRIDE, AGAIN, REFUSE)
ASKED_MOST = 5
QUESTION = N_("Is the CAN check good?")
REASON_WANTED = N_("Approving against the CAN check needs a reason. What shall be done?")


class Given(BaseModel):
    """An approval that was given when it was asked for: against a check that failed."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=120)
    reason: str = Field(min_length=1, max_length=500)


class ApprovalAsked(ForVehicle):
    """What is to be approved. shown: the summary of the CAN check. round: which check of the installation.

    given: somebody said already that it goes on against a check that failed; nobody is asked.
    """

    shown: dict[str, Any] | None = Field(
        None, title="Result of the check", description="What the person who approves sees."
    )
    round: int = Field(1, ge=1, le=1000, title="Check", description="Which CAN check of an installation.")
    given: Given | None = Field(
        None, title="Approved already", description="Against a check that failed, by whom and why."
    )


async def approve(ctx: JobContext, params: ApprovalAsked) -> Mapping[str, Any]:
    """Wait for a person's word about the CAN check.

    Answer: {"ok", "choice", "by", "reason", "shown"}. Errors: `JobFailed` `approval_timeout`, `can_refused`.
    """
    settings = cast("TraffilogSettings", ctx.settings)
    if params.given is not None:
        decision = Decision(OVERRIDE, params.given.by, {"reason": params.given.reason})
    else:
        decision = await _decide(ctx, params, settings.approval_within_h * 3600)
    reason = str(decision.data.get("reason") or "").strip()
    known = {"choice": decision.choice, "by": decision.by, "reason": reason, "shown": params.shown}
    if decision.choice == REFUSE:
        said = "The CAN check was refused" + (f": {reason}" if reason else ".")
        raise JobFailed("can_refused", said, by=decision.by, shown=params.shown)
    if decision.choice == AGAIN:
        following = check_again(params, params.round + 1)
        await ctx.follow_up(following.kind, following.params, step=following.step)
        return {"ok": True, **known}
    result = {"ok": True, **known}
    await go_on(ctx, "can_approval", params, result)
    return result


async def _decide(ctx: JobContext, params: ApprovalAsked, within_s: float) -> Decision:
    """Ask until there is an answer that stands: who approves against the check must say why."""
    for n in range(1, ASKED_MOST + 1):
        question = QUESTION if n == 1 else REASON_WANTED
        decision = await ctx.ask(f"approval:{n}", question, CHOICES, shown=params.shown, within_s=within_s)
        if decision is None:
            raise JobFailed("approval_timeout", "Nobody approved the CAN check in time.")
        if decision.choice != OVERRIDE or str(decision.data.get("reason") or "").strip():
            return decision
    raise JobFailed("approval_without_reason", "The CAN check was approved again and again without a reason.")


async def save(ctx: JobContext, params: SnapshotAsked) -> Mapping[str, Any]:
    """Read the header once more and answer the installation's record.

    Answer: {"ok", "service", "vehicle_id", "record", "snapshot"}: what the technician filled in, and the
    vehicle's stored data at the end. Parameters and modules are in the vehicle's merged record.
    """

    async def read() -> dict[str, Any]:
        async with Live(ctx) as live:
            collector = Collector(live, params.vehicle_id)
            known = await collector.read_header(await live.line())
            if not known and not (params.chain and params.chain.service == "UNINSTALL"):  # it may be gone
                raise JobFailed("vehicle_unknown", "The upstream does not know this vehicle.")
            return collector.whole()

    snapshot = await ctx.step("header", StepKind.READ, lambda _: read())
    chain = params.chain
    return {
        "ok": True,
        "service": chain.service if chain else "",
        "vehicle_id": params.vehicle_id,
        "client_id": params.client_id,
        "record": chain.record if chain else {},
        "snapshot": snapshot,
    }


APPROVAL = JobKind(
    name="can_approval",
    title="Approval of a CAN check",
    params=ApprovalAsked,
    run=approve,
    seconds_max=3600,  # people's time is not counted
    offered=False,
)
SAVE = JobKind(
    name="save_record",
    title="Record of an installation",
    params=SnapshotAsked,
    run=save,
    seconds_max=24 * 3600,
    offered=False,
)
