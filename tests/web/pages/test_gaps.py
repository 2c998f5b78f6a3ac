"""The gaps of all connections, and the truth about one, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.session import Plane, SessionPort
from atalaia.connectors.connector import Connector
from atalaia.events.gaps import Gap, Gaps
from atalaia.events.log import read_after
from atalaia.events.model import Fact
from atalaia.store.tables import connection_states, event_counts
from atalaia.store.truth_tables import recoveries
from atalaia.web.pages.gap_words import gap_words
from atalaia.web.pages.gaps import lanes_of
from tests.web.pages.test_screens import text
from tests.web.site import Site, ToySettings, running

MINUTE = 60_000


async def keep(settings: Any, port: SessionPort) -> None:
    """A session that nobody runs here: the tests write what it would have said."""


KEEPS = Connector("keeps", "Keeps", ToySettings, keep, planes=(Plane("in", "Events", by_events=True),))


@pytest.fixture
async def live_site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    """A site with a connector that keeps a session."""
    async with running(tmp_path, ambient, more=(KEEPS,)) as site:
        yield site


def now(site: Site) -> int:
    return to_ms(site.parts.ambient.clock.now())


async def told(site: Site, *facts: Fact) -> None:
    """Append facts and fold the gaps, as a running hub does."""
    await site.parts.log.put_facts("test", facts)
    everything = await site.parts.store.read(lambda tx: read_after(tx, 0, limit=1000))
    wanted = [one for one in everything if one.type in Gaps.types]

    def fold(tx):
        Gaps().reset(tx)
        Gaps().apply(tx, wanted)

    await site.parts.store.write(fold)


def opened(site: Site, connection: str, ago_min: int, **more: Any) -> Fact:
    at = now(site) - ago_min * MINUTE
    data = {"id": f"gap-{ago_min}", "from_ms": at, "cause": "The hub was not running.", **more}
    return Fact("gap.opened", connection, at, data)


def closed(site: Site, connection: str, ago_min: int, **more: Any) -> Fact:
    at = now(site) - ago_min * MINUTE
    data = {
        "from_ms": at - MINUTE,
        "to_ms": at,
        "checked": {"chats": 4},
        "recovered": {},
        "lost": "no",
        **more,
    }
    return Fact("gap.closed", connection, at, data)


async def two_gaps(site: Site) -> str:
    connection = await site.connection("toy", url="http://toy")
    await told(
        site,
        opened(site, connection, 90, origin="downtime"),
        closed(
            site, connection, 80, gaps=["gap-90"], recovered={"messages": 3}, left={"ciphertexts": 1},
            lost="yes", unknown="calls that began and ended inside of the gap",
        ),
        opened(site, connection, 20),
    )  # fmt: skip
    return connection


async def test_a_gap_says_what_was_checked_recovered_and_not_recoverable(site: Site):
    await two_gaps(site)
    page = await text(await site.browser(), "/gaps")

    assert "Algo se perdeu" in page
    assert "3 mensagens" in page
    assert "4 conversas" in page
    assert "1 mensagens sem texto" in page
    assert "ligações que começaram e terminaram" in page
    assert "nossa própria parada" in page
    assert "ainda aberta" in page
    assert page.count("<i class=") >= 96, "a lane of the time line"


def test_a_lane_claims_nothing_of_the_time_before_the_connection_was_set_up():
    gap = Gap("g", "c", 60, 70, 80, "cut", [], {}, {}, "no", {})
    [lane] = lanes_of([gap], {"c": "Door"}, 0, 96, {"c": 48})
    states = [cell.state for cell in lane.cells]
    assert (states[:48], states[48:60]) == (["before"] * 48, ["none"] * 12)
    assert (states[60:70], states[70:]) == (["closed"] * 10, ["none"] * 26)


async def test_gaps_are_filtered_and_the_export_holds_the_same(site: Site):
    connection = await two_gaps(site)
    browser = await site.browser()
    for query, rows in (
        ("state=open", 1), ("state=closed", 1), ("state=lost", 1), ("origin=downtime", 1),
        ("origin=found", 0), (f"connection={connection}", 2), ("connection=other", 0), ("range=15m", 1),
    ):  # fmt: skip
        page = await text(browser, f"/gaps?{query}")
        assert page.count('<tr id="gap-') == rows, query
    api = await site.api()
    async with api.get("/api/gaps/export?state=lost&format=jsonl") as answer:
        [row] = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert (row["recovered"], row["left"], row["origin"]) == ({"messages": 3}, {"ciphertexts": 1}, "downtime")
    async with api.get("/api/gaps/export") as answer:
        lines = (await answer.text()).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("id,connection,from,to,closed_at,origin")
    async with api.get("/api/gaps?state=open") as answer:
        [item] = (await answer.json())["items"]
    assert (item["id"], item["origin"], item["to"]) == ("gap-20", "loss", None)


async def test_clean_routine_checks_are_listed_only_when_asked_for(site: Site):
    connection = await site.connection("toy", url="http://toy")
    await told(site, closed(site, connection, 60, routine=True), closed(site, connection, 30, routine=True))
    browser = await site.browser()
    assert "Nenhuma lacuna encontrada" in await text(browser, "/gaps?clear=1")
    assert "verificação de rotina" in await text(browser, "/gaps?origin=routine")


async def test_the_page_of_a_session_shows_its_truth_recoveries_and_counts_by_day(live_site: Site):
    site = live_site
    connection = await site.connection("keeps", url="http://toy")
    at = now(site)
    state = {
        "connection": connection, "state": "suspect", "since_ms": at - MINUTE, "attempt": 1, "heard_ms": at,
        "reason": "The page has 3 messages.", "evidence": "{}", "epoch": 1, "kind": "deaf", "server": "s",
    }  # fmt: skip
    tried = {
        "id": "r1", "connection": connection, "server": "s", "rung": "touch", "title": "", "step": 2,
        "cause": "deaf", "opens": False, "whole": False, "epoch": 1, "started_ms": at - 5 * MINUTE,
        "ended_ms": at - 4 * MINUTE, "outcome": "failed", "said": "The proof did not come in time.",
    }  # fmt: skip
    heard = [
        {
            "connection": connection, "type": "keeps.onmessage", "minute_ms": at - days * 24 * 60 * MINUTE,
            "kept": n, "counted": 0, "dropped": 0, "duplicate": 0,
        }
        for days, n in ((0, 4711), (2, 4712))
    ]  # fmt: skip

    def write(tx):
        tx.execute(insert(connection_states), [state])
        tx.execute(insert(recoveries), [tried])
        tx.execute(insert(event_counts), heard)

    await site.parts.store.write(write)
    await told(
        site, Fact("connection.suspect", connection, at, {"kind": "deaf", "reason": "x", "name": "Door"})
    )
    page = await text(await site.browser(), f"/connections/{connection}")

    assert "Conectada, mas surda" in page
    assert "2. touch" in page
    assert "A prova não veio a tempo." in page
    assert "4.711" in page
    assert "4.712" in page
    assert "nunca" in page, "a plane that was never proven is unknown"
    wall = await text(await site.browser(email="bia@example.com"), "/connections")
    assert "Conectada, mas surda" in wall
    assert "Recuperações em 24 h" in wall
    api = await site.api()
    async with api.get(f"/api/connections/{connection}") as answer:
        assert (await answer.json())["kind"] == "deaf"
    async with api.get(f"/api/connections/{connection}/recoveries") as answer:
        [one] = await answer.json()
    assert (one["rung"], one["outcome"]) == ("touch", "failed")


async def test_a_session_that_waits_for_pairing_needs_a_person(live_site: Site):
    site = live_site
    connection = await site.connection("keeps", url="http://toy")
    at = now(site)
    state = {
        "connection": connection, "state": "needs_person", "since_ms": at, "attempt": 1, "heard_ms": at,
        "reason": "It was unpaired.", "evidence": "{}", "epoch": 1, "kind": "pairing", "server": "s",
    }  # fmt: skip
    await site.parts.store.write(lambda tx: tx.execute(insert(connection_states), [state]))
    page = await text(await site.browser(), f"/connections/{connection}")
    assert "Precisa de alguém" in page
    assert "Aguarda pareamento" in page


def test_chats_read_are_told_with_how_many_there_were_and_what_stays_unreadable_is_named():
    assert gap_words({"chats": 17, "of": 18, "messages": 72}) == "17 de 18 conversas, 72 mensagens"
    assert (
        gap_words({"undecrypted": 2, "chats_not_read": 1})
        == "2 seguem ilegíveis, 1 conversa não lida na página"
    )
