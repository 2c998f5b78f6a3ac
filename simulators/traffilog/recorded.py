"""Replay of a recorded stream: its pushes go to whoever subscribed, with their times and the live ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulators.traffilog.connections import CONNECTION, SUBSCRIBABLE, Connection
from simulators.traffilog.wire import compact

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream


@dataclass(frozen=True)
class Recorded:
    """One push of a recording: when, of which kind, with which rows."""

    after_s: float
    source: str
    rows: list[dict[str, Any]]


def pushes(path: Path) -> Iterator[Recorded]:
    """Read the pushes of a JSONL recording; answers are what the live upstream gives itself.

    Shape: one object a line with `dir`, `t_ms`, and `json` or `raw` (the contract's `traffilog/README.md`).
    """
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            if entry["dir"] != "in":
                continue
            properties = _properties(entry)
            if str(properties.get("mtkn")) == "-1":
                yield Recorded(entry["t_ms"] / 1000, str(properties["data_source"]), properties["data"])


def _properties(entry: dict[str, Any]) -> dict[str, Any]:
    message = entry.get("json")
    if message is None:
        try:
            message = json.loads(str(entry.get("raw")).rstrip("\x00"))
        except ValueError:
            return {}  # a fragment: part of an answer, never of a push
    return dict(message.get("response", {}).get("properties", {}))


@dataclass(frozen=True)
class Text:
    """One text of a recording as it was sent, pushes and answers alike."""

    after_s: float
    text: str
    action: str


def texts(path: Path) -> Iterator[Text]:
    """Read everything the upstream said in a recording. What the log cut is told as far as it was kept."""
    actions: dict[str, str] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            if entry["dir"] == "in":
                text = entry["raw"] if entry.get("raw") is not None else compact(entry["json"])
                head = re.search(r'"action_name":"([^"]+)"', text)
                found = re.search(r'"mtkn":"([^"]*)"', text)
                mtkn = found.group(1) if found else ""
                if head:
                    actions[mtkn] = head.group(1)
                yield Text(entry["t_ms"] / 1000, text, actions.get(mtkn, ""))


async def play_all(up: Upstream, path: Path, connection: Connection, vehicle_id: str) -> int:
    """Say a whole recording on one socket, answers and fragments too; answers how many texts.

    Token, serial and vehicle are replaced by the live ones, the mtkn of an answer by the one of the last live
    request of that action, where there is one. The upstream itself answers nothing on this socket meanwhile.
    """
    serial, began, count = up.vehicles[vehicle_id].serial, up.clock.monotonic(), 0
    connection.recorded = {}
    up.played.add(serial)
    try:
        for one in texts(path):
            if (left := began + one.after_s - up.clock.monotonic()) > 0:
                await up.clock.sleep(left)
            text = re.sub(
                r'"session_token":"[^"]*"', f'"session_token":"{connection.session.token.lower()}"', one.text
            )
            text = re.sub(r"\b0{7}9200[0-9]{5}\b", serial, text)
            if mtkn := connection.recorded.get(one.action):
                text = re.sub(r'"mtkn":"[^"]*"', f'"mtkn":"{mtkn}"', text)
            connection.write(text)
            count += 1
    finally:
        connection.recorded = None
        up.played.discard(serial)
    return count


async def play(up: Upstream, path: Path, vehicle_id: str) -> int:
    """Push what was recorded to the sockets that subscribed `vehicle_id`; answers how many pushes.

    The unit's number is replaced by the live one, inside raw messages too; times of the rows stay as
    recorded, and the unit itself is quiet meanwhile. A key write takes effect, so that `get_vehicle_info`
    proves what the recording proves.
    """
    serial, began, count = up.vehicles[vehicle_id].serial, up.clock.monotonic(), 0
    up.played.add(serial)
    try:
        for one in pushes(path):
            if one.source not in (*SUBSCRIBABLE, CONNECTION):
                continue
            if (left := began + one.after_s - up.clock.monotonic()) > 0:
                await up.clock.sleep(left)
            up.connections.push(vehicle_id, one.source, [_ours(row, serial) for row in one.rows])
            count += 1
            _learn_key(up, vehicle_id, one)
    finally:
        up.played.discard(serial)
    return count


def _ours(row: dict[str, Any], serial: str) -> dict[str, str]:
    theirs = str(row.get("inner_id", ""))
    changed = {key: str(value) for key, value in row.items()}
    if theirs:
        changed["inner_id"] = serial
    if "raw_message" in changed:
        changed["raw_message"] = changed["raw_message"].replace(theirs or "\x00", serial)
    return changed


def _learn_key(up: Upstream, vehicle_id: str, one: Recorded) -> None:
    for row in one.rows:
        text = str(row.get("raw_message", "")).lower()
        if text.startswith("(o2w") and (place := text.find("1304")) > 0:
            key = text[place + 4 : place + 12].upper()
            vehicle = up.vehicles[vehicle_id]
            vehicle.key_db = key
            if (unit := up.unit_of(vehicle)) is not None:
                unit.key = key
