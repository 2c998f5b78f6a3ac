"""Webhooks are durable before they are answered, whatever they say; strangers get nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio
from pydantic import SecretStr

from atalaia.ambient import Ambient
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.events.log import read_after
from atalaia.events.model import Event
from tests.web.site import Site, running

TOKEN = "test-only-hook-token"
NUMBER = "551155500101@c.us"


def hook(key: str = "A1", **more: Any) -> dict[str, Any]:
    return {
        "event": "onmessage", "session": "Canal Um", "id": f"false_{NUMBER}_{key}", "type": "chat",
        "body": "bom dia", "t": 1_767_960_000, "from": NUMBER, **more,
    }  # fmt: skip


@pytest_asyncio.fixture
async def hooked(tmp_path: Path, ambient: Ambient) -> AsyncIterator[tuple[Site, str]]:
    """A site with one WhatsApp session, and the session's id."""
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site:
        identity = await site.connection(
            "wppconnect", session_name="canalum", server_url="http://127.0.0.1:9", secret_key="test-only",
            hook_token=TOKEN,
        )  # fmt: skip
        yield site, identity


async def heard(site: Site) -> list[Event]:
    events = await site.parts.store.read(lambda tx: read_after(tx, 0, family=0))
    return [event for event in events if event.type.startswith("wppconnect.")]


async def test_a_webhook_is_written_down_once_and_answered_after_that(hooked: tuple[Site, str]) -> None:
    site, identity = hooked
    async with site.client() as client:
        for _ in range(2):
            async with client.post(f"/hooks/{identity}/{TOKEN}", json=hook()) as answer:
                assert (answer.status, await answer.json()) == (200, {"success": True})

    [event] = await heard(site)
    assert (event.type, event.key, event.connection) == ("wppconnect.onmessage", NUMBER, identity)
    assert event.occurred_ms == 1_767_960_000_000


async def test_what_cannot_be_read_is_kept_and_taken(hooked: tuple[Site, str]) -> None:
    site, identity = hooked
    async with site.client() as client, client.post(f"/hooks/{identity}/{TOKEN}", data=b"<html>") as answer:
        assert answer.status == 200

    [event] = await heard(site)
    assert (event.type, orjson.loads(event.body)) == ("wppconnect.unreadable", {"raw": "<html>"})


async def test_a_stranger_gets_nothing_and_is_not_told_what_exists(hooked: tuple[Site, str]) -> None:
    site, identity = hooked
    async with site.client() as client:
        for path in (f"/hooks/{identity}/wrong", f"/hooks/{identity}", f"/hooks/nobody/{TOKEN}", "/hooks/"):
            async with client.post(path, json=hook()) as answer:
                assert answer.status == 401
                assert TOKEN not in await answer.text()
        async with client.get(f"/hooks/{identity}/{TOKEN}") as answer:
            assert answer.status == 405

    assert await heard(site) == []


async def test_the_file_within_a_message_is_kept_beside_the_log(
    hooked: tuple[Site, str], tmp_path: Path
) -> None:
    site, identity = hooked
    content = b"\xff\xd8\xff" + bytes(range(256)) * 8_000
    body = hook(type="image", body=base64.b64encode(content).decode(), mimetype="image/jpeg")

    async with site.client() as client, client.post(f"/hooks/{identity}/{TOKEN}", json=body) as answer:
        assert answer.status == 200

    digest = hashlib.sha256(content).hexdigest()
    [event] = await heard(site)
    assert orjson.loads(event.body)["body"] == {
        "$file": digest, "size_bytes": len(content), "mimetype": "image/jpeg",
    }  # fmt: skip
    assert (tmp_path / "media" / digest[:2] / digest).read_bytes() == content


async def test_a_name_of_another_session_is_kept_and_changes_nothing(hooked: tuple[Site, str]) -> None:
    site, identity = hooked
    async with site.client() as client:
        async with client.post(f"/hooks/{identity}/{TOKEN}", json=hook(session="canaldois")) as answer:
            assert answer.status == 200
        async with client.post(
            f"/hooks/{identity}/{TOKEN}", json={"event": "status-find", "status": "notLogged"}
        ) as answer:
            assert answer.status == 200

    other, nameless = await heard(site)
    assert orjson.loads(other.body)["$other_session"] == "canaldois"
    assert "$other_session" not in orjson.loads(nameless.body)


async def test_a_connection_that_is_switched_off_takes_nothing(hooked: tuple[Site, str]) -> None:
    site, identity = hooked
    registry = site.parts.registry
    await site.parts.store.write(lambda tx: registry.change(tx, identity, 1, desired="off"))

    async with site.client() as client, client.post(f"/hooks/{identity}/{TOKEN}", json=hook()) as answer:
        assert answer.status == 409
    assert await heard(site) == []


async def test_a_store_that_is_away_is_said_so_that_the_sender_tries_again(hooked: tuple[Site, str]) -> None:
    site, identity = hooked
    async with site.client() as client:
        async with client.post(f"/hooks/{identity}/{TOKEN}", json=hook()) as answer:
            assert answer.status == 200
        await site.parts.store.close()
        async with client.post(f"/hooks/{identity}/{TOKEN}", json=hook("A2")) as answer:
            assert answer.status == 503


async def test_a_changed_token_and_a_new_session_are_known_at_once(hooked: tuple[Site, str]) -> None:
    site, identity = hooked
    async with site.client() as client:
        async with client.post(f"/hooks/{identity}/{TOKEN}", json=hook()) as answer:
            assert answer.status == 200
        other = await site.connection(
            "wppconnect", session_name="canaldois", server_url="http://127.0.0.1:9", secret_key="test-only",
            hook_token=TOKEN,
        )  # fmt: skip
        async with client.post(f"/hooks/{other}/{TOKEN}", json=hook("B1")) as answer:
            assert answer.status == 200
        found = await site.parts.store.read(lambda tx: site.parts.registry.get(tx, identity))
        assert found is not None
        changed = found.settings.model_copy(update={"hook_token": SecretStr("another-hook-token")})
        await site.parts.store.write(
            lambda tx: site.parts.registry.change(tx, identity, found.changed_ms + 1, settings=changed)
        )
        async with client.post(f"/hooks/{identity}/{TOKEN}", json=hook("A2")) as answer:
            assert answer.status == 401
        async with client.post(f"/hooks/{identity}/another-hook-token", json=hook("A2")) as answer:
            assert answer.status == 200

    assert len(await heard(site)) == 3
