"""`bin/atalaia replay wppconnect FILE`: recorded webhooks and reads through the interpretation.

Without network or database, and deterministic: same file, same output.
Shapes: one webhook's body (an object), a transcript `{"segment", "records": [...]}` of requests and webhooks,
a list or lines of webhook bodies, or a folder of such files. Source: recordings beside the contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import orjson

from atalaia.clock import rfc3339
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.envelope import Json, read_object, read_time_ms, session_key
from atalaia.connectors.wppconnect.interpret import WppconnectInterpreter
from atalaia.errors import ConfigError, Unreadable
from atalaia.events.model import Event, Fact, Heard
from atalaia.reactions.interpreter import Memory

RAW_SHOWN = 2_000
Line = dict[str, object]


def replay_file(path: Path, *, messages: bool = False) -> Iterator[Line]:
    """Answer the output lines for a recording, or for a folder of them.

    messages: what was heard, instead of the facts that follow.
    Errors: `ConfigError` when there is no such file, or it is no JSON.
    """
    if not path.exists():
        raise ConfigError(f"there is no {path}: name an existing file or folder")
    found = sorted(path.rglob("*.json*")) if path.is_dir() else [path]
    if not found:
        raise ConfigError(
            f"{path} holds no recordings (*.json, *.jsonl): name a recording or a folder of them"
        )
    return _replay([one for file in found for one in _read(file)], messages)


@dataclass
class _Account:
    """One session of the recording: its interpreter's memory."""

    memory: Memory = field(default_factory=Memory)


@dataclass
class _Run:
    messages: bool
    accounts: dict[str, _Account] = field(default_factory=dict[str, _Account])
    seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    told: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    counts: Counter[str] = field(default_factory=Counter[str])
    seq: int = 0

    def hear(self, session: str, one: Heard) -> Iterator[Line]:
        """Put one event into the log that is not there, and through the interpreter."""
        if one.dedupe is not None:
            if (session, one.dedupe) in self.seen:
                self.counts["duplicates"] += 1
                return
            self.seen.add((session, one.dedupe))
        self.seq += 1
        self.counts["heard"] += 1
        if self.messages:
            yield _shown_heard(session, one)
        at = one.occurred_ms
        event = Event(
            self.seq, str(self.seq), "heard", one.type, one.key, session, at, at, None, one.late, one.body
        )
        yield from self._understand(session, event)

    def _understand(self, session: str, event: Event) -> Iterator[Line]:
        account = self.accounts.setdefault(session, _Account())
        account.memory.mark()
        try:
            facts = list(WppconnectInterpreter(session, account.memory).take(event))
        except Unreadable as error:
            account.memory.revert()
            self.counts["unreadable"] += 1
            yield _unreadable(str(error), event.body, event.occurred_ms)
            return
        for fact in facts:
            mark = (session, f"{fact.type}:{fact.dedupe}")
            if mark in self.told:
                continue
            self.told.add(mark)
            self.counts["facts"] += 1
            if not self.messages:
                yield _shown(fact)


def _replay(records: list[tuple[str, Any]], messages: bool) -> Iterator[Line]:
    run = _Run(messages)
    at_ms = 0
    for origin, record in records:
        if not isinstance(record, dict):
            run.counts["unreadable"] += 1
            yield _unreadable(f"{origin}: not an object", repr(record), at_ms)
            continue
        whole = cast("Json", record)
        for session, one in _heard_in(origin, whole, at_ms):
            if isinstance(one, str):
                run.counts["unreadable"] += 1
                yield _unreadable(one, orjson.dumps(whole).decode(), at_ms)
                continue
            at_ms = max(at_ms, one.occurred_ms)
            yield from run.hear(session, one)
    yield {"kind": "summary", **dict(sorted(run.counts.items()))}


def _heard_in(origin: str, record: Json, at_ms: int) -> Iterator[tuple[str, Heard | str]]:
    """Answer what one record says: of a webhook its event, of a request what its answer holds."""
    if record.get("kind") == "http":
        yield from _read_answers(record, at_ms)
        return
    body: Any = record.get("body") if record.get("kind") == "webhook" else record
    if not isinstance(body, dict):
        yield "", f"{origin}: a webhook without a body"
        return
    if "event" not in body and ("reply" in body or "reply_text" in body or "reply_partial" in body):
        return  # an answer to one of our own questions about sessions: no event
    try:
        said = read_object(cast("Json", body))
    except Unreadable as error:
        yield "", f"{origin}: {error}"
        return
    session = said.session or unquote(str(record.get("path") or "").rsplit("/", 1)[-1])
    yield session_key(session), heard.heard_of(said, at_ms)


def _read_answers(record: Json, at_ms: int) -> Iterator[tuple[str, Heard | str]]:
    """Answer the messages and contacts that the upstream gave when it was asked."""
    parts = str(record.get("path") or "").split("?")[0].strip("/").split("/")
    if len(parts) < 3 or parts[0] != "api" or record.get("method") != "GET":
        return
    session, name, reply = session_key(unquote(parts[1])), parts[2], record.get("reply")
    if not isinstance(reply, dict):
        return
    answer = cast("Json", reply)
    if name == "get-messages" and isinstance(answer.get("response"), list):
        for one in cast("list[Any]", answer["response"]):
            if isinstance(one, dict):
                yield session, heard.stored_message(cast("Json", one), at_ms)
    elif name == "message-by-id" and isinstance(answer.get("response"), Mapping):
        data: Any = cast("Json", answer["response"]).get("data")
        if isinstance(data, dict):
            yield session, heard.stored_message(cast("Json", data), at_ms)
    elif name == "contact" and parts[3:4] == ["pn-lid"] and "lid" in answer:
        yield session, heard.asked_alias(answer, at_ms)


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    """Answer the records of one file, each with where it stands."""
    raw = path.read_bytes()
    try:
        whole: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        lines = [line for line in raw.splitlines() if line.strip()]
        if len(lines) < 2 and path.suffix != ".jsonl":
            raise ConfigError(f"{path} is not JSON: {error}") from error
        yield from _lines(path, lines)
        return
    if isinstance(whole, dict) and isinstance(cast("Json", whole).get("records"), list):
        records = cast("list[Any]", cast("Json", whole)["records"])
        for number, one in enumerate(_in_time(records), 1):
            yield f"{path.name}, record {number}", one
    elif isinstance(whole, list):
        for number, one in enumerate(cast("list[Any]", whole), 1):
            yield f"{path.name}, entry {number}", one
    else:
        yield path.name, whole


def _lines(path: Path, lines: list[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            yield f"{path.name}, line {number}", orjson.loads(line)
        except orjson.JSONDecodeError as error:
            text = line.decode(errors="backslashreplace")
            yield f"{path.name}, line {number}: {error}", text


def _in_time(records: list[Any]) -> list[Any]:
    """Answer webhooks in the order in which they came; a transcript may list them after the requests."""
    if not all(isinstance(one, dict) and "t_rel_s" in one for one in records):
        return records
    return sorted(records, key=lambda one: float(one["t_rel_s"]))


def _shown(fact: Fact) -> Line:
    """Show a fact; of a message, which one it is and in which revision stands beside what is said of it."""
    at = read_time_ms(fact.data.get("occurred_at")) or fact.occurred_ms
    found: Line = {"kind": "fact", "type": fact.type, "time": rfc3339(at), "subject": fact.key}
    if "message" in fact.data:
        level = f"ack:{fact.data['ack']}" if fact.type == "message.acked" else "reaction"
        found |= {"identity": fact.data["message"], "revision": fact.data.get("kind") or level}
    found |= {name: fact.data[name] for name in ("contact", "conversation") if name in fact.data}
    return found | {"data": dict(fact.data)}


def _shown_heard(session: str, one: Heard) -> Line:
    return {
        "kind": "message", "type": one.type, "session": session, "time": rfc3339(one.occurred_ms),
        "subject": one.key, "mark": one.dedupe, "late": one.late, "body": orjson.loads(one.body),
    }  # fmt: skip


def _unreadable(reason: str, raw: str, at_ms: int) -> Line:
    return {"kind": "unreadable", "time": rfc3339(at_ms), "reason": reason, "raw": raw[:RAW_SHOWN]}
