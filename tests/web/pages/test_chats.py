"""The inbox: what is to be done, what was said and how it was heard, and what people do with it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel
from sqlalchemy import insert

from atalaia.ambient import Ambient
from atalaia.connectors.connector import Connector
from atalaia.desk.chats import notes, outbox, queries
from atalaia.desk.chats.lookup import MessageFilter, search_messages
from atalaia.desk.chats.outbox import Outbox
from atalaia.desk.people.rows import list_people
from atalaia.store.chat_tables import chat_files
from atalaia.store.tables import gaps
from tests.connectors.wppconnect.ground import NOON_S, NUMBER, message, own_message
from tests.desk.chats.line import Line
from tests.web.chatting import OTHER, Talk, talk
from tests.web.pages.test_screens import text
from tests.web.site import Browser, Site, running


class Nothing(BaseModel):
    """A gateway of tests needs no settings."""


GATEWAY = Connector("gateway", "Gateway", Nothing, None, world="chats", fetches="media")


@pytest.fixture
async def site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    async with running(tmp_path, ambient, more=[GATEWAY]) as site:
        yield site


async def talking(site: Site) -> Talk:
    return await talk(site, await site.connection("gateway"))


async def act(browser: Browser, talk: Talk, path: str, **data: str) -> str:
    """Do something, fold, and answer the page that follows."""
    answer = await browser.post(path, data)
    assert answer.status == 200, await answer.text()
    await talk.fold()
    return await text(browser, str(answer.url.path))


async def test_an_empty_inbox_says_what_will_fill_it(site: Site):
    browser = await site.browser()
    assert "Nenhum canal ainda" in await text(browser, "/chats")
    await site.connection("gateway")
    assert "Nenhuma mensagem ainda" in await text(browser, "/chats")


async def test_the_inbox_shows_who_wrote_what_and_what_is_unread(site: Site):
    await talking(site)
    page = await text(await site.browser(), "/chats")
    for said in (
        "João",
        "obrigado!",
        "Ainda não legível",
        "+55 21 98888-7777",
        "bom dia grupo",
        "Nova conversa",
    ):
        assert said in page, said
    assert re.search(r'data-glow="unread-[^"]+">2<', page)


async def test_a_conversation_shows_ticks_quotes_and_what_became_of_each_message(site: Site):
    one = await talking(site)
    await one.hear(
        message("A1", text="Olá, a bomba não liga", latestEditSenderTimestampMs=(NOON_S + 60) * 1000),
        message("A2", kind="revoked", text=""),
    )
    await one.hear(message("A0", text="alguém aí?", t=NOON_S - 60), late=True)
    page = await text(await site.browser(), f"/chats/{(await one.thread('obrigado')).id}")
    for said in (
        "Já vamos aí", '<span class="visually-hidden">Lida</span>', "O que dizia antes", "a máquina não liga",
        "Apagada por quem escreveu", "recuperada", "alguém aí?", "551155500101@c.us",
    ):  # fmt: skip
        assert said in page, said
    assert "composer" not in page  # no channel can send
    sealed = await text(await site.browser(email="rui@example.com"), f"/chats/{(await one.threads())[0].id}")
    assert "ainda não pode ser lida" in sealed


async def test_what_people_do_is_done_and_said(site: Site):
    one = await talking(site)
    browser, path = await site.browser(), f"/chats/{(await one.thread('obrigado')).id}"

    assert "Abrir de novo" in await act(browser, one, f"{path}/status", status="closed")
    assert "vip" in await act(browser, one, f"{path}/labels", add="vip, garantia")
    assert "garantia" not in await act(browser, one, f"{path}/labels", remove="garantia")
    assert "ligou ontem" in await act(browser, one, f"{path}/notes", text="ligou ontem")
    assert "Edifício Aurora" in await act(browser, one, f"{path}/link", company="Edifício Aurora")
    [me] = await site.parts.store.read(list_people)
    await act(browser, one, f"{path}/assign", person=me.id)
    assert (await one.thread("obrigado")).assigned_name == "Ana"
    assert "Escreva algo." in await (await browser.post(f"{path}/notes", {"text": "  "})).text()
    message_id = (await one.thread("obrigado")).last_message
    asked = await browser.post(f"{path}/ticket", {"message": message_id})
    assert "Um chamado foi pedido" in await asked.text()


async def test_a_message_shows_that_a_ticket_is_asked_for_and_is_not_asked_for_twice(site: Site):
    one = await talking(site)
    browser, thread = await site.browser(), await one.thread("obrigado")
    before = await text(browser, f"/chats/{thread.id}")
    shown = await act(browser, one, f"/chats/{thread.id}/ticket", message=thread.last_message)

    assert "chamado pedido por Ana" in shown
    assert shown.count("Pedir um chamado") == before.count("Pedir um chamado") - 1


async def test_looking_is_reading_also_for_who_may_not_act(site: Site):
    one = await talking(site)
    thread = await one.thread("obrigado")
    browser = await site.browser("viewer")
    page = await text(browser, f"/chats/{thread.id}")
    assert 'data-unread="1"' in page
    assert "data-key" not in page
    answer = await browser.post(f"/chats/{thread.id}/read")
    assert answer.status == 204
    await one.fold()
    assert 'data-unread="0"' in await text(browser, f"/chats/{thread.id}")
    assert (await browser.post(f"/chats/{thread.id}/status", {"status": "closed"})).status == 403


async def test_a_merge_is_shown_with_its_evidence_and_undone(site: Site):
    one = await talking(site)
    stays = await one.thread("obrigado")
    goes = next(row for row in await one.threads() if row.phone == "5521988887777")
    browser, path = await site.browser(), f"/chats/{stays.id}"

    offered = await text(browser, f"{path}?other=8888-7777")
    assert f'name="contact" value="{goes.contact}"' in offered
    assert "Ninguém corresponde." in await text(browser, f"{path}?other=zzz")

    merged = await act(browser, one, f"{path}/merge", contact=goes.contact)
    assert "Unido por Ana" in merged
    assert "Com o outro vão: +55 21 98888-7777." in merged
    assert "máquinas paradas" in merged
    merge = re.search(r'name="merge" value="([^"]+)"', merged)
    assert merge is not None
    assert "desfeito por Ana" in await act(browser, one, f"{path}/unmerge", merge=merge[1])
    assert len(await one.threads()) == 3


async def test_a_contact_shows_what_ties_its_identities_and_what_is_not_believed(site: Site):
    one, lid = await talking(site), "150000000000999@lid"
    browser = await site.browser()
    alone = await text(browser, f"/chats/{(await one.thread('obrigado')).id}")
    assert ("Nenhuma identidade oculta" in alone, "Nenhum outro contato foi unido" in alone) == (True, True)
    named = {"id": lid, "formattedName": "+55 11 5550-0101"}
    await one.hear(
        message("L1", chat=lid, text="pelo oculto", t=NOON_S + 60, sender=named),
        message("L2", chat=lid, id=f"false_{NUMBER}_L2", t=NOON_S + 70),
        message("L3", chat=lid, t=NOON_S + 80, sender=named | {"formattedName": "+55 21 98888-7777"}),
    )

    thread = next(row for row in await one.threads() if row.phone == "551155500101")
    page = " ".join((await text(browser, f"/chats/{thread.id}")).split())
    assert "É +55 11 5550-0101: uma mensagem traz os dois · força 3 de 5 · " in page
    assert "a página mostra o número · força 1 de 5" in page
    assert "Dito ser +55 21 98888-7777, o que não vale:" in page
    assert re.search(r'<a href="/events/\d+">fato', page)
    async with (await site.api("chats:read")).get(f"/api/hub/contacts/{thread.contact}") as answer:
        links = (await answer.json())["links"]
    assert [(link["evidence"], link["strength"], link["stands"]) for link in links] == [
        ("shown_number", 1, "551155500101"), ("same_message", 3, ""), ("shown_number", 1, ""),
    ]  # fmt: skip


async def test_was_it_heard_says_yes_or_how_sure_the_no_is(site: Site):
    await talking(site)
    browser = await site.browser()
    since = "range=custom&from=2026-01-09T00:00&to=2026-01-10T00:00"
    assert "Qual mensagem?" in await text(browser, "/chats/lookup")
    yes = await text(browser, f"/chats/lookup?q=maquina&{since}")
    assert "Sim, foi ouvida." in yes
    assert "a máquina não liga" in yes
    sealed = await text(browser, f"/chats/lookup?q=pedido&phone=21988887777&{since}")
    assert "ainda não pode ser lido" in sealed
    assert "nenhuma lacuna é conhecida" in await text(
        browser, f"/chats/lookup?q=pedido&phone=551155500101&{since}"
    )


async def test_was_it_heard_tells_the_gaps_of_that_time_in_the_language_of_the_page(site: Site):
    one = await talking(site)
    cause, noon_ms = "The page has messages that no webhook brought.", NOON_S * 1000
    row = {"id": "g1", "connection": one.channel, "cause": cause, "planes": "[]", "lost": "no"}
    row |= {"from_ms": noon_ms, "to_ms": noon_ms + 60_000, "closed_ms": noon_ms + 90_000}
    await site.parts.store.write(lambda tx: tx.execute(insert(gaps).values(row)))

    page = await text(
        await site.browser(),
        "/chats/lookup?q=pedido&phone=551155500101&range=custom&from=2026-01-09T00:00&to=2026-01-10T00:00",
    )
    assert "A página tem mensagens que nenhum webhook trouxe." in page
    assert cause not in page


async def test_a_message_far_back_is_shown_with_what_was_around_it(site: Site):
    one = await talking(site)
    many = [message(f"M{n}", text=f"linha {n}.", t=NOON_S + 100 + n) for n in range(150)]
    await one.hear(*many)
    browser, thread = await site.browser(), await one.thread("linha 149.")
    [hit] = await site.parts.store.read(lambda tx: search_messages(tx, MessageFilter("maquina nao liga")))
    last = await text(browser, f"/chats/{thread.id}")
    assert "linha 149." in last
    assert "não liga" not in last
    around = await text(browser, f"/chats/{thread.id}?at={hit.id}")
    assert "não liga" in around
    assert "linha 140." not in around
    assert "Ir para as últimas mensagens" in around
    older = re.search(r'href="(/chats/[^"]+\?cursor=[^"]+)"', last)
    assert older is not None
    assert "linha 60." in await text(browser, older[1])


async def test_the_search_over_everything_finds_people_and_what_they_said(site: Site):
    one = await talking(site)
    browser = await site.browser()
    found = await text(browser, "/search?q=maquina")
    assert "a máquina não liga" in found
    assert "máquinas paradas" in found
    assert f"/chats/{(await one.thread('obrigado')).id}" in await text(browser, "/search?q=joao")
    assert "conversa" in await text(browser, "/search/suggest?q=joao")


async def test_messages_are_counted_by_day_and_type(site: Site, clock: Any):
    one = await talking(site)
    now_s = int(clock.now().timestamp())
    await one.hear(message("N1", chat=OTHER, kind="image", body="", caption="foto", t=now_s))
    page = await text(await site.browser(), "/chats/counts")
    assert "recebidas: 1" in page
    assert "Foto" in page


async def test_replies_are_kept_and_taken_away(site: Site):
    browser = await site.browser()
    answer = await browser.post("/chats/replies", {"shortcut": "/bom", "text": "Bom dia."})
    page = await answer.text()
    assert "/bom" in page
    assert (
        "Outra resposta tem esse atalho."
        in await (await browser.post("/chats/replies", {"shortcut": "bom", "text": "Olá."})).text()
    )
    [reply] = await site.parts.store.read(notes.list_replies)
    await browser.post(f"/chats/replies/{reply.id}/delete")
    assert await site.parts.store.read(notes.list_replies) == []


async def test_a_composer_is_there_once_a_channel_can_send_and_asks_once(site: Site):
    one = await talking(site)
    site.parts.outbox = Outbox(site.parts.ambient, Line())
    browser, thread = await site.browser(), await one.thread("obrigado")
    path = f"/chats/{thread.id}"
    assert (await browser.post(f"{path}/draft", {"text": "já estamos a"})).status == 204
    page = await text(browser, path)
    assert "já estamos a</textarea>" in page
    request_id = re.search(r'name="request_id" value="([^"]+)"', page)
    assert request_id is not None
    for _ in range(2):
        shown = await act(browser, one, f"{path}/send", text="já estamos a caminho", request_id=request_id[1])
    assert "já estamos a caminho</p>" in shown
    assert "a caminho</span></p>" in shown
    assert "já estamos a</textarea>" not in shown
    chats = await site.parts.store.read(lambda tx: queries.chats_of(tx, thread.id))
    assert len(await site.parts.store.read(lambda tx: outbox.list_requests(tx, chats))) == 1


async def test_a_new_conversation_begins_from_the_screen_and_is_not_made_twice(site: Site):
    one, line = await talking(site), Line()
    site.parts.outbox = Outbox(site.parts.ambient, line)
    browser, known = await site.browser(), await one.thread("obrigado")
    assert 'href="/chats/new"' in await text(browser, "/chats")
    asked = {"channel": one.channel, "phone": "98765-4321", "text": "Bom dia", "request_id": "r1"}
    assert "Falta o DDD" in await (await browser.post("/chats/new", asked)).text()
    wrong = await browser.post("/chats/new", asked | {"phone": "11 98765-4321", "text": " "})
    assert (wrong.status, line.taken) == (422, [])

    for _ in range(2):
        page = await (await browser.post("/chats/new", asked | {"phone": "11 98765-4321"})).text()
    assert ("+55 11 98765-4321" in page, "a caminho</span>" in page) == (True, True)
    assert [(sent.chat, sent.text) for sent in line.taken] == [("5511987654321@c.us", "Bom dia")]
    assert 'href="/chats/new/r1"' in await text(browser, "/chats")
    answer = await browser.post("/chats/new", asked | {"phone": "+55 11 5550-0101", "request_id": "r2"})
    assert (answer.url.path, len(line.taken)) == (f"/chats/{known.id}", 1)
    assert "Bom dia</textarea>" in await answer.text()

    await one.hear(own_message("K1", chat="5511987654321@c.us", text="Bom dia"))
    async with browser.http.get("/chats/new/r1") as answer:
        assert (answer.status, answer.url.path) == (200, f"/chats/{(await one.thread('Bom dia')).id}")


async def test_a_first_message_that_did_not_go_is_written_to_another_number_or_taken_away(site: Site):
    one, box = await talking(site), Outbox(site.parts.ambient, Line())
    site.parts.outbox = box
    browser, write = await site.browser(), site.parts.store.write
    asked = {"channel": one.channel, "phone": "11 98765-4321", "text": "Bom dia", "request_id": "r1"}
    await browser.post("/chats/new", asked)
    said = "The number 5511987654321 has no WhatsApp. Nothing was sent; compare the number."
    await write(lambda tx: box.settle(tx, "r1", "failed", said=said))

    page = await text(browser, "/chats/new/r1")
    assert ("não tem WhatsApp" in page, 'href="/chats/new?of=r1"' in page) == (True, True)
    form = await text(browser, "/chats/new?of=r1")
    assert ('value="+55 11 98765-4321"' in form, "Bom dia</textarea>" in form) == (True, True)
    answer = await browser.post("/chats/new/sends/r1/call-off")
    assert answer.url.path == "/chats"
    assert "/chats/new/r1" not in await text(browser, "/chats")


async def test_send_again_is_offered_only_once_it_was_looked_up(site: Site):
    one, line = await talking(site), Line()
    box = site.parts.outbox = Outbox(site.parts.ambient, line)
    browser, thread = await site.browser(), await one.thread("obrigado")
    path, write = f"/chats/{thread.id}", site.parts.store.write
    await write(lambda tx: box.ask(tx, thread.id, "text", {"text": "já vai"}, by="Ana", identity="r1"))
    assert "Não enviar" in await text(browser, path)

    await write(lambda tx: box.settle(tx, "r1", "uncertain"))
    looking = await text(browser, path)
    assert ("talvez enviada" in looking, "Enviar de novo" in looking) == (True, False)
    assert "verificada" in await (await browser.post(f"{path}/sends/r1/again")).text()

    await write(lambda tx: box.settle(tx, "r1", "uncertain", said="The message is in the chat."))
    known = await text(browser, path)
    assert ("Enviar de novo" in known, "A mensagem está na conversa" in known) == (True, True)
    await browser.post(f"{path}/sends/r1/again")
    assert line.asked == [("again", "r1")]


async def test_files_are_refused_before_anything_is_sent_and_others_see_no_file(site: Site):
    one, line = await talking(site), Line()
    site.parts.outbox = Outbox(site.parts.ambient, line)
    browser, thread = await site.browser(), await one.thread("obrigado")
    form = aiohttp.FormData({"csrf": await browser.csrf(), "request_id": "r1", "as_kind": "voice"})
    form.add_field("file", b"nota", filename="nota.txt")
    async with browser.http.post(f"/chats/{thread.id}/send", data=form) as answer:
        assert "OGG com Opus" in await answer.text()
    assert line.taken == []
    async with browser.http.get(f"/chats/{thread.id}/messages/{thread.last_message}/file") as answer:
        assert answer.status == 404
    async with (await site.api("calls:read")).get(f"/api/hub/messages/{thread.last_message}/file") as answer:
        assert answer.status == 403


async def test_what_failed_is_seen_in_the_list_until_somebody_takes_it_away(site: Site):
    one = await talking(site)
    box = site.parts.outbox = Outbox(site.parts.ambient, Line())
    browser, thread = await site.browser(), await one.thread("obrigado")
    write = site.parts.store.write
    await write(lambda tx: box.ask(tx, thread.id, "text", {"text": "já vai"}, by="Ana", identity="r1"))
    assert "conferir envio" not in await text(browser, "/chats")
    await write(lambda tx: box.settle(tx, "r1", "failed", said="The file is empty."))

    assert "conferir envio" in await text(browser, "/chats")
    page = await text(browser, f"/chats/{thread.id}")
    assert ("Tirar daqui" in page, "O arquivo está vazio." in page) == (True, True)
    await browser.post(f"/chats/{thread.id}/sends/r1/call-off")
    assert "conferir envio" not in await text(browser, "/chats")
    assert "já vai" not in await text(browser, f"/chats/{thread.id}")


async def test_a_file_whose_time_is_over_says_until_when_it_was_kept_and_is_fetched_again(site: Site):
    one = await talking(site)
    await one.hear(message("P1", type="image", body="", mimetype="image/jpeg", size=70, t=NOON_S + 60))
    thread = next(each for each in await one.threads() if each.last_type == "image")
    row = {
        "message": thread.last_message, "channel": one.channel, "state": "expired", "job": "", "tries": 1,
        "file": "a" * 64, "mimetype": "image/jpeg", "size_bytes": 70, "said": "", "from_ms": 1,
        "changed_ms": 1_000 * NOON_S,
    }  # fmt: skip
    await site.parts.store.write(lambda tx: tx.execute(insert(chat_files).values(row)))
    browser, at = await site.browser(), f"/chats/{thread.id}"

    page = await text(browser, at)
    assert "O arquivo ficou guardado até <time" in page
    assert "Buscar de novo" in page
    async with browser.http.get(f"{at}/messages/{thread.last_message}/file") as answer:
        assert (answer.status, "O arquivo não está mais aqui" in await answer.text()) == (410, True)
