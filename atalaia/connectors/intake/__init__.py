"""Intake: systems that call us. Developers send CloudEvents to `POST /api/intake/<connection>`."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from atalaia.connections.session import Plane
from atalaia.connectors.connector import Connector
from atalaia.events.policy import Keep


class IntakeSettings(BaseModel):
    """What is told when an intake is set up; who may send is decided by API tokens."""

    model_config = ConfigDict(extra="forbid", title="Intake")

    note: str = Field("", max_length=500, title="Note", description="What sends here, for your colleagues.")


CONNECTOR = Connector(
    name="intake",
    title="Intake (events by HTTP)",
    settings=IntakeSettings,
    run_session=None,
    planes=(Plane("intake", "Intake", fresh_s=86_400.0),),
    silence=timedelta(days=1),
    keep={"*": Keep.KEEP},
)
