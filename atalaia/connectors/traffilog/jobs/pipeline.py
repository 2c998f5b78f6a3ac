"""What follows a job of an installation: SB ► wait ► CAN ► a person's approval ► GS ► save.

Each is a job of its own, submitted by the one before it and unique per (root, step), so that a late or
repeated end changes nothing. The wait is the CAN job's own first step. Source: contract §9.6, §11.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atalaia.connectors.traffilog.jobs.asked import Chain, ForVehicle
from atalaia.jobs.model import JobContext

MOUNTED_SERVICES = ("INSTALL", "MAINT_WITH_SWAP")
APPROVED_SERVICES = (*MOUNTED_SERVICES, "MAINT_NO_SWAP")


@dataclass(frozen=True)
class Next:
    """The next job: its kind, what it is asked with, and its name within the pipeline."""

    kind: str
    params: Mapping[str, Any]
    step: str


async def go_on(ctx: JobContext, kind: str, params: ForVehicle, result: Mapping[str, Any]) -> list[str]:
    """Submit what follows; answer the ids."""
    return [
        await ctx.follow_up(one.kind, one.params, step=one.step) for one in next_after(kind, params, result)
    ]


def next_after(kind: str, params: ForVehicle, result: Mapping[str, Any]) -> list[Next]:
    """Answer what follows a job that ended well. Nothing follows one without a chain."""
    chain = params.chain
    if chain is None:
        return []
    shared: dict[str, Any] = {
        "client_id": params.client_id,
        "client_name": params.client_name,
        "vehicle_id": params.vehicle_id,
        "comment": params.comment,
        "chain": chain.model_dump(),
    }
    match kind:
        case "scheme_builder":
            after = {"mode": "post_sb", "after_ms": int(result.get("ended_ms") or 0)}
            return [Next("vehicle_snapshot", shared | after, "can")]
        case "vehicle_snapshot" if chain.service in APPROVED_SERVICES and chain.approval:
            n = int(result.get("round") or 1)
            return [
                Next(
                    "can_approval", shared | {"round": n, "shown": result.get("summary")}, _nth("approval", n)
                )
            ]
        case "vehicle_snapshot" | "can_approval":
            return _after_check(chain, shared)
        case "gsensor_command":
            return [Next("save_record", shared, "save")]
        case _:
            return []


def check_again(params: ForVehicle, n: int) -> Next:
    """Answer the next CAN check of an installation, its `n`-th."""
    assert params.chain is not None
    asked = params.model_dump(include={"client_id", "client_name", "vehicle_id", "comment", "chain"})
    return Next("vehicle_snapshot", asked | {"mode": "full", "round": n}, _nth("can", n))


def _after_check(chain: Chain, shared: Mapping[str, Any]) -> list[Next]:
    save = Next("save_record", shared, "save")
    if chain.service == "MAINT_NO_SWAP":
        if not chain.vehicle_setting_id:
            return [save]
        scheme = {"vehicle_setting_id": chain.vehicle_setting_id, "terminal": True}
        return [save, Next("scheme_builder", {**shared, **scheme}, "scheme_builder")]
    if chain.service in MOUNTED_SERVICES and chain.label and chain.harness:
        mount = {"label": chain.label, "harness": chain.harness}
        return [Next("gsensor_command", {**shared, **mount}, "gsensor")]
    return [save]


def _nth(step: str, n: int) -> str:
    return step if n == 1 else f"{step}:{n}"
