"""What jobs and the channel tell settles what people wrote, and fetches what came with messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, insert, select, update

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.desk.chats import files, outbox
from atalaia.desk.chats.actions import NotFitting
from atalaia.desk.chats.files import PAUSES_S, Fetching, File, Files, files_of
from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.outbox import Outbox, Request
from atalaia.desk.chats.reading import message_id
from atalaia.desk.chats.sending import JobSender, Outgoing
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from atalaia.jobs.submit import Orders
from atalaia.redact import Redactor
from atalaia.serve import job_kinds
from atalaia.store.chat_tables import chat_files
from atalaia.store.connect import open_store
from atalaia.store.job_tables import jobs
from atalaia.store.store import Store
from atalaia.store.tables import connections
from tests.connectors.wppconnect.ground import NUMBER, Account, message, own_message
from tests.desk.chats.ground import CHANNEL
from tests.desk.chats.line import Line

SEND, MEDIA = "wppconnect.send", "wppconnect.media"
PICTURE = {"kind": "image", "body": "", "mimetype": "image/jpeg"}


class House:
    """A log whose facts go through the inbox's three projections after each step, on a held clock."""

    def __init__(self, store: Store, ambient: Ambient) -> None:
        self.store, self.ambient = store, ambient
        self.account, self.line = Account(), Line()
        self.orders = Orders(ambient, job_kinds({"wppconnect": CONNECTOR}), Redactor())
        self.box = Outbox(ambient, self.line)
        self.fetching = Fetching(ambient, self.orders, {"wppconnect": MEDIA}, bytes_max=1_000_000)
        sender = JobSender(self.orders, {"wppconnect": SEND})
        self.projections = (Files(self.fetching), Outgoing(ambient, sender), Chats())
        self.upto = 0

    async def open(self) -> None:
        now = to_ms(self.ambient.clock.now())
        row = {
            "id": CHANNEL, "connector": "wppconnect", "name": "Canal", "settings": "{}", "secrets": "",
            "desired": "on", "created_ms": now, "changed_ms": now,
        }  # fmt: skip
        await self.store.write(lambda tx: tx.execute(insert(connections).values(row)))

    async def do(self, work: Any) -> Any:
        done = await self.store.write(work)
        while await self.store.write(self._fold):
            pass
        return done

    def _fold(self, tx: Connection) -> int:
        events = read_after(tx, self.upto, family=1)
        for one in self.projections:
            wanted = [event for event in events if event.type in one.types]
            if wanted:
                one.apply(tx, wanted)
        self.upto = events[-1].seq if events else self.upto
        return len(events)

    async def hear(self, *bodies: dict[str, Any]) -> None:
        facts = self.account.hear(*bodies)
        await self.do(lambda tx: append_facts(tx, self.ambient, "wpp", facts, connection=CHANNEL))

    async def job(self, what: str, identity: str, kind: str = SEND, **data: Any) -> None:
        """Tell what became of a job."""
        fact = Fact(f"job.{what}", identity, to_ms(self.ambient.clock.now()), {"kind": kind, **data})
        await self.do(lambda tx: append_facts(tx, self.ambient, "jobs", [fact], connection=CHANNEL))

    async def write(self, text: str = "já vai", identity: str = "r1") -> Request:
        return await self.do(
            lambda tx: self.box.put(tx, CHANNEL, NUMBER, "text", {"text": text}, by="Ana", identity=identity)
        )

    async def request(self, identity: str = "r1") -> Request:
        found = await self.store.read(lambda tx: outbox.get_request(tx, identity))
        assert found is not None
        return found

    async def file(self, key: str) -> File | None:
        ours = message_id(CHANNEL, f"0:{key}")
        return (await self.store.read(lambda tx: files_of(tx, [ours]))).get(ours)

    async def due_ms(self, job: str) -> int:
        """Answer when a job may begin, from now."""
        at = await self.store.read(lambda tx: tx.scalar(select(jobs.c.not_before_ms).where(jobs.c.id == job)))
        return int(at or 0) - to_ms(self.ambient.clock.now())


@pytest.fixture
async def house(tmp_path: Path, ambient: Ambient) -> Any:
    store = await open_store("", tmp_path)
    house = House(store, ambient)
    await house.open()
    yield house
    await store.close()


async def test_an_uncertain_one_is_offered_again_only_after_it_was_looked_up(house: House):
    asked = await house.write()
    await house.job("in_doubt", asked.job)
    doubt = await house.request()
    assert (doubt.state, doubt.said, doubt.may_repeat) == ("uncertain", "", False)
    with pytest.raises(NotFitting):
        await house.do(lambda tx: house.box.again(tx, "r1", "Ana"))

    await house.job("probed", asked.job, said="The message is not in the chat.")
    assert (await house.request()).may_repeat
    await house.do(lambda tx: house.box.again(tx, "r1", "Ana"))

    assert (house.line.asked, (await house.request()).state) == ([("again", "r1")], "queued")


async def test_a_job_s_end_says_what_became_of_it(house: House):
    done, failed = await house.write(identity="r1"), await house.write(identity="r2")
    await house.job("done", done.job, result={"key": "B1", "serialized": f"true_{NUMBER}_B1", "ack": 1})
    await house.job("failed", failed.job, said="The server did not send.")

    assert ((await house.request()).state, (await house.request()).key) == ("sent", "B1")
    told = await house.request("r2")
    assert (told.state, told.said, told.may_repeat) == ("failed", "The server did not send.", True)


async def test_one_whose_key_only_the_webhook_tells_is_tied_to_its_message_and_equal_texts_to_one_each(
    house: House,
):
    now = to_ms(house.ambient.clock.now()) // 1000
    for number, job in enumerate([await house.write(identity="r1"), await house.write(identity="r2")]):
        await house.job("done", job.job, result={"key": "", "serialized": "", "ack": None})
        assert (await house.request(f"r{number + 1}")).key == ""
    await house.hear(
        own_message("B1", text="já vai", t=now + 1, ack=2), own_message("B2", text="já vai", t=now + 2)
    )

    assert ((await house.request("r1")).key, (await house.request("r2")).key) == ("B1", "B2")
    assert (await house.request("r1")).state == "acked"


@pytest.mark.parametrize("done", ["again", "call_off"])
async def test_what_its_receipt_says_has_failed_is_sent_anew_or_taken_away(house: House, done: str):
    asked = await house.write()
    await house.job("done", asked.job, result={"key": "B1", "serialized": f"true_{NUMBER}_B1", "ack": 0})
    ack = {"event": "onack", "session": "alpha", "id": {"_serialized": f"true_{NUMBER}_B1"}, "ack": -1}
    await house.hear(ack)
    assert (await house.request()).state == "failed"

    await house.do(lambda tx: getattr(house.box, done)(tx, "r1", "Ana"))
    shown = await house.store.read(lambda tx: outbox.list_requests(tx, [(CHANNEL, NUMBER)]))
    assert [(one.id != "r1", one.state) for one in shown] == ([(True, "queued")] if done == "again" else [])


async def test_an_attachment_is_asked_for_after_a_while_and_again_until_a_day_is_over(
    house: House, clock: HeldClock
):
    now = to_ms(clock.now()) // 1000
    await house.hear(message("A1", t=now, size=70, **PICTURE))
    first = await house.file("A1")
    assert first is not None
    assert (first.state, await house.due_ms(first.job)) == ("waiting", files.FIRST_MS)

    tries = 0
    while (one := await house.file("A1")) is not None and one.state == "waiting":
        await clock.run_for(max(0, await house.due_ms(one.job)) / 1000)
        await house.job("failed", one.job, MEDIA, reason="no_media", said="Not there yet.")
        tries += 1

    last = await house.file("A1")
    assert last is not None
    assert (last.state, last.said, tries) == ("failed", "Not there yet.", len(PAUSES_S) + 1)
    again = await house.do(lambda tx: house.fetching.fetch(tx, last.message, "Ana"))
    assert (again.state, again.tries) == ("waiting", 1)
    result = {"file": "a" * 64, "mimetype": "image/jpeg", "size_bytes": 70}
    await house.job("done", again.job, MEDIA, result=result)
    here = await house.file("A1")
    assert here is not None
    assert (here.state, here.file, here.mimetype) == ("fetched", "a" * 64, "image/jpeg")

    expired = update(chat_files).values(state="expired")
    await house.store.write(lambda tx: tx.execute(expired))
    anew = await house.do(lambda tx: house.fetching.fetch(tx, last.message, "Ana"))
    assert (anew.state, anew.file, anew.size_bytes) == ("waiting", "a" * 64, 70)
    assert anew.job not in ("", again.job)
    await house.job("done", anew.job, MEDIA, result=result)
    assert await house.file("A1") == replace(anew, state="fetched", next_ms=None)


async def test_a_file_that_came_with_its_message_is_there_at_once_and_nothing_is_fetched(house: House):
    inline = {"$file": "c" * 64, "size_bytes": 70, "mimetype": "image/jpeg"}
    await house.hear(message("A1", size=70, **PICTURE) | {"body": inline})

    here = await house.file("A1")
    assert here is not None
    assert (here.state, here.file, here.mimetype, here.job) == ("fetched", "c" * 64, "image/jpeg", "")
    events = await house.store.read(lambda tx: read_after(tx, 0, family=1))
    told = [orjson.loads(one.body) for one in events if one.type == "message.file_fetched"]
    assert [(one["key"], one["file"]) for one in told] == [("A1", "c" * 64)]
    assert told[0]["conversation"]

    await house.hear(message("A2", size=70, **PICTURE) | {"body": inline | {"$file": "../../etc"}})
    other = await house.file("A2")
    assert other is not None
    assert (other.state, other.file) == ("waiting", "")


async def test_what_is_too_large_or_too_old_is_not_fetched_on_our_own(house: House):
    now = to_ms(house.ambient.clock.now()) // 1000
    await house.hear(
        message("A1", t=now, size=2_000_000, **PICTURE), message("A2", t=now - 8 * 86_400, size=70, **PICTURE)
    )

    large, old = await house.file("A1"), await house.file("A2")
    assert large is not None
    assert old is not None
    assert (large.state, large.said) == ("failed", files.TOO_LARGE)
    assert (old.state, old.job) == ("left", "")


async def test_the_file_that_we_sent_is_the_attachment_of_its_message(house: House):
    now = to_ms(house.ambient.clock.now()) // 1000
    body = {"file": "b" * 64, "mimetype": "image/jpeg", "size_bytes": 70}
    asked = await house.do(
        lambda tx: house.box.put(tx, CHANNEL, NUMBER, "image", body, by="Ana", identity="r1")
    )
    await house.job("done", asked.job, result={"key": "B1", "serialized": f"true_{NUMBER}_B1", "ack": 1})
    await house.hear(own_message("B1", t=now, type="image", text="", mimetype="image/jpeg", size=70))

    ours = message_id(CHANNEL, "1:B1")
    found = (await house.store.read(lambda tx: files_of(tx, [ours])))[ours]
    assert (found.state, found.file, found.job) == ("fetched", "b" * 64, "")

    await house.store.write(lambda tx: tx.execute(update(chat_files).values(state="expired")))
    await house.do(lambda tx: house.fetching.sent(tx, CHANNEL, "B1"))
    assert (await house.store.read(lambda tx: files_of(tx, [ours])))[ours].state == "expired"
