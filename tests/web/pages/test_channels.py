"""Channels: what an operator asks of one in an incident, and pairing it at a simulated server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connections.pairing import Code, code_seen, note_begun, note_code
from atalaia.connections.queries import list_connections
from atalaia.connectors import CONNECTORS
from atalaia.connectors.connector import Connector
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.events.gaps import Gaps
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from atalaia.store.tables import connection_states, events, planes
from atalaia.store.truth_tables import pairing_codes
from atalaia.web.pages.chat_channels import Line, fill
from atalaia.web.pages.freshness import KINDS, kinds_of
from simulators.wppconnect import Pace, WppSimulator, demo_world
from tests.connectors.wppconnect.ground import message, own_message
from tests.statements import counted
from tests.web.chatting import Talk
from tests.web.pages.test_screens import text
from tests.web.site import Site, running

KEY, GATEWAY_SECRET = "test-only-key", "test-only-gateway-secret"
SESSION, NUMBER = "Canal Um", "551155500201"


@pytest.fixture
async def site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site:
        yield site


@pytest.fixture
async def upstream(clock: HeldClock) -> AsyncIterator[WppSimulator]:
    """A server and gateway whose phone is not paired."""
    made = WppSimulator(
        clock=clock, random=Random(1), secret_key=KEY, gateway_secret=GATEWAY_SECRET, pace=Pace.at_once(),
        world=demo_world(),
    )  # fmt: skip
    await made.start()
    made.phone(SESSION).unlink()
    yield made
    await made.stop()


async def by_server(site: Site, upstream: WppSimulator, **more: Any) -> str:
    """Set the session up at the server, with the site's own door for its webhooks."""
    given = {"session_name": SESSION, "server_url": upstream.server_url, "secret_key": KEY, "phone": NUMBER}
    return await site.connection("wppconnect", **given, hub_url=site.url, **more)


async def by_gateway(site: Site, upstream: WppSimulator) -> str:
    given = {"session_name": SESSION, "gateway_url": upstream.gateway_url, "gateway_secret": GATEWAY_SECRET}
    return await site.connection("wppconnect", **given)


async def until_code(site: Site, connection: str, clock: HeldClock, word: str) -> dict[str, Any]:
    """Answer the pairing once it says `word`."""
    api = await site.api()
    for _ in range(200):
        async with api.get(f"/api/connections/{connection}/pairing") as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            found = await answer.json()
        if found["word"] == word and (word not in ("scan", "type") or found["text"] or found["picture"]):
            return found
        await clock.run_for(0.1)
    raise AssertionError(f"never {word}: {found}")


async def test_without_a_channel_the_list_teaches_how_to_connect_one(site: Site):
    page = await text(await site.browser(), "/channels")
    assert "Nenhum canal ainda" in page
    assert 'href="/connections/new?connector=wppconnect"' in page


async def test_one_look_answers_the_question_of_an_incident(site: Site, clock: HeldClock):
    channel = await site.connection(
        "wppconnect", session_name="Suporte", server_url="http://127.0.0.1:9", secret_key=KEY, phone=NUMBER
    )
    now = to_ms(clock.now())
    talk, now_s = Talk(site, channel), now // 1000
    await talk.hear(message("A1", text="a máquina parou", t=now_s - 3600, notifyName="João"))
    await talk.hear(own_message("B1", text="já vamos aí", t=now_s - 1800, ack=3))
    seen = {
        "connection": channel, "plane": "page", "state": "proven", "claim": "CONNECTED", "seen_ms": now,
        "checked_ms": now, "evidence": '{"account": "5511955500299@c.us"}',
    }  # fmt: skip
    await site.parts.store.write(lambda tx: tx.execute(planes.insert().values(seen)))
    browser = await site.browser()

    page = await text(browser, f"/channels/{channel}")
    for said in ("+55 11 5550-0201", "+55 11 95550-0299", "não é o esperado", "há 1\xa0h", "há 30\xa0min"):
        assert said in page, said
    assert "recebidas: 1" in page
    assert "enviadas: 1" in page
    assert "CONNECTED" in page
    assert "não é o esperado" in await text(browser, "/channels")

    found = await text(browser, f"/channels/{channel}?q=maquina&range=24h")
    assert "Sim, foi ouvida." in found
    missing = await text(browser, f"/channels/{channel}?q=boleto&range=24h")
    assert "Não encontrada, e nenhuma lacuna é conhecida desse período." in missing
    assert f'href="/channels/{channel}"' in await text(browser, f"/connections/{channel}")


async def test_a_code_is_shown_only_while_the_server_wants_one_and_says_its_age(
    site: Site, upstream: WppSimulator, clock: HeldClock
):
    connection, browser = await by_server(site, upstream), await site.browser()
    assert "a sessão está fechada" in await text(browser, f"/channels/{connection}/pairing")

    answer = await browser.post(f"/channels/{connection}/pair")
    assert answer.status == 200
    first = await until_code(site, connection, clock, "scan")
    part = await text(browser, f"/channels/{connection}/pairing")
    assert re.search(r'src="data:image/svg\+xml', part)
    assert first["text"] not in part, "a picture to scan, no text to leak"

    await clock.run_for(21)
    second = await until_code(site, connection, clock, "scan")
    assert second["text"] != first["text"]
    assert second["shown_since"] > first["shown_since"]
    assert second["given_up_at"] == first["given_up_at"]

    assert upstream.scan(SESSION) == ""
    await until_code(site, connection, clock, "connected")
    part = await text(browser, f"/channels/{connection}/pairing")
    assert "<img" not in part, "the server still draws the last code, which proves nothing"
    assert "Está conectada" in part
    rows = await site.parts.store.read(lambda tx: tx.execute(select(pairing_codes)).all())
    assert rows == []


async def test_a_code_to_type_comes_by_webhook_and_is_in_no_log(
    site: Site, upstream: WppSimulator, clock: HeldClock
):
    connection, browser = await by_server(site, upstream), await site.browser()
    await browser.post(f"/channels/{connection}/pair", {"phone": "+55 11 5550-0201"})
    found = await until_code(site, connection, clock, "type")
    assert re.fullmatch("[A-Z1-9]{8}", found["text"])
    part = await text(browser, f"/channels/{connection}/pairing")
    assert f"{found['text'][:4]}-{found['text'][4:]}" in part

    bodies = await site.parts.store.read(lambda tx: "".join(tx.scalars(select(events.c.body))))
    kept = await site.parts.store.read(lambda tx: repr(tx.execute(select(pairing_codes)).all()))
    assert found["text"] not in bodies + kept
    assert upstream.scan(SESSION, code=found["text"]) == ""
    await until_code(site, connection, clock, "connected")


async def test_a_code_that_nobody_uses_is_given_up_and_can_be_asked_for_again(
    site: Site, upstream: WppSimulator, clock: HeldClock
):
    connection, browser = await by_server(site, upstream), await site.browser()
    await browser.post(f"/channels/{connection}/pair")
    await until_code(site, connection, clock, "scan")
    await clock.run_for(61)
    await until_code(site, connection, clock, "closed")
    assert "a sessão está fechada" in await text(browser, f"/channels/{connection}/pairing")

    await browser.post(f"/channels/{connection}/pair", {"phone": NUMBER})
    assert (await until_code(site, connection, clock, "type"))["text"]
    page = await (await browser.post(f"/channels/{connection}/pair")).text()
    assert "mostra outro tipo de código" in page, "closing it there would leave its browser behind"
    assert (await until_code(site, connection, clock, "type"))["text"]


async def test_a_code_is_offered_only_while_it_can_help(site: Site, clock: HeldClock):
    given = {"session_name": "Suporte", "server_url": "http://127.0.0.1:9", "secret_key": KEY}
    channel, now = await site.connection("wppconnect", **given), to_ms(clock.now())
    row = {
        "connection": channel, "since_ms": now, "attempt": 1, "heard_ms": now, "reason": "", "evidence": "{}",
        "epoch": 1, "server": "s",
    }  # fmt: skip
    states = [
        ("suspect", "deaf", False), ("suspect", "closed", True), ("needs_person", "pairing", True),
        ("waiting", "", True), ("live", "", False),
    ]  # fmt: skip
    browser, store = await site.browser(), site.parts.store

    async def offers() -> bool:
        parts = [
            await text(browser, f"/channels/{channel}?pair=1{part}") for part in ("", "&part=pairing_acts")
        ]
        offered = ["Mostrar um código" in part for part in parts]
        assert ["é oferecido quando puder ajudar" in part for part in parts] == [not one for one in offered]
        assert offered[0] == offered[1]
        return offered[0]

    for state, kind, offered in states:
        await store.write(lambda tx: tx.execute(connection_states.delete()) and None)
        told = row | {"state": state, "kind": kind}
        await store.write(lambda tx, told=told: tx.execute(connection_states.insert().values(told)) and None)
        assert await offers() is offered, (state, kind)
    await clock.run_for(600)  # nobody looks after it any more: what was known is too old
    assert await offers()


async def test_a_gateways_picture_is_shown_too(site: Site, upstream: WppSimulator, clock: HeldClock):
    connection, browser = await by_gateway(site, upstream), await site.browser()
    await browser.post(f"/channels/{connection}/pair")
    assert (await until_code(site, connection, clock, "scan"))["picture"]
    assert 'src="data:image/png;base64,' in await text(browser, f"/channels/{connection}/pairing")
    page = await text(browser, f"/channels/{connection}?pair=1")
    assert "Código por número" not in page, "a gateway has no code to type"


async def test_the_sessions_page_is_shown_as_it_is_now_or_why_not(
    site: Site, upstream: WppSimulator, clock: HeldClock
):
    connection, browser = await by_server(site, upstream), await site.browser()
    part = await text(browser, f"/channels/{connection}/screen")
    assert "<img" not in part
    assert "O servidor não tem página viva para esta sessão." in part

    await browser.post(f"/channels/{connection}/pair")
    await until_code(site, connection, clock, "scan")
    assert upstream.scan(SESSION) == ""
    await until_code(site, connection, clock, "connected")
    part = await text(browser, f"/channels/{connection}/screen")
    assert 'src="data:image/png;base64,' in part
    reader = await site.browser("viewer", "bia@example.com")
    assert (await reader.http.get(f"/channels/{connection}/screen")).status == 403


async def test_only_who_may_set_up_sees_a_code(site: Site, upstream: WppSimulator):
    connection = await by_server(site, upstream)
    reader = await site.browser("viewer", "bia@example.com")
    assert (await reader.http.get(f"/channels/{connection}/pairing")).status == 403
    assert (await reader.post(f"/channels/{connection}/pair")).status == 403
    api = await site.api("connections:read")
    assert (await api.get(f"/api/connections/{connection}/pairing")).status == 403
    assert (await (await site.api()).get("/api/connections/nothing/pairing")).status == 404


async def test_a_server_that_is_gone_is_said_and_what_is_no_number_is_not_asked_for(site: Site):
    connection = await site.connection(
        "wppconnect", session_name=SESSION, server_url="http://127.0.0.1:9", secret_key=KEY
    )
    browser = await site.browser()
    part = await text(browser, f"/channels/{connection}/pairing")
    assert "não aceita conexões" in part
    api = await site.api()
    async with api.post(f"/api/connections/{connection}/pairing", json={"phone": "12"}) as answer:
        assert answer.status == 400
    page = await (await browser.post(f"/channels/{connection}/pair")).text()
    assert "não aceita conexões" in page


async def test_a_code_keeps_its_age_until_another_comes(site: Site):
    box, store = site.parts.secretbox, site.parts.store

    def work(tx: Any) -> list[Any]:
        note_begun(tx, "c1", 1_000)
        found = [code_seen(tx, box, "c1")]
        for at, code in ((2_000, "AAAA"), (9_000, "AAAA"), (22_000, "BBBB"), (500_000, "CCCC")):
            note_code(tx, box, "c1", Code("type", text=code), at)
            found.append(code_seen(tx, box, "c1"))
        note_begun(tx, "c1", 499_000)  # the code of this one was faster than the answer
        found.append(code_seen(tx, box, "c1"))
        note_begun(tx, "c1", 600_000)
        found.append(code_seen(tx, box, "c1"))
        return [(one.typed, one.since_ms, one.shown_ms) for one in found if one is not None]

    assert await store.write(work) == [
        ("", 1_000, 1_000),
        ("AAAA", 2_000, 2_000),
        ("AAAA", 2_000, 2_000),
        ("BBBB", 2_000, 22_000),
        ("CCCC", 500_000, 500_000),
        ("CCCC", 499_000, 500_000),
        ("", 600_000, 600_000),
    ]


async def test_gaps_and_what_was_brought_in_stand_on_the_channels_page(site: Site, clock: HeldClock):
    channel = await site.connection(
        "wppconnect", session_name="Suporte", server_url="http://127.0.0.1:9", secret_key=KEY
    )
    now = to_ms(clock.now())
    opened = {"id": "g1", "from_ms": now - 7_200_000, "cause": "The session's browser is gone."}
    closed = {
        "from_ms": now - 7_200_000, "to_ms": now - 3_600_000, "gaps": ["g1"], "lost": "no",
        "checked": {"chats": 4}, "recovered": {"messages": 3},
    }  # fmt: skip
    facts = [Fact("gap.opened", channel, now - 7_200_000, opened), Fact("gap.closed", channel, now, closed)]

    def work(tx: Any) -> None:
        append_facts(tx, site.parts.ambient, "keeper", facts, connection=channel)
        found = [one for one in read_after(tx, 0, family=1) if one.type in Gaps.types]
        Gaps().apply(tx, found)

    await site.parts.store.write(work)
    page = await text(await site.browser(), f"/channels/{channel}")
    assert "O navegador da sessão" in page
    assert "3 mensagens" in page


async def test_a_person_who_helped_has_it_tried_from_the_beginning(site: Site, clock: HeldClock):
    given = {"session_name": "Suporte", "server_url": "http://127.0.0.1:9", "secret_key": KEY}
    channel = await site.connection("wppconnect", **given)
    browser, now = await site.browser(), to_ms(clock.now())
    assert "/switch" not in await text(browser, f"/channels/{channel}")
    row = {
        "connection": channel, "state": "needs_person", "kind": "browser_lost", "since_ms": now, "attempt": 1,
        "heard_ms": now, "reason": "A browser was left behind.", "evidence": "{}", "epoch": 1, "server": "s",
    }  # fmt: skip
    await site.parts.store.write(
        lambda tx: (
            tx.execute(connection_states.delete()), tx.execute(connection_states.insert().values(row)),
        )
    )  # fmt: skip
    for page in ("channels", "connections"):
        assert f"/connections/{channel}/switch" in await text(browser, f"/{page}/{channel}")
    before = await site.parts.store.read(site.parts.registry.versions)

    await clock.run_for(1)
    answer = await browser.post(f"/connections/{channel}/switch", {"desired": "on"})

    assert answer.status == 200
    assert await site.parts.store.read(site.parts.registry.versions) != before, (
        "whoever keeps it opens it anew"
    )


@pytest.mark.parametrize("connector", CONNECTORS.values(), ids=list(CONNECTORS))
def test_each_kind_that_is_counted_has_a_word_that_people_read(connector: Connector):
    assert set(kinds_of(connector)) <= set(KINDS)


async def test_an_old_gap_that_is_open_is_counted_however_many_were_closed_since(
    site: Site, clock: HeldClock
):
    given = {"session_name": "Suporte", "server_url": "http://127.0.0.1:9", "secret_key": KEY}
    channel, now = await site.connection("wppconnect", **given), to_ms(clock.now())
    old = {"id": "old", "from_ms": now - 90_000_000, "cause": "The session's browser is gone."}
    facts = [Fact("gap.opened", channel, now - 90_000_000, old)]
    for n in range(25):
        opened = {"id": f"g{n}", "from_ms": now - 80_000 + n, "to_ms": now - 79_999 + n, "cause": "x"}
        closed = {"gaps": [f"g{n}"], "to_ms": now - 79_999 + n, "lost": "no"}
        facts += [Fact("gap.opened", channel, now, opened), Fact("gap.closed", channel, now, closed)]

    def work(tx: Any) -> None:
        append_facts(tx, site.parts.ambient, "keeper", facts, connection=channel)
        Gaps().apply(tx, [one for one in read_after(tx, 0, family=1) if one.type in Gaps.types])

    await site.parts.store.write(work)
    assert "abertas: 1" in await text(await site.browser(), "/channels")


async def test_a_list_of_many_channels_asks_the_database_as_often_as_one_of_one(site: Site):
    given = {"server_url": "http://127.0.0.1:9", "secret_key": KEY, "phone": NUMBER}
    for number in range(3):
        await site.connection("wppconnect", session_name=f"s{number}", **given)

    def ask(tx: Any, shown: int) -> int:
        lines = [Line(seen, "live", "") for seen in list_connections(tx)[:shown]]
        with counted(tx) as said:
            fill(tx, site.parts, lines, 0)
        assert [line.expected for line in lines] == [NUMBER] * shown
        return len(said)

    one, many = [await site.parts.store.read(lambda tx, n=n: ask(tx, n)) for n in (1, 3)]
    assert one == many
