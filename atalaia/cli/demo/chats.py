"""The demo's WhatsApp: a simulated server and gateway, two channels, people who write, a team."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import structlog
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.cli.demo.dialogues import FIRST, LAST, SALES, SUPPORT, Dialogue
from atalaia.cli.demo.talk import Missed, Talk, clock_at, missed_of, told_of
from atalaia.clock import SystemClock, to_ms
from atalaia.connections.registry import Configured
from atalaia.connections.truth import Truth
from atalaia.connectors.setup import Setup
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.desk.chats import notes, queries
from atalaia.desk.chats.actions import Acts
from atalaia.desk.chats.queries import Thread, ThreadFilter
from atalaia.errors import AtalaiaError
from atalaia.events.gaps import Reconciled, closing
from atalaia.events.log import Source, append_facts, append_heard, head, read_after
from atalaia.events.model import Fact, Heard
from atalaia.ids import derived_uuid7
from atalaia.reactions.interpreter import Memory
from atalaia.serve import Hub
from atalaia.store.tables import HEARD
from simulators.wppconnect import Pace, PhoneOwner, World, WppSimulator, owner

log = structlog.get_logger(__name__)

KEY = "demo-only"
PEOPLE = 18
SEED = 20261126
# As observed, but what makes people wait for minutes; a code is still given up after a minute.
PACE = Pace(read_ack_s=(4.0, 20.0), gateway_media_s=2.0)
# An onlooker shall see within 15 s what an operator sees within two minutes.
PATIENCE: dict[str, Any] = {
    "probe_every_s": 5, "store_every_s": 5, "behind_s": 5, "starting_within_s": 20, "check_within_s": 4,
    "answer_within_s": 6,
}  # fmt: skip
TEAM = {"kind": "person", "id": "", "name": "Ana Prado"}
EVENTS_MAX = 10_000
LOOK_S, LOOKS_MAX = 0.5, 240


@dataclass(frozen=True)
class Channel:
    """One channel. direct: its webhooks come from the server; otherwise the gateway passes them on."""

    title: str
    session: str
    number: str
    dialogues: tuple[Dialogue, ...]
    direct: bool


CHANNELS = (
    Channel("WhatsApp Suporte (demo)", "Suporte", "551155500201", SUPPORT, direct=True),
    Channel("WhatsApp Vendas (demo)", "Vendas Centro", "551155500202", SALES, direct=False),
)


@dataclass
class Chats:
    """The simulated phones and the way to them. connections: by session, once they are made."""

    simulator: WppSimulator
    talks: dict[str, Talk]
    connections: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def make(cls, folder: Path) -> Chats:
        """Make the phones; `folder` keeps what is on them over a restart of the demo."""
        simulator = WppSimulator(
            clock=SystemClock(), random=Random(f"{SEED}:whatsapp"), secret_key=KEY, gateway_secret=KEY,
            pace=PACE, world=demo_chats(), folder=folder / "whatsapp",
            # The hub's address may be another at each start, so that it says itself where webhooks go.
            config={"on_self_message": True, "auto_download": False, "start_all_session": False},
        )  # fmt: skip
        talks = {
            one.session: Talk(simulator, one.session, one.dialogues, Random(f"{SEED}:{one.session}"))
            for one in CHANNELS
        }
        made = cls(simulator, talks)
        for one in CHANNELS:
            made.take_for_unknown(one.session)
        return made

    def take_for_unknown(self, session: str) -> None:
        """Let the server take one contact's number for one that does not exist, as it does with some."""
        marina = next(iter(self.simulator.phone(session).people.values()))
        self.simulator.host.called_strangers.setdefault(session, set()).add(marina.number)

    async def furnish(self, hub: Hub, base: str) -> None:
        """Make both connections, with a yesterday where they are new; `base` is the hub's own address."""
        kept = {one.name: one for one in await hub.store.read(hub.registry.all)}
        for channel in CHANNELS:
            made = await self._connect(hub, channel, base, kept.get(channel.title))
            self.connections[channel.session] = made.id
            settings = cast(WppconnectSettings, made.settings)
            hook = f"{base}/hooks/{made.id}/{settings.hook_token.get_secret_value()}"
            # They were running before the hub came: it finds them as it finds those of its first day.
            if channel.direct:
                self.simulator.session(channel.session).start({"webhook": hook})
            else:
                self.simulator.gateway.relay.subscribe(hook, channel=_gateway_id(channel))
                self.simulator.session(channel.session).start({"deviceName": "Gateway"})

    async def _connect(self, hub: Hub, channel: Channel, base: str, kept: Configured | None) -> Configured:
        setup = Setup(hub.registry, hub.ambient, hub.secretbox, hub.connectors, hub.formats)
        settings = setup.read("wppconnect", self._settings(channel, base))
        if kept is not None:
            return await hub.store.write(lambda tx: setup.change(tx, kept.id, settings=settings, by="demo"))
        now = to_ms(hub.ambient.clock.now())
        phone = self.simulator.phone(channel.session)
        placed = self.talks[channel.session].yesterday(now) if not phone.messages else []
        missed = missed_of(placed, now) if channel.direct else None
        told = list(told_of(phone, channel.session, settings, placed, missed))

        def work(tx: Connection) -> Configured:
            made = setup.create(tx, "wppconnect", channel.title, settings, by="demo")
            _yesterday(tx, hub, made.id, told, missed)
            return made

        return await hub.store.write(work)

    def _settings(self, channel: Channel, base: str) -> dict[str, Any]:
        """Answer what a person would fill in."""
        sim = self.simulator
        given = {"session_name": channel.session, "phone": channel.number, "server_url": sim.server_url}
        if channel.direct:
            doors = {"hub_url": base, "browser_url": sim.control_url}
        else:
            doors = {"gateway_url": sim.gateway_url, "gateway_secret": KEY}
        return {**given, "secret_key": KEY, **doors, **PATIENCE}

    async def live(self, hub: Hub, rate: float) -> None:
        """Have a team work on the inbox, and people write. Ends only by being cancelled."""
        try:
            await Team(hub, self.connections).settle_in()
        except AtalaiaError as error:  # the visitor may have taken away what this needs
            log.info("demo.team_stopped", said=str(error))
        if rate > 0:
            await asyncio.gather(*(talk.go_on(rate) for talk in self.talks.values()))

    async def hide(self, session: str) -> None:
        """Let a contact who wrote before write by a hidden identity from now on."""
        talk = self.talks[session]
        if contact := talk.next_to_hide():
            await self.simulator.faults.start("lid_migration", session=session, contact=contact)
            talk.press(contact)

    # ---- what the panel's buttons do -----------------------------------------------------

    def deeds(self) -> Mapping[str, Callable[[str], Awaitable[None]]]:
        """Answer what can be done to a session's phone, by name."""
        return {
            "write": self._write, "file": self._file, "answer": self._answer, "scan": self._scan,
            "end_browser": self._end_browser,
        }  # fmt: skip

    async def _write(self, session: str) -> None:
        self.talks[session].press()

    async def _file(self, session: str) -> None:
        self.talks[session].press_file()

    async def _answer(self, session: str) -> None:
        self.talks[session].press_own()

    async def _scan(self, session: str) -> None:
        """Read the code; a session that shows none is started first, as the person at its page does."""
        one = self.simulator.session(session)
        if self.simulator.scan(session):
            if one.page is not None and not self.simulator.phone(session).linked:
                await one.close()  # an old server takes a removed device for a connected one
            one.start({})
            for _ in range(20):
                await asyncio.sleep(0.2)
                if not self.simulator.scan(session):
                    return

    async def _end_browser(self, session: str) -> None:
        self.simulator.end_browser(session)


def demo_chats() -> World:
    """Answer two phones with contacts and groups; the gateway spells the second one otherwise."""
    owners = [_owner(one, place) for place, one in enumerate(CHANNELS)]
    behind = [one for one in CHANNELS if not one.direct]
    return World(
        owners,
        channels=[_gateway_id(one) for one in behind],
        aliases={_gateway_id(one): one.session for one in behind},
    )


def _owner(channel: Channel, place: int) -> PhoneOwner:
    made = owner(channel.session, channel.number, place + 1, contacts=PEOPLE)
    for number, one in enumerate(made.people):
        if not one.business:
            name = f"{FIRST[number % len(FIRST)]} {LAST[(number * 3 + place) % len(LAST)]}"
            one.pushname, one.name = name, name if one.name else ""
    return made


def _gateway_id(channel: Channel) -> str:
    return channel.session.lower().replace(" ", "")


def _yesterday(
    tx: Connection, hub: Hub, connection: str, told: list[tuple[int, Heard]], missed: Missed | None
) -> None:
    """Write down what was heard in the last day, each at its time, and the gap of that day."""
    policies, before = hub.log.policies, head(tx)
    for at_ms, one in sorted(told, key=lambda row: row[0]):
        append_heard(tx, _then(hub, at_ms), policies, [(Source(connection), [one])])
    _understand(tx, hub, connection, before)
    if missed is not None:
        _account(tx, hub, connection, missed, len(told))


def _understand(tx: Connection, hub: Hub, connection: str, seq: int) -> None:
    """Write down what that meant, each at the same time; the hub itself finds these facts told already."""
    [one] = CONNECTOR.interpretations
    interpreter = one.make(connection, Memory())
    for event in read_after(tx, seq, limit=EVENTS_MAX, family=HEARD):
        facts = interpreter.take(event)
        append_facts(tx, _then(hub, event.recorded_ms), one.name, facts, connection=connection)


def _account(tx: Connection, hub: Hub, connection: str, missed: Missed, messages: int) -> None:
    """Write down how the gap of yesterday was found and closed."""
    gap = derived_uuid7(missed.from_ms, f"demo:{connection}")
    said = "The page has messages that no webhook brought."
    opened = {
        "id": gap, "from_ms": missed.from_ms, "to_ms": missed.found_ms, "cause": said, "origin": "found",
        "planes": ["message_in"], "history": True,
    }  # fmt: skip
    checked = {"chats": PEOPLE, "of": PEOPLE, "messages": messages}
    report = Reconciled(checked, {"messages": missed.messages}, lost="no")
    closed = closing(report, missed.from_ms, missed.found_ms, gaps=[gap], history=True)
    at = missed.found_ms
    facts = [
        Fact("session.looked", connection, at, {"health": "sick", "kind": Truth.DEAF, "said": said}),
        Fact("gap.opened", connection, missed.from_ms, opened),
        Fact("gap.closed", connection, at, closed),
    ]
    append_facts(tx, _then(hub, at), "demo", facts, connection=connection)


def _then(hub: Hub, at_ms: int) -> Ambient:
    return Ambient(clock_at(at_ms), hub.ambient.ids, hub.ambient.random)


class Team:
    """The people who answer: what they did to yesterday's conversations, and what they keep at hand."""

    def __init__(self, hub: Hub, connections: Mapping[str, str]) -> None:
        self._hub, self._connections = hub, connections
        self._acts = Acts(hub.ambient, TEAM)

    async def settle_in(self) -> None:
        """Label, note, link and close, once; a kept data folder has it already."""
        store = self._hub.store
        if await store.read(notes.list_replies):
            return
        await store.write(self._replies)
        [support, sales] = [await self._threads(one.session) for one in CHANNELS]
        for place, one in enumerate(support):
            await store.write(lambda tx, one=one, place=place: self._support(tx, one, place))
        for place, one in enumerate(sales):
            await store.write(lambda tx, one=one, place=place: self._sales(tx, one, place))

    async def _threads(self, session: str) -> list[Thread]:
        """Answer the conversations with people, the latest first, as soon as yesterday is understood."""
        wanted = ThreadFilter(channel=self._connections[session])
        known: list[Thread] = []
        for _ in range(LOOKS_MAX):
            found = await self._hub.store.read(lambda tx: queries.list_threads(tx, wanted, ""))
            if found and len(found) == len(known):
                break  # nothing was added since the last look
            known = found
            await asyncio.sleep(LOOK_S)
        return [one for one in known if not one.is_group]

    def _replies(self, tx: Connection) -> None:
        for shortcut, text in (
            ("bomdia", "Bom dia! Aqui é a Ana, da central. Como posso ajudar?"),
            ("chamado", "Abri um chamado para isso. Assim que houver novidade, aviso por aqui."),
            ("visita", "O técnico passa hoje entre 14h e 17h. Alguém pode recebê-lo?"),
            ("obrigada", "Eu que agradeço. Qualquer coisa, é só chamar."),
        ):
            notes.keep_reply(tx, self._hub.ambient, TEAM, shortcut, text)

    def _support(self, tx: Connection, one: Thread, place: int) -> None:
        if place % 4 == 1:
            self._acts.label(tx, one.id, add=["portão"] if place % 8 == 1 else ["urgente", "elevador"])
        if place == 2:
            self._acts.note(tx, one.id, "Síndico do Jequitibá. Prefere ser chamado depois das 14h.")
            self._acts.link(tx, one.id, company="Edifício Jequitibá", person=one.name)
        if place == 4:
            self._acts.status(tx, one.id, "pending")
        if place > 8:
            self._acts.status(tx, one.id, "closed")

    def _sales(self, tx: Connection, one: Thread, place: int) -> None:
        if place % 3 == 0:
            self._acts.label(tx, one.id, add=["proposta"])
        if place == 1:
            self._acts.link(tx, one.id, company="Condomínio Modelo", person=one.name)
        if place > 10:
            self._acts.status(tx, one.id, "closed")
