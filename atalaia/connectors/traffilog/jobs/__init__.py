"""What people may ask of a unit over the socket; what the portal does is in `portal/`."""

from __future__ import annotations

from atalaia.connectors.traffilog.jobs import (
    can_probe,
    closing,
    gsensor_command,
    scheme_builder,
    vehicle_snapshot,
)
from atalaia.jobs.model import JobKind

JOBS: tuple[JobKind, ...] = (
    scheme_builder.KIND,
    vehicle_snapshot.KIND,
    can_probe.KIND,
    closing.APPROVAL,
    gsensor_command.KIND,
    closing.SAVE,
)
