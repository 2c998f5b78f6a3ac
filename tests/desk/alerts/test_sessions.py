"""Alerts told by sessions of our own: by which one, never by one the alert is about, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from pydantic import BaseModel
from sqlalchemy import Connection, insert, select

from atalaia.clock import HeldClock, to_ms
from atalaia.desk.alerts.queries import Notice, list_notices
from atalaia.desk.alerts.receipts import with_receipts, word_of
from atalaia.desk.alerts.sessions import SessionWay
from atalaia.jobs.model import JobKind
from atalaia.jobs.rows import Job, dump, move, to_job
from atalaia.jobs.state import Got, State
from atalaia.jobs.submit import Orders
from atalaia.store.chat_tables import chat_messages
from atalaia.store.job_tables import jobs
from atalaia.store.store import Store
from tests.connections.rig import until
from tests.desk.alerts.rig import Desk

TO = "5511955500109"


class Asked(BaseModel):
    to: str
    text: str


async def _never(_: Any, __: Any) -> Any:
    raise AssertionError("no worker runs here; the test's hands do")


class Phones:
    """A desk whose sessions tell; the test's hands are the worker that sends for them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        orders = Orders(desk.ambient, {"toy.send": JobKind("send", "Send", Asked, _never)})
        self.way = desk.ways["session"] = SessionWay(desk.store, orders, {"toy": "toy.send"}, limit_s=30)
        self.how = Got.FINISH
        self.sent: list[tuple[str, str]] = []
        self.key = "3EB0AA"
        self._hands = asyncio.create_task(self._work())

    async def close(self) -> None:
        self._hands.cancel()
        await asyncio.gather(self._hands, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            rung = self.desk.store.bell.count("jobs")
            if self.how is not Got.CLAIM:
                await self.desk.store.write(self._work_off)
            await self.desk.store.bell.wait("jobs", rung, at_most_s=0.05)

    def _work_off(self, tx: Connection) -> None:
        for job in [to_job(row) for row in tx.execute(select(jobs).where(jobs.c.state == "queued"))]:
            move(tx, job, Got.CLAIM, self.desk.now())
            self.finish(tx, job)

    def finish(self, tx: Connection, job: Job) -> None:
        found = to_job(tx.execute(select(jobs).where(jobs.c.id == job.id)).one())
        result = {"key": self.key} if self.how is Got.FINISH else None
        if self.how is Got.FINISH:
            self.sent.append((job.connection, job.params["text"].splitlines()[0]))
        move(tx, found, self.how, self.desk.now(), result=dump(result), said="The phone is off.")

    async def orders(self) -> list[Job]:
        query = select(jobs).order_by(jobs.c.created_ms, jobs.c.id)
        return await self.desk.store.read(lambda tx: [to_job(row) for row in tx.execute(query)])

    async def receipt(self, channel: str, ack: int) -> None:
        """Say how far the message came that a session sent."""
        blank = {column.name: "" for column in chat_messages.columns if not column.nullable}
        times = {"sent_ms": 1, "heard_ms": 1, "first_seq": len(self.sent), "news_seq": 1, "changed_seq": 1}
        row = {**blank, **times, "id": channel, "channel": channel, "key": self.key, "from_me": True}
        row |= {"recovered": False, "kind": "content", "ack": ack}
        await self.desk.store.write(lambda tx: tx.execute(insert(chat_messages).values(row)))

    async def end(self, job: Job, how: Got) -> None:
        self.how = how
        await self.desk.store.write(lambda tx: self.finish(tx, job))


@pytest_asyncio.fixture
async def phones(store: Store, clock: HeldClock) -> AsyncIterator[Phones]:
    """Two sessions that live."""
    desk = await Desk(store, clock).start()
    phones = Phones(desk)
    for name in ("one", "two"):
        await desk.connection(name, connector="toy")
    yield phones
    desk.notifier.lost("")
    await phones.close()


async def told(desk: Desk) -> list[tuple[str, str, str]]:
    return [(one.kind, one.state, one.error) for one in await desk.notices()]


async def test_an_alert_is_told_by_the_first_session_that_lives(phones: Phones):
    desk = phones.desk
    await desk.channel(place=f"session://one,two/{TO}")
    await desk.raised("disk", "The disk is full.")
    await desk.pass_s(60)
    await desk.connection("one", "waiting")
    await desk.resolved("disk")
    await desk.pass_s(200)
    assert phones.sent == [("one", "*Alert: The disk is full*"), ("two", "*Resolved: The disk is full*")]
    assert {job.params["to"] for job in await phones.orders()} == {TO}
    assert await told(desk) == [("raised", "sent", ""), ("resolved", "sent", "")]


async def test_an_alert_about_a_session_goes_by_another_one(phones: Phones):
    desk = phones.desk
    await desk.channel(place=f"session://one,two/{TO}")
    await desk.raised("toy.deaf:one", "One is deaf.", connection="one")
    await desk.pass_s(60)
    assert phones.sent == [("two", "*Alert: One is deaf*")]


async def test_what_is_about_its_only_session_falls_to_the_next_channel_which_says_so(phones: Phones):
    desk = phones.desk
    await desk.channel("A phone", f"session://one/{TO}")
    await desk.channel("B mail", severity="urgent")
    await desk.raised("toy.deaf:one", "One is deaf.", connection="one")
    await desk.pass_s(60)
    [(_, message)] = desk.pigeon.sent
    assert message.title == "Alert: One is deaf"
    assert "The channel A phone leaves this to you" in message.body
    passed, sent = await desk.notices()
    assert (passed.state, sent.state) == ("passed", "sent") and "session that it is about" in passed.error
    await desk.resolved("toy.deaf:one")
    await desk.pass_s(200)
    assert desk.pigeon.titles()[1:] == ["Resolved: One is deaf"] and phones.sent == []
    assert len(await desk.facts("alert.notice_passed")) == 2


async def test_a_channel_that_tells_it_anyway_tells_it_once(phones: Phones):
    desk = phones.desk
    await desk.channel("A phone", f"session://one/{TO}")
    await desk.channel("B mail")
    await desk.raised("toy.deaf:one", "One is deaf.", connection="one")
    await desk.pass_s(60)
    assert desk.pigeon.titles() == ["Alert: One is deaf"] and phones.sent == []


async def test_with_no_other_channel_it_is_given_up_and_that_is_an_alert(phones: Phones):
    desk = phones.desk
    await desk.channel("A phone", f"session://one/{TO}")
    await desk.raised("toy.deaf:one", "One is deaf.", connection="one")
    await desk.pass_s(60)
    [notice] = await desk.notices()
    assert notice.state == "failed" and "session that it is about" in notice.error
    assert "The channel A phone does not take notices." in {one.title for one in await desk.alerts("open")}


async def test_two_phones_that_are_both_down_do_not_pass_it_to_and_fro(phones: Phones):
    desk = phones.desk
    await desk.channel("A", f"session://one/{TO}")
    await desk.channel("B", f"session://two/{TO}")
    for name in ("one", "two"):
        await desk.connection(name, "needs_person", connector="toy", reason="Scan the code.")
    await desk.pass_s(120)
    assert phones.sent == []
    raised = [one for one in await desk.notices() if "need a person" in one.title]
    assert sorted(one.state for one in raised) == ["failed", "passed"]


async def test_what_could_not_be_sent_is_ordered_anew_and_what_is_on_its_way_never(phones: Phones):
    desk = phones.desk
    await desk.channel(place=f"session://one/{TO}")
    phones.how = Got.FAIL
    await desk.raised("disk")
    await desk.pass_s(25)
    assert (await told(desk))[0][1:] == ("pending", "The phone is off.")
    phones.how = Got.DOUBT
    await desk.pass_s(15)
    assert [job.state for job in await phones.orders()] == [State.FAILED, State.IN_DOUBT]
    assert "not sent twice" in (await told(desk))[0][2]
    await desk.pass_s(600, every_s=60)
    failed, doubtful = await phones.orders()
    assert phones.sent == []
    await desk.store.write(
        lambda tx: move(tx, doubtful, Got.DECIDE, desk.now(), result=dump({"key": "K"})) and None
    )
    [running] = [job for job in await phones.orders() if job.id != failed.id]
    await phones.end(running, Got.FINISH)
    await desk.pass_s(900, every_s=60)
    assert len(await phones.orders()) == 2 and (await told(desk))[0] == ("raised", "sent", "")


async def test_a_session_that_does_not_send_in_time_loses_the_order(phones: Phones):
    desk = phones.desk
    await desk.channel(place=f"session://one,two/{TO}")
    phones.how = Got.CLAIM  # nobody works
    await desk.raised("disk")
    await desk.turn_without_waiting(25)
    # Not until the order can be read: the notifier's limit begins when it hears that it was written.
    await until(lambda: desk.clock.wakes(31))
    await desk.clock.run_for(31, settle=5)
    await desk.notifier.settled()
    [job] = await phones.orders()
    assert job.state is State.CANCELLED
    await desk.connection("one", "waiting")
    phones.how = Got.FINISH
    await desk.pass_s(60)
    assert phones.sent == [("two", "*Alert: disk is wrong*")]


async def test_the_receipt_says_whether_it_arrived(phones: Phones):
    desk = phones.desk
    await desk.channel(place=f"session://one/{TO}")
    await desk.raised("disk")
    await desk.pass_s(60)

    async def seen() -> Notice:
        return (await desk.store.read(lambda tx: with_receipts(tx, list_notices(tx))))[0]

    assert (await seen()).receipt == ""
    await phones.receipt("one", 3)
    assert (await seen()).receipt == "read"
    assert [word_of(ack) for ack in (None, -1, 0, 1, 2, 3, 4)] == [
        "",
        "failed",
        "",
        "",
        "arrived",
        "read",
        "read",
    ]


async def test_what_was_reported_as_failed_goes_by_the_next_session_then_by_the_next_channel(phones: Phones):
    desk = phones.desk
    await desk.channel("A phones", f"session://one,two/{TO}")
    await desk.channel("B mail", severity="urgent")
    await desk.raised("disk")
    await desk.pass_s(60)
    await phones.receipt("one", -1)
    await desk.pass_s(10)
    assert [by for by, _ in phones.sent] == ["one", "two"]
    assert await told(desk) == [("raised", "sent", "")] and desk.pigeon.sent == []
    await phones.receipt("two", -7)
    await desk.pass_s(10)
    assert len(phones.sent) == 2
    [(_, message)] = desk.pigeon.sent
    assert (
        "The channel A phones leaves this to you: its message was reported as not delivered." in message.body
    )
    assert [one.state for one in await desk.notices()] == ["passed", "sent"]
    told_of = [row.type for row in await desk.facts("alert.notified", "alert.notice_returned")]
    assert told_of == [
        "alert.notified",
        "alert.notice_returned",
        "alert.notified",
        "alert.notice_returned",
        "alert.notified",
    ]


async def test_what_nobody_else_can_tell_is_given_up_once_it_is_reported_as_failed(phones: Phones):
    desk = phones.desk
    await desk.channel("A phone", f"session://one/{TO}")
    await desk.raised("disk")
    await desk.pass_s(60)
    await phones.receipt("one", -1)
    await desk.pass_s(60)
    assert len(phones.sent) == 1
    [notice] = await desk.notices()
    assert notice.state == "failed" and "could not be delivered" in notice.error
    assert "The channel A phone does not take notices." in {one.title for one in await desk.alerts("open")}


async def test_an_address_names_sessions_that_are_there_and_somebody_to_tell(phones: Phones):
    looks = [await phones.way.look(place) for place in (
        f"session://one,two/{TO}", f"session://nobody/{TO}", "session://one/", f"session:///{TO}",
    )]  # fmt: skip
    assert [one.ok for one in looks] == [True, False, False, False]
    assert looks[0].service == "ONE, TWO" and all(one.said for one in looks[1:])


async def test_the_receivers_number_is_kept_encrypted(phones: Phones):
    made = await phones.desk.channel(place=f"session://one/{TO}")
    assert made.kind == "session" and TO not in made.sealed
    facts = await phones.desk.facts("alert.channel_created")
    assert len(facts) == 1 and TO not in str(facts[0].body)
    assert to_ms(phones.desk.clock.now()) == made.created_ms
