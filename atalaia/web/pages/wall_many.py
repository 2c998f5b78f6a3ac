"""The wall of many connections: how many are in each state, on which servers, and one page of rows.

A few are shown as cards with all that is known of them. Beyond that what is in trouble comes first, and the
state of each row on the screen is told by the live stream, drawn once for all who look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.connections.queries import (
    TOLD_HEALTH,
    Brief,
    get_connections,
    list_briefs,
)  # fmt: skip
from atalaia.connectors.connector import Connector
from atalaia.events.model import Event
from atalaia.web import render
from atalaia.web.i18n import View
from atalaia.web.pages.common import ROWS
from atalaia.web.pages.wall import Card, card_of, row_of, state_of
from atalaia.web.parts import Parts
from atalaia.web.states import sign
from atalaia.web.wire import to_cursor

CARDS_MOST = 40  # up to so many are shown as cards
SERVERS_MOST = 12
_RANKS = {"ask": 0, "bad": 1, "info": 2, "good": 4, "idle": 5}
_STATES = ("opening", "live", "suspect", "lost", "waiting", "needs_person", "stopped")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which connections. q: part of the name or of the server's. view: `rows`, or "" = as many are shown."""

    q: str = ""
    state: str = ""
    server: str = ""
    view: str = ""


class Placed(NamedTuple):
    """One connection with the state to show, and its place in the order: trouble first."""

    place: tuple[int, str, str]  # rank, name, id
    state: str
    brief: Brief


@dataclass(frozen=True, slots=True)
class Server:
    """One upstream's server: how many of its sessions are in each state, the gravest first."""

    name: str
    total: int
    states: list[tuple[str, int]]


@dataclass
class Walled:
    """What the wall shows.

    total: all connections; found: those that fit. states, servers: with numbers, the gravest first.
    cards: full ones, or those of one page of rows when `rows`.
    """

    total: int
    found: int = 0
    rows: bool = False
    states: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    servers: list[Server] = field(default_factory=list[Server])
    servers_more: int = 0
    cards: list[Card] = field(default_factory=list[Card])
    following: str | None = None


@lru_cache
def rank_of(state: str) -> int:
    """Answer how soon a state is shown: first what needs a person, then what is broken, last what is well."""
    return 3 if state == "unknown" else _RANKS[sign(state).tone]


def placed(briefs: Iterable[Brief], connectors: Mapping[str, Connector], now: int) -> list[Placed]:
    """Answer connections with their states, in no order."""
    found: list[Placed] = []
    for one in briefs:
        state = state_of(one, connectors.get(one.connector), now)
        found.append(Placed((rank_of(state), one.name.lower(), one.id), state, one))
    return found


def read_wall(
    tx: Connection, connectors: Mapping[str, Connector], wanted: Wanted, after: Any, now: int, part: str
) -> Walled:
    """Read what fits, or only what one part of the page needs. after: place of the last row already shown."""
    every = placed(list_briefs(tx), connectors, now)
    walled = Walled(len(every), rows=bool(wanted.view) or len(every) > CARDS_MOST)
    fitting = [one for one in every if _fits(one, wanted)]
    if walled.rows and part in ("", "tally"):
        walled.states = tally(one.state for one in fitting)
        servers = servers_of(fitting)
        walled.servers, walled.servers_more = servers[:SERVERS_MOST], max(0, len(servers) - SERVERS_MOST)
    if wanted.state:
        fitting = [one for one in fitting if one.state == wanted.state]
    walled.found = len(fitting)
    if part != "tally":
        _read_cards(tx, connectors, walled, fitting, after, now)
    return walled


def _read_cards(
    tx: Connection, connectors: Mapping[str, Connector], walled: Walled, fitting: list[Placed], after: Any,
    now: int,
) -> None:  # fmt: skip
    rest = [one for one in fitting if after is None or one.place > after]
    shown = sorted(rest, key=lambda one: one.place)[: ROWS if walled.rows else None]
    if len(rest) > len(shown):
        walled.following = to_cursor(*shown[-1].place)
    draw = row_of if walled.rows else card_of
    seen = get_connections(tx, [one.brief.id for one in shown])
    walled.cards = [draw(tx, one, connectors.get(one.connector), now) for one in seen]


def _fits(one: Placed, wanted: Wanted) -> bool:
    if wanted.server and one.brief.server != wanted.server:
        return False
    text = wanted.q.lower()
    return not text or text in one.place[1] or text in one.brief.server.lower()


def tally(states: Iterable[str]) -> list[tuple[str, int]]:
    """Answer how often each state occurs, the gravest first."""
    counted = Counter(states)
    return sorted(counted.items(), key=lambda one: (rank_of(one[0]), -one[1], one[0]))


def servers_of(every: Iterable[Placed]) -> list[Server]:
    """Answer the servers that are known, those with most trouble first; [] when there is only one."""
    by_server: dict[str, list[str]] = {}
    for one in every:
        if one.brief.server:
            by_server.setdefault(one.brief.server, []).append(one.state)
    found = [Server(name, len(states), tally(states)) for name, states in by_server.items()]
    return sorted(found, key=_trouble) if len(found) > 1 else []


def _trouble(server: Server) -> tuple[int, int, str]:
    ask = sum(count for state, count in server.states if rank_of(state) == 0)
    bad = sum(count for state, count in server.states if 1 <= rank_of(state) <= 3)
    return (-ask, -bad, server.name)


def first_tiles(
    tx: Connection, briefs: Iterable[Brief], connectors: Mapping[str, Connector], now: int, most: int
) -> tuple[list[Card], list[tuple[str, int]]]:
    """Answer the cards of the first screen, and the numbers of all states when there are more than `most`."""
    every = placed(briefs, connectors, now)
    if len(every) <= most:
        ordered = sorted(every, key=lambda one: one.place[1:])
        numbers: list[tuple[str, int]] = []
    else:
        ordered = sorted(every, key=lambda one: one.place)[:most]
        numbers = tally(one.state for one in every)
    seen = get_connections(tx, [one.brief.id for one in ordered])
    return [card_of(tx, one, connectors.get(one.connector), now) for one in seen], numbers


# What the live stream tells.


def draw_truth(parts: Parts, event: Event, language: str) -> str | None:
    """Draw a change of state, for whoever has that connection on the screen; None for any other event."""
    state = event.type.removeprefix("connection.")
    if state not in _STATES:
        return None
    data: dict[str, Any] = orjson.loads(event.body)
    evidence: dict[str, Any] = data.get("evidence") or {}
    told = next((claim for claim in map(_failing_claim, evidence.values()) if claim in TOLD_HEALTH), "")
    kind, connector = str(data.get("kind") or ""), str(data.get("connector") or "")
    desired = "off" if state == "stopped" else "on"
    one = Brief(event.key, connector, "", desired, state, kind, event.occurred_ms, "", told)
    shown = state_of(one, parts.connectors.get(connector), event.occurred_ms)
    known = f"truth_{kind}" if state == "needs_person" and kind else ""
    view = View(language, now_ms=to_ms(parts.ambient.clock.now()))
    return render.draw_macro(view, "truth", event.key, shown, event.occurred_ms, known)


def _failing_claim(seen: Any) -> str:
    plane = cast("dict[str, Any]", seen) if isinstance(seen, dict) else {}
    return str(plane.get("claim") or "") if plane.get("state") == "failing" else ""
