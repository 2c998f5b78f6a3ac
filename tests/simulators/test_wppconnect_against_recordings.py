"""The simulated server says what the real one said: the transcripts 01 to 12 and the gateway's recordings."""

from __future__ import annotations

from random import Random
from typing import Any

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.wppconnect import Account, Person
from simulators.wppconnect.objects import message_json
from simulators.wppconnect.phone import Phone
from tests.simulators.wppconnect_ground import (
    ANA,
    ANA_LID,
    SECRET,
    Consumer,
    Json,
    Peer,
    S,
    lab,
    lab_world,
    recording,
    recordings,
)

SERVER = "wppconnect-server"
# The page behind the transcripts was a stub: its objects are compared by the keys that it had.
STUB_OBJECTS = ("]", ".id", ".data", ".contact")


def check_like(ours: Any, recorded: Any, path: str = "$") -> None:
    """Assert the recorded form: types, keys and their order. Objects of the page may have more keys."""
    assert type(ours) is type(recorded), f"{path}: {ours!r} is no {type(recorded).__name__}"
    if isinstance(recorded, dict):
        if isinstance(recorded.get("message"), str):
            assert ours["message"] == recorded["message"], path
        loose = path.endswith(STUB_OBJECTS)
        keys = [key for key in ours if key in recorded] if loose else list(ours)
        if loose:  # the stub never decrypted its message
            assert set(recorded) - set(keys) <= {"subtype"}, path
        else:
            assert keys == list(recorded), f"{path}: {keys} are not {list(recorded)}"
        for key in keys:
            check_like(ours[key], recorded[key], f"{path}.{key}")
    elif isinstance(recorded, list) and recorded:
        check_like(ours[0], recorded[0], f"{path}[0]")


async def check_http(peer: Peer, record: Json) -> Any:
    """Make a recorded request, and assert that the reply has the recorded code and form."""
    headers = {"Content-Type": "application/json"}
    if record.get("auth") == "bearer":
        headers["Authorization"] = f"Bearer {peer.sim.host.token_of(S)}"
    body = record["request"]
    if body and "webhook" in body:
        body = {**body, "webhook": peer.hook}
    url = peer.sim.server_url + record["path"]
    async with peer.http.request(record["method"], url, json=body, headers=headers) as answer:
        assert answer.status == record["status"], (record["path"], await answer.text())
        assert answer.headers["Content-Type"] == record["content_type"]
        if record["reply"] and isinstance(record["reply"], dict) and record["reply"].get("_non_json"):
            return await answer.read()
        told = await answer.json()
        check_like(told, record["reply"], record["path"])
        return told


def of_kind(segment: Json, kind: str) -> list[Json]:
    return [one for one in segment["records"] if one["kind"] == kind]


def check_webhooks(consumer: Consumer, segment: Json) -> None:
    """Assert that the consumer heard the recorded webhooks, in order, with their keys and headers."""
    wanted = of_kind(segment, "webhook")
    assert len(consumer.heard) == len(wanted), consumer.told()
    for ours, record in zip(consumer.heard, wanted, strict=True):
        assert ours.path == record["path"]
        assert {key: ours.headers[key] for key in record["headers"]} == record["headers"]
        keys = [key for key in ours.body if key in record["body"]]
        assert keys == list(record["body"]), ours.event
        assert ("session" in ours.body) == ("session" in record["body"])
        for key in ("event", "session", "status", "message", "connected"):
            assert ours.body.get(key) == record["body"].get(key)
    consumer.heard.clear()


def segment(number: int) -> Json:
    path = next((one for one in recordings() if one.name.startswith(f"{number:02d}-")), None)
    return recording(SERVER, path.name if path is not None else f"{number:02d}-…")


async def test_tokens_are_asked_for_and_refused_as_recorded():
    async with lab(world=lab_world()) as (sim, peer, _):
        first, second, third, fourth = of_kind(segment(1), "http")
        assert await check_http(peer, first) == first["reply"]
        told = await check_http(peer, second)
        assert told["full"] == f"{S}:{told['token']}"
        assert told["token"].startswith("$2b$10$") and len(told["token"]) == 60
        assert await check_http(peer, third) == third["reply"]
        headers = {"Authorization": f"Bearer {second['reply']['token']}", "Content-Type": "application/json"}
        async with peer.http.get(sim.server_url + fourth["path"], headers=headers) as answer:
            assert answer.status == fourth["status"]
            assert await answer.json() == fourth["reply"]


async def test_a_session_that_never_started_answers_as_recorded():
    async with lab(world=lab_world()) as (_, peer, _):
        for record in of_kind(segment(2), "http"):
            assert await check_http(peer, record) == record["reply"]


async def test_pairing_recovery_and_a_code_that_nobody_scans_go_as_recorded():
    clock = HeldClock()
    async with lab(clock, world=lab_world()) as (sim, peer, consumer):
        third = segment(3)
        for record in of_kind(third, "http"):
            told = await check_http(peer, record)
            if record["path"].endswith("qrcode-session"):
                assert told.startswith(b"\x89PNG") and told[16:24] == (500).to_bytes(4) * 2
        await consumer.event("status-find")
        check_webhooks(consumer, third)

        await clock.run_for(20)
        await consumer.event("qrcode")
        check_webhooks(consumer, segment(4))

        assert sim.scan(S) == ""
        await consumer.status_find("inChat")
        consumer.heard.clear()
        await check_messages(clock, sim.phone(S), peer, consumer)
        await check_reads(sim.phone(S), peer)
        await check_deafness(peer)

        eleventh = segment(11)
        await check_recovery(peer, consumer, eleventh)
        consumer.heard.clear()

        await peer.post("logout-session")
        await consumer.status_find("browserClose")
        consumer.heard.clear()
        twelfth = segment(12)
        start, closed = of_kind(twelfth, "http")
        assert await check_http(peer, start) == start["reply"]
        await consumer.status_find("notLogged")
        await clock.run_for(60)
        await consumer.status_find("qrReadError")
        assert (await check_http(peer, closed))["status"] == "CLOSED"
        later = [one for one in consumer.heard if one.event == "qrcode"][1:]
        consumer.heard = [one for one in consumer.heard if one not in later]  # the stub showed one code only
        check_webhooks(consumer, twelfth)


async def check_messages(clock: HeldClock, phone: Phone, peer: Peer, consumer: Consumer) -> None:
    """Transcripts 05, 06 and 07."""
    phone.migrate(ANA)
    await peer.sim.faults.start("ciphertext_then_chat", times=1, session=S)
    phone.receive(ANA_LID, "hello", key="3EB0AAAAAAAAAAAAAA01")
    await consumer.event("onmessage")
    await clock.run_for(0.8)
    await consumer.event("onmessage", 2)
    for ours, record in zip(consumer.events("onmessage"), of_kind(segment(5), "webhook"), strict=True):
        wanted = {key: record["body"][key] for key in record["body"] if key not in ("t", "isNewMsg")}
        assert {key: ours.get(key) for key in wanted} == wanted
    consumer.heard.clear()

    person = phone.people[ANA]
    person.migrated, person.name = False, ""
    peer.sim.host.presence(phone, person, "unavailable")
    phone.write(ANA, "hi", key="3EB0AA", at_ms=1795204109000)
    phone.acknowledge("3EB0AA", 3)
    await consumer.event("onack")
    check_webhooks(consumer, segment(6))
    person.migrated, person.name = True, "Lab"

    (record,) = of_kind(segment(7), "http")
    await consumer.until(lambda: not phone.unread.get(ANA))
    assert await check_http(peer, record) == record["reply"]


async def check_reads(phone: Phone, peer: Peer) -> None:
    """Transcript 08. The two places where the stub knew less are a message that was decrypted since."""
    phone.receive("550000000003@c.us", "later")
    for record in of_kind(segment(8), "http"):
        told = await check_http(peer, record)
        sent = record["reply"].get("response") if isinstance(record["reply"], dict) else None
        if record["path"].endswith("send-message") and sent:
            assert told["response"][0]["to"] == sent[0]["to"].replace(ANA, phone.wid(ANA))
            assert told["response"][0]["body"] == sent[0]["body"]
        if "pn-lid" in record["path"]:
            assert [told[key] for key in ("phoneNumber", "lid")] == [
                record["reply"][key] for key in ("phoneNumber", "lid")
            ]
        if "get-messages" in record["path"]:
            assert [one["body"] for one in told["response"]] == ["unknown number"]


async def check_deafness(peer: Peer) -> None:
    """Transcripts 09 and 10: the status lies, and the check of a crashed page never answers."""
    await peer.sim.faults.start("socket_timeout", session=S)
    for record in of_kind(segment(9), "http"):
        told = await check_http(peer, record)
        assert told["status"] == record["reply"]["status"]
    await peer.sim.faults.stop("socket_timeout")
    await peer.sim.faults.start("page_hang", session=S)
    status, check = of_kind(segment(10), "http")
    assert (await check_http(peer, status))["status"] == "CONNECTED"
    with pytest.raises(TimeoutError):
        async with peer.http.get(
            peer.sim.server_url + check["path"],
            headers={"Authorization": f"Bearer {peer.sim.host.token_of(S)}"},
            timeout=aiohttp.ClientTimeout(total=0.2),
        ):
            pass
    await peer.sim.faults.stop("page_hang")


async def check_recovery(peer: Peer, consumer: Consumer, eleventh: Json) -> None:
    """Transcript 11: after close and start nothing of the pairing says whose session it is."""
    close, closed, start, shown, connected = of_kind(eleventh, "http")
    consumer.heard.clear()
    for record in (close, closed):
        assert await check_http(peer, record) == record["reply"]
    peer.sim.host.unpair(S)  # as the bench did: the code had to be read anew
    assert await check_http(peer, start) == start["reply"]
    await consumer.status_find("notLogged")
    assert (await check_http(peer, shown))["status"] == "QRCODE"
    peer.sim.scan(S)
    await consumer.status_find("qrReadSuccess")
    await consumer.status_find("inChat")
    assert (await check_http(peer, connected))["status"] == "CONNECTED"
    consumer.heard = [one for one in consumer.heard if one.body.get("status") != "inChat"]
    check_webhooks(consumer, eleventh)


@pytest.mark.parametrize("name", ["message-direct-cus-1.json", "message-group-author-lid.json"])
async def test_envelopes_have_the_recorded_keys_in_order(name: str):
    recorded = recording("hub-envelope", name)
    payload = recorded["raw"]["payload"]
    async with lab() as (sim, peer, consumer):
        sim.gateway.relay.subscribe(f"{consumer.url}/hub")
        await peer.post("start-session", {"deviceName": "Atalaia"})
        phone = sim.phone(S)
        person = phone.people[ANA]
        if "author" in payload:
            person.migrated, person.name, person.business = True, "", True
            phone.receive(payload["chatId"], payload["body"], author=ANA)
        else:
            phone.receive(ANA, payload["body"])
        envelope = await consumer.event("message")
    check_same_keys(envelope, recorded)
    assert consumer.heard[-1].headers["X-Gateway-Secret"] == SECRET
    assert envelope["message"]["text"] == payload["body"]
    assert type(envelope["timestamp"]) is int


def check_same_keys(ours: Any, recorded: Any, path: str = "$") -> None:
    """Assert the same keys in the same order, all the way down."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        assert list(ours) == list(recorded), path
        for key in recorded:
            check_same_keys(ours[key], recorded[key], f"{path}.{key}")


async def test_a_contacts_presence_comes_as_a_connection_update_as_recorded():
    recorded = recording("hub-envelope", "connection-update-is-contact-presence.json")
    async with lab() as (sim, peer, consumer):
        sim.gateway.relay.subscribe(f"{consumer.url}/hub")
        await peer.post("start-session", {"deviceName": "Atalaia"})
        await consumer.event("status-find", 2)
        sim.host.presence(sim.phone(S), sim.phone(S).people["550000000003@c.us"], "unavailable")
        envelope = await consumer.event("connection.update")
    check_same_keys(envelope, recorded)
    assert envelope["connection"] == recorded["connection"]
    assert type(envelope["timestamp"]) is str


async def test_the_gateways_replies_are_those_of_the_recordings():
    async with lab() as (sim, peer, consumer):
        missing = await peer.gateway("GET", "/api/channels", secret=None)
        assert recording("gateway-api", "missing-secret.json")["reply_text"] in missing[1]["error"]
        unknown = await peer.gateway("GET", "/api/nowhere")
        assert unknown[1] == recording("gateway-api", "unknown-route.json")["reply"]

        await peer.log_in(consumer)
        wanted = recording("gateway-api", "get-channel-connected.json")["reply"]
        told = (await peer.gateway("GET", f"/api/channels/{S}"))[1]
        check_same_keys(told, wanted)
        assert told["channel"]["status"] == wanted["channel"]["status"]
        listed = (await peer.gateway("GET", "/api/channels"))[1]
        assert listed == {
            "success": True,
            "channels": [{"id": S, "name": S, "status": "connected"}],
            "total": 1,
        }

        await sim.faults.start("qr_500", session=S)
        odd = recording("gateway-api", "get-qr-while-inconsistent.json")
        assert await peer.gateway("GET", f"/api/channels/{S}/qr") == (odd["status"], odd["reply"])


def test_a_message_object_has_the_keys_of_the_recorded_one():
    """No key of ours is unknown to the recordings, but those of media, quotes and places."""
    recorded = recording("hub-envelope", "message-direct-cus-2.json")["raw"]["payload"]

    from atalaia.clock import HeldClock

    phone = Phone(S, Account("551155500201", "1", "x"), HeldClock(), Random(1))
    phone.add_person(Person("551155500101", "", "Carlos Exemplo", name="Carlos Exemplo"))
    told = message_json(phone, phone.receive("551155500101@c.us", "oi"))
    assert [*told] == [key for key in recorded if key not in ("event", "session")]
    assert {key: type(value) for key, value in told.items()} == {
        key: type(value) for key, value in recorded.items() if key not in ("event", "session")
    }
