"""Traces of a process upstream, by which a step in doubt is decided without sending anything again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.jobs.asked import ForVehicle
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.line import Line
from atalaia.connectors.traffilog.protocol import Missing
from atalaia.connectors.traffilog.wire import Answer, Row, text_of
from atalaia.errors import Rejected
from atalaia.jobs.model import DidNotHappen


@dataclass(frozen=True)
class Queued:
    """What the changing step answers. executed_ms: when `execute` was answered, 0 when nothing was sent."""

    process_id: str
    key_before: str = ""
    executed_ms: int = 0
    already: bool = False
    found: bool = False  # by its trace, after the answer was lost

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


NO_KEY = "00000000"
# Between the moment in a key and the moment of our intent the two clocks may differ by so much.
CLOCKS_DIFFER_S = 60
IN_FLIGHT_S = 3.0


class Trace:
    """What is looked at when a step is in doubt; it remembers what the step had told before it sent."""

    def __init__(self) -> None:
        self.evidence: Mapping[str, Any] = {}

    def found(self, answered: Mapping[str, Any] | None, began_ms: int) -> Mapping[str, Any]:
        """Answer what the changing step answered, or what is known when a person said that it happened.

        began_ms: when the job began, for a worker that was started after the person's word.
        """
        if answered:
            return answered
        return queued_of(self.evidence, began_ms)


def queued_of(evidence: Mapping[str, Any], began_ms: int = 0) -> dict[str, Any]:
    """Answer `Queued` as JSON, of a process that was found by its trace."""
    return Queued(
        process_id=str(evidence.get("process_id", "")),
        key_before=str(evidence.get("key_before", "")),
        executed_ms=int(evidence.get("sent_ms", began_ms)),
        found=True,
    ).as_json()


async def still_in_review(live: Live, line: Line, asked: ForVehicle, process_id: str) -> DidNotHappen | None:
    """Answer that a process was not executed, if the client's review still holds it; None tells nothing.

    A frame of ours may still be on its way when its socket broke a moment ago, so the second look counts.
    """
    for n in range(2):
        if n:
            await live.ctx.ambient.clock.sleep(IN_FLIGHT_S)
        try:
            found = await line.ask(actions.find_process(asked.client_id, asked.client_name))
        except Missing:
            return None
        if process_id not in {text_of(row, "process_id") for row in found.rows}:
            return None
    return DidNotHappen(f"Process {process_id} still waits in the review, so it was not executed.")


async def assigned_name(line: Line, asked: ForVehicle) -> str:
    """Answer the scheme that the upstream's grid says is assigned to the vehicle; "" when it does not say."""
    try:
        found = await line.ask(
            actions.client_vehicles(asked.client_id, asked.client_name, vehicle_id=asked.vehicle_id)
        )
    except Rejected:
        return ""
    rows = [row for row in found.rows if text_of(row, "vehicle_id") == asked.vehicle_id]
    return text_of(rows[0], "assigned_setting_name") if rows else ""


def first_row(answer: Answer) -> Row:
    """Answer the first row, an empty one when there is none."""
    return next(iter(answer.rows), cast("Row", {}))


def key_is_new(row: Mapping[str, object], key_before: str, since_ms: int) -> bool:
    """Answer whether the key in the database was made by a process that began after `since_ms`.

    A key is the second in which its process began, as eight hex digits.
    """
    key = text_of(row, "configuration_key_db").strip().upper()
    if key in ("", NO_KEY, key_before.strip().upper()):
        return False
    began_s = key_time_s(key)
    return began_s is not None and began_s >= since_ms / 1000 - CLOCKS_DIFFER_S


def key_time_s(key: str) -> int | None:
    """Answer the Unix second that a configuration key stands for, None for what is no key."""
    try:
        return int(key, 16) if len(key) == 8 else None
    except ValueError:
        return None


def keys_agree(row: Mapping[str, object]) -> bool:
    """Answer whether the unit runs the scheme that the database holds for it."""
    unit = text_of(row, "configuration_key_unit").strip().upper()
    return unit not in ("", NO_KEY) and unit == text_of(row, "configuration_key_db").strip().upper()
