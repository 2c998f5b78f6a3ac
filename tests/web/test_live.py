"""The live stream: in order, without gaps across reconnects, bounded for who cannot keep up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.people.model import HUB
from atalaia.desk.people.rows import list_people
from atalaia.events.log import Source, read_after
from atalaia.events.model import Event, Fact, Heard
from atalaia.web.live import TICK_S, Live, topics_of
from tests.web.site import Site, running


@dataclass
class Message:
    id: int
    name: str
    data: str


class Stream:
    """Reads server-sent events as a browser does."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.last_id = 0

    async def next(self) -> Message:
        name, data = "", []
        async for raw in self.answer.content:
            line = raw.decode().rstrip("\n")
            if line == "" and (name or data):
                return Message(self.last_id, name, "\n".join(data))
            field, _, value = line.partition(": ")
            if field == "id":
                self.last_id = int(value)
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
        raise EOFError

    async def of(self, name: str, count: int = 1) -> list[Message]:
        found: list[Message] = []
        while len(found) < count:
            message = await self.next()
            if message.name == name:
                found.append(message)
        return found


@asynccontextmanager
async def looking(client: aiohttp.ClientSession, topics: str, **headers: str) -> AsyncIterator[Stream]:
    async with client.get(f"/live?topics={topics}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        stream = Stream(answer)
        await stream.of("tick")  # from here on the tail feeds it
        yield stream


async def say(site: Site, *facts: Fact) -> list[int]:
    return [one.seq for one in await site.parts.log.put_facts("test", facts)]


def call(number: int, kind: str = "call.opened") -> Fact:
    return Fact(kind, f"c{number}", 0, {"origin": str(number)})


async def test_facts_come_as_they_are_written_with_their_sequence_as_id(site: Site) -> None:
    async with looking(await site.api("events:read"), "calls") as stream:
        seqs = await say(site, call(1), Fact("alert.raised", "x", 0), call(2))
        messages = await stream.of("calls", 2)
    assert [message.id for message in messages] == [seqs[0], seqs[2]]
    assert json.loads(messages[0].data)["key"] == "call-c1"


async def test_a_reconnecting_browser_misses_nothing_and_hears_nothing_twice(site: Site) -> None:
    client = await site.api("events:read")
    async with looking(client, "calls") as stream:
        await say(site, call(1))
        [first] = await stream.of("calls")
    while site.app.state.live.clients:
        site.app.state.live.end_streams()
        await say(site, Fact("gap.opened", "g", 0))
    missed = await say(site, call(2), call(3))
    async with looking(client, "calls", **{"Last-Event-ID": str(first.id)}) as again:
        fresh = await say(site, call(4))
        messages = await again.of("calls", 3)
    assert [message.id for message in messages] == [*missed, *fresh]


async def test_a_page_goes_on_from_the_sequence_it_shows(site: Site) -> None:
    shown = (await say(site, call(1)))[0]
    later = await say(site, call(2))
    async with looking(await site.api("events:read"), f"calls&after={shown}") as stream:
        messages = await stream.of("calls")
    assert [message.id for message in messages] == later


async def test_heard_events_come_only_to_who_asks_for_them(site: Site) -> None:
    heard = Heard("toy.Rang", "k", 0, "{}")
    client = await site.api("events:read")
    async with looking(client, "events") as events, looking(client, "facts") as only_facts:
        [one] = await site.parts.log.put(Source("c1"), [heard])
        seqs = await say(site, call(1))
        assert [message.id for message in await events.of("events", 2)] == [one.seq, *seqs]
        assert [message.id for message in await only_facts.of("facts")] == seqs


async def test_html_is_drawn_once_per_language_and_fanned_out(site: Site) -> None:
    drawn: list[str] = []

    def draw(event: Event, language: str) -> str:
        drawn.append(language)
        return f'<p id="call-{event.key}">\n{language}</p>'

    site.app.state.live.draw("calls", draw)
    client = await site.api("events:read")
    english = {"Accept-Language": "en"}
    async with (
        looking(client, "calls", **english) as one,
        looking(client, "calls", **english) as two,
        looking(client, "calls", **{"Accept-Language": "pt-BR"}) as three,
    ):
        await say(site, call(1))
        texts = [json.loads((await stream.of("calls"))[0].data)["html"] for stream in (one, two, three)]
    assert texts == ['<p id="call-c1">\nen</p>'] * 2 + ['<p id="call-c1">\npt_BR</p>']
    assert sorted(drawn) == ["en", "pt_BR"]


async def test_silence_is_broken_by_a_tick_that_tells_the_time(site: Site, clock: HeldClock) -> None:
    async with looking(await site.api("events:read"), "calls") as stream:
        await clock.run_for(TICK_S + 1)
        [tick] = await stream.of("tick")
    assert int(tick.data) == 1_767_225_600_000 + int(TICK_S) * 1000


async def test_who_cannot_keep_up_is_told_to_reload(tmp_path: Path, ambient: Ambient) -> None:
    async with running(tmp_path, ambient, live_waiting_max=10) as site:
        live = site.app.state.live
        async with looking(await site.api("events:read"), "calls") as stream:
            [client] = live._clients  # its queue is what overflows
            for number in range(11):
                client.put(number + 100, f"id: {number + 100}\nevent: calls\ndata: x\n\n")
            assert (await stream.of("reload"))[0].id == 110


async def test_too_long_an_absence_is_a_reload(site: Site) -> None:
    await say(site, *(call(number) for number in range(1, 1103)))
    async with looking(await site.api("events:read"), "calls", **{"Last-Event-ID": "1"}) as stream:
        [reload] = await stream.of("reload")
    assert reload.id >= 1100


async def test_a_person_whose_access_ends_loses_the_stream(site: Site) -> None:
    viewer = await site.browser("viewer", "vi@example.com")
    async with looking(viewer.http, "calls") as stream:
        people = await site.parts.store.read(lambda tx: {one.email: one.id for one in list_people(tx)})
        await site.parts.people.sign_out_everywhere(people["vi@example.com"], by=HUB)
        with pytest.raises(EOFError):
            await stream.of("calls")
    async with viewer.http.get("/live?topics=calls") as answer:
        assert answer.status == 401


async def test_a_stream_needs_topics_and_the_right_to_read(site: Site) -> None:
    async with (await site.api("events:read")).get("/live?topics=") as nothing:
        assert nothing.status == 422
    calls = await site.api("calls:read")
    async with calls.get("/live?topics=facts,connections") as wrong_scope:
        assert wrong_scope.status == 403
    async with calls.get("/live?topics=facts,calls") as own:
        assert own.status == 200


async def test_the_word_of_the_hubs_health_follows_by_itself(site: Site) -> None:
    async with looking(await site.api(), "health", **{"Accept-Language": "en"}) as stream:
        [alert] = await site.parts.log.put_facts("test", [Fact("alert.raised", "disk", 0, {"title": "Full"})])
        await site.parts.store.write(lambda tx: Alerts().apply(tx, read_after(tx, alert.seq - 1, limit=1)))
        await site.app.state.health_service.look()
        [message] = await stream.of("health")
    assert 'id="health"' in json.loads(message.data)["html"]
    assert "Attention" in json.loads(message.data)["html"]


def test_every_fact_of_the_catalogue_stirs_something_of_its_own() -> None:
    from atalaia.events.catalogue import FACTS

    for fact in FACTS:
        event = Event(1, "i", "fact", fact.type, "k", "c", 0, 0, None, False, "{}")
        assert set(topics_of(event)) - {"facts", "events"}, fact.type


def test_a_process_stirs_the_page_of_its_vehicle_alone():
    body = '{"kind":"scheme_builder","vehicle_id": "2900108","percent":1.7}'
    event = Event(1, "e", "fact", "process.progressed", "10422606", "c", 0, 0, None, False, body)
    assert topics_of(event) == (
        "vehicles", "process:10422606", "vehicle:2900108", "facts", "events",
    )  # fmt: skip


async def test_a_fact_waits_for_the_tables_that_show_it_and_for_no_others(site: Site) -> None:
    """Who folds calls alone is woken by calls alone: its place in the log says nothing of other facts."""
    site.parts.folds = {"calls": ("call.*",), "alerts": ("alert.raised",)}
    live = Live(site.parts)
    [raised, other] = await say(site, Fact("alert.raised", "x", 0), Fact("token.made", "t", 0))
    places = {"calls": 0, "alerts": 0}

    async def ready() -> list[int]:
        events = await site.parts.store.read(lambda tx: read_after(tx, raised - 1, family=1))
        return [event.seq for event in events if live.is_folded(event, places)]

    assert await ready() == [other]
    places["alerts"] = raised
    assert await ready() == [raised, other]
