"""The facts that jobs bring about, and the alerts that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.clock import rfc3339, to_ms
from atalaia.events.log import EncodedFact, append_facts, append_facts_of, encode
from atalaia.events.model import Fact
from atalaia.jobs.rows import Job
from atalaia.store.bell import JOBS
from atalaia.store.store import ring_after

PRODUCER = "jobs"
UNKNOWN_KIND = "unknown_kind"  # the reason of a queued job that no worker here can take
# What a job's own code does on its way wakes nobody: who runs jobs waits for these.
_SILENT = frozenset(
    {
        "job.started",
        "job.step_done",
        "job.step_failed",
        "job.progressed",
        "job.asked",
        "job.in_doubt",
        "job.probed",
    }
)


def tell(tx: Connection, ambient: Ambient, job: Job, type: str, **data: Any) -> None:
    """State a fact about a job in the transaction that makes it true, and wake whom it may concern."""
    tell_all(tx, ambient, [(job, type, data)])


def tell_all(tx: Connection, ambient: Ambient, told: Sequence[tuple[Job, str, Mapping[str, Any]]]) -> None:
    """State facts, given as (job, type, data), in this order; together they cost as much as one."""
    now = to_ms(ambient.clock.now())
    facts: list[tuple[str, EncodedFact]] = []
    for job, type, data in told:
        about = {"kind": job.kind, "connection": job.connection, "root": job.root, **data}
        facts.append((job.connection, encode(Fact(type, job.id, now, about))))
        if type not in _SILENT:
            ring_after(tx, JOBS)
    append_facts_of(tx, ambient, PRODUCER, facts)


def doubt_cause(job: str) -> str:
    """Answer the cause of the alert about a job in doubt."""
    return f"job:{job}"


def raise_alert(
    tx: Connection, ambient: Ambient, job: Job, title: str, *, known: str, todo: str, **evidence: Any
) -> None:
    """Say that a job needs a person."""
    now = to_ms(ambient.clock.now())
    cause = doubt_cause(job.id)
    seen = {"job": job.id, "kind": job.kind, "trace": job.trace, **evidence}
    detail = {"known": known, "since": rfc3339(now), "evidence": seen, "todo": todo}
    data = {"cause": cause, "title": title, "detail": detail}
    append_facts(tx, ambient, PRODUCER, [Fact("alert.raised", cause, now, data)], connection=job.connection)


def resolve_unknown(tx: Connection, ambient: Ambient, job: Job) -> None:
    """Say that a job whose kind nobody knew waits no more, if it is one."""
    if job.reason == UNKNOWN_KIND:
        resolve_alert(tx, ambient, job)


def resolve_alert(tx: Connection, ambient: Ambient, job: Job) -> None:
    """Say that the job needs nobody any more."""
    now = to_ms(ambient.clock.now())
    cause = doubt_cause(job.id)
    fact = Fact("alert.resolved", cause, now, {"cause": cause})
    append_facts(tx, ambient, PRODUCER, [fact], connection=job.connection)
