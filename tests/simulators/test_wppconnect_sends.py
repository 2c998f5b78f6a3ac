"""Sending through the WhatsApp server: acks, odd replies, unknown numbers, answers that get lost."""

from __future__ import annotations

import asyncio
import base64

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.wppconnect import Pace, demo_world
from simulators.wppconnect.pictures import file_bytes
from tests.simulators.wppconnect_ground import S, lab


async def test_a_message_that_is_sent_is_acknowledged_in_steps(clock: HeldClock):
    pace = Pace(page_s=(0, 0), login_s=(0, 0), in_chat_s=(0, 0))
    async with lab(clock, pace=pace) as (sim, peer, consumer):
        await peer.log_in(consumer)
        body = {"phone": "550000000002", "message": "hi"}
        call = asyncio.ensure_future(peer.post("send-message", body))
        while not sim.phone(S).messages:
            await peer.status()
        await clock.run_for(1)
        assert (await call)["response"][0]["ack"] == 1
        await clock.run_for(200)
        await consumer.event("onack", 3)
        assert {one["ack"] for one in consumer.events("onack")} == {1, 2, 3}


async def test_a_number_that_does_not_exist_is_refused_and_written_to_unless_that_is_ended():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        body = {"phone": "550000009999", "message": "into the void"}
        assert (await peer.call("POST", "send-message", body))[0] == 400
        assert await peer.texts("550000009999@c.us") == ["into the void"]
        await sim.faults.start("double_reply_400_but_sent", session=S, phone="550000000002")
        known = {"phone": "550000000002", "message": "sent all the same"}
        assert (await peer.call("POST", "send-message", known))[0] == 400
        assert await peer.texts() == ["sent all the same"]
        await sim.faults.stop("double_reply_400_but_sent", S)
        assert (await peer.call("POST", "send-message", body))[0] == 400
        assert await peer.texts("550000009999@c.us") == ["into the void"]


async def test_a_short_lid_becomes_a_phone_number_unless_that_is_ended():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        body = {"phone": "65000000000001@lid", "message": "oi"}
        assert (await peer.post("send-message", body))["response"][0]["to"] == "65000000000001@c.us"
        await sim.faults.stop("lid14_bug", S)
        assert (await peer.post("send-message", body))["response"][0]["to"] == "65000000000001@lid"


async def test_every_kind_can_be_sent_and_a_failure_sends_nothing():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone, to = sim.phone(S), {"phone": "550000000002"}
        image = "data:image/png;base64," + base64.b64encode(b"\x89PNG rest").decode()
        voice = "data:audio/ogg;base64," + base64.b64encode(b"OggS rest").decode()
        first = (await peer.post("send-message", {**to, "message": "hi"}))["response"][0]["id"]
        for route, body in (
            ("send-image", {"base64": image, "caption": "see"}),
            ("send-voice-base64", {"base64Ptt": voice}),
            ("send-file", {"path": "http://files.example.test/a.pdf", "filename": "a.pdf"}),
            ("send-location", {"lat": "-23.5", "lng": "-46.6", "title": "here"}),
            ("send-reply", {"message": "re", "messageId": first}),
        ):
            status, told = await peer.call("POST", route, {**to, **body})
            assert status == 201 and told["response"][0]["id"].startswith("true_"), route
        kinds = [one.kind for one in phone.messages.values()]
        assert kinds == ["chat", "image", "ptt", "document", "location", "chat"]
        assert file_bytes(next(one.media for one in phone.messages.values() if one.media)) == b"\x89PNG rest"
        assert (await peer.call("POST", "send-image", {**to, "base64": "iVBORw0KGgo"}))[0] == 500
        await sim.faults.start("send_error", times=1, session=S)
        assert (await peer.call("POST", "send-message", {**to, "message": "no"}))[0] == 500
        assert len(phone.messages) == 6
        assert (await peer.call("POST", "react-message", {"msgId": first, "reaction": "👍"}))[0] == 200
        edited = await peer.post("edit-message", {"id": first, "newText": "hello"})
        assert edited["response"][0]["body"] == "hello"
        assert (await peer.call("POST", "delete-message", {**to, "messageId": first}))[0] == 200
        assert phone.messages[first.split("_")[2]].revoked


async def test_two_phones_of_one_world_write_to_each_other():
    async with lab(world=demo_world()) as (sim, peer, consumer):
        peer.session = "Canal Um"
        await peer.log_in(consumer)
        other = sim.phone("CanalDois")
        await peer.post("send-message", {"phone": other.account.number, "message": "canary"})
        (message,) = other.messages.values()
        assert (message.text, message.chat) == ("canary", sim.phone("Canal Um").account.wid)


@pytest.mark.parametrize(("fault", "left"), [("send_request_lost", []), ("send_answer_lost", ["hi"])])
async def test_a_connection_that_falls_in_the_midst_of_a_send_leaves_it_open_what_happened(
    fault: str, left: list[str]
):
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start(fault, times=1, session=S)
        with pytest.raises(aiohttp.ClientError):
            await peer.post("send-message", {"phone": "550000000002", "message": "hi"})
        assert await peer.texts() == left
        assert sim.disturbed(S) == 1


async def test_a_slow_answer_is_later_than_its_message(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("send_slow", times=1, session=S, delay_s=45)
        call = asyncio.ensure_future(peer.post("send-message", {"phone": "550000000002", "message": "hi"}))
        await consumer.event("onack")
        await clock.run_for(44)
        assert not call.done()
        await clock.run_for(2)
        assert (await call)["status"] == "success"
