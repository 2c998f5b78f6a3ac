"""Jobs that the old workers do themselves: one kind for each of their types, claimed from outside.

Whether a type is done here or outside is a setting of the hub (`old_outside_types`). What such a job is asked
with is the old payload as it came. Source: contract §12.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from atalaia.connectors.traffilog.portal.known import known_locks, vehicle_lock
from atalaia.connectors.traffilog.portal.params import plate_lock, serial_lock
from atalaia.jobs.model import JobContext, JobKind

PREFIX = "outside_"
TYPES = (
    "html5_install", "html5_uninstall", "html5_maint_with_swap", "html5_maint_no_swap",
    "html5_change_company", "resolver_change_company", "vehicle_resolve", "html5_warmup",
    "admin_config_sync", "scheme_builder", "monitor_can_snapshot", "gs_calibration", "save_snapshot",
)  # fmt: skip
_ONE_VEHICLE = ("scheme_builder", "monitor_can_snapshot", "gs_calibration", "save_snapshot")
_ONE_PLATE = (
    "html5_install", "html5_uninstall", "html5_maint_with_swap", "html5_change_company",
    "resolver_change_company",
)  # fmt: skip
DAY_S = 24 * 3600.0


class OutsideAsked(BaseModel):
    """What an outside worker is asked with. payload: as the old client sent it."""

    model_config = ConfigDict(extra="forbid")

    payload: dict[str, Any] = Field(default_factory=dict[str, Any])


async def _never(ctx: JobContext, params: Any) -> Mapping[str, Any]:
    raise AssertionError("workers outside run this")


def _locks(params: Any) -> Sequence[str]:
    """Answer vehicle, plate and units: our own jobs and those outside do not work on one at the same time."""
    payload: dict[str, Any] = params.payload
    given = {name: str(payload.get(name) or "") for name in ("plate", "serial", "serial_new")}
    vehicle = payload.get("vehicleId") or payload.get("vehicle_id")
    return [
        *([vehicle_lock(str(vehicle))] if vehicle else []),
        *([plate_lock(given["plate"])] if given["plate"] else []),
        *(serial_lock(given[name]) for name in ("serial", "serial_new") if given[name]),
    ]


def _kind(name: str) -> JobKind:
    one = name in _ONE_VEHICLE or name in _ONE_PLATE
    return JobKind(
        name=f"{PREFIX}{name}",
        title="Job of a worker outside",
        params=OutsideAsked,
        run=_never,
        locks=_locks if one else lambda _: (),
        known_locks=known_locks if name in _ONE_PLATE else None,
        seconds_max=DAY_S,
        external=True,
        offered=False,
    )


OUTSIDE_JOBS = tuple(_kind(name) for name in TYPES)
