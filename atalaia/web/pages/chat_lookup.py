"""Was this message heard? Search over what was said, and how many messages each channel had on each day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import Request, Response
from sqlalchemy import Connection

from atalaia.clock import from_ms, to_ms
from atalaia.connections.queries import names as connection_names
from atalaia.desk.chats import lookup
from atalaia.desk.chats.lookup import Count, Lookup, MessageFilter
from atalaia.desk.chats.queries import Message
from atalaia.web import render
from atalaia.web.i18n import N_
from atalaia.web.pages import chats as listed
from atalaia.web.pages.chats import Text
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, now_ms, position, screens, show
from atalaia.web.parts import parts_of
from atalaia.web.ranges import TimeRange
from atalaia.web.show import moment_text
from atalaia.web.wire import page_of

routes = screens("chats:read")
DAYS = 7
# The answer to the question, with its tone and sign.
VERDICTS = {
    "heard": ("good", "ear", N_("Yes, it was heard.")),
    "unreadable": ("ask", "lock", N_("Something of that time came, and cannot be read yet.")),
    "maybe_missed": ("ask", "help-circle", N_("Not found, and something may be missing from that time.")),
    "not_heard": ("idle", "ear", N_("Not found, and no gap is known of that time.")),
}


@dataclass
class Found:
    """What the page shows; answer: None when nothing was asked."""

    messages: list[Message]
    following: str | None
    answer: Lookup | None
    channels: list[tuple[str, str]]
    names: dict[str, str]


@routes.get("/chats/lookup")
async def lookup_page(
    request: Request, q: Text = "", phone: Text = "", channel: Text = "", cursor: PageCursor = "",
    part: Part = "",
) -> Response:  # fmt: skip
    """Answer whether a message was heard, and which ones fit."""
    parts, view = parts_of(request), render.view_of(request)
    ranged = TimeRange.read(request.query_params, now_ms(request), view.zone, default="7d")
    wanted = MessageFilter(
        q.strip(), channel, phone=phone.strip(), from_ms=ranged.from_ms, to_ms=ranged.to_ms
    )
    before = position(cursor, int, int)
    asked = bool(wanted.words or wanted.phone)

    def read(tx: Connection) -> Found:
        rows = lookup.search_messages(tx, wanted, before=before, limit=ROWS + 1) if asked else []
        messages, following = page_of(rows, ROWS, "sent_ms", "seq")
        answer = lookup.look_up(tx, wanted) if asked else None
        return Found(messages, following, answer, listed.channels_of(tx, parts), connection_names(tx))

    found = await look(request, read)
    return show(
        request, "chats/lookup.html", part, found=found, range=ranged, first=before is None,
        asked={"q": q, "phone": phone, "channel": channel}, verdicts=VERDICTS,
        h=listed.helpers(parts, found.names),
    )  # fmt: skip


@routes.get("/chats/counts")
async def counts_page(request: Request, channel: Text = "", part: Part = "") -> Response:
    """Answer how many messages each channel had on each of the last days."""
    parts, zone = parts_of(request), render.view_of(request).zone
    today = from_ms(now_ms(request)).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in range(DAYS)]

    def read(tx: Connection) -> tuple[list[Count], dict[str, str], list[tuple[str, str]]]:
        start, end = to_ms(days[-1]), to_ms(today + timedelta(days=1))
        counts = lookup.count_messages(tx, zone, from_ms=start, to_ms=end, channel=channel)
        return counts, connection_names(tx), listed.channels_of(tx, parts)

    counts, names, channels = await look(request, read)
    places = list(dict.fromkeys([*(one.channel for one in counts), *(identity for identity, _ in channels)]))
    shown = [one for one in places if not channel or one == channel]
    return show(
        request, "chats/counts.html", part, channels=channels, asked={"channel": channel},
        days=[to_ms(day) for day in days],
        tables=[(one, table_of(one, counts, [f"{day:%Y-%m-%d}" for day in days])) for one in shown],
        h=listed.helpers(parts, names) | {"day_columns": day_columns},
    )  # fmt: skip


def day_columns(days: Sequence[int]) -> list[dict[str, Any]]:
    """Answer the columns of a table of days, in the language of the view being drawn."""
    return [{"label": moment_text(day, "short").rpartition(" ")[0], "num": True} for day in days]


def table_of(channel: str, counts: Sequence[Count], days: Sequence[str]) -> list[dict[str, Any]]:
    """Answer the rows of one channel: a type, and for each day what came, went, or is missing."""
    own = [one for one in counts if one.channel == channel]
    by = {(one.type, one.day): one for one in own}
    return [
        {"type": kind, "cells": [by.get((kind, day)) for day in days]}
        for kind in sorted({one.type for one in own})
    ]
