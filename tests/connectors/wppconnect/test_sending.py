"""What is sent stands in the upstream's own words; what is in doubt is looked for, never sent again."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from atalaia.connectors.wppconnect.calls import Reply
from atalaia.connectors.wppconnect.sending import (
    Outgoing,
    gateway_body,
    gateway_receiver,
    look_for,
    server_call,
)
from atalaia.connectors.wppconnect.server import refusal_of_send
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.errors import InDoubt, Rejected, Unavailable
from atalaia.jobs.model import CannotTell, Happened
from tests.connectors.wppconnect.ground import GROUP, LID, NOON_S, NUMBER, own_message

SHA = "a" * 64
NOON_MS = NOON_S * 1000


def asked(**more: Any) -> Outgoing:
    return Outgoing.model_validate({"to": NUMBER, "text": "já vai", **more})


@pytest.mark.parametrize(
    ("wanted", "route", "body"),
    [
        ({}, "send-message", {"message": "já vai"}),
        ({"reply_to": "false_x_A1"}, "send-reply", {"message": "já vai", "messageId": "false_x_A1"}),
        (
            {"kind": "reaction", "reply_to": "false_x_A1", "reaction": "👍"},
            "react-message", {"msgId": "false_x_A1", "reaction": "👍"},
        ),
        (
            {"kind": "image", "file": SHA, "mimetype": "image/png", "filename": "placa.png"},
            "send-image",
            {"base64": "data:image/png;base64,AQ==", "filename": "placa.png", "caption": "já vai"},
        ),
        ({"kind": "voice", "file": SHA, "mimetype": "audio/ogg"}, "send-voice-base64",
         {"base64Ptt": "data:audio/ogg;base64,AQ=="}),
        (
            {"kind": "location", "latitude": -23.5, "longitude": -46.6},
            "send-location", {"lat": "-23.5", "lng": "-46.6", "title": "já vai", "address": ""},
        ),
    ],
)  # fmt: skip
def test_the_server_is_told_in_its_own_words(wanted: dict[str, Any], route: str, body: dict[str, Any]):
    assert server_call(asked(**wanted), b"\x01") == (route, body)


def test_the_gateway_is_told_in_its_own_words_or_refuses_what_it_has_none_for():
    image = gateway_body(asked(kind="image", file=SHA), b"\x01")

    assert gateway_body(asked(), None) == {"text": "já vai"}
    assert image == {"type": "image", "base64": "AQ==", "caption": "já vai", "text": "já vai"}
    with pytest.raises(Rejected, match="connect the server itself"):
        gateway_body(asked(kind="location", latitude=1, longitude=2), None)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"to": "Ana"}, "to is no chat"), ({"text": " "}, "text is empty"),
        ({"kind": "image"}, "file is empty"), ({"kind": "location"}, "latitude and longitude"),
        ({"kind": "reaction"}, "reply_to is empty"), ({"kind": "fax"}, "kind"),
    ],
)  # fmt: skip
def test_half_a_message_says_what_is_missing(wanted: dict[str, Any], why: str):
    with pytest.raises(ValidationError, match=why):
        asked(**wanted)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"response":null,"status":"Connected","message":"O número 5511 não existe."}', InDoubt),
        (500, '{"status":"Error","message":"Erro ao enviar a mensagem.","error":{}}', InDoubt),
        (400, '{"status":"error","message":"phone is missing"}', Rejected),
    ],
)
def test_an_error_after_which_the_server_may_have_sent_is_a_doubt(
    status: int, body: str, kind: type[Exception]
):
    reply = Reply(status, "application/json", body.encode(), 1.0)

    assert type(refusal_of_send(reply)) is kind


class Chat:
    """A chat that can be read, or not."""

    def __init__(self, *rows: dict[str, Any], broken: bool = False) -> None:
        self.rows, self.broken = list(rows), broken

    async def messages(self, chat: Wid, *, count: int, before: str = "") -> list[dict[str, Any]]:
        if self.broken:
            raise Unavailable("The page could not read a chat.")
        return self.rows


EVIDENCE = {"chat": NUMBER, "kind": "text", "text": "já vai", "at_ms": NOON_MS}


async def test_a_message_that_is_in_the_chat_happened():
    verdict = await look_for(Chat(own_message("B1")), EVIDENCE, NOON_MS + 1000, ())

    assert isinstance(verdict, Happened)
    assert verdict.result["key"] == "B1"


async def test_an_equal_text_of_another_send_is_not_taken_for_it():
    verdict = await look_for(Chat(own_message("B1"), own_message("B2")), EVIDENCE, NOON_MS, ("B1",))

    assert isinstance(verdict, Happened)
    assert verdict.result["key"] == "B2"


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        (Chat(), "not in the chat, minutes after"),
        (Chat(own_message("B1", t=NOON_S - 4000)), "not in the chat"),
        (Chat(own_message("B1", text="outro")), "not in the chat"),
    ],
)
async def test_what_is_not_found_is_for_a_person_to_decide(chat: Chat, said: str):
    verdict = await look_for(chat, EVIDENCE, NOON_MS + 600_000, ())

    assert isinstance(verdict, CannotTell)
    assert said in verdict.said


async def test_a_chat_that_cannot_be_read_now_is_read_later():
    with pytest.raises(Unavailable):
        await look_for(Chat(broken=True), EVIDENCE, NOON_MS + 600_000, ())


def test_files_are_sent_whole():
    content = bytes(range(256)) * 40

    _, body = server_call(asked(kind="document", file=SHA), content)

    assert base64.b64decode(body["base64"].partition(",")[2]) == content


def test_a_gateway_is_given_the_contact_s_number_and_never_the_digits_of_a_lid():
    known = asked(to=LID, phone="551155500101")

    assert gateway_receiver(known) == gateway_receiver(asked(to="551155500101@c.us")) == "551155500101"
    for unknown in (LID, GROUP):
        with pytest.raises(Rejected, match="numbers only"):
            gateway_receiver(asked(to=unknown))
