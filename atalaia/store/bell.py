"""Wake-ups: what was committed rings a bell, and who waits for it looks again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

LOG = "log"  # new events of any kind
FACTS = "facts"  # new facts
DELIVERIES = "deliveries"  # new or changed deliveries, subscriptions
LEASES = "leases"  # connections or owners changed
JOBS = "jobs"  # jobs: new, changed, decided
SECTIONS = "sections"  # a lock of `jobs.section` was given back


def facts_of(word: str) -> str:
    """Answer the topic of facts whose type begins with this word and a point, e.g. `call`."""
    return f"{FACTS}:{word}"


def heard_of(connector: str) -> str:
    """Answer the topic of events heard by the connections of one connector.

    Who needs only these or only facts waits for the narrow topic: a busy upstream then wakes nobody else.
    """
    return f"heard:{connector}"


class Bell:
    """Counts rings per topic; waiting never misses a ring that came since the count was read."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._listeners: dict[str, Callable[[Any], None]] = {}

    def count(self, topic: str) -> int:
        """Answer how often the bell rang; hand it to `wait` to hear only later rings."""
        return self._counts[topic]

    @contextmanager
    def listening(self, topic: str, take: Callable[[Any], None]) -> Generator[None]:
        """Call `take` with each item told about the topic in this process; one listener a topic."""
        self._listeners[topic] = take
        try:
            yield
        finally:
            if self._listeners.get(topic) is take:
                del self._listeners[topic]

    def tell(self, told: Iterable[tuple[str, Any]]) -> None:
        """Hand items to who listens, in their order. Call it on the event loop's thread."""
        for topic, item in told:
            if (take := self._listeners.get(topic)) is not None:
                take(item)

    def ring(self, topics: Iterable[str]) -> None:
        """Wake everyone who waits for one of the topics. Call it on the event loop's thread."""
        for topic in topics:
            self._counts[topic] += 1
            waiting = self._waiting.pop(topic, ())
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def wait(self, topic: str, since: int, *, at_most_s: float) -> int:
        """Wait until the topic rang after count `since`, or `at_most_s` of real time; answer the count.

        The time limit is real time on purpose: it is the net below a lost notification, not behaviour.
        """
        if self._counts[topic] > since:
            return self._counts[topic]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(future)
        try:
            # Not `wait_for`: Python 3.11's forgets a cancellation that comes together with the ring.
            async with asyncio.timeout(at_most_s):
                await future
        except TimeoutError:
            pass
        finally:
            self._waiting[topic].discard(future)
        return self._counts[topic]
