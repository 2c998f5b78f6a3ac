"""A sender of tests: it takes what it is given, and notes what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from atalaia.desk.chats import outbox
from atalaia.desk.chats.outbox import Request
from atalaia.store.tables import connections


class Line:
    """Sends on one channel, or on all. taken: requests; asked: what people said of them later."""

    def __init__(self, channel: str = "") -> None:
        self.channel = channel
        self.numbers = "{}@c.us"
        self.taken: list[Request] = []
        self.asked: list[tuple[str, str]] = []

    def can_send(self, tx: Connection, channel: str) -> bool:
        return self.channel in ("", channel)

    def chat_of(self, tx: Connection, channel: str, number: str) -> str:
        return self.numbers.format(number)

    def first_channels(self, tx: Connection) -> frozenset[str]:
        ids = tx.scalars(select(connections.c.id)) if self.numbers else ()
        return frozenset(one for one in ids if self.channel in ("", one))

    def submit(self, tx: Connection, request: Request) -> str:
        assert outbox.get_request(tx, request.id) is not None  # stored before anything is asked of anybody
        self.taken.append(request)
        return f"job-{len(self.taken)}"

    def again(self, tx: Connection, request: Request, by: str) -> None:
        self.asked.append(("again", request.id))

    def happened(
        self, tx: Connection, request: Request, by: str, answer: Mapping[str, Any] | None = None
    ) -> None:
        self.asked.append(("happened", request.id))

    def call_off(self, tx: Connection, request: Request, by: str) -> None:
        self.asked.append(("call off", request.id))
