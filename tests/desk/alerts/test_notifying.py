"""Who is told of an alert, how often, and when not."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from atalaia.desk.alerts.acts import acknowledge, silence, unsilence
from atalaia.desk.alerts.channels import change_channel, delete_channel
from atalaia.desk.alerts.sending import Message, Sent
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.events.model import Fact
from atalaia.store.store import Store
from tests.connections.rig import Rough
from tests.desk.alerts.rig import ANA, Desk, Pigeon

HOUR_S = 3600


async def test_an_alert_is_told_once_when_it_began_and_once_when_it_is_over(desk: Desk):
    await desk.channel()
    await desk.raised(
        "disk", "The disk is full.", detail={"known": "0 bytes are left.", "todo": "Free some."}
    )
    await desk.pass_s(60)
    assert desk.pigeon.titles() == ["Alert: The disk is full"]
    [(_, message)] = desk.pigeon.sent
    assert "0 bytes are left." in message.body and "What to do: Free some." in message.body
    await desk.resolved("disk")
    await desk.pass_s(300)
    assert desk.pigeon.titles() == ["Alert: The disk is full", "Resolved: The disk is full"]
    assert [(one.kind, one.state) for one in await desk.notices()] == [
        ("raised", "sent"),
        ("resolved", "sent"),
    ]


async def test_what_comes_and_goes_within_seconds_tells_nobody_and_is_still_listed(desk: Desk):
    await desk.channel()
    await desk.raised("blip")
    await desk.pass_s(5)
    await desk.resolved("blip")
    await desk.pass_s(HOUR_S, every_s=120)
    assert desk.pigeon.sent == []
    assert [one.state for one in await desk.alerts()] == ["resolved"]


async def test_one_cause_on_500_sessions_is_one_alert_and_one_notice(desk: Desk):
    await desk.channel()
    reason = "Nothing answers on 10.0.0.5:21465 (connection refused)."
    for number in range(500):
        await desk.connection(f"c{number}", "needs_person", name=f"Session {number}", reason=reason)
    await desk.pass_s(60)
    [alert] = await desk.alerts()
    assert (alert.members, alert.standing, alert.severity) == (500, 500, "urgent")
    assert desk.pigeon.titles() == ["Alert: 500 connections need a person"]
    [(_, message)] = desk.pigeon.sent
    assert reason in message.body and "and 490 more" in message.body
    for number in range(500):
        await desk.connection(f"c{number}", "live")
    await desk.pass_s(300)
    assert desk.pigeon.titles()[1:] == ["Resolved: 500 connections need a person"]


async def test_another_reason_is_another_alert(desk: Desk):
    await desk.connection("a", "needs_person", reason="Asterisk refused our password.")
    await desk.connection("b", "needs_person", reason="The QR code has to be scanned.")
    await desk.connection("c", "needs_person", reason="The QR code has to be scanned.")
    await desk.turn()
    assert sorted(one.members for one in await desk.alerts()) == [1, 2]


async def test_an_alert_that_grows_tenfold_is_told_again(desk: Desk):
    await desk.channel()
    await desk.connection("c0", "needs_person", reason="down")
    await desk.pass_s(60)
    for number in range(1, 30):
        await desk.connection(f"c{number}", "needs_person", reason="down")
    await desk.pass_s(60)
    assert desk.pigeon.titles() == [
        "Alert: C0 needs a person",
        "Alert, more of it: 30 connections need a person",
    ]


async def test_what_flaps_is_one_alert_that_says_so(desk: Desk):
    await desk.channel()
    for _ in range(10):
        await desk.raised("target:s1:", "The shop does not take deliveries.")
        await desk.pass_s(40)
        await desk.resolved("target:s1:")
        await desk.pass_s(40)
    assert desk.pigeon.titles() == [
        "Alert: The shop does not take deliveries",
        "Alert, comes and goes: The shop does not take deliveries",
    ]
    assert "It came 3 times." in desk.pigeon.sent[1][1].body
    [alert] = await desk.alerts()
    assert alert.turns == 10 and alert.flapping
    await desk.pass_s(HOUR_S, every_s=120)
    assert desk.pigeon.titles()[2:] == ["Resolved: The shop does not take deliveries"]


async def test_quiet_hours_hold_back_what_can_wait_and_tell_it_in_one_summary(desk: Desk):
    # 00:00 UTC is 21:00 in São Paulo.
    await desk.channel(quiet_from="20:00", quiet_to="06:00")
    for name in ("one", "two", "three"):
        await desk.raised(name, severity="warning")
    await desk.raised("burns", "It burns.", severity="urgent")
    await desk.pass_s(120)
    await desk.resolved("two")
    assert desk.pigeon.titles() == ["Alert: It burns"]
    await desk.pass_s(10 * HOUR_S, every_s=600)
    assert desk.pigeon.titles()[1:] == ["Quiet hours are over: 2 of 3 alerts are still open"]
    body = desk.pigeon.sent[1][1].body
    assert sorted(line.rpartition("– ")[2] for line in body.splitlines()) == ["open", "open", "over"]
    await desk.resolved("one")
    await desk.pass_s(600)
    assert desk.pigeon.titles()[2:] == ["Resolved: one is wrong"]


async def test_without_leave_to_pass_even_urgent_ones_wait_for_the_morning(desk: Desk):
    await desk.channel(quiet_from="20:00", quiet_to="06:00", urgent_passes=False)
    await desk.raised("burns", severity="urgent")
    await desk.pass_s(8 * HOUR_S, every_s=600)
    assert desk.pigeon.sent == []
    await desk.pass_s(2 * HOUR_S, every_s=600)
    assert desk.pigeon.titles() == ["Quiet hours are over: 1 of 1 alerts are still open"]


async def test_an_open_alert_is_told_again_until_somebody_takes_it(desk: Desk):
    await desk.channel(repeat_min=60)
    await desk.raised("disk")
    await desk.pass_s(2.5 * HOUR_S, every_s=120)
    assert desk.pigeon.titles() == ["Alert: disk is wrong", *["Still open: disk is wrong"] * 2]
    [alert] = await desk.alerts()
    await desk.store.write(lambda tx: acknowledge(tx, desk.ambient, alert.id, by=ANA, note="I look"))
    await desk.pass_s(5 * HOUR_S, every_s=600)
    assert len(desk.pigeon.sent) == 3


async def test_a_silenced_alert_is_told_to_nobody_and_its_rest_when_the_silence_ends(desk: Desk):
    await desk.channel()
    await desk.raised("disk")
    await desk.turn()
    [alert] = await desk.alerts()
    until = desk.now() + 7_200_000
    made = await desk.store.write(
        lambda tx: silence(tx, desk.ambient, alert.id, reason="maintenance", until_ms=until, by=ANA)
    )
    await desk.pass_s(HOUR_S, every_s=120)
    assert desk.pigeon.sent == [] and [one.state for one in await desk.alerts()] == ["silenced"]
    await desk.store.write(lambda tx: unsilence(tx, desk.ambient, made.id, by=ANA))
    await desk.pass_s(30)
    assert desk.pigeon.titles() == ["Alert: disk is wrong"]


async def test_a_silence_ends_by_itself(desk: Desk):
    await desk.channel()
    await desk.raised("disk")
    await desk.turn()
    [alert] = await desk.alerts()
    until = desk.now() + 600_000
    await desk.store.write(
        lambda tx: silence(tx, desk.ambient, alert.id, reason="maintenance", until_ms=until, by=ANA)
    )
    await desk.pass_s(590)
    assert desk.pigeon.sent == []
    await desk.pass_s(30)
    assert desk.pigeon.titles() == ["Alert: disk is wrong"]


async def test_a_channel_tells_only_what_it_was_made_for(desk: Desk):
    await desk.connection("pbx", connector="asterisk")
    await desk.connection("car", connector="toy")
    await desk.channel("calls", "json://calls/", worlds=("calls",))
    await desk.channel("car", "json://car/", connections=("car",))
    await desk.channel("urgent", "json://urgent/", severity="urgent")
    await desk.raised("x", "Pbx.", connection="pbx", severity="warning")
    await desk.raised("y", "Car.", connection="car", severity="urgent")
    await desk.pass_s(60)
    assert sorted((place, message.title) for place, message in desk.pigeon.sent) == [
        ("json://calls/", "Alert: Pbx"), ("json://car/", "Alert: Car"), ("json://urgent/", "Alert: Car"),
    ]  # fmt: skip


async def test_a_fresh_channel_is_not_told_what_began_before_it(desk: Desk):
    await desk.raised("old")
    await desk.pass_s(60)
    await desk.channel()
    await desk.pass_s(60)
    assert desk.pigeon.sent == []


async def test_what_a_channel_does_not_take_is_tried_again_and_becomes_an_alert_of_its_own(desk: Desk):
    await desk.channel("mail", "json://mail/")
    desk.pigeon.refuse = "The mail server is away."
    await desk.raised("disk")
    await desk.pass_s(180)
    [notice] = await desk.notices()
    assert (notice.state, notice.error, notice.attempts) == ("pending", "The mail server is away.", 4)
    assert {one.title for one in await desk.alerts("open")} == {
        "disk is wrong.", "The channel mail does not take notices.",
    }  # fmt: skip
    desk.pigeon.refuse = ""
    await desk.pass_s(600)
    assert desk.pigeon.titles() == ["Alert: disk is wrong"]
    assert [one.title for one in await desk.alerts("open")] == ["disk is wrong."]


async def test_after_a_day_in_vain_a_notice_is_given_up_in_plain_sight(desk: Desk):
    await desk.channel()
    desk.pigeon.refuse = "no"
    await desk.raised("disk")
    await desk.pass_s(26 * HOUR_S, every_s=900)
    assert [(one.kind, one.state) for one in await desk.notices()] == [("raised", "failed")]


async def test_a_channel_that_went_takes_its_waiting_notices_with_it(desk: Desk):
    made = await desk.channel()
    desk.pigeon.refuse = "no"
    await desk.raised("disk")
    await desk.pass_s(60)
    await desk.store.write(lambda tx: delete_channel(tx, desk.ambient, made.id, by=ANA))
    desk.pigeon.refuse = ""
    await desk.pass_s(HOUR_S, every_s=300)
    assert desk.pigeon.sent == [] and [one.state for one in await desk.notices()] == ["dropped"]


async def test_a_channel_that_is_off_tells_nothing(desk: Desk):
    made = await desk.channel()
    await desk.store.write(
        lambda tx: change_channel(tx, desk.ambient, desk.box, made.id, by=ANA, enabled=False)
    )
    await desk.raised("disk")
    await desk.pass_s(60)
    assert await desk.notices() == []


async def test_a_worker_that_ends_while_it_sends_leaves_the_notice_to_the_next_which_says_so(desk: Desk):
    await desk.channel()
    desk.pigeon.hang = True
    await desk.raised("disk")
    await desk.turn_without_waiting(30)
    await asyncio.wait_for(desk.pigeon.holding.wait(), 10)
    desk.pigeon = desk.ways["apprise"] = Pigeon()
    await desk.start()
    await desk.pass_s(30)
    [(_, message)] = desk.pigeon.sent
    assert "it may come twice" in message.body


class Cutting(Pigeon):
    """Takes the message, and the database is away before that is written."""

    def __init__(self, rough: Rough) -> None:
        super().__init__()
        self.rough = rough

    async def send(self, place: str, message: Message) -> Sent:
        if not self.sent:
            self.rough.fails.append(StoreUnavailable("The database is away."))
        return await super().send(place, message)


async def test_what_the_database_cut_short_is_told_again_by_the_same_worker(desk: Desk):
    rough = Rough(desk.store)
    desk.store = cast("Store", rough)
    desk.pigeon = desk.ways["apprise"] = Cutting(rough)
    await desk.start()
    await desk.channel()
    await desk.raised("disk")
    await desk.pass_s(60)
    first, second = [message.body for _, message in desk.pigeon.sent]
    assert "it may come twice" in second and "it may come twice" not in first
    assert [one.state for one in await desk.notices()] == ["sent"]


async def test_two_workers_never_send_the_same(desk: Desk):
    await desk.channel()
    await desk.raised("disk")
    before = desk.notifier
    await desk.start()
    await desk.raised("other")
    await desk.fold()
    await desk.clock.run_for(60)
    with pytest.raises(Fenced):
        await before.turn()
    await desk.pass_s(60)
    assert sorted(desk.pigeon.titles()) == ["Alert: disk is wrong", "Alert: other is wrong"]


async def test_notices_are_facts_too(desk: Desk):
    made = await desk.channel("watch")
    await desk.raised("disk")
    await desk.pass_s(30)
    facts = await desk.facts("alert.notified", "alert.channel_created")
    assert [(one.type, one.key == made.id) for one in facts] == [
        ("alert.channel_created", True), ("alert.notified", False),
    ]  # fmt: skip


async def test_a_gap_that_lost_something_stands_until_somebody_took_it(desk: Desk):
    await desk.connection("pbx")
    gap = {"id": "g1", "from_ms": desk.now(), "cause": "cut", "planes": ["socket"]}
    await desk.tell(Fact("gap.opened", "pbx", desk.now(), gap), connection="pbx")
    closed = {"to_ms": desk.now() + 1, "checked": {"calls": 3}, "recovered": {"calls": 2}, "lost": "yes"}
    await desk.tell(Fact("gap.closed", "pbx", desk.now() + 1, closed), connection="pbx")
    await desk.pass_s(30)
    [alert] = await desk.alerts("open")
    assert (alert.title, alert.severity) == ("Something of PBX was lost.", "warning")
    assert alert.detail["evidence"]["recovered"] == {"calls": 2}
    await desk.store.write(lambda tx: acknowledge(tx, desk.ambient, alert.id, by=ANA))
    await desk.pass_s(30)
    assert await desk.alerts("open") == []


async def test_a_gap_that_stays_open_is_an_alert_of_the_reason(desk: Desk):
    reason = "Nothing answers on 10.0.0.5:8088 (connection refused)."
    for name in ("a", "b"):
        await desk.connection(name, "waiting", reason=reason)
        gap = {"id": f"g{name}", "from_ms": desk.now(), "cause": "cut", "planes": ["socket"]}
        await desk.tell(Fact("gap.opened", name, desk.now(), gap), connection=name)
    await desk.pass_s(14 * 60, every_s=60)
    assert await desk.alerts("open") == []
    await desk.pass_s(120)
    [alert] = await desk.alerts("open")
    assert alert.members == 2 and alert.detail["evidence"]["reason"] == reason
    for name in ("a", "b"):
        await desk.connection(name, "live")
        closed = {"to_ms": desk.now(), "lost": "no"}
        await desk.tell(Fact("gap.closed", name, desk.now(), closed), connection=name)
    await desk.pass_s(10)
    assert await desk.alerts("open") == []


async def test_a_lost_worker_is_an_alert_until_one_is_back_on_its_host(desk: Desk):
    await desk.worker("w9", "box-1", gone=True)
    await desk.tell(Fact("worker.lost", "w9", desk.now(), {"host": "box-1", "pid": 7, "seen_ms": desk.now()}))
    await desk.pass_s(10)
    [alert] = await desk.alerts("open")
    assert alert.title == "Worker box-1 stopped showing signs of life."
    await desk.worker("w10", "box-1")
    await desk.pass_s(10)
    assert await desk.alerts("open") == []


async def test_a_connection_that_was_switched_off_needs_nobody(desk: Desk):
    await desk.connection("pbx", "needs_person", reason="password")
    await desk.turn()
    assert len(await desk.alerts("open")) == 1
    await desk.switch_off("pbx")
    await desk.turn()
    assert await desk.alerts("open") == []
