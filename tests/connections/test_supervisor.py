"""Connections are kept by whoever owns them, restarted when their settings change, handed over in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel, SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connections.keeper import Keeper, Kind
from atalaia.connections.registry import Registry
from atalaia.connections.supervisor import AGAIN_S, Supervisor
from atalaia.errors import ConfigError, Fenced, StoreUnavailable
from atalaia.events.gaps import Gaps
from atalaia.events.log import EventLog
from atalaia.events.model import Heard
from atalaia.events.policy import Policies
from atalaia.reactions.folding import Folding
from atalaia.reactions.runner import catch_up
from atalaia.store.ownership import TTL_S, Ownership
from atalaia.store.store import Store
from atalaia.store.tables import connections
from tests.connections.rig import PACE, PLANES, Plain, Rough, Settings, Upstream, data, read_facts, until
from tests.store.bases import Base

SILENCE = timedelta(seconds=30)


class Strict(BaseModel):
    url: str
    password: SecretStr = SecretStr("hush")
    port: int


class Hub:
    """One worker: supervisor and ownership over a database that others may share."""

    def __init__(
        self, store: Store, clock: HeldClock, ambient: Ambient, name: str = "one", *, alone: bool = False
    ) -> None:
        self.store, self.clock, self.ambient = store, clock, ambient
        self.upstream = Upstream()
        self.registry = Registry({"x": Settings, "strict": Strict}, Plain())
        self.log = EventLog(store, ambient, Policies({}, {}))
        kind = Kind(self.upstream.run, PLANES, SILENCE)
        self.ownership = Ownership(store, ambient, name, alone=alone)
        self.supervisor = Supervisor(
            self.log, ambient, self.registry, {"x": kind, "strict": kind}, self.ownership, PACE
        )
        self._running = asyncio.ensure_future(self.supervisor.run())

    async def add(
        self, identity: str = "c1", connector: str = "x", settings: BaseModel | None = None
    ) -> None:
        now = to_ms(self.clock.now())
        await self.store.write(
            lambda tx: self.registry.create(tx, identity, connector, "Gate", settings or Settings(), now)
        )
        await self.ownership.beat()

    async def change(self, identity: str = "c1", **what: Any) -> None:
        await self.clock.run_for(0.01)
        now = to_ms(self.clock.now())
        await self.store.write(lambda tx: self.registry.change(tx, identity, now, **what))

    async def types(self, identity: str = "c1") -> list[str]:
        return [fact.type for fact in await read_facts(self.store) if fact.connection == identity]

    async def seen(self, kind: str, count: int = 1) -> None:
        while (await self.types()).count(kind) < count:
            await asyncio.sleep(0)

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


@pytest_asyncio.fixture
async def hub(sqlite: Base, clock, ambient):
    hub = Hub(await sqlite.open(), clock, ambient)
    yield hub
    await hub.stop()


async def test_a_connection_that_is_configured_is_kept(hub: Hub):
    await hub.add()
    session = await hub.upstream.opened(1)
    await session.lives()
    await hub.seen("connection.live")
    assert session.settings == Settings()
    assert hub.supervisor.keepers["c1"].configured.name == "Gate"


async def test_a_connection_that_is_switched_off_is_closed_and_on_again_opened(hub: Hub):
    await hub.add()
    session = await hub.upstream.opened(1)
    await hub.change(desired="off")
    await hub.ownership.beat()
    await hub.seen("connection.stopped")
    assert session.closed
    assert hub.supervisor.keepers == {}

    await hub.change(desired="on")
    await hub.ownership.beat()
    await hub.upstream.opened(2)
    assert hub.upstream.at_most == 1


@pytest.mark.parametrize("how", ["off", "deleted", "still on"])
async def test_what_a_session_raised_goes_with_a_connection_that_nobody_wants_any_more(hub: Hub, how: str):
    await hub.add()
    session = await hub.upstream.opened(1)
    await session.port.alert("x.mute:c1", "Gate is mute.", todo="Restart it.")
    if how == "off":
        await hub.change(desired="off")
    elif how == "deleted":
        await hub.store.write(lambda tx: hub.registry.delete(tx, "c1", 5))
    else:
        await hub.supervisor.stop()
    await hub.ownership.beat()
    await hub.seen("connection.stopped")
    assert ("alert.resolved" in await hub.types()) is (how != "still on")


async def test_a_deleted_connection_is_closed(hub: Hub):
    await hub.add()
    session = await hub.upstream.opened(1)
    await hub.store.write(lambda tx: hub.registry.delete(tx, "c1", 5))
    await hub.ownership.beat()
    await hub.seen("connection.stopped")

    assert session.closed
    assert hub.supervisor.keepers == {}


async def test_changed_settings_open_a_new_session_once_the_old_one_is_closed(hub: Hub):
    await hub.add()
    old = await hub.upstream.opened(1)

    await hub.change(settings=Settings(url="ws://elsewhere"))

    new = await hub.upstream.opened(2)
    assert old.closed
    assert new.settings.url == "ws://elsewhere"
    assert hub.upstream.at_most == 1


async def test_settings_that_cannot_be_read_raise_an_alarm_until_they_are_corrected(hub: Hub):
    await hub.add("c1", "strict", Settings(password=SecretStr("c4n4ry")))  # lacks the port
    await hub.add("c2")
    await hub.upstream.opened(1)  # the other one is not hurt
    await hub.seen("alert.raised")
    alarm = next(fact for fact in await read_facts(hub.store) if fact.type == "alert.raised")
    assert alarm.key == "settings:c1"
    assert "(port)" in data(alarm)["title"]
    assert "c4n4ry" not in alarm.body
    # The screens fold alarms into this row.
    row = "insert into alerts values ('settings:c1', 'x', '{}', 0, null, 1, 0)"
    await hub.store.write(lambda tx: tx.execute(text(row)))

    await hub.change("c1", settings=Strict(url="ws://x", port=8088))

    session = await hub.upstream.opened(2)
    assert session.settings.port == 8088
    assert "alert.resolved" in await hub.types("c1")


async def test_a_defect_of_one_keeper_is_loud_tried_again_and_harmless_to_others(hub: Hub, monkeypatch):
    run, fail = Keeper.run, [True]

    async def sometimes(self: Keeper) -> None:
        if self.configured.id == "c1" and fail.pop(0):
            fail.append(False)
            raise ZeroDivisionError
        await run(self)

    monkeypatch.setattr(Keeper, "run", sometimes)
    with capture_logs() as logs:
        await hub.add("c1")
        await hub.add("c2")
        await hub.upstream.opened(1)
        await until(lambda: bool(logs))
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("keeper.defect", "error")]
    assert "c1" not in hub.supervisor.keepers

    await hub.clock.run_for(AGAIN_S)
    session = await hub.upstream.opened(2)
    assert session.port.connection == "c1"


async def test_a_store_that_is_away_delays_a_keeper_and_does_not_lose_it(hub: Hub):
    rough = Rough(hub.store)
    hub.log.store = rough  # type: ignore[assignment]
    rough.fails = [StoreUnavailable("full"), StoreUnavailable("full")]
    await hub.add()
    await until(lambda: rough.failed > 0)
    while not hub.upstream.sessions:
        await hub.clock.run_for(1)
        await hub.ownership.beat()  # as its own loop does: the clock runs ahead of a slow disk here

    assert (rough.failed, rough.fails) == (2, [])
    assert [session.port.connection for session in hub.upstream.open] == ["c1"]


async def test_a_lease_that_comes_back_at_once_waits_for_the_old_session_to_close(hub: Hub):
    await hub.add()
    await hub.upstream.opened(1)
    name = "connection:c1"
    lease = hub.supervisor._leases[name]

    hub.supervisor._lost(name)
    hub.supervisor._gained(lease)

    await hub.upstream.opened(2)
    assert hub.upstream.at_most == 1


async def test_stopping_waits_for_the_last_words_of_all(hub: Hub):
    for n in range(5):
        await hub.add(f"c{n}")
    for n in range(1, 6):
        await (await hub.upstream.opened(n)).lives()
    await hub.seen("connection.live")
    running = asyncio.ensure_future(hub.ownership.run())
    await asyncio.sleep(0)
    running.cancel()  # hands everything back, which takes the keepers away first
    await asyncio.gather(running, return_exceptions=True)
    await hub.stop()

    assert all(session.closed for session in hub.upstream.sessions)
    for n in range(5):
        assert (await hub.types(f"c{n}"))[-2:] == ["connection.stopped", "gap.opened"]


# --- two workers -----------------------------------------------------------------------------------


@pytest.fixture
def held_database(monkeypatch: pytest.MonkeyPatch):
    """Let the held clock be the database's clock as well."""
    monkeypatch.setattr("atalaia.store.ownership.database_ms", lambda _tx, process_ms: process_ms)
    monkeypatch.setattr("atalaia.store.leases.database_ms", lambda _tx, process_ms: process_ms)


@pytest.mark.usefixtures("held_database")
async def test_a_worker_that_stops_beating_is_replaced_and_cannot_write_when_it_wakes(shared, clock, ambient):
    one = Hub(await shared.open(), clock, ambient, "one")
    two = Hub(await shared.open(), clock, ambient, "two")
    told: list[str] = []
    two.ownership.on_workers_lost = told.extend
    for n in range(6):
        await one.add(f"c{n}")
    await two.ownership.beat()
    await one.ownership.beat()
    # A lease under which last words are just being written is taken at a later beat.
    while not len(one.upstream.open) == len(two.upstream.open) == 3:
        await two.ownership.beat()
    left = {session.port.connection: session for session in one.upstream.open}
    for session in [*one.upstream.open, *two.upstream.open]:
        await session.lives()
    while await one.store.read(_live_rows) < 6:
        await asyncio.sleep(0)

    for _ in range(5):  # one is paused: it does not beat any more, two does
        await clock.run_for(2.5)
        await two.ownership.beat()
    await until(lambda: len(two.supervisor.keepers) == 6)

    assert told == ["one"]
    for identity, session in left.items():
        with pytest.raises(Fenced):
            await session.port.append([Heard("x.Y", "k", 1, "{}")])
        old = one.supervisor._leases[f"connection:{identity}"]
        assert two.supervisor.keepers[identity].lease.epoch > old.epoch
    await one.ownership.beat()  # and once it beats, it lets go of the upstream as well
    await until(lambda: all(session.closed for session in left.values()))
    folding = Folding(Gaps(), two.store, ambient)
    folding.begin(None)
    await catch_up([folding])
    gaps = await two.store.read(lambda tx: set(tx.scalars(text("select connection from gaps"))))
    assert left.keys() <= gaps
    await one.stop()
    await two.stop()


def _live_rows(tx) -> int:
    return tx.scalar(text("select count(*) from connection_states where state = 'live'"))


# --- the registry ----------------------------------------------------------------------------------


async def test_secrets_are_sealed_and_the_rest_lies_open(store: Store):
    class Box(Plain):
        def seal(self, text: str) -> str:
            return text[::-1]

        def open(self, text: str) -> str:
            return text[::-1]

    registry = Registry({"x": Settings}, Box())
    secret = Settings(password=SecretStr("c4n4ry"))
    await store.write(lambda tx: registry.create(tx, "c1", "x", "Gate", secret, 1))

    row = await store.read(lambda tx: tx.execute(connections.select()).one())
    assert "c4n4ry" not in repr(row)
    assert row.settings == '{"url": "ws://upstream"}'
    again = await store.read(lambda tx: registry.get(tx, "c1"))
    assert again is not None
    assert again.settings == secret
    assert await store.read(registry.all) == [again]
    await store.write(lambda tx: registry.delete(tx, "c1", 2))
    assert await store.read(lambda tx: registry.get(tx, "c1")) is None
    assert await store.read(registry.all) == []


async def test_a_connector_this_version_lacks_is_named(store: Store):
    await store.write(lambda tx: Registry({}, Plain()).create(tx, "c1", "gone", "Gate", Settings(), 1))
    with pytest.raises(ConfigError, match="“Gate” uses the connector “gone”"):
        await store.read(Registry({}, Plain()).all)


async def test_a_hub_alone_that_slept_keeps_its_sessions_under_their_epochs(sqlite: Base, clock, ambient):
    hub = Hub(await sqlite.open(), clock, ambient, alone=True)
    await hub.add()
    session = await hub.upstream.opened(1)
    await session.lives()
    await hub.seen("connection.live")
    keeper = hub.supervisor.keepers["c1"]

    clock.set(clock.now() + 2 * timedelta(seconds=TTL_S))  # nothing of it runs meanwhile, as under SIGSTOP
    hub.ownership.fence_if_late()
    await hub.ownership.beat()
    await session.port.append([Heard("x.Y", "k", 1, "{}")])

    assert hub.supervisor.keepers["c1"] is keeper
    assert (session.closed, hub.upstream.at_most) == (False, 1)
    assert await hub.types() == ["connection.opening", "connection.live"]
    await hub.stop()


async def test_a_worker_among_others_that_slept_too_long_closes_its_sessions_before_it_asks(
    sqlite: Base, clock, ambient
):
    hub = Hub(await sqlite.open(), clock, ambient)
    await hub.add()
    session = await hub.upstream.opened(1)
    await session.lives()
    await hub.seen("connection.live")

    clock.set(clock.now() + timedelta(seconds=TTL_S))
    hub.ownership.fence_if_late()

    await until(lambda: session.closed)
    assert hub.supervisor.keepers == {}
    await hub.stop()
