"""What all screens share: reading for a page, and notices after an act."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection, text

from atalaia.clock import to_ms
from atalaia.web import i18n, render
from atalaia.web.access import require, who_of
from atalaia.web.live import projections_gate
from atalaia.web.parts import parts_of
from atalaia.web.problems import Problem, not_found
from atalaia.web.wire import read_cursor

T = TypeVar("T")

COOKIE_FLASH = "atalaia_flash"
_FLASH_S = 120
_FLASH_CHARS_MAX = 600
_TONES = ("good", "info", "ask", "bad")
ROWS = 50  # a page of a list
HOUR_MS, DAY_MS = 3_600_000, 86_400_000

# Which block of the page is asked for again by a live region; "" = the whole page.
Part = Annotated[str, Query(max_length=20, pattern=r"^[a-z_]*$")]
PageCursor = Annotated[str, Query(max_length=600)]


def screens(scope: str) -> APIRouter:
    """Answer a router for screens that everybody with `scope` may see; acts ask for more."""
    return APIRouter(include_in_schema=False, dependencies=[Depends(require(scope))])


def now_ms(request: Request) -> int:
    """Answer the hub's time."""
    return to_ms(parts_of(request).ambient.clock.now())


async def look(request: Request, read: Callable[[Connection], T]) -> T:
    """Read for a page in one transaction, and note up to which event of the log the page is true.

    What the page misses after that is told by the live stream.
    """
    parts = parts_of(request)
    gate = parts.gate or projections_gate

    def work(tx: Connection) -> tuple[T, int]:
        after = gate(tx)
        return read(tx), after

    found, request.state.live_after = await parts.store.read(work)
    return found


def show(request: Request, template: str, part: str = "", /, **context: Any) -> Response:
    """Draw a page, or the block `part` of it when a live region asks; notices of the last act are shown once.

    Errors: `Problem` 404 for a block that the template does not have.
    """
    if part and part not in render.environment().get_template(template).blocks:
        raise not_found("part")
    flashes = _read_flash(request)
    request.state.flashes = flashes
    context.setdefault("may", who_of(request).may)
    answer = render.page(request, template, block=part, **context)
    if flashes and not part:
        answer.delete_cookie(COOKIE_FLASH, path="/")
    return answer


def done(request: Request, href: str, said: str, tone: str = "good") -> Response:
    """Go on to `href` after an act, and say there in translated words what was done."""
    answer = RedirectResponse(href, 303)
    flash(request, answer, said, tone)
    return answer


def flash(request: Request, answer: Response, said: str, tone: str = "good") -> None:
    """Let the next page say something once."""
    content = base64.urlsafe_b64encode(orjson.dumps([tone, said[:_FLASH_CHARS_MAX]])).decode()
    answer.set_cookie(
        COOKIE_FLASH, content, max_age=_FLASH_S, path="/", httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def _read_flash(request: Request) -> list[tuple[str, str]]:
    raw = request.cookies.get(COOKIE_FLASH)
    if not raw:
        return []
    try:
        content: Any = orjson.loads(base64.urlsafe_b64decode(raw))
        tone, said = content
    except (ValueError, binascii.Error, TypeError):
        return []
    return [(str(tone), str(said)[:_FLASH_CHARS_MAX])] if tone in _TONES else []


class Words:
    """Sentences in the language of whoever asks, for what handlers say outside of a template."""

    def __init__(self, request: Request) -> None:
        self._view = render.view_of(request)

    def __call__(self, message: str, /, **values: Any) -> str:
        with i18n.drawing(self._view):
            said = i18n.gettext(message)
        return said % values if values else said

    def many(self, forms: tuple[str, str], count: int, /, **values: Any) -> str:
        """Answer the form for `count`; `%(n)s` stands for it."""
        with i18n.drawing(self._view):
            return i18n.ngettext(*forms, count) % {"n": count, **values}


def ungettext(one: str, many: str) -> tuple[str, str]:
    """Mark two forms for translation and answer them; gettext's tools look for this name."""
    return one, many


def position(cursor: str, *kinds: type) -> Any:
    """Answer where a list goes on; an address that was bent shows the beginning instead of an error."""
    try:
        return read_cursor(cursor or None, *kinds)
    except Problem:
        return None


def dead_by_subscription(tx: Connection) -> dict[str, tuple[int, int]]:
    """Answer how many dead letters each subscription has, and since when the oldest one waits."""
    rows = tx.execute(
        text("select subscription, count(*), min(done_ms) from deliveries where state = 'dead' group by 1")
    )
    return {str(row[0]): (int(row[1]), int(row[2] or 0)) for row in rows}
