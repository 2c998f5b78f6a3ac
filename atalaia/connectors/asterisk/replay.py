"""`bin/atalaia replay asterisk FILE`: a capture through the interpretation, without network or database.

Deterministic: same file and configuration, same output, ids included.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from atalaia.clock import rfc3339
from atalaia.connectors.asterisk import wire
from atalaia.connectors.asterisk.capture import Line, open_capture, read_capture
from atalaia.connectors.asterisk.directory import Directory, Rules
from atalaia.connectors.asterisk.interpret import AsteriskInterpreter
from atalaia.connectors.asterisk.messages import render
from atalaia.connectors.asterisk.sources import Sources, read_directory
from atalaia.errors import ConfigError, Unreadable
from atalaia.events.model import Event, Fact, Heard
from atalaia.reactions.interpreter import Memory

ETC_VARIABLE = "ATALAIA_ASTERISK_ETC"
RAW_SHOWN = 2_000
CONNECTION = "replay"


def replay_file(
    path: Path,
    *,
    etc: Path | None = None,
    clients: Path | None = None,
    endpoints: Path | None = None,
    ringgroups: Path | None = None,
    mqservers: Path | None = None,
    messages: bool = False,
    server: str | None = None,
) -> Iterator[dict[str, object]]:
    """Answer the output lines for one capture: facts, or with `messages` what consumers would get.

    Without any configuration named, that of `default_etc()` is taken.
    Errors: `ConfigError` when a named folder or file is not there, or the capture cannot be read or is none.
    """
    named = (etc, clients, endpoints, ringgroups, mqservers)
    for one in (path, *named):
        if one is not None and not one.exists():
            raise ConfigError(f"there is no {one}: name an existing file")
    folder = etc if any(named) else default_etc()
    sources = Sources(folder, clients, endpoints, ringgroups, mqservers)
    directory = read_directory(sources, Rules(server=server or ""))
    return replay(open_capture(path), directory, messages=messages)


def default_etc() -> Path | None:
    """Answer where configuration comes from when nothing names it: the environment, else the test world."""
    named = os.environ.get(ETC_VARIABLE)
    if named:
        return Path(named)
    beside = Path(__file__).resolve().parents[3].parent / "shared" / "asterisk" / "etc"
    return beside if beside.is_dir() else None


def replay(
    lines: Iterable[bytes], directory: Directory, *, messages: bool = False
) -> Iterator[dict[str, object]]:
    """Answer the output lines for a capture. What cannot be understood is a line too, never a crash.

    Errors: `ConfigError` at the end when the lines were no capture at all.
    """
    memory = Memory()
    interpreter = AsteriskInterpreter(CONNECTION, memory)
    body = orjson.dumps(directory.to_body()).decode()
    yield from _configuration_trouble(directory)
    list(interpreter.take(_event(0, Heard(wire.DIRECTORY, "", 0, body))))
    understood, seen = 0, 0
    for seq, line in enumerate(read_capture(lines), 1):
        seen += 1
        if line.note:
            yield _unreadable(line, line.note)
        if line.heard is None:
            continue
        understood += 1
        memory.mark()
        try:
            facts = list(interpreter.take(_event(seq, line.heard)))
        except Unreadable as error:
            memory.revert()
            yield _unreadable(line, str(error))
            continue
        yield from _shown(facts, messages=messages)
    if seen and not understood:
        raise ConfigError("this file is no capture of Asterisk's events: no line of it can be read")


def _shown(facts: Iterable[Fact], *, messages: bool) -> Iterator[dict[str, object]]:
    for fact in facts:
        if not messages:
            time = rfc3339(fact.occurred_ms)
            yield {
                "kind": "fact",
                "type": fact.type,
                "time": time,
                "subject": fact.key,
                "data": dict(fact.data),
            }
            continue
        message = render(fact.type, fact.occurred_ms, fact.data, {})
        if message is not None:
            yield {"kind": "message", "vhost": message.destination, "body": orjson.loads(message.body)}


def _configuration_trouble(directory: Directory) -> Iterator[dict[str, object]]:
    for problem in directory.problems:
        reason = str(problem)
        yield {"kind": "unreadable", "file": problem.file, "line": problem.line, "reason": reason}
    if not directory.clients and not directory.problems:
        reason = "No configuration is named, so no number is known and no call opens: name one with --etc."
        yield {"kind": "unreadable", "file": "", "line": 0, "reason": reason}


def _unreadable(line: Line, reason: str) -> dict[str, object]:
    shown: dict[str, Any] = {"kind": "unreadable", "line": line.number, "reason": reason}
    if line.heard is not None:
        shown["time"] = rfc3339(line.heard.occurred_ms)
    return {**shown, "raw": line.raw[:RAW_SHOWN].decode(errors="replace")}


def _event(seq: int, heard: Heard) -> Event:
    at_ms = heard.occurred_ms
    return Event(
        seq, str(seq), "heard", heard.type, heard.key, CONNECTION, at_ms, at_ms, None, heard.late, heard.body
    )
