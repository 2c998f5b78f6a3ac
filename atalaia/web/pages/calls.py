"""Calls: the live board, the list with its plot, the phones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import ConnectionSeen, list_connections
from atalaia.deliveries.queries import worst_by_key
from atalaia.desk.calls import queries
from atalaia.desk.calls.queries import Call, CallFilter, Hour
from atalaia.desk.endpoints.queries import Endpoint, count_by_status, list_endpoints
from atalaia.events.gaps import list_gaps
from atalaia.web import i18n, render
from atalaia.web.i18n import gettext
from atalaia.web.pages.common import (
    DAY_MS,
    HOUR_MS,
    ROWS,
    PageCursor,
    Part,
    look,
    now_ms,
    position,
    screens,
    show,
)
from atalaia.web.pages.directory import Book, book_of
from atalaia.web.pages.telling import Names, kind_word, reason_word
from atalaia.web.parts import Parts, parts_of
from atalaia.web.ranges import TimeRange
from atalaia.web.wire import page_of, to_cursor

routes = screens("calls:read")

JUST_ENDED_MS = 10 * 60_000
COLUMN_MAX = 60
PHONES_ROWS = 100
_LONG_MS = 8 * DAY_MS  # beyond this the plot counts days
STATUSES = ("open", "oncall", "closed", "unanswered")

Text = Annotated[str, Query(max_length=80)]


@dataclass
class Board:
    """What rings, what talks, what just ended; `clients` counts the live calls of each."""

    ringing: list[Call] = field(default_factory=list[Call])
    talking: list[Call] = field(default_factory=list[Call])
    ended: list[Call] = field(default_factory=list[Call])
    clients: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    names: Names = field(default_factory=Names)
    servers: int = 0


@routes.get("/calls")
async def board_page(request: Request, client: Text = "", part: Part = "") -> Response:
    """Answer the board."""
    moment = now_ms(request)

    def read(tx: Connection) -> Board:
        return read_board(tx, parts_of(request), client, moment)

    board = await look(request, read)
    shown: dict[str, Any] = {
        "board": board,
        "client": client,
        "helpers": helpers(board.names),
        "most": COLUMN_MAX,
    }
    return show(request, "calls/board.html", part, **shown)


def read_board(tx: Connection, parts: Parts, client: str, moment: int) -> Board:
    """Read what the board shows, of one client or all."""
    seen = calling(tx, parts)
    names = names_of(tx, seen)
    live = queries.live_calls(tx)
    counted: dict[str, int] = dict.fromkeys(queries.clients(tx), 0)
    for call in live:
        counted[call.client] = counted.get(call.client, 0) + 1
    chosen = [call for call in live if not client or call.client == client]
    ended = queries.just_ended(tx, since_ms=moment - JUST_ENDED_MS, limit=200)
    return Board(
        ringing=[call for call in chosen if call.status == "open"],
        talking=[call for call in chosen if call.status == "oncall"],
        ended=[call for call in ended if not client or call.client == client],
        clients=sorted(
            ((code, names.book.client(code), n) for code, n in counted.items() if code), key=lambda c: c[1]
        ),
        names=names,
        servers=len(seen),
    )


def calling(tx: Connection, parts: Parts) -> list[ConnectionSeen]:
    """Answer the connections that bring calls."""
    worlds = {name for name, one in parts.connectors.items() if one.world == "calls"}
    return [one for one in list_connections(tx, with_planes=False) if one.connector in worlds]


def names_of(tx: Connection, seen: list[ConnectionSeen]) -> Names:
    """Answer what connections, clients and numbers are called."""
    return Names({one.id: one.name for one in seen}, {}, book_of(tx, seen))


def helpers(names: Names) -> dict[str, Any]:
    """Answer what the templates of calls need to name things."""
    return {
        "name": names.book.name,
        "client": names.book.client,
        "connection": names.connection,
        "kind": kind_word,
        "reason": reason_word,
        "status": status_sign,
    }


def status_sign(status: str) -> str:
    """Answer the name under which `states.SIGNS` knows a call's status."""
    return {"open": "ringing", "oncall": "on_call"}.get(status, status)


@dataclass
class Listed:
    """One page of the list, with its plot and what the filter may choose from."""

    calls: list[Call]
    following: str | None
    deliveries: dict[str, str]
    clients: list[tuple[str, str]]
    servers: list[tuple[str, str]]
    names: Names
    plot: dict[str, Any]
    total: int
    figures: list[dict[str, Any]]


@routes.get("/calls/list")
async def list_page(
    request: Request, q: Text = "", client: Text = "", status: Text = "", connection: Text = "",
    recovered: Text = "", cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer the list; the filter of the last time is remembered."""
    if again := render.recall(request, "calls"):
        return again
    view, moment = render.view_of(request), now_ms(request)
    ranged = TimeRange.read(request.query_params, moment, view.zone)
    statuses = (status,) if status in STATUSES else ()
    wanted = CallFilter(
        connection or None,
        client or None,
        statuses,
        q.strip(),
        ranged.from_ms,
        ranged.to_ms,
        recovered == "1",
    )
    before = position(cursor, int, str)

    def read(tx: Connection) -> Listed:
        with i18n.drawing(view):
            return read_list(tx, parts_of(request), wanted, before, ranged)

    found = await look(request, read)
    export = export_query(wanted)
    asked = {"q": q, "client": client, "status": status, "connection": connection, "recovered": recovered}
    return show(
        request, "calls/list.html", part, remember="calls", found=found, range=ranged, asked=asked,
        export=export,
        first=before is None, helpers=helpers(found.names),
        newest=to_cursor(found.calls[0].opened_ms, found.calls[0].guid) if found.calls else "",
    )  # fmt: skip


def read_list(
    tx: Connection, parts: Parts, wanted: CallFilter, before: tuple[int, str] | None, ranged: TimeRange
) -> Listed:
    """Read one page of calls and the figures over all that the filter takes."""
    seen = calling(tx, parts)
    names = names_of(tx, seen)
    rows = queries.list_calls(tx, wanted, before=before, limit=ROWS + 1)
    calls, following = page_of(rows, ROWS, "opened_ms", "guid")
    hours = queries.hours(tx, wanted)
    return Listed(
        calls=calls,
        following=following,
        deliveries=worst_by_key(tx, [call.guid for call in calls]),
        clients=[(code, names.book.client(code)) for code in queries.clients(tx)],
        servers=[(one.id, one.name) for one in seen],
        names=names,
        plot=plot_of(tx, hours, ranged, seen),
        total=sum(hour.calls for hour in hours),
        figures=figures_of(hours),
    )


def figures_of(hours: list[Hour]) -> list[dict[str, Any]]:
    """Answer the sums over the filter."""
    answered, unanswered = sum(h.answered for h in hours), sum(h.unanswered for h in hours)
    settled = answered + unanswered
    return [
        {"name": "calls", "value": sum(h.calls for h in hours)},
        {"name": "answered", "value": answered},
        {"name": "unanswered", "value": unanswered},
        {"name": "rate", "value": answered / settled if settled else None},
        {"name": "ring", "value": 1000 * sum(h.ring_s for h in hours) / answered if answered else None},
        {"name": "talk", "value": 1000 * sum(h.talk_s for h in hours) / answered if answered else None},
    ]


def plot_of(
    tx: Connection, hours: list[Hour], ranged: TimeRange, seen: list[ConnectionSeen]
) -> dict[str, Any]:
    """Answer calls per hour (per day over long ranges) and the answer rate, gaps as bands."""
    bucket = HOUR_MS if ranged.length_ms <= _LONG_MS else DAY_MS
    start = ranged.from_ms - ranged.from_ms % bucket
    length = max(1, -(-(ranged.to_ms - start) // bucket))
    answered, missed = [0] * length, [0] * length
    for hour in hours:
        place = (hour.hour_ms - start) // bucket
        if 0 <= place < length:
            answered[place] += hour.answered
            missed[place] += hour.calls - hour.answered
    totals = [one + other for one, other in zip(answered, missed, strict=True)]
    rate = [round(100 * a / t, 1) if t else None for a, t in zip(answered, totals, strict=True)]
    gaps = [
        {
            "from": max(gap.from_ms, start),
            "to": min(gap.to_ms or ranged.to_ms, ranged.to_ms),
            "label": gettext("Not heard"),
        }
        for one in seen
        for gap in list_gaps(tx, connection=one.id, limit=50)
        if gap.from_ms < ranged.to_ms and (gap.to_ms or ranged.to_ms) > start
    ]
    return {
        "x": [start + place * bucket for place in range(length)] if any(totals) else [],
        "series": [
            {"label": gettext("Calls"), "unit": "", "tone": "idle", "kind": "bars", "values": totals},
            {"label": gettext("Answered"), "unit": "", "tone": "info", "kind": "bars", "values": answered},
            {"label": gettext("Answer rate"), "unit": "%", "tone": "good", "kind": "line", "values": rate},
        ],
        "gaps": gaps,
        "per_day": bucket == DAY_MS,
    }


def export_query(wanted: CallFilter) -> str:
    """Answer the address that exports what the filter takes."""
    from urllib.parse import urlencode

    from atalaia.clock import rfc3339

    pairs: list[tuple[str, str]] = []
    pairs += [("connection", wanted.connection)] if wanted.connection else []
    pairs += [("client", wanted.client)] if wanted.client else []
    pairs += [("status", status) for status in wanted.statuses]
    pairs += [("number", wanted.number)] if wanted.number else []
    pairs += [("from", rfc3339(wanted.from_ms))] if wanted.from_ms is not None else []
    pairs += [("to", rfc3339(wanted.to_ms))] if wanted.to_ms is not None else []
    pairs += [("recovered", "true")] if wanted.recovered_only else []
    return f"/api/calls/export?{urlencode(pairs)}"


# Phones.


@dataclass
class Phones:
    """Phones with the counts by status."""

    phones: list[Endpoint]
    following: str | None
    counts: dict[str, int]
    clients: list[tuple[str, str, int, int]]
    names: Names


@routes.get("/calls/phones")
async def phones_page(
    request: Request,
    q: Text = "",
    client: Text = "",
    status: Text = "",
    cursor: PageCursor = "",
    part: Part = "",
) -> Response:
    """Answer the phones and whether they can be reached."""
    after = position(cursor, str, str)

    def read(tx: Connection) -> Phones:
        names = names_of(tx, calling(tx, parts_of(request)))
        rows = list_endpoints(
            tx,
            client=client or None,
            status=status or None,
            words=q.strip(),
            after=after,
            limit=PHONES_ROWS + 1,
        )
        phones, following = page_of(rows, PHONES_ROWS, "endpoint", "connection")
        return Phones(phones, following, count_by_status(tx), _clients(tx, names.book), names)

    found = await look(request, read)
    asked = {"q": q, "client": client, "status": status}
    return show(
        request, "calls/phones.html", part, found=found, asked=asked, first=after is None,
        helpers=helpers(found.names),
    )  # fmt: skip


def _clients(tx: Connection, book: Book) -> list[tuple[str, str, int, int]]:
    """Answer per client: code, name, phones online, phones known."""
    from atalaia.desk.endpoints.queries import count_by_client

    return [(code, book.client(code), online, known) for code, (online, known) in count_by_client(tx).items()]
