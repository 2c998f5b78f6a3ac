"""The REST reading after a connect, kept in the memory until it is complete.

Source: contracts/asterisk.md section 6; the `rest` and `recordings` lines of the recordings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from atalaia.connectors.asterisk.wire import Channel, Json, read_channel, stamp_ms
from atalaia.reactions.interpreter import Memory

WAV_HEADER = 44
KEY_MAX = 200  # of the memory
BYTES_A_MS = 16  # 8 kHz, 16 bit, mono


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge of `GET /bridges`; its creation is the time of the answer, to a few ms."""

    channels: tuple[str, ...]
    created_ms: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A WAV file as it lay there. `open`: its header is not closed yet although it holds data."""

    data_bytes: int
    modified_ms: int
    open: bool

    @property
    def length_ms(self) -> int:
        return self.data_bytes // BYTES_A_MS


@dataclass(frozen=True)
class Snapshot:
    """What the reading found. None stands for what was not read or not answered."""

    startup_ms: int | None = None
    channels: dict[str, Channel] | None = None
    bridges: tuple[Bridge, ...] = ()
    endpoints: dict[str, str] | None = None
    variables: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    sounds: dict[str, Sound] | None = None

    def bridge_of(self, channel_id: str) -> Bridge | None:
        """Answer the two-party bridge in which a channel talks."""
        for bridge in self.bridges:
            if channel_id in bridge.channels and len(bridge.channels) == 2:
                return bridge
        return None

    def sound(self, path: str) -> Sound | None:
        """Answer the file that Asterisk calls `path`; the reading names it relative to the monitor folder."""
        for name, sound in (self.sounds or {}).items():
            if path == name or path.endswith("/" + name):
                return sound
        return None


class Reading:
    """Collects the parts of the reading in hand."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def rest(self, body: Json) -> None:
        """Keep the answer to one request; refused ones are no knowledge."""
        if body.get("status") != 200 or body.get("method", "GET") != "GET":
            return
        parts = urlsplit(str(body.get("path", "")))
        path, answer = parts.path, body.get("body")
        variable = _VARIABLE.search(path)
        if variable:
            asked = parse_qs(parts.query).get("variable", [""])[0]
            value = cast("Json", answer).get("value") if isinstance(answer, dict) else None
            key = f"read:var:{unquote(variable[1])}:{asked}"
            if isinstance(value, str) and len(key) <= KEY_MAX:
                self._memory.put(key, value)
            return
        for ending in ("/asterisk/info", "/channels", "/bridges", "/endpoints"):
            if path.endswith(ending):
                self._memory.put("read:" + ending, _needed(ending, answer))

    def recordings(self, body: Json) -> None:
        """Keep what the monitor folder holds; several lines add up."""
        self._memory.put("read:recordings", {**(self._memory.get("read:recordings") or {}), **body})

    def clear(self) -> None:
        """Forget the reading."""
        for key in list(self._memory.keys("read:")):
            self._memory.delete(key)

    def snapshot(self) -> Snapshot:
        """Answer what was read. What has another shape than expected counts as not read."""
        memory = self._memory
        variables: dict[str, dict[str, str]] = {}
        for key in memory.keys("read:var:"):
            channel_id, _, name = key.removeprefix("read:var:").rpartition(":")
            variables.setdefault(channel_id, {})[name] = memory.get(key) or ""
        sounds = memory.get("read:recordings")
        return Snapshot(
            _startup(memory.get("read:/asterisk/info")),
            _channels(memory.get("read:/channels")),
            tuple(_bridges(memory.get("read:/bridges"))),
            _endpoints(memory.get("read:/endpoints")),
            variables,
            None if sounds is None else dict(_sounds(sounds)),
        )


_VARIABLE = re.compile(r"/channels/([^/]+)/variable$")


def _needed(ending: str, answer: Any) -> Any:
    """Answer the part of an answer that is used: the memory stays small."""
    if ending == "/asterisk/info" and isinstance(answer, dict):
        return {"status": cast("Json", answer).get("status")}
    return answer


def _startup(info: Any) -> int | None:
    try:
        return stamp_ms(info["status"]["startup_time"])
    except (KeyError, TypeError, ValueError):
        return None


def _channels(rows: Any) -> dict[str, Channel] | None:
    if not isinstance(rows, list):
        return None
    found: dict[str, Channel] = {}
    for row in cast("list[Any]", rows):
        try:
            channel = read_channel(row)
        except (AttributeError, ValueError):
            continue
        found[channel.id] = channel
    return found


def _bridges(rows: Any) -> Iterator[Bridge]:
    for row in cast("list[Any]", rows) if isinstance(rows, list) else ():
        try:
            yield Bridge(tuple(str(one) for one in row["channels"]), stamp_ms(row["creationtime"]))
        except (KeyError, TypeError, ValueError):
            continue


def _endpoints(rows: Any) -> dict[str, str] | None:
    if not isinstance(rows, list):
        return None
    found: dict[str, str] = {}
    for row in cast("list[Any]", rows):
        if isinstance(row, dict):
            one = cast("Json", row)
            if one.get("technology") in {"PJSIP", "SIP"} and one.get("state") in {"online", "offline"}:
                found[str(one.get("resource", ""))] = str(one["state"])
    return found


def _sounds(rows: Json) -> Iterator[tuple[str, Sound]]:
    for name, row in rows.items():
        try:
            data_bytes = max(0, int(row["bytes"]) - WAV_HEADER)
            header = row.get("header_data_bytes")
            modified_ms = round(float(row["mtime"]) * 1000)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
        yield name, Sound(data_bytes, modified_ms, header == 0 and data_bytes > 0)
