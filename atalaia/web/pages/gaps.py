"""Gaps of all connections: where something may have been missed, on a time line and as a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from sqlalchemy import Connection, select

from atalaia.clock import rfc3339
from atalaia.connections.queries import names as connection_names
from atalaia.events.gaps import ORIGINS, Gap, GapFilter, find_gaps
from atalaia.store.tables import connections
from atalaia.web import i18n, render
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, now_ms, position, screens, show
from atalaia.web.pages.gap_words import ORIGINS as ORIGIN_WORDS
from atalaia.web.pages.gap_words import gap_rest, gap_words, lost_sign
from atalaia.web.ranges import TimeRange
from atalaia.web.show import moment_text
from atalaia.web.wire import page_of

routes = screens("connections:read")

Text = Annotated[str, Query(max_length=40)]
STATES = {"open": N_("Still open"), "closed": N_("Closed"), "lost": N_("Something was lost")}
CELLS, LANES_MOST, GAPS_DRAWN = 96, 40, 2_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One stretch of a lane. state: a key of `CELL_TONES`; label: when, and what."""

    state: str
    label: str


@dataclass
class Lane:
    """One connection's stretch of time."""

    id: str
    name: str
    cells: list[Cell] = field(default_factory=list[Cell])


@dataclass
class Listed:
    """One page of gaps, the lanes of the time range, and what the filter may choose from."""

    gaps: list[Gap]
    following: str | None
    lanes: list[Lane]
    names: dict[str, str]
    connections: list[tuple[str, str]]
    states: list[tuple[str, str]]
    origins: list[tuple[str, str]]


# From the gravest to the mildest: a cell shows the gravest of what falls into it.
CELL_TONES = {
    "open": "bad", "lost": "bad", "unknown": "idle", "ended": "info", "closed": "info", "before": "idle",
    "none": "good",
}  # fmt: skip
_CELL_WORDS = {
    "open": N_("not hearing"),
    "ended": N_("not reconciled yet"),
    "lost": N_("something was lost"),
    "unknown": N_("what was lost cannot be known"),
    "closed": N_("a gap, nothing lost"),
    "before": N_("not set up yet"),
    "none": N_("no gap"),
}


@routes.get("/gaps")
async def list_page(
    request: Request, connection: Text = "", state: Text = "", origin: Text = "", range: Text = "",
    cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer the list; the filter of the last time is remembered."""
    if again := render.recall(request, "gaps"):
        return again
    view, moment = render.view_of(request), now_ms(request)
    ranged = TimeRange.read(request.query_params, moment, view.zone, default="7d")
    wanted = GapFilter(
        connection or None, state if state in STATES else "", origin if origin in ORIGINS else "",
        ranged.from_ms, ranged.to_ms,
    )  # fmt: skip
    before = position(cursor, int, str)

    def read(tx: Connection) -> Listed:
        with i18n.drawing(view):
            return read_list(tx, wanted, before, moment)

    found = await look(request, read)
    asked = {"connection": connection, "state": state, "origin": origin}
    return show(
        request, "gaps/list.html", part, remember="gaps", found=found, asked=asked, range=ranged,
        first=before is None, export=_export(wanted), states=found.states, origins=found.origins,
        tones=CELL_TONES, origin_words=ORIGIN_WORDS,
        lost_sign=lost_sign, gap_words=gap_words, gap_rest=gap_rest,
    )  # fmt: skip


def read_list(tx: Connection, wanted: GapFilter, before: tuple[int, str] | None, moment: int) -> Listed:
    """Read one page of gaps; in the language of the view being drawn."""
    names = connection_names(tx)
    rows, following = page_of(
        find_gaps(tx, wanted, before=before, limit=ROWS + 1), ROWS, "from_ms", "id"
    )  # fmt: skip
    drawn = find_gaps(tx, wanted, limit=GAPS_DRAWN)
    low, high = wanted.from_ms or 0, min(wanted.to_ms or moment, moment)
    return Listed(
        gaps=rows,
        following=following,
        lanes=lanes_of(drawn, names, low, high, _created(tx)),
        names=names,
        connections=sorted(names.items(), key=lambda one: one[1].lower()),
        states=[(key, gettext(word)) for key, word in STATES.items()],
        origins=[(key, gettext(word)) for key, word in ORIGIN_WORDS.items()],
    )


def _created(tx: Connection) -> dict[str, int]:
    rows = tx.execute(select(connections.c.id, connections.c.created_ms))
    return {row.id: row.created_ms for row in rows}


def lanes_of(
    gaps: Sequence[Gap], names: Mapping[str, str], low: int, high: int, created: Mapping[str, int]
) -> list[Lane]:
    """Answer one lane per connection that has gaps between these times, the worst hit first.

    created: when each was set up; of the time before nothing is claimed.
    """
    by_connection: dict[str, list[Gap]] = {}
    for gap in gaps:
        by_connection.setdefault(gap.connection, []).append(gap)
    worst = sorted(by_connection, key=lambda one: -len(by_connection[one]))[:LANES_MOST]
    edges = [low + (high - low) * place // CELLS for place in range(CELLS + 1)]
    return [
        Lane(
            one,
            names.get(one, one),
            [_cell(by_connection[one], *span, high, created.get(one, 0)) for span in pairwise(edges)],
        )
        for one in worst
    ]


def _cell(gaps: Sequence[Gap], low: int, high: int, now: int, created_ms: int) -> Cell:
    inside = {_kind(gap) for gap in gaps if gap.from_ms < high and (gap.to_ms or now) > low}
    inside |= {"before"} if high <= created_ms else set()
    state = next((one for one in CELL_TONES if one in inside), "none")
    span = f"{moment_text(low, 'short')} – {moment_text(high, 'short')}"
    return Cell(state, f"{span}: {gettext(_CELL_WORDS[state])}")


def _kind(gap: Gap) -> str:
    if gap.closed_ms is None:
        return "open" if gap.to_ms is None else "ended"
    return {"no": "closed", "yes": "lost"}.get(gap.lost, "unknown")


def _export(wanted: GapFilter) -> str:
    named = {"connection": wanted.connection, "state": wanted.state, "origin": wanted.origin}
    times = {"since": wanted.from_ms, "until": wanted.to_ms}
    query = {name: value for name, value in named.items() if value}
    query |= {name: rfc3339(value) for name, value in times.items() if value is not None}
    return f"/api/gaps/export?{urlencode(query)}"
