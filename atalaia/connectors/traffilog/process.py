"""What becomes of one process upstream: how far it is, whether anything is heard of it, how it ended; pure.

A Scheme Builder's progress is the share of its commands that the unit has acknowledged; the upstream's own
figure is the same one, told in batches. Its proof is the configuration key. No timer lives here: who has a
clock asks `overdue`. Source: contracts/traffilog.md §6.2, §9.1, §9.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from atalaia.connectors.traffilog.units import (
    Command,
    Executed,
    KeyReported,
    KeyWritten,
    Message,
    Mounting,
    Numbered,
    Report,
    Reset,
    Transported,
)

SCHEME_BUILDER, RUN_COMMAND = "scheme_builder", "run_command"
CONFIRMED, UNCONFIRMED, UNKNOWN, FAILED = "confirmed", "completed_unconfirmed", "unknown", "failed"

SILENT_S = 90  # nothing at all heard of a unit that is being configured: 5 s is the longest on record
SECONDS_MAX = 720
DONE_PERCENT = 99.9
_WINDOW_PERCENT = 5.0
_SPREAD_MAX = 0.4
_DONE = frozenset({"completed", "done"})
_FAILED = frozenset({"error", "failed"})
_KEY_EARLY_S, _KEY_LATE_S = 120, 3_600  # how far a key may lie from the process whose start it names


@dataclass(frozen=True, slots=True)
class Process:
    """One process. All times in Unix milliseconds.

    process_id: `""` for one that somebody else started and whose id was never heard. inferred: its queueing
    was not heard, but it was prepared, and then a process ran.
    sent, acknowledged: commands to the unit, and how many it has executed; missed: those of the latter that
    were not heard but follow from the upstream's figure. reported: the upstream's last figure, in percent.
    total: how many commands there are, None until it can be told; spread: how far off, as a share of it.
    base_percent, base_acknowledged: from where the total is measured; absolute: `done` counts from the start.
    key: the one that was written. outcome: `""` while it runs.
    """

    vehicle_id: str
    kind: str
    process_id: str = ""
    comment: str = ""
    job: str = ""
    inferred: bool = False
    queued_ms: int = 0
    started_ms: int = 0
    heard_ms: int = 0
    sent: int = 0
    acknowledged: int = 0
    missed: int = 0
    reported: float = 0.0
    base_percent: float | None = None
    base_acknowledged: int = 0
    absolute: bool = False
    total: int | None = None
    spread: float = 9.0
    status: str = ""
    error: str = ""
    retries: str = ""
    last_command: str = ""
    command: str = ""  # of a run command: the payload by which it is known
    sequence: str = ""
    key: str = ""
    key_sequence: str = ""
    key_acknowledged: bool = False
    reset: bool = False
    floor: float = 0.0
    shown_percent: float = 0.0
    shown_status: str = ""
    outcome: str = ""
    ended_ms: int = 0
    confirmed_ms: int = 0

    @property
    def done(self) -> int:
        return self.acknowledged + self.missed

    @property
    def percent(self) -> float:
        """How far it is, 0 to 100: from the acknowledgements where the total is known, else as reported.

        It does not go back by less than a point, which is what a better total may take away.
        """
        told = self.reported
        if self.total and self.spread <= _SPREAD_MAX:
            told = max(told, min(round(self.done / self.total * 100, 2), 100.0))
        return self.floor if 0 < self.floor - told < 1 else told

    @property
    def runs(self) -> bool:
        return not self.outcome


def from_memory(saved: Mapping[str, Any]) -> Process:
    """Undo `to_memory`; fields of another version are left out."""
    known = {one.name for one in fields(Process)}
    return Process(**{key: value for key, value in saved.items() if key in known})


def to_memory(process: Process) -> dict[str, Any]:
    return asdict(process)


def hear_status(process: Process, row: Mapping[str, str], at_ms: int) -> Process:
    """Take a row of `UNIT_CONFIG_STATUS`: {"status", "progress" in percent, "error", "retries"}."""
    status, error = row.get("status", "").strip(), row.get("error", "").strip()
    percent = _percent(row.get("progress", ""))
    process = replace(
        process,
        heard_ms=max(process.heard_ms, at_ms),
        floor=process.percent,
        started_ms=process.started_ms or at_ms,
        status=status,
        error=error,
        retries=row.get("retries", "").strip(),
    )
    if percent is not None and percent >= process.reported:
        process = _measure(process, percent)
    if status.lower() in _FAILED or error:
        return _end(process, FAILED, at_ms)
    if status.lower() in _DONE or (percent is not None and percent >= DONE_PERCENT):
        process = replace(process, reported=100.0)
        return _end(process, CONFIRMED if process.confirmed_ms else UNCONFIRMED, at_ms)
    return process


def hear_message(process: Process, message: Message, at_ms: int) -> Process:
    """Take a raw message to or from the unit."""
    process = replace(process, heard_ms=max(process.heard_ms, at_ms), floor=process.percent)
    match message:
        case Command(payload=payload):
            return _hear_command(process, payload)
        case Report(payload=Executed() as executed):
            return _hear_executed(process, executed, at_ms)
        case Report(payload=Transported(sequence=sequence)) if process.kind == RUN_COMMAND:
            seen = bool(process.sequence) and sequence == process.sequence
            return replace(process, reported=50.0) if seen and process.runs else process
        case Report(payload=KeyReported(key=key)):
            return confirm(process, key, key, at_ms) if process.kind == SCHEME_BUILDER else process
        case _:
            return process


def confirm(process: Process, assigned: str, loaded: str, at_ms: int) -> Process:
    """Take the unit's configuration key, and the assigned one, as far as they prove this process.

    The key names the second at which its process began: the key that was seen to be written proves the run,
    and so does one of the right time. Equal keys of another time only say that nothing had to be done.
    """
    if process.kind != SCHEME_BUILDER or process.confirmed_ms:
        return process
    unit, wanted = loaded.strip().upper(), (process.key or assigned).strip().upper()
    if not unit or unit != wanted or not unit.strip("0") or (not process.key and not _in_time(process, unit)):
        return process
    return replace(process, key=unit, confirmed_ms=at_ms)


def conclude(process: Process, outcome: str, at_ms: int) -> Process:
    """Take the verdict of who has a clock. What the upstream has said already stands, but for a proof."""
    if outcome == CONFIRMED and not process.confirmed_ms:
        process = replace(process, confirmed_ms=at_ms)
    return _end(process, outcome, at_ms)


def overdue(
    process: Process, now_ms: int, *, silent_s: float = SILENT_S, seconds_max: float = SECONDS_MAX
) -> str | None:
    """Answer `silent` or `too_long` for a process that runs and about which time has decided, else None.

    Any push about the unit counts as a sign of life, not only the status: statuses pause for 45 s in a good
    run. What the sign is worth after a lost socket is for the caller to know.
    """
    if not process.runs:
        return None
    if now_ms - process.queued_ms >= seconds_max * 1000:
        return "too_long"
    return "silent" if now_ms - max(process.heard_ms, process.queued_ms) >= silent_s * 1000 else None


def evidence(process: Process) -> dict[str, Any]:
    """Answer what is known of a process, for facts and the screen. Times in Unix milliseconds."""
    return {
        "vehicle_id": process.vehicle_id,
        "process_id": process.process_id,
        "kind": process.kind,
        "job": process.job,
        "comment": process.comment,
        "acknowledged": process.done,
        "total": process.total if process.spread <= _SPREAD_MAX else None,
        "sent": process.sent,
        "percent": process.percent,
        "reported": process.reported,
        "status": process.status,
        "error": process.error,
        "retries": process.retries,
        "last_command": process.last_command,
        "configuration_key": process.key,
        "key_acknowledged": process.key_acknowledged,
        "reset": process.reset,
        "queued_ms": process.queued_ms or None,
        "started_ms": process.started_ms or None,
        "heard_ms": process.heard_ms or None,
    }


def _hear_command(process: Process, payload: object) -> Process:
    if not process.runs:
        return process
    match payload:
        case Mounting(matrix=matrix, sequence=sequence):
            if process.kind != RUN_COMMAND or (process.command and matrix != process.command):
                return process
            return replace(
                process, sent=1, total=1, spread=0.0, command=matrix, sequence=sequence, last_command="C6"
            )
        case _ if process.kind != SCHEME_BUILDER:
            return process
        case KeyWritten(key=key, sequence=sequence):
            more = {"key": key, "key_sequence": sequence, "key_acknowledged": False}
            return replace(process, sent=process.sent + 1, last_command="13", **more)
        case Reset():
            return replace(process, sent=process.sent + 1, last_command="06", reset=True)
        case Numbered(command=command):
            return replace(process, sent=process.sent + 1, last_command=command)
        case _:
            return process


def _hear_executed(process: Process, executed: Executed, at_ms: int) -> Process:
    if process.kind == RUN_COMMAND:
        if process.runs and process.sent and executed.command == "C6":
            done = replace(process, acknowledged=1, reported=100.0, confirmed_ms=at_ms)
            return _end(done, CONFIRMED, at_ms)
        return process
    if executed.command == "13" and process.key:
        process = replace(process, key_acknowledged=True)
    if process.runs or executed.command == "06":  # the reset is acknowledged after `Completed`
        return replace(process, acknowledged=process.acknowledged + 1)
    return process


def _measure(process: Process, percent: float) -> Process:
    """Take the upstream's figure, and tell the number of commands from it as soon as that is possible."""
    if process.base_percent is None:
        begun = bool(process.queued_ms) or percent == 0  # else it was first met in its middle
        base, counted = (0.0, 0) if begun else (percent, process.done)
        process = replace(process, base_percent=base, base_acknowledged=counted, absolute=begun)
    if percent <= process.reported or percent >= DONE_PERCENT:  # the last figure comes before its commands
        return replace(process, reported=max(percent, process.reported))
    process = replace(process, reported=percent)
    if process.absolute:
        process = _estimate(process, percent, process.done)
    step = percent - (process.base_percent or 0.0)
    if step >= _WINDOW_PERCENT:
        process = _estimate(process, step, process.done - process.base_acknowledged)
    if process.total is not None:
        behind = round(percent * process.total / 100) - process.done
        missed = process.missed + (behind if behind > 1 else 0)  # not heard, e.g. while the socket was away
        process = replace(process, missed=missed, absolute=True)
    if step >= _WINDOW_PERCENT:
        process = replace(process, base_percent=percent, base_acknowledged=process.done)
    return process


def _estimate(process: Process, step: float, counted: int) -> Process:
    """Take `counted` acknowledgements within `step` percent as a measure of the total.

    What was not heard makes a measure too small, never too large: so a larger one corrects the total, a much
    smaller one is no measure.
    """
    if counted <= 0:
        return process
    told, spread = counted * 100 / step, 0.011 / step + 2.5 / counted
    known = process.total
    if known is not None:
        allowed = known * (spread + process.spread)
        if told < known - allowed or (told <= known + allowed and spread >= process.spread):
            return process
    return replace(process, total=max(1, round(told)), spread=spread)


def _end(process: Process, outcome: str, at_ms: int) -> Process:
    return process if process.outcome else replace(process, outcome=outcome, ended_ms=at_ms)


def _percent(text: str) -> float | None:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if 0 <= value <= 100 else None


def _in_time(process: Process, key: str) -> bool:
    began_ms = process.queued_ms or process.started_ms
    try:
        second = int(key, 16)
    except ValueError:
        return False
    return began_ms // 1000 - _KEY_EARLY_S <= second <= began_ms // 1000 + _KEY_LATE_S
