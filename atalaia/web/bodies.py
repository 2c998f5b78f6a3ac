"""Request bodies: read whole, within a limit, before anything else looks at them."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from atalaia.web.i18n import N_
from atalaia.web.problems import Problem

_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
_HEAD_BYTES = 4_096  # in forms with files the small fields stand first
_FILE_BYTES_MAX = 64 * 1024 * 1024  # several at once; how large one may be, its route says
_TAKE_FILES = re.compile(
    r"(/api/hub)?/installations/[\w-]+/photos|(/api/hub)?/catalogs/import|/api/photos/upload"
    r"|/api/hub/chat-files|/chats/[\w-]+/send"
)


def most_bytes(path: str, usual: int) -> int:
    """Answer how large a body may be at this address: where files are sent, larger than usual."""
    return max(usual, _FILE_BYTES_MAX) if _TAKE_FILES.fullmatch(path) else usual


async def read_body(announced: str, receive: Receive, *, most: int) -> bytes:
    """Answer the whole body. announced: Content-Length.

    Errors: `Problem` 413 beyond `most` bytes, 400 when the asker went away.
    """
    if announced.isdigit() and int(announced) > most:
        raise too_large(most)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):  # nearly always
        whole: bytes = message.get("body", b"")
        if len(whole) > most:
            raise too_large(most)
        return whole
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Problem(400, "incomplete", N_("The request cannot be read"), "The body broke off.")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise too_large(most)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()


def again(body: bytes, receive: Receive) -> Receive:
    """Answer a `receive` that tells the body once more, then goes on with what really comes."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def check_body(headers: Headers, body: bytes) -> None:
    """Refuse what no database can hold: a NUL, or half of a surrogate pair. Errors: `Problem` 400."""
    if not body or "json" not in headers.get("content-type", "json"):
        return
    if b"\\u0000" in body or b"\x00" in body:
        raise _unreadable("The body has a NUL character in it.")
    if b"\\ud" in body or b"\\uD" in body:
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError:
            raise _unreadable("The body is not JSON in UTF-8.") from None


def check_address(raw_path: bytes, query: bytes) -> None:
    """Refuse addresses with a NUL in them. Errors: `Problem` 400."""
    if b"%00" in raw_path or b"%00" in query or b"\x00" in raw_path:
        raise _unreadable("The address has a NUL character in it.")


def form_field(headers: Headers, body: bytes, name: str) -> str:
    """Answer a field of an HTML form, `""` when there is none."""
    kind = headers.get("content-type", "")
    if kind.startswith(_MULTIPART):
        found = re.search(rf'name="{re.escape(name)}"\r\n\r\n([^\r]*)\r\n'.encode(), body[:_HEAD_BYTES])
        return found[1].decode(errors="replace") if found else ""
    if not kind.startswith(_FORM):
        return ""
    values = parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=1000).get(name)
    return values[0] if values else ""


def too_large(most: int) -> Problem:
    """Answer the problem of a body beyond the limit."""
    return Problem(
        413, "too-large", N_("That is too large"), f"A request body may have {most} bytes at most."
    )


def _unreadable(detail: str) -> Problem:
    return Problem(400, "bad-request", N_("The request cannot be read"), detail)
