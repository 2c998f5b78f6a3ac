"""Puts the parts together: one process that hears, understands, delivers and shows."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.keeper import Kind
from atalaia.connections.registry import Registry
from atalaia.connections.supervisor import Supervisor
from atalaia.connectors.connector import Connector
from atalaia.connectors.traffilog.importing import side_words
from atalaia.deliveries.dispatcher import Dispatcher
from atalaia.deliveries.formats import CloudEventsFormat, Format, RawFormat
from atalaia.deliveries.guard import Guard
from atalaia.deliveries.router import Router
from atalaia.deliveries.targets.factory import Targets
from atalaia.desk.alerts import notifier as alerting
from atalaia.desk.alerts.damping import Damping
from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.alerts.notifier import Notifier
from atalaia.desk.alerts.outbox import House as AlertHouse
from atalaia.desk.alerts.sending import AppriseWay, Way
from atalaia.desk.alerts.sessions import SESSION, SessionWay
from atalaia.desk.calls.fold import Calls
from atalaia.desk.chats.files import Fetching, Files
from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.sending import JobSender, Outgoing
from atalaia.desk.endpoints.fold import Endpoints
from atalaia.desk.exports import destinations_of
from atalaia.desk.exports.destinations import Destination
from atalaia.desk.exports.exporter import Exporter
from atalaia.desk.installations.fold import Installations
from atalaia.desk.vehicles.fold import Vehicles
from atalaia.errors import ConfigError, StoreUnavailable
from atalaia.events.gaps import Gaps
from atalaia.events.log import EventLog
from atalaia.events.model import Fact
from atalaia.events.policy import Policies, read_overrides
from atalaia.events.retention import Rules, sweep
from atalaia.jobs.context import House
from atalaia.jobs.engine import DbosEngine
from atalaia.jobs.kinds import Kinds
from atalaia.jobs.schedule import Schedules
from atalaia.jobs.submit import Orders
from atalaia.jobs.worker import Jobs
from atalaia.reactions.folding import Folding
from atalaia.reactions.interpreting import Interpreting
from atalaia.reactions.projection import Projection
from atalaia.reactions.runner import PREFIX as REACTION
from atalaia.reactions.runner import Reaction, Runner
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox
from atalaia.settings import Settings
from atalaia.store.connect import open_store
from atalaia.store.files import FOLDER, FileStore
from atalaia.store.leases import Lease
from atalaia.store.ownership import Ownership, Watch, free_all
from atalaia.store.store import Store
from atalaia.store.tables import workers
from atalaia.version import VERSION, git_sha

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 3600.0
POLICIES_EVERY_S = 15.0
SWITCH_S = 0.002
FIRST_SWEEP_S = 300.0


@dataclass
class Hub:
    """The parts of one running worker. It has no verbs of its own: each part does its work."""

    settings: Settings
    ambient: Ambient
    connectors: Mapping[str, Connector]
    formats: Mapping[str, Format]
    store: Store
    log: EventLog
    registry: Registry
    secretbox: SecretBox
    redactor: Redactor
    ownership: Ownership
    supervisor: Supervisor
    runner: Runner
    dispatcher: Dispatcher
    targets: Targets
    orders: Orders
    jobs: Jobs
    projections: tuple[Projection, ...]
    files: FileStore
    exporter: Exporter
    notifier: Notifier
    worker: str


@asynccontextmanager
async def running(
    settings: Settings, connectors: Mapping[str, Connector], *, ambient: Ambient | None = None,
    destinations: Sequence[Destination] | None = None,
) -> AsyncGenerator[Hub]:  # fmt: skip
    """Open the store, start every part, and stop them in order at the end.

    destinations: of saved records; None is what the settings say.
    Errors: `ConfigError` and `StoreUnavailable` when it cannot start; both say what to do.
    """
    # Writer, readers and event loop hand the interpreter to each other many times an event; at the default of
    # 5 ms a turn that is most of a delivery's time.
    sys.setswitchinterval(SWITCH_S)
    sent_to = destinations_of(settings) if destinations is None else tuple(destinations)
    hub = await build(settings, connectors, ambient or Ambient(), sent_to)
    tasks = [asyncio.create_task(work, name=name) for name, work in _loops(hub).items()]
    for task in tasks:
        task.add_done_callback(_shout)
    try:
        yield hub
    finally:
        await hub.runner.stop()
        await hub.jobs.close()  # before others hear that this worker leaves, and take its jobs
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await hub.targets.close()
        await hub.store.close()


async def build(
    settings: Settings, connectors: Mapping[str, Connector], ambient: Ambient,
    sent_to: tuple[Destination, ...] = (),
) -> Hub:  # fmt: skip
    """Make the parts of a worker without starting them. sent_to: where saved records go."""
    redactor = Redactor(settings.secret_values())
    secretbox = _secretbox(settings)
    database_url = settings.database_url.get_secret_value()
    store = await open_store(database_url, settings.data_dir)
    alone = store.dialect == "sqlite"  # the file lock says that nobody else lives
    if alone:
        await store.write(free_all)
    declared = {name: connector.keep for name, connector in connectors.items()}
    rhythms = _rhythms(connectors)
    eventlog = EventLog(store, ambient, Policies(declared, await store.read(read_overrides), rhythms))
    registry = Registry({name: one.settings for name, one in connectors.items()}, secretbox)
    worker = ambient.ids.new()
    ownership = _ownership(settings, store, ambient, worker, alone=alone)
    formats = _formats(connectors)
    router = Router(ambient, formats)
    installed = Installations([one.name for one in sent_to])
    kinds = job_kinds(connectors)
    orders = Orders(ambient, kinds, redactor)
    inbox = _inbox(settings, ambient, orders, connectors)
    desk = (Calls(), Endpoints(), Alerts(_damping(settings)), Gaps(), Vehicles(), *inbox, installed)
    projections: tuple[Projection, ...] = (*desk, router)
    interpretations = [one for connector in connectors.values() for one in connector.interpretations]
    reactions: list[Reaction] = [Interpreting(one, store, ambient) for one in interpretations]
    reactions += [Folding(one, store, ambient) for one in projections]
    servers = _servers(store, registry, connectors, redactor)
    targets = Targets(ambient, Guard(settings.allow_private_targets), servers)
    engine = DbosEngine(
        database_url, settings.data_dir, worker, lambda job, n: jobs.execute(job, n), store.still
    )
    kept = FileStore(settings.data_dir / FOLDER, ambient)
    house = House(store, eventlog, ambient, orders, redactor, engine, kept, secretbox)
    jobs = Jobs(house, kinds, registry, worker)
    return Hub(
        settings=settings,
        ambient=ambient,
        connectors=connectors,
        formats=formats,
        store=store,
        log=eventlog,
        registry=registry,
        secretbox=secretbox,
        redactor=redactor,
        ownership=ownership,
        supervisor=Supervisor(eventlog, ambient, registry, _kinds(connectors), ownership),
        runner=Runner(store, ambient, ownership, reactions),
        dispatcher=Dispatcher(store, ambient, formats, targets.open, secretbox, worker),
        targets=targets,
        orders=orders,
        jobs=jobs,
        projections=projections,
        files=kept,
        exporter=Exporter(store, ambient, sent_to, ZoneInfo(settings.zone), side_words),
        notifier=_notifier(house, secretbox, connectors, settings),
        worker=worker,
    )


def _loops(hub: Hub) -> dict[str, Any]:
    hub.ownership.on_workers_lost = lambda lost: _tell_lost(hub, lost)
    sweeper = _Sweeper(hub)
    hub.ownership.watch(Watch("chore:", lambda _: ["chore:retention"], sweeper.gained, sweeper.lost))
    exporting = _While(hub.exporter.run)
    hub.ownership.watch(Watch("exports:", lambda _: ["exports:all"], exporting.gained, exporting.lost))
    told = hub.notifier
    hub.ownership.watch(Watch(alerting.PREFIX, lambda _: [alerting.LEASE], told.gained, told.lost))
    hub.jobs.watch(hub.ownership)
    if declared := {name: one.schedules for name, one in hub.connectors.items() if one.schedules}:
        asking = _While(Schedules(hub.store, hub.ambient, hub.registry, hub.orders, declared).run)
        hub.ownership.watch(Watch("schedules:", lambda _: ["schedules:all"], asking.gained, asking.lost))
    if hub.settings.snapshot_every_hours and hub.settings.snapshot_repository.get_secret_value():
        pushing = _While(lambda: _push_snapshots(hub))
        hub.ownership.watch(Watch("snapshots:", lambda _: ["snapshots:all"], pushing.gained, pushing.lost))
    return {
        "ownership": hub.ownership.run(),
        "supervisor": hub.supervisor.run(),
        "dispatcher": hub.dispatcher.run(),
        "jobs": hub.jobs.run(),
        "policies": _follow_policies(hub),
    }


def _ownership(settings: Settings, store: Store, ambient: Ambient, worker: str, *, alone: bool) -> Ownership:
    most = settings.sessions_per_beat
    return Ownership(
        store, ambient, worker, version=VERSION, git_sha=git_sha(), alone=alone, most_per_beat=most
    )


def sender_of(orders: Orders, connectors: Mapping[str, Connector]) -> JobSender:
    """Answer what sends what people write in the inbox: each connector's own kind of job."""
    sending = {name: one for name, one in connectors.items() if one.sends}
    kinds = {name: f"{name}.{one.sends}" for name, one in sending.items()}
    return JobSender(orders, kinds, {name: one.numbers for name, one in sending.items()})


def fetching_of(
    settings: Settings, ambient: Ambient, orders: Orders, connectors: Mapping[str, Connector]
) -> Fetching:
    """Answer what asks for the attachments of messages."""
    kinds = {name: f"{name}.{one.fetches}" for name, one in connectors.items() if one.fetches}
    groups = frozenset(settings.chats_fetch)
    return Fetching(ambient, orders, kinds, groups, settings.chats_file_bytes_max)


def _inbox(
    settings: Settings, ambient: Ambient, orders: Orders, connectors: Mapping[str, Connector]
) -> tuple[Projection, ...]:
    """Answer what follows conversations, what is sent into them, and what is attached."""
    sender = sender_of(orders, connectors)
    files = Files(fetching_of(settings, ambient, orders, connectors))
    return Chats(), Outgoing(ambient, sender), files


def job_kinds(connectors: Mapping[str, Connector]) -> Kinds:
    """Answer every kind of job by its full name, `<connector>.<kind>`."""
    return Kinds({name: one.jobs for name, one in connectors.items()})


def _notifier(
    house: House, secretbox: SecretBox, connectors: Mapping[str, Connector], settings: Settings
) -> Notifier:
    worlds = {name: one.world for name, one in connectors.items()}
    open_ms = settings.alerts_open_after_s * 1_000
    alerts = AlertHouse(house.ambient, house.redactor, worlds, settings.public_url, open_ms)
    ways = alert_ways(house.store, house.orders, connectors, settings)
    return Notifier(house.store, alerts, secretbox, ways)


def alert_ways(
    store: Store, orders: Orders, connectors: Mapping[str, Connector], settings: Settings
) -> dict[str, Way]:
    """Answer how alerts are told, by kind of channel: by Apprise, or by sessions that can send."""
    way = SessionWay(store, orders, telling_kinds(connectors))
    return {"apprise": AppriseWay(settings.allow_private_targets), SESSION: way}


def telling_kinds(connectors: Mapping[str, Connector]) -> dict[str, str]:
    """Answer by which kind of job the sessions of a connector tell people of alerts; few can."""
    return {name: f"{name}.{one.notices}" for name, one in connectors.items() if one.notices}


def _damping(settings: Settings) -> Damping:
    return Damping(settings.alerts_calm_s * 1_000, settings.alerts_flap_times, settings.alerts_flap_s * 1_000)


def _kinds(connectors: Mapping[str, Connector]) -> dict[str, Kind]:
    return {
        name: Kind(
            connector.run_session, connector.planes, connector.silence, connector.routine, connector.server
        )
        for name, connector in connectors.items()
        if connector.run_session is not None
    }


def _rhythms(connectors: Mapping[str, Connector]) -> dict[str, Mapping[str, str]]:
    return {name: connector.rhythms for name, connector in connectors.items() if connector.rhythms}


def _formats(connectors: Mapping[str, Connector]) -> dict[str, Format]:
    own: list[Format] = [CloudEventsFormat(), RawFormat()]
    theirs = [one for connector in connectors.values() for one in connector.formats]
    return {one.name: one for one in [*own, *theirs]}


def _secretbox(settings: Settings) -> SecretBox:
    keys = settings.keys.get_secret_value()
    return SecretBox.from_text(keys) if keys else SecretBox.from_file(settings.key_path)


def _servers(
    store: Store, registry: Registry, connectors: Mapping[str, Connector], redactor: Redactor
) -> Callable[[str], Awaitable[list[dict[str, Any]]]]:
    """Answer how a target finds the AMQP servers that a connection's configuration lists."""

    async def servers(connection: str) -> list[dict[str, Any]]:
        configured = await store.read(lambda tx: registry.get(tx, connection))
        if configured is None:
            raise ConfigError("The connection whose servers this target uses does not exist any more.")
        find = connectors[configured.connector].servers
        found = await asyncio.to_thread(find, configured.settings) if find else []
        for server in found:
            redactor.learn(str(server.get("password") or ""))
        return found

    return servers


async def _follow_policies(hub: Hub) -> None:
    """Take over what people set for kinds of events, also when another worker took their request."""
    declared = {name: connector.keep for name, connector in hub.connectors.items()}
    rhythms = _rhythms(hub.connectors)
    while True:
        await hub.ambient.clock.sleep(POLICIES_EVERY_S)
        with contextlib.suppress(StoreUnavailable):
            hub.log.policies = Policies(declared, await hub.store.read(read_overrides), rhythms)


def _tell_lost(hub: Hub, lost: list[str]) -> None:
    task = asyncio.create_task(_write_lost(hub, lost))
    task.add_done_callback(_shout)


async def _write_lost(hub: Hub, lost: list[str]) -> None:
    def rows(tx: Connection) -> list[Any]:
        return list(tx.execute(select(workers).where(workers.c.id.in_(lost))))

    now = to_ms(hub.ambient.clock.now())
    facts = [
        Fact(
            "worker.lost", row.id, now, {"host": row.host, "pid": row.pid, "seen_ms": row.seen_ms},
            dedupe=f"{row.id}:{row.seen_ms}",
        )
        for row in await hub.store.read(rows)
    ]  # fmt: skip
    await hub.log.put_facts("ownership", facts)


async def _push_snapshots(hub: Hub) -> None:
    from atalaia.desk.system.pushing import Pushing  # of no use to a hub that pushes nothing

    await Pushing(hub.store, hub.ambient, hub.registry, hub.settings, hub.redactor).run()


class _While:
    """Runs something in the one worker that owns it."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = None

    def gained(self, _: Lease) -> None:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_shout)

    def lost(self, _: str) -> None:
        if self._task is not None:
            self._task.cancel()


class _Sweeper:
    """Runs retention each hour in the one worker that owns the chore."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._task: asyncio.Task[None] | None = None

    def gained(self, _: Lease) -> None:
        self._task = asyncio.create_task(self._run())

    def lost(self, _: str) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        hub = self._hub
        pause_s = FIRST_SWEEP_S  # soon, or a hub that is restarted each hour never sweeps
        while True:
            await hub.ambient.clock.sleep(pause_s * (0.9 + 0.2 * hub.ambient.random.random()))
            pause_s = SWEEP_EVERY_S
            reactions = [name.removeprefix(REACTION) for name in hub.runner.reactions]
            rules = Rules.of(hub.settings)
            try:
                swept = await sweep(hub.store, hub.ambient, rules, reactions=reactions, files=hub.files)
                await hub.jobs.forget_old()
                log.info("retention.swept", rows=swept.rows, files=swept.files)
            except StoreUnavailable as error:
                log.warning("retention.store_unavailable", error=str(error))
            except Exception:
                # The next hour tries again; what was swept until then stays swept.
                log.exception("retention.defect")


def _shout(task: asyncio.Task[Any]) -> None:
    """A part that ends by an error is a defect; let it be seen."""
    if not task.cancelled() and task.exception() is not None:
        log.error("part.failed", part=task.get_name(), exc_info=task.exception())
