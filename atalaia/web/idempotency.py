"""POSTs that act are done once per `Idempotency-Key`, however often they are sent.

The row of the key is written before the act, so that two at once cannot both act. The answer is kept
sealed, because it may hold a secret that is shown once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Header, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from atalaia.clock import to_ms
from atalaia.store.tables import idempotency
from atalaia.web.access import who_of
from atalaia.web.i18n import N_
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Problem

HEADER = "Idempotency-Key"
KEEP_MS = 24 * 3_600_000
# A hub that died in the middle of an act leaves a row without an answer.
ABANDONED_MS = 120_000
_RUNNING = 0

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


async def idempotency_key(
    _key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            min_length=1,
            max_length=200,
            pattern=r"^[\x21-\x7e]+$",
            description="Any text of yours, fresh for each act; the same key and body act once in 24 hours.",
        ),
    ] = None,
) -> None:
    """Let the API description know of the header; `OnceRoute` does the work."""


class OnceRoute(APIRoute):
    """A route whose POSTs honour the header."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if request.method != "POST" or not key or len(key) > 200:
                return await handler(request)
            scope = f"{who_of(request).id}:{hashlib.sha256(request.url.path.encode()).hexdigest()[:40]}"
            return await _once(request, scope, key, handler)

        return once


async def _once(request: Request, scope: str, key: str, handler: Handler) -> Response:
    parts = parts_of(request)
    asked = hashlib.sha256(await request.body()).hexdigest()
    now = to_ms(parts.ambient.clock.now())
    known = await parts.store.write(lambda tx: _begin(tx, scope, key, asked, now))
    if known is not None:
        return _answer_again(parts, known, asked)
    done = False
    try:
        answer = await handler(request)
        done = answer.status_code < 500
        if done:
            kept = parts.secretbox.seal(_pack(answer))
            await parts.store.write(lambda tx: _end(tx, scope, key, answer.status_code, kept))
        return answer
    finally:
        if not done:  # nothing was done, or nobody knows: the next try must not be told so
            await parts.store.write(lambda tx: _forget(tx, scope, key))


def _begin(tx: Connection, scope: str, key: str, asked: str, now: int) -> Any:
    """Answer the row of an earlier try, or None after taking the key."""
    c = idempotency.c
    tx.execute(delete(idempotency).where(c.created_ms < now - KEEP_MS))
    mine = (c.scope == scope, c.key == key)
    tx.execute(delete(idempotency).where(*mine, c.status == _RUNNING, c.created_ms < now - ABANDONED_MS))
    values = {
        "scope": scope,
        "key": key,
        "request_hash": asked,
        "status": _RUNNING,
        "answer": "",
        "created_ms": now,
    }
    dialect_insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    if tx.execute(dialect_insert(idempotency).values(values).on_conflict_do_nothing()).rowcount:
        return None
    return tx.execute(select(idempotency).where(*mine)).first()


def _end(tx: Connection, scope: str, key: str, status: int, answer: str) -> None:
    mine = (idempotency.c.scope == scope, idempotency.c.key == key)
    tx.execute(update(idempotency).where(*mine).values(status=status, answer=answer))


def _forget(tx: Connection, scope: str, key: str) -> None:
    mine = (idempotency.c.scope == scope, idempotency.c.key == key)
    tx.execute(delete(idempotency).where(*mine))


def _answer_again(parts: Parts, row: Any, asked: str) -> Response:
    if row.request_hash != asked:
        raise Problem(
            422, "key-reused", N_("This key was used for something else"),
            f"Another request with this {HEADER} had another body. Use a fresh key.",
        )  # fmt: skip
    if row.status == _RUNNING:
        raise Problem(
            409, "still-running", N_("This is being done already"), "The first request with this key "
            "still runs.",
            headers={"Retry-After": "1"},
        )  # fmt: skip
    kept = orjson.loads(parts.secretbox.open(row.answer))
    headers = dict(kept["headers"])
    return Response(kept["body"], row.status, headers | {"Idempotent-Replayed": "true"})


def _pack(answer: Response) -> str:
    kept = [
        (name.decode(), value.decode())
        for name, value in answer.raw_headers
        if name in (b"content-type", b"location", b"cache-control")
    ]
    return orjson.dumps({"body": bytes(answer.body).decode(), "headers": kept}).decode()
