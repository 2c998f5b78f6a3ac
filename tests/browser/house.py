"""A whole hub with everything that can be on a screen: live calls, trouble, consumers good and bad."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, insert, select, update

from atalaia.cli.demo.history import history
from atalaia.clock import SystemClock, to_ms
from atalaia.connectors import CONNECTORS
from atalaia.connectors.setup import Setup
from atalaia.deliveries.receiver import Received, Receiver
from atalaia.deliveries.subscription import create_subscription
from atalaia.desk.people.people import People
from atalaia.desk.people.sessions import Sessions
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.serve import Hub, running
from atalaia.settings import load_settings
from atalaia.store.tables import calls, connections, deliveries, event_counts, events, parked
from atalaia.store.truth_tables import recoveries
from atalaia.web.host import listen, serving
from simulators.asterisk import AsteriskSimulator, World, demo_world, write_etc
from tests.browser import alarms
from tests.browser.fleet import FLEET, furnish
from tests.browser.talk import GATEWAY, Talk, can_send, chatter

T = TypeVar("T")
USER, PASSWORD = "monitor", "test-only-ari"
EMAIL, PERSON_PASSWORD = "ana@example.com", "a sentence to remember"
MINUTE_MS = 60_000


@dataclass
class House:
    """What a test asks: addresses, ids of things to look at, and the simulator to make trouble with.

    cookie: the session of an administrator. ids: connection, lost, refused, intake, good, bad, down, call,
    closed, event, delivery; fleet, doubt, asking, following, failed, read (jobs); chat, group, sealed.
    """

    url: str = ""
    cookie: str = ""
    ids: dict[str, str] = field(default_factory=dict[str, str])
    hub: Hub | None = None
    simulator: AsteriskSimulator | None = None
    loop: asyncio.AbstractEventLoop | None = None
    talk: Talk | None = None

    def do(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something in the house's own loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop)


@contextmanager
def house(folder: Path) -> Iterator[House]:
    """Run the house in a thread of its own, so that it outlives the loops of single tests."""
    built = House()
    ready, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    async def live() -> None:
        built.loop = asyncio.get_running_loop()
        try:
            async with furnished(folder, built):
                ready.set()
                await asyncio.to_thread(over.wait)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ready.set()

    structlog.configure(  # lines worth reading when a test fails, without pages of local variables
        processors=[
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    thread = threading.Thread(target=lambda: asyncio.run(live()), name="house")
    thread.start()
    ready.wait()
    if failed:
        thread.join()
        raise failed[0]
    try:
        yield built
    finally:
        over.set()
        thread.join()
        structlog.reset_defaults()


@asynccontextmanager
async def furnished(folder: Path, built: House, port: int = 0) -> AsyncIterator[House]:
    """Start everything and wait until each thing that a page can show is there."""
    world = demo_world()
    async with AsyncExitStack() as stack:
        built.simulator = await _simulator(stack, world)
        good, bad = Receiver(), Receiver(answer=refuse_some)
        for receiver in (good, bad):
            await receiver.start()
            stack.push_async_callback(receiver.stop)
        settings = load_settings(
            data_dir=folder, port=port, allow_private_targets=("127.0.0.0/8",), requests_per_minute=100_000
        )
        hub = built.hub = await stack.enter_async_context(
            running(settings, CONNECTORS | {"fleet": FLEET, "gateway": GATEWAY})
        )
        write_etc(folder / "etc", world)
        await hub.store.write(lambda tx: _connect(tx, hub, folder, built))
        await hub.store.write(lambda tx: _yesterday(tx, hub, world, built.ids["connection"]))
        await hub.store.write(lambda tx: _subscribe(tx, hub, built, good.url, bad.url))
        await hub.store.write(lambda tx: _busy_hour(tx, hub, built.ids["connection"]))
        built.url = await stack.enter_async_context(serving(hub, listen("127.0.0.1", port), can_send))
        built.cookie = await sign_in(hub)
        built.simulator.run_demo(3.0, world)
        await _settled(hub, built)
        built.ids |= await furnish(stack, hub)
        built.ids |= await alarms.furnish(hub)
        built.talk, chats = await chatter(hub)
        built.ids |= chats
        await hub.store.write(lambda tx: _park(tx, hub))
        yield built


def refuse_some(message: Received) -> int | None:
    """Be a consumer that does not know how to read what ended badly."""
    return 422 if message.json().get("type", "").endswith("call.ended") else None


async def _simulator(stack: AsyncExitStack, world: World) -> AsteriskSimulator:
    simulator = AsteriskSimulator(
        clock=SystemClock(), random=Random(7), user=USER, password=PASSWORD, systemname="voip1"
    )
    simulator.add_phones(world.phones())
    await simulator.start()
    stack.push_async_callback(simulator.stop)
    return simulator


def _connect(tx: Connection, hub: Hub, folder: Path, built: House) -> None:
    setup = Setup(hub.registry, hub.ambient, hub.secretbox, hub.connectors, hub.formats)
    simulator = built.simulator
    assert simulator is not None

    def asterisk(name: str, title: str, **given: Any) -> str:
        base = {"url": simulator.url, "user": USER, "password": PASSWORD, "server": name}
        read = setup.read("asterisk", {**base, "etc_folder": str(folder / "etc"), **given})
        return setup.create(tx, "asterisk", title, read, by="Ana").id

    closed = _closed_port()
    built.ids |= {
        "connection": asterisk("voip1", "Portaria Norte", ami_port=simulator.ami_port),
        "refused": asterisk("voip2", "Portaria Sul", password="another"),
        "lost": asterisk("voip3", "Central da praia", url=f"http://127.0.0.1:{closed}"),
    }
    note = setup.read("intake", {"note": "Cancelas"})
    built.ids["intake"] = setup.create(tx, "intake", "Cancelas e sensores", note, by="Ana").id
    # They were there before today, so that a day's bars and plots have something to show.
    before = to_ms(hub.ambient.clock.now()) - 3 * 24 * 60 * MINUTE_MS
    tx.execute(update(connections).values(created_ms=before))


def _subscribe(tx: Connection, hub: Hub, built: House, good: str, bad: str) -> None:
    def subscribe(name: str, url: str, **more: Any) -> str:
        given = {
            "name": name,
            "filter": {"types": ["call.*"]},
            "target": {"kind": "webhook", "url": url},
            **more,
        }
        made = create_subscription(tx, hub.ambient, hub.secretbox, given, formats=hub.formats)
        return made.subscription.id

    down = f"http://127.0.0.1:{_closed_port()}/eventos"
    built.ids |= {
        "good": subscribe("Painel da central", good),
        "bad": subscribe("Relatório do síndico", bad, policy={"order": "skip", "give_up_s": 0}),
        "down": subscribe("Sistema de acesso", down, filter={"types": ["endpoint.*", "call.answered"]}),
    }


def _yesterday(tx: Connection, hub: Hub, world: World, connection: str) -> None:
    now = to_ms(hub.ambient.clock.now())
    live = Fact("connection.live", connection, now - 2 * 24 * 60 * MINUTE_MS, {"name": "Portaria Norte"})
    append_facts(tx, hub.ambient, "demo", [live], connection=connection)
    append_facts(tx, hub.ambient, "demo", history(world, "voip1", now, Random(3)), connection=connection)
    for number, (ago, length, lost) in enumerate(((900, 14, "no"), (410, 3, "unknown"), (95, 6, "unknown"))):
        start = now - ago * MINUTE_MS
        end = start + length * MINUTE_MS
        opened = {"id": f"gap-{number}", "from_ms": start, "cause": "cut without a close frame (1006)"}
        closed = {
            "from_ms": start, "to_ms": end, "cause": "cut without a close frame (1006)", "lost": lost,
            "checked": {"channels": 4, "bridges": 2, "endpoints": 62},
            "recovered": {"calls_closed": 1 + number, "calls_continued": 1},
            "unknown": "calls that began and ended inside of the gap",
        }  # fmt: skip
        facts = [Fact("gap.opened", connection, start, opened), Fact("gap.closed", connection, end, closed)]
        append_facts(tx, hub.ambient, "demo", facts, connection=connection)
    tx.execute(insert(recoveries), [_tried(connection, now, step) for step in (1, 2)])


def _tried(connection: str, now: int, step: int) -> dict[str, Any]:
    """Answer a try of the last hours: the first did not help, the second did."""
    began = now - (90 - 10 * step) * MINUTE_MS
    return {
        "id": f"try-{step}", "connection": connection, "server": "", "rung": f"rung-{step}", "title": "",
        "step": step, "cause": "deaf", "opens": False, "whole": False, "epoch": 1, "started_ms": began,
        "ended_ms": began + MINUTE_MS, "outcome": "proved" if step > 1 else "failed",
        "said": "" if step > 1 else "The proof did not come in time.",
    }  # fmt: skip


def _busy_hour(tx: Connection, hub: Hub, connection: str) -> None:
    """Count events of the hour before, as if they had been heard; the sparklines draw them."""
    now = to_ms(hub.ambient.clock.now())
    random, start = Random(5), now - now % MINUTE_MS
    kinds = {
        "ChannelVarset": 90,
        "ChannelDialplan": 40,
        "Dial": 9,
        "ChannelStateChange": 12,
        "ChannelDestroyed": 8,
    }
    rows = [
        {
            "connection": connection, "type": f"asterisk.{kind}", "minute_ms": start - minute * MINUTE_MS,
            "kept": int(usual * random.uniform(0.5, 1.5)), "counted": 0, "dropped": 0, "duplicate": 0,
        }
        for kind, usual in kinds.items()
        for minute in range(2, 24 * 60, 1)
    ]  # fmt: skip
    tx.execute(insert(event_counts), rows)


def _park(tx: Connection, hub: Hub) -> None:
    """Put an event aside, as a defect of ours would."""
    seq = tx.scalar(select(events.c.seq).where(events.c.family == 0).order_by(events.c.seq).limit(1))
    row = {
        "reaction": "asterisk", "seq": seq, "key": "", "error": "Unreadable: the event has no channel",
        "state": "parked", "parked_ms": to_ms(hub.ambient.clock.now()),
    }  # fmt: skip
    tx.execute(insert(parked).values(row))


async def sign_in(hub: Hub) -> str:
    people = People(hub.store, hub.ambient, hub.settings, Sessions(hub.store, hub.ambient, hub.settings))
    secret = await people.first_link()
    assert secret is not None
    used = await people.use_link(
        secret, email=EMAIL, name="Ana Prado", password=PERSON_PASSWORD, agent="test", address="127.0.0.1"
    )
    return used.cookie


async def _settled(hub: Hub, built: House) -> None:
    """Wait until there is a live call, a closed one of today, an attempt and a dead letter."""
    open_call = select(calls.c.guid).where(
        calls.c.status == "oncall", calls.c.connection == built.ids["connection"]
    )
    heard_of = select(events.c.key).where(events.c.family == 0)
    ended = select(calls.c.guid).where(calls.c.ended_ms.is_not(None), calls.c.channel_id.in_(heard_of))
    ended = ended.order_by(calls.c.opened_ms.desc())
    wanted = {
        "call": open_call,
        "closed": ended,
        "event": select(events.c.seq).where(events.c.type == "call.ended").order_by(events.c.seq.desc()),
        "delivery": select(deliveries.c.id).where(deliveries.c.state == "dead").order_by(deliveries.c.id),
        "sent": select(deliveries.c.id).where(deliveries.c.state == "delivered"),
    }
    for name, query in wanted.items():
        built.ids[name] = str(
            await until(lambda query=query: hub.store.read(lambda tx: tx.scalar(query.limit(1))))
        )


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """Look until there is something; the test's own time limit ends the wait."""
    while (found := await look()) is None:
        await asyncio.sleep(0.05)
    return found


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
