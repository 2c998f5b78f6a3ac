"""Callers of the old gateway find what they knew: their addresses, shapes and codes; and lose nothing."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from sqlalchemy import insert

from atalaia.ambient import Ambient
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.events.log import read_after
from atalaia.store.tables import connection_states
from tests.connectors.wppconnect.ground import CONTRACT, NUMBER, message, recording
from tests.web.site import Site, running

SECRET = "test-only-gateway-secret"
needs_contract = pytest.mark.skipif(not CONTRACT.is_dir(), reason="the contract is not beside this checkout")


@dataclass
class Caller:
    """Somebody who has the secret, and the hub it calls."""

    site: Site
    http: aiohttp.ClientSession
    channel: str

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        async with self.http.request(method, path, **more) as answer:
            return answer.status, await answer.json()

    async def heard(self) -> list[str]:
        events = await self.site.parts.store.read(lambda tx: read_after(tx, 0, family=0))
        return [event.type for event in events if event.type.startswith("wppconnect.")]


@pytest_asyncio.fixture
async def caller(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Caller]:
    """A hub with one session called “Canal Um”, that was proven to live."""
    async with running(tmp_path, ambient, more=[CONNECTOR], old_gateway_secret=SECRET) as site:
        channel = await site.connection(
            "wppconnect", session_name="Canal Um", server_url="http://127.0.0.1:9", secret_key="test-only"
        )
        row = {"connection": channel, "state": "live", "since_ms": 0, "attempt": 1, "epoch": 1}
        await site.parts.store.write(
            lambda tx: tx.execute(insert(connection_states).values(**row, reason="", evidence="{}"))
        )
        yield Caller(site, site.client(**{"X-Gateway-Secret": SECRET}), channel)


async def test_a_session_is_found_by_any_spelling_and_connected_only_when_proven(caller: Caller):
    whole = {"id": "Canal Um", "name": "Canal Um", "status": "connected"}

    assert await caller.ask("GET", "/api/channels") == (
        200,
        {"success": True, "channels": [whole], "total": 1},
    )
    asked = {
        "id": "canalum",
        "name": "canalum",
        "status": "connected",
    }  # as recorded: by the id that was asked
    assert await caller.ask("GET", "/api/channels/canalum") == (200, {"success": True, "channel": asked})
    assert (await caller.ask("GET", "/api/channels/nobody"))[0] == 404


async def test_without_the_secret_nothing_is_told(caller: Caller):
    async with caller.site.client() as stranger:
        async with stranger.get("/api/channels") as answer:
            assert answer.status == 401
            assert (await answer.json())["error"] == "Missing X-Gateway-Secret header"
        async with stranger.post("/api/whatsapp/webhook", json=message("A1")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "INVALID_SECRET")


async def test_nothing_that_destroys_a_pairing_is_done(caller: Caller):
    status, answer = await caller.ask("DELETE", "/api/channels/Canal%20Um")

    assert (status, answer["success"]) == (403, False)
    assert "pairing would be lost" in answer["error"]


@needs_contract
async def test_an_envelope_is_durable_before_it_is_answered_and_its_retry_is_known(caller: Caller):
    envelope = recording("hub-envelope/message-direct-cus-1.json")

    first = await caller.ask("POST", "/api/whatsapp/webhook", json=envelope)
    again = await caller.ask("POST", "/api/whatsapp/webhook", json=envelope)

    assert first == (200, {"success": True, "event_id": envelope["event_id"], "code": "SUCCESS"})
    assert again[1]["code"] == "DUPLICATE"
    assert await caller.heard() == ["wppconnect.onmessage"]


@needs_contract
async def test_presence_that_calls_itself_an_update_says_nothing_of_the_session(caller: Caller):
    envelope = recording("hub-envelope/connection-update-is-contact-presence.json")

    assert (await caller.ask("POST", "/api/whatsapp/webhook", json=envelope))[0] == 200
    assert (await caller.ask("GET", "/api/channels/canalum"))[1]["channel"]["status"] == "connected"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"<html>", 400, "INVALID_JSON"), (b"{}", 400, "MISSING_EVENT_TYPE"),
        (b'{"event":"message","session":"nobody"}', 404, "CHANNEL_NOT_FOUND"),
    ],
)  # fmt: skip
async def test_what_cannot_be_kept_is_refused_so_that_the_gateway_tries_again(
    caller: Caller, body: bytes, status: int, code: str
):
    found, answer = await caller.ask("POST", "/api/whatsapp/webhook", data=body)

    assert (found, answer.get("code") or answer.get("error_code")) == (status, code)
    assert await caller.heard() == []


async def test_a_message_that_cannot_be_sent_says_what_is_wrong_with_it(caller: Caller):
    bad = [
        {"channel": "nobody", "to": NUMBER, "text": "oi"},
        {"channel": "canalum", "to": "", "text": "oi"},
        {"channel": "canalum", "to": NUMBER, "type": "image", "url": "http://127.0.0.1:8080/x.png"},
        {"channel": "canalum", "to": NUMBER, "type": "fax"},
    ]

    found = [await caller.ask("POST", "/api/messages", json=one) for one in bad]

    assert [status for status, _ in found] == [404, 400, 400, 400]
    assert "not a public address" in found[2][1]["error"]


async def test_a_store_that_is_away_is_said_in_the_old_shape_so_that_the_gateway_keeps_the_envelope(
    caller: Caller,
):
    assert (await caller.ask("POST", "/api/whatsapp/webhook", json=message("A1")))[0] == 404  # no session
    body = message("A1") | {"session": "canalum"}
    assert (await caller.ask("POST", "/api/whatsapp/webhook", json=body))[1]["code"] == "SUCCESS"
    await caller.site.parts.store.close()

    status, answer = await caller.ask("POST", "/api/whatsapp/webhook", json=message("A2"))

    assert (status, answer["success"], answer["code"]) == (503, False, "INTERNAL_ERROR")


async def test_whole_files_and_many_envelopes_come_in_with_the_secret_and_with_nothing_else(
    tmp_path: Path, ambient: Ambient
):
    settings: dict[str, Any] = {"old_gateway_secret": SECRET, "requests_per_minute": 5}
    async with running(tmp_path, ambient, more=[CONNECTOR], **settings) as site:
        await site.connection(
            "wppconnect", session_name="Canal Um", server_url="http://127.0.0.1:9", secret_key="test-only"
        )
        here = Caller(site, site.client(**{"X-Gateway-Secret": SECRET}), "")
        large = io.BytesIO(orjson.dumps(message("A0", text="x" * 20_000_000) | {"session": "canalum"}))
        assert (await here.ask("POST", "/api/whatsapp/webhook", data=large))[0] == 200
        for number in range(1, 20):
            body = message(f"A{number}") | {"session": "canalum"}
            assert (await here.ask("POST", "/api/whatsapp/webhook", json=body))[0] == 200
        assert len(await here.heard()) == 20
        stranger = Caller(site, site.client(), "")
        assert (await stranger.ask("POST", "/api/whatsapp/webhook", data=bytes(1_200_000)))[0] == 413
