"""Toy kinds of jobs that only tests know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, Field

from atalaia.jobs.model import JobContext, JobKind, Planned


class PaintParams(BaseModel):
    """What the toy is asked."""

    vehicle_id: str = Field(title="Vehicle", min_length=1, max_length=12)
    colour: str = Field("red", title="Colour")
    coats: int = Field(1, title="Coats", ge=1, le=5)


async def paint(ctx: JobContext, params: PaintParams) -> Mapping[str, Any]:
    """Never runs where only screens are tested."""
    return {"painted": params.vehicle_id}


def plan_paint(settings: Any, params: PaintParams) -> Sequence[Planned]:
    """Answer a frame that holds the connection's password, as a careless connector would."""
    secret = settings.password.get_secret_value()
    frame = {"action": "paint", "vehicle_id": params.vehicle_id, "session_token": secret}
    return [Planned("websocket", orjson.dumps(frame).decode(), f"{params.coats} coats")]


PAINT = JobKind("paint", "Paint a vehicle", PaintParams, paint, plan=plan_paint)
WASH = JobKind("wash", "Wash a vehicle", PaintParams, paint)
