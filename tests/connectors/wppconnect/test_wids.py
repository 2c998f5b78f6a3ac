"""Identities and message ids in all the forms in which they were seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.wppconnect.wids import comparable, phone_in, read_message_id, read_wid


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("551155500101@c.us", "551155500101@c.us"),
        ("551155500101@s.whatsapp.net", "551155500101@c.us"),
        ("150000000000101:4@lid", "150000000000101@lid"),
        ("551155500101.0:3@c.us", "551155500101@c.us"),
        ({"server": "c.us", "user": "551155500101", "_serialized": "551155500101@c.us"}, "551155500101@c.us"),
        ({"id": "150000000000101", "server": "lid"}, "150000000000101@lid"),
        ("120363000000000777@g.us", "120363000000000777@g.us"),
        ("+551155500101", "551155500101@c.us"),
        ("15000000000010", "15000000000010@lid"),
        ("status@broadcast", "status@broadcast"),
    ],
)
def test_an_identity_is_read_in_every_form(written: object, read: str):
    assert str(read_wid(written)) == read


@pytest.mark.parametrize("written", ["", "@c.us", "Ana", 7, None, [], {}, {"user": 5, "server": "c.us"}])
def test_what_is_no_identity_is_none(written: object):
    assert read_wid(written) is None


def test_a_message_id_gives_sender_chat_key_and_author():
    found = read_message_id("false_120363000000000777@g.us_2AE64231129B9EFBED40_150000000000304@lid")

    assert found is not None
    assert (found.from_me, str(found.chat), found.key, str(found.author)) == (
        False, "120363000000000777@g.us", "2AE64231129B9EFBED40", "150000000000304@lid",
    )  # fmt: skip


def test_an_id_as_object_is_the_same_as_its_text():
    whole = {
        "fromMe": True,
        "remote": "550000000002@c.us",
        "id": "3EB0AA",
        "_serialized": "true_550000000002@c.us_3EB0AA",
    }
    parts = {"fromMe": True, "remote": {"user": "550000000002", "server": "c.us"}, "id": "3EB0AA"}

    assert (
        read_message_id(whole) == read_message_id(parts) == read_message_id("true_550000000002@c.us_3EB0AA")
    )


def test_an_id_in_no_known_form_keeps_its_text_as_key():
    found = read_message_id("test_69616252037c3")

    assert found is not None
    assert (found.chat, found.key) == (None, "test_69616252037c3")


def test_a_brazilian_mobile_is_the_same_with_and_without_its_ninth_digit():
    assert comparable("5511955500303") == comparable("551155500303") == "551155500303"
    assert comparable("351911111111") == "351911111111"


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+55 11 5550-0304", "551155500304"),
        ("Loja +55 11 5550-0304", ""),
        ("Ana 24h", ""),
        (None, ""),
        ("+1", ""),
    ],
)
def test_only_a_text_that_is_a_number_counts_as_a_shown_number(text: object, digits: str):
    assert phone_in(text) == digits


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["id", "_serialized", "remote", "fromMe", "participant", "user", "server"]),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_nothing_makes_the_readers_stumble(value: object):
    found, wid = read_message_id(value), read_wid(value)

    assert found is None or found.key
    assert wid is None or (wid.user and wid.server)
