"""Channels: what each one is, which number it is, what it said and missed lately, and how it is paired."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, cast
from zoneinfo import ZoneInfo

from fastapi import Depends, Form, Query, Request, Response
from sqlalchemy import Connection

from atalaia.clock import from_ms, to_ms
from atalaia.connections.queries import ConnectionSeen, PlaneSeen, get_connection, list_connections
from atalaia.connections.registry import Configured
from atalaia.connections.silence import Fresh
from atalaia.connectors.connector import Connector
from atalaia.desk.chats import lookup
from atalaia.desk.chats.channels import LastMessage, hours_of, last_messages
from atalaia.desk.chats.lookup import Lookup, MessageFilter
from atalaia.desk.chats.phones import forms_of
from atalaia.events.gaps import Gap, count_open_gaps, list_gaps
from atalaia.web import i18n, pairing, render
from atalaia.web.access import Who, require
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages import chats as listed
from atalaia.web.pages import freshness, wall
from atalaia.web.pages.chat_lookup import VERDICTS, day_columns, table_of
from atalaia.web.pages.chats import Text
from atalaia.web.pages.common import DAY_MS, HOUR_MS, Part, Words, done, look, now_ms, screens, show
from atalaia.web.pages.gap_words import ORIGINS, gap_rest, gap_words, lost_sign
from atalaia.web.pages.wall import Card
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Problem, not_found
from atalaia.web.ranges import TimeRange
from atalaia.web.said import said
from atalaia.web.wire import Identity

routes = screens("chats:read")
Writer = Annotated[Who, Depends(require("connections:write"))]
DAYS, ROWS = 7, 50
# What a person has to do with a session whose upstream says this of its pairing.
WORDS = {
    "connected": N_("It is connected: no code is wanted."),
    "scan": N_("Scan this code with the phone of this number."),
    "type": N_("Type this code on the phone of this number."),
    "starting": N_("The session starts; a code comes within seconds, if one is needed at all."),
    "closed": N_("No code is shown, because the session is closed. A code is given up when nobody scans it."),
    "unknown": N_("The upstream says a word that is not known."),
    "unreachable": N_("The upstream could not be asked."),
}
# Why no code is offered, by the state of a session whose pairing holds.
NO_CODE = {
    "live": N_("The session is connected, so its pairing holds: a code is offered once one can help."),
    "suspect": N_(
        "The pairing holds, and the hub looks after the session: a code is offered once one can help."
    ),
}
# States in which somebody may have to pair a session: its page asks for the code by itself.
_TO_PAIR = frozenset({"pairing", "logged_out", "closed", "starting", "recovering", "browser_lost"})


@dataclass
class Line:
    """One channel of the list. hours: messages in each of the last 24 hours."""

    seen: ConnectionSeen
    state: str
    truth: str
    expected: str = ""
    account: str = ""
    last_in: LastMessage | None = None
    last_out: LastMessage | None = None
    hours: list[int] = field(default_factory=list[int])
    received: int = 0
    sent: int = 0
    open_gaps: int = 0

    @property
    def is_other(self) -> bool:
        """Whether it is paired with another number than the expected one."""
        return _differ(self.expected, self.account)


@dataclass
class Found:
    """What the page of one channel shows. gaps: of the last day, or open."""

    card: Card
    fresh: list[Fresh]
    line: Line
    gaps: list[Gap]
    plot: dict[str, Any]
    counts: list[dict[str, Any]]
    days: list[int]
    answer: Lookup | None
    may_pair: bool
    by_number: bool
    has_screen: bool
    names: dict[str, str]


@routes.get("/channels")
async def list_page(
    request: Request, q: Text = "", page: Annotated[int, Query(ge=1, le=10_000)] = 1, part: Part = ""
) -> Response:
    """Answer all channels, those in trouble first."""
    parts, moment = parts_of(request), now_ms(request)

    def read(tx: Connection) -> tuple[list[Line], int]:
        lines = [_line(parts, seen, moment) for seen in _channels(tx, parts) if _fits(seen, q)]
        order = {"ask": 0, "bad": 1, "info": 2, "idle": 4}
        lines.sort(key=lambda one: order.get(render.states.sign(one.state).tone, 3))
        shown = lines[(page - 1) * ROWS : page * ROWS]
        fill(tx, parts, shown, moment)
        return shown, len(lines)

    lines, total = await look(request, read)
    return show(
        request, "chats/channels.html", part, lines=lines, total=total, page=page, pages=-(-total // ROWS),
        asked={"q": q}, phone=listed.phone_text,
    )  # fmt: skip


@routes.get("/channels/{connection}")
async def one_page(
    request: Request, connection: Identity, q: Text = "", number: Text = "", pair: Text = "", part: Part = ""
) -> Response:
    """Answer one channel: the operator's questions of an incident by one look."""
    parts, view, moment = parts_of(request), render.view_of(request), now_ms(request)
    ranged = TimeRange.read(request.query_params, moment, view.zone, default="7d")
    wanted = MessageFilter(
        q.strip(), connection, phone=number.strip(), from_ms=ranged.from_ms, to_ms=ranged.to_ms
    )

    def read(tx: Connection) -> Found | None:
        with i18n.drawing(view):
            seen = get_connection(tx, connection)
            connector = parts.connectors.get(seen.connector) if seen else None
            if seen is None or connector is None or connector.world != "chats":
                return None
            return _read_one(tx, parts, seen, ranged, wanted, moment)

    found = await look(request, read)
    if found is None:
        raise not_found("connection")
    return show(
        request, "chats/channel.html", part, found=found, card=found.card, line=found.line, range=ranged,
        asked={"q": q, "number": number}, pairs=found.may_pair and (bool(pair) or asks_for_code(found.card)),
        asks_for_code=asks_for_code, no_code=no_code(found.card), wall=wall.for_templates(),
        verdicts=VERDICTS, lost_sign=lost_sign, gap_words=gap_words, gap_rest=gap_rest, origin_words=ORIGINS,
        moment=moment, fresh_words=freshness.KINDS, fresh_verdict=freshness.verdict,
        h=listed.helpers(parts, found.names) | {"day_columns": day_columns},
    )  # fmt: skip


# Pairing.


@routes.get("/channels/{connection}/pairing", dependencies=[Depends(require("connections:write"))])
async def pairing_part(request: Request, connection: Identity) -> Response:
    """Answer the code that is wanted now; it is kept by nobody, not even by the browser."""
    parts = parts_of(request)
    found = await pairing.look(parts, connection)
    return render.fragment(
        request, "chats/channel.html", "pairing_now", paired=found, words=WORDS, moment=now_ms(request),
        qr=qr_of(found),
    )  # fmt: skip


@routes.get("/channels/{connection}/screen", dependencies=[Depends(require("connections:write"))])
async def screen_part(request: Request, connection: Identity) -> Response:
    """Answer what the session's page shows now; it is kept by nobody."""
    found, why = await pairing.picture(parts_of(request), connection)
    return render.fragment(
        request, "chats/channel.html", "screen", screen=picture_url(found), why=why, moment=now_ms(request)
    )


@routes.post("/channels/{connection}/pair")
async def pair(
    request: Request, connection: Identity, who: Writer,
    phone: Annotated[str, Form(max_length=40)] = "",
) -> Response:  # fmt: skip
    """Begin to pair: open the session, so that it shows a code."""
    parts, words = parts_of(request), Words(request)
    place = f"/channels/{connection}#pairing"
    try:
        await pairing.begin(parts, connection, phone)
    except Problem as problem:
        if problem.status == 404:
            raise
        with i18n.drawing(render.view_of(request)):
            told = f"{gettext(problem.title)}: {said(problem.detail)}"
        return done(request, place, told, "bad")
    return done(request, place, words(N_("The session is being opened; its code appears below.")))


def qr_of(paired: pairing.Paired) -> str:
    """Answer the picture to scan as a data URL, "" without one. Drawn from its text, large and sharp."""
    if paired.word != "scan":
        return ""
    if paired.text:
        import segno

        code = segno.make(paired.text, error="l", micro=False)
        return code.svg_data_uri(scale=8, border=4, dark="#000", light="#fff")
    # A gateway may hand in an address instead of a picture; browsers of ours fetch nothing from elsewhere.
    is_picture = paired.picture.startswith("iVBORw0KGgo")
    return f"data:image/png;base64,{paired.picture}" if is_picture else ""


def picture_url(found: bytes) -> str:
    """Answer a picture as a data URL, "" for what is neither PNG nor JPEG."""
    kinds = {b"\x89PNG\r\n": "png", b"\xff\xd8\xff": "jpeg"}
    kind = next((name for start, name in kinds.items() if found.startswith(start)), "")
    return f"data:image/{kind};base64,{base64.b64encode(found).decode()}" if kind else ""


# Reading.


def _channels(tx: Connection, parts: Parts) -> list[ConnectionSeen]:
    worlds = {name for name, one in parts.connectors.items() if one.world == "chats"}
    return [one for one in list_connections(tx) if one.connector in worlds]


def _fits(seen: ConnectionSeen, words: str) -> bool:
    return words.strip().casefold() in seen.name.casefold()


def _line(parts: Parts, seen: ConnectionSeen, moment: int) -> Line:
    state = wall.state_of(seen, parts.connectors.get(seen.connector), moment)
    return Line(seen, state, f"truth_{seen.kind}" if state == "needs_person" and seen.kind else "")


def expected_of(connector: Connector | None, configured: Configured | None) -> str:
    """Answer the number that is expected of a channel, "" = any."""
    if connector is None or connector.pairing is None or configured is None:
        return ""
    return connector.pairing.expected(configured.settings)


def account_of(planes: Sequence[PlaneSeen]) -> str:
    """Answer the number that a channel was last seen to be, "" = nobody saw it."""
    told = [(one.checked_ms or 0, str(one.evidence.get("account") or "")) for one in planes]
    known = [one for one in told if one[1]]
    return max(known)[1].partition("@")[0].partition(":")[0] if known else ""


def _differ(expected: str, account: str) -> bool:
    """Answer whether two numbers are two phones; with and without the ninth digit it is one."""
    return bool(expected and account) and account not in forms_of(expected)


def fill(tx: Connection, parts: Parts, lines: Sequence[Line], moment: int) -> None:
    """Read what only the shown ones need, each by one query for all of them."""
    since = moment - moment % HOUR_MS - 23 * HOUR_MS
    shown = [one.seen.id for one in lines]
    hours = hours_of(tx, shown, from_ms=since, to_ms=moment + HOUR_MS)
    open_gaps, last = count_open_gaps(tx, shown), last_messages(tx, shown)
    configured = parts.registry.readable(tx, shown)
    for one in lines:
        one.expected = expected_of(parts.connectors.get(one.seen.connector), configured.get(one.seen.id))
        one.account = account_of(one.seen.planes)
        found = hours.get(one.seen.id, [])
        by = {hour.hour_ms: hour.received + hour.sent for hour in found}
        one.hours = [by.get(since + place * HOUR_MS, 0) for place in range(24)]
        one.received = sum(hour.received for hour in found)
        one.sent = sum(hour.sent for hour in found)
        one.last_in, one.last_out = last.get((one.seen.id, False)), last.get((one.seen.id, True))
        one.open_gaps = open_gaps.get(one.seen.id, 0)


def _read_one(
    tx: Connection, parts: Parts, seen: ConnectionSeen, ranged: TimeRange, wanted: MessageFilter, moment: int
) -> Found:
    connector = cast("Connector", parts.connectors.get(seen.connector))
    line = _line(parts, seen, moment)
    fill(tx, parts, [line], moment)
    gaps = list_gaps(tx, connection=seen.id, limit=200)
    today = from_ms(moment).astimezone(ranged.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in range(DAYS)]
    asked = bool(wanted.words or wanted.phone)
    by_number = False
    if connector.pairing is not None and (found := parts.registry.get(tx, seen.id)) is not None:
        by_number = connector.pairing.by_number(found.settings)
    return Found(
        card=wall.card_of(tx, seen, connector, moment),
        fresh=freshness.fresh_of(tx, connector, seen.id, moment, ranged.zone),
        line=line,
        gaps=[one for one in gaps if one.closed_ms is None or (one.to_ms or moment) > moment - DAY_MS],
        plot=plot_of(tx, seen.id, gaps, ranged, moment),
        counts=_counts(tx, seen.id, days, ranged.zone),
        days=[to_ms(day) for day in days],
        answer=lookup.look_up(tx, wanted) if asked else None,
        may_pair=connector.pairing is not None and seen.desired == "on",
        by_number=by_number,
        has_screen=connector.picture is not None,
        names={seen.id: seen.name},
    )


def _counts(tx: Connection, channel: str, days: Sequence[datetime], zone: ZoneInfo) -> list[dict[str, Any]]:
    start, end = to_ms(days[-1]), to_ms(days[0] + timedelta(days=1))
    counts = lookup.count_messages(tx, zone, from_ms=start, to_ms=end, channel=channel)
    return table_of(channel, counts, [f"{day:%Y-%m-%d}" for day in days])


def plot_of(
    tx: Connection, channel: str, gaps: Sequence[Gap], ranged: TimeRange, moment: int
) -> dict[str, Any]:
    """Answer the plot of messages in and out, by hours or larger, with gaps as bands."""
    bucket = HOUR_MS * max(1, -(-ranged.length_ms // (168 * HOUR_MS)))
    start = ranged.from_ms - ranged.from_ms % bucket
    length = -(-(ranged.to_ms - start) // bucket)
    found = hours_of(tx, [channel], from_ms=start, to_ms=ranged.to_ms).get(channel, [])
    received, sent = [0] * length, [0] * length
    for one in found:
        place = (one.hour_ms - start) // bucket
        received[place] += one.received
        sent[place] += one.sent
    bands = [
        {
            "from": max(gap.from_ms, start),
            "to": min(gap.to_ms or moment, ranged.to_ms),
            "label": gettext("Not heard"),
        }
        for gap in gaps
        if gap.origin != "routine" and gap.from_ms < ranged.to_ms and (gap.to_ms or moment) > start
    ]
    series = [
        {"label": gettext("received"), "unit": "", "tone": "good", "kind": "area", "values": received},
        {"label": gettext("sent"), "unit": "", "tone": "info", "kind": "line", "values": sent},
    ]
    return {"x": [start + place * bucket for place in range(length)], "series": series, "gaps": bands}


def no_code(card: Card) -> str:
    """Answer why a code would not help now, "" when it may: the pairing holds, as far as is known."""
    is_open = card.seen.state in ("live", "suspect") and card.state != "unknown"
    if not is_open or asks_for_code(card):
        return ""
    return NO_CODE[card.seen.state]


def asks_for_code(card: Card) -> bool:
    """Answer whether somebody may have to pair this session, so that its page looks for a code."""
    return card.seen.kind in _TO_PAIR or card.state in ("needs_person", "opening", "waiting")
