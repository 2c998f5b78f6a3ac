"""What is heard of an account becomes messages and contacts, each once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.contacts import Contacts
from atalaia.connectors.wppconnect.wids import Wid, read_wid
from atalaia.desk.chats.evidence import Evidence
from atalaia.errors import Unreadable
from tests.connectors.wppconnect.ground import (
    GROUP,
    LID,
    NOON_S,
    NUMBER,
    Account,
    message,
    own_message,
    types,
)


def test_a_message_is_received_once_however_often_it_is_told():
    account = Account()

    [fact] = account.hear(message("A1"), message("A1"))

    assert (fact.type, fact.data["text"], fact.data["recovered"]) == ("message.received", "bom dia", False)
    assert fact.data["occurred_at"] == NOON_S * 1000


def test_content_replaces_ciphertext_and_never_the_reverse():
    account = Account()
    unreadable = message("A1", kind="ciphertext", text="")

    assert types(account.hear(unreadable)) == ["message.received"]
    assert types(account.hear(message("A1"), message("A1"))) == ["message.revised"]
    # The other way round, as webhooks overtake each other:
    assert types(account.hear(message("A2"), message("A2", kind="ciphertext", text=""))) == [
        "message.received"
    ]
    assert account.memory.get("waiting:0:A2") is None


def test_a_message_found_later_is_marked_recovered_and_known_ones_are_not_told_again():
    account = Account()
    account.hear(message("A1"))

    [fact] = [*account.hear(message("A1"), late=True), *account.hear(message("A2"), late=True)]

    assert (fact.data["key"], fact.data["recovered"], fact.late) == ("A2", True, True)


def test_the_same_message_under_the_lid_is_the_same_message_and_of_the_same_contact():
    account = Account()
    [first] = account.hear(message("A1"))
    account.take(heard.asked_alias({"lid": LID, "phoneNumber": NUMBER}, NOON_S * 1000))

    assert account.hear(message("A1", chat=LID)) == []
    [second] = account.hear(message("A2", chat=LID))
    assert (second.data["contact"], second.key) == (first.data["contact"], first.key)
    assert second.data["phone"] == "551155500101"


def test_two_contacts_that_turn_out_to_be_one_are_merged_into_the_number_s():
    account = Account()
    [by_number] = account.hear(message("A1"))
    [by_lid] = account.hear(message("A2", chat=LID))
    assert by_number.data["contact"] != by_lid.data["contact"]

    [learned] = account.take(heard.asked_alias({"lid": LID, "phoneNumber": NUMBER}, NOON_S * 1000))

    assert learned.type == "contact.alias_learned"
    assert learned.data["merged"] == by_lid.data["contact"]
    assert learned.data["contact"] == by_number.data["contact"]


def test_stronger_evidence_for_what_is_believed_is_told_and_weaker_is_not():
    account, shown = Account(), {"id": LID, "formattedName": "+55 11 5550-0101"}
    account.hear(message("A1"), message("A2", chat=LID, sender=shown))
    asked = heard.asked_alias({"lid": LID, "phoneNumber": NUMBER}, NOON_S * 1000)

    [learned] = account.take(asked)

    assert (learned.data["evidence"], learned.data["merged"]) == (Evidence.ASKED.word, "")
    assert types(account.hear(message("A3", chat=LID, sender=shown))) == ["message.received"]


def test_two_people_of_one_name_stay_two():
    account = Account()
    one = message("A1", notifyName="José", sender={"id": NUMBER, "pushname": "José"})
    two = message(
        "A2",
        chat="551155500102@c.us",
        notifyName="José",
        sender={"id": "551155500102@c.us", "pushname": "José"},
    )

    first, second = account.hear(one, two)

    assert first.data["contact"] != second.data["contact"]


def test_weaker_evidence_does_not_overwrite_stronger_but_is_told():
    account = Account()
    account.take(heard.asked_alias({"lid": LID, "phoneNumber": NUMBER}, NOON_S * 1000))

    found = account.hear(message("A1", chat=LID, sender={"id": LID, "formattedName": "+55 11 5550-0999"}))

    disputed = next(fact for fact in found if fact.type == "contact.alias_disputed")
    assert (disputed.data["phone"], disputed.data["stands"]) == ("551155500999", "551155500101")


def test_stronger_evidence_parts_what_weaker_had_tied():
    account = Account()
    contacts = Contacts(account.memory)
    [other] = account.hear(message("A1", chat="551155500999@c.us"))
    account.hear(message("A2", chat=LID, sender={"id": LID, "formattedName": "+55 11 5550-0999"}))
    lid = read_wid(LID)
    assert lid is not None and contacts.contact(lid) == other.data["contact"]

    account.take(heard.asked_alias({"lid": LID, "phoneNumber": NUMBER}, NOON_S * 1000))

    assert contacts.contact(lid) != other.data["contact"]
    assert contacts.phone_of(lid) == "551155500101"


def test_a_lid_that_quotes_what_was_written_to_a_number_is_that_number():
    account = Account()
    account.hear(own_message("B1"))

    found = account.hear(message("A1", chat=LID, quotedMsgId=f"true_{NUMBER}_B1"))

    learned = next(fact for fact in found if fact.type == "contact.alias_learned")
    assert (learned.data["phone"], learned.data["evidence"]) == ("551155500101", Evidence.QUOTED_REPLY.word)


def test_a_group_s_message_belongs_to_the_group_with_its_author_as_participant():
    account = Account()
    [direct] = account.hear(message("A1"))

    [fact] = account.hear(message("A2", chat=GROUP, author=NUMBER))

    assert fact.data["conversation"] != direct.data["conversation"]
    assert fact.data["group"] is True
    assert fact.data["author"]["contact"] == direct.data["contact"]


def test_one_key_of_two_authors_in_a_group_is_two_messages():
    account = Account()

    found = account.hear(
        message("A1", chat=GROUP, author=NUMBER), message("A1", chat=GROUP, author="551155500102@c.us")
    )

    assert len({fact.data["message"] for fact in found}) == 2


def test_a_group_s_message_read_by_number_after_it_was_heard_by_lid_is_one_and_ties_them():
    account = Account()

    [heard_by_lid] = account.hear(message("A1", chat=GROUP, author=LID))
    found = account.hear(message("A1", chat=GROUP, author=NUMBER), late=True)

    assert types(found) == ["contact.alias_learned"]
    assert found[0].data["phone"] == "551155500101"
    assert heard_by_lid.data["author"]["wid"] == LID


def test_a_chat_s_own_words_are_no_message_of_anybody():
    account = Account()

    assert types(account.hear(message("A1", kind="e2e_notification", text=""))) == ["message.noticed"]


def test_an_unknown_type_is_a_message_all_the_same():
    account = Account()

    [fact] = account.hear(message("A1", kind="hologram", text="?"))

    assert (fact.type, fact.data["type"], fact.data["text"]) == ("message.received", "hologram", "?")


def test_media_say_what_they_are_and_never_their_bytes():
    account = Account()
    body = message(
        "A1", kind="image", text="/9j/4AAQ" * 1000, caption="a placa", mimetype="image/jpeg", size=81_000,
        mediaKey="c4n4ry-k3y", filehash="aGFzaA==",
    )  # fmt: skip

    [fact] = account.hear(body)

    assert fact.data["text"] == "a placa"
    assert fact.data["media"]["mimetype"] == "image/jpeg"
    assert "c4n4ry-k3y" not in account.heard(body).body


def test_receipts_reactions_and_deletions_name_their_message():
    account = Account()
    account.hear(own_message("B1"), message("A1"))
    ack = {
        "event": "onack",
        "session": "alpha",
        "id": {"fromMe": True, "remote": NUMBER, "id": "B1"},
        "ack": 3,
    }
    reaction = {
        "event": "onreactionmessage", "id": f"false_{NUMBER}_R1", "msgId": f"true_{NUMBER}_B1",
        "reactionText": "👍", "timestamp": NOON_S,
    }  # fmt: skip
    revoked = {"event": "onrevokedmessage", "id": f"false_{NUMBER}_X1", "refId": f"false_{NUMBER}_A1"}

    acked, reacted, gone = account.hear(ack, reaction, revoked)

    assert (acked.type, acked.data["message"], acked.data["ack"]) == ("message.acked", "1:B1", 3)
    assert (reacted.type, reacted.data["message"], reacted.data["by"]) == ("message.reacted", "1:B1", NUMBER)
    assert (gone.type, gone.data["message"], gone.data["kind"]) == ("message.revised", "0:A1", "revoked")


def test_presence_status_posts_and_the_session_s_own_words_are_no_facts():
    account = Account()

    assert (
        account.hear({"event": "onpresencechanged", "session": "alpha", "id": NUMBER, "state": "available"})
        == []
    )
    assert account.hear({"event": "status-find", "status": "inChat", "session": "alpha"}) == []
    assert account.hear(message("S1", chat="status@broadcast")) == []


def test_an_edit_revises_its_message():
    account = Account()
    account.hear(message("A1"))

    [fact] = account.hear(message("A1", text="boa tarde", latestEditSenderTimestampMs=NOON_S * 1000 + 5))

    assert (fact.type, fact.data["kind"], fact.data["text"]) == ("message.revised", "edit", "boa tarde")


def test_a_message_without_an_id_is_said_to_be_unreadable():
    account = Account()
    body = message("A1")
    del body["id"]

    with pytest.raises(Unreadable, match="without an id"):
        account.hear(body)


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=6,
)


@given(
    st.sampled_from(["onmessage", "onselfmessage", "onack", "onreactionmessage", "onrevokedmessage", "x"]),
    st.dictionaries(
        st.sampled_from([
            "id", "type", "body", "t", "from", "to", "author", "chatId", "fromMe", "ack", "sender",
            "quotedMsgId", "msgId", "refId", "mimetype", "size", "caption", "mentionedJidList", "loc",
            "latestEditSenderTimestampMs",
        ]),
        st.sampled_from([f"false_{NUMBER}_K", NUMBER, LID, GROUP, "chat", "ciphertext", "image", 1]) | _ANY,
        max_size=10,
    ),
)  # fmt: skip
def test_payloads_of_any_content_are_understood_or_said_to_be_unreadable(event: str, payload: dict[str, Any]):
    account = Account()
    one = account.heard({**payload, "event": event})

    assert isinstance(orjson.loads(one.body), dict)
    try:
        found = account.take(one)
    except Unreadable as error:
        found = [str(error)]
    assert isinstance(found, list)


def test_a_reaction_under_the_message_s_own_id_is_nobody_s():
    account = Account()
    told = {
        "event": "onreactionmessage", "id": f"false_{NUMBER}_A1_reaction", "msgId": f"false_{NUMBER}_A1",
        "reactionText": "👍", "timestamp": NOON_S,
    }  # fmt: skip

    [reacted] = account.hear(told)

    assert (reacted.data["message"], reacted.data["by"]) == ("0:A1", "")


def test_a_group_is_called_what_the_list_of_chats_calls_it():
    account = Account()

    [named] = account.take(heard.group_name(Wid("120363000000000777", "g.us"), "Plantão", NOON_S * 1000))
    [said] = account.hear(message("G1", chat=GROUP, author=NUMBER))

    assert (named.type, named.data["name"], named.data["contact"]) == (
        "contact.named", "Plantão", said.data["contact"],
    )  # fmt: skip
