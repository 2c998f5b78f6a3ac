"""What all API modules share: the router, the documented refusals, acting once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from atalaia.web.idempotency import OnceRoute, idempotency_key
from atalaia.web.problems import MEDIA_TYPE, invalid

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
_SAID = {
    400: "The request cannot be read.",
    401: "Nobody is signed in and no good token was sent.",
    403: "The scope is missing, or the request was forged.",
    404: "There is no such thing.",
    409: "It does not fit the present state.",
    413: "The body is too large.",
    422: "The input does not fit; `errors` name the fields.",
    429: "Too many requests; see Retry-After.",
    503: "The database cannot be used now; nothing was done.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": _PROBLEM} for status, said in _SAID.items()
}
_LISTS = frozenset({"type", "status"})
ONCE = [Depends(idempotency_key)]


class Wire(BaseModel):
    """Base of what the API answers; built from the dataclasses of the queries."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)


class Asked(BaseModel):
    """Base of what the API is told; a field that we do not know is an error, not a silence."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


def router(tag: str) -> APIRouter:
    """Answer a router below /api whose POSTs act once per Idempotency-Key."""
    return APIRouter(
        prefix="/api",
        tags=[tag],
        route_class=OnceRoute,
        responses=REFUSALS,
        dependencies=[Depends(no_repeats)],
    )


async def no_repeats(request: Request) -> None:
    """Refuse a name that is given twice: which of two values counts would be a guess."""
    names = [name for name, _ in request.query_params.multi_items() if name not in _LISTS]
    for name in set(names):
        if names.count(name) > 1:
            raise invalid(f"query.{name}", "list", "Give it once.")
