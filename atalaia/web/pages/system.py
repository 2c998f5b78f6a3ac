"""The hub itself: is it healthy, who works, what waits, what it could not understand, how much it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response
from sqlalchemy import Connection, update

from atalaia.clock import to_ms
from atalaia.desk.old_clients.kept import OldWorker
from atalaia.desk.old_clients.kept import list_workers as list_outside
from atalaia.desk.system.queries import (
    Cursor,
    Media,
    Sizes,
    Worker,
    list_cursors,
    list_parked,
    list_workers,
    media,
    sizes,
    store_bytes,
)
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.bell import LOG
from atalaia.store.store import ring_after
from atalaia.store.tables import parked
from atalaia.version import VERSION, git_sha
from atalaia.web.access import Who, require
from atalaia.web.health import Seen
from atalaia.web.i18n import N_
from atalaia.web.pages.common import Part, Words, done, look, now_ms, screens, show, ungettext
from atalaia.web.parts import parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import SEQ_MAX

routes = screens("system:read")
Writer = Annotated[Who, Depends(require("settings:admin"))]
PARKED_SHOWN = 100

# Which setting rules how long what is kept, and what it is called.
RETENTION = (
    ("keep_heard_days", N_("heard events")),
    ("keep_facts_days", N_("facts")),
    ("keep_calls_days", N_("calls")),
    ("keep_chats_days", N_("messages")),
    ("keep_files_days", N_("attachments of messages")),
    ("keep_jobs_days", N_("ended jobs")),
    ("keep_deliveries_days", N_("settled deliveries and attempts")),
    ("keep_gaps_days", N_("closed gaps")),
    ("keep_vehicles_days", N_("past values, snapshots and processes of vehicles")),
    ("keep_counts_days", N_("counts per minute")),
    ("keep_dedupe_days", N_("memory of repeats")),
)


@dataclass
class Shown:
    """What the page shows."""

    workers: list[Worker]
    cursors: list[Cursor]
    sizes: Sizes
    bytes: int
    media: Media | None
    outside: list[OldWorker]
    parked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@routes.get("/system")
async def system_page(request: Request, part: Part = "") -> Response:
    """Answer the state of the hub in words and figures."""
    parts, moment = parts_of(request), now_ms(request)

    def read(tx: Connection) -> Shown:
        return Shown(
            list_workers(tx, moment),
            list_cursors(tx),
            sizes(tx),
            store_bytes(tx),
            media(tx),
            list_outside(tx, moment),
            list_parked(tx, limit=PARKED_SHOWN),
        )

    shown = await look(request, read)
    seen: Seen = await request.app.state.health_service.look()
    retention = [(label, int(getattr(parts.settings, name))) for name, label in RETENTION]
    return show(
        request, "system/system.html", part, shown=shown, seen=seen,
        why=why_of(Words(request), seen), retention=retention, version=VERSION,
        sha=git_sha(), database=parts.store.dialect, worker=parts.worker, redact=parts.redactor.text,
        streams=request.app.state.live.clients,
    )  # fmt: skip


_DOWN = ("lost", "waiting", "suspect", "opening", "unknown")


def why_of(words: Words, seen: Seen) -> list[tuple[str, str]]:
    """Answer what keeps the hub from being healthy, in words, each with the page that shows more."""
    about = seen.details
    if not about:
        return [(line, "") for line in seen.why]
    states: dict[str, int] = about.get("connections", {})
    asking, down = states.get("needs_person", 0), sum(states.get(name, 0) for name in _DOWN)
    rows = (
        (
            ungettext("%(n)s connection needs a person.", "%(n)s connections need a person."),
            asking,
            "/connections",
        ),
        (
            ungettext("%(n)s connection is not proven live.", "%(n)s connections are not proven live."),
            down,
            "/connections",
        ),
        (ungettext("%(n)s alert is open.", "%(n)s alerts are open."), about.get("alerts_open", 0), "/alerts"),
        (
            ungettext("%(n)s destination is down.", "%(n)s destinations are down."),
            about.get("circuits_open", 0),
            "/deliveries",
        ),
        (
            ungettext(
                "%(n)s delivery was given up and waits for a decision.",
                "%(n)s deliveries were given up and wait for a decision.",
            ),
            about.get("deliveries_dead", 0),
            "/deliveries",
        ),
        (
            ungettext(
                "%(n)s queue is far behind the log: what it shows is old.",
                "%(n)s queues are far behind the log: what they show is old.",
            ),
            len(about.get("behind", ())),
            "/system",
        ),
    )
    return [(words.many(forms, count), href) for forms, count, href in rows if count]


@routes.post("/system/parked/{identity}/retry")
async def retry(request: Request, who: Writer, identity: Annotated[int, Path(ge=1, le=SEQ_MAX)]) -> Response:
    """Ask the reaction to try a parked event again."""
    parts, words = parts_of(request), Words(request)

    def write(tx: Connection) -> str | None:
        row = tx.execute(
            parked.select().where(parked.c.id == identity, parked.c.settled_ms.is_(None))
        ).first()
        if row is None:
            return None
        tx.execute(update(parked).where(parked.c.id == identity).values(state="again"))
        now = to_ms(parts.ambient.clock.now())
        data = {"seq": row.seq, "by": who.by.as_data()}
        append_facts(tx, parts.ambient, "system", [Fact("reaction.retried", row.reaction, now, data)])
        ring_after(tx, LOG)
        return str(row.reaction)

    if await parts.store.write(write) is None:
        raise not_found("parked event")
    return done(request, "/system#parked", words(N_("The event is tried again.")))
