"""Judges the silence of a session that has no ladder: a suspicion makes it look, and nothing else.

A session that others run is looked after by `recovery.Recovery`, which judges the same way and may act. Where
the session is our own line, what a look proves wrong ends it, and the next one is opened like after any loss.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from zoneinfo import ZoneInfo

import structlog

from atalaia.clock import to_ms
from atalaia.connections.recovery import Found
from atalaia.connections.session import SessionPort
from atalaia.connections.silence import SilenceRules, Suspicion, judge
from atalaia.errors import StoreUnavailable

log = structlog.get_logger(__name__)
UTC_ZONE = ZoneInfo("UTC")


class Watch:
    """Runs until cancelled. probe: finds out how things are; it changes nothing, and may end the session.

    watched: kinds of `Connector.rhythms` whose absence alone is a loss. zone: of the account's week; which
    one makes no difference where clocks are never changed.
    """

    def __init__(
        self, port: SessionPort, probe: Callable[[Suspicion], Awaitable[Found]], *, watched: tuple[str, ...],
        zone: ZoneInfo = UTC_ZONE, rules: SilenceRules | None = None,
        every: timedelta = timedelta(minutes=1),
    ) -> None:  # fmt: skip
        self._port, self._probe = port, probe
        self._watched, self._zone, self._rules = watched, zone, rules or SilenceRules()
        self._every_s = every.total_seconds()
        self._clock = port.ambient.clock
        self._looked_ms: dict[str, int] = {}

    async def run(self) -> None:
        """Judge again and again. Errors: those of the probe, and `Fenced`."""
        while True:
            await self._clock.sleep(self._every_s)
            try:
                await self.once()
            except StoreUnavailable as error:
                log.warning("watch.store_unavailable", connection=self._port.connection, error=str(error))

    async def once(self) -> None:
        """Judge, look if the silence is suspicious, and write down what the look found."""
        rhythm, now_ms = await self._port.rhythm(), to_ms(self._clock.now())
        why = judge(rhythm, self._watched, now_ms, self._zone, self._rules, proven_ms=self._looked_ms)
        if why is None:
            return
        found = await self._probe(why)
        # Whatever it found, silence counts from here: a quiet day is one look now and then, not one a minute.
        self._looked_ms = dict.fromkeys(self._watched, to_ms(self._clock.now()))
        await self._port.tell("session.looked", asdict(found) | {"suspicion": asdict(why)})
