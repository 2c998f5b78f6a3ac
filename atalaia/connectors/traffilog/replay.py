"""`bin/atalaia replay traffilog FILE`: a capture or records through the interpretation, on its own clock.

Without network or database, and deterministic: same file, same output. What a job would decide by time
(silence, deadline) is decided here by the same rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import orjson

from atalaia.clock import rfc3339
from atalaia.connectors.traffilog import heard, process
from atalaia.connectors.traffilog.capture import Frame, read_capture, read_file
from atalaia.connectors.traffilog.interpret import TraffilogInterpreter
from atalaia.connectors.traffilog.protocol import Came, Protocol
from atalaia.connectors.traffilog.records import read_record
from atalaia.connectors.traffilog.wire import Answer, Push, Strange, Token, read_frame, text_of
from atalaia.errors import ConfigError, Unreadable
from atalaia.events.model import Event, Fact, Heard
from atalaia.reactions.interpreter import Memory

CONNECTION = "replay"
RAW_SHOWN = 2_000
Line = dict[str, object]


def replay_file(path: Path, *, messages: bool = False) -> Iterator[Line]:
    """Answer the output lines for a capture (JSONL, HAR), a record (JSON), or a folder of records.

    Lines are `fact`, `reassembled` for each answer put together from fragments, `unreadable`, and at the end
    `summary`. messages: every request and message instead, with its rows.
    Errors: `ConfigError` when there is no such file, or it is neither.
    """
    if not path.exists():
        raise ConfigError(f"there is no {path}: name an existing file or folder")
    if path.is_dir():
        found = sorted([*path.rglob("*.json"), *path.rglob("*.json.gz")])
        if not found:
            raise ConfigError(f"{path} holds no records (*.json): name a capture or a folder of records")
        return _replay_records(found)
    if _is_record(path):
        return _replay_records([path])
    return _replay_frames(read_capture(path), messages=messages)


def _is_record(path: Path) -> bool:
    """Answer whether a file is one JSON object that is neither a HAR nor a line of a capture."""
    raw = read_file(path)
    try:
        whole: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return isinstance(whole, dict) and "log" not in whole and "dir" not in whole


@dataclass
class _Run:
    """One replay: the interpreter, what it was told, and what is counted for the last line."""

    messages: bool = False
    memory: Memory = field(default_factory=Memory)
    counts: Counter[str] = field(default_factory=Counter[str])
    alarms: int = 0
    told: set[str] = field(default_factory=set[str])  # vehicles about which something is new
    _seq: int = 0

    def hear(self, one: Heard) -> Iterator[Line]:
        """Put one event through the interpreter. What cannot be understood is a line too."""
        self._seq += 1
        seq, at_ms = self._seq, one.occurred_ms
        event = Event(
            seq, str(seq), "heard", one.type, one.key, CONNECTION, at_ms, at_ms, None, one.late, one.body
        )
        self.memory.mark()
        try:
            facts = list(TraffilogInterpreter(CONNECTION, self.memory).take(event))
        except Unreadable as error:
            self.memory.revert()
            self.counts["unreadable"] += 1
            yield _unreadable(self._seq, str(error), one.body, one.occurred_ms)
            return
        for fact in facts:
            self.counts["facts"] += 1
            if fact.type == "vehicle.snapshot_merged":
                self.told.discard(fact.key)
            elif fact.type.startswith("vehicle."):
                self.told.add(fact.key)
            if not self.messages:
                yield _shown(fact)

    def watch(self, now_ms: int) -> Iterator[Line]:
        """Say what a job would say at this moment of processes about which nothing more is heard."""
        for key in list(self.memory.keys("process:")):
            one = process.from_memory(self.memory.get(key) or {})
            why = process.overdue(one, now_ms) if one.queued_ms else None
            if why:
                self.alarms += 1
                word = heard.verdict(
                    one.vehicle_id,
                    now_ms,
                    process_id=one.process_id,
                    outcome=process.UNKNOWN,
                    why=why,
                    evidence=process.evidence(one),
                )
                yield from self.hear(word)

    def finish(self, at_ms: int) -> Iterator[Line]:
        """State what is known of each vehicle at the end, and what was in the file."""
        for vehicle_id in sorted(self.told):
            yield from self.hear(heard.collected(vehicle_id, at_ms))
        yield {"kind": "summary", **dict(sorted(self.counts.items())), "alarms": self.alarms}


def _replay_frames(frames: list[Frame], *, messages: bool) -> Iterator[Line]:
    run = _Run(messages=messages)
    protocols: dict[int, Protocol] = {}
    at_ms = 0
    for frame in frames:
        at_ms = frame.at_ms if frame.at_ms is not None else frame.t_ms
        yield from run.watch(at_ms)
        if frame.text is None:
            run.counts["unreadable"] += 1
            yield _unreadable(frame.number, frame.why, "", at_ms)
            continue
        protocol = protocols.setdefault(frame.socket, Protocol(Token("0" * 42), Random(0)))
        if frame.direction == "out":
            yield from _sent(run, protocol, frame, at_ms)
            continue
        for came in protocol.take(frame.text):
            yield from _came(run, came, frame.number, at_ms)
    for protocol in protocols.values():
        for came in protocol.closed()[0]:
            yield from _came(run, came, frames[-1].number, at_ms)
    yield from run.finish(at_ms)


def _sent(run: _Run, protocol: Protocol, frame: Frame, at_ms: int) -> Iterator[Line]:
    run.counts["requests"] += 1
    text = cast("str", frame.text)
    try:
        action, inside = read_frame(text)
    except Unreadable as error:
        run.counts["unreadable"] += 1
        yield _unreadable(frame.number, str(error), text, at_ms)
        return
    protocol.overhear(action, text_of(inside, "mtkn"))
    if run.messages:
        yield {
            "kind": "request", "line": frame.number, "time": rfc3339(at_ms), "action": action.name,
            "parameters": dict(action.parameters),
        }  # fmt: skip


def _came(run: _Run, came: Came, number: int, at_ms: int) -> Iterator[Line]:
    message = came.message
    if isinstance(message, Strange):
        run.counts["unreadable"] += 1
        yield _unreadable(number, message.why, message.text, at_ms)
        return
    one = heard.heard(came, at_ms)
    kind = "pushes" if isinstance(message, Push) else "answers" if isinstance(message, Answer) else "errors"
    run.counts[kind] += 1
    run.counts["fragments"] += message.fragments if message.fragments > 1 else 0
    if run.messages:
        yield _message(one, came)
    elif isinstance(message, Answer) and message.fragments > 1:
        yield _reassembled(one, message)
    yield from run.hear(one)


def _replay_records(paths: Iterable[Path]) -> Iterator[Line]:
    """Merge records, oldest reading first, whatever the order of the files."""
    run = _Run()
    found: list[tuple[int, str, str, dict[str, Any]]] = []
    for path in paths:
        try:
            whole: Any = orjson.loads(read_file(path))
            record = cast("dict[str, Any]", whole if isinstance(whole, dict) else {})
            reading = read_record(record)[0]
        except (Unreadable, orjson.JSONDecodeError) as error:
            run.counts["unreadable"] += 1
            yield {"kind": "unreadable", "file": path.name, "line": 0, "reason": str(error)}
            continue
        found.append((reading.at_ms, path.name, reading.vehicle_id, record))
    if not found:
        raise ConfigError("no file is a record of a vehicle in a known form")
    for at_ms, _, vehicle_id, record in sorted(found, key=lambda one: one[:3]):
        run.counts["records"] += 1
        yield from run.hear(heard.imported(vehicle_id, at_ms, record))
    yield from run.finish(max(at_ms for at_ms, *_ in found))


def _shown(fact: Fact) -> Line:
    return {
        "kind": "fact",
        "type": fact.type,
        "time": rfc3339(fact.occurred_ms),
        "subject": fact.key,
        "data": dict(fact.data),
    }


def _message(one: Heard, came: Came) -> Line:
    message = came.message
    shown: Line = {
        "kind": "message",
        "type": one.type,
        "time": rfc3339(one.occurred_ms),
        "subject": one.key,
        "fragments": message.fragments,
    }
    if isinstance(message, (Answer, Push)):
        shown["rows"] = [dict(row) for row in message.rows]
    if isinstance(message, Answer):
        shown |= {"action_value": message.value, "partial": message.partial}
        shown["errors"] = [dict(row) for row in message.errors]
    shown["request"] = orjson.loads(one.body).get("request")
    return shown


def _reassembled(one: Heard, answer: Answer) -> Line:
    return {
        "kind": "reassembled",
        "time": rfc3339(one.occurred_ms),
        "subject": one.key,
        "action": answer.action,
        "action_value": answer.value,
        "fragments": answer.fragments,
        "rows": len(answer.rows),
        "partial": answer.partial,
    }


def _unreadable(line: int, reason: str, raw: str, at_ms: int) -> Line:
    return {
        "kind": "unreadable",
        "line": line,
        "time": rfc3339(at_ms),
        "reason": reason,
        "raw": raw[:RAW_SHOWN],
    }
