"""Retention of files: bytes go by age and by room, what somebody still needs stays, each pass is told."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, update

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.events import old_files as module
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from atalaia.events.old_files import FileRules, SweptFiles
from atalaia.events.retention import Rules, sweep
from atalaia.store import chat_tables
from atalaia.store.chat_tables import chat_files, chat_outbox
from atalaia.store.files import FileStore
from atalaia.store.store import Store
from atalaia.store.tables import cursors
from tests.events.test_retention import add

DAY = 86_400


class Shelf:
    """Attachments of messages in a folder, and what becomes of them pass by pass, on a held clock."""

    def __init__(self, store: Store, clock: HeldClock, ambient: Ambient, folder: Path) -> None:
        self.store, self.clock, self.ambient = store, clock, ambient
        self.files = FileStore(folder, ambient)
        self.digests: dict[str, str] = {}

    async def attach(self, message: str, content: str, state: str = "fetched") -> None:
        """A message's attachment comes now."""
        self.upload(content)
        row = {"message": message, "state": state, "file": self.digests[content], "channel": "c"}
        await add(
            self.store, chat_files, **row, changed_ms=to_ms(self.clock.now()), size_bytes=len(content)
        )  # fmt: skip

    async def ask(self, content: str, state: str) -> None:
        """Somebody asks for it to be sent."""
        self.upload(content)
        body = orjson.dumps({"file": self.digests[content]}).decode()
        row = {"id": content, "kind": "document", "body": body, "state": state}
        await add(self.store, chat_outbox, **row, changed_ms=to_ms(self.clock.now()))

    def upload(self, content: str) -> None:
        self.digests[content] = self.files.keep(content.encode())

    async def sweep(self, days: int = 30, bytes_max: int = 0) -> SweptFiles:
        rules = Rules(files=FileRules(days, bytes_max))
        swept = await sweep(self.store, self.ambient, rules, files=self.files)
        assert swept.files is not None
        return swept.files

    async def states(self) -> dict[str, str]:
        query = select(chat_files.c.message, chat_files.c.state)
        return dict(await self.store.read(lambda tx: tx.execute(query).all()))  # type: ignore[arg-type]

    def here(self) -> set[str]:
        """Answer the contents whose bytes are on the disk."""
        return {one for one, digest in self.digests.items() if self.files.path(digest).is_file()}


@pytest.fixture
def shelf(store: Store, clock: HeldClock, ambient: Ambient, tmp_path: Path) -> Shelf:
    return Shelf(store, clock, ambient, tmp_path / "media")


async def test_the_bytes_go_a_pass_after_their_row_says_so_and_the_row_stays(shelf: Shelf):
    await shelf.attach("old", "an old picture")
    await shelf.clock.run_for(20 * DAY)
    await shelf.attach("new", "a new picture")
    await shelf.clock.run_for(11 * DAY)

    first = await shelf.sweep()
    assert (await shelf.states(), shelf.here()) == (
        {"old": "expired", "new": "fetched"}, {"an old picture", "a new picture"},
    )  # fmt: skip
    assert (first.expired, first.removed, first.kept, first.kept_bytes) == (1, 0, 2, 27)

    kept_until = to_ms(shelf.clock.now())
    await shelf.clock.run_for(3600)
    second = await shelf.sweep()
    assert shelf.here() == {"a new picture"}
    assert (second.expired, second.removed, second.removed_bytes) == (0, 1, 14)
    assert second.oldest_ms == kept_until - 11 * DAY * 1000
    row = await shelf.store.read(
        lambda tx: tx.execute(select(chat_files).where(chat_files.c.message == "old")).one()
    )
    assert (row.file, row.size_bytes, row.changed_ms) == (shelf.digests["an old picture"], 14, kept_until)

    facts = await shelf.store.read(lambda tx: read_after(tx, 0))
    told = [orjson.loads(one.body)["files"] for one in facts if one.type == "retention.swept"]
    assert [one["removed_bytes"] for one in told] == [0, 14]


async def test_what_messages_share_goes_when_the_last_of_them_is_over(shelf: Shelf):
    await shelf.attach("first", "a logo")
    await shelf.clock.run_for(20 * DAY)
    await shelf.attach("again", "a logo")
    await shelf.clock.run_for(15 * DAY)
    await shelf.sweep()
    assert await shelf.states() == {"first": "fetched", "again": "fetched"}

    await shelf.clock.run_for(16 * DAY)
    assert (await shelf.sweep()).expired == 2
    await shelf.sweep()
    assert shelf.here() == set()


async def test_what_may_still_be_sent_stays_and_what_nobody_sent_ends_after_a_day(shelf: Shelf):
    for state in ("queued", "uncertain", "sent", "failed", "dropped"):
        await shelf.ask(state, state)
    shelf.upload("never sent")
    beside = shelf.files.path(shelf.digests["queued"]).parent
    half = beside / f"{shelf.digests['queued']}.half"
    half.write_bytes(b"que")
    (beside / "of somebody else").write_text("notes")
    await shelf.clock.run_for(DAY / 2)
    assert (await shelf.sweep()).removed == 0

    os.utime(half, (0, 0))
    await shelf.clock.run_for(DAY)
    assert (await shelf.sweep()).removed == 3
    assert shelf.here() == {"queued", "uncertain", "sent", "failed"}
    await shelf.clock.run_for(30 * DAY)
    await shelf.sweep()
    assert shelf.here() == {"queued", "uncertain"}
    assert sorted(one.name for one in beside.iterdir()) == [shelf.digests["queued"], "of somebody else"]


async def test_beyond_the_room_the_oldest_go_but_none_of_the_last_day(shelf: Shelf):
    for n in range(4):
        await shelf.attach(f"m{n}", f"picture {n}")
        await shelf.clock.run_for(2 * DAY)
    await shelf.attach("today", "picture 9")
    for _ in range(3):
        await shelf.sweep(days=0, bytes_max=20)
    assert shelf.here() == {"picture 3", "picture 9"}
    for _ in range(3):
        await shelf.sweep(days=0, bytes_max=1)
    assert shelf.here() == {"picture 9"}


async def test_without_days_and_room_files_stay_as_long_as_their_messages(shelf: Shelf):
    sent = {"from_me": False, "recovered": False, "first_seq": 1, "sent_ms": to_ms(shelf.clock.now())}
    await add(shelf.store, chat_tables.chat_messages, id="m1", **sent)
    await shelf.attach("m1", "a picture")
    await shelf.clock.run_for(729 * DAY)
    await shelf.sweep(days=0)
    assert shelf.here() == {"a picture"}

    await shelf.clock.run_for(2 * DAY)
    await shelf.sweep(days=0)
    await shelf.sweep(days=0)
    assert (shelf.here(), await shelf.states()) == (set(), {})


async def test_a_pass_removes_a_bounded_number_and_the_next_one_goes_on(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST", 2)
    for n in range(3):
        shelf.upload(f"upload {n}")
    await shelf.clock.run_for(2 * DAY)
    assert [(await shelf.sweep()).removed for _ in range(3)] == [2, 1, 0]


async def test_a_file_that_an_unread_event_may_name_stays(shelf: Shelf):
    shelf.upload("of a job that is done")
    fact = Fact("job.done", "j1", to_ms(shelf.clock.now()), {})
    await shelf.store.write(lambda tx: append_facts(tx, shelf.ambient, "jobs", [fact]))
    await add(shelf.store, cursors, reaction="chat_files", seq=0)
    await shelf.clock.run_for(3 * DAY)
    assert (await shelf.sweep()).removed == 0

    await shelf.store.write(lambda tx: tx.execute(update(cursors).values(seq=10_000)))
    assert (await shelf.sweep()).removed == 1


async def test_who_brings_a_file_again_while_it_is_removed_has_it(shelf: Shelf):
    shelf.upload("a logo")
    [lying] = shelf.files.lying(shelf.files.path(shelf.digests["a logo"]).parent)
    await shelf.clock.run_for(DAY)
    shelf.upload("a logo")
    assert not shelf.files.remove(lying)
    assert shelf.here() == {"a logo"}
