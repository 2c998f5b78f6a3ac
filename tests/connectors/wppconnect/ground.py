"""Recordings and small messages for the tests of the WhatsApp connector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.envelope import read_object
from atalaia.connectors.wppconnect.interpret import WppconnectInterpreter
from atalaia.events.model import Event, Fact, Heard
from atalaia.reactions.interpreter import Memory

CONTRACT = Path(__file__).resolve().parents[3].parent / "shared" / "contracts" / "wppconnect"
NUMBER = "551155500101@c.us"
LID = "150000000000101@lid"
OWN = "551155500201@c.us"
GROUP = "120363000000000777@g.us"
NOON_S = 1_767_960_000


def recording(name: str) -> Any:
    """Answer a recording beside the contract, by its path there."""
    return orjson.loads((CONTRACT / name).read_bytes())


def message(
    key: str, *, chat: str = NUMBER, kind: str = "chat", text: str = "bom dia", **more: Any
) -> dict[str, Any]:
    """Answer the body of an `onmessage` webhook. author: makes it a group's message."""
    author = more.get("author")
    serialized = f"false_{chat}_{key}" + (f"_{author}" if author else "")
    return {
        "event": "onmessage", "session": "alpha", "id": serialized, "type": kind, "body": text, "t": NOON_S,
        "from": chat, "to": OWN, "chatId": chat, "fromMe": False, **more,
    }  # fmt: skip


def own_message(key: str, *, chat: str = NUMBER, text: str = "já vai", **more: Any) -> dict[str, Any]:
    """Answer the body of an `onselfmessage` webhook."""
    return {
        "event": "onselfmessage", "session": "alpha", "id": f"true_{chat}_{key}", "type": "chat",
        "body": text, "t": NOON_S, "from": OWN, "to": chat, "chatId": chat, "fromMe": True, **more,
    }  # fmt: skip


class Account:
    """One account's log and interpreter: hears webhooks, answers the facts that were not known yet."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.marks: set[str] = set()
        self.known: set[tuple[str, str | None]] = set()
        self.seq = 0

    def hear(self, *bodies: dict[str, Any], late: bool = False) -> list[Fact]:
        return [fact for body in bodies for fact in self.take(self.heard(body, late=late))]

    def heard(self, body: dict[str, Any], *, late: bool = False) -> Heard:
        return heard.heard_of(read_object(body), NOON_S * 1000, late=late)

    def take(self, one: Heard) -> list[Fact]:
        if one.dedupe is not None:
            if one.dedupe in self.marks:
                return []
            self.marks.add(one.dedupe)
        self.seq += 1
        at = one.occurred_ms
        event = Event(
            self.seq, str(self.seq), "heard", one.type, one.key, "alpha", at, at, None, one.late, one.body
        )
        self.memory.mark()
        found = list(WppconnectInterpreter("alpha", self.memory).take(event))
        new = [fact for fact in found if (fact.type, fact.dedupe) not in self.known]
        self.known.update((fact.type, fact.dedupe) for fact in new)
        return new


def types(facts: list[Fact]) -> list[str]:
    return [fact.type for fact in facts]
