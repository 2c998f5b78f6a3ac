"""How values look on the wire: times, cursors, pages, ids."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, cast

import orjson
from fastapi import Query
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from atalaia.clock import rfc3339, to_ms
from atalaia.web.problems import invalid

T = TypeVar("T")
SEQ_MAX = 2**63 - 1

# Unix milliseconds inside, RFC 3339 in UTC with milliseconds outside.
Moment = Annotated[
    int,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]

Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
Cursor = Annotated[
    str | None,
    Query(max_length=600, description="`next` of the page before; opaque, for the same question only."),
]


def _check_instant(value: object) -> object:
    """Refuse the numbers that pydantic would take for a time."""
    if isinstance(value, str) and not _INSTANT.match(value):
        raise ValueError("write a time with its zone, like 2026-11-20T20:48:56.130Z")
    if isinstance(value, (int, float)):
        raise ValueError("write a time as text, like 2026-11-20T20:48:56.130Z")
    return value


_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")
Instant = Annotated[AwareDatetime, BeforeValidator(_check_instant)]

From = Annotated[
    Instant | None,
    Query(alias="from", description="Not before this time, e.g. 2026-11-20T20:48:56.130Z."),
]
To = Annotated[Instant | None, Query(alias="to", description="Before this time.")]
Identity = Annotated[str, Field(min_length=1, max_length=36, pattern=r"^[0-9A-Za-z_-]+$")]


class Page(BaseModel, Generic[T]):
    """One page of a list. `next` asks for the following one; null at the end."""

    items: list[T]
    next: str | None = None


def ms_of(moment: datetime | None) -> int | None:
    """Answer Unix milliseconds of an aware moment."""
    return None if moment is None else to_ms(moment)


def to_cursor(*values: int | str) -> str:
    """Answer an opaque cursor of a position in a list."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).rstrip(b"=").decode()


def read_cursor(cursor: str | None, *kinds: type) -> Any:
    """Answer the position behind a cursor as a tuple, or its one value; None when there is no cursor.

    Errors: `Problem` 422 for a cursor that we did not make.
    """
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        decoded: Any = orjson.loads(raw)
    except (ValueError, binascii.Error):
        decoded = None
    values = cast("list[object]", decoded) if isinstance(decoded, list) else []
    huge = any(isinstance(value, int) and abs(value) > SEQ_MAX for value in values)
    if huge or [type(value) for value in values] != list(kinds):
        raise invalid("query.cursor", "text", "Use `next` of the page before, unchanged, or leave it out.")
    return values[0] if len(kinds) == 1 else tuple(values)


def page_of(rows: list[T], limit: int, *names: str) -> tuple[list[T], str | None]:
    """Cut a list that was asked for with one row more than `limit`; answer it and the cursor to go on.

    names: attributes of the last row that make the cursor.
    """
    if len(rows) <= limit:
        return rows, None
    kept = rows[:limit]
    return kept, to_cursor(*(getattr(kept[-1], name) for name in names))
