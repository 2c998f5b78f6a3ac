"""The live stream: one tail of the log per process, fanned out to browsers as server-sent events.

`GET /live?topics=calls,connections&after=1234`. The ids of the events are log sequences, so that
`Last-Event-ID` resumes without a gap. What a browser does with them: `static/app/live.js`.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import orjson
import structlog
from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection, func, select

from atalaia.clock import to_ms
from atalaia.errors import StoreUnavailable
from atalaia.events.log import head, read_after
from atalaia.events.model import Event
from atalaia.reactions.projection import Matcher
from atalaia.store.bell import LOG
from atalaia.store.tables import FACT, cursors
from atalaia.web import render
from atalaia.web.i18n import N_
from atalaia.web.parts import Parts
from atalaia.web.problems import Problem

log = structlog.get_logger(__name__)

TICK_S = 15.0
BACKLOG_MAX = 1_000
CLIENTS_MAX = 2_000
_PAGE = 500
# While tables lag behind the log, look again so soon.
_GATED_S = 0.03
_EACH_TOPIC_MAX = 50
PROJECTIONS = (
    "calls",
    "endpoints",
    "alerts",
    "gaps",
    "vehicles",
    "installations",
    "chats",
    "outbox",
    "chat_files",
)

# What a fact stirs, by the first word of its type. `{key}` is its key.
_TOPICS: dict[str, tuple[str, ...]] = {
    "call": ("calls", "call:{key}"),
    "connection": ("connections", "truths", "connection:{key}"),
    "gap": ("connections", "gaps", "connection:{key}"),
    "recovery": ("connections", "connection:{key}"),
    "session": ("connections", "connection:{key}"),
    "endpoint": ("endpoints",),
    "delivery": ("deliveries",),
    "target": ("deliveries",),
    "subscription": ("deliveries",),
    "alert": ("alerts",),
    "job": ("jobs", "job:{key}"),
    "vehicle": ("vehicles", "vehicle:{key}"),
    "process": ("vehicles", "process:{key}"),
    "installation": ("installations", "installation:{key}"),
    "message": ("chats", "chat:{key}"),
    "conversation": ("chats", "chat:{key}"),
    "contact": ("chats", "contacts"),
    "canned_reply": ("canned_replies",),
    "catalog": ("catalogs", "catalog:{key}"),
    "worker": ("system",),
    "person": ("people",),
    "token": ("tokens",),
    "settings": ("settings",),
    "reaction": ("system",),
}
_VEHICLE = re.compile(r'"vehicle_id"\s*:\s*"([^"\\]{0,40})"')  # a storm of them is not parsed for each page
# A person whose access changed loses his streams; his browser asks again, and is let in or not.
_ACCESS = frozenset({"person.changed", "person.signed_out"})

# (event, language) -> HTML whose elements take the place of those with the same id; None = only stir.
Renderer = Callable[[Event, str], str | None]


def topics_of(event: Event) -> tuple[str, ...]:
    """Answer what an event stirs."""
    if event.family == "heard":
        return ("events", f"heard:{event.connection}")
    named = _TOPICS.get(event.type.partition(".")[0], ("system",))
    if event.type.startswith("process."):  # its vehicle's page shows it
        named = (*named, f"vehicle:{_vehicle_of(event.body)}")
    return (*(name.replace("{key}", event.key) for name in named), "facts", "events")


def _vehicle_of(body: str) -> str:
    found = _VEHICLE.search(body)
    return found[1] if found else ""


def projections_gate(tx: Connection) -> int:
    """Answer up to where the tables follow the log; the log's end when nobody folds it (tests)."""
    seq = tx.scalar(select(func.min(cursors.c.seq)).where(cursors.c.reaction.in_(PROJECTIONS)))
    return head(tx) if seq is None else int(seq)


@dataclass(eq=False)
class _Client:
    """One open stream; what waits for it is bounded, and beyond that it is told to reload."""

    topics: frozenset[str]
    language: str
    person: str
    most: int
    joined: int = 0
    waiting: deque[str] = field(default_factory=deque[str])
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def put(self, seq: int, text: str) -> None:
        if len(self.waiting) >= self.most:
            self.waiting.clear()
            text = _message(seq, "reload", "")
        self.waiting.append(text)
        self.rung.set()

    def end(self) -> None:
        self.ended = True
        self.rung.set()


class Live:
    """Tails the log while somebody looks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._gate = parts.gate or projections_gate
        self._matchers = {name: Matcher(types) for name, types in parts.folds.items()}
        self.ending = False  # the server wants to stop: streams of others end, too
        self._clients: set[_Client] = set()
        self._position = 0
        self._renderers: dict[str, Renderer] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def draw(self, topic: str, renderer: Renderer) -> None:
        """Send HTML with this topic's events; it is drawn once per event and language."""
        self._renderers[topic] = renderer

    def announce(self, topic: str, draw: Callable[[str], str]) -> None:
        """Send what follows from no single event, drawn once per language; a lost one is not told again."""
        drawn: dict[str, str] = {}
        for client in self._clients:
            if topic in client.topics:
                if client.language not in drawn:
                    data = orjson.dumps({"html": draw(client.language)}).decode()
                    drawn[client.language] = f"event: {topic}\ndata: {data}\n\n"
                client.put(self._position, drawn[client.language])

    def start(self) -> None:
        """Begin to tail."""
        self._tasks = [asyncio.create_task(self._tail()), asyncio.create_task(self._tick())]

    async def stop(self) -> None:
        """End all streams and the tail."""
        self.end_streams()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end_streams(self) -> None:
        """End all streams; a server that wants to stop waits for them otherwise."""
        self.ending = True
        for client in self._clients:
            client.end()

    @property
    def clients(self) -> int:
        """How many look."""
        return len(self._clients)

    async def stream(
        self, request: Request, person: str, topics: Sequence[str], after: int | None
    ) -> StreamingResponse:
        """Answer the stream of these topics after a log sequence (None = from now on)."""
        if len(self._clients) >= CLIENTS_MAX:
            raise Problem(503, "busy", N_("Too many live pages are open"), "", headers={"Retry-After": "10"})
        language = render.view_of(request).language
        most = self._parts.settings.live_waiting_max
        client = _Client(frozenset(topics), language, person, most)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._told(client, after), media_type="text/event-stream", headers=headers)

    async def _told(self, client: _Client, after: int | None) -> AsyncIterator[str]:
        try:
            await self._join(client)
            yield ": atalaia\n\n" + self._tick_text()
            if after is not None and after < client.joined:
                for text in await self._backlog(client, after):
                    yield text
            while not client.ended:
                await client.rung.wait()
                client.rung.clear()
                while client.waiting:
                    yield client.waiting.popleft()
        finally:
            self._clients.discard(client)

    async def _join(self, client: _Client) -> None:
        """Let the tail feed this client; nothing between its `joined` and the first message is left out."""
        if not self._clients:
            position = await self._store.read(self._gate)
            if not self._clients:  # still nobody who could lose anything by the jump
                self._position = max(self._position, position)
        client.joined = self._position
        self._clients.add(client)

    async def _backlog(self, client: _Client, after: int) -> list[str]:
        family = None if _wants_heard(client.topics) else FACT
        upto = client.joined
        events = await self._store.read(
            lambda tx: read_after(tx, after, limit=BACKLOG_MAX + 1, family=family, upto=upto)
        )
        if len(events) > BACKLOG_MAX:
            return [_message(upto, "reload", "")]
        drawn: dict[tuple[str, int], str] = {}
        return [text for event in events if (text := self._text(event, client, drawn))]

    # The tail.

    async def _tail(self) -> None:
        bell = self._store.bell
        while True:
            rung = bell.count(LOG)
            gated = False
            try:
                if self._clients:
                    gated = await self._advance()
            except StoreUnavailable as error:
                log.warning("live.tail_waits", said=str(error))
            await bell.wait(LOG, rung, at_most_s=_GATED_S if gated else 1.0)

    async def _advance(self) -> bool:
        """Tell the clients what is new; answer whether more is in the log than the tables show."""
        start = self._position
        heard = any(_wants_heard(client.topics) for client in self._clients)

        def read(tx: Connection) -> tuple[list[Event], dict[str, int], int]:
            last = head(tx)
            events = read_after(tx, start, limit=_PAGE, family=None if heard else FACT, upto=last)
            return events, self._cursors(tx), last

        events, folded, last = await self._store.read(read)
        ready = list(takewhile(lambda event: self.is_folded(event, folded), events))
        self._push(ready)
        if len(ready) < len(events):
            done = events[len(ready)].seq - 1
        else:
            done = events[-1].seq if len(events) == _PAGE else last
        self._position = max(self._position, done)
        return self._position < last

    def _cursors(self, tx: Connection) -> dict[str, int]:
        """Answer up to where each table follows the log."""
        if self._parts.gate is not None:
            return {"": self._parts.gate(tx)}
        found = tx.execute(
            select(cursors.c.reaction, cursors.c.seq).where(cursors.c.reaction.in_(PROJECTIONS))
        )
        return {row.reaction: row.seq for row in found}

    def is_folded(self, event: Event, folded: Mapping[str, int]) -> bool:
        """Answer whether each table that takes this event shows it.

        The others may be behind: who folds calls alone is woken by calls alone.
        """
        return all(seq >= event.seq or not self._wants(name, event.type) for name, seq in folded.items())

    def _wants(self, projection: str, kind: str) -> bool:
        matcher = self._matchers.get(projection)
        return matcher is None or matcher(kind)

    def _push(self, events: Iterable[Event]) -> None:
        drawn: dict[tuple[str, int], str] = {}
        told: dict[tuple[int, str], int] = {}
        for event in events:
            for client in list(self._clients):
                if event.seq <= client.joined:
                    continue
                if event.type in _ACCESS and event.key == client.person:
                    client.end()
                text = self._text(event, client, drawn, told)
                if text:
                    client.put(event.seq, text)

    def _text(
        self,
        event: Event,
        client: _Client,
        drawn: dict[tuple[str, int], str],
        told: dict[tuple[int, str], int] | None = None,
    ) -> str:
        """Answer all messages of one event for one client, in one piece: they carry the same id."""
        texts: list[str] = []
        for topic in topics_of(event):
            if topic not in client.topics:
                continue
            if told is not None:  # a storm of one kind stirs as well by its first few
                number = told[id(client), topic] = told.get((id(client), topic), 0) + 1
                if number > _EACH_TOPIC_MAX and topic not in self._renderers:
                    continue
            place = (f"{topic}\n{client.language}", event.seq)
            if place not in drawn:
                drawn[place] = _message(event.seq, topic, self._data(event, topic, client.language))
            texts.append(drawn[place])
        return "".join(texts)

    def _data(self, event: Event, topic: str, language: str) -> str:
        thing = event.type.partition(".")[0]
        data: dict[str, Any] = {
            "key": f"{thing}-{event.key}",
            "seq": event.seq,
            "type": event.type,
            "subject": event.key,
            "connection": event.connection,
        }
        renderer = self._renderers.get(topic)
        html = renderer(event, language) if renderer else None
        if html is not None:
            data["html"] = html
        return orjson.dumps(data).decode()

    async def _tick(self) -> None:
        while True:
            await self._parts.ambient.clock.sleep(TICK_S)
            text = self._tick_text()
            for client in self._clients:
                client.put(self._position, text)

    def _tick_text(self) -> str:
        return f"event: tick\ndata: {to_ms(self._parts.ambient.clock.now())}\n\n"


# Who reads events may follow everything; others what a scope of theirs opens. A stir of jobs tells nothing of
# what they do, and is how the page of an installation hears that it goes on.
_SCOPES: dict[str, tuple[str, ...]] = {
    "calls": ("calls:read",), "call": ("calls:read",), "endpoints": ("calls:read",),
    "connections": ("connections:read",), "connection": ("connections:read",), "gaps": ("connections:read",),
    "truths": ("connections:read",),
    "deliveries": ("deliveries:read",), "alerts": ("alerts:read",),
    "jobs": ("jobs:read", "installations:read"), "job": ("jobs:read",),
    "vehicles": ("vehicles:read",), "vehicle": ("vehicles:read",), "process": ("vehicles:read",),
    "installations": ("installations:read",), "installation": ("installations:read",),
    "catalogs": ("installations:read",), "catalog": ("installations:read",),
    "system": ("system:read",), "people": ("people:admin",), "tokens": ("tokens:admin",),
    "settings": ("settings:admin",), "health": ("",),
}  # fmt: skip


def may_follow(topic: str, may: Callable[[str], bool]) -> bool:
    """Answer whether one may follow a topic."""
    scopes = _SCOPES.get(topic.partition(":")[0], ())
    return may("events:read") or any(not scope or may(scope) for scope in scopes)


def _wants_heard(topics: frozenset[str]) -> bool:
    return any(topic == "events" or topic.startswith("heard:") for topic in topics)


def _message(seq: int, name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"id: {seq}\nevent: {name}\n{lines}\n"
