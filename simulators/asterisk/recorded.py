"""Plays a recorded event stream again: new ids, new times, and a world that keeps up with it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from simulators.asterisk.models import Bridge, Channel, Json, Phone, ari_time
from simulators.asterisk.pbx import Pbx

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator

LEGS = (
    "channel",
    "caller",
    "peer",
    "transferee",
    "transfer_target",
    "transferer_first_leg",
    "transferer_second_leg",
)
_OLD = re.compile(
    r"(?P<id>(?:[A-Za-z]\w*-)?\d{10}\.\d+)"
    r"|(?P<name>PJSIP/[\w.]+-[0-9a-f]{8})(?![0-9a-f])"
    r"|(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    r"|(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4})"
)


def read_capture(path: Path) -> list[Json]:
    """Read a capture: a JSON object a line, `received` and `event`, `control`, `rest` or `recordings`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


@dataclass
class Fresh:
    """Gives every id, name and time of a capture a new one, always the same for the same."""

    pbx: Pbx
    shift: timedelta
    given: dict[str, str] = field(default_factory=dict[str, str])

    def event(self, recorded: Json) -> Json:
        """Answer the event as if it happened now, without `application`."""
        bare = {key: value for key, value in recorded.items() if key != "application"}
        renewed: Json = json.loads(_OLD.sub(self._replace, json.dumps(bare)))
        renewed["asterisk_id"] = self.pbx.entity_id
        return renewed

    def _replace(self, found: re.Match[str]) -> str:
        old = found.group()
        if found.lastgroup == "time":
            return ari_time(datetime.strptime(old, "%Y-%m-%dT%H:%M:%S.%f%z") + self.shift)
        if old not in self.given:
            self.given[old] = self._new(str(found.lastgroup), old)
        return self.given[old]

    def _new(self, kind: str, old: str) -> str:
        if kind == "id":
            return self.pbx.fresh_id()
        if kind == "uuid":
            return self.pbx.fresh_uuid()
        return self.pbx.fresh_name(old.partition("/")[2].rpartition("-")[0])


async def play_capture(sim: AsteriskSimulator, path: Path, *, controls: bool = False) -> None:
    """Play a capture at its own pace on the simulator's clock.

    With `controls` the client is cut off where the capture lost its connection, gets 502 for as long as
    the capture was away, and then meets the snapshot that the capture met. Legs that the capture never
    saw end are gone silently when it is over.
    """
    lines = read_capture(path)
    first = float(lines[0]["received"])
    begun, now = sim.clock.monotonic(), sim.pbx.now()
    fresh = Fresh(sim.pbx, now - datetime.fromtimestamp(first, tz=now.tzinfo))
    seen: set[str] = set()
    for index, line in enumerate(lines):
        wait = float(line["received"]) - first - (sim.clock.monotonic() - begun)
        if wait > 0:
            await sim.clock.sleep(wait)
        if "event" in line:
            event = fresh.event(line["event"])
            seen |= adopt(sim.pbx, event)
            sim.hub.tell(event)
        elif controls and line.get("control") == "disconnected":
            await sim.faults.start("bad-gateway")
        elif controls and line.get("control") == "connected" and index:
            seen |= _meet_snapshot(sim.pbx, fresh, seen, lines[index + 1 :])
            await sim.faults.stop("bad-gateway")
    _forget(sim.pbx, seen)


def _forget(pbx: Pbx, legs: set[str]) -> None:
    for leg in legs:
        pbx.channels.pop(leg, None)
    for bridge in [one for one in pbx.bridges.values() if legs.intersection(one.channels)]:
        del pbx.bridges[bridge.id]


def _meet_snapshot(pbx: Pbx, fresh: Fresh, seen: set[str], following: list[Json]) -> set[str]:
    """Let the world become what the capture's own requests showed after it came back."""
    _forget(pbx, seen)
    shown: set[str] = set()
    for line in following:
        if "event" in line:
            break
        asked: Json = line.get("rest", {})
        if asked.get("status") == 200:
            shown |= _adopt_answer(pbx, fresh, str(asked["path"]), asked["body"])
    return shown


def _adopt_answer(pbx: Pbx, fresh: Fresh, path: str, body: Any) -> set[str]:
    if path == "/channels":
        legs = [fresh.event(drawn) for drawn in body]
        for drawn in legs:
            drawn.pop("asterisk_id")
            _adopt_leg(pbx, drawn)
        return {str(drawn["id"]) for drawn in legs}
    if path == "/bridges":
        for drawn in [fresh.event(drawn) for drawn in body]:
            drawn.pop("asterisk_id")
            _adopt_bridge(pbx, drawn, gone=False)
    elif path == "/asterisk/info":
        told = fresh.event({"at": body["status"]["startup_time"]})["at"]
        pbx.started = datetime.strptime(told, "%Y-%m-%dT%H:%M:%S.%f%z")
    elif "/variable?variable=" in path:
        leg, _, variable = path.removeprefix("/channels/").partition("/variable?variable=")
        told = fresh.event({"leg": leg, "value": body["value"]})
        pbx.channels[told["leg"]].variables[unquote(variable)] = told["value"]
    return set()


def adopt(pbx: Pbx, event: Json) -> set[str]:
    """Let the world become what a recorded event says; answers the ids of the legs in it."""
    legs: dict[str, Json] = {event[key]["id"]: event[key] for key in LEGS if "id" in event.get(key, {})}
    for drawn in legs.values():
        _adopt_leg(pbx, drawn)
    kind = str(event["type"])
    if "bridge" in event:
        _adopt_bridge(pbx, event["bridge"], gone=kind == "BridgeDestroyed")
    if kind == "ChannelVarset" and "channel" in event:
        pbx.channels[event["channel"]["id"]].variables[event["variable"]] = event["value"]
    if kind == "ChannelDestroyed":
        pbx.channels.pop(event["channel"]["id"], None)
    if kind in ("PeerStatusChange", "ContactStatusChange"):
        _adopt_phone(pbx, event["endpoint"], event.get("contact_info") or {})
    return set(legs)


def _adopt_leg(pbx: Pbx, drawn: Json) -> None:
    leg = pbx.channels.get(drawn["id"])
    if leg is None:
        created = datetime.strptime(drawn["creationtime"], "%Y-%m-%dT%H:%M:%S.%f%z")
        leg = Channel(drawn["id"], drawn["name"], drawn["state"], created, drawn["caller"])
        pbx.channels[leg.id] = leg
    leg.state, leg.drawn = drawn["state"], drawn
    variables: dict[str, Any] = drawn.get("channelvars") or {}
    leg.linked_id = str(variables.get("CHANNEL(linkedid)") or leg.linked_id or leg.id)
    leg.exten = drawn["dialplan"]["exten"]


def _adopt_bridge(pbx: Pbx, drawn: Json, *, gone: bool) -> None:
    if gone:
        pbx.bridges.pop(drawn["id"], None)
        return
    created = datetime.strptime(drawn["creationtime"], "%Y-%m-%dT%H:%M:%S.%f%z")
    bridge = pbx.bridges.setdefault(drawn["id"], Bridge(drawn["id"], created))
    bridge.drawn, bridge.channels = drawn, list(drawn["channels"])


def _adopt_phone(pbx: Pbx, endpoint: Json, contact: Json) -> None:
    number = str(endpoint["resource"])
    phone = pbx.phones.setdefault(number, Phone(number))
    phone.online = endpoint["state"] == "online"
    phone.uri = str(contact.get("uri", phone.uri)) if phone.online else ""
