"""Puts the demo together: simulated Asterisks, telematics and WhatsApp, a consumer, the hub, and the panel.

What misbehaves does so on request, by the panel.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.cli.demo.chats import Chats
from atalaia.cli.demo.chats_panel import shown_chats
from atalaia.cli.demo.history import history
from atalaia.cli.demo.panel import Panel, Shown
from atalaia.cli.demo.telematics import TITLE, Office, Telematics
from atalaia.cli.up import greet
from atalaia.clock import SystemClock, to_ms
from atalaia.collector import spare_the_collector
from atalaia.connectors import CONNECTORS
from atalaia.connectors.setup import Setup
from atalaia.deliveries.receiver import Receiver
from atalaia.deliveries.signing import new_secret
from atalaia.deliveries.subscription import create_subscription
from atalaia.events.log import append_facts
from atalaia.serve import Hub, running
from atalaia.settings import Settings
from atalaia.web.host import listen, serving, until_told
from simulators.asterisk import AsteriskSimulator, World, demo_world, write_etc

SEED = 20261126
PASSWORD = "demo-only"  # noqa: S105  # opens nothing but the simulator of this process
SERVERS = (
    ("demo1", "22.10.1", 1.0),
    ("demo2", "16.28.0", 0.3),
)  # name, Asterisk version, share of the traffic
CONSUMERS = (
    ("Sistema do síndico (demo)", ("call.*", "endpoint.*", "connection.*")),
    ("CRM (demo)", ("message.*", "gap.*")),
)  # name, types of the facts it gets


@dataclass(frozen=True)
class Demo:
    """A demo that runs. url: the hub's address."""

    hub: Hub
    url: str
    chats: Chats


async def run_demo(settings: Settings, folder: Path, *, rate: float, as_json: bool) -> None:
    """Run the demo until it is told to stop."""
    async with playing(settings, folder, rate) as demo:
        await greet(demo.hub, demo.url, as_json=as_json, more={"fault_panel": f"{demo.url}/demo"})
        spare_the_collector()
        await until_told()


@asynccontextmanager
async def playing(settings: Settings, folder: Path, rate: float) -> AsyncGenerator[Demo]:
    """Run the demo for as long as the block does. rate: how busy everybody is; at 0 nobody does anything."""
    world = demo_world()
    door = listen(settings.host, settings.port)
    async with AsyncExitStack() as stack:
        receiver = Receiver([new_secret()])
        hook = await receiver.start()
        stack.push_async_callback(receiver.stop)
        simulators = [await _simulator(stack, name, version, world) for name, version, _ in SERVERS]
        telematics = Telematics.make(Random(SEED))  # traffic, not secrets
        chats = Chats.make(folder)
        for one in (telematics.simulator, chats.simulator):
            await one.start()
            stack.push_async_callback(one.stop)
        allowed = (*settings.allow_private_targets, hook.split("/")[2])
        hub = await stack.enter_async_context(
            running(settings.model_copy(update={"allow_private_targets": allowed}), CONNECTORS)
        )
        await _furnish(hub, folder, world, simulators, hook, receiver)
        await hub.store.write(lambda tx: _telematics(tx, hub, telematics))
        await chats.furnish(hub, _nearby(door))
        panel = Panel(_shown(simulators, telematics, chats), receiver)
        url = await stack.enter_async_context(serving(hub, door, panel.install))
        for simulator, (_, _, share) in zip(simulators, SERVERS, strict=True):
            if rate > 0:
                simulator.run_demo(rate * share, world)
        for work in (_busy(hub, telematics, rate), chats.live(hub, rate)):
            stack.callback(asyncio.create_task(work).cancel)
        yield Demo(hub, url, chats)


def _nearby(door: socket.socket) -> str:
    """Answer the hub's address as a program on this machine reaches it."""
    host, port = str(door.getsockname()[0]), door.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # asked for, not listened on
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _shown(simulators: list[AsteriskSimulator], telematics: Telematics, chats: Chats) -> dict[str, Shown]:
    shown = {
        name: Shown(f"Asterisk {name}", one.faults)
        for (name, _, _), one in zip(SERVERS, simulators, strict=True)
    }
    return shown | {"telematics": Shown(TITLE, telematics.simulator.faults)} | shown_chats(chats)


async def _simulator(stack: AsyncExitStack, name: str, version: str, world: World) -> AsteriskSimulator:
    simulator = AsteriskSimulator(
        clock=SystemClock(),
        random=Random(f"{SEED}:{name}"),  # traffic, not secrets
        user="atalaia",
        password=PASSWORD,
        systemname=name,
        version=version,
    )
    simulator.add_phones(world.phones())
    await simulator.start()
    stack.push_async_callback(simulator.stop)
    return simulator


async def _furnish(
    hub: Hub, folder: Path, world: World, simulators: list[AsteriskSimulator], hook: str, receiver: Receiver
) -> None:
    """Make connections, a yesterday, and a consumer, unless a kept data folder has them already."""
    etc = folder / "etc"
    write_etc(etc, world)
    setup = Setup(hub.registry, hub.ambient, hub.secretbox, hub.connectors, hub.formats)
    kept = await hub.store.read(hub.registry.all)
    by_name = {one.name: one for one in kept}

    def work(tx: Connection) -> None:
        for simulator, (name, version, _) in zip(simulators, SERVERS, strict=True):
            settings = setup.read(
                "asterisk",
                {
                    "url": simulator.url, "user": "atalaia", "password": PASSWORD, "server": name,
                    "ami_port": simulator.ami_port, "etc_folder": str(etc),
                    "audio_servers": ["audio.example.test"],
                },
            )  # fmt: skip
            title = f"Asterisk {name} ({version.split('.')[0]})"
            before = by_name.get(title)
            if before is not None:
                setup.change(tx, before.id, settings=settings, by="demo")
                continue
            made = setup.create(tx, "asterisk", title, settings, by="demo")
            if name == SERVERS[0][0]:
                _yesterday(tx, hub.ambient, world, name, made.id)
        _consumer(tx, hub, hook, receiver)

    await hub.store.write(work)


def _telematics(tx: Connection, hub: Hub, telematics: Telematics) -> None:
    """Make the telematics connection, its catalogs and its yesterday; a kept one learns the new ports."""
    setup = Setup(hub.registry, hub.ambient, hub.secretbox, hub.connectors, hub.formats)
    settings = setup.read("traffilog", telematics.settings())
    kept = next((one for one in hub.registry.all(tx) if one.name == TITLE), None)
    if kept is None:
        telematics.connection = setup.create(tx, "traffilog", TITLE, settings, by="demo").id
    else:
        telematics.connection = kept.id
        setup.change(tx, kept.id, settings=settings, by="demo")
    telematics.furnish(tx, hub, fresh=kept is None)


async def _busy(hub: Hub, telematics: Telematics, rate: float) -> None:
    """Let vehicles drive and an office work."""
    if rate > 0:
        telematics.simulator.run_demo()
        await Office(hub, telematics).run()


def _yesterday(tx: Connection, ambient: Ambient, world: World, server: str, connection: str) -> None:
    now = to_ms(ambient.clock.now())
    random = Random(SEED)  # a plausible day, not a secret
    append_facts(tx, ambient, "demo", history(world, server, now, random), connection=connection)


def _consumer(tx: Connection, hub: Hub, hook: str, receiver: Receiver) -> None:
    """Subscribe the embedded consumer anew: its address and secret change with each start."""
    for name, types in CONSUMERS:
        given = {
            "name": name,
            "format": "cloudevents",
            "filter": {"types": list(types)},
            "target": {"kind": "webhook", "url": hook},
            "secrets": {"signing": [{"secret": receiver.secrets[0]}]},
        }
        create_subscription(tx, hub.ambient, hub.secretbox, given, formats=hub.formats)
