"""Folds heard events for the tests: recordings, captures of our own, and streams made by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from atalaia.clock import rfc3339
from atalaia.connectors.asterisk import wire
from atalaia.connectors.asterisk.capture import open_capture, read_capture
from atalaia.connectors.asterisk.directory import Client, Directory, Endpoint, RingGroup, Rules
from atalaia.connectors.asterisk.interpret import AsteriskInterpreter
from atalaia.connectors.asterisk.ledger import Ledger
from atalaia.events.model import Event, Fact, Heard
from atalaia.reactions.interpreter import Memory

OWN = Path(__file__).parent / "captures"
RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "contracts" / "asterisk"
T0 = 1_795_000_000_000
CONNECTION = "voip1"


def world(**rules: Any) -> Directory:
    """A client with apartments, a smartphone, an IA and ring groups, and one who wants no pushes."""
    clients = [Client("112", "Residencial", "cliente112"), Client("113", "Modelo", "cliente113", push=False)]
    clients.append(Client("114", "Carga", "cliente114"))
    numbers = {
        "1121001": "apto", "1121002": "apto", "1121003": "apto", "1122001": "ring-member",
        "1122002": "ring-member", "1123001": "unidade", "1129001": "ia", "1121": "apto",
        "1122003": "ring-member", "1131001": "apto", "1133001": "unidade",
    }  # fmt: skip
    endpoints = [
        Endpoint(one, "113" if one.startswith("113") else "112", kind) for one, kind in numbers.items()
    ]
    groups = [
        RingGroup(one, "112", members=("1122001", "1122002")) for one in ("1128001", "1128002", "1128009")
    ]
    return Directory(
        {one.code: one for one in clients},
        {one.number: one for one in endpoints},
        {one.number: one for one in groups},
        rules=Rules(**rules),
    )


class Fold:
    """An interpreter and its memory, fed by hand; keeps every fact."""

    def __init__(self, directory: Directory | None = None, connection: str = CONNECTION) -> None:
        self.connection = connection
        self.memory = Memory()
        self.facts: list[Fact] = []
        self._seq = itertools.count(1)
        self.interpreter = AsteriskInterpreter(connection, self.memory)
        body = orjson.dumps((directory or world()).to_body()).decode()
        self.take(Heard(wire.DIRECTORY, "", T0, body))

    def take(self, *events: Heard) -> list[Fact]:
        """Fold events and answer the facts that are new."""
        found: list[Fact] = []
        for heard in events:
            seq = next(self._seq)
            at_ms = heard.occurred_ms
            event = Event(
                seq,
                str(seq),
                "heard",
                heard.type,
                heard.key,
                self.connection,
                at_ms,
                at_ms,
                None,
                False,
                heard.body,
            )
            self.memory.mark()
            found.extend(self.interpreter.take(event))
        self.facts.extend(found)
        return found

    def restart(self) -> None:
        """Go on as a hub does that was killed: from what the memory saved, and nothing else."""
        saved = {key: self.memory.get(key) for key in self.memory.keys("")}
        self.memory = Memory(json.loads(json.dumps(saved)))
        self.interpreter = AsteriskInterpreter(self.connection, self.memory)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.connection, self.memory)

    def calls(self) -> list[list[Fact]]:
        """Answer the facts of each call, in order of opening."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            if fact.type.startswith("call."):
                found.setdefault(fact.key, []).append(fact)
        return list(found.values())

    def last(self) -> list[dict[str, Any]]:
        """Answer what the last fact of each call says."""
        return [dict(facts[-1].data) for facts in self.calls()]

    def of_type(self, name: str) -> list[dict[str, Any]]:
        return [dict(fact.data) for fact in self.facts if fact.type == name]


def states(facts: Iterable[Fact]) -> list[str]:
    """Answer the states that a consumer sees."""
    return [str(fact.data["channelstatus"]) for fact in facts]


def heard_in(path: Path) -> list[Heard]:
    """Answer what a capture holds, with the ends of its readings."""
    return [line.heard for line in read_capture(open_capture(path)) if line.heard]


def stamp(ms: int) -> str:
    """Answer a time as Asterisk writes it."""
    return rfc3339(ms).replace("Z", "+0000")


class Stream:
    """Makes the events of an Asterisk by hand; `at` is in milliseconds since the stream's beginning."""

    def __init__(self, *, system: str = "voip1", start_ms: int = T0) -> None:
        self._system = system
        self._start_ms = start_ms
        self._count = 0

    def channel(self, name: str, exten: str = "s", state: str = "Down", **more: Any) -> dict[str, Any]:
        """Make a channel object with a fresh id and name: `channel("1121001", "1121002")`."""
        number = more.pop("number", name)
        ident = more.pop("id", f"{self._system}-{self._start_ms // 1000}.{self._count}")
        full = name if "/" in name else f"PJSIP/{name}-{self._count:08x}"
        self._count += 1
        plan = {
            "context": "from-endpoints",
            "exten": exten,
            "priority": 1,
            "app_name": more.pop("app", ""),
            "app_data": "",
        }
        return {
            "id": ident, "name": full, "state": state, "caller": {"name": "", "number": number},
            "connected": {"name": "", "number": ""}, "dialplan": plan,
            "creationtime": stamp(self._start_ms), **more,
        }  # fmt: skip

    def event(self, kind: str, at: int, **fields: Any) -> Heard:
        body = {"type": kind, "timestamp": stamp(self._start_ms + at), "application": "atalaia", **fields}
        return wire.heard(orjson.dumps(body), self._start_ms + at)

    def created(self, channel: dict[str, Any], at: int = 0) -> Heard:
        return self.event("ChannelCreated", at, channel=channel)

    def destroyed(self, channel: dict[str, Any], at: int, cause: int = 16) -> Heard:
        return self.event("ChannelDestroyed", at, channel=channel, cause=cause, cause_txt="")

    def varset(self, channel: dict[str, Any], variable: str, value: str, at: int = 0) -> Heard:
        return self.event("ChannelVarset", at, channel=channel, variable=variable, value=value)

    def dials(self, channel: dict[str, Any], at: int = 0) -> Heard:
        return self.varset(channel, "DIALEDPEERNUMBER", "", at)

    def dial(self, caller: dict[str, Any] | None, peer: dict[str, Any], at: int, status: str = "") -> Heard:
        fields = {"caller": caller} if caller else {}
        return self.event("Dial", at, peer=peer, dialstatus=status, dialstring="", forward="", **fields)

    def up(self, channel: dict[str, Any], at: int) -> Heard:
        return self.event("ChannelStateChange", at, channel={**channel, "state": "Up"})

    def hangup(self, channel: dict[str, Any], at: int, cause: int = 16, *, soft: bool = False) -> Heard:
        more = {"soft": True} if soft else {}
        return self.event("ChannelHangupRequest", at, channel=channel, cause=cause, **more)

    def peer(self, endpoint: str, status: str, at: int) -> Heard:
        state = "online" if status in {"Reachable", "Registered"} else "offline"
        end = {"technology": "PJSIP", "resource": endpoint, "state": state, "channel_ids": []}
        return self.event("PeerStatusChange", at, endpoint=end, peer={"peer_status": status})

    def contact(self, endpoint: str, uri: str, at: int, status: str = "NonQualified") -> Heard:
        end = {"technology": "PJSIP", "resource": endpoint, "state": "online", "channel_ids": []}
        info = {"uri": uri, "contact_status": status, "aor": endpoint, "roundtrip_usec": "0"}
        return self.event("ContactStatusChange", at, endpoint=end, contact_info=info)

    def control(self, word: str, at: int, **more: Any) -> Heard:
        return Heard(wire.CONTROL, "", self._start_ms + at, orjson.dumps({"control": word, **more}).decode())

    def reading(
        self, at: int, *, channels: list[dict[str, Any]], bridges: list[dict[str, Any]] | None = None,
        recordings: dict[str, Any] | None = None, endpoints: dict[str, str] | None = None,
        started_at: int = -10_000,
    ) -> Iterator[Heard]:  # fmt: skip
        """Make a reading by REST, from the info to the word that it is complete."""
        info = {"status": {"startup_time": stamp(self._start_ms + started_at)}}
        parts: list[tuple[str, Any]] = [
            ("/asterisk/info", info),
            ("/channels", channels),
            ("/bridges", bridges or []),
        ]
        if endpoints is not None:
            rows = [{"technology": "PJSIP", "resource": name, "state": s} for name, s in endpoints.items()]
            parts.append(("/endpoints", rows))
        for path, answer in parts:
            body = {"method": "GET", "path": path, "status": 200, "body": answer}
            yield Heard(wire.REST, "", self._start_ms + at, orjson.dumps(body).decode())
        if recordings is not None:
            yield Heard(wire.RECORDINGS, "", self._start_ms + at, orjson.dumps(recordings).decode())
        yield self.control("snapshot", at)

    def bridge(self, at: int, *channels: dict[str, Any]) -> dict[str, Any]:
        ids = [one["id"] for one in channels]
        return {"id": f"bridge-{at}", "channels": ids, "creationtime": stamp(self._start_ms + at)}
