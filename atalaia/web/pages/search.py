"""Search over everything, as a page and as suggestions for the command palette."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from atalaia.connections.queries import ConnectionSeen, list_connections
from atalaia.deliveries.queries import SubscriptionView, list_views
from atalaia.desk.calls.queries import Call, CallFilter, get_call, list_calls
from atalaia.desk.chats.lookup import MessageFilter, search_messages
from atalaia.desk.chats.queries import Message, Thread, ThreadFilter, list_threads
from atalaia.desk.endpoints.queries import Endpoint, list_endpoints
from atalaia.desk.installations.queries import Installation, Wanted, list_rows
from atalaia.desk.vehicles.plates import Plates, plates_of_jobs, vehicles_called
from atalaia.desk.vehicles.queries import Vehicle, VehicleFilter, list_vehicles
from atalaia.events.log import read_event
from atalaia.events.queries import EventFilter, newest
from atalaia.jobs.queries import Job, JobFilter, list_jobs
from atalaia.store.search import words_of
from atalaia.web import i18n, render
from atalaia.web.access import Who, require, who_of
from atalaia.web.i18n import gettext
from atalaia.web.pages.calls import helpers, names_of
from atalaia.web.pages.chats import helpers as chat_helpers
from atalaia.web.pages.chats import title_of
from atalaia.web.pages.common import DAY_MS, look, now_ms, show
from atalaia.web.pages.events import Row, row_of
from atalaia.web.pages.installs import service_word
from atalaia.web.pages.jobs import about_of
from atalaia.web.pages.jobs import helpers as job_helpers
from atalaia.web.pages.telling import Names
from atalaia.web.pages.vehicles import href_of
from atalaia.web.pages.work import job_sign, kind_title
from atalaia.web.parts import Parts, parts_of
from atalaia.web.states import sign

routes = APIRouter(include_in_schema=False, dependencies=[Depends(require(""))])

Asked = Annotated[str, Query(max_length=200)]
SHOWN, SUGGESTED = 20, 3
# A number can be part of any call ever; so far back the search looks for one.
CALLS_BACK_MS = 92 * DAY_MS
_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}")


@dataclass
class Found:
    """What fits, by kind; only what the person may see."""

    calls: list[Call] = field(default_factory=list[Call])
    phones: list[Endpoint] = field(default_factory=list[Endpoint])
    connections: list[ConnectionSeen] = field(default_factory=list[ConnectionSeen])
    subscriptions: list[SubscriptionView] = field(default_factory=list[SubscriptionView])
    clients: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    jobs: list[Job] = field(default_factory=list[Job])
    vehicles: list[Vehicle] = field(default_factory=list[Vehicle])
    chats: list[Thread] = field(default_factory=list[Thread])
    messages: list[Message] = field(default_factory=list[Message])
    events: list[Row] = field(default_factory=list[Row])
    installations: list[Installation] = field(default_factory=list[Installation])
    names: Names = field(default_factory=Names)

    @property
    def nothing(self) -> bool:
        kinds = (self.calls, self.phones, self.connections, self.subscriptions, self.clients, self.jobs)
        found = (self.vehicles, self.installations, self.chats, self.messages, self.events)
        return not any((*kinds, *found))


@routes.get("/search")
async def search_page(request: Request, q: Asked = "") -> Response:
    """Answer what fits, by kind."""
    found = await _search(request, q.strip(), SHOWN)
    jobs = job_helpers(parts_of(request), found.names.connections, found.names.plates)
    return show(
        request, "system/search.html", q=q.strip(), found=found, helpers=helpers(found.names), jobs=jobs,
        vehicle_href=href_of, service_word=service_word,
        chats=chat_helpers(parts_of(request), found.names.connections),
    )  # fmt: skip


@routes.get("/search/suggest")
async def suggest(request: Request, q: Asked = "") -> Response:
    """Answer a few of what fits as [{"title", "hint", "href"}], for the command palette."""
    found = await _search(request, q.strip(), SUGGESTED)
    with i18n.drawing(render.view_of(request)):
        rows = _suggestions(found)
    return JSONResponse(rows, headers={"Cache-Control": "no-store"})


async def _search(request: Request, q: str, most: int) -> Found:
    view, parts, who, moment = render.view_of(request), parts_of(request), who_of(request), now_ms(request)

    def read(tx: Connection) -> Found:
        with i18n.drawing(view):
            return find(tx, parts, who, q, moment, most)

    return await look(request, read)


def find(tx: Connection, parts: Parts, who: Who, q: str, moment: int, most: int) -> Found:
    """Find what fits, by kind; of events those of a key or at a place of the log."""
    found = Found()
    if not q:
        return found
    seen = list_connections(tx, with_planes=False)
    found.names = names_of(tx, seen)
    small = q.lower()
    if who.may("connections:read"):
        found.connections = [one for one in seen if small in one.name.lower() or q == one.id][:most]
    if who.may("deliveries:read"):
        views = list_views(tx, moment)
        found.subscriptions = [one for one in views if small in one.name.lower() or q == one.id][:most]
    if who.may("calls:read"):
        found.clients = _clients(found.names, small)[:most]
        found.phones = list_endpoints(tx, words=q, limit=most) if len(q) >= 2 else []
        found.calls = _calls(tx, q, moment, most)
    if who.may("vehicles:read") and len(q) >= 3:
        found.vehicles = list_vehicles(tx, VehicleFilter(words=q), limit=most)
    if who.may("chats:read") and len(q) >= 3:
        found.chats = list_threads(tx, ThreadFilter(words=q), who.id, limit=most)
        found.messages = search_messages(tx, MessageFilter(q), limit=most) if words_of(q) else []
    if who.may("jobs:read") and len(q) >= 3:
        fits = JobFilter(words=q, vehicles=vehicles_called(tx, q))
        found.jobs = list_jobs(tx, fits, limit=most)
        found.names = replace(found.names, plates=plates_of_jobs(tx, found.jobs))
    if who.may("installations:read") and len(q) >= 3:
        found.installations = list_rows(tx, Wanted(words=q), limit=most)
    if who.may("events:read"):
        found.events = _events(tx, found.names, parts, q, most)
    return found


def _clients(names: Names, small: str) -> list[tuple[str, str]]:
    rows = names.book.clients.items()
    return [(code, name) for code, name in rows if small in name.lower() or small == code]


def _calls(tx: Connection, q: str, moment: int, most: int) -> list[Call]:
    if _ID.fullmatch(q):
        call = get_call(tx, q)
        return [call] if call else []
    if not re.fullmatch(r"[0-9+*#]{2,20}", q):
        return []
    return list_calls(tx, CallFilter(number=q, from_ms=moment - CALLS_BACK_MS), limit=most)


def _events(tx: Connection, names: Names, parts: Parts, q: str, most: int) -> list[Row]:
    rows = newest(tx, EventFilter(key=q), limit=most).events
    if q.isdecimal() and len(q) < 19 and (event := read_event(tx, int(q))):
        rows = [event, *rows]
    return [row_of(event, names, parts.redactor) for event in rows[:most]]


def _suggestions(found: Found) -> list[dict[str, Any]]:
    rows = [
        {
            "title": f"{call.origin} → {call.destiny or call.dialled}",
            "hint": sign(call.status).said,
            "href": f"/calls/{call.guid}",
        }
        for call in found.calls
    ]
    rows += [
        {"title": one.name, "hint": gettext("connection"), "href": f"/connections/{one.id}"}
        for one in found.connections
    ]
    rows += [
        {"title": one.name, "hint": gettext("subscription"), "href": f"/deliveries/{one.id}"}
        for one in found.subscriptions
    ]
    rows += [
        {"title": name, "hint": gettext("client"), "href": f"/calls?client={code}"}
        for code, name in found.clients
    ]
    rows += [
        {
            "title": found.names.party(one.endpoint),
            "hint": gettext("phone"),
            "href": f"/calls/phones?q={one.endpoint}",
        }
        for one in found.phones
    ]
    rows += [
        {"title": one.plate or one.vehicle, "hint": gettext("vehicle"), "href": href_of(one)}
        for one in found.vehicles
    ]
    rows += [
        {"title": title_of(one), "hint": gettext("conversation"), "href": f"/chats/{one.id}"}
        for one in found.chats
    ]
    rows += [_installation(one) for one in found.installations]
    rows += [_job(job, found.names.plates) for job in found.jobs]
    rows += [
        {
            "title": f"{row.event.type} {row.event.seq}",
            "hint": gettext("event"),
            "href": f"/events/{row.event.seq}",
        }
        for row in found.events
    ]
    return rows


def _installation(one: Installation) -> dict[str, Any]:
    return {
        "title": f"{one.plate} · {service_word(one.service)}",
        "hint": gettext("installation"),
        "href": f"/installations/{one.root}",
    }


def _job(job: Job, plates: Plates) -> dict[str, Any]:
    about = (kind_title(job.kind), about_of(job, plates))
    return {
        "title": " · ".join(one for one in about if one),
        "hint": sign(job_sign(job.state)).said,
        "href": f"/jobs/{job.id}",
    }
