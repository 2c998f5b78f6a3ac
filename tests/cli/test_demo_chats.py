"""The demo's WhatsApp as an onlooker sees it: a channel goes deaf by a button, and nothing is lost."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from sqlalchemy import Connection, select

from atalaia.cli.demo.chats import CHANNELS, Chats
from atalaia.cli.demo.chats_panel import shown_chats
from atalaia.cli.demo.expected import EXPECTED
from atalaia.cli.demo.run import Demo, playing
from atalaia.clock import to_ms
from atalaia.desk.people.people import People
from atalaia.desk.people.sessions import Sessions
from atalaia.events.gaps import Gap, list_gaps
from atalaia.events.log import read_after
from atalaia.settings import load_settings
from atalaia.store.chat_tables import chat_messages
from atalaia.store.tables import connection_states
from atalaia.web.access import COOKIE
from simulators.wppconnect import FAULTS, GROUPS
from tests.journeys.waiting import until

SUPPORT = CHANNELS[0].session
WITHIN_S = 120.0


class Onlooker:
    """Somebody signed in who presses buttons on the panel and looks at what the hub knows of a channel."""

    def __init__(self, demo: Demo, client: aiohttp.ClientSession) -> None:
        self.demo, self._client = demo, client
        self.connection = demo.chats.connections[SUPPORT]

    async def page(self, path: str) -> str:
        async with self._client.get(self.demo.url + path) as answer:
            assert answer.status == 200
            return await answer.text()

    async def press(self, path: str, **form: str) -> None:
        found = re.search(r'name="csrf" value="([^"]+)"', await self.page("/demo"))
        assert found is not None
        data = {"csrf": found[1], "server": "whatsapp1", **form}
        async with self._client.post(self.demo.url + path, data=data, allow_redirects=False) as answer:
            assert answer.status == 303

    async def state(self) -> tuple[str, str]:
        def read(tx: Connection) -> tuple[str, str]:
            query = select(connection_states).where(connection_states.c.connection == self.connection)
            row = tx.execute(query).first()
            return (row.state, row.kind) if row is not None else ("", "")

        return await self.demo.hub.store.read(read)

    async def is_live(self) -> bool:
        return await self.state() == ("live", "")

    async def found(self, kind: str, after: int) -> list[Any]:
        """Answer looks that proved a trouble, told after a place in the log."""
        read = await self.demo.hub.store.read(
            lambda tx: read_after(tx, after, limit=1000, prefix="session.looked")
        )
        bodies = [orjson.loads(one.body) for one in read if one.connection == self.connection]
        return [one for one in bodies if (one["kind"], one["health"]) == (kind, "sick")]

    async def gaps(self) -> list[Gap]:
        return await self.demo.hub.store.read(lambda tx: list_gaps(tx, connection=self.connection))

    async def head(self) -> int:
        events = await self.demo.hub.store.read(lambda tx: read_after(tx, 0, limit=100_000))
        return events[-1].seq

    async def rows(self) -> list[Any]:
        query = select(chat_messages).where(chat_messages.c.channel == self.connection)
        rows = await self.demo.hub.store.read(lambda tx: list(tx.execute(query)))
        assert len({row.key for row in rows}) == len(rows), "each message is there once"
        return rows

    async def messages(self) -> dict[str, bool]:
        """Answer the messages of the channel's conversations by their keys: whether each was recovered."""
        return {row.key: row.recovered for row in await self.rows()}

    def placed(self) -> set[str]:
        return {row["key"] for row in self.demo.chats.simulator.ledger(SUPPORT)["messages"]}

    async def has_all(self) -> bool:
        return set(await self.messages()) == self.placed()


@asynccontextmanager
async def looking_on(folder: Path) -> AsyncIterator[Onlooker]:
    """Run a quiet demo in a folder, and sign somebody in where nobody is yet."""
    settings = load_settings(data_dir=folder, port=0, requests_per_minute=100_000)
    async with playing(settings, folder, 0.0) as demo:
        hub = demo.hub
        people = People(hub.store, hub.ambient, settings, Sessions(hub.store, hub.ambient, settings))
        cookies = {}
        if secret := await people.first_link():
            used = await people.use_link(
                secret, email="ana@example.com", name="Ana", password="a sentence to remember", agent="",
                address="127.0.0.1",
            )  # fmt: skip
            cookies = {COOKIE: used.cookie}
        async with aiohttp.ClientSession(cookies=cookies) as client:
            yield Onlooker(demo, client)


@pytest.mark.slow
async def test_a_channel_made_deaf_by_the_button_is_found_mended_and_accounted_for(tmp_path: Path):
    async with looking_on(tmp_path) as one:
        await until(one.is_live, "the channel is live", within_s=WITHIN_S, known=one.placed)
        await until(one.has_all, "yesterday is in the conversations", within_s=WITHIN_S)
        rows = await one.rows()
        assert all(row.heard_ms - row.sent_ms < 2000 for row in rows if not row.recovered)
        assert any(row.recovered for row in rows), "yesterday had a deaf hour, too"
        before, seq, pressed_ms = one.placed(), await one.head(), to_ms(one.demo.hub.ambient.clock.now())
        disturbed = one.demo.chats.simulator.disturbed(SUPPORT)

        await one.press("/demo/faults", fault="deaf")

        found = await until(lambda: _proven(one, seq), "it is proven deaf", within_s=WITHIN_S)
        assert found[0]["said"] == "The page has messages that no webhook brought."
        unheard = one.placed() - before
        gaps = await until(lambda: _closed(one, pressed_ms), "its gap is closed", within_s=WITHIN_S)
        assert {gap.lost for gap in gaps} == {"no"}
        await until(one.is_live, "it is live again", within_s=WITHIN_S)
        assert one.demo.chats.simulator.disturbed(SUPPORT) == disturbed + 2, "closed and started, once"

        await one.press("/demo/deeds", deed="write")
        await until(one.has_all, "the conversations are complete", within_s=WITHIN_S)
        messages = await one.messages()
        [heard_live] = one.placed() - before - unheard
        assert all(messages[key] for key in unheard), "what no webhook brought was recovered"
        assert not messages[heard_live]


async def _proven(one: Onlooker, after: int) -> list[Any]:
    """Answer looks that proved the channel deaf, while a customer goes on writing.

    What another reading brings in before a look is no message that a webhook owes any more.
    """
    found = await one.found("deaf", after)
    if not found and random.random() < 0.004:  # about every ten seconds
        await one.press("/demo/deeds", deed="write")
    return found


async def _closed(one: Onlooker, since_ms: int) -> list[Gap]:
    return [gap for gap in await one.gaps() if gap.closed_ms is not None and gap.closed_ms >= since_ms]


async def test_every_fault_of_the_simulator_is_on_the_panel_with_what_one_should_see(tmp_path: Path):
    chats = Chats.make(tmp_path)
    on_panel = {fault for one in shown_chats(chats).values() for _, names in one.groups for fault in names}
    await chats.simulator.stop()
    assert sorted(on_panel) == sorted(name for _, names in GROUPS for name in names) == sorted(FAULTS)
    assert sorted(EXPECTED) == sorted(FAULTS)
    assert all(texts[0] and texts[1] and texts[0] != texts[1] for texts in EXPECTED.values())
