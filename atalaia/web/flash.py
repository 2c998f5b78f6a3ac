"""One sentence from the request that did something to the page that is shown next."""

from __future__ import annotations

import base64
import binascii

import orjson
from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from atalaia.web import i18n, render

COOKIE = "atalaia_flash"
_CHARS_MAX = 600
KINDS = ("good", "info", "bad", "ask")


def done(request: Request, path: str, text: str, kind: str = "good", **values: object) -> Response:
    """Answer a redirect to `path` that says `text` there, in the person's language.

    text: English source text with `%(name)s` for `values`.
    """
    with i18n.drawing(render.view_of(request)):
        said = i18n.gettext(text)
    if values:
        said = said % values
    answer = RedirectResponse(path, 303)
    packed = base64.urlsafe_b64encode(orjson.dumps([kind, said[:_CHARS_MAX]])).decode()
    answer.set_cookie(
        COOKIE, packed, max_age=60, httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
    return answer


def read(cookie: str) -> list[tuple[str, str]]:
    """Answer what a cookie says, as the frame draws it; nothing when somebody made it up."""
    try:
        kind, text = orjson.loads(base64.urlsafe_b64decode(cookie))
    except (ValueError, TypeError, binascii.Error):
        return []
    return [(kind, text)] if kind in KINDS and isinstance(text, str) else []


def gone() -> bytes:
    """Answer the Set-Cookie value that forgets it."""
    return f"{COOKIE}=; Max-Age=0; Path=/; HttpOnly; SameSite=lax".encode()
