"""What people write in the inbox reaches the phone once, whatever the server says; and the inbox knows it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from tests.journeys.messenger import FRIEND, SECRET, SESSION, Messenger, messenger
from tests.journeys.waiting import until

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
OGG = b"OggS" + bytes(400)


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[Messenger]:
    async with messenger(tmp_path) as one:
        one.hear("Bom dia, a cancela parou")
        yield one


async def test_a_text_reaches_the_phone_once_and_its_receipts_are_shown(house: Messenger):
    chat = await house.chat()

    asked = await house.send(chat, kind="text", text="já vamos aí")
    assert asked["state"] == "queued"
    read = await house.comes_to(asked["id"], "acked", "read")

    assert [row["text"] for row in house.placed()] == ["já vamos aí"]
    found = await house.ask("GET", f"/api/hub/chats/{chat}/messages")
    assert [one["text"] for one in found["items"] if one["key"] == read["key"]] == ["já vamos aí"]
    assert await house.ask("GET", f"/api/hub/chats/{chat}/sends") == []  # it is a message now


async def test_a_second_equal_text_within_a_minute_is_sent_and_the_same_request_is_not(house: Messenger):
    chat = await house.chat()

    first = await house.send(chat, kind="text", text="ok", id="r-1")
    again = await house.send(chat, kind="text", text="ok", id="r-1")
    second = await house.send(chat, kind="text", text="ok")
    assert again["job"] == first["job"] != second["job"]
    keys = {(await house.comes_to(one["id"], "sent", "acked", "read"))["key"] for one in (first, second)}

    assert len(keys) == 2
    assert [row["text"] for row in house.placed()] == ["ok", "ok"]


async def test_a_400_after_which_the_server_sends_all_the_same_ends_as_sent(house: Messenger):
    chat = await house.chat()
    house.sim.host.strangers.add(FRIEND.partition("@")[0])  # "does not exist", and is sent to

    asked = await house.send(chat, kind="text", text="chegou?")
    done = await house.comes_to(asked["id"], "sent", "acked", "read", "failed")

    assert done["state"] != "failed"
    assert [row["text"] for row in house.placed()] == ["chegou?"]


async def test_a_first_message_makes_a_conversation_and_none_leaves_for_who_is_not_there(house: Messenger):
    await house.chat()
    asked = {"channel": house.channel, "text": "Bom dia, aqui é do suporte"}
    first = await house.ask("POST", "/api/hub/chats", 201, json=asked | {"phone": "(11) 95550-0133"})
    nobody = await house.ask("POST", "/api/hub/chats", 201, json=asked | {"phone": "11 95550-9999"})

    await house.comes_to(first["id"], "sent", "acked", "read")
    failed = await house.comes_to(nobody["id"], "failed", "uncertain", "sent")
    assert (failed["state"], "no WhatsApp" in failed["said"]) == ("failed", True)

    async def shown() -> str:
        return (await house.ask("GET", f"/api/hub/sends/{first['id']}"))["conversation"]

    chat = await until(shown, "the conversation of the first message")
    assert (await house.ask("GET", f"/api/hub/chats/{chat}"))["phone"] == "5511955500133"
    assert [row["text"] for row in house.placed()] == [asked["text"]]


async def test_files_answers_reactions_and_places_go_by_the_same_way(house: Messenger):
    chat = await house.chat()
    found = await house.ask("GET", f"/api/hub/chats/{chat}/messages")
    theirs = found["items"][0]["id"]
    picture = await upload(house, PNG, "placa.png", "image/png")
    voice = await upload(house, OGG, "", "audio/ogg")

    asked = [
        await house.send(chat, kind="image", text="a placa", **picture),
        await house.send(chat, kind="voice", **voice),
        await house.send(chat, kind="reply", text="essa mesma", message=theirs),
        await house.send(chat, kind="location", latitude=-23.55, longitude=-46.63, text="aqui"),
        await house.send(chat, kind="reaction", message=theirs, reaction="👍"),
    ]
    for one in asked:
        await house.comes_to(one["id"], "sent", "acked", "read")

    kinds = [row["kind"] for row in house.placed()]
    assert kinds == ["image", "ptt", "chat", "location"]

    async def reactions() -> Any:
        return (await house.ask("GET", f"/api/hub/messages/{theirs}"))["reactions"]

    assert await until(reactions, "our reaction at the message") == [{"by": "me", "text": "👍"}]


async def upload(house: Messenger, content: bytes, name: str, kind: str) -> dict[str, Any]:
    form = aiohttp.FormData()
    form.add_field("file", content, filename=name or "file", content_type=kind)
    return await house.ask("POST", "/api/hub/chat-files", 201, data=form)


async def test_an_attachment_is_fetched_kept_and_served_with_ranges_and_without_scripts(house: Messenger):
    chat = await house.chat()
    picture = await upload(house, PNG, "placa.png", "image/png")
    asked = await house.send(chat, kind="image", text="a placa", **picture)
    await house.comes_to(asked["id"], "acked", "read")

    async def sent() -> Any:
        found = await house.ask("GET", f"/api/hub/chats/{chat}/messages")
        return next((one["id"] for one in found["items"] if one["type"] == "image"), "")

    message = await until(sent, "our picture as a message")
    told = await house.ask("GET", f"/api/hub/messages/{message}/attachment")
    assert (told["state"], told["mimetype"]) == ("fetched", "image/png")
    async with house.http.get(
        f"{house.url}/api/hub/messages/{message}/file", headers={"Range": "bytes=0-7"}
    ) as answer:
        assert (answer.status, await answer.read()) == (206, PNG[:8])
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_older_software_sends_is_in_the_inbox_with_its_state(house: Messenger):
    chat = await house.chat()
    body = {"channel": "canalum", "to": FRIEND.partition("@")[0], "text": "do sistema antigo"}
    async with house.http.post(
        f"{house.url}/api/messages", json=body, headers={"X-Gateway-Secret": SECRET}
    ) as answer:
        told = await answer.json()
    assert (told["success"], bool(told["messageId"])) == (True, True)

    done = await house.comes_to(told["requestId"], "sent", "acked", "read")
    assert done["by"] == "gateway secret"
    found = await house.ask("GET", f"/api/hub/chats/{chat}/messages")
    assert "do sistema antigo" in [one["text"] for one in found["items"]]


async def test_while_the_session_is_down_it_waits_and_says_so(house: Messenger):
    chat = await house.chat()
    await house.sim.faults.start("server_gone", 600)

    asked = await house.send(chat, kind="text", text="espera")
    waits = await until(lambda: _said(house, asked["id"]), "why it waits")
    assert house.placed() == []
    await house.sim.faults.stop("server_gone")
    await house.comes_to(asked["id"], "sent", "acked", "read")

    assert (waits["state"], [row["text"] for row in house.placed()]) == ("queued", ["espera"])


async def _said(house: Messenger, request: str) -> Any:
    found = await house.ask("GET", f"/api/hub/sends/{request}")
    return found if found["said"] or found["state"] != "queued" else None


async def test_a_group_has_the_name_that_the_phone_shows(house: Messenger):
    group = next(iter(house.phone.groups.values()))
    house.phone.receive(group.wid, "bom dia grupo", author=FRIEND)

    async def named() -> Any:
        found = await house.ask("GET", "/api/hub/chats")
        return [one["name"] for one in found["items"] if one["group"] and one["name"]]

    assert await until(named, "the group's name") == [group.name]


async def test_a_lost_answer_is_looked_up_and_ends_as_sent(house: Messenger):
    chat = await house.chat()
    await house.sim.faults.start("send_answer_lost", 600, session=SESSION)

    asked = await house.send(chat, kind="text", text="chegou?")
    done = await house.comes_to(asked["id"], "sent", "acked", "read")

    assert [row["key"] for row in house.placed()] == [done["key"]]


async def test_what_is_being_looked_up_is_not_sent_again_before_the_look_up_is_over(house: Messenger):
    chat = await house.chat()
    await house.sim.faults.start("send_error", 600, session=SESSION)

    asked = await house.send(chat, kind="text", text="de novo")
    doubt = await house.comes_to(asked["id"], "uncertain", "failed")
    refused = await house.ask("POST", f"/api/hub/sends/{asked['id']}/again", 422)

    assert (doubt["state"], doubt["may_repeat"], house.placed()) == ("uncertain", False, [])
    assert "being looked up" in refused["detail"]
