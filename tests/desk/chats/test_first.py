"""The first message to a number: as people type it, to whom it belongs, and where it is until it is heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from atalaia.ambient import Ambient
from atalaia.desk.chats import first, queries
from atalaia.desk.chats.actions import NotFitting
from atalaia.desk.chats.outbox import Request
from atalaia.desk.chats.phones import read_number
from atalaia.desk.chats.sending import JobSender
from atalaia.store.connect import open_store
from atalaia.store.tables import connections
from tests.connectors.wppconnect.ground import message, own_message
from tests.desk.chats.ground import CHANNEL
from tests.desk.chats.test_sending import House
from tests.statements import counted

LONG, SHORT = "5511987654321", "551187654321"  # the same mobile, with its ninth digit and without


@pytest.fixture
async def house(tmp_path: Path, ambient: Ambient) -> AsyncIterator[House]:
    store = await open_store("", tmp_path)
    house = House(store, ambient)
    await house.open()
    yield house
    await store.close()


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("+55 (11) 98765-4321", LONG),
        ("11 98765-4321", LONG),
        ("011 98765-4321", LONG),
        ("0055 11 98765 4321", LONG),
        ("5511987654321", LONG),
        ("+55 (0) 11 98765.4321", LONG),
        ("\u202a+55\u00a011\u00a098765\u20114321\u202c", LONG),
        ("11 8765-4321", SHORT),
        ("55 99876-5432", "5555998765432"),
        ("+1 (415) 555-2671", "14155552671"),
        ("00 351 912 345 678", "351912345678"),
    ],
)
def test_a_number_is_read_as_people_type_it(typed: str, number: str):
    assert read_number(typed) == number


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("João", "in digits"),
        ("", "in digits"),
        ("98765-4321", "area code"),
        ("14155552671", "Begin with +"),
        ("119876543210", "Begin with +"),
        ("+55 11 8765", "A Brazilian number"),
        ("+55 01 98765-4321", "A Brazilian number"),
        ("11 18765-43210", "Begin with +"),
        ("+1 415", "no whole number"),
        ("+0 415 555 2671", "no whole number"),
        ("+1234567890123456", "no whole number"),
    ],
)
def test_what_could_reach_a_stranger_is_refused_with_what_to_write(typed: str, said: str):
    with pytest.raises(ValueError, match=said.replace("+", r"\+")):
        read_number(typed)


async def write(house: House, words: str, text: str = "bom dia", identity: str = "") -> Request:
    def work(tx: first.Connection) -> Request:
        to = first.reach(tx, house.box, CHANNEL, words)
        return first.write(tx, house.box, to, text, by="Ana", identity=identity)

    return await house.do(work)


async def alone(house: House) -> list[str]:
    return [one.id for one in await house.store.read(first.without_thread)]


async def thread_of(house: House, one: Request) -> str:
    now = await house.request(one.id)
    return await house.store.read(lambda tx: first.thread_of_request(tx, now))


async def test_a_first_message_stands_alone_until_the_channel_tells_of_it(house: House):
    one = await write(house, "11 98765-4321")
    assert (one.chat, one.body["first"], await alone(house)) == (f"{LONG}@c.us", True, [one.id])
    assert await thread_of(house, one) == ""

    # WhatsApp knows that number without its ninth digit.
    await house.hear(own_message("K1", chat=f"{SHORT}@c.us", text="bom dia"))
    await house.job("done", one.job, result={"key": "K1", "serialized": f"true_{SHORT}@c.us_K1"})

    [thread] = await house.store.read(lambda tx: queries.list_threads(tx, queries.ThreadFilter(), ""))
    assert (await thread_of(house, one), await alone(house)) == (thread.id, [])
    again = await write(house, "+55 11 98765-4321", "e mais isto")
    assert (again.chat, "first" in again.body) == (f"{SHORT}@c.us", False)


async def test_one_without_a_key_is_found_in_the_chat_that_whatsapp_made_of_its_number(house: House):
    one, two = await write(house, "11 98765-4321"), await write(house, "21 98888-7777", "boa tarde")
    now_s = one.asked_ms // 1000
    await house.hear(own_message("K1", chat=f"{SHORT}@c.us", text="bom dia", t=now_s))
    await house.job("done", one.job, result={"key": ""})
    await house.job("done", two.job, result={"key": ""})
    await house.hear(own_message("K2", chat="552188887777@c.us", text="boa tarde", t=now_s))

    assert [(await house.request(each.id)).key for each in (one, two)] == ["K1", "K2"]
    assert "" not in [await thread_of(house, each) for each in (one, two)]


async def test_a_number_whose_contact_writes_by_a_hidden_identity_reaches_that_conversation(house: House):
    lid = "150000000000999@lid"
    await house.hear(
        message("A1", chat=lid, text="oi", sender={"id": lid, "formattedName": "+55 11 8765-4321"})
    )
    [thread] = await house.store.read(lambda tx: queries.list_threads(tx, queries.ThreadFilter(), ""))

    found = await house.store.read(lambda tx: first.reach(tx, house.box, CHANNEL, "(11) 98765-4321"))
    assert found.thread is not None
    assert (found.thread.id, found.chat) == (thread.id, lid)


async def test_a_channel_that_cannot_send_or_only_answers_is_named(house: House):
    house.line.channel = "other"
    with pytest.raises(NotFitting, match="cannot send"):
        await write(house, "11 98765-4321")
    house.line.channel, house.line.numbers = "", ""
    with pytest.raises(NotFitting, match="only answer"):
        await write(house, "11 98765-4321")


async def test_which_channels_can_write_first_is_one_question_however_many_there_are(house: House):
    def add(tx: Connection) -> None:
        row = {"settings": "{}", "secrets": "", "created_ms": 0, "changed_ms": 0}
        for number, (connector, desired) in enumerate(
            [("wppconnect", "on"), ("wppconnect", "off"), ("x", "on")]
        ):
            told = {"id": f"c{number}", "name": f"C{number}", "connector": connector, "desired": desired}
            tx.execute(insert(connections).values(row | told))

    def ask(tx: Connection) -> tuple[frozenset[str], int]:
        sender = JobSender(house.orders, {"wppconnect": "send", "x": "send"}, {"wppconnect": "{}@c.us"})
        with counted(tx) as said:
            return sender.first_channels(tx), len(said)

    await house.store.write(add)
    assert await house.store.read(ask) == ({CHANNEL, "c0"}, 1)
