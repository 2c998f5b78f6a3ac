"""The gateway before the server: its own list, its code route, its envelopes, and the proxy before it."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.wppconnect import Media, Pace, WppSimulator, demo_world
from simulators.wppconnect.objects import serialized
from simulators.wppconnect.pictures import file_bytes
from tests.simulators.wppconnect_ground import ANA, SECRET, Consumer, Json, Peer, S, lab, lab_world

VOICE = base64.b64encode(b"OggS voice").decode()


async def through_the_gateway(sim: WppSimulator, peer: Peer, consumer: Consumer) -> None:
    """Start the session without a webhook of its own: its events go by the gateway to the consumer."""
    sim.gateway.relay.subscribe(f"{consumer.url}/hub")
    await peer.post("start-session", {"deviceName": "Atalaia"})
    await consumer.until(lambda: any("inChat" in str(one.body) for one in consumer.heard))
    consumer.heard.clear()


async def test_a_click_on_the_code_starts_a_closed_session_and_shows_no_code_while_the_pairing_is_valid():
    async with lab() as (_, peer, _):
        told = (await peer.gateway("GET", f"/api/channels/{S}/qr"))[1]
        assert (told["qr"], told["status"]) == (None, "INITIALIZING")
        while await peer.status() != "CONNECTED":
            pass
        told = (await peer.gateway("GET", f"/api/channels/{S}/qr"))[1]
        assert (told["qr"], told["status"]) == (None, "CONNECTED")


async def test_a_click_on_the_code_brings_a_session_back_whose_browser_is_dead():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("browser_killed", session=S)
        consumer.heard.clear()
        told = (await peer.gateway("GET", f"/api/channels/{S}/qr"))[1]
        assert (told["qr"], told["status"]) == (None, "INITIALIZING")
        while (await peer.get("check-connection-session"))["status"] is not True:
            pass


async def test_the_code_of_a_session_that_is_not_paired_is_shown_and_stays_after_the_login(
    clock: HeldClock,
):
    async with lab(clock, world=lab_world()) as (sim, peer, consumer):
        await peer.start()
        await consumer.event("qrcode")
        told = (await peer.gateway("GET", f"/api/channels/{S}/qr"))[1]
        assert told["qr"].startswith("data:image/png;base64,")
        assert (await peer.gateway("GET", f"/api/channels/{S}"))[1]["channel"]["status"] == "qr_required"
        sim.scan(S)
        await consumer.status_find("inChat")
        stale = (await peer.gateway("GET", f"/api/channels/{S}/qr"))[1]
        assert base64.b64decode(stale["qr"]).startswith(b"\x89PNG"), (
            "a picture is no proof that a scan is needed"
        )


async def test_secrets_are_told_apart_and_the_proxy_has_a_password_of_its_own():
    async with lab() as (sim, peer, _):
        assert (await peer.gateway("GET", "/api/channels", secret=None))[0] == 401
        assert (await peer.gateway("GET", "/api/channels", secret="wrong"))[0] == 403
        await sim.faults.start("proxy_basic_auth", times=1)
        async with peer.http.get(sim.gateway_url + "/health") as answer:
            assert answer.status == 401 and "Basic" in answer.headers["WWW-Authenticate"]
            assert answer.content_type == "text/html"
        assert await peer.gateway("GET", "/health") == (200, {"status": "ok"})


async def test_names_are_exact_and_an_alias_leads_to_a_session_of_another_spelling():
    async with lab(world=demo_world()) as (sim, peer, consumer):
        sim.gateway.relay.subscribe(f"{consumer.url}/hub")
        assert (await peer.gateway("POST", "/api/channels/canalum/start-session"))[0] == 200
        await consumer.until(lambda: any("inChat" in str(one.body) for one in consumer.heard))
        for name in ("canalum", "Canal%20Um"):
            told = (await peer.gateway("GET", f"/api/channels/{name}"))[1]
            assert told["channel"]["status"] == "connected"
        assert (await peer.gateway("GET", "/api/channels/CANALUM"))[0] == 404
        phone = sim.phone("Canal Um")
        person = next(iter(phone.people))
        phone.receive(person, "one")
        told = await consumer.event("message")
        assert told["session"] == {"id": "Canal Um", "name": "Canal Um"}
        await sim.faults.start("case_alias", session="Canal Um")
        phone.receive(person, "two")
        told = await consumer.event("message", 2)
        assert told["session"]["id"] == "canalum" and told["raw"]["payload"]["session"] == "Canal Um"


async def test_a_channel_is_created_in_the_gateways_own_list_alone(tmp_path: Path):
    async with lab(folder=tmp_path) as (sim, peer, _):
        status, told = await peer.gateway("POST", "/api/channels", {"channel": "Novo"})
        assert status == 201 and told["qr_required"] is True
        assert "Novo" not in sim.host.tokens
        kept = json.loads((tmp_path / "sessions.json").read_text(encoding="utf-8"))
        assert [one["session_id"] for one in kept] == [S, "Novo"]
        await peer.start()
        listed = (await peer.gateway("GET", "/api/available-sessions"))[1]
        assert listed == {"success": True, "sessions": [S], "total": 1}


async def test_deleting_a_channel_destroys_its_pairing():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        assert (await peer.gateway("DELETE", f"/api/channels/{S}"))[0] == 200
        assert not sim.phone(S).linked
        assert (await peer.gateway("GET", f"/api/channels/{S}"))[0] == 404


async def test_an_older_gateway_has_no_start_session():
    async with lab(newer_gateway=False) as (_, peer, _):
        status, told = await peer.gateway("POST", f"/api/channels/{S}/start-session")
        assert (status, told) == (404, {"success": False, "error": "Route not found"})


# ---- envelopes ----------------------------------------------------------------------------


async def test_an_envelope_is_delivered_again_under_the_same_id_until_it_is_taken(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await through_the_gateway(sim, peer, consumer)
        consumer.status = 503
        sim.phone(S).receive(ANA, "patience")
        while not (sim.gateway.relay.deliveries and sim.gateway.relay.deliveries[-1].statuses == [503]):
            await peer.status()
        first = sim.gateway.relay.deliveries[-1]
        consumer.status = 200
        await clock.run_for(1)
        told = await consumer.event("message")
        assert told["event_id"] == first.envelope["event_id"]
        while not first.delivered:
            await peer.status()
        assert first.statuses == [503, 200]


async def test_presence_an_ack_and_session_events_have_each_their_envelope():
    async with lab() as (sim, peer, consumer):
        await through_the_gateway(sim, peer, consumer)
        phone = sim.phone(S)
        sim.host.presence(phone, phone.people[ANA], "available")
        assert (await consumer.event("connection.update"))["connection"] == {"status": "available"}
        await sim.faults.stop("presence_as_connection_update", S)
        sim.host.presence(phone, phone.people[ANA], "available")
        await consumer.event("onpresencechanged")
        await peer.post("send-message", {"phone": "550000000002", "message": "hi"})
        told = await consumer.event("message.ack")
        assert told["ack"]["id"].startswith("true_") and told["message"] is told["connection"] is None
        await peer.post("close-session")
        assert (await consumer.event("closesession"))["connection"] == {"status": "closesession"}


async def test_large_bodies_and_switched_off_events_are_lost_in_the_gateway():
    async with lab() as (sim, peer, consumer):
        await through_the_gateway(sim, peer, consumer)
        phone = sim.phone(S)
        await sim.faults.start("payload_too_large", session=S)
        phone.receive(ANA, kind="video", media=Media("video/mp4", "", 200_000, 3))
        while not sim.gateway.refused:
            await peer.status()
        await sim.faults.start("events_disabled", session=S)
        phone.receive(ANA, "switched off")
        while "onmessage" not in sim.host.webhooks.sent[-1].event or not sim.host.webhooks.sent[-1].status:
            await peer.status()
        await sim.faults.stop("events_disabled")
        phone.receive(ANA, "heard")
        assert (await consumer.event("message"))["message"]["text"] == "heard"


async def test_where_envelopes_go_can_be_told_for_all_and_for_one():
    async with lab() as (sim, peer, consumer):
        both = {"url": f"{consumer.url}/all", "secret": "theirs"}
        assert (await peer.gateway("POST", "/api/webhooks", both))[0] == 200
        await through_the_gateway(sim, peer, consumer)
        one = {"url": f"{consumer.url}/one", "secret": "theirs"}
        await peer.gateway("POST", f"/api/channels/{S}/webhook", one)
        sim.phone(S).receive(ANA, "to one")
        await consumer.event("message")
        assert consumer.heard[-1].path == "/one"
        assert consumer.heard[-1].headers["X-Gateway-Secret"] == "theirs"


# ---- messages and media -------------------------------------------------------------------


async def test_messages_of_each_kind_leave_by_one_route():
    async with lab() as (sim, peer, consumer):
        await through_the_gateway(sim, peer, consumer)
        to: Json = {"channel": S, "to": "550000000002"}
        bodies: list[Json] = [
            {"text": "hi"},
            {"type": "audio", "base64Ptt": VOICE},
            {"type": "image", "base64": VOICE, "text": ""},
            {"type": "document", "url": "http://files.example.test/a.pdf", "fileName": "a.pdf", "text": ""},
            {"type": "video", "base64": VOICE, "caption": "see"},
        ]
        for body in bodies:
            status, told = await peer.gateway("POST", "/api/messages", {**to, **body})
            assert status == 200 and told["messageId"].startswith("true_") and told["correlationId"], told
        kinds = [one.kind for one in sim.phone(S).messages.values()]
        assert kinds == ["chat", "ptt", "image", "document", "video"]
        told = await consumer.event("message.sent")
        assert told["message"]["text"] == "hi"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"channel": "nobody", "to": "1", "text": "x"}, "CHANNEL_NOT_FOUND"),
        ({"to": "550000000002", "type": "audio"}, "MISSING_MEDIA"),
        ({"to": "550000000002", "type": "image", "text": ""}, "MISSING_MEDIA"),
        ({"to": "550000000002", "type": "image", "base64": VOICE}, "WPPCONNECT_SEND_ERROR"),
        ({"to": "550000009999", "text": "x"}, "WPPCONNECT_SEND_ERROR"),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_its_code(body: Json, code: str):
    async with lab() as (_, peer, consumer):
        await peer.log_in(consumer)
        status, told = await peer.gateway("POST", "/api/messages", {"channel": S, **body})
        assert status >= 400 and told["error_code"] == code and told["correlationId"]


async def test_a_closed_session_is_told_as_disconnected():
    async with lab() as (_, peer, _):
        body = {"channel": S, "to": "550000000002", "text": "x"}
        status, told = await peer.gateway("POST", "/api/messages", body)
        assert (status, told["error_code"]) == (400, "SESSION_DISCONNECTED")


async def test_an_image_that_is_swallowed_is_a_success_without_an_id():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("image_swallowed", times=1, session=S)
        body = {"channel": S, "to": "550000000002", "type": "image", "base64": VOICE, "text": ""}
        status, told = await peer.gateway("POST", "/api/messages", body)
        assert status == 200 and told["success"] is True and "messageId" not in told
        assert not sim.phone(S).messages


async def test_a_message_may_leave_without_its_id_and_audio_may_not_be_converted():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("no_message_id", times=1, session=S)
        body: Json = {"channel": S, "to": "550000000002", "text": "sent"}
        told = (await peer.gateway("POST", "/api/messages", body))[1]
        assert told["success"] is True and "messageId" not in told
        await sim.faults.start("audio_convert_failed", session=S)
        audio = {"type": "audio", "base64Ptt": VOICE, "audio_mime": "audio/webm"}
        status, told = await peer.gateway("POST", "/api/messages", {**body, **audio})
        assert (status, told["error_code"], told["reason"]) == (
            500,
            "AUDIO_CONVERT_FAILED",
            "FFMPEG_NOT_FOUND",
        )
        assert [one.text for one in sim.phone(S).messages.values()] == ["sent"]


async def test_a_send_that_times_out_in_the_gateway_may_leave_all_the_same(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("socket_timeout", 300, session=S)
        body = {"channel": S, "to": "550000000002", "text": "uncertain"}
        call = asyncio.ensure_future(peer.gateway("POST", "/api/messages", body))
        while not sim.phone(S).messages:
            await peer.status()
        await clock.run_for(31)
        status, told = await call
        assert (status, told["error_code"]) == (500, "WPPCONNECT_TIMEOUT")
        await clock.run_for(300)
        (message,) = sim.phone(S).messages.values()
        assert message.ack >= 1


async def test_the_proxy_gives_up_in_html_and_the_message_leaves_behind_it(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("proxy_504_html", times=1, after_s=60, path="/api/messages")
        body = {"channel": S, "to": "550000000002", "text": "sent"}
        call = asyncio.ensure_future(peer.gateway("POST", "/api/messages", body))
        while not sim.phone(S).messages:
            await peer.status()
        assert not call.done()
        await clock.run_for(60)
        status, page = await call
        assert status == 504 and page.startswith("<html>")
        assert (await peer.gateway("GET", f"/api/channels/{S}"))[0] == 200


async def test_a_slow_list_takes_its_time_and_tells_the_truth(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("slow_list", times=1, delay_s=45)
        call = asyncio.ensure_future(peer.gateway("GET", "/api/channels"))
        await peer.status()
        await clock.run_for(44)
        assert not call.done()
        await clock.run_for(2)
        assert (await call)[1]["channels"][0]["status"] == "connected"


async def test_a_gateway_that_is_gone_loses_what_the_server_fired_at_it(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await through_the_gateway(sim, peer, consumer)
        await sim.faults.start("gateway_gone", 30)
        with pytest.raises(aiohttp.ClientError):
            await peer.gateway("GET", "/health")
        sim.phone(S).receive(ANA, "lost")
        while not sim.host.webhooks.sent[-1].lost:
            await peer.status()
        await clock.run_for(31)
        sim.phone(S).receive(ANA, "heard")
        assert (await consumer.event("message"))["message"]["text"] == "heard"
        assert await peer.texts() == ["lost", "heard"]


async def test_a_status_that_cannot_be_asked_for_is_unknown():
    async with lab() as (sim, peer, _):
        await sim.faults.start("server_gone")
        told = (await peer.gateway("GET", f"/api/channels/{S}"))[1]
        assert told["channel"]["status"] == "unknown"


async def test_media_come_after_a_while_and_may_be_wrapped_in_json(clock: HeldClock):
    media = Media("audio/ogg", "", 700, seed=8)
    async with lab(clock, pace=Pace(page_s=(0, 0), login_s=(0, 0), in_chat_s=(0, 0))) as (
        sim,
        peer,
        consumer,
    ):
        await peer.log_in(consumer)
        message = sim.phone(S).receive(ANA, kind="ptt", media=media)
        path = f"/api/media/{S}/{serialized(sim.phone(S), message).replace('@', '%40')}"
        assert (await peer.gateway("GET", path))[0] == 404
        await clock.run_for(31)
        told = (await peer.gateway("GET", path))[1]
        assert base64.b64decode(told["media_base64"]) == file_bytes(media)
        assert told["mime_type"] == "audio/ogg"
        await sim.faults.start("media_wrapped", times=1, session=S)
        wrapped = json.loads(base64.b64decode((await peer.gateway("GET", path))[1]["media_base64"]))
        assert base64.b64decode(wrapped["data"]) == file_bytes(media)


async def test_lids_are_resolved_through_the_gateway_and_pages_are_html():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        told = (await peer.gateway("GET", f"/api/{S}/contact/pn-lid/100000000000002@lid"))[1]
        assert told["phoneNumber"]["_serialized"] == ANA
        async with peer.http.get(sim.gateway_url + "/ui/sessoes") as answer:
            assert S in await answer.text() and answer.content_type == "text/html"
        assert SECRET not in json.dumps(sim.state())


async def test_a_client_that_gives_up_does_not_leave_a_reconnection_half_done(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("browser_killed", session=S)
        call = asyncio.ensure_future(peer.gateway("GET", f"/api/channels/{S}/qr"))
        while not sim.api.calls[S]["close-session"]:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        while await peer.status() != "CONNECTED":
            pass
        assert (await peer.get("check-connection-session"))["status"] is True
