"""Retention of files: attachments of messages go by age and by room, what no row names goes after a day.

A pass first removes what no row names any more, then marks the rows whose time is over as expired. So the
bytes go one pass after their row says so: a backup that copied the database in between still finds every
file that its copy names. Message, hash, size, kind and name stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import structlog
from sqlalchemy import Connection, and_, func, or_, select, update

from atalaia.clock import Clock, to_ms
from atalaia.store.chat_tables import chat_files, chat_outbox
from atalaia.store.files import FileStore, Kept
from atalaia.store.store import Store

DAY_MS = 86_400_000
MOST = 5_000  # files that one pass marks, and that it removes
STEP = 500  # rows looked at or changed at once
# An upload may wait so long for being sent, and a job's answer for being read.
UNNAMED_MS = DAY_MS
_SENT_AS = ("image", "document", "voice")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FileRules:
    """How long files are kept. days: 0 = as long as their messages; bytes_max: 0 = no limit."""

    days: int = 365
    bytes_max: int = 0


@dataclass
class SweptFiles:
    """What one pass did. expired: messages whose file is over; stuck: files that the disk did not give up.

    kept, kept_bytes, oldest_ms: what lies there now.
    """

    expired: int = 0
    removed: int = 0
    removed_bytes: int = 0
    stuck: int = 0
    kept: int = 0
    kept_bytes: int = 0
    oldest_ms: int | None = None


async def sweep_files(
    store: Store, files: FileStore, clock: Clock, rules: FileRules, unread_ms: int | None = None
) -> SweptFiles:
    """Remove files that nobody needs, and mark those whose time is over.

    unread_ms: when the first event was written down that not every reaction has read: it may name a file.
    Errors: `StoreUnavailable`, `OSError`; what went until then stays gone.
    """
    now, swept, going = to_ms(clock.now()), SweptFiles(), 0
    over_ms = now - rules.days * DAY_MS if rules.days else 0
    unnamed_ms = min(now, now if unread_ms is None else unread_ms) - UNNAMED_MS
    waiting, sent = await store.read(lambda tx: _asked(tx, over_ms))
    for shelf in await asyncio.to_thread(files.shelves):
        found = await asyncio.to_thread(files.lying, shelf)
        old = [one for one in found if one.kept_ms < unnamed_ms]
        attached, over = await _attached(store, [one.sha256 for one in old if one.sha256])
        needed = attached | waiting | (sent - over)
        doomed = [one for one in old if one.sha256 not in needed]
        gone = await asyncio.to_thread(_remove, files, doomed[: MOST - swept.removed], swept)
        _count(swept, [one for one in found if one.path not in gone])
        going += sum(one.size_bytes for one in doomed if one.path not in gone)
    surplus = swept.kept_bytes - going - rules.bytes_max if rules.bytes_max else 0
    await _expire(store, now, over_ms, surplus, swept)
    return swept


def _remove(files: FileStore, doomed: Sequence[Kept], swept: SweptFiles) -> set[Path]:
    """Remove what the disk gives up; answer which paths are gone."""
    gone: set[Path] = set()
    for one in doomed:
        try:
            if not files.remove(one):
                continue
        except OSError as error:
            swept.stuck += 1
            log.warning("retention.file_stuck", file=one.path.name, error=error.strerror)
            continue
        gone.add(one.path)
        swept.removed += 1
        swept.removed_bytes += one.size_bytes
    return gone


def _count(swept: SweptFiles, left: Sequence[Kept]) -> None:
    swept.kept += len(left)
    swept.kept_bytes += sum(one.size_bytes for one in left)
    oldest = [one.kept_ms for one in left]
    swept.oldest_ms = min([*oldest, *([] if swept.oldest_ms is None else [swept.oldest_ms])], default=None)


async def _attached(store: Store, files: Sequence[str]) -> tuple[set[str], set[str]]:
    """Answer those that are some message's attachment, and those that were until their time was over."""
    c, found = chat_files.c, set[tuple[str, str]]()
    for start in range(0, len(files), STEP):
        query = select(c.file, c.state).where(c.file.in_(files[start : start + STEP]))
        rows = await store.read(lambda tx, query=query: tx.execute(query.distinct()).all())
        found.update((file, state) for file, state in rows)
    of = {state: {file for file, one in found if one == state} for state in ("fetched", "expired")}
    return of["fetched"], of["expired"]


def _asked(tx: Connection, since_ms: int) -> tuple[set[str], set[str]]:
    """Answer the files of what is still to be sent, and of what failed or was sent since then.

    What was sent is heard of as a message some time later, and what failed may be sent again.
    """
    c = chat_outbox.c
    still = c.state.in_(("queued", "uncertain"))
    wanted = and_(c.kind.in_(_SENT_AS), c.state != "dropped", or_(still, c.changed_ms >= since_ms))
    waiting, ended = set[str](), set[str]()
    for body, state in tx.execute(select(c.body, c.state).where(wanted)):
        if file := str(orjson.loads(body).get("file") or ""):
            (waiting if state in ("queued", "uncertain") else ended).add(file)
    return waiting, ended


async def _expire(store: Store, now: int, over_ms: int, surplus: int, swept: SweptFiles) -> None:
    """Mark the attachments whose time is over, then the oldest while `surplus` bytes are too many."""
    before_ms = now - DAY_MS if surplus > 0 else over_ms
    doomed: list[str] = []
    for file, size_bytes, last_ms in await store.read(lambda tx: _oldest(tx, before_ms)):
        if last_ms >= over_ms and surplus <= 0:
            break
        doomed.append(file)
        surplus -= size_bytes
    for start in range(0, len(doomed), STEP):
        some = doomed[start : start + STEP]
        swept.expired += await store.write(lambda tx, some=some: _mark(tx, some, before_ms, now))


def _oldest(tx: Connection, before_ms: int) -> list[tuple[str, int, int]]:
    """Answer (file, bytes, when it came), oldest first; what several messages share came with the last."""
    c = chat_files.c
    last, size_bytes = func.max(c.changed_ms), func.coalesce(func.max(c.size_bytes), 0)
    query = select(c.file, size_bytes, last).where(c.state == "fetched", c.file != "").group_by(c.file)
    rows = tx.execute(query.having(last < before_ms).order_by(last, c.file).limit(MOST))
    return [(str(file), int(size), int(at)) for file, size, at in rows]


def _mark(tx: Connection, files: Sequence[str], before_ms: int, now: int) -> int:
    c = chat_files.c
    old = and_(c.file.in_(files), c.state == "fetched", c.changed_ms < before_ms)
    return tx.execute(update(chat_files).where(old).values(state="expired", changed_ms=now)).rowcount
