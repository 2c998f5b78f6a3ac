"""What the API answers about the log, calls, connections, health; and what it never says."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import aiohttp
import pytest

from atalaia.clock import HeldClock
from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.calls.fold import Calls
from atalaia.desk.endpoints.fold import Endpoints
from atalaia.events.gaps import Gaps
from atalaia.events.log import Source, read_after
from atalaia.events.model import Fact, Heard
from atalaia.events.queries import EventFilter
from atalaia.events.queries import newest as newest_events
from atalaia.events.retention import Rules, sweep
from tests.store.bases import BOTH
from tests.web.site import Site

pytestmark = pytest.mark.parametrize("site", BOTH, indirect=True)

START = 1_767_225_600_000
CANARY = "cAnary-7f3a9"


async def fold(site: Site) -> None:
    """Fold the whole log into the tables, as the runner does."""

    def work(tx: Any) -> None:
        facts = read_after(tx, 0, limit=10_000, family=1)
        for projection in (Calls(), Endpoints(), Alerts(), Gaps()):
            projection.apply(tx, [fact for fact in facts if fact.type in projection.types])

    await site.parts.store.write(work)


async def get(client: aiohttp.ClientSession, path: str, **query: Any) -> Any:
    async with client.get(path, params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def every(client: aiohttp.ClientSession, path: str, **query: Any) -> list[Any]:
    """Read all pages."""
    items: list[Any] = []
    page = await get(client, path, **query)
    while True:
        items += page["items"]
        if page["next"] is None:
            return items
        page = await get(client, path, **query, cursor=page["next"])


def call_facts(number: int, outcome: str = "closed") -> list[Fact]:
    guid, opened = f"call-{number}", START + number * 60_000
    data: dict[str, Any] = {
        "client": "114", "server": "pbx", "origin": f"11400{number:02d}", "destiny": "1140101",
        "opened_ms": opened, "callnumber": number,
    }  # fmt: skip
    facts = [Fact("call.opened", guid, opened, data)]
    if outcome == "closed":
        data = {**data, "answered_ms": opened + 4_000, "ring_s": 4, "answered_by": "1140101"}
        facts.append(Fact("call.answered", guid, opened + 4_000, data))
    if outcome != "open":
        talk = 20 if outcome == "closed" else 0
        data = {**data, "ended_ms": opened + 24_000, "talk_s": talk, "outcome": outcome}
        facts.append(Fact("call.ended", guid, opened + 24_000, data))
    return facts


async def test_events_are_paged_both_ways_without_gaps_and_filtered(site: Site) -> None:
    client = await site.api()
    heard = [Heard(f"toy.Kind{n % 3}", f"k{n % 2}", START + n, json.dumps({"n": n})) for n in range(25)]
    await site.parts.log.put(Source("c1"), heard)
    everything = await every(client, "/api/events", limit=7)
    assert [event["seq"] for event in everything] == sorted(
        (event["seq"] for event in everything), reverse=True
    )
    toys = await every(client, "/api/events", limit=4, type="toy.*", order="oldest")
    assert [event["data"]["n"] for event in toys] == list(range(25))
    assert toys[0]["occurred_at"] == "2026-01-01T00:00:00.000Z"
    some = await every(
        client, "/api/events", limit=3, type=["toy.Kind0", "toy.Kind1"], key="k1", order="oldest"
    )
    assert [event["data"]["n"] for event in some] == [n for n in range(25) if n % 3 != 2 and n % 2]
    words = await every(client, "/api/events", text='"N": 24')
    assert [event["data"]["n"] for event in words] == [24]
    assert await every(client, "/api/events", connection="other") == []
    assert {event["family"] for event in await every(client, "/api/events", family="fact")} == {"fact"}
    tail = await get(client, "/api/events", order="oldest", after=toys[-2]["seq"], type="toy.*")
    assert [event["data"]["n"] for event in tail["items"]] == [24]


async def test_events_are_found_by_when_they_were_written_down(site: Site, clock: HeldClock) -> None:
    client = await site.api()
    for hour in range(5):
        await site.parts.log.put(Source("c1"), [Heard("toy.Rang", "k", START, json.dumps({"hour": hour}))])
        await clock.run_for(3600)
    found = await every(
        client,
        "/api/events",
        **{"from": "2026-01-01T01:00:00Z", "to": "2026-01-01T00:00:00-03:00"},
        type="toy.Rang",
    )
    assert [event["data"]["hour"] for event in found] == [2, 1]
    async with client.get("/api/events", params={"from": "yesterday"}) as answer:
        assert answer.status == 422
        assert (await answer.json())["errors"][0]["field"] == "query.from"


async def test_a_search_for_words_is_bounded_and_says_where_to_go_on(site: Site) -> None:
    await site.parts.log.put(
        Source("c1"), [Heard("toy.Rang", "k", START, f'{{"n": {n}}}') for n in range(30)]
    )
    from atalaia.events import queries

    before = queries.SCAN_MAX
    queries.SCAN_MAX = 10
    try:
        page = await site.parts.store.read(lambda tx: newest_events(tx, EventFilter(words='"n": 3}')))
        assert page.events == []
        assert page.next_seq is not None
        found, start = [], page.next_seq
        while start is not None:
            page = await site.parts.store.read(
                lambda tx, at=start: newest_events(tx, EventFilter(words='"n": 3}'), before=at)
            )
            found += page.events
            start = page.next_seq
        assert [event.body for event in found] == ['{"n": 3}']
    finally:
        queries.SCAN_MAX = before


async def test_one_event_its_body_and_what_followed_from_it(site: Site) -> None:
    client = await site.api()
    body = '{"b":1,  "a":[2]}'
    [heard] = await site.parts.log.put(Source("c1"), [Heard("toy.Rang", "k", START, body)])
    await site.parts.log.put_facts("t", [Fact("call.opened", "c", START, {"x": 1}, cause_seq=heard.seq)])
    async with client.get(f"/api/events/{heard.seq}/body") as answer:
        assert await answer.text() == body
    assert [one["type"] for one in await get(client, f"/api/events/{heard.seq}/caused")] == ["call.opened"]
    assert "toy.Rang" in await get(client, "/api/events/types")
    [count] = await get(client, "/api/events/counts", connection="c1")
    assert (count["type"], count["kept"]) == ("toy.Rang", 1)
    async with client.get("/api/events/999999") as missing:
        assert missing.status == 404


async def test_an_export_is_the_whole_log_as_json_lines(site: Site) -> None:
    client = await site.api()
    await site.parts.log.put(
        Source("c1"), [Heard("toy.Rang", f"k{n}", START, f'{{"n": {n}}}') for n in range(1200)]
    )
    async with client.get("/api/events/export", params={"type": "toy.Rang"}) as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [line["data"]["n"] for line in lines] == list(range(1200))
    async with client.get("/api/events/export", params={"type": "toy.Rang", "most": 700}) as answer:
        assert len((await answer.text()).splitlines()) == 700


async def test_calls_are_listed_counted_and_exported(site: Site) -> None:
    client = await site.api()
    outcomes = ["closed", "unanswered", "closed", "open"]
    facts = [fact for number, outcome in enumerate(outcomes) for fact in call_facts(number, outcome)]
    await site.parts.log.put_facts("t", facts)
    await fold(site)
    await fold(site)  # folding again changes nothing
    listed = await every(client, "/api/calls", limit=2)
    assert [call["guid"] for call in listed] == ["call-3", "call-2", "call-1", "call-0"]
    assert [call["status"] for call in listed] == ["open", "closed", "unanswered", "closed"]
    assert (listed[3]["opened_at"], listed[3]["ring_s"], listed[3]["talk_s"]) == (
        "2026-01-01T00:00:00.000Z",
        4,
        20,
    )
    assert [call["guid"] for call in await every(client, "/api/calls", number="1140002")] == ["call-2"]
    assert [call["guid"] for call in await every(client, "/api/calls", status=["open", "unanswered"])] == [
        "call-3",
        "call-1",
    ]
    [hour] = await get(client, "/api/calls/hours")
    assert (hour["calls"], hour["answered"], hour["unanswered"], hour["talk_s"]) == (4, 2, 1, 40)
    async with client.get("/api/calls/export") as answer:
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert [row["guid"] for row in rows] == ["call-3", "call-2", "call-1", "call-0"]
    async with client.get("/api/calls/export", params={"format": "jsonl"}) as answer:
        assert json.loads((await answer.text()).splitlines()[0])["guid"] == "call-3"
    timeline = await get(client, "/api/calls/call-0/timeline")
    assert [event["type"] for event in timeline] == ["call.opened", "call.answered", "call.ended"]


async def test_a_caller_cannot_put_a_formula_into_a_spreadsheet(site: Site) -> None:
    client = await site.api()
    for number, origin in enumerate(["=cmd|'/c calc'!A1", "+5511999", "@x"]):
        [opened] = call_facts(number, "open")
        await site.parts.log.put_facts(
            "t", [Fact("call.opened", opened.key, opened.occurred_ms, {**opened.data, "origin": origin})]
        )
    await fold(site)
    async with client.get("/api/calls/export") as answer:
        origins = [row["origin"] for row in csv.DictReader(io.StringIO(await answer.text()))]
    assert origins == ["'@x", "+5511999", "'=cmd|'/c calc'!A1"]


async def test_phones_alerts_and_gaps_are_told_as_they_stand(site: Site) -> None:
    client = await site.api()
    put = site.parts.log.put_facts
    await put(
        "t",
        [Fact("endpoint.status_changed", "1140101", START, {"status": "online", "client": "114"})],
        connection="c1",
    )
    await put(
        "t", [Fact("endpoint.address_seen", "1140101", START, {"address": "10.0.0.5:5060"})], connection="c1"
    )
    await put(
        "t",
        [
            Fact("alert.raised", "disk", START + n, {"title": "Full", "detail": {"todo": "Free"}})
            for n in range(2)
        ],
    )
    await put(
        "t",
        [
            Fact(
                "gap.opened",
                "c1",
                START,
                {"id": "g1", "from_ms": START, "cause": "cut", "planes": ["socket"]},
            )
        ],
    )
    await fold(site)
    [phone] = await every(client, "/api/endpoints?client=114")
    assert (phone["status"], phone["address"]) == ("online", "10.0.0.5:5060")
    [alert] = await every(client, "/api/alerts")
    assert (alert["times"], alert["raised_at"], alert["detail"]["todo"]) == (
        2,
        "2026-01-01T00:00:00.000Z",
        "Free",
    )
    [gap] = await every(client, "/api/gaps", open="true")
    assert (gap["id"], gap["to"], gap["planes"]) == ("g1", None, ["socket"])

    closing = {"from_ms": START, "to_ms": START + 5_000, "checked": {"channels": 3}, "lost": "no"}
    await put(
        "t", [Fact("gap.closed", "c1", START + 5_000, closing), Fact("alert.resolved", "disk", START + 9, {})]
    )
    await fold(site)
    assert await every(client, "/api/alerts") == []
    assert [one["cause"] for one in await every(client, "/api/alerts", state="resolved")] == ["disk"]
    [gap] = await every(client, "/api/gaps", connection="c1")
    assert (gap["to"], gap["lost"], gap["checked"]) == ("2026-01-01T00:00:05.000Z", "no", {"channels": 3})


async def test_a_connection_is_set_up_changed_and_removed_without_ever_saying_its_secret(site: Site) -> None:
    client = await site.api()
    asked = {"connector": "toy", "name": "Toy", "settings": {"url": "http://toy", "password": CANARY}}
    async with client.post("/api/connections", json=asked) as made:
        assert made.status == 201
        where = made.headers["Location"]
        assert CANARY not in await made.text()
    seen = await get(client, f"{where}/settings")
    assert (seen["settings"], seen["secrets_set"]) == ({"url": "http://toy"}, ["password"])
    async with client.patch(where, json={"settings": {"url": "http://other"}, "name": "Other"}) as changed:
        assert (await changed.json())["name"] == "Other"
    identity = where.rsplit("/", 1)[1]
    kept = await site.parts.store.read(lambda tx: site.parts.registry.get(tx, identity))
    assert kept is not None
    assert kept.settings.password.get_secret_value() == CANARY  # type: ignore[attr-defined]
    wrong = {**asked, "settings": {"password": [CANARY]}}
    async with client.post("/api/connections", json=wrong) as refused:
        assert refused.status == 422
        assert CANARY not in await refused.text()
    check = {"connector": "toy", "connection": identity, "settings": {"url": f"http://u:{CANARY}@toy"}}
    async with client.post("/api/connections/check", json=check) as tried:
        assert tried.status == 200
        text = await tried.text()
        assert CANARY not in text
        assert "refused" in text
    async with client.delete(where) as gone:
        assert gone.status == 204
    async with client.get(where) as missing:
        assert missing.status == 404


async def test_canaries_in_frames_facts_and_alerts_come_out_nowhere(site: Site) -> None:
    client = await site.api()
    site.parts.redactor.learn("learned-canary")
    bodies = [
        json.dumps({"password": CANARY, "nested": [{"api_key": CANARY}]}),
        json.dumps({"url": f"ws://host/?api_key=user:{CANARY}", "said": "it was learned-canary"}),
        json.dumps({"raw": f"Authorization: Basic {CANARY}"}),
    ]
    await site.parts.log.put(Source("c1"), [Heard("toy.Rang", "k", START, body) for body in bodies])
    detail = {"title": f"password={CANARY}", "detail": {"token": CANARY, "said": "learned-canary"}}
    await site.parts.log.put_facts("t", [Fact("alert.raised", "x", START, detail)])
    await fold(site)
    paths = ["/api/events", "/api/events/export", "/api/alerts", "/api/settings", "/api/system"]
    events = await every(client, "/api/events", type="toy.Rang")
    paths += [f"/api/events/{event['seq']}/body" for event in events]
    for path in paths:
        async with client.get(path) as answer:
            text = await answer.text()
        assert answer.status == 200, text
        assert CANARY not in text, path
        assert "learned-canary" not in text, path


async def test_metrics_are_for_this_machine_and_for_tokens(site: Site) -> None:
    async with site.client().get("/metrics") as answer:
        assert "atalaia_log_last_seq" in await answer.text()
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    async with site.client().get("/metrics", headers=forwarded) as answer:
        assert answer.status == 401
    async with (await site.api("system:read")).get("/metrics", headers=forwarded) as answer:
        assert answer.status == 200


async def test_a_kind_is_kept_counted_or_dropped_as_a_person_says(site: Site) -> None:
    client = await site.api()
    async with client.put("/api/settings/kinds/toy/Noise*", json={"policy": "count"}) as answer:
        assert answer.status == 200
    await site.parts.log.put(
        Source("c1"), [Heard("toy.NoiseA", "k", START, "{}"), Heard("toy.Rang", "k", START, "{}")]
    )
    assert [e["type"] for e in await every(client, "/api/events", family="heard")] == ["toy.Rang"]
    async with client.delete("/api/settings/kinds/toy/Noise*") as answer:
        assert answer.status == 204
    async with client.delete("/api/settings/kinds/toy/Noise*") as answer:
        assert answer.status == 404


async def test_the_system_tells_versions_and_sizes(site: Site) -> None:
    seen = await get(await site.api("system:read"), "/api/system")
    assert (seen["database"], seen["health"]) == (site.parts.store.dialect, "healthy")
    assert seen["sizes"]["bytes"] > 0
    assert seen["sizes"]["media"] is None

    site.parts.files.keep(b"a picture")
    await sweep(site.parts.store, site.parts.ambient, Rules(), files=site.parts.files)
    sizes = (await get(await site.api("system:read"), "/api/system"))["sizes"]
    assert (sizes["media"], sizes["media_bytes"]) == (1, 9)
    async with site.client().get("/metrics") as answer:
        assert "atalaia_media_bytes 9.0" in await answer.text()
    async with (await site.browser()).http.get("/system") as answer:
        assert "Arquivos de mensagens</dt><dd>1 · " in await answer.text()


@pytest.mark.parametrize("path", ["/api/events/%00", "/api/calls/x%00y", "/api/events?key=%00"])
async def test_a_nul_in_an_address_is_a_bad_request(site: Site, path: str) -> None:
    from yarl import URL

    async with (await site.api()).get(URL(site.url + path, encoded=True)) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("body", [b'{"name": "\\u0000"}', b'{"name": "\\ud800"}', b'{"name": ', b"\xff"])
async def test_a_body_that_no_database_can_hold_is_refused(site: Site, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with (await site.api()).post("/api/tokens", data=body, headers=headers) as answer:
        assert answer.status in (400, 422)
        assert answer.content_type == "application/problem+json"
