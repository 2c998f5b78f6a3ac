"""Captures: one JSON object a line, as the recordings of the contract are, made into heard events.

A capture has no word for "the REST reading is complete", which a live session appends. It is put after
the last line of the reading that follows a `connected`, or at once when no reading follows.
Source: contracts/asterisk/README.md.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from atalaia.connectors.asterisk import wire
from atalaia.errors import ConfigError, Unreadable
from atalaia.events.model import Heard

READING_PAUSE_MS = 10_000  # a request that comes later than this belongs to no reading
CONTROLS = frozenset({"connected", "disconnected", "closed", "snapshot"})

KNOWN_EVENTS = frozenset(
    f"{family}{name}"
    for family, names in {
        "Application": "MoveFailed Replaced Registered Unregistered",
        "Bridge": "Created Destroyed Merged VideoSourceChanged BlindTransfer AttendedTransfer",
        "Channel": "Created Destroyed EnteredBridge LeftBridge StateChange DtmfReceived Dialplan CallerId"
        " Userevent HangupRequest Varset TalkingStarted TalkingFinished Hold Unhold ConnectedLine Transfer"
        " ToneDetected",
        "Playback": "Started Continuing Finished",
        "Recording": "Started Finished Failed",
        "Stasis": "Start End",
        "": "Dial DeviceStateChanged ContactStatusChange PeerStatusChange EndpointStateChange"
        " TextMessageReceived MissingParams RESTRequest RESTResponse",
    }.items()
    for name in names.split()
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a capture: what was heard, or why it cannot be read.

    note: shown beside what was heard, when it is kept but nothing is known about it.
    """

    number: int
    raw: bytes
    heard: Heard | None
    note: str = ""


def open_capture(path: Path) -> Iterator[bytes]:
    """Answer the lines of a capture, plain or gzip. Errors: `ConfigError` when the file cannot be read."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if packed else file
            yield from io.BufferedReader(stream) if packed else stream  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"the capture {path.name} cannot be read: {reason}") from error


def read_capture(lines: Iterable[bytes]) -> Iterator[Line]:
    """Read the lines of a capture, the end of each REST reading put where it belongs; no blank lines."""
    waiting: list[Line] = []  # since `connected`, until it is clear where the reading ends
    for line in _read_lines(lines):
        kind = line.heard.type if line.heard else ""
        if waiting and (_is_control(line) or _is_late(waiting, line)):
            yield from _with_snapshot(waiting)
            waiting = []
        if waiting or (kind == wire.CONTROL and _control_of(line) == "connected"):
            waiting.append(line)
        else:
            yield line
    yield from _with_snapshot(waiting)


def _is_control(line: Line) -> bool:
    return line.heard is not None and line.heard.type == wire.CONTROL


def _is_reading(line: Line) -> bool:
    return line.heard is not None and line.heard.type in {wire.REST, wire.RECORDINGS}


def _is_late(waiting: list[Line], line: Line) -> bool:
    last = next((one for one in reversed(waiting) if _is_reading(one)), waiting[0])
    if line.heard is None or last.heard is None:
        return False
    return line.heard.occurred_ms > last.heard.occurred_ms + READING_PAUSE_MS


def _control_of(line: Line) -> object:
    return wire.read_object(line.heard.body).get("control") if line.heard else None


def _with_snapshot(waiting: list[Line]) -> Iterator[Line]:
    """Answer the lines since a `connected`, with the word that its reading is complete."""
    if not waiting:
        return
    end = max((index for index, one in enumerate(waiting) if _is_reading(one)), default=0)
    last = waiting[end]
    at_ms = last.heard.occurred_ms if last.heard else 0
    yield from waiting[: end + 1]
    yield Line(last.number, b"", Heard(wire.CONTROL, "", at_ms, '{"control":"snapshot"}'))
    yield from waiting[end + 1 :]


def _read_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    for number, text in enumerate(lines, 1):
        raw = (text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text).strip()
        if not raw:
            continue
        try:
            yield _read_line(number, raw)
        except Unreadable as error:
            yield Line(number, raw, None, str(error))


def _read_line(number: int, raw: bytes) -> Line:
    """Read one line. Errors: `Unreadable`."""
    row = wire.read_object(raw)
    if "received" not in row and isinstance(row.get("type"), str):  # a bare event, as it came from the socket
        return _event_line(number, raw, dict(row), 0)
    received = row.get("received")
    if not isinstance(received, (int, float)) or not 0 <= received < 1e11:
        raise Unreadable("`received` is no time in Unix seconds", raw=raw)
    at_ms = round(received * 1000)
    event, rest, recordings = row.get("event"), row.get("rest"), row.get("recordings")
    if isinstance(event, dict):
        return _event_line(number, raw, event, at_ms)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(rest, dict):
        return Line(number, raw, Heard(wire.REST, "", at_ms, orjson.dumps(rest).decode()))
    if isinstance(recordings, dict):
        return Line(number, raw, Heard(wire.RECORDINGS, "", at_ms, orjson.dumps(recordings).decode()))
    if isinstance(row.get("control"), str):
        body = {key: value for key, value in row.items() if key != "received"}
        note = "" if row["control"] in CONTROLS else "an unknown control word"
        return Line(number, raw, Heard(wire.CONTROL, "", at_ms, orjson.dumps(body).decode()), note)
    raise Unreadable("none of `event`, `control`, `rest` and `recordings` is in it", raw=raw)


def _event_line(number: int, raw: bytes, event: dict[str, Any], at_ms: int) -> Line:
    heard = wire.heard(orjson.dumps(event), at_ms)
    if heard.type == wire.UNREADABLE:
        raise Unreadable("an event without a type", raw=raw)
    known = heard.type.removeprefix(wire.PREFIX) in KNOWN_EVENTS
    return Line(number, raw, heard, "" if known else "an event that this version does not know")
