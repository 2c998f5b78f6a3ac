"""What the routes share about jobs: reading one with its approval, asking for one, and who holds a claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from sqlalchemy import Connection

from atalaia.desk.catalogs.catalogs import CLIENTS, Wanted, list_entries
from atalaia.desk.old_clients.kept import claims_of, workers_of
from atalaia.errors import AtalaiaError
from atalaia.jobs import queries
from atalaia.jobs.external import Outside
from atalaia.jobs.queries import Job
from atalaia.jobs.submit import Order, Orders
from atalaia.web.api.jobs import orders_of
from atalaia.web.idempotency import HEADER
from atalaia.web.old.traffilog.access import Caller
from atalaia.web.old.traffilog.common import CONNECTOR, OldRefusal, meant, refusal_of, word
from atalaia.web.old.traffilog.model import (
    ALL_TYPES,
    KINDS,
    PREFIX,
    approval_of,
    canonical,
    job_out,
    order_of,
    type_of,
)
from atalaia.web.parts import Parts, parts_of

TOKEN_HEADER = "x-lease-token"  # noqa: S105  # the name of a header
KEY_CHARS = 200

T = TypeVar("T")


def unknown_type() -> OldRefusal:
    """Answer the refusal of a type that is not known, with those that are."""
    return OldRefusal(400, "unknown_type", types=list(ALL_TYPES))


def offered(parts: Parts) -> list[str]:
    """Answer the types that can be asked for: done here, or by workers outside."""
    outside = [one for one in parts.settings.old_outside_types if canonical(one)]
    return sorted({*KINDS, *outside})


def outside_of(parts: Parts) -> Outside:
    """Answer what workers outside may do."""
    return Outside(orders_of(parts))


def is_left_outside(parts: Parts, old_type: str) -> bool:
    """Answer whether workers outside do this type."""
    return old_type in {canonical(one) for one in parts.settings.old_outside_types}


async def ask(request: Request, caller: Caller, old_type: str, payload: Mapping[str, Any]) -> Job:
    """Queue a job; the same `Idempotency-Key` answers the same one.

    Errors: `OldRefusal` 400 for a type that is not known here or a payload that does not fit.
    """
    parts, name = parts_of(request), canonical(old_type)
    outside = is_left_outside(parts, name)
    if not name or not (outside or name in KINDS):
        raise OldRefusal(400, "unknown_type", types=offered(parts))
    key = request.headers.get(HEADER)
    orders = orders_of(parts)

    def write(tx: Connection) -> Job:
        connection = meant(tx, parts)
        if outside:
            kind, params = f"{CONNECTOR}.{PREFIX}{name}", {"payload": dict(payload)}
        else:
            kind, params = order_of(name, payload, _names(tx, payload))
        order = Order(kind, connection.id, params, caller.name, key=key[:KEY_CHARS] if key else None)
        return must(tx, orders.submit(tx, order).id)

    try:
        return await parts.store.write(write)
    except AtalaiaError as error:
        raise refusal_of(error) from None


def _names(tx: Connection, payload: Mapping[str, Any]) -> dict[str, str]:
    """Answer the name of the payload's client as the catalog has it."""
    client = word(payload, "client_id", "clientId", "target_client_id")
    return {one.key: one.name for one in list_entries(tx, CLIENTS, Wanted(keys=(client,)))} if client else {}


def must(tx: Connection, identity: str) -> Job:
    """Answer a job that old clients know. Errors: `OldRefusal` 404."""
    found = queries.get_job(tx, identity) if 0 < len(identity) <= 36 else None
    if found is None or not type_of(found.kind):
        raise OldRefusal(404, "not_found")
    return found


async def shown(parts: Parts, identity: str) -> dict[str, Any]:
    """Answer a job in the old shape, secrets masked. Errors: `OldRefusal` 404."""
    return parts.redactor.value(await parts.store.read(lambda tx: _shown(tx, identity)))


def _shown(tx: Connection, identity: str) -> dict[str, Any]:
    job = must(tx, identity)
    chain = queries.chain(tx, job.root) if job.step.startswith("can") else []
    worker = workers_of(tx, [job.id]).get(job.id, "")
    return job_out(job, approval_of(job, chain), worker=worker)


async def act(request: Request, work: Callable[[Connection, Orders], T]) -> T:
    """Do something to jobs in one transaction; `work(tx, orders)`. Errors: `OldRefusal`."""
    parts = parts_of(request)
    orders: Orders = orders_of(parts)
    try:
        return await parts.store.write(lambda tx: work(tx, orders))
    except AtalaiaError as error:
        raise refusal_of(error) from None


def token_of(tx: Connection, job: Job, request: Request, body: Mapping[str, Any]) -> int | None:
    """Answer the fencing token under which a worker speaks, None when it cannot be told.

    Workers that know of it send it. The old ones are known by their name; those that say not even that, by
    being the only one that ever got the job, or the only one at their address.
    """
    given = word(body, "lease_token", most=20) or request.headers.get(TOKEN_HEADER, "")[:20]
    if given:
        return int(given) if given.isdigit() else -1
    claims = claims_of(tx, job.id)
    name = worker_of(request, body)
    if name:
        claims = [one for one in claims if one.worker == name]
        return claims[-1].token if claims else -1
    if len(claims) > 1:
        latest = claims[-1]
        here = [one for one in claims if one.address == str(request.state.address)]
        alone = {one.worker for one in here} == {latest.worker}
        return latest.token if alone else None
    return claims[-1].token if claims else None


def worker_of(request: Request, body: Mapping[str, Any]) -> str:
    """Answer the name that a worker gives itself, in the words of both generations; "" for none."""
    names = ("worker_id", "workerId", "worker")
    return word(body, *names, most=120) or word(dict(request.query_params), *names, most=120)
