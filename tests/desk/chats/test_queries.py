"""Conversations are listed, searched and counted alike on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, insert

from atalaia.desk.chats import queries
from atalaia.desk.chats.channels import LastMessage, last_messages
from atalaia.desk.chats.contacts import get_contact, list_contacts
from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.lookup import MessageFilter, count_messages, look_up, search_messages
from atalaia.desk.chats.phones import forms_of
from atalaia.desk.chats.queries import NOBODY, ThreadFilter, get_thread, list_messages, list_threads
from atalaia.store.store import Store
from atalaia.store.tables import connections, gaps
from tests.connectors.wppconnect.ground import GROUP, LID, NOON_S, NUMBER, message, own_message
from tests.desk.chats.ground import CHANNEL, NOON_MS, Inbox
from tests.desk.chats.test_fold import learned
from tests.statements import counted
from tests.store.bases import base, store

__all__ = ["base", "store"]
T = TypeVar("T")
OTHER = "5521988887777@c.us"
ZONE = ZoneInfo("America/Sao_Paulo")


class Desk:
    """A filled database: what was heard in memory first is folded into it in one go."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.inbox = Inbox()

    async def fold(self) -> None:
        await self.store.write(lambda tx: Chats().reset(tx))
        await self.store.write(lambda tx: Chats().apply(tx, self.inbox.events))

    async def ask(self, work: Callable[..., T], *args: Any, **more: Any) -> T:
        return await self.store.read(lambda tx: work(tx, *args, **more))

    async def unread(self, thread: str, reader: str) -> int:
        found = await self.ask(get_thread, thread, reader)
        return found.unread if found else -1

    async def keys(self, **wanted: Any) -> list[str]:
        return [one.key for one in await self.ask(search_messages, MessageFilter(**wanted))]


@pytest.fixture
async def desk(store: Store) -> Desk:
    desk = Desk(store)
    desk.inbox.hear(
        message("A1", text="Olá, a máquina não liga. Código 0x1F-22", notifyName="João"),
        own_message("B1", text="Já vamos aí", t=NOON_S + 10),
        message("A2", text="obrigado!", t=NOON_S + 20, notifyName="João", quotedStanzaID="true_x@c.us_B1"),
        message("C1", chat=OTHER, text="máquinas paradas", t=NOON_S + 30),
        message("G1", chat=GROUP, author=LID, text="bom dia grupo", t=NOON_S + 40, notifyName="Bia"),
        message("C2", chat=OTHER, kind="ciphertext", text="", t=NOON_S + 50),
    )
    await desk.fold()
    return desk


async def test_the_latest_messages_of_all_channels_each_way_are_one_query(desk: Desk):
    blank = {"connector": "toy", "name": "", "settings": "{}", "secrets": "", "desired": "on"}
    names = [CHANNEL, *(f"quiet{n}" for n in range(49))]
    rows = [{**blank, "id": name, "created_ms": 1, "changed_ms": 1} for name in names]
    await desk.store.write(lambda tx: tx.execute(insert(connections).values(rows)) and None)

    def ask(tx: Connection) -> tuple[dict[tuple[str, bool], LastMessage], int]:
        with counted(tx) as said:
            return last_messages(tx, names), len(said)

    found, asked = await desk.store.read(ask)
    assert asked == 1
    assert {key: one.sent_ms for key, one in found.items()} == {
        (CHANNEL, False): NOON_MS + 50_000, (CHANNEL, True): NOON_MS + 10_000,
    }  # fmt: skip


async def test_conversations_are_listed_by_their_latest_message_page_by_page(desk: Desk):
    every = await desk.ask(list_threads, ThreadFilter(), "ana")
    first, second, third = every

    assert [one.is_group for one in every] == [False, True, False]
    assert (third.name, third.phone, third.last_text, third.unread) == (
        "João",
        "551155500101",
        "obrigado!",
        1,
    )
    assert (first.last_kind, first.unread) == ("ciphertext", 2)
    page = await desk.ask(list_threads, ThreadFilter(), "ana", before=(first.last_ms, first.id), limit=1)
    assert page == [second]


async def test_unread_is_what_came_after_ones_own_reading(desk: Desk):
    first = (await desk.ask(list_threads, ThreadFilter(), "ana"))[0]
    upto = await desk.ask(queries.last_seq, first.id)
    chats = await desk.ask(queries.chats_of, first.id)
    desk.inbox.act("conversation.read", first.id, person="ana", upto=upto, chats=chats)
    await desk.fold()

    assert await desk.unread(first.id, "ana") == 0
    assert await desk.unread(first.id, "rui") == 2
    assert len(await desk.ask(list_threads, ThreadFilter(unread_only=True), "ana")) == 2

    desk.inbox.hear(message("C2", chat=OTHER, text="agora se lê", t=NOON_S + 50))
    await desk.fold()
    assert await desk.unread(first.id, "ana") == 1  # it became something to read


FILTERS: list[tuple[dict[str, Any], int]] = [
    ({"words": "joao"}, 1), ({"words": "Joã"}, 1), ({"words": "oao"}, 0), ({"words": "0101"}, 1),
    ({"words": "(21) 98888-7777"}, 1), ({"words": "21 8888-7777"}, 1), ({"statuses": ("new",)}, 2),
    ({"assigned": NOBODY}, 3), ({"assigned": "ana"}, 0), ({"label": "vip"}, 0), ({"groups": True}, 1),
    ({"channel": "other"}, 0),
]  # fmt: skip


async def test_conversations_are_filtered(desk: Desk):
    for wanted, found in FILTERS:
        assert len(await desk.ask(list_threads, ThreadFilter(**wanted), "ana")) == found, wanted


async def test_messages_are_paged_both_ways_with_what_they_answer(desk: Desk):
    thread = (await desk.ask(list_threads, ThreadFilter(words="Joã"), "ana"))[0]
    last = await desk.ask(list_messages, thread.id, limit=2)

    assert [one.key for one in last] == ["B1", "A2"]
    assert (last[1].quoted_text, last[1].quoted_id) == ("Já vamos aí", last[0].id)
    place = (last[0].sent_ms, last[0].seq)
    assert [one.key for one in await desk.ask(list_messages, thread.id, before=place)] == ["A1"]
    assert [one.key for one in await desk.ask(list_messages, thread.id, after=place)] == ["A2"]


FOUND: list[tuple[str, list[str]]] = [
    ("maquina", ["C1", "A1"]), ("MÁQUINA nao", ["A1"]), ("máquinas", ["C1"]), ("quina", []),
    ("0x1f 22", ["A1"]), ("'); drop table", []), ('obrig* or "', []), ("obrig !", ["A2"]),
    ("", ["C2", "G1", "C1", "A2", "B1", "A1"]),
]  # fmt: skip


async def test_words_are_found_by_their_beginnings_without_accents(desk: Desk):
    for words, keys in FOUND:
        assert await desk.keys(words=words) == keys, words


async def test_what_was_edited_or_deleted_is_still_found(desk: Desk):
    desk.inbox.hear(
        message("A2", text="valeu", t=NOON_S + 20, latestEditSenderTimestampMs=NOON_MS + 90_000),
        message("A1", kind="revoked", text=""),
    )
    await desk.fold()
    assert await desk.keys(words="obrigado") == await desk.keys(words="valeu") == ["A2"]
    assert await desk.keys(words="codigo") == ["A1"]


async def test_search_is_narrowed_by_number_time_and_direction(desk: Desk):
    assert await desk.keys(phone="551155500101", from_me=False) == ["A2", "A1"]
    assert await desk.keys(phone="+55 21 8888-7777") == ["C2", "C1"]
    assert await desk.keys(phone="nobody") == []
    assert await desk.keys(from_ms=NOON_MS + 20_000, to_ms=NOON_MS + 40_000) == ["C1", "A2"]
    first = (await desk.ask(search_messages, MessageFilter(), limit=1))[0]
    before = (first.sent_ms, first.seq)
    following = await desk.ask(search_messages, MessageFilter(), before=before, limit=1)
    assert [one.key for one in following] == ["G1"]


async def test_was_it_heard_is_answered_with_how_sure_a_no_is(desk: Desk):
    yes = await desk.ask(look_up, MessageFilter(words="máquinas", phone="21988887777"))
    assert (yes.verdict, [one.key for one in yes.heard]) == ("heard", ["C1"])

    sealed = await desk.ask(look_up, MessageFilter(words="pedido", phone="21988887777"))
    assert (sealed.verdict, [one.key for one in sealed.unreadable]) == ("unreadable", ["C2"])

    hour: dict[str, Any] = {"from_ms": NOON_MS - 3_600_000, "to_ms": NOON_MS}
    no = await desk.ask(look_up, MessageFilter(words="pedido", **hour))
    assert (no.verdict, no.channels[0].before_ms, no.channels[0].after_ms) == ("not_heard", None, NOON_MS)

    gap = {
        "id": "g1", "connection": CHANNEL, "from_ms": NOON_MS - 60_000, "to_ms": None, "cause": "deaf",
        "planes": "[]",
    }  # fmt: skip
    await desk.store.write(lambda tx: tx.execute(insert(gaps).values(gap)))
    maybe = await desk.ask(look_up, MessageFilter(words="pedido", **hour))
    assert (maybe.verdict, [one.cause for one in maybe.gaps]) == ("maybe_missed", ["deaf"])


async def test_messages_are_counted_by_type_and_day_of_the_persons_zone(desk: Desk):
    night = NOON_S - NOON_S % 86_400 + 26 * 3_600  # 23:00 in São Paulo on the same day
    desk.inbox.hear(message("N1", t=night, kind="image", body="", caption="foto"), late=True)
    await desk.fold()
    rows = await desk.ask(count_messages, ZONE, from_ms=0, to_ms=NOON_MS * 2)

    assert {one.day for one in rows} == {"2026-01-09"}
    assert [(one.type, one.received, one.sent, one.recovered, one.unreadable) for one in rows] == [
        ("chat", 4, 1, 0, 0), ("ciphertext", 1, 0, 0, 1), ("image", 1, 0, 1, 0),
    ]  # fmt: skip


async def test_a_contact_shows_its_identities_and_what_was_merged(desk: Desk):
    desk.inbox.hear(message("L1", chat=LID, text="pelo lid", t=NOON_S + 99))
    rows = {one.last_text: one for one in await _threads(desk)}
    gone, stays = rows["pelo lid"], rows["obrigado!"]
    desk.inbox.tell(learned(gone.contact, stays.contact))
    await desk.fold()

    contact = await desk.ask(get_contact, gone.contact)
    assert contact is not None
    assert (contact.id, contact.name, [one.chat for one in contact.aliases]) == (
        stays.contact,
        "João",
        [LID, NUMBER],
    )
    assert [(one.gone, one.evidence, one.undone_ms) for one in contact.merges] == [
        (gone.contact, "asked", None)
    ]
    shown = await desk.ask(get_thread, gone.id)
    assert shown is not None
    assert (shown.id, shown.last_text) == (stays.id, "pelo lid")
    assert [one.name for one in await desk.ask(list_contacts, "Joã")] == ["João"]
    [link] = contact.links  # the log has its fact no more
    assert (link.alias, link.evidence, link.strength, link.seq) == (LID, "asked", 4, 0)
    assert [one.phone for one in await desk.ask(list_contacts, "8888-7777")] == ["5521988887777"]


async def _threads(desk: Desk) -> list[Any]:
    await desk.fold()
    return await desk.ask(list_threads, ThreadFilter(), "ana")


def test_a_brazilian_number_is_known_with_and_without_its_ninth_digit():
    assert set(forms_of("+55 (21) 98888-7777")) == {"5521988887777", "552188887777"}
    assert {"5521988887777", "552188887777"} < set(forms_of("21 8888-7777"))
    assert forms_of("abc") == ()
