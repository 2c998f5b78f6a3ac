"""The log as JSON lines: complete, in order, without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atalaia.events import export as module
from atalaia.events.export import export
from atalaia.events.log import EventLog, Source
from atalaia.events.model import Fact, Heard
from atalaia.events.policy import Policies
from atalaia.events.queries import EventFilter
from atalaia.redact import MASK, Redactor
from atalaia.store.store import Store

EVERYTHING = EventFilter()
CANARY = "c4n4ry-s3cr3t"


@pytest.fixture
def log(store: Store, ambient) -> EventLog:
    return EventLog(store, ambient, Policies({}, {}))


async def rows(
    store: Store, wanted: EventFilter = EVERYTHING, *, redact=lambda text: text, **more
) -> list[Any]:
    text = b"".join([page async for page in export(store, wanted, redact=redact, **more)])
    assert not text or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


async def test_every_event_is_a_line_with_its_times_in_words(log: EventLog):
    [heard] = await log.put(Source("c1"), [Heard("x.Y", "k", 1_767_000_000_123, '{"a": 1}', late=True)])
    [fact] = await log.put_facts("p", [Fact("a.b", "k", 5, {"b": 2}, cause_seq=heard.seq)], connection="c1")

    first, second = await rows(log.store)

    assert first == {
        "seq": heard.seq, "id": first["id"], "family": "heard", "type": "x.Y", "key": "k", "connection": "c1",
        "occurred_at": "2025-12-29T09:20:00.123Z", "recorded_at": "2026-01-01T00:00:00.000Z",
        "cause_seq": None, "late": True, "data": {"a": 1},
    }  # fmt: skip
    assert (second["seq"], second["cause_seq"], second["data"]) == (fact.seq, heard.seq, {"b": 2})


async def test_pages_are_joined_without_a_hole_or_a_double(log: EventLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PAGE", 7)
    answers = await log.put(Source("c1"), [Heard(f"x.{n % 3}", f"k{n % 4}", n, str(n)) for n in range(50)])
    every = [answer.seq for answer in answers]

    async def seqs(wanted: EventFilter = EVERYTHING, **more: int) -> list[int]:
        return [row["seq"] for row in await rows(log.store, wanted, **more)]

    assert await seqs() == every
    assert await seqs(after=every[9]) == every[10:]
    assert await seqs(upto=every[20]) == every[:21]
    assert await seqs(after=every[3], upto=every[17]) == every[4:18]
    assert await seqs(most=0) == []
    assert await seqs(most=15) == every[:15]
    assert await seqs(after=every[-1]) == []
    assert await seqs(EventFilter(types=("x.1",))) == every[1::3]
    assert await seqs(EventFilter(types=("x.*",), key="k2")) == every[2::4]
    assert await seqs(EventFilter(connection="other")) == []
    assert await seqs(EventFilter(family="fact")) == []


async def test_events_of_a_time_only(log: EventLog, clock):
    await log.put(Source("c1"), [Heard("x", "k", 1, "1")])
    await clock.run_for(60)
    await log.put(Source("c1"), [Heard("x", "k", 1, "2")])
    await clock.run_for(60)
    await log.put(Source("c1"), [Heard("x", "k", 1, "3")])

    start = 1_767_225_600_000
    wanted = EventFilter(from_ms=start + 30_000, to_ms=start + 90_000)
    assert [row["data"] for row in await rows(log.store, wanted)] == [2]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"password": CANARY}),
        json.dumps({"deep": [{"Authorization": f"Bearer {CANARY}"}]}),
        json.dumps({"url": f"amqp://user:{CANARY}@host/vhost"}),
        json.dumps({"said": f"GET /x?api_key={CANARY}&b=1 failed"}),
        json.dumps({"text": f"learned at run time: {CANARY}"}),
        f"PW: {CANARY}\r\nno JSON at all",
        f'broken {{"password": "{CANARY}"',
    ],
)
async def test_no_secret_leaves_with_an_export(log: EventLog, body: str):
    redactor = Redactor([CANARY])
    await log.put(Source("c1"), [Heard("x.Y", f"token={CANARY}", 1, body)])

    text = b"".join([page async for page in export(log.store, EVERYTHING, redact=redactor.json)]).decode()

    assert CANARY not in text
    assert MASK in text
    json.loads(text)


async def test_what_is_no_json_is_kept_as_text(log: EventLog):
    odd = ["not json", '"half \ud83d"', ""]
    await log.put(Source("c1"), [Heard("x", "k", 1, body) for body in odd])

    raw = [row.get("raw") for row in await rows(log.store)]
    assert raw == ["not json", '"half \\ud83d"', ""]
