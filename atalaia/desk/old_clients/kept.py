"""What is kept for the old clients: portal sessions, workers outside with their claims, handed-in values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import Connection, insert, select, update

from atalaia.store.old_client_tables import old_claims, old_probes, old_sessions, old_workers
from atalaia.store.upsert import upsert

SESSION_MS = 8 * 3600 * 1000  # fixed, as in the original
OFFLINE_MS = 180_000
WORKERS_MAX = 500
NAME_CHARS = 120
STEP = 500


@dataclass(frozen=True, slots=True)
class OldSession:
    """A technician who signed in with his own account of the portal. clients: those that he may see."""

    connection: str
    username: str
    clients: tuple[dict[str, str], ...]
    expires_ms: int

    def sees(self, client_id: str) -> bool:
        """Answer whether the client is one of his."""
        return any(one.get("client_id") == client_id for one in self.clients)


@dataclass(frozen=True, slots=True)
class OldWorker:
    """A worker outside, as it last told of itself. said: {status, job, checks, last_error, meta, …}."""

    id: str
    said: dict[str, Any]
    address: str
    seen_ms: int
    online: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a job: the token that it was given, its name and where it asked from."""

    token: int
    worker: str
    address: str


@dataclass(frozen=True, slots=True)
class Probe:
    """A CAN probe. job: "" until one is asked for."""

    id: str
    token: str
    asked: dict[str, Any]
    job: str
    by: str
    created_ms: int


# Sessions. Only the hash of a token is kept.


def open_session(
    tx: Connection,
    token: str,
    connection: str,
    username: str,
    clients: Sequence[Mapping[str, str]],
    now_ms: int,
) -> OldSession:
    """Keep a session for eight hours."""
    seen = [dict(one) for one in clients]
    row = {
        "token_hash": _hash(token), "connection": connection, "username": username[:NAME_CHARS],
        "clients": _dump(seen), "created_ms": now_ms, "expires_ms": now_ms + SESSION_MS,
    }  # fmt: skip
    tx.execute(insert(old_sessions).values(row))
    return OldSession(connection, username[:NAME_CHARS], tuple(seen), now_ms + SESSION_MS)


def find_session(tx: Connection, token: str, now_ms: int) -> OldSession | None:
    """Answer a session that has not ended."""
    c = old_sessions.c
    query = select(old_sessions).where(c.token_hash == _hash(token), c.expires_ms > now_ms)
    row = tx.execute(query).first()
    if row is None:
        return None
    clients = cast("list[dict[str, str]]", orjson.loads(row.clients))
    return OldSession(row.connection, row.username, tuple(clients), row.expires_ms)


# Workers and their claims.


def beat(tx: Connection, worker: str, said: Mapping[str, Any], address: str, now_ms: int) -> None:
    """Keep the last heartbeat of a worker."""
    row = {"id": worker[:NAME_CHARS], "said": _dump(dict(said)), "address": address[:64], "seen_ms": now_ms}
    upsert(tx, old_workers, row, ("id",))


def list_workers(tx: Connection, now_ms: int) -> list[OldWorker]:
    """Answer the workers outside, those heard last first; silent for 180 s is offline."""
    query = select(old_workers).order_by(old_workers.c.seen_ms.desc(), old_workers.c.id).limit(WORKERS_MAX)
    return [
        OldWorker(
            row.id, cast("dict[str, Any]", orjson.loads(row.said)), row.address, row.seen_ms,
            now_ms - row.seen_ms < OFFLINE_MS,
        )
        for row in tx.execute(query)
    ]  # fmt: skip


def note_claim(tx: Connection, job: str, claim: Claim, now_ms: int) -> None:
    """Keep who got a job."""
    row = {
        "job": job, "token": claim.token, "worker": claim.worker[:NAME_CHARS], "address": claim.address[:64],
        "at_ms": now_ms,
    }  # fmt: skip
    upsert(tx, old_claims, row, ("job", "token"))


def claims_of(tx: Connection, job: str) -> list[Claim]:
    """Answer who got a job, the first one first."""
    query = select(old_claims).where(old_claims.c.job == job).order_by(old_claims.c.token)
    return [Claim(row.token, row.worker, row.address) for row in tx.execute(query)]


def workers_of(tx: Connection, jobs: Sequence[str]) -> dict[str, str]:
    """Answer the worker that got each of these jobs last."""
    found: dict[str, str] = {}
    for start in range(0, len(jobs), STEP):
        query = select(old_claims.c.job, old_claims.c.worker).order_by(old_claims.c.token)
        rows = tx.execute(query.where(old_claims.c.job.in_(jobs[start : start + STEP])))
        found.update({row.job: row.worker for row in rows})
    return found


# Probes.


def add_probe(tx: Connection, probe: Probe) -> None:
    """Keep a probe."""
    row = {name: getattr(probe, name) for name in Probe.__dataclass_fields__}
    tx.execute(insert(old_probes).values(row | {"asked": _dump(probe.asked), "by": probe.by[:NAME_CHARS]}))


def get_probe(tx: Connection, identity: str) -> Probe | None:
    """Answer a probe."""
    row = tx.execute(select(old_probes).where(old_probes.c.id == identity)).first()
    if row is None:
        return None
    asked = cast("dict[str, Any]", orjson.loads(row.asked))
    return Probe(row.id, row.token, asked, row.job, row.by, row.created_ms)


def give_probe_job(tx: Connection, identity: str, job: str) -> None:
    """Say which job a probe is done by."""
    tx.execute(update(old_probes).where(old_probes.c.id == identity).values(job=job))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _dump(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
