"""What people do leaves one fact with who did it, and what was before to undo it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import pytest
from sqlalchemy import Connection, insert

from atalaia.ambient import Ambient
from atalaia.desk.chats import contacts, notes, outbox, queries
from atalaia.desk.chats.actions import Acts, NoSuchChat, NotFitting
from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.outbox import Outbox
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from atalaia.store.store import Store
from atalaia.store.tables import people
from tests.connectors.wppconnect.ground import GROUP, LID, NOON_S, NUMBER, Account, message, own_message
from tests.desk.chats.ground import CHANNEL
from tests.desk.chats.line import Line
from tests.store.bases import base, store

__all__ = ["base", "store"]

T = TypeVar("T")
ANA = {"kind": "person", "id": "ana", "name": "Ana"}


class House:
    """A log in a database whose facts are folded after each step."""

    def __init__(self, store: Store, ambient: Ambient) -> None:
        self.store, self.ambient = store, ambient
        self.account = Account()
        self.acts = Acts(ambient, ANA)
        self.upto = 0

    async def hear(self, *bodies: dict[str, Any]) -> None:
        facts = self.account.hear(*bodies)
        await self.do(lambda tx: append_facts(tx, self.ambient, "wpp", facts, connection=CHANNEL))

    async def do(self, work: Callable[[Connection], T]) -> T:
        done = await self.store.write(work)
        await self.store.write(self._fold)
        return done

    async def ask(self, work: Callable[[Connection], T]) -> T:
        return await self.store.read(work)

    async def thread(self, text: str = "") -> queries.Thread:
        found = await self.ask(lambda tx: queries.list_threads(tx, queries.ThreadFilter(), "ana"))
        return next(one for one in found if text in one.last_text)

    async def last_fact(self) -> tuple[str, dict[str, Any]]:
        event = (await self.ask(lambda tx: read_after(tx, 0, family=1)))[-1]
        return event.type, orjson.loads(event.body)

    def _fold(self, tx: Connection) -> None:
        events = read_after(tx, self.upto, family=1)
        fold = Chats()
        wanted = [event for event in events if event.type in fold.types]
        if wanted:
            fold.apply(tx, wanted)
        self.upto = events[-1].seq if events else self.upto


@pytest.fixture
async def house(store: Store, ambient: Ambient) -> House:
    house = House(store, ambient)
    await house.hear(message("A1", notifyName="Bia"))
    return house


async def test_closing_says_what_a_new_message_will_do_and_can_be_undone(house: House):
    one = await house.thread()
    done = await house.do(lambda tx: house.acts.status(tx, one.id, "closed"))
    kind, told = await house.last_fact()

    assert (kind, told["before"], told["reopens"], told["by"]) == (
        "conversation.status_changed", "new", True, ANA,
    )  # fmt: skip
    again = await house.do(lambda tx: house.acts.status(tx, one.id, "closed"))
    assert again.seq == 0  # so already
    await house.do(lambda tx: house.acts.status(tx, one.id, done.before["status"]))
    assert (await house.thread()).status == "new"

    never = Acts(house.ambient, ANA, "none")
    await house.do(lambda tx: never.status(tx, one.id, "closed"))
    await house.hear(message("A2", t=NOON_S + 5))
    assert (await house.thread()).status == "closed"


async def test_a_conversation_is_given_only_to_who_may_sign_in(house: House):
    one = await house.thread()
    with pytest.raises(NotFitting):
        await house.do(lambda tx: house.acts.assign(tx, one.id, "nobody-here"))
    row = {
        "id": "rui", "email": "rui@example.com", "name": "Rui", "role": "agent", "language": "", "zone": "",
        "theme": "", "density": "", "created_ms": 0,
    }  # fmt: skip
    await house.do(lambda tx: tx.execute(insert(people).values(row)))
    await house.do(lambda tx: house.acts.assign(tx, one.id, "rui"))
    assert (await house.thread()).assigned_name == "Rui"
    await house.do(lambda tx: house.acts.assign(tx, one.id, ""))
    assert (await house.thread()).assigned == ""


async def test_a_label_with_a_quotation_mark_is_found(house: House):
    one = await house.thread()
    await house.do(lambda tx: house.acts.label(tx, one.id, add=['tela 15"']))
    wanted = queries.ThreadFilter(label='tela 15"')
    found = await house.ask(lambda tx: queries.list_threads(tx, wanted, "ana"))
    assert [each.id for each in found] == [one.id]


async def test_labels_notes_and_links_are_kept_and_taken_away(house: House):
    one = await house.thread()
    await house.do(lambda tx: house.acts.label(tx, one.id, add=["vip", "garantia "]))
    await house.do(lambda tx: house.acts.label(tx, one.id, remove=["vip"]))
    await house.do(lambda tx: house.acts.link(tx, one.id, company="Edifício Aurora", person="Síndica"))
    note = await house.do(lambda tx: house.acts.note(tx, one.id, "ligou ontem"))
    shown = await house.thread()
    chats = await house.ask(lambda tx: queries.chats_of(tx, one.id))

    assert (shown.labels, shown.company, shown.person) == (("garantia",), "Edifício Aurora", "Síndica")
    assert [n.text for n in await house.ask(lambda tx: notes.list_notes(tx, chats))] == ["ligou ontem"]
    await house.do(lambda tx: house.acts.remove_note(tx, one.id, note.id))
    assert await house.ask(lambda tx: notes.list_notes(tx, chats)) == []
    with pytest.raises(NoSuchChat):
        await house.do(lambda tx: house.acts.remove_note(tx, one.id, note.id))
    with pytest.raises(NotFitting):
        await house.do(lambda tx: house.acts.note(tx, one.id, "   "))


async def test_reading_is_ones_own_and_unread_begins_where_one_says(house: House):
    await house.hear(message("A2", text="e agora?", t=NOON_S + 5))
    one = await house.thread()
    assert one.unread == 2
    await house.do(lambda tx: house.acts.read(tx, one.id, "ana"))
    assert (await house.thread()).unread == 0
    assert (await house.do(lambda tx: house.acts.read(tx, one.id, "ana"))).seq == 0
    await house.do(lambda tx: house.acts.read(tx, one.id, "ana", before_message=one.last_message))
    assert (await house.thread()).unread == 1


async def test_contacts_are_merged_parted_and_left_apart(house: House):
    await house.hear(message("L1", chat=LID, text="pelo lid", t=NOON_S + 9))
    number, lid = await house.thread("bom dia"), await house.thread("pelo lid")
    done = await house.do(lambda tx: house.acts.merge(tx, number.contact, lid.contact))
    assert (await house.thread()).id == number.id
    with pytest.raises(NotFitting):
        await house.do(lambda tx: house.acts.merge(tx, number.contact, lid.contact))

    await house.do(lambda tx: house.acts.unmerge(tx, done.id))
    assert (await house.thread("pelo lid")).contact == lid.contact
    with pytest.raises(NotFitting):
        await house.do(lambda tx: house.acts.unmerge(tx, done.id))

    await house.do(lambda tx: house.acts.merge(tx, number.contact, lid.contact))
    apart = await house.do(lambda tx: house.acts.part(tx, number.contact, CHANNEL, LID))
    assert (await house.thread("pelo lid")).contact == apart.id
    alone = await house.ask(lambda tx: contacts.get_contact(tx, number.contact))
    assert alone is not None
    assert [one.chat for one in alone.aliases] == [NUMBER]
    with pytest.raises(NotFitting):
        await house.do(lambda tx: house.acts.part(tx, number.contact, CHANNEL, NUMBER))


async def test_a_group_is_nobody_and_nothing_is_done_to_what_is_not_there(house: House):
    await house.hear(message("G1", chat=GROUP, author=LID, text="grupo", t=NOON_S + 9))
    group, one = await house.thread("grupo"), await house.thread("bom dia")
    with pytest.raises(NotFitting):
        await house.do(lambda tx: house.acts.merge(tx, one.contact, group.contact))
    for act in (
        lambda tx: house.acts.status(tx, "x", "open"),
        lambda tx: house.acts.merge(tx, one.contact, "x"),
        lambda tx: house.acts.unmerge(tx, "x"),
        lambda tx: house.acts.part(tx, one.contact, CHANNEL, "x"),
        lambda tx: house.acts.ask_ticket(tx, "x"),
    ):
        with pytest.raises(NoSuchChat):
            await house.do(act)


async def test_a_ticket_is_asked_for_with_the_message_as_its_link(house: House):
    one = await house.thread()
    await house.do(lambda tx: house.acts.ask_ticket(tx, one.last_message))
    kind, told = await house.last_fact()
    assert (kind, told["title"], told["conversation"]) == ("ticket.stub_asked", "bom dia", one.id)


async def test_drafts_are_ones_own_and_survive_a_merge(house: House):
    await house.hear(message("L1", chat=LID, text="pelo lid", t=NOON_S + 9))
    number, lid = await house.thread("bom dia"), await house.thread("pelo lid")
    chats = await house.ask(lambda tx: queries.chats_of(tx, lid.id))
    await house.do(lambda tx: notes.keep_draft(tx, house.ambient, "ana", chats, "já estamos"))
    await house.do(lambda tx: house.acts.merge(tx, number.contact, lid.contact))
    both = await house.ask(lambda tx: queries.chats_of(tx, number.id))

    assert await house.ask(lambda tx: notes.get_draft(tx, "ana", both)) == "já estamos"
    assert await house.ask(lambda tx: notes.get_draft(tx, "rui", both)) == ""
    await house.do(lambda tx: notes.keep_draft(tx, house.ambient, "ana", both, "  "))
    assert await house.ask(lambda tx: notes.get_draft(tx, "ana", both)) == ""


async def test_a_shortcut_means_one_reply(house: House):
    one = await house.do(lambda tx: notes.keep_reply(tx, house.ambient, ANA, "/Bom", "Bom dia."))
    assert one.shortcut == "bom"
    with pytest.raises(NotFitting):
        await house.do(lambda tx: notes.keep_reply(tx, house.ambient, ANA, "bom", "Boa tarde."))
    await house.do(lambda tx: notes.keep_reply(tx, house.ambient, ANA, "bom", "Boa noite.", one.id))
    assert [r.text for r in await house.ask(lambda tx: notes.list_replies(tx, "bo"))] == ["Boa noite."]
    await house.do(lambda tx: notes.delete_reply(tx, house.ambient, ANA, one.id))
    assert await house.ask(notes.list_replies) == []


async def test_what_is_to_be_sent_is_stored_first_and_asked_for_once(house: House):
    one, line = await house.thread(), Line(CHANNEL)
    box = Outbox(house.ambient, line)
    with pytest.raises(NotFitting):
        await house.do(lambda tx: Outbox(house.ambient).ask(tx, one.id, "text", {"text": "x"}, by="Ana"))
    with pytest.raises(NotFitting):
        await house.do(lambda tx: box.ask(tx, one.id, "text", {"text": " "}, by="Ana"))

    ask = lambda tx: box.ask(tx, one.id, "text", {"text": "já vai"}, by="Ana", identity="r1")  # noqa: E731
    first, second = await house.do(ask), await house.do(ask)
    assert (first.id, first.state, first.job, second.job) == ("r1", "queued", "job-1", "job-1")
    assert len(line.taken) == 1


async def test_how_far_a_request_came_is_told_by_receipts_and_uncertain_is_resolved(house: House):
    one = await house.thread()
    box = Outbox(house.ambient, Line(CHANNEL))
    await house.do(lambda tx: box.ask(tx, one.id, "text", {"text": "já vai"}, by="Ana", identity="r1"))

    assert await house.do(lambda tx: box.settle(tx, "r1", "uncertain", said="no answer in 30 s"))
    assert await house.do(lambda tx: box.settle(tx, "r1", "sent", key="B1"))
    assert not await house.do(lambda tx: box.settle(tx, "r1", "failed"))  # what was sent stays sent
    chats = await house.ask(lambda tx: queries.chats_of(tx, one.id))
    assert [r.state for r in await house.ask(lambda tx: outbox.list_requests(tx, chats))] == ["sent"]

    acked = {"message": "1:B1", "key": "B1", "ack": 3, "from_me": True, "channel": CHANNEL}
    fact = Fact("message.acked", one.id, 0, acked)
    await house.do(lambda tx: append_facts(tx, house.ambient, "wpp", [fact], connection=CHANNEL))
    request = await house.ask(lambda tx: outbox.get_request(tx, "r1"))
    assert request is not None
    assert request.state == "read"

    await house.hear(own_message("B1"))
    assert await house.ask(lambda tx: outbox.list_requests(tx, chats)) == []  # it is a message now
