"""What happens to messages: webhooks on request late, lost, sealed; reads, sends, and what survives."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from atalaia.clock import HeldClock
from simulators.wppconnect import Media, WppSimulator, load_world
from simulators.wppconnect.models import Message
from simulators.wppconnect.objects import serialized
from simulators.wppconnect.pictures import file_bytes
from tests.simulators.wppconnect_ground import ANA, ANA_LID, Json, S, lab

BRUNO = "550000000003@c.us"
PDF = Media("application/pdf", "boleto.pdf", 3_000, seed=5, caption="segue")


def sent(sim: WppSimulator, event: str = "onmessage") -> list[Json]:
    return [one.body for one in sim.host.webhooks.sent if one.event == event]


# ---- ciphertext ---------------------------------------------------------------------------


async def test_a_message_comes_empty_first_then_with_its_text_and_once_more(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("ciphertext_then_chat", session=S, after_s=2, duplicate=True)
        sim.phone(S).receive(ANA, "secret")
        await consumer.event("onmessage")
        assert await peer.texts() == [""]
        await clock.run_for(2)
        await consumer.event("onmessage", 3)
        told = consumer.events("onmessage")
        assert [(one["type"], one["body"]) for one in told] == [("ciphertext", "")] + [("chat", "secret")] * 2
        assert len({one["id"] for one in told}) == 1
        assert told[0]["subtype"] == "fanout"


async def test_a_reload_between_ciphertext_and_text_leaves_the_text_to_a_later_read(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("ciphertext_then_chat", times=1, session=S, after_s=30)
        sim.phone(S).receive(ANA, "secret")
        await consumer.event("onmessage")
        await peer.recover(consumer)
        await clock.run_for(31)
        assert [one["type"] for one in sent(sim)] == ["ciphertext"]
        assert await peer.texts() == ["secret"]


@pytest.mark.parametrize(("options", "text"), [({}, ""), ({"readable_after_s": 600}, "secret")])
async def test_a_message_that_is_never_resolved_may_be_read_later_or_not(
    clock: HeldClock, options: Json, text: str
):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("ciphertext_never_resolved", times=1, session=S, **options)
        message = sim.phone(S).receive(ANA, "secret", kind="document", media=PDF)
        await consumer.event("onmessage")
        body = {"messageId": serialized(sim.phone(S), message)}
        assert (await peer.post("download-media", body))["message"] == "Decrypt file error"
        await clock.run_for(601)
        assert await peer.texts() == [text]
        assert len(sent(sim)) == 1


# ---- webhooks -----------------------------------------------------------------------------


async def test_webhooks_leave_in_another_order_when_asked(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("webhook_reorder", session=S, window=2, hold_s=5)
        for text in ("one", "two", "three"):
            sim.phone(S).receive(ANA, text)
        await consumer.event("onmessage", 2)
        assert {one["body"] for one in consumer.events("onmessage")} == {"one", "two"}
        await clock.run_for(5)
        assert (await consumer.event("onmessage", 3))["body"] == "three"


async def test_webhooks_leave_late_or_never_when_asked(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("webhook_delay", times=1, session=S, delay_s=40)
        await sim.faults.start("webhook_lost", times=1, session=S, share=1)
        lost = sim.phone(S).receive(ANA, "lost")
        sim.phone(S).receive(ANA, "late")
        sim.phone(S).receive(ANA, "in time")
        assert (await consumer.event("onmessage"))["body"] == "in time"
        await clock.run_for(41)
        assert (await consumer.event("onmessage", 2))["body"] == "late"
        gone = [one for one in sim.host.webhooks.sent if one.lost]
        assert [one.body["id"] for one in gone] == [serialized(sim.phone(S), lost)]


async def test_a_webhook_that_is_not_taken_is_not_sent_again(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        consumer.status = 503
        sim.phone(S).receive(ANA, "once")
        while sim.host.webhooks.sent[-1].status == 0:
            await peer.status()
        await clock.run_for(86_400)
        consumer.status = 200
        sim.phone(S).receive(ANA, "later")
        assert (await consumer.event("onmessage"))["body"] == "later"
        assert len(sent(sim)) == 2
        unread = [one["body"] for one in (await peer.get("all-unread-messages"))["response"]]
        assert unread in (["once", "later"], [])  # the second delivery marks the whole chat


async def test_a_delivered_message_marks_its_chat_as_read_unless_that_is_ended():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone = sim.phone(S)
        phone.receive(ANA, "one")
        while phone.unread.get(ANA):
            await peer.status()
        await sim.faults.stop("mark_read_on_delivery", S)
        phone.receive(ANA, "two")
        await consumer.event("onmessage", 2)
        told = (await peer.get("all-unread-messages"))["response"]
        assert [one["body"] for one in told] == ["two"]
        shown = (await peer.get("unread-messages"))["response"]
        assert shown[0]["unreadCount"] == 1 and shown[0]["messages"][0]["body"] == "two"
        assert (await peer.get("all-unread-messages"))["response"] == [], "looking has cleared it"


async def test_media_travel_whole_in_the_body_and_may_be_huge():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone = sim.phone(S)
        small = phone.receive(ANA, kind="document", media=PDF)
        told = await consumer.event("onmessage")
        data = base64.b64decode(told["body"])
        assert data == file_bytes(PDF) and data.startswith(b"%PDF")
        assert (told["mimetype"], told["filename"], told["caption"], told["size"]) == (
            "application/pdf",
            "boleto.pdf",
            "segue",
            3_000,
        )
        await sim.faults.start("big_media_body", times=1, session=S, size_bytes=2_000_000)
        phone.receive(ANA, kind="image", media=Media("image/jpeg", "", 900, seed=6))
        assert len((await consumer.event("onmessage", 2))["body"]) > 2_600_000
        loaded = await peer.get(f"get-media-by-message/{serialized(phone, small)}")
        assert base64.b64decode(loaded["base64"]) == data


async def test_without_auto_download_media_come_as_a_thumbnail_and_are_fetched_by_id():
    async with lab(config={"auto_download": False}) as (sim, peer, consumer):
        await peer.log_in(consumer)
        media = Media("image/jpeg", "", 4_000, seed=9)
        message = sim.phone(S).receive(ANA, kind="image", media=media)
        told = await consumer.event("onmessage")
        assert base64.b64decode(told["body"]).startswith(b"\x89PNG") and len(told["body"]) < 200
        loaded = await peer.post("download-media", {"messageId": serialized(sim.phone(S), message)})
        assert base64.b64decode(loaded["base64"]) == file_bytes(media)


async def test_what_the_owner_types_on_the_phone_is_told_only_when_configured():
    for told in (False, True):
        async with lab(config={"on_self_message": told}) as (sim, peer, consumer):
            await peer.log_in(consumer)
            sim.phone(S).write(ANA, "typed on the phone")
            await peer.post("send-message", {"phone": "550000000002", "message": "sent by the page"})
            bodies = {one["body"] for one in sent(sim, "onselfmessage")}
            assert bodies == ({"typed on the phone", "sent by the page"} if told else set())
            assert await peer.texts() == ["typed on the phone", "sent by the page"]


async def test_reactions_and_revocations_are_told_and_edits_are_not():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone = sim.phone(S)
        message = phone.receive(ANA, "olá")
        identity = serialized(phone, message)
        phone.react(message.key, ANA, "👍")
        told = await consumer.event("onreactionmessage")
        assert (told["msgId"], told["reactionText"]) == (identity, "👍") and "sender" not in told
        rows = (await peer.get(f"reactions/{identity}"))["response"]["reactions"]
        assert rows[0]["aggregateEmoji"] == "👍"
        phone.edit(message.key, "olá!")
        phone.revoke(message.key)
        assert (await consumer.event("onrevokedmessage"))["refId"] == identity
        found = (await peer.get(f"message-by-id/{identity}"))["response"]["data"]
        assert (found["type"], found["body"]) == ("revoked", "")
        assert len(sent(sim)) == 1


async def test_any_event_can_be_said_and_types_nobody_knows_travel_as_they_are():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        call = {"event": "incomingcall", "data": {"id": "c1", "peerJid": ANA, "isVideo": False}}
        assert (await peer.control("POST", f"/_sessions/{S}/event", call))[0] == 202
        assert await consumer.event("incomingcall") == {"event": "incomingcall", "session": S, **call["data"]}
        sim.phone(S).receive(ANA, "?", kind="hologram")
        assert (await consumer.event("onmessage"))["type"] == "hologram"
        assert (await peer.control("POST", "/_sessions/nobody/event", call))[0] == 409


async def test_what_is_unread_is_told_again_at_the_start_when_configured():
    for told in (False, True):
        async with lab(config={"all_unread_on_start": told}) as (sim, peer, consumer):
            sim.phone(S).receive(ANA, "while it was closed")
            await peer.log_in(consumer)
            while not await peer.texts():
                pass
            assert [one["body"] for one in sent(sim, "unreadmessages")] == ["while it was closed"] * told


async def test_acks_come_twice_and_the_own_account_by_its_device_at_times():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("ack_repeated", session=S)
        await peer.post("send-message", {"phone": "550000000002", "message": "hi"})
        await consumer.event("onack", 6)
        assert sorted(one["ack"] for one in consumer.events("onack")) == [1, 1, 2, 2, 3, 3]
        sim.phone(S).migrate(ANA)
        for text in ("two", "three"):
            sim.phone(S).receive(ANA, text)
        assert [one["to"] for one in sent(sim)] == ["550000000001@c.us", "190000000000001:3@lid"]


# ---- people -------------------------------------------------------------------------------


async def test_a_contact_that_moves_to_a_lid_takes_its_old_messages_with_it():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone = sim.phone(S)
        old = phone.receive(ANA, "by number")
        assert (await consumer.event("onmessage"))["id"] == f"false_{ANA}_{old.key}"
        await sim.faults.start("lid_migration", session=S, contact=ANA)
        phone.receive(ANA, "by lid")
        told = await consumer.event("onmessage", 2)
        assert (told["from"], told["chatId"]) == (ANA_LID, ANA_LID)
        rows = (await peer.get(f"get-messages/{ANA_LID}"))["response"]
        assert [one["id"].split("_")[1] for one in rows] == [ANA_LID, ANA_LID]
        assert rows[0]["id"].endswith(old.key)
        pair = await peer.get(f"contact/pn-lid/{ANA_LID}")
        assert pair["phoneNumber"]["_serialized"] == ANA


async def test_a_lid_that_the_page_cannot_place_is_known_after_the_next_message():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        person = sim.phone(S).people[ANA]
        person.paired = False
        assert "phoneNumber" not in await peer.get(f"contact/pn-lid/{ANA_LID}")
        sim.phone(S).receive(ANA, "one")
        assert "phoneNumber" not in await peer.get(f"contact/pn-lid/{ANA_LID}")
        sim.phone(S).receive(ANA, "two")
        assert (await peer.get(f"contact/pn-lid/{ANA_LID}"))["phoneNumber"]["id"] == person.number
        assert (await peer.call("GET", "contact/pn-lid/120@g.us"))[0] == 500


# ---- paging -------------------------------------------------------------------------------


async def test_a_chat_is_paged_back_by_id_until_there_is_no_more():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        for number in range(23):
            sim.phone(S).receive(ANA, f"m{number}", at_ms=1_767_225_600_000 + number * 500)
        found: list[str] = []
        rows = (await peer.get(f"get-messages/{ANA}", count="10"))["response"]
        while rows:
            found = [one["body"] for one in rows] + found
            query = {"count": "10", "direction": "before", "id": rows[0]["id"]}
            rows = (await peer.get(f"get-messages/{ANA}", **query))["response"]
        assert found == [f"m{number}" for number in range(23)]
        middle = (await peer.get(f"get-messages/{ANA}", count="100"))["response"][10]
        query = {"count": "3", "direction": "after", "id": middle["id"]}
        assert await peer.texts(ANA, **query) == ["m11", "m12", "m13"]
        assert len(await peer.texts(ANA, count="-1")) == 23
        unknown = {"id": f"false_{ANA}_NOPE", "direction": "before"}
        assert (await peer.call("GET", f"get-messages/{ANA}", None, **unknown))[0] == 401


async def test_chats_are_listed_the_newest_first_and_paged_by_id():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone = sim.phone(S)
        phone.receive(ANA, "older", at_ms=1_767_225_600_000)
        phone.receive("120363000000000777@g.us", "group", author=BRUNO, at_ms=1_767_225_700_000)
        phone.receive(BRUNO, "newer", at_ms=1_767_225_800_000)
        rows = await peer.post("list-chats", {"count": 2})
        assert [one["t"] for one in rows] == [1_767_225_800, 1_767_225_700]
        rest = await peer.post("list-chats", {"count": 2, "id": rows[-1]["id"]["_serialized"]})
        assert [one["id"]["_serialized"] for one in rest] == [ANA]
        groups = await peer.post("list-chats", {"onlyGroups": True})
        assert [one["isGroup"] for one in groups] == [True]
        status, page = await peer.call("GET", "list-chats")
        assert status == 404 and page.startswith(b"<!DOCTYPE html>")


# ---- what survives ------------------------------------------------------------------------


def truth(messages: dict[str, Message]) -> list[object]:
    return [
        (one.key, one.chat, one.body, one.at_ms, one.ack, one.revoked, one.reactions, one.media)
        for one in messages.values()
    ]


async def test_phones_profiles_and_tokens_survive_a_new_process(tmp_path: Path):
    async with lab(folder=tmp_path) as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone = sim.phone(S)
        phone.receive(ANA, "kept")
        phone.receive(BRUNO, kind="document", media=PDF)
        phone.migrate(BRUNO)
        message = phone.write(ANA, "own")
        phone.acknowledge(message.key, 3)
        phone.react(message.key, ANA, "❤️")
        phone.edit(message.key, "own, edited")
        await consumer.event("onmessage", 2)
        before = truth(phone.messages)

    async with lab(folder=tmp_path) as (sim, peer, consumer):
        phone = sim.phone(S)
        assert truth(phone.messages) == before
        assert phone.people[BRUNO].migrated
        assert sim.host.tokens[S]["config"]["webhook"].endswith(f"/hooks/{S}")
        while await peer.status() != "CONNECTED":
            pass  # it started by itself, and told the consumer of the first run
        await peer.recover(consumer)
        assert "status-find isLogged" in consumer.told() and not consumer.events("qrcode")
        assert await peer.texts() == ["kept", "own, edited"]


async def test_a_journal_cut_in_the_middle_of_a_line_loses_that_line_only(tmp_path: Path):
    async with lab(folder=tmp_path) as (sim, _, _):
        sim.phone(S).receive(ANA, "one")
        sim.phone(S).receive(ANA, "two")
    path = tmp_path / "phones" / f"{S}.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    async with lab(folder=tmp_path) as (sim, _, _):
        assert [one.text for one in sim.phone(S).messages.values()] == ["one"]
        sim.phone(S).receive(ANA, "three")
    async with lab(folder=tmp_path) as (sim, _, _):
        assert [one.text for one in sim.phone(S).messages.values()] == ["one", "three"]


# ---- truth --------------------------------------------------------------------------------


async def test_the_ledger_names_what_was_placed_when_and_by_whom():
    async with lab() as (_, peer, _):
        group = {
            "from": BRUNO,
            "group": "120363000000000777@g.us",
            "text": "in the group",
            "at_ms": 1767988210999,
        }
        assert (await peer.control("POST", f"/_phones/{S}/receive", group))[0] == 201
        media = {"mimetype": "audio/ogg", "size": 500, "seed": 3}
        await peer.control("POST", f"/_phones/{S}/receive", {"from": ANA, "kind": "ptt", "media": media})
        await peer.control("POST", f"/_phones/{S}/write", {"to": "550000000002", "text": "answer"})
        _, told = await peer.control("GET", "/_ledger")
        first, second, third = told["messages"]
        assert (first["text"], first["t"], first["from_me"]) == ("in the group", 1767988210, False)
        assert first["author"]["wids"] == [BRUNO, "100000000000003@lid"]
        voice = file_bytes(Media("audio/ogg", "", 500, 3))
        assert second["media"]["sha256"] == hashlib.sha256(voice).hexdigest()
        assert second["contact"]["number"] == "550000000002"
        assert (third["source"], third["from_me"]) == ("phone", True)
        assert told["counts"] == {"received": 2, "phone": 1, "api": 0}
        assert json.dumps(told)


async def test_a_population_writes_by_day_hardly_at_night_and_the_same_for_the_same_seed(clock: HeldClock):
    stories: list[list[str]] = []
    for _ in range(2):
        night = HeldClock(clock.now().replace(hour=3))  # midnight in Brasília, on a Thursday
        world = load_world(1, contacts=12)
        async with lab(night, world=world, config={"webhook_url": "http://127.0.0.1:9"}) as (sim, _, _):
            phone = sim.phone("load00000")
            sim.populate(phone.name, 30, seed=4, daily=True)
            await night.run_for(6 * 3600, settle=2)
            quiet = len(phone.messages)
            await night.run_for(12 * 3600, settle=2)
            assert quiet * 20 < len(phone.messages)
            stories.append([one.text + one.kind + one.chat for one in phone.messages.values()])
            kinds = {one.kind for one in phone.messages.values()}
            assert {"chat", "image", "ptt"} <= kinds and any(one.author for one in phone.messages.values())
    assert stories[0] == stories[1]


def test_a_file_with_content_of_its_own_grows_behind_its_end():
    media = Media("application/pdf", "a.pdf", 4, 1, data=base64.b64encode(b"%PDF").decode())
    media.grow(9)
    assert (media.size, base64.b64decode(media.data)) == (9, b"%PDF" + bytes(5))
    media.grow(3)
    assert media.size == 9
