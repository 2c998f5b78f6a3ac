"""Telematics (Traffilog): units in vehicles, heard and acted on. `CONNECTOR` is what others import.

Only what the house asks of every connector is imported here; what talks to the upstream or understands it
comes with the first connection. A hub without one spares the memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.connections.session import CheckStep, Plane, SessionPort
from atalaia.connectors.connector import Connector
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.wire import PREFIX
from atalaia.events.policy import Keep
from atalaia.jobs.kinds import LateKinds
from atalaia.jobs.model import JobKind
from atalaia.jobs.schedule import Schedule
from atalaia.reactions.interpreter import Interpretation, Interpreter, Memory

PLANES = (
    Plane("login", "Login", fresh_s=3600, hearing=False),
    Plane("socket", "Socket", fresh_s=90),
    Plane("answers", "Answers to our own requests", fresh_s=90),
    Plane("pushes", "Messages of the watched units", essential=False, fresh_s=300),
)


async def _run_session(settings: Any, port: SessionPort) -> None:
    """Keep one connection, as `session.run_session` says."""
    from atalaia.connectors.traffilog import session

    await session.run_session(settings, port)


async def _check(settings: Any, ambient: Ambient) -> list[CheckStep]:
    """Try settings, as `check.check` says."""
    from atalaia.connectors.traffilog import check

    return await check.check(settings, ambient)


def _interpreter(connection: str, memory: Memory) -> Interpreter:
    from atalaia.connectors.traffilog.interpret import TraffilogInterpreter

    return TraffilogInterpreter(connection, memory)


def _jobs() -> Sequence[JobKind]:
    from atalaia.connectors.traffilog.jobs import JOBS
    from atalaia.connectors.traffilog.outside import OUTSIDE_JOBS
    from atalaia.connectors.traffilog.portal import PORTAL_JOBS

    return (*JOBS, *PORTAL_JOBS, *OUTSIDE_JOBS)


def _sweep(tx: Connection, connection: str, settings: Any, now_ms: int) -> Mapping[str, Any] | None:
    from atalaia.connectors.traffilog.portal import sweeping

    return sweeping.asked(tx, connection, settings, now_ms)


CONNECTOR = Connector(
    name="traffilog",
    title="Telematics (Traffilog)",
    settings=TraffilogSettings,
    run_session=_run_session,
    check=_check,
    planes=PLANES,
    interpretations=(Interpretation("traffilog.vehicles", (f"{PREFIX}*",), _interpreter),),
    silence=timedelta(minutes=3),
    keep={
        "answer.get_user_command_list": Keep.COUNT,  # our canary
        "answer.vehicle_subscribe": Keep.COUNT,  # the keep-alive of each watched unit
        "answer.vehicle_unsubscribe": Keep.COUNT,
        "*": Keep.KEEP,
    },
    rhythms={"UNIT_MESSAGES": "units", "UNIT_PARAMETERS": "units", "UNIT_CONFIG_STATUS": "status"},
    jobs=LateKinds(_jobs),
    schedules=(Schedule("verify_schemes", attrgetter("verify_every_s"), _sweep),),
    routine=timedelta(minutes=30),
    world="vehicles",
)
