"""The alerts' part of one worker on a real database, with the clock in hand; channels take or refuse."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Connection, insert, select, update

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.desk.alerts.channels import Channel, Policy, create_channel
from atalaia.desk.alerts.damping import Damping
from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.alerts.notifier import LEASE, Notifier
from atalaia.desk.alerts.outbox import House
from atalaia.desk.alerts.queries import Incident, Notice, Wanted, list_incidents, list_notices
from atalaia.desk.alerts.sending import Message, Sent, Way
from atalaia.desk.people.model import By
from atalaia.events.gaps import Gaps
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.ids import SystemIds
from atalaia.reactions.folding import Folding
from atalaia.reactions.runner import catch_up
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox, new_key
from atalaia.store.leases import claim, release
from atalaia.store.store import Store
from atalaia.store.tables import connection_states, connections, events, workers

ANA = By("person", "p1", "Ana")
ALL_DAY = Policy(language="en", zone="America/Sao_Paulo", repeat_min=0)


@dataclass
class Pigeon:
    """A way that keeps what it was handed. refuse: what it says instead of taking; hang: never answers."""

    sent: list[tuple[str, Message]] = field(default_factory=list[tuple[str, Message]])
    refuse: str = ""
    hang: bool = False
    holding: asyncio.Event = field(default_factory=asyncio.Event)

    async def look(self, place: str) -> Sent:
        return Sent(True, "", place.partition(":")[0])

    async def send(self, place: str, message: Message) -> Sent:
        if self.hang:
            self.holding.set()
            await asyncio.Event().wait()
        if self.refuse:
            return Sent(False, self.refuse)
        self.sent.append((place, message))
        return Sent(True)

    def titles(self) -> list[str]:
        return [message.title for _, message in self.sent]


class Desk:
    """One worker's alerts. `start` may be repeated: each start is another worker."""

    def __init__(
        self, store: Store, clock: HeldClock, ways: dict[str, Way] | None = None,
        damping: Damping | None = None, **house: Any,
    ) -> None:  # fmt: skip
        self.store, self.clock = store, clock
        self.ambient = Ambient(clock=clock, ids=SystemIds(), random=Random(1))
        self.box = SecretBox([new_key()])
        self.pigeon = Pigeon()
        self.ways: dict[str, Way] = ways or {"apprise": self.pigeon}
        self.house = House(self.ambient, Redactor(), {"asterisk": "calls", "toy": "toys"}, **house)
        self.folds = [Folding(Alerts(damping), store, self.ambient), Folding(Gaps(), store, self.ambient)]
        self.notifier = Notifier(store, self.house, self.box, self.ways)
        self._workers = 0

    async def start(self) -> Desk:
        """Begin as a fresh worker; whoever held the lease before has lost it."""
        self.notifier.lost("")
        self._workers += 1

        def take(tx: Connection) -> int:
            [lease] = claim(tx, [LEASE], f"w{self._workers}", ttl_ms=10**9, process_ms=self.now(), most=1)
            release(tx, [lease], f"w{self._workers}")
            return lease.epoch

        epoch = await self.store.write(take)
        self.notifier = Notifier(self.store, self.house, self.box, self.ways)
        await self.notifier.begin(epoch)
        return self

    def now(self) -> int:
        return to_ms(self.clock.now())

    async def fold(self) -> None:
        await catch_up(self.folds)

    async def turn(self) -> None:
        """Fold, look once, fold what came of it, and let everything be sent."""
        await catch_up(self.folds)
        await self.notifier.turn()
        await self.notifier.settled()
        await catch_up(self.folds)

    async def pass_s(self, seconds: float, *, every_s: float = 5) -> None:
        """Let time pass, looking as often as the worker does."""
        left = seconds
        while left > 0:
            await self.clock.run_for(min(every_s, left), settle=1)
            left -= every_s
            await self.turn()

    async def tell(self, *facts: Fact, connection: str = "") -> None:
        await self.store.write(
            lambda tx: append_facts(tx, self.ambient, "test", facts, connection=connection)
        )

    async def raised(self, cause: str, title: str = "", *, connection: str = "", **data: Any) -> None:
        given = {
            "cause": cause,
            "title": title or f"{cause} is wrong.",
            "detail": data.pop("detail", {}),
            **data,
        }
        await self.tell(Fact("alert.raised", cause, self.now(), given), connection=connection)

    async def resolved(self, cause: str) -> None:
        await self.tell(Fact("alert.resolved", cause, self.now(), {"cause": cause}))

    async def channel(
        self, name: str = "Night watch", place: str = "json://example.com/x", **policy: Any
    ) -> Channel:
        chosen = Policy(**{**ALL_DAY.to_json(), "worlds": (), "connections": (), **policy})
        return await self.store.write(
            lambda tx: create_channel(
                tx, self.ambient, self.box, name=name, place=place, hint="JSON", policy=chosen, by=ANA
            )
        )

    async def connection(self, identity: str, state: str = "live", **values: Any) -> None:
        """Put a connection into a state, as its keeper would."""
        now = self.now()
        row = {
            "id": identity, "connector": values.pop("connector", "asterisk"),
            "name": values.pop("name", identity.upper()), "settings": "{}", "secrets": "", "desired": "on",
            "created_ms": now, "changed_ms": now, "deleted_ms": None,
        }  # fmt: skip
        told = {"reason": "", "evidence": "{}", "attempt": 1, "epoch": 1, "heard_ms": now, **values}

        def write(tx: Connection) -> None:
            known = tx.scalar(select(connections.c.id).where(connections.c.id == identity))
            change = {"state": state, "since_ms": now, **told}
            if known is None:
                tx.execute(insert(connections).values(row))
                tx.execute(insert(connection_states).values(connection=identity, **change))
            else:
                where = connection_states.c.connection == identity
                tx.execute(update(connection_states).where(where).values(change))

        await self.store.write(write)

    async def gap(self, connection: str) -> None:
        """Open a gap from now on."""
        data = {"id": f"g-{connection}", "from_ms": self.now(), "cause": "cut", "planes": ["socket"]}
        await self.tell(Fact("gap.opened", connection, self.now(), data), connection=connection)

    async def alerts(self, state: str = "all") -> list[Incident]:
        return await self.store.read(lambda tx: list_incidents(tx, Wanted(state), self.now()))

    async def notices(self) -> list[Notice]:
        return list(reversed(await self.store.read(list_notices)))

    async def turn_without_waiting(self, seconds: float) -> None:
        """Let time pass and look once, without waiting until everything is sent."""
        await catch_up(self.folds)
        await self.clock.run_for(seconds, settle=1)
        await self.notifier.turn()

    async def facts(self, *types: str) -> list[Any]:
        query = select(events.c.type, events.c.key, events.c.body).where(events.c.type.in_(types))
        return await self.store.read(lambda tx: list(tx.execute(query.order_by(events.c.seq))))

    async def worker(self, identity: str, host: str, *, gone: bool = False) -> None:
        now = self.now()
        row = {
            "id": identity, "host": host, "pid": 7, "version": "1", "git_sha": "", "started_ms": now,
            "seen_ms": now, "gone_ms": now + 20_000 if gone else None,
        }  # fmt: skip
        await self.store.write(lambda tx: tx.execute(insert(workers).values(row)))

    async def switch_off(self, identity: str) -> None:
        change = update(connections).where(connections.c.id == identity).values(desired="off")
        await self.store.write(lambda tx: tx.execute(change))
