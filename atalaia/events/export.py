"""The log as JSON lines, for tools and for people who leave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import orjson

from atalaia.clock import rfc3339
from atalaia.events.fit import load_json
from atalaia.events.model import Event
from atalaia.events.queries import EventFilter, oldest
from atalaia.store.store import Store

PAGE = 1_000


async def pages(
    store: Store, wanted: EventFilter, *, after: int = 0, upto: int | None = None, most: int | None = None
) -> AsyncIterator[list[Event]]:
    """Answer events after `after`, at most `most` and none after `upto`, oldest first, page by page.

    Each page is a read of its own, so that no read stays open for minutes; what is appended meanwhile
    comes along unless `upto` says where to end.
    Errors: `StoreUnavailable`.
    """
    left = most
    while left is None or left > 0:
        start, limit = after, PAGE if left is None else min(PAGE, left)
        page = await store.read(lambda tx, s=start, n=limit: oldest(tx, wanted, after=s, limit=n))
        if events := [event for event in page.events if upto is None or event.seq <= upto]:
            yield events
        if page.next_seq is None or (upto is not None and page.next_seq >= upto):
            return
        if left is not None:
            left -= len(page.events)
        after = page.next_seq


async def export(
    store: Store,
    wanted: EventFilter,
    *,
    redact: Callable[[str], str],
    after: int = 0,
    upto: int | None = None,
    most: int | None = None,
) -> AsyncIterator[bytes]:
    """Answer `pages` as lines, a page at a time.

    redact: masks secrets in a JSON text, and in a text that is no JSON; names may carry some, too.
    """
    async for events in pages(store, wanted, after=after, upto=upto, most=most):
        yield b"".join(line(event, redact) for event in events)


def line(event: Event, redact: Callable[[str], str]) -> bytes:
    """Answer one event as a JSON object and a line feed.

    Shape: {"seq", "id", "family", "type", "key", "connection", "occurred_at", "recorded_at" (RFC 3339, UTC),
        "cause_seq", "late", "data"}; a body that is no JSON stands as text under "raw" instead of "data".
    """
    row: dict[str, object] = {
        "seq": event.seq, "id": event.id, "family": event.family, "type": event.type,
        "key": redact(event.key), "connection": event.connection, "occurred_at": rfc3339(event.occurred_ms),
        "recorded_at": rfc3339(event.recorded_ms), "cause_seq": event.cause_seq, "late": event.late,
    }  # fmt: skip
    body = redact(event.body)
    try:
        row["data"] = load_json(body)
        return orjson.dumps(row) + b"\n"
    except (ValueError, TypeError):
        # No JSON, or JSON that not everybody can read: halves of surrogate pairs, endless numbers.
        row.pop("data", None)
        row["raw"] = body.encode(errors="backslashreplace").decode()
        return orjson.dumps(row) + b"\n"
