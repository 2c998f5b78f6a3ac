"""Jobs that the old workers do themselves: one kind for each of their types, claimed from outside.

Whether a type is done here or outside is a setting of the hub (`old_outside_types`). What such a job is asked
with is the old payload as it came. Source: contract §12.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from atalaia.jobs.model import JobContext, JobKind

PREFIX = "outside_"
TYPES = (
    "html5_install", "html5_uninstall", "html5_maint_with_swap", "html5_maint_no_swap",
    "html5_change_company", "resolver_change_company", "vehicle_resolve", "html5_warmup",
    "admin_config_sync", "scheme_builder", "monitor_can_snapshot", "gs_calibration", "save_snapshot",
)  # fmt: skip
_ONE_VEHICLE = ("scheme_builder", "monitor_can_snapshot", "gs_calibration", "save_snapshot")
DAY_S = 24 * 3600.0


class OutsideAsked(BaseModel):
    """What an outside worker is asked with. payload: as the old client sent it."""

    model_config = ConfigDict(extra="forbid")

    payload: dict[str, Any] = Field(default_factory=dict[str, Any])


async def _never(ctx: JobContext, params: Any) -> Mapping[str, Any]:
    raise AssertionError("workers outside run this")


def _locks(params: Any) -> Sequence[str]:
    """Answer the vehicle: our own jobs and those outside do not work on one unit at the same time."""
    payload: dict[str, Any] = params.payload
    vehicle = payload.get("vehicleId") or payload.get("vehicle_id")
    return [f"vehicle:{vehicle}"] if vehicle else []


OUTSIDE_JOBS = tuple(
    JobKind(
        name=f"{PREFIX}{name}",
        title="Job of a worker outside",
        params=OutsideAsked,
        run=_never,
        locks=_locks if name in _ONE_VEHICLE else lambda _: (),
        seconds_max=DAY_S,
        external=True,
        offered=False,
    )
    for name in TYPES
)
