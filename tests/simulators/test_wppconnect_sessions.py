"""What goes wrong with a WhatsApp session on request: pages, browsers, pairings, servers."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.wppconnect import FAULTS, WppSimulator, load_world
from simulators.wppconnect.chaos import SessionFaults
from simulators.wppconnect.faults import EVERYWHERE, NATURAL
from tests.simulators.wppconnect_ground import ANA, Peer, S, lab, lab_world

# The contract's section 8; `page_crash` and the rest of them must be there under these names.
WANTED = {
    "page_crash",
    "browser_killed",
    "deaf",
    "stuck_initializing",
    "orphan_browser",
    "no_session_name_after_close",
    "autoclose_60s",
    "device_removed",
    "conflict",
    "stale_qr_after_login",
    "double_reply_400_but_sent",
    "lid14_bug",
    "ciphertext_then_chat",
    "ciphertext_never_resolved",
    "webhook_reorder",
    "webhook_delay",
    "mark_read_on_delivery",
    "big_media_body",
    "lid_migration",
    "history_sync_late",
    "proxy_504_html",
    "slow_list",
    "case_alias",
    "presence_as_connection_update",
}


def sent(sim: WppSimulator) -> list[str]:
    """Answer the events that the server sent or tried to."""
    return [one.event for one in sim.host.webhooks.sent]


async def check_hangs(peer: Peer, route: str, method: str = "GET") -> None:
    """Assert that a route does not answer a client, who then gives up."""
    call = asyncio.ensure_future(peer.call(method, route, {} if method == "POST" else None))
    answered = await peer.status()  # this one is answered meanwhile, and it lies
    assert answered in ("CONNECTED", "CLOSED") and not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


def test_every_switch_of_the_contract_is_there_in_both_languages():
    assert set(FAULTS) >= WANTED
    assert {*NATURAL, *EVERYWHERE} <= set(FAULTS)
    for fault in FAULTS.values():
        texts = (fault.title, fault.description, fault.ends)
        assert all(text[language] for text in texts for language in ("pt-BR", "en"))


async def test_a_crashed_page_never_answers_and_stays_connected_until_its_browser_is_ended():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("page_crash", session=S)
        await check_hangs(peer, "check-connection-session")
        await check_hangs(peer, "get-phone-number")
        await check_hangs(peer, "close-session", "POST")
        assert sent(sim).count("status-find") == 2

        assert await peer.control("DELETE", f"/_profiles/{S}/browser") == (200, {"ended": True})
        await consumer.status_find("browserClose")
        assert await peer.call("POST", "close-session", {}) == (
            200,
            {"status": True, "message": "Session successfully closed"},
        )
        consumer.heard.clear()
        await peer.log_in(consumer)
        assert "qrcode" not in consumer.told(), "the pairing is still valid"
        assert (await peer.get("check-connection-session"))["status"] is True


async def test_a_crashed_page_may_let_a_close_fail_instead_and_leaves_its_browser():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("page_crash", session=S, close_hangs=False)
        await check_hangs(peer, "check-number-status/550000000001")
        assert (await peer.call("POST", "close-session", {}))[0] == 500
        await peer.start()
        assert await peer.status() == "INITIALIZING"


async def test_a_main_screen_that_never_comes_is_told_after_three_minutes(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await sim.faults.start("no_in_chat", session=S)
        await peer.start()
        while await peer.status() != "CONNECTED":
            pass
        await clock.run_for(181)
        await consumer.status_find("phoneNotConnected")
        assert await peer.status() == "CONNECTED"


async def test_a_page_that_hangs_answers_later_and_has_what_came_meanwhile_without_an_event(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("page_hang", 300, session=S)
        call = asyncio.ensure_future(peer.get("get-phone-number"))
        sim.phone(S).receive(ANA, "meanwhile")
        await clock.run_for(299)
        assert not call.done()
        await clock.run_for(2)
        assert (await call)["response"] == "550000000001@c.us"
        assert await peer.texts() == ["meanwhile"]
        assert "onmessage" not in sent(sim)


async def test_a_killed_browser_is_told_once_and_start_does_nothing_until_a_close():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("browser_killed", session=S)
        await consumer.status_find("browserClose")
        assert await peer.status() == "CONNECTED"
        assert (await peer.get("check-connection-session"))["status"] is False
        assert (await peer.call("GET", "host-device"))[0] == 404
        assert (await peer.start())["status"] == "CONNECTED"
        page = sim.session(S).page
        assert page is not None and not page.alive

        await peer.recover(consumer)
        assert (await peer.call("GET", "host-device"))[0] == 200


async def test_a_deaf_session_has_presence_acks_and_a_full_store_but_no_messages():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        phone = sim.phone(S)
        before = phone.receive(ANA, "heard")
        await consumer.event("onmessage")
        await sim.faults.start("deaf", session=S)
        missed = phone.receive(ANA, "missed", at_ms=before.at_ms + 300_000)
        sim.host.presence(phone, phone.people[ANA], "composing")
        await consumer.event("onpresencechanged")
        await peer.post("send-message", {"phone": "550000000002", "message": "hi"})
        await consumer.event("onack")
        assert consumer.told().count("onmessage") == 1
        chats = await peer.post("list-chats", {"count": 20})
        assert chats[0]["t"] == missed.t
        assert await peer.texts() == ["heard", "hi", "missed"]

        await peer.recover(consumer)
        phone.receive(ANA, "heard again")
        assert (await consumer.event("onmessage"))["body"] == "heard again"
        assert not sim.faults.active("deaf")


async def test_a_stubborn_deafness_outlives_a_restart_and_ends_when_told():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("deaf", session=S, stubborn=True)
        await peer.recover(consumer)
        sim.phone(S).receive(ANA, "missed")
        assert "onmessage" not in sent(sim)
        await peer.control("DELETE", f"/_faults/deaf?session={S}")
        sim.phone(S).receive(ANA, "heard")
        assert (await consumer.event("onmessage"))["body"] == "heard"


async def test_a_page_without_the_phone_holds_what_is_sent_and_knows_nothing_new(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("socket_timeout", 600, session=S)
        sim.phone(S).receive(ANA, "unheard")
        call = asyncio.ensure_future(peer.post("send-message", {"phone": "550000000002", "message": "hi"}))
        await peer.status()
        while "hi" not in await peer.texts():
            pass
        assert not call.done()
        assert await peer.texts() == ["hi"]
        assert (await peer.get("check-connection-session"))["status"] is True
        asked = asyncio.ensure_future(peer.get("check-number-status/550000000001"))
        await peer.status()
        assert not asked.done(), "WhatsApp itself cannot be asked"
        await clock.run_for(601)
        assert (await asked)["response"]["numberExists"] is True
        assert (await call)["response"][0]["ack"] >= 1
        assert sorted(await peer.texts()) == ["hi", "unheard"]
        assert "onmessage" not in sent(sim)


async def test_two_servers_on_one_account_take_turns_and_lose_what_came_in_between(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("conflict", session=S, every_s=20, out_s=10)
        await clock.run_for(1)
        sim.phone(S).receive(ANA, "to the other one")
        await clock.run_for(10)
        sim.phone(S).receive(ANA, "to us")
        assert (await consumer.event("onmessage"))["body"] == "to us"
        assert await peer.status() == "CONNECTED"
        assert await peer.texts() == ["to the other one", "to us"]
        await sim.faults.stop("conflict")


async def test_a_session_stuck_at_the_start_stays_stuck_until_its_browser_is_ended(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await sim.faults.start("stuck_initializing", times=1, session=S)
        await peer.start()
        await clock.run_for(3600)
        assert await peer.status() == "INITIALIZING" and consumer.heard == []
        assert (await peer.call("POST", "close-session", {}))[0] == 500
        assert await peer.status() == "CLOSED"

        await peer.start()
        await clock.run_for(3600)
        assert await peer.status() == "INITIALIZING"
        assert "already running" in sim.session(S).log[-1]

        await peer.post("close-session")
        told = (await peer.control("GET", "/_profiles"))[1]["profiles"][0]
        assert told["locked"] and told["orphan"]
        assert sim.end_browser(S)
        await peer.log_in(consumer)
        assert await peer.status() == "CONNECTED"


async def test_an_orphan_browser_keeps_its_profile_after_a_close_that_answered_200():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("orphan_browser", times=1, session=S)
        assert (await peer.call("POST", "close-session", {}))[0] == 200
        await consumer.event("closesession")
        await peer.start()
        assert await peer.status() == "INITIALIZING"
        await peer.post("close-session")
        assert await peer.control("DELETE", f"/profiles/{S}/browser") == (200, {"ended": True})
        assert await peer.control("DELETE", f"/profiles/{S}/browser") == (200, {"ended": False})
        consumer.heard.clear()
        await peer.log_in(consumer)


async def test_what_version_2_10_4_does_by_nature_can_be_ended(clock: HeldClock):
    async with lab(clock, world=lab_world()) as (sim, peer, consumer):
        await peer.start()
        await consumer.event("qrcode")
        for name in ("autoclose_60s", "no_session_name_after_close", "stale_qr_after_login"):
            await sim.faults.stop(name, S)
        assert sim.scan(S) == ""
        await consumer.status_find("inChat")
        assert (await peer.get("status-session"))["qrcode"] is None
        assert (await peer.get("qrcode-session"))["status"] == "CONNECTED"

        sim.host.unpair(S)
        consumer.heard.clear()
        await peer.post("close-session")
        await peer.start()
        assert (await consumer.status_find("notLogged"))["session"] == S
        await clock.run_for(200)
        assert await peer.status() == "QRCODE"


async def test_a_code_that_was_replaced_is_refused_and_the_live_one_is_read(clock: HeldClock):
    async with lab(clock, world=lab_world()) as (_, peer, consumer):
        await peer.start()
        old = (await consumer.event("qrcode"))["urlcode"]
        await clock.run_for(20)
        await consumer.event("qrcode", 2)
        assert await peer.control("POST", f"/_phones/{S}/scan", {"code": old}) == (
            409,
            {"refused": "this code is over"},
        )
        assert (await peer.control("POST", f"/_phones/{S}/scan", {}))[0] == 200
        await consumer.status_find("inChat")


async def test_a_pairing_code_is_told_and_entered(clock: HeldClock):
    async with lab(clock, world=lab_world()) as (sim, peer, consumer):
        told = await peer.start(phone="550000000001", waitQrCode=True)
        assert told["status"] == "phoneCode" and len(told["phoneCode"]) == 8
        assert (await consumer.event("phoneCode"))["phoneCode"] == told["phoneCode"]
        assert sim.scan(S, code=told["phoneCode"]) == ""
        await consumer.status_find("inChat")


async def test_a_device_removed_on_the_phone_is_told_and_must_be_paired_again(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        sim.phone(S).receive(ANA, "before")
        await consumer.event("onmessage")
        consumer.heard.clear()
        await peer.control("POST", f"/_phones/{S}/remove")
        await consumer.status_find("browserClose")
        assert consumer.told() == ["status-find disconnectedMobile", "status-find browserClose"]
        assert await peer.get("status-session") == {"status": "CLOSED", "qrcode": None, "session": ""}

        consumer.heard.clear()
        await peer.start()
        await consumer.event("qrcode")
        sim.scan(S)
        await consumer.status_find("inChat")
        while not await peer.texts():
            pass
        assert await peer.texts() == ["before"]
        assert "onmessage" not in consumer.told(), "history enters without an event"


async def test_an_older_server_stays_connected_when_its_device_was_removed():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("version_skew", session=S)
        await sim.faults.start("device_removed", session=S)
        await consumer.status_find("disconnectedMobile")
        told = await peer.get("status-session")
        assert (told["status"], told["version"]) == ("CONNECTED", "2.8.6")
        assert not sim.phone(S).linked


async def test_an_older_library_spells_the_removal_its_own_way():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("old_spelling", session=S)
        await sim.faults.start("device_removed", session=S)
        assert (await consumer.status_find("desconnectedMobile"))["session"] == S


async def test_late_history_arrives_in_portions_the_newest_first(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        for number in range(6):
            sim.phone(S).receive(ANA, f"m{number}", at_ms=1_767_225_600_000 + number * 60_000)
        await sim.faults.start("history_sync_late", session=S, delay_s=100, portions=3, every_s=50)
        await peer.log_in(consumer)
        assert await peer.post("list-chats", {}) == []
        await clock.run_for(101)
        assert await peer.texts() == ["m4", "m5"]
        await clock.run_for(50)
        assert await peer.texts() == ["m2", "m3", "m4", "m5"]
        await clock.run_for(50)
        assert await peer.texts(count="100") == [f"m{number}" for number in range(6)]
        assert "onmessage" not in sent(sim)


async def test_a_server_that_restarts_forgets_its_sessions_and_starts_the_stored_ones(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        consumer.heard.clear()
        async with peer.http.get(sim.server_url + "/unhealthy") as answer:
            assert answer.status == 503
        while sim.session(S).client is not None:
            await asyncio.sleep(0)
        sim.phone(S).receive(ANA, "while it was down")
        with pytest.raises(aiohttp.ClientError):
            await peer.status()
        await clock.run_for(6)
        await consumer.status_find("inChat")
        assert await peer.texts() == ["while it was down"]
        assert "onmessage" not in consumer.told()


async def test_a_server_that_leaves_its_browsers_behind_comes_back_with_ghosts(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("server_restart", down_s=1, orphans=True)
        await clock.run_for(60)
        assert await peer.status() == "INITIALIZING"
        assert (await peer.control("GET", "/_profiles"))[1]["profiles"][0]["orphan"] is True


async def test_a_server_whose_port_refuses_keeps_its_sessions(clock: HeldClock):
    async with lab(clock) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await sim.faults.start("server_gone", 30)
        with pytest.raises(aiohttp.ClientError):
            await peer.status()
        sim.phone(S).receive(ANA, "webhooks go on")
        await consumer.event("onmessage")
        await clock.run_for(31)
        assert await peer.status() == "CONNECTED"


async def test_a_fault_is_for_one_session_or_for_all_that_have_a_phone():
    async with lab(world=load_world(3)) as (sim, peer, _):
        await sim.faults.start("deaf", session="load00001")
        row = next(one for one in sim.faults.as_json() if one["name"] == "deaf")
        assert row["sessions"] == ["load00001"]
        status, told = await peer.control("POST", "/_faults/deaf", {"seconds": 20})
        row = next(one for one in told["faults"] if one["name"] == "deaf")
        assert status == 200 and row["sessions"] == ["load00000", "load00001", "load00002"]
        await sim.faults.stop("deaf", "load00000")
        row = next(one for one in sim.faults.as_json() if one["name"] == "deaf")
        assert row["sessions"] == ["load00001", "load00002"]
        assert (await peer.control("POST", "/_faults/nothing"))[0] == 404
        assert (await peer.control("POST", "/_faults/server_restart", {"sideways": 1}))[0] == 400


async def test_a_panel_of_one_session_shows_and_moves_its_own_switches_only():
    async with lab(world=load_world(2)) as (sim, _, _):
        one, other = sim.one("load00000").faults, sim.one("load00001").faults

        def active(panel: SessionFaults, name: str) -> object:
            return next(row["active"] for row in panel.as_json() if row["name"] == name)

        await one.start("deaf", 600)
        assert active(one, "deaf") is True and active(other, "deaf") is False
        left = next(row["left_s"] for row in one.as_json() if row["name"] == "deaf")
        assert isinstance(left, float) and 0 < left <= 600
        await other.stop("deaf")
        assert active(one, "deaf") is True
        await one.stop("deaf")
        assert active(one, "deaf") is False
        await one.stop("lid14_bug")
        assert active(one, "lid14_bug") is False and active(other, "lid14_bug") is True
        await one.start("server_gone", 60)
        assert active(other, "server_gone") is True
        await other.stop("server_gone")
        assert active(one, "server_gone") is False
