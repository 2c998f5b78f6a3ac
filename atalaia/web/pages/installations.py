"""The list of installations: what needs a person, what is under way, what ended; and its export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.connectors.traffilog.importing import side_words
from atalaia.desk.exports.columns import COLUMNS, line_of
from atalaia.desk.installations import queries
from atalaia.desk.installations.queries import SERVICES, Seen, Wanted
from atalaia.desk.installations.state import ERRORS, PORTAL_DONE, WAITING_APPROVAL, WORDS
from atalaia.web import i18n, render
from atalaia.web.i18n import gettext
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, position, screens, show
from atalaia.web.pages.installs import service_word, sign_of, word_of
from atalaia.web.parts import parts_of
from atalaia.web.tables import CSV, XLSX, attachment, csv_text, xlsx_bytes
from atalaia.web.wire import to_cursor

routes = screens("installations:read")
Text = Annotated[str, Query(max_length=120)]
EXPORT_MAX = 20_000

GROUPS: dict[str, tuple[str, ...]] = {
    "person": (WAITING_APPROVAL, PORTAL_DONE),
    "open": tuple(word for word in WORDS if word.endswith("_RUNNING") or word == "SB_DONE"),
    "failed": ERRORS,
    "done": ("COMPLETED",),
}


@dataclass
class Listed:
    """One page of the list."""

    rows: list[Seen]
    following: str | None
    counts: dict[str, int]
    clients: list[tuple[str, str]]


@routes.get("/installations")
async def list_page(
    request: Request, q: Text = "", state: Text = "", service: Text = "", client: Text = "",
    cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer the list; the filter of the last time is remembered."""
    if again := render.recall(request, "installations"):
        return again
    view = render.view_of(request)
    wanted = wanted_of(q, state, service, client)
    before = position(cursor, int, str)
    found = await look(request, lambda tx: read_list(tx, wanted, before))
    asked = {"q": q, "state": state, "service": service, "client": client}
    with i18n.drawing(view):
        groups = _groups(found.counts, state)
        services = [(one, service_word(one)) for one in SERVICES]
    return show(
        request, "installations/list.html", part, remember="installations", found=found, asked=asked,
        groups=groups, services=services, first=before is None, h=helpers(),
    )  # fmt: skip


@routes.get("/installations/export")
async def export(
    request: Request, q: Text = "", state: Text = "", service: Text = "", client: Text = "",
    format: Literal["csv", "xlsx"] = "csv",
) -> Response:  # fmt: skip
    """Answer the 18 columns of what the filter shows, as a file."""
    parts = parts_of(request)
    zone, wanted = ZoneInfo(parts.settings.zone), wanted_of(q, state, service, client)

    def read(tx: Connection) -> list[list[Any]]:
        sides = side_words(tx)
        rows = queries.list_rows(tx, wanted, limit=EXPORT_MAX)
        return [line_of(one, sides, zone) for one in rows]

    rows = await parts.store.read(read)
    if format == "csv":
        return attachment("\ufeff" + csv_text(COLUMNS, rows), CSV, "instalacoes.csv")
    return attachment(xlsx_bytes("Instalações", COLUMNS, rows), XLSX, "instalacoes.xlsx")


def wanted_of(q: str, state: str, service: str, client: str) -> Wanted:
    """Answer the filter behind the words of the address; those we do not know restrict nothing."""
    states = GROUPS.get(state) or ((state,) if state in WORDS else ())
    return Wanted(states, (service,) if service in SERVICES else (), client, q.strip())


def read_list(tx: Connection, wanted: Wanted, before: tuple[int, str] | None) -> Listed:
    """Read one page."""
    rows = queries.list_installations(tx, wanted, before=before, limit=ROWS + 1)
    following = None
    if len(rows) > ROWS:
        rows = rows[:ROWS]
        last = rows[-1].installation
        following = to_cursor(last.created_ms, last.root)
    everywhere = Wanted((), wanted.services, wanted.client, wanted.words)
    return Listed(rows, following, queries.count_by_state(tx, everywhere), queries.clients(tx))


def helpers() -> dict[str, Any]:
    """Answer what the templates of installations need to name things."""
    return {"word": word_of, "sign": sign_of, "service": service_word}


def _groups(counts: Mapping[str, int], here: str) -> list[dict[str, Any]]:
    words = {
        "person": gettext("Need a person"),
        "open": gettext("Under way"),
        "failed": gettext("Failed"),
        "done": gettext("Completed"),
    }
    return [
        {"key": key, "word": words[key], "n": sum(counts.get(one, 0) for one in states), "here": key == here}
        for key, states in GROUPS.items()
    ]
