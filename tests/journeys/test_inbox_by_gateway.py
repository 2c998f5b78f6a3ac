"""A session with nothing but a gateway before it: what people write reaches the phone, files come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.journeys.messenger import Messenger, messenger
from tests.journeys.test_inbox_out import PNG, upload
from tests.journeys.waiting import until


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[Messenger]:
    async with messenger(tmp_path, by="gateway") as one:
        one.hear("Bom dia, a cancela parou")
        yield one


async def test_texts_and_files_reach_the_phone_once_and_come_back_with_their_receipts(house: Messenger):
    chat = await house.chat()
    picture = await upload(house, PNG, "placa.png", "image/png")

    text = await house.send(chat, kind="text", text="já vamos aí", id="r-1")
    again = await house.send(chat, kind="text", text="já vamos aí", id="r-1")
    image = await house.send(chat, kind="image", text="a placa", **picture)
    assert again["job"] == text["job"]
    for one in (text, image):
        await house.comes_to(one["id"], "acked", "read")

    assert sorted(row["kind"] for row in house.placed()) == ["chat", "image"]
    shown = (await house.ask("GET", f"/api/hub/chats/{chat}/messages"))["items"]
    assert sorted(one["text"] for one in shown if one["from_me"]) == ["a placa", "já vamos aí"]

    async def fetched() -> dict[str, Any] | None:
        found = await house.ask("GET", f"/api/hub/chats/{chat}/messages")
        ours = next((one["id"] for one in found["items"] if one["type"] == "image"), "")
        if not ours:
            return None
        told = await house.ask("GET", f"/api/hub/messages/{ours}/attachment")
        return told if told["state"] == "fetched" else None

    told = await until(fetched, "the picture is fetched by the gateway")
    assert told is not None and told["mimetype"] == "image/png"


async def test_what_a_gateway_cannot_send_is_refused_before_anything_leaves(house: Messenger):
    chat = await house.chat()

    asked = await house.send(chat, kind="location", latitude=-23.55, longitude=-46.63, text="aqui")
    done = await house.comes_to(asked["id"], "failed", "uncertain", "sent")

    assert (done["state"], "gateway" in done["said"]) == ("failed", True)
    assert house.placed() == []
