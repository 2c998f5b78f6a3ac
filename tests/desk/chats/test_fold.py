"""Messages and what people do with them end in the same tables, however they came."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.reading import best_ack, thread_id
from atalaia.events.model import Fact
from atalaia.store.chat_tables import chat_aliases, chat_contacts, chat_merges, chat_reactions
from tests.connectors.wppconnect.ground import GROUP, LID, NOON_S, NUMBER, message, own_message
from tests.desk.chats.ground import ANA, CHANNEL, NOON_MS, Inbox
from tests.store.bases import BOTH, url_of


@pytest.fixture(params=BOTH)
def inbox(request: pytest.FixtureRequest) -> Iterator[Inbox]:
    inbox = Inbox(url_of(request).replace("+asyncpg", "+psycopg") or "sqlite://")
    yield inbox
    inbox.close()


def ack(key: str, level: int, chat: str = NUMBER) -> dict[str, Any]:
    return {
        "event": "onack", "session": "alpha", "ack": level,
        "id": {"fromMe": True, "remote": chat, "id": key, "_serialized": f"true_{chat}_{key}"},
    }  # fmt: skip


def reaction(key: str, text: str, at_s: int, chat: str = NUMBER) -> dict[str, Any]:
    return {
        "event": "onreactionmessage", "session": "alpha", "reactionText": text, "timestamp": at_s,
        "id": {"fromMe": False, "remote": chat, "id": f"R{at_s}", "_serialized": f"false_{chat}_R{at_s}"},
        "msgId": {"fromMe": False, "remote": chat, "id": key, "_serialized": f"false_{chat}_{key}"},
    }  # fmt: skip


def learned(gone: str, target: str, chat: str = LID) -> Fact:
    data = {
        "channel": CHANNEL, "alias": chat, "phone": "551155500101", "contact": target, "merged": gone,
        "evidence": "asked",
    }  # fmt: skip
    return Fact("contact.alias_learned", target, NOON_MS, data)


def test_a_message_makes_a_conversation_with_its_contact(inbox: Inbox):
    inbox.hear(message("A1", notifyName="Bia"))

    [thread] = inbox.threads
    assert (thread["status"], thread["last_ms"], thread["last_from_me"]) == ("new", NOON_MS, False)
    assert [row["name"] for row in inbox.rows(chat_contacts)] == ["Bia"]
    assert [(row["chat"], row["phone"]) for row in inbox.rows(chat_aliases)] == [(NUMBER, "551155500101")]
    assert inbox.events[0].key == thread["id"]


def test_content_replaces_ciphertext_is_news_once_more_and_never_goes_back(inbox: Inbox):
    inbox.hear(message("A1", kind="ciphertext", text=""))
    assert inbox.message("0:A1")["kind"] == "ciphertext"

    inbox.hear(message("A1"))

    row = inbox.message("0:A1")
    assert (row["kind"], row["text"], row["first_seq"]) == ("content", "bom dia", 1)
    assert row["news_seq"] == 2
    about = orjson.loads(inbox.events[0].body)
    inbox.tell(Fact("message.received", inbox.events[0].key, NOON_MS, about))  # it overtook, and comes late
    assert (inbox.message("0:A1")["kind"], inbox.message("0:A1")["text"]) == ("content", "bom dia")


def test_edits_keep_what_was_said_before_in_whatever_order_they_come(inbox: Inbox):
    inbox.hear(message("A1", text="as 9"))
    edits = [
        message("A1", text="as 10", latestEditSenderTimestampMs=NOON_MS + 60_000),
        message("A1", text="as 11", latestEditSenderTimestampMs=NOON_MS + 120_000),
    ]
    inbox.hear(*reversed(edits))

    row = inbox.message("0:A1")
    assert (row["text"], row["edited_ms"]) == ("as 11", NOON_MS + 120_000)
    assert orjson.loads(row["history"]) == [[NOON_MS, "as 9"], [NOON_MS + 60_000, "as 10"]]


def test_a_deleted_message_keeps_what_was_said_and_says_that_it_was_deleted(inbox: Inbox):
    inbox.hear(message("A1", text="segredo"), message("A1", kind="revoked", text=""))

    row = inbox.message("0:A1")
    assert (row["text"], row["kind"], row["revoked_ms"]) == ("segredo", "content", NOON_MS)


def test_a_deleted_message_that_nobody_heard_is_shown_as_such(inbox: Inbox):
    inbox.hear(message("A1", kind="revoked", text=""))

    assert inbox.message("0:A1")["kind"] == "revoked"


def test_receipts_may_come_before_their_message_and_out_of_order(inbox: Inbox):
    inbox.hear(ack("B1", 3), ack("B1", 1))
    assert inbox.threads == []  # a receipt alone is no conversation

    inbox.hear(own_message("B1", ack=0), ack("B1", 2))

    assert (inbox.message("1:B1")["ack"], inbox.message("1:B1")["text"]) == (3, "já vai")
    assert inbox.threads[0]["status"] == "open"


@pytest.mark.parametrize(
    ("levels", "best"),
    [([0, 1, 2], 2), ([3, 1], 3), ([0, -1], -1), ([-2, 1], 1), ([1, -1], 1), ([None, 0], 0), ([None], None)],
)
def test_the_level_of_a_message_is_the_best_that_was_told(levels: list[int | None], best: int | None):
    for order in (levels, list(reversed(levels))):
        known: int | None = None
        for level in order:
            known = best_ack(known, level)
        assert known == best


def test_the_last_reaction_of_each_counts_by_its_time(inbox: Inbox):
    inbox.hear(message("A1"), reaction("A1", "❤️", NOON_S + 20))
    later = inbox.rows(chat_reactions)[0]
    older = {**orjson.loads(inbox.events[-1].body), "text": "👍"}
    inbox.tell(Fact("message.reacted", inbox.events[-1].key, later["at_ms"] - 5_000, older))

    assert [row["text"] for row in inbox.rows(chat_reactions)] == ["❤️"]


def test_a_recovered_message_takes_its_place_in_time_and_is_news(inbox: Inbox):
    inbox.hear(message("A2", text="ainda ai?", t=NOON_S + 600))
    inbox.hear(message("A1", text="bom dia", t=NOON_S), late=True)

    [thread] = inbox.threads
    assert thread["last_ms"] == NOON_MS + 600_000
    assert inbox.message("0:A1")["news_seq"] > inbox.message("0:A2")["news_seq"]
    assert inbox.message("0:A1")["recovered"]


def test_a_groups_message_belongs_to_the_group_and_names_its_author(inbox: Inbox):
    inbox.hear(message("A1", chat=GROUP, author=LID, notifyName="Bia"))

    [thread] = inbox.threads
    assert thread["is_group"]
    assert (inbox.message(f"0:A1:{_contact(inbox, LID)}")["author"]) == LID
    assert _contact(inbox, LID) != thread["contact"]


def _contact(inbox: Inbox, chat: str) -> str:
    return next(row["contact"] for row in inbox.rows(chat_aliases) if row["chat"] == chat)


# What people do.


def test_a_new_message_reopens_what_was_closed_unless_it_was_closed_for_good(inbox: Inbox):
    inbox.hear(message("A1"))
    thread = inbox.threads[0]["id"]
    inbox.act("conversation.status_changed", thread, status="closed", before="new", reopens=True)
    inbox.hear(message("A2"))
    assert inbox.threads[0]["status"] == "open"

    inbox.act("conversation.status_changed", thread, status="ignored", before="open", reopens=False)
    inbox.hear(message("A3"))
    assert inbox.threads[0]["status"] == "ignored"


def test_an_answer_opens_a_new_conversation_and_a_receipt_changes_nothing(inbox: Inbox):
    inbox.hear(message("A1"), ack("B0", 2))
    assert inbox.threads[0]["status"] == "new"
    inbox.hear(own_message("B1"))
    assert inbox.threads[0]["status"] == "open"


def merged_inbox(inbox: Inbox) -> tuple[str, str]:
    """Answer the contacts of the number and of the lid, once two conversations became one."""
    inbox.hear(message("A1", chat=NUMBER, notifyName="Bia"), message("A2", chat=LID, t=NOON_S + 60))
    number, lid = _contact(inbox, NUMBER), _contact(inbox, LID)
    assert len(inbox.threads) == 2
    inbox.tell(learned(lid, number))
    return number, lid


def test_two_conversations_of_one_contact_become_one_and_what_waited_still_waits(inbox: Inbox):
    inbox.hear(message("A1", chat=NUMBER))
    inbox.act(
        "conversation.status_changed", inbox.threads[0]["id"], status="closed", before="new", reopens=False
    )
    number, _ = merged_inbox(inbox)

    [thread] = inbox.threads
    assert (thread["id"], thread["status"]) == (thread_id(CHANNEL, number), "new")
    assert thread["last_ms"] == NOON_MS + 60_000
    assert [row["chat"] for row in inbox.rows(chat_aliases) if row["thread"] == thread["id"]] == [LID, NUMBER]


def test_a_person_undoes_a_merge_and_later_evidence_does_not_repeat_it(inbox: Inbox):
    number, lid = merged_inbox(inbox)
    [merge] = inbox.rows(chat_merges)
    moved = orjson.loads(merge["aliases"])
    assert moved == [[CHANNEL, LID]]

    inbox.act("contact.parted", number, apart=lid, aliases=moved, merge=merge["id"])
    inbox.tell(learned(lid, number))
    about = {**orjson.loads(inbox.events[1].body), "message": "0:A9", "contact": number, "text": "de novo"}
    inbox.tell(Fact("message.received", thread_id(CHANNEL, number), NOON_MS + 90_000, about))

    assert len(inbox.threads) == 2
    assert {row["chat"]: row["contact"] for row in inbox.rows(chat_aliases)} == {LID: lid, NUMBER: number}
    assert inbox.rows(chat_merges)[0]["undone_by"] == "Ana"
    assert inbox.threads[0]["id"] == thread_id(CHANNEL, lid)


def test_a_person_merges_what_no_evidence_ties(inbox: Inbox):
    inbox.hear(message("A1", chat=NUMBER), message("A2", chat="551155500777@c.us"))
    gone, target = _contact(inbox, "551155500777@c.us"), _contact(inbox, NUMBER)
    inbox.act("contact.merged", target, gone=gone, merge="m1", aliases=[])
    assert len(inbox.threads) == 1

    inbox.act("contact.merged", gone, gone=target, merge="m2", aliases=[])  # in a circle: nothing
    assert len(inbox.threads) == 1


def test_folding_again_in_one_go_ends_the_same(inbox: Inbox):
    rng = random.Random(7)
    keys = [f"K{n}" for n in range(6)]
    chats = [NUMBER, LID, GROUP, "551155500777@c.us"]
    for n in range(120):
        key, chat = rng.choice(keys), rng.choice(chats)
        more: dict[str, Any] = {"author": LID} if chat == GROUP else {}
        kind = rng.choice(["chat", "chat", "ciphertext", "revoked"])
        edited = {"latestEditSenderTimestampMs": NOON_MS + n} if rng.random() < 0.2 else {}
        told = message(
            key, chat=chat, kind=kind, text=f"t{n}", t=NOON_S + rng.randrange(99), **more, **edited
        )
        inbox.hear(
            rng.choice([told, told, own_message(key, chat=chat), ack(key, rng.choice([-1, 1, 3]), chat)])
        )
        contacts = sorted({row["contact"] for row in inbox.rows(chat_aliases)})
        if n % 9 == 0 and len(contacts) > 1:
            one, other = rng.sample(contacts, 2)
            inbox.tell(learned(one, other))
        if n % 13 == 0 and inbox.rows(chat_merges):
            merge = rng.choice(inbox.rows(chat_merges))
            moved = orjson.loads(merge["aliases"] or "[]")
            inbox.act(
                "contact.parted", merge["target"], apart=merge["gone"], aliases=moved, merge=merge["id"]
            )
        if n % 5 == 0 and inbox.threads:
            thread = rng.choice(inbox.threads)["id"]
            status = rng.choice(["closed", "ignored", "pending"])
            inbox.act("conversation.status_changed", thread, status=status, reopens=rng.random() < 0.5)
            inbox.act("conversation.labelled", thread, labels=["vip"])

    before = inbox.all()
    assert len(before[4]) > 10
    inbox.again()
    assert inbox.all() == before
    for _ in range(20):
        start = rng.randrange(len(inbox.events))
        inbox.fold(inbox.events[start : start + rng.randrange(60)])
    assert inbox.all() == before


def test_what_is_no_sense_is_no_crash(inbox: Inbox):
    for kind in Chats().types:
        inbox.tell(Fact(kind, "k", NOON_MS, {}))
        inbox.tell(Fact(kind, "k" * 200, NOON_MS, {"message": 7, "chat": ["x"], "author": "x", "by": ANA}))
    assert inbox.threads is not None


def test_a_group_has_its_name_whichever_comes_first(inbox: Inbox):
    name = heard.group_name(Wid("120363000000000777", "g.us"), "Plantão", NOON_S * 1000)
    other = Inbox()
    for fact in other.account.take(name):
        other.tell(fact)
    other.hear(message("G1", chat=GROUP, author=LID))
    inbox.hear(message("G1", chat=GROUP, author=LID))
    for fact in inbox.account.take(name):
        inbox.tell(fact)

    for one in (inbox, other):
        contact = one.threads[0]["contact"]
        names = {row["id"]: row["name"] for row in one.rows(chat_contacts)}
        assert (one.threads[0]["is_group"], names[contact]) == (True, "Plantão")
