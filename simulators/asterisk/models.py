"""What lives inside the simulated Asterisk, and how ARI writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]


def ari_time(moment: datetime) -> str:
    """Answer `2026-11-20T20:48:56.130+0000`: ARI's timestamps have an offset without a colon."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}" + moment.strftime("%z")


@dataclass
class Phone:
    """One PJSIP endpoint. `known` is false for a database endpoint before the reload."""

    number: str
    account: str = ""
    title: str = ""
    online: bool = True
    uri: str = ""
    known: bool = True
    device_state: str = "NOT_INUSE"

    @property
    def caller(self) -> Json:
        return {"name": self.title or f"Ramal {self.number}", "number": self.number}


@dataclass
class Channel:
    """One leg. `state` is ARI's word: Down, Ring (a caller), Ringing (a callee), Up."""

    id: str
    name: str
    state: str
    created: datetime
    caller: Json
    account: str = ""
    connected: Json = field(default_factory=lambda: {"name": "", "number": ""})
    protocol_id: str = ""
    context: str = "from-endpoints"
    exten: str = "s"
    priority: int = 1
    app: str = ""
    app_data: str = ""
    linked_id: str = ""
    variables: dict[str, str] = field(default_factory=dict[str, str])
    bridge: Bridge | None = None
    home: tuple[str, str] = ("", "")  # the application it falls back to when the dialplan is over
    measured: bool = False  # its RTP statistics have been told
    drawn: Json | None = None  # a recorded channel keeps the shape it was recorded with

    @property
    def endpoint(self) -> str:
        """Answer the endpoint's number: the name between `/` and the last `-`."""
        return self.name.partition("/")[2].rpartition("-")[0]

    def as_ari(self, *, channelvars: bool) -> Json:
        """Answer the channel object as it stands in events and in `GET /channels`."""
        if self.drawn is not None:
            return self.drawn
        drawn: Json = {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "protocol_id": self.protocol_id,
            "caller": self.caller,
            "connected": self.connected,
            "accountcode": self.account,
            "dialplan": {
                "context": self.context,
                "exten": self.exten,
                "priority": self.priority,
                "app_name": self.app,
                "app_data": self.app_data,
            },
            "creationtime": ari_time(self.created),
            "language": "en",
        }
        if channelvars:
            drawn["channelvars"] = {
                "CHANNEL(linkedid)": self.linked_id,
                "MIXMONITOR_FILENAME": self.variables.get("MIXMONITOR_FILENAME", ""),
            }
        return drawn

    def variable(self, name: str) -> str | None:
        """Answer a variable as `GET /channels/ID/variable` would, or None if it was never set."""
        functions = {
            "CHANNEL(linkedid)": self.linked_id,
            "CHANNEL(uniqueid)": self.id,
            "CHANNEL(state)": self.state,
            "CALLERID(num)": str(self.caller["number"]),
            "UNIQUEID": self.id,
            "EXTEN": self.exten,
        }
        return functions.get(name) or self.variables.get(name)


@dataclass
class Bridge:
    """A mixing bridge; its creation time is the time of the answer."""

    id: str
    created: datetime
    technology: str = "simple_bridge"
    channels: list[str] = field(default_factory=list[str])
    drawn: Json | None = None

    def as_ari(self) -> Json:
        """Answer the bridge object as it stands in events and in `GET /bridges`."""
        if self.drawn is not None:
            return self.drawn
        return {
            "id": self.id,
            "technology": self.technology,
            "bridge_type": "mixing",
            "bridge_class": "basic",
            "creator": "",
            "name": "",
            "channels": sorted(self.channels),
            "creationtime": ari_time(self.created),
            "video_mode": "none",
        }
