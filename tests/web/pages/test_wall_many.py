"""The wall of many connections: trouble first, numbers of all, a page of rows, changes told as they come."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.session import Plane, SessionPort
from atalaia.connectors.connector import Connector
from atalaia.events.model import Fact
from atalaia.store.tables import connection_states, connections, planes
from tests.web.pages.test_screens import text
from tests.web.site import Site, ToySettings, running
from tests.web.test_live import looking

MANY = 60
TROUBLE = {3: ("needs_person", "pairing"), 17: ("suspect", "deaf"), 42: ("lost", ""), 55: ("waiting", "")}


async def keep(settings: Any, port: SessionPort) -> None:
    """A session that nobody runs here: the tests write what it would have said."""


KEEPS = Connector("keeps", "Keeps", ToySettings, keep, planes=(Plane("in", "Events", by_events=True),))


def identity(place: int) -> str:
    return f"00000000-0000-7000-8000-{place:012d}"


def fill(tx: Connection, site: Site, many: int) -> None:
    """Write many connections as their keepers would have: most are live, on three servers."""
    now = to_ms(site.parts.ambient.clock.now())
    sealed = site.parts.secretbox.seal("{}")
    for place in range(many):
        state, kind = TROUBLE.get(place, ("live", ""))
        configured = {
            "id": identity(place), "connector": "keeps", "name": f"Canal {place:02d}", "secrets": sealed,
            "settings": '{"url":"x"}', "desired": "on", "created_ms": now, "changed_ms": now,
        }  # fmt: skip
        stands = {
            "connection": identity(place), "state": state, "kind": kind, "since_ms": now - 60_000,
            "attempt": 1, "reason": "" if state == "live" else "Nothing was heard.", "evidence": "{}",
            "epoch": 1, "heard_ms": now, "server": f"http://server-{place % 3}:21465",
        }  # fmt: skip
        tx.execute(insert(connections).values(configured))
        tx.execute(insert(connection_states).values(stands))
    hung = {"connection": identity(55), "plane": "in", "state": "failing", "claim": "hung", "evidence": "{}"}
    tx.execute(insert(planes).values(**hung, seen_ms=None, checked_ms=now))


@pytest.fixture
async def wide(request: pytest.FixtureRequest, tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    """A site with sixty connections."""
    url = ""
    if getattr(request, "param", "sqlite") == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
    async with running(tmp_path, ambient, url, more=(KEEPS,)) as site:
        await site.parts.store.write(lambda tx: fill(tx, site, MANY))
        yield site


def rows(page: str) -> list[str]:
    return re.findall(r'href="/connections/[^"]*">(Canal \d\d)<', page)


@pytest.mark.parametrize("wide", ["sqlite", "postgresql"], indirect=True)
async def test_of_many_those_in_trouble_come_first_and_all_are_counted(wide: Site):
    browser = await wide.browser()

    page = await text(browser, "/connections")

    assert rows(page)[:5] == ["Canal 03", "Canal 17", "Canal 42", "Canal 55", "Canal 00"]
    numbers = re.findall(r'class="word">([^<]+)</span></span> <span class="tally-count">(\d+)<', page)
    assert numbers == [
        ("Precisa de alguém", "1"), ("Travada", "1"), ("Perdida", "1"), ("Conectada, mas surda", "1"),
        ("Ao vivo", "56"),
    ]  # fmt: skip
    assert len(rows(page)) == 50


async def test_the_pages_of_rows_show_each_connection_once(wide: Site):
    browser = await wide.browser()
    first = await text(browser, "/connections")
    [further] = re.findall(r'rel="next" href="([^"]+)"', first)

    second = await text(browser, further.replace("&amp;", "&"))

    assert sorted(rows(first) + rows(second)) == [f"Canal {place:02d}" for place in range(MANY)]
    assert 'rel="next"' not in second


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=canal+4", [f"Canal {place}" for place in (42, 40, 41, *range(43, 50))]),
        ("q=server-2&state=truth_deaf", ["Canal 17"]),
        ("state=needs_person", ["Canal 03"]),
        ("server=http%3A%2F%2Fserver-0%3A21465&q=canal+0", ["Canal 03", "Canal 00", "Canal 06", "Canal 09"]),
        ("q=nobody", []),
    ],
)
async def test_a_filter_leaves_what_fits(wide: Site, query: str, found: list[str]):
    page = await text(await wide.browser(), f"/connections?{query}")

    assert rows(page) == found
    assert ("Nenhuma conexão encontrada" in page) is not found


async def test_servers_with_trouble_stand_before_those_without(wide: Site):
    page = await text(await wide.browser(), "/connections?q=canal")

    assert re.findall(r'server=[^"]*">(http://[^<]+)<', page) == [
        "http://server-0:21465", "http://server-1:21465", "http://server-2:21465",
    ]  # fmt: skip


async def test_a_part_of_the_page_is_asked_for_alone(wide: Site):
    browser = await wide.browser()

    tally = await text(browser, "/connections?part=tally", part=True)
    listed = await text(browser, "/connections?part=rows", part=True)

    assert ("tally-count" in tally, rows(tally)) == (True, [])
    assert ("tally-count" in listed, len(rows(listed))) == (False, 50)


async def test_the_first_screen_shows_the_worst_and_the_numbers_of_all(wide: Site):
    page = await text(await wide.browser(), "/")

    shown = [name for name in rows(page) if name.startswith("Canal")]
    assert len(set(shown)) == 24
    assert {"Canal 03", "Canal 17", "Canal 42", "Canal 55"} <= set(shown)
    assert 'href="/connections?state=live"' in page


async def test_a_few_may_be_looked_at_as_rows_too(tmp_path: Path, ambient: Ambient):
    async with running(tmp_path, ambient, more=(KEEPS,)) as site:
        await site.parts.store.write(lambda tx: fill(tx, site, 4))
        browser = await site.browser()

        assert "tile-full" in await text(browser, "/connections")
        page = await text(browser, "/connections?view=rows")

    assert "tile-full" not in page
    assert rows(page) == ["Canal 03", "Canal 00", "Canal 01", "Canal 02"]


async def test_a_change_of_state_is_told_drawn_to_who_looks(wide: Site):
    now = to_ms(wide.parts.ambient.clock.now())
    seen = {"in": {"state": "failing", "claim": "mute"}}
    data = {"name": "Canal 07", "connector": "keeps", "kind": "deaf", "evidence": seen}
    facts = [
        Fact("connection.changed", identity(7), now, {}),
        Fact("connection.suspect", identity(7), now, data),
        Fact("connection.lost", identity(8), now, data | {"kind": ""}),
    ]
    client = await wide.api("connections:read")
    async with looking(client, "truths", **{"Accept-Language": "pt-BR"}) as stream:
        await wide.parts.log.put_facts("test", facts)
        untold, deaf, mute = [json.loads(one.data) for one in await stream.of("truths", 3)]

    assert "html" not in untold
    assert f'id="truth-{identity(7)}"' in deaf["html"]
    assert "Conectada, mas surda" in deaf["html"]
    assert "Aberta e muda" in mute["html"]
