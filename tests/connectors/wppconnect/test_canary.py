"""Canaries: only to ourselves, proven by receipt and return, and nobody's conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
import pytest

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connections.session import PlaneState
from atalaia.connections.truth import Truth
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.canary import ACKED, CAME_BACK, NOBODY, NOT_ACKED, Canary, marked
from atalaia.connectors.wppconnect.door import Sent
from atalaia.connectors.wppconnect.hook import take_hook
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import PHONE, Wid, read_message_id
from atalaia.errors import InDoubt, Rejected
from atalaia.events.model import Appended, Heard
from atalaia.ids import CountedIds
from tests.connections.unasked import Unasked
from tests.connectors.wppconnect.ground import OWN, Account, message, own_message, types

PARTNER = "5511955500301"
TEXT = "Atalaia: sinal de teste 0a1b2c3d"


def settings(**changes: Any) -> WppconnectSettings:
    given = {"session_name": "alpha", "server_url": "http://127.0.0.1:9", "secret_key": "test-only-key"}
    return WppconnectSettings.model_validate(given | changes)


@dataclass
class MemoryPort(Unasked):
    """What a canary asks of the house. marks: those of events in the log."""

    ambient: Ambient
    connection: str = "c1"
    marks: set[str] = field(default_factory=set[str])
    seen: frozenset[str] = frozenset()
    planes: list[tuple[str, PlaneState, str]] = field(default_factory=list[tuple[str, PlaneState, str]])
    written: list[Heard] = field(default_factory=list[Heard])

    async def append(self, heard: Sequence[Heard], *, came_ms: int | None = None) -> list[Appended]:
        self.written += heard
        return [Appended(1) for _ in heard]

    def prove(self, plane: str, state: PlaneState, *, claim: str = "", **evidence: Any) -> None:
        if (plane, state, evidence["said"]) not in self.planes:
            self.planes.append((plane, state, evidence["said"]))

    async def known(self, starts: Sequence[str]) -> set[str]:
        return {start for start in starts if any(mark.startswith(start) for mark in self.marks)}

    async def accounts(self) -> frozenset[str]:
        return self.seen

    async def live(self, **evidence: Any) -> None: ...

    async def suspect(self, reason: str, /, *, kind: Truth = Truth.NONE, **evidence: Any) -> None: ...

    async def alert(self, cause: str, title: str, *, todo: str, **known: Any) -> None: ...

    async def calm(self, cause: str) -> None: ...


class Bird:
    """A canary with everything around it in memory."""

    def __init__(self, clock: HeldClock, **changes: Any) -> None:
        self.clock = clock
        self.port = MemoryPort(Ambient(clock, CountedIds(), Random(1)))
        self.sent: list[tuple[str, str]] = []
        self.answer: Sent | Exception = Sent(read_message_id(f"true_{OWN}_K1"), 0)
        self.suspected: list[Truth] = []
        self.canary = Canary(
            settings(**changes), self.port, self._send, lambda: Wid(OWN.partition("@")[0], PHONE),
            self.suspected.append,
        )  # fmt: skip

    async def _send(self, chat: Wid, text: str) -> Sent:
        self.sent.append((str(chat), text))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def sings(self, seconds: float = 90) -> None:
        import asyncio

        task = asyncio.create_task(self.canary.once())
        await self.clock.run_for(seconds)
        await task


async def test_its_receipt_proves_speaking_and_its_return_hearing(clock: HeldClock):
    bird = Bird(clock, canary_to="own")
    bird.port.marks = {"ack:true_K1:1:x", "message:true_K1:chat"}
    identity = bird.answer.id.identity  # type: ignore[union-attr]
    bird.port.marks = {f"ack:{identity}:1:x", f"message:{identity}:x"}
    await bird.sings()

    assert bird.sent[0][0] == OWN
    assert bird.port.planes == [("message_out", "proven", ACKED), ("message_in", "proven", CAME_BACK)]
    assert bird.suspected == []


async def test_a_missing_receipt_is_a_suspicion_with_its_evidence(clock: HeldClock):
    bird = Bird(clock, canary_to="own")
    await bird.sings()

    assert bird.port.planes == [("message_out", "failing", NOT_ACKED)]
    assert bird.suspected == [Truth.NO_ACK]
    assert bird.canary.missed is not None
    assert (bird.canary.missed.health, bird.canary.missed.kind) == ("sick", Truth.NO_ACK)
    bird.answer = Sent(read_message_id(f"true_{OWN}_K2"), 1)
    await bird.sings()
    assert bird.canary.missed is None, "the next one was acknowledged"


async def test_a_send_without_an_answer_is_a_suspicion_and_a_refused_one_is_shown(clock: HeldClock):
    bird = Bird(clock, canary_to="own")
    bird.answer = InDoubt("no answer")
    await bird.sings()
    assert bird.suspected == [Truth.NO_ACK]
    bird.answer = Rejected("no such number")
    await bird.sings()
    assert bird.suspected == [Truth.NO_ACK]
    assert bird.port.planes[-1] == ("message_out", "failing", "no such number")


async def test_only_a_session_of_this_hub_is_written_to(clock: HeldClock):
    bird = Bird(clock, canary_to=PARTNER)
    await bird.sings()
    assert bird.sent == []
    assert bird.port.planes == [("message_out", "unknown", NOBODY)]

    bird.port.seen = frozenset({f"{PARTNER[:4]}{PARTNER[5:]}@c.us"})  # as an older phone calls itself
    bird.answer = Sent(read_message_id(f"true_{PARTNER}@c.us_K1"), 1)
    await bird.sings()
    assert bird.sent[0][0] == f"{PARTNER}@c.us"


@pytest.mark.parametrize(
    ("body", "canary_to", "is_marked"),
    [
        (own_message("K1", chat=OWN, text=TEXT), "", True),
        (message("K1", chat=f"{PARTNER}@c.us", text=TEXT), PARTNER, True),
        (message("K1", text=TEXT), PARTNER, False),
        (message("K1", text=TEXT), "own", False),
        (own_message("K1", text=f"{TEXT} e mais"), "own", False),
    ],
)
def test_nobody_but_ourselves_can_hide_a_message_by_its_words(
    body: dict[str, Any], canary_to: str, is_marked: bool
):
    assert ("$canary" in marked(body, settings(canary_to=canary_to))) is is_marked


def test_neither_a_canary_nor_its_receipt_is_a_fact():
    account = Account()
    sent = read_message_id(f"true_{OWN}_K1")
    assert sent is not None
    hooked = take_hook(settings(), orjson.dumps(own_message("K1", chat=OWN, text=TEXT)), 1)
    told = account.take(heard.canary(sent, Wid(OWN.partition("@")[0], PHONE), 1))
    told += account.take(hooked.heard[0])
    told += account.hear({"event": "onack", "id": f"true_{OWN}_K1", "ack": 1, "to": OWN})
    assert types(told) == []
    assert types(account.hear(own_message("K2", text="olá"))) == ["message.sent"]


def test_whom_to_write_to_is_a_number_or_the_session_itself():
    assert settings(canary_to="OWN").canary_to == "own"
    assert settings(canary_to="+55 11 95550-0301").canary_to == PARTNER
    with pytest.raises(ValueError, match="not a phone number"):
        settings(canary_to="mother")
