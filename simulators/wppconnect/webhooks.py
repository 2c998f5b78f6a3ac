"""Webhooks of the server: one POST for each event, fired and forgotten, in no order that can be relied on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from simulators.wppconnect.doors import upload
from simulators.wppconnect.models import Json

if TYPE_CHECKING:
    from simulators.wppconnect.host import Host

JSON_TYPE = {"Content-Type": "application/json"}
SOCKETS = 512  # a process may not open more than some thousand files
HEADERS = {"Accept": "application/json, text/plain, */*", "User-Agent": "axios/1.21.1", **JSON_TYPE}


@dataclass
class Sent:
    """One webhook as it left, or as it was lost. `status` is 0 while no answer came."""

    session: str
    event: str
    url: str
    body: Json
    status: int = 0
    lost: str = ""


@dataclass
class Webhooks:
    """The sender. `sent` keeps the last ones, for tests and for the control port."""

    host: Host
    sent: deque[Sent] = field(default_factory=lambda: deque[Sent](maxlen=5_000))
    counts: dict[str, int] = field(default_factory=dict[str, int])
    _client: aiohttp.ClientSession | None = None
    _held: dict[str, list[Callable[[], None]]] = field(default_factory=dict[str, list[Callable[[], None]]])

    def send(
        self,
        session: str,
        url: str,
        body: Json,
        *,
        after_s: float = 0.0,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Post one event, after `after_s` for its media; `then` is called when it was taken with 2xx."""
        one = Sent(session, str(body["event"]), url, body)
        self.counts[one.event] = self.counts.get(one.event, 0) + 1
        self.sent.append(one)
        rules = self.host.rules
        if not url:
            one.lost = "nobody asked for it"
            return
        rule = rules.take("webhook_lost", session=session)
        if rule is not None and self.host.random.random() < rule.number("share", 1.0):
            one.lost = "webhook_lost"
            return
        if (rule := rules.take("webhook_delay", session=session)) is not None:
            after_s += rule.number("delay_s", 30.0)

        def fire() -> None:
            self.host.spawn(self._post(one, after_s, then))

        if (rule := rules.take("webhook_reorder", session=session)) is not None:
            self._hold(session, fire, int(rule.number("window", 3)), rule.number("hold_s", 1.0))
        else:
            fire()

    def _hold(self, session: str, fire: Callable[[], None], window: int, hold_s: float) -> None:
        """Let so many wait for each other, then let them go in another order."""
        held = self._held.setdefault(session, [])
        held.append(fire)
        if len(held) >= window:
            self._release(session)
        elif len(held) == 1:
            self.host.spawn(self._release_later(session, hold_s))

    def _release(self, session: str) -> None:
        held = self._held.pop(session, [])
        backwards = held[::-1]
        self.host.random.shuffle(held)
        for fire in held if len(held) > 2 else backwards:
            fire()

    async def _release_later(self, session: str, hold_s: float) -> None:
        await self.host.clock.sleep(hold_s)
        self._release(session)

    async def _post(self, one: Sent, after_s: float, then: Callable[[], None] | None) -> None:
        if after_s > 0:
            await self.host.clock.sleep(after_s)
        if self._client is None:
            timeout = aiohttp.ClientTimeout(total=None)
            self._client = aiohttp.ClientSession(
                timeout=timeout, connector=aiohttp.TCPConnector(limit=SOCKETS), headers=HEADERS
            )
        try:
            async with self._client.post(one.url, data=upload(one.body)) as answer:
                one.status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            one.lost = type(error).__name__  # axios rejects, the server logs it, nobody tries again
            return
        if 200 <= one.status < 300 and then is not None:
            then()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
