"""Follows the jobs of installations: the vehicle once it is known, the approval, the record once it is saved.

What is written is read from the jobs themselves, so folding a fact twice, or late, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
from sqlalchemy import Connection, select, update

from atalaia.clock import rfc3339
from atalaia.desk.installations import checks
from atalaia.desk.installations.queries import Installation, to_installation
from atalaia.desk.installations.state import UNKNOWN, newest, standing
from atalaia.events.model import Event
from atalaia.jobs import queries as jobs
from atalaia.jobs.queries import Job
from atalaia.store.installation_tables import exports, installations
from atalaia.store.upsert import insert_new

APPROVALS = ("approve", "approve_anyway")


class Installations:
    """Keeps what follows from the jobs of installations. destinations: where each record goes when saved."""

    name = "installations"
    types: tuple[str, ...] = (
        "job.queued", "job.started", "job.asked", "job.in_doubt", "job.decided", "job.retried", "job.done",
        "job.failed", "job.cancelled", "job.expired",
    )  # fmt: skip

    def __init__(self, destinations: Sequence[str] = ()) -> None:
        self._destinations = tuple(destinations)

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Look at the installations whose jobs changed."""
        roots = {_root(event) for event in events}
        at_ms = max((event.occurred_ms for event in events), default=0)
        found = sorted(root for root in roots if root)
        for start in range(0, len(found), 200):
            query = select(installations).where(installations.c.root.in_(found[start : start + 200]))
            for row in tx.execute(query).all():
                self._follow(tx, to_installation(row), at_ms)

    def reset(self, tx: Connection) -> None:
        """Forget what was derived; what people asked for and said stays."""
        tx.execute(update(installations).values(state=UNKNOWN))

    def _follow(self, tx: Connection, one: Installation, at_ms: int) -> None:
        chain = jobs.chain(tx, one.root)
        if not chain:
            return
        known = newest(chain)
        change: dict[str, Any] = {"state": standing(chain, saved=one.saved_ms is not None).word}
        if not one.vehicle and (vehicle := _vehicle(chain)):
            change["vehicle"] = vehicle[:40]
        approval = known.get("approval")
        if not one.approved_by and approval is not None and approval.state == "done":
            change |= _approval(approval)
        save = known.get("save")
        if one.saved_ms is None and save is not None and save.state == "done":
            saved_ms = save.ended_ms or at_ms
            record = record_of(one, chain, save, saved_ms)
            change |= {"record": orjson.dumps(record).decode(), "saved_ms": saved_ms}
            for destination in self._destinations:
                mark_pending(tx, one.root, destination, saved_ms)
        changed = {name: value for name, value in change.items() if value != getattr(one, name, None)}
        if changed:
            tx.execute(update(installations).where(installations.c.root == one.root).values(changed))


def record_of(one: Installation, chain: Sequence[Job], save: Job, saved_ms: int) -> dict[str, Any]:
    """Answer what is kept for good: {"cadastro", "can": {"snapshot"}, "ts"}. Source: contract §14.

    The header is what the unit's stored data said at the end, over what the checks had seen.
    """
    seen = checks.union(checks.snapshots_of(chain))
    last = _mapping(_mapping(save.result).get("snapshot"))
    header = {**_mapping(seen.get("header")), **_mapping(last.get("header"))}
    snapshot = {**last, **seen, "header": header} if seen else last
    cadastro = {"service": one.service, **one.form}
    return {"cadastro": cadastro, "can": {"snapshot": snapshot}, "ts": rfc3339(saved_ms)}


def mark_pending(tx: Connection, root: str, destination: str, now_ms: int) -> None:
    """Put a record down for a destination, unless it is there already."""
    row: dict[str, Any] = {
        "installation": root, "destination": destination, "state": "pending", "attempts": 0, "error": "",
        "place": "", "next_ms": now_ms, "changed_ms": now_ms,
    }  # fmt: skip
    insert_new(tx, exports, row)


def _approval(job: Job) -> dict[str, Any]:
    told = _mapping(job.result)
    if told.get("choice") not in APPROVALS:
        return {}
    return {
        "approved_by": str(told.get("by") or "")[:120],
        "approved_ms": job.ended_ms,
        "override": told.get("choice") == "approve_anyway",
        "override_reason": str(told.get("reason") or ""),
    }


def _vehicle(chain: Sequence[Job]) -> str:
    for job in chain:
        told = job.params.get("vehicle_id") or _mapping(job.result).get("vehicle_id")
        if told:
            return str(told)
    return ""


def _root(event: Event) -> str:
    data: Any = orjson.loads(event.body)
    return str(cast("Mapping[str, Any]", data).get("root") or "") if isinstance(data, dict) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
