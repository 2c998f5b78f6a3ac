"""Folds heard events for the tests: recordings, records of other software, and streams made by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from atalaia.connectors.traffilog.heard import heard
from atalaia.connectors.traffilog.interpret import TraffilogInterpreter
from atalaia.connectors.traffilog.protocol import Protocol
from atalaia.connectors.traffilog.wire import Action
from atalaia.events.log import to_event
from atalaia.events.model import Event, Fact, Heard
from atalaia.reactions.interpreter import Memory
from atalaia.store.store import Store
from atalaia.store.tables import HEARD, events
from tests.connectors.traffilog.ground import T0, TOKEN, dice, lines

CONNECTION = "fleet"


class Fold:
    """One interpreter with its memory; every event is also put through a memory that was saved and loaded."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.facts: list[Fact] = []
        self._seqs = itertools.count(1)

    def hear(self, *told: Heard) -> list[Fact]:
        """Fold events; answer their facts."""
        new: list[Fact] = []
        for one in told:
            saved = orjson.loads(
                orjson.dumps({key: self.memory.get(key) for key in list(self.memory.keys())})
            )
            self.memory = Memory(saved)
            new += TraffilogInterpreter(CONNECTION, self.memory).take(event(next(self._seqs), one))
        self.facts += new
        return new

    def of(self, fact_type: str) -> list[Fact]:
        return [one for one in self.facts if one.type == fact_type]


def event(seq: int, one: Heard) -> Event:
    at_ms = one.occurred_ms
    return Event(
        seq, str(seq), "heard", one.type, one.key, CONNECTION, at_ms, at_ms, None, one.late, one.body
    )


def heard_in(path: Path) -> Iterator[Heard]:
    """Answer what a session would have written down of a recording; its ids are those of our own requests."""
    protocol = Protocol(TOKEN, dice())
    ours: dict[str, str] = {}
    for line in lines(path):
        at_ms = T0 + line["t_ms"]
        if line["dir"] == "out":
            sent = line["json"]["action"]
            asked = {k: v for k, v in sent["parameters"].items() if k not in ("_action_name", "mtkn")}
            ours[sent["mtkn"]] = protocol.ask(Action(sent["name"], asked), at_ms, awaited=False).mtkn
            continue
        text: str = line["raw"] or orjson.dumps(line["json"]).decode()
        for theirs, own in ours.items():
            text = text.replace(f'"{theirs}"', f'"{own}"')
        for came in protocol.take(text):
            yield heard(came, at_ms)


def push(source: str, *rows: dict[str, Any], vehicle: str = "2900108", at_ms: int = T0) -> Heard:
    properties = {"action_name": "refresh", "data_source": source, "mtkn": "-1", "data": list(rows)}
    body = {"request": None, "properties": properties, "job": ""}
    return Heard(f"traffilog.{source}", vehicle, at_ms, orjson.dumps(body).decode())


def answer(
    name: str,
    *rows: dict[str, Any],
    asked: dict[str, Any] | None = None,
    value: str = "0",
    vehicle: str = "2900108",
    at_ms: int = T0,
    job: str = "",
) -> Heard:
    properties = {"action_name": name, "mtkn": "17", "data": list(rows), "action_value": value}
    request = {"name": name, "parameters": asked or {}}
    body = {"request": request, "properties": properties, "job": job}
    return Heard(f"traffilog.answer.{name}", vehicle, at_ms, orjson.dumps(body).decode())


def message(raw: str, *, inbound: str = "1", vehicle: str = "2900108", at_ms: int = T0) -> Heard:
    return push("UNIT_MESSAGES", {"raw_message": raw, "inbound": inbound}, vehicle=vehicle, at_ms=at_ms)


def said(payload: str) -> str:
    """Answer a unit's message with this payload."""
    return (
        "(0000000920001747,16,310526151324,3,86,11,-18271928,-043992804,0,158,136793856,0,120022,000000001133,,"
        f"W2O,{payload})"
    )


def told(payload: str) -> str:
    """Answer a message to a unit with this payload."""
    return f"(o2w,{len(payload)},{payload})"


def status(progress: str, status: str = "In Progress", *, error: str = " ", at_ms: int = T0) -> Heard:
    row = {"status": status, "progress": progress, "type": "Scheme Builder", "error": error, "retries": "0"}
    return push("UNIT_CONFIG_STATUS", row, at_ms=at_ms)


def queued(process_id: str = "10422606", *, toggle: str = "1", at_ms: int = T0, job: str = "") -> Heard:
    asked = {"client_id": "310209", "process_id": process_id, "comment": "Installed", "toggle_check": toggle}
    return answer("execute_action_opr", asked=asked, at_ms=at_ms, job=job)


def types(facts: Iterable[Fact]) -> list[str]:
    return [one.type for one in facts]


async def told_again(store: Store, like: str = "traffilog.%") -> list[Heard]:
    """Answer what a store's log holds as heard, to be folded by hand."""
    query = select(events).where(events.c.family == HEARD, events.c.type.like(like)).order_by(events.c.seq)
    found = await store.read(lambda tx: [to_event(row) for row in tx.execute(query)])
    return [Heard(one.type, one.key, one.occurred_ms, one.body) for one in found]
