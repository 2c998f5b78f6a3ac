"""Developers' events come in once, durably, or are refused with a reason."""

from __future__ import annotations

import json
from typing import Any

from atalaia.events.log import read_after
from atalaia.events.model import Event
from tests.web.site import Site

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def cloud_event(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "order.placed",
        "subject": "order-7", "time": "2026-01-01T00:00:00.250Z", "data": {"total": 12.5}, **more,
    }  # fmt: skip


async def heard(site: Site) -> list[Event]:
    events = await site.parts.store.read(lambda tx: read_after(tx, 0, family=0))
    return [event for event in events if event.type.startswith("intake.")]


async def test_an_event_is_written_as_it_came_and_known_when_it_comes_again(site: Site) -> None:
    connection, client = await site.connection(), await site.api("events:write")
    body = json.dumps(cloud_event(), indent=1)

    async with client.post(f"/api/intake/{connection}", data=body, headers=STRUCTURED) as first:
        assert (first.status, (await first.json())["accepted"]) == (202, 1)
        seqs = (await first.json())["seqs"]
    async with client.post(f"/api/intake/{connection}", data=body, headers=STRUCTURED) as again:
        assert again.status == 200
        assert await again.json() == {"accepted": 0, "duplicates": 1, "seqs": seqs}

    [event] = await heard(site)
    assert (event.type, event.key, event.connection) == ("intake.order.placed", "order-7", connection)
    assert (event.body, event.seq) == (body, seqs[0])
    assert event.occurred_ms == 1_767_225_600_250


async def test_a_batch_is_taken_whole_or_not_at_all(site: Site) -> None:
    connection, client = await site.connection(), await site.api("events:write")
    bad = [cloud_event(1), cloud_event(2, source=""), 7, cloud_event(3, time="yesterday")]
    async with client.post(f"/api/intake/{connection}", json=bad, headers=BATCH) as refused:
        assert refused.status == 400
        assert refused.content_type == "application/problem+json"
        fields = [error["field"] for error in (await refused.json())["errors"]]
    assert fields == ["[1].source", "[2]", "[3].time"]
    assert await heard(site) == []

    good = [cloud_event(1), cloud_event(2), cloud_event(1)]
    async with client.post(f"/api/intake/{connection}", json=good, headers=BATCH) as taken:
        assert taken.status == 202
        assert (await taken.json())["duplicates"] == 1


async def test_binary_mode_puts_headers_and_body_together(site: Site) -> None:
    connection, client = await site.connection(), await site.api("events:write")
    headers = {
        "ce-specversion": "1.0", "ce-id": "b1", "ce-source": "/caf%C3%A9", "ce-type": "cup.filled",
        "Content-Type": "application/json",
    }  # fmt: skip
    async with client.post(f"/api/intake/{connection}", data=b'{"ml": 80}', headers=headers) as answer:
        assert answer.status == 202
    [event] = await heard(site)
    kept = json.loads(event.body)
    assert (kept["source"], kept["data"], kept["datacontenttype"]) == (
        "/café",
        {"ml": 80},
        "application/json",
    )


async def test_who_may_not_send_is_told_so(site: Site) -> None:
    connection = await site.connection()
    async with site.client().post(f"/api/intake/{connection}", json=cloud_event()) as nobody:
        assert (nobody.status, nobody.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
    async with site.client("atl_made_up").post(f"/api/intake/{connection}", json=cloud_event()) as made_up:
        assert made_up.status == 401
    reader = await site.api("events:read")
    async with reader.post(f"/api/intake/{connection}", json=cloud_event()) as wrong_scope:
        assert wrong_scope.status == 403
    writer = await site.api("events:write")
    async with writer.post("/api/intake/nowhere", json=cloud_event()) as nowhere:
        assert nowhere.status == 404
    async with writer.get(f"/api/intake/{connection}") as read:
        assert (read.status, read.headers["Allow"]) == (405, "POST")
    assert await heard(site) == []


async def test_nonsense_is_refused_without_an_error_of_ours(site: Site) -> None:
    connection, client = await site.connection(), await site.api("events:write")
    for body in (b"", b"{", b"[]]", b"\xff\xfe", b"7", b'"text"', b'{"id": "\\ud800"}', b"[" * 5000):
        async with client.post(f"/api/intake/{connection}", data=body, headers=STRUCTURED) as answer:
            assert answer.status == 400, body
    too_big = b'{"data": "' + b"x" * site.parts.settings.intake_bytes_max + b'"}'
    async with client.post(f"/api/intake/{connection}", data=too_big, headers=STRUCTURED) as answer:
        assert answer.status == 413


async def test_a_switched_off_connection_takes_nothing(site: Site) -> None:
    connection, client = await site.connection(), await site.api("events:write", "connections:write")
    async with client.patch(f"/api/connections/{connection}", json={"desired": "off"}) as switched:
        assert switched.status == 200
    async with client.post(f"/api/intake/{connection}", json=cloud_event()) as answer:
        assert answer.status == 409


async def test_a_store_that_is_away_means_come_back_and_nothing_lost(site: Site) -> None:
    connection, client = await site.connection(), await site.api("events:write")
    async with client.post(f"/api/intake/{connection}", json=cloud_event(1)) as fine:
        assert fine.status == 202
    await site.parts.store.close()
    async with client.post(f"/api/intake/{connection}", json=cloud_event(2)) as away:
        assert (away.status, away.headers["Retry-After"]) == (503, "2")
