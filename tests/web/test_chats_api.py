"""Conversations over the API: read, searched, looked up, and acted on with the refusals of the screens."""

from __future__ import annotations

from typing import Any

import pytest

from atalaia.desk.chats.outbox import Outbox
from tests.connectors.wppconnect.ground import NUMBER
from tests.desk.chats.line import Line
from tests.web.chatting import OTHER, talk
from tests.web.site import Site

PATH = "/api/hub/chats"


async def get(http: Any, path: str) -> tuple[int, Any]:
    async with http.get(path) as answer:
        return answer.status, await answer.json()


async def post(http: Any, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    async with http.post(path, json=body if body is not None else {}) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("site", ["sqlite", "postgresql"], indirect=True)
async def test_conversations_and_messages_are_listed_page_by_page(site: Site):
    await talk(site)
    http = await site.api("chats:read")

    _, first = await get(http, f"{PATH}?limit=2")
    _, second = await get(http, f"{PATH}?limit=2&cursor={first['next']}")
    assert [one["last_text"] for one in first["items"]] == ["", "bom dia grupo"]
    assert [one["name"] for one in second["items"]] == ["João"]
    assert second["next"] is None

    chat = second["items"][0]
    assert (chat["phone"], chat["last_at"], chat["unread"]) == ("551155500101", "2026-01-09T12:00:20.000Z", 1)
    _, page = await get(http, f"{PATH}/{chat['id']}/messages?limit=2")
    _, older = await get(http, f"{PATH}/{chat['id']}/messages?cursor={page['next']}")
    assert [one["key"] for one in page["items"] + older["items"]] == ["A2", "B1", "A1"]
    assert page["items"][0]["quoted_text"] == "Já vamos aí"
    assert (await get(http, f"/api/hub/messages/{page['items'][1]['id']}"))[1]["ack"] == 3
    _, whole = await get(http, f"{PATH}/{chat['id']}")
    assert [one["chat"] for one in whole["identities"]["aliases"]] == [NUMBER]


async def test_messages_are_searched_looked_up_and_counted(site: Site):
    await talk(site)
    http = await site.api("chats:read")

    _, found = await get(http, "/api/hub/messages?text=maquina&phone=0101")
    assert [one["key"] for one in found["items"]] == ["A1"]
    _, heard = await get(http, "/api/hub/messages/heard?text=pedido&phone=21988887777")
    assert (heard["verdict"], [one["key"] for one in heard["unreadable"]]) == ("unreadable", ["C2"])
    assert (await get(http, "/api/hub/messages/heard"))[0] == 422
    _, counts = await get(http, f"{PATH}/counts?from=2026-01-09T00:00:00Z&to=2026-01-10T00:00:00Z")
    assert [(one["day"], one["type"], one["received"], one["sent"]) for one in counts] == [
        ("2026-01-09", "chat", 4, 1), ("2026-01-09", "ciphertext", 1, 0),
    ]  # fmt: skip
    assert (await get(http, f"{PATH}/counts?zone=Mars/Base"))[0] == 422
    _, contacts = await get(http, "/api/hub/contacts?text=joao")
    assert [one["phone"] for one in contacts["items"]] == ["551155500101"]


async def test_an_act_answers_what_was_before_and_where_its_fact_is(site: Site):
    talking = await talk(site)
    one = await talking.thread("obrigado")
    http = await site.api("chats:read", "chats:write")

    status, done = await post(http, f"{PATH}/{one.id}/status", {"status": "closed"})
    assert (status, done["before"], done["seq"] > 0) == (200, {"status": "open"}, True)
    await post(http, f"{PATH}/{one.id}/labels", {"add": ["vip"]})
    await post(http, f"{PATH}/{one.id}/link", {"company": "Edifício Aurora"})
    _, note = await post(http, f"{PATH}/{one.id}/notes", {"text": "ligou ontem"})
    await post(http, f"{PATH}/{one.id}/read")
    await talking.fold()

    _, shown = await get(http, f"{PATH}/{one.id}")
    assert (shown["status"], shown["labels"], shown["company"]) == ("closed", ["vip"], "Edifício Aurora")
    assert ([n["id"] for n in shown["notes"]], shown["unread"]) == ([note["id"]], 0)
    _, closed = await get(http, f"{PATH}?status=closed&label=vip")
    assert [row["id"] for row in closed["items"]] == [one.id]
    async with http.delete(f"{PATH}/{one.id}/notes/{note['id']}") as answer:
        assert answer.status == 200

    assert (await post(http, f"{PATH}/{one.id}/status", {"status": "gone"}))[0] == 422
    assert (await post(http, f"{PATH}/{one.id}/assign", {"person": "x"}))[0] == 422
    assert (await post(http, f"{PATH}/nothing/status", {"status": "open"}))[0] == 404


async def test_contacts_are_merged_and_parted_again(site: Site):
    talking = await talk(site)
    stays, goes = await talking.thread("obrigado"), (await talking.threads())[0]
    http = await site.api("chats:read", "chats:write")

    status, done = await post(http, f"/api/hub/contacts/{stays.contact}/merge", {"contact": goes.contact})
    await talking.fold()
    assert status == 200
    _, contact = await get(http, f"/api/hub/contacts/{goes.contact}")
    assert (contact["id"], contact["merges"][0]["by"]) == (stays.contact, "test")
    assert (await get(http, f"{PATH}/{goes.id}"))[1]["id"] == stays.id
    async with http.delete(f"/api/hub/merges/{done['id']}") as answer:
        assert answer.status == 200
    await talking.fold()
    assert (await get(http, f"{PATH}/{goes.id}"))[1]["id"] == goes.id


async def test_a_number_is_written_to_once_and_in_the_conversation_that_there_is(site: Site):
    talking, line = await talk(site), Line("alpha")
    site.parts.outbox = Outbox(site.parts.ambient, line)
    http = await site.api("chats:read", "chats:write")
    asked = {"channel": "alpha", "phone": "(11) 98765-4321", "text": "Bom dia", "id": "r-1"}

    status, first = await post(http, PATH, asked)
    assert (status, first["chat"], first["state"]) == (201, "5511987654321@c.us", "queued")
    assert (first["conversation"], (await post(http, PATH, asked))[1]["id"]) == ("", "r-1")
    known = await talking.thread("obrigado")
    _, second = await post(http, PATH, asked | {"phone": "+55 11 5550-0101", "id": ""})
    assert (second["chat"], second["conversation"]) == (NUMBER, known.id)
    assert [one.id for one in line.taken] == ["r-1", second["id"]]
    assert (await get(http, f"/api/hub/sends/{second['id']}"))[1]["conversation"] == known.id

    other = next(one for one in await talking.threads() if one.phone == OTHER[:13])
    await post(http, f"/api/hub/contacts/{known.contact}/merge", {"contact": other.contact})
    await talking.fold()
    _, third = await post(http, PATH, asked | {"phone": "21 98888-7777", "id": ""})
    assert (third["chat"], third["conversation"]) == (OTHER, known.id)  # the number that was asked for

    status, refused = await post(http, PATH, asked | {"phone": "98765-4321", "id": ""})
    assert (status, refused["errors"][0]["field"]) == (422, "body.phone")
    _, refused = await post(http, PATH, asked | {"channel": "beta", "id": ""})
    assert refused["errors"][0]["field"] == "body.channel"
    assert (await post(await site.api("chats:read"), PATH, asked))[0] == 403


async def test_drafts_and_replies_are_kept(site: Site):
    one = await (await talk(site)).thread("obrigado")
    http = await site.api("chats:read", "chats:write")

    async with http.put(f"{PATH}/{one.id}/draft", json={"text": "já vai"}) as answer:
        assert answer.status == 200
    assert (await get(http, f"{PATH}/{one.id}/draft"))[1] == {"text": "já vai"}
    other = await site.api("chats:read")
    assert (await get(other, f"{PATH}/{one.id}/draft"))[1] == {"text": ""}

    asked = {"shortcut": "/bom", "text": "Bom dia."}
    status, reply = await post(http, "/api/hub/canned-replies", asked)
    assert (status, reply["shortcut"]) == (201, "bom")
    assert (await post(http, "/api/hub/canned-replies", asked))[0] == 422
    async with http.put(f"/api/hub/canned-replies/{reply['id']}", json=asked | {"text": "Olá."}) as answer:
        assert (await answer.json())["text"] == "Olá."
    assert [r["text"] for r in (await get(http, "/api/hub/canned-replies?begins=bo"))[1]] == ["Olá."]
    async with http.delete(f"/api/hub/canned-replies/{reply['id']}") as answer:
        assert answer.status == 204


async def test_who_may_only_read_may_not_act_and_others_do_not_read(site: Site):
    one = await (await talk(site)).thread("obrigado")
    reader, stranger = await site.api("chats:read"), await site.api("calls:read")
    assert (await post(reader, f"{PATH}/{one.id}/status", {"status": "closed"}))[0] == 403
    assert (await get(stranger, PATH))[0] == 403
    assert (await get(stranger, "/api/hub/messages?text=a"))[0] == 403
