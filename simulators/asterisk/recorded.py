"""Plays a recorded event stream again: new ids, new times, and a world that keeps up with it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    With `controls` the client's connection is cut where the capture lost it. Legs that the capture
    never saw end are gone silently when it is over.
    """
    lines = read_capture(path)
    first = float(lines[0]["received"])
    begun, now = sim.clock.monotonic(), sim.pbx.now()
    fresh = Fresh(sim.pbx, now - datetime.fromtimestamp(first, tz=now.tzinfo))
    seen: set[str] = set()
    for line in lines:
        wait = float(line["received"]) - first - (sim.clock.monotonic() - begun)
        if wait > 0:
            await sim.clock.sleep(wait)
        if "event" in line:
            event = fresh.event(line["event"])
            seen |= adopt(sim.pbx, event)
            sim.hub.tell(event)
        elif controls and line.get("control") == "disconnected":
            await sim.faults.start("drop")
    for leg in seen:
        sim.pbx.channels.pop(leg, None)
    for bridge in [one for one in sim.pbx.bridges.values() if seen.intersection(one.channels)]:
        del sim.pbx.bridges[bridge.id]


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
