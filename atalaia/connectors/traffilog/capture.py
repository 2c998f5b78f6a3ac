"""Captures of the socket: what a browser or a program sent and got, read from three forms into one.

- JSONL, one text of the socket a line: {"seq", "dir": "in" | "out", "t_ms", "raw", "json"?}; `raw` may be
  null when only `json` was recorded. The recordings of the contract and the console snippet of
  docs/how-to/compare-telematics-frames.md have this form; the latter adds {"socket", "at_ms"}.
- HAR, as the browser's developer tools save it: entries with `_webSocketMessages`.

Session tokens and passwords are replaced on reading; nothing behind this module sees them.
Source: contracts/traffilog/README.md.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import orjson

from atalaia.errors import ConfigError

SNIPPET = Path(__file__).with_name("data") / "capture.js"
SIZE_MAX = 512 * 1024 * 1024

_TOKEN = re.compile(
    r"session_token(?:\\*\"|%22)\s*(?::|%3A)\s*(?:\\*\"|%22)([0-9A-Za-z_-]{8,200})", re.IGNORECASE
)
_PASSWORD = re.compile(
    r"(?P<head>(?:password|login_name)(?P<quote>\\*\"|%22)\s*(?::|%3A)\s*(?P=quote))(?P<value>.*?)(?P<tail>(?P=quote))",
    re.IGNORECASE,
)  # fmt: skip
_ADDRESS = re.compile(r"wss?://[^\s\"]*?/([0-9A-Za-z_-]{20,200})/json", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Frame:
    """One text of a socket. number: its line or place. t_ms: since the capture's first frame.

    at_ms: Unix milliseconds, None if only `t_ms` is known. text: None when it cannot be read; why: then why.
    """

    number: int
    direction: str
    t_ms: int
    text: str | None
    socket: int = 0
    at_ms: int | None = None
    why: str = ""


def read_capture(path: Path) -> list[Frame]:
    """Read a capture of any form; times are made absolute where a correlation id tells them.

    Errors: `ConfigError` when the file cannot be read, or is no capture.
    """
    raw = read_file(path)
    har = _har(raw)
    frames = list(_read_har(har) if har is not None else _read_lines(raw))
    if har is not None and not frames:
        raise ConfigError(
            f"{path.name} holds no messages of WebSockets: open the developer tools of Chrome or Edge before "
            "the page connects (Firefox writes none), or use the console snippet (frames snippet)"
        )
    if not any(frame.text is not None for frame in frames):
        raise ConfigError(f"{path.name} is no capture of the telematics socket: no frame can be read in it")
    return _with_times(_masked(frames))


def read_file(path: Path) -> bytes:
    """Answer the content of a file, plain or gzip. Errors: `ConfigError`."""
    try:
        if path.stat().st_size > SIZE_MAX:
            raise ConfigError(f"{path.name} is larger than {SIZE_MAX // 2**20} MB: cut it into parts")
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"the capture {path.name} cannot be read: {reason}") from error


def to_fixture(frames: list[Frame]) -> Iterator[dict[str, Any]]:
    """Answer frames as lines of the JSONL form, as `replay` and the simulator read them."""
    for seq, frame in enumerate(one for one in frames if one.text is not None):
        text = cast("str", frame.text)
        yield {
            "seq": seq,
            "dir": frame.direction,
            "t_ms": frame.t_ms,
            "raw": text,
            "json": _parsed(text),
            "socket": frame.socket,
            **({"at_ms": frame.at_ms} if frame.at_ms is not None else {}),
        }


def _har(raw: bytes) -> dict[str, Any] | None:
    if raw.lstrip()[:1] != b"{" or b'"log"' not in raw[:4_096]:
        return None
    try:
        whole: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    log: Any = cast("dict[str, Any]", whole).get("log") if isinstance(whole, dict) else None
    return cast("dict[str, Any]", log) if isinstance(log, dict) else None


def _read_har(log: dict[str, Any]) -> Iterator[Frame]:
    """Read a HAR.

    Shape: {"entries": [{"_webSocketMessages": [{"type": "send" | "receive", "time": Unix seconds,
        "opcode": 1 | 2, "data": text, base64 for opcode 2}]}]}
    """
    number = 0
    first_ms: int | None = None
    for socket, entry in enumerate(_dicts(log.get("entries"))):
        for message in _dicts(entry.get("_webSocketMessages")):
            number += 1
            data, at = message.get("data"), message.get("time")
            at_ms = round(at * 1000) if isinstance(at, (int, float)) else None
            first_ms = at_ms if first_ms is None else first_ms
            t_ms = max(0, (at_ms or 0) - (first_ms or 0))
            direction = "out" if message.get("type") == "send" else "in"
            text, why = (data, "") if isinstance(data, str) else (None, "a message without `data`")
            if text is not None and message.get("opcode") == 2:
                text, why = _from_base64(text)
            yield Frame(number, direction, t_ms, text, socket, at_ms, why)


def _read_lines(raw: bytes) -> Iterator[Frame]:
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if line.strip():
            yield _read_line(number, line)


def _read_line(number: int, line: bytes) -> Frame:
    try:
        row: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Frame(number, "in", 0, None, why=f"no JSON: {error}")
    if not isinstance(row, dict):
        return Frame(number, "in", 0, None, why="JSON, but no object")
    told = cast("dict[str, Any]", row)
    direction, t_ms, at_ms = told.get("dir"), told.get("t_ms"), told.get("at_ms")
    if direction not in ("in", "out") or not isinstance(t_ms, (int, float)):
        return Frame(number, "in", 0, None, why="`dir` must be in or out, and `t_ms` a number")
    text: Any = told.get("raw")
    if text is None and told.get("json") is not None:
        text = orjson.dumps(told["json"]).decode()
    socket = told.get("socket")
    return Frame(
        number,
        direction,
        round(t_ms),
        text if isinstance(text, str) else None,
        socket if isinstance(socket, int) else 0,
        round(at_ms) if isinstance(at_ms, (int, float)) else None,
        "" if isinstance(text, str) else "neither `raw` nor `json`",
    )


def _masked(frames: list[Frame]) -> list[Frame]:
    """Put another token in the place of each, the same for the same, of the same length and case."""
    tokens: dict[str, str] = {}
    for frame in frames:
        text = frame.text or ""
        for pattern in (_TOKEN, _ADDRESS):
            for found in pattern.findall(text):
                key = found.upper()
                # Recorded tokens are 32 hex digits and ten decimal ones; what is too short stands as it is.
                tokens.setdefault(key, f"{len(tokens) + 1:0{len(key)}d}"[-len(key) :])
    if tokens:
        together = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))), re.IGNORECASE)
        frames = [
            replace(one, text=together.sub(lambda found: tokens[found[0].upper()], one.text))
            if one.text
            else one
            for one in frames
        ]
    return [replace(one, text=_PASSWORD.sub(_hide, one.text)) if one.text else one for one in frames]


def _hide(found: re.Match[str]) -> str:
    return f"{found['head']}masked{found['tail']}"


def _with_times(frames: list[Frame]) -> list[Frame]:
    """Make times absolute by the first correlation id that begins with Unix milliseconds."""
    if any(frame.at_ms is not None for frame in frames):
        return frames
    for frame in frames:
        plain = unquote(frame.text) if frame.text and frame.text.startswith("%") else frame.text or ""
        found = re.search(r'"mtkn":"(1[5-9]\d{11})', plain)
        if frame.direction == "out" and found:
            base = int(found[1]) - frame.t_ms
            return [replace(one, at_ms=base + one.t_ms) for one in frames]
    return frames


def _parsed(text: str) -> Any:
    clean = text.rstrip("\x00 \r\n\t")
    try:
        return orjson.loads(unquote(clean) if clean.startswith("%") else clean)
    except orjson.JSONDecodeError:
        return None


def _from_base64(text: str) -> tuple[str | None, str]:
    try:
        return base64.b64decode(text, validate=True).decode(), ""
    except (binascii.Error, UnicodeDecodeError):
        return None, "a binary message that is no text"


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    for one in cast("list[Any]", value) if isinstance(value, list) else []:
        if isinstance(one, dict):
            yield cast("dict[str, Any]", one)
