"""Senders with a ledger: what the hub has acknowledged must reach every consumer, in order per key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PAUSE_S = 0.03
NOT_TAKEN = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Ledger:
    """Acknowledged events by key: `acked[key]` = n means that 1 to n were answered with 2xx.

    A sender has one event on its way and repeats it until it is taken, as a careful client does.
    """

    token: str
    connection: str
    urls: Callable[[], list[str]]
    acked: dict[str, int] = field(default_factory=dict[str, int])
    unanswered: int = 0
    refused: int = 0

    async def send_on(self, key: str, dice: random.Random) -> None:
        """Send one event after the other until cancelled."""
        timeout = aiohttp.ClientTimeout(total=5)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/cloudevents+json",
        }
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            while True:
                number = self.acked.get(key, 0) + 1
                while not await self._is_taken(session, dice, _event(key, number)):
                    await asyncio.sleep(PAUSE_S)
                self.acked[key] = number
                await asyncio.sleep(PAUSE_S * dice.random())

    async def _is_taken(
        self, session: aiohttp.ClientSession, dice: random.Random, event: dict[str, Any]
    ) -> bool:
        urls = self.urls()
        if not urls:
            return False
        try:
            address = f"{dice.choice(urls)}/api/intake/{self.connection}"
            async with session.post(address, json=event) as answer:
                if answer.status in (200, 202):
                    return True
                assert answer.status == 503, await answer.text()
                self.refused += 1
        except NOT_TAKEN:
            self.unanswered += 1
        return False

    @property
    def total(self) -> int:
        return sum(self.acked.values())

    def is_in(self, seen: Iterable[tuple[str, int]]) -> bool:
        """Answer whether everything acknowledged is there.

        Counting is not enough: what was on its way at the end may be there without an answer, for another.
        """
        there = set(seen)
        return all(
            (key, number) in there for key, last in self.acked.items() for number in range(1, last + 1)
        )

    def check(self, consumer: str, seen: Iterable[tuple[str, int]]) -> None:
        """Compare with what one consumer got: nothing acknowledged is missing, every key in order.

        seen: key and number of each message in order of arrival; repeats are dropped here, as consumers do.
        """
        numbers: dict[str, dict[int, None]] = {}
        for key, number in seen:
            numbers.setdefault(key, {})[number] = None
        for key, last in self.acked.items():
            got = list(numbers.get(key, ()))
            assert got == sorted(got), f"{consumer}: {key} out of order: {_first_fall(got)}"
            # The one that was on its way at the end may have been taken without an answer.
            assert got[:last] == list(range(1, last + 1)), f"{consumer}: {key} has gaps among {last}"
            assert len(got) <= last + 1


def entry(message: dict[str, Any]) -> tuple[str, int]:
    """Answer key and number of a delivered CloudEvent, whose data is the event as it was sent in."""
    data = message["data"].get("data") or message["data"]
    return data["key"], data["number"]


def _event(key: str, number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{key}-{number}",
        "source": "/journeys",
        "type": "ledger.entry",
        "subject": key,
        "data": {"key": key, "number": number},
    }


def _first_fall(numbers: list[int]) -> list[int]:
    falls = (place for place in range(1, len(numbers)) if numbers[place] < numbers[place - 1])
    place = next(falls, 0)
    return numbers[max(0, place - 2) : place + 2]
