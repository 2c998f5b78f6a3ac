"""The wall of connections: the truth about each, what it rests on, and what was missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from sqlalchemy import Connection

from atalaia.connections.queries import ConnectionSeen, PlaneSeen
from atalaia.connections.recoveries import Recovered, list_recoveries
from atalaia.connections.session import Plane
from atalaia.connectors.connector import Connector
from atalaia.events.gaps import Gap, list_gaps
from atalaia.events.queries import EventFilter, newest, rates_of
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.common import DAY_MS, HOUR_MS
from atalaia.web.said import said
from atalaia.web.show import duration, moment_text, number, percent

MINUTE_MS = 60_000
BARS = 48
KINDS_SHOWN = 4
# Where on the way to an upstream it failed, in the order of the way.
CAUSES = {
    "dns": N_("name (DNS)"),
    "route": N_("route or VPN"),
    "tcp": N_("port (TCP)"),
    "tls": N_("certificate (TLS)"),
    "http": N_("HTTP"),
    "login": N_("login"),
    "websocket": N_("WebSocket"),
    "frame": N_("our frame"),
    "mute": N_("open but mute"),
}
# A live one writes its last sign of life each second; when that stops, nobody looks any more.
_NOBODY_LOOKS_MS = 90_000


@dataclass(frozen=True, slots=True)
class Kind:
    """How often one kind of event was heard in the last hour. short: the upstream's own word."""

    type: str
    short: str
    values: list[int]
    per_minute: float


@dataclass(frozen=True, slots=True)
class PlaneLine:
    """One plane as a line: what the upstream claims, what we saw, and when."""

    name: str
    title: str
    state: str  # proven, failing, unknown
    essential: bool
    claim: str
    evidence: dict[str, Any]
    seen_ms: int | None
    checked_ms: int | None
    by_events: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One cell of the day. state: live, lost, or unknown."""

    state: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True)
class Card:
    """One connection on the wall. state: a name of `states.SIGNS`.

    share: heard part of what is known of the last day, None when nothing is.
    """

    seen: ConnectionSeen
    kind: str
    state: str
    passive: bool
    planes: list[PlaneLine] = field(default_factory=list[PlaneLine])
    kinds: list[Kind] = field(default_factory=list[Kind])
    minutes: list[int] = field(default_factory=list[int])
    bars: list[Bar] = field(default_factory=list[Bar])
    share: float | None = None
    open_gaps: list[Gap] = field(default_factory=list[Gap])
    heard_ms: int | None = None
    recoveries: list[Recovered] = field(default_factory=list[Recovered])  # of the last day
    world: str = ""

    @property
    def id(self) -> str:
        return self.seen.id

    @property
    def proof(self) -> PlaneLine | None:
        """What the state rests on: the plane that fails, or the one proven last."""
        failing = [one for one in self.planes if one.state == "failing" and one.essential]
        if failing and self.state != "live":
            return failing[0]
        proven = [one for one in self.planes if one.state == "proven" and one.seen_ms]
        return max(proven, key=lambda one: one.seen_ms or 0, default=None)

    @property
    def truth(self) -> str:
        """The name in `states.SIGNS` of what is known of a session that needs a person, "" = nothing."""
        return f"truth_{self.seen.kind}" if self.state == "needs_person" and self.seen.kind else ""

    @property
    def per_minute(self) -> float:
        """Events of the last five minutes, per minute."""
        return sum(self.minutes[-5:]) / 5


def card_of(
    tx: Connection, seen: ConnectionSeen, connector: Connector | None, now: int, *, bars: int = BARS
) -> Card:
    """Read what a card shows."""
    passive = connector is not None and connector.run_session is None
    start = now - now % MINUTE_MS - HOUR_MS + MINUTE_MS
    rates = rates_of(tx, seen.id, from_ms=start, to_ms=start + HOUR_MS)
    heard = {name: line for name, line in rates.items() if name.startswith(f"{seen.connector}.") or passive}
    minutes = [sum(column) for column in zip(*heard.values(), strict=True)] or [0] * 60
    gaps = [] if passive else list_gaps(tx, connection=seen.id, limit=200)
    spans = [] if passive else spans_of(_moves(tx, seen.id), gaps, now)
    return Card(
        seen=seen,
        kind=connector.title if connector else seen.connector,
        state=state_of(seen, connector, now),
        passive=passive,
        planes=planes_of(seen, connector.planes if connector else (), now),
        kinds=_kinds(heard, seen.connector),
        minutes=minutes,
        bars=[] if passive else day_of(spans, now, bars),
        share=None if passive else heard_share(spans, now),
        open_gaps=[gap for gap in gaps if gap.closed_ms is None],
        heard_ms=_last_sent_in(tx, seen.id) if passive else seen.heard_ms,
        recoveries=[] if passive else list_recoveries(tx, seen.id, since_ms=now - DAY_MS),
        world=connector.world if connector else "",
    )


def row_of(tx: Connection, seen: ConnectionSeen, connector: Connector | None, now: int) -> Card:
    """Answer what a row of many shows: the card without what takes a look of its own for each."""
    passive = connector is not None and connector.run_session is None
    return Card(
        seen=seen,
        kind=connector.title if connector else seen.connector,
        state=state_of(seen, connector, now),
        passive=passive,
        planes=planes_of(seen, connector.planes if connector else (), now),
        heard_ms=_last_sent_in(tx, seen.id) if passive else seen.heard_ms,
    )


def _last_sent_in(tx: Connection, identity: str) -> int | None:
    found = newest(tx, EventFilter("heard", connection=identity), limit=1).events
    return found[0].recorded_ms if found else None


class Stated(Protocol):
    """What the state to show is made of; see `ConnectionSeen` and `Brief`."""

    @property
    def desired(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def heard_ms(self) -> int | None: ...

    @property
    def told(self) -> str: ...


def state_of(seen: Stated, connector: Connector | None, now: int) -> str:
    """Answer the state to show. A claim of the row that nobody keeps fresh is no truth: unknown."""
    if seen.desired == "off":
        return "stopped"
    if connector is not None and connector.run_session is None:
        return "active"
    open_now = seen.state in ("live", "suspect") or seen.heard_ms is not None
    if open_now and (seen.heard_ms or 0) < now - _NOBODY_LOOKS_MS:
        return "unknown"
    if seen.kind and seen.state in ("suspect", "needs_person"):
        return f"truth_{seen.kind}" if seen.state == "suspect" else "needs_person"
    if seen.state in ("lost", "waiting", "suspect", "opening") and seen.told:
        return seen.told
    return seen.state


def planes_of(seen: ConnectionSeen, declared: Sequence[Plane], now: int) -> list[PlaneLine]:
    """Answer the planes in the connector's order; a proof that is too old proves nothing."""
    found = {plane.plane: plane for plane in seen.planes}
    lines = [_plane(found.pop(one.name, None), one, seen.desired == "on", now) for one in declared]
    rest = [_plane(plane, Plane(plane.plane, plane.plane), True, now) for plane in found.values()]
    return lines + rest


def _plane(seen: PlaneSeen | None, declared: Plane, on: bool, now: int) -> PlaneLine:
    if seen is None:
        return PlaneLine(declared.name, declared.title, "unknown", declared.essential, "", {}, None, None)
    state = seen.state
    stale = seen.seen_ms is None or seen.seen_ms < now - declared.fresh_s * 1000
    if not on or (state == "proven" and stale):
        state = "unknown"
    return PlaneLine(
        declared.name, declared.title, state, declared.essential, seen.claim, seen.evidence, seen.seen_ms,
        seen.checked_ms, declared.by_events,
    )  # fmt: skip


_MOVES = tuple(
    f"connection.{name}"
    for name in ("live", "suspect", "opening", "lost", "waiting", "needs_person", "stopped")
)
_MOVES_MAX = 300
_DEAF_MS = 2_000  # a session that is opened anew takes less


def _moves(tx: Connection, identity: str) -> list[tuple[int, str]]:
    """Answer the changes of state, oldest first: when, and to which state."""
    found = newest(tx, EventFilter("fact", _MOVES, key=identity), limit=_MOVES_MAX).events
    return [(event.occurred_ms, event.type.partition(".")[2]) for event in reversed(found)]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that was heard or not; what no span covers is not known."""

    from_ms: int
    to_ms: int
    heard: bool


def spans_of(moves: Sequence[tuple[int, str]], gaps: Sequence[Gap], now: int) -> list[Span]:
    """Answer what was heard and what was not: while live, outside of gaps."""
    spans: list[Span] = []
    for place, (at, state) in enumerate(moves):
        end = moves[place + 1][0] if place + 1 < len(moves) else now
        if end > at:
            spans.append(Span(at, end, state in ("live", "suspect")))
    return spans + [Span(gap.from_ms, gap.to_ms or now, False) for gap in gaps]


def day_of(spans: Sequence[Span], now: int, count: int = BARS) -> list[Bar]:
    """Answer the last day in `count` cells; one with more than a blink of deafness was not heard."""
    length, start = DAY_MS // count, now - DAY_MS
    cells: list[Bar] = []
    for place in range(count):
        low, high = start + place * length, start + (place + 1) * length
        inside = [span for span in spans if span.from_ms < high and span.to_ms > low]
        deaf = sum(min(high, one.to_ms) - max(low, one.from_ms) for one in inside if not one.heard)
        state = "unknown" if not inside else "lost" if deaf >= _DEAF_MS else "live"
        cells.append(Bar(state, low, high))
    return cells


def heard_share(spans: Sequence[Span], now: int) -> float | None:
    """Answer the heard part of what is known of the last day."""
    start = now - DAY_MS
    edges = sorted(
        {start, now, *(edge for span in spans for edge in (span.from_ms, span.to_ms) if start < edge < now)}
    )
    heard = known = 0
    for low, high in pairwise(edges):
        inside = {span.heard for span in spans if span.from_ms <= low and span.to_ms >= high}
        known += high - low if inside else 0
        heard += high - low if inside == {True} else 0
    return heard / known if known else None


def _kinds(rates: Mapping[str, list[int]], connector: str) -> list[Kind]:
    lines = [
        Kind(name, name.removeprefix(f"{connector}."), values, sum(values) / len(values))
        for name, values in rates.items()
        if any(values)
    ]
    return sorted(lines, key=lambda one: -one.per_minute)[:KINDS_SHOWN]


# What the evidence of a plane is called; `_ms` at the end of a name is a length of time.
_EVIDENCE = {
    "pong_ms": N_("pong in %(value)s"),
    "canary_ms": N_("back in %(value)s"),
    "took_ms": N_("answered in %(value)s"),
    "banner_ms": N_("banner in %(value)s"),
    "answer_ms": N_("answered in %(value)s"),
    "heard": N_("%(value)s heard"),
    "status": "HTTP %(value)s",
    "version": N_("version %(value)s"),
    "channels": N_("%(value)s channels"),
    "waiting_bytes": N_("%(value)s bytes wait to be written"),
    "channel": N_("channel %(value)s"),
    "account": N_("number %(value)s"),
    "came": N_("came by itself: %(value)s"),
    "chats": N_("%(value)s chats"),
}
_UNTOLD = ("n", "app", "newest_event_ms", "error", "oldest_ms", "since_ms", "last_ms")


def evidence_text(plane: PlaneLine) -> str:
    """Say in words what was seen of a plane; `said` of a failure comes first."""
    told = [said(str(plane.evidence["said"]))] if plane.evidence.get("said") else []
    for name, value in plane.evidence.items():
        if name == "said" or name in _UNTOLD or value in (None, ""):
            continue
        shown = duration(value) if name.endswith("_ms") and isinstance(value, int | float) else value
        if isinstance(shown, str):
            shown = said(shown.partition("@")[0] if name == "account" else shown)
        form = gettext(_EVIDENCE[name]) if name in _EVIDENCE else f"{name} %(value)s"
        told.append(form % {"value": shown})
    return " · ".join(told)


def claim_text(plane: PlaneLine) -> str:
    """Say what the upstream claims of itself."""
    return said(plane.claim)


def cause_word(cause: str) -> str:
    """Answer where on the way to an upstream it failed; a cause that we do not know is shown as it is."""
    return gettext(CAUSES[cause]) if cause in CAUSES else cause


def proof_text(plane: PlaneLine) -> str:
    """Say how a plane was proven or not: what was seen, or that what came by itself proves it."""
    seen = evidence_text(plane)
    if seen or plane.state != "proven":
        return seen
    return gettext("what came by itself") if plane.by_events else gettext("our own look")


def bars_label(card: Card) -> str:
    """Say what the cells of the day show."""
    if card.share is None:
        return gettext("nothing is known of the last 24 h")
    return gettext("heard %(share)s of the last 24 h") % {"share": percent(card.share, 1)}


def bar_label(bar: Bar) -> str:
    """Say what one cell shows."""
    words = {"live": N_("heard"), "lost": N_("not heard"), "unknown": N_("unknown")}
    span = f"{moment_text(bar.from_ms, 'short')} – {moment_text(bar.to_ms, 'time')[:5]}"
    return f"{span}: {gettext(words[bar.state])}"


def rate_label(per_minute: float) -> str:
    """Say a rate per minute."""
    digits = 0 if per_minute >= 10 or per_minute == 0 else 1
    return gettext("%(n)s/min") % {"n": number(per_minute, digits)}


def for_templates() -> dict[str, Any]:
    """Answer what the templates of the wall call."""
    return {
        "evidence_text": evidence_text, "claim_text": claim_text, "bars_label": bars_label,
        "bar_label": bar_label, "rate_label": rate_label, "cause_word": cause_word,
        "proof_text": proof_text, "is_channel": is_channel,
    }  # fmt: skip


def is_channel(card: Card) -> bool:
    """Answer whether a connection has a page among the channels."""
    return card.world == "chats"
