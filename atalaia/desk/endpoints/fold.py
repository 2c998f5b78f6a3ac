"""Folds what is known of phones into the table `endpoints`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select, tuple_

from atalaia.desk.upsert import upsert_newer
from atalaia.events.model import Event
from atalaia.store.tables import endpoints


class Endpoints:
    """Keeps one row per phone of a connection."""

    name = "endpoints"
    types: tuple[str, ...] = ("endpoint.status_changed", "endpoint.address_seen")

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch. An address says nothing of the status, so rows are merged with what is there."""
        rows = _present(tx, {(event.connection, event.key) for event in events})
        for event in events:
            place = (event.connection, event.key)
            before = rows.get(place) or _unknown(*place)
            if event.seq > before["changed_seq"]:
                rows[place] = before | _told(event, orjson.loads(event.body))
        upsert_newer(tx, endpoints, list(rows.values()))

    def reset(self, tx: Connection) -> None:
        """Forget every phone; the log is folded again from its beginning."""
        tx.execute(delete(endpoints))


def _present(tx: Connection, places: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    c = endpoints.c
    wanted = sorted(places)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for start in range(0, len(wanted), 200):
        query = select(endpoints).where(tuple_(c.connection, c.endpoint).in_(wanted[start : start + 200]))
        for row in tx.execute(query).mappings():
            found[row["connection"], row["endpoint"]] = dict(row)
    return found


def _unknown(connection: str, endpoint: str) -> dict[str, Any]:
    return {
        "connection": connection, "endpoint": endpoint[:80], "client": "", "type": "", "status": "unknown",
        "address": "", "since_ms": None, "changed_seq": 0,
    }  # fmt: skip


def _told(event: Event, data: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"changed_seq": event.seq}
    for name, length in (("client", 20), ("type", 20), ("address", 120)):
        if data.get(name):
            told[name] = str(data[name])[:length]
    if event.type == "endpoint.status_changed":
        told["status"] = str(data.get("status") or "unknown")[:10]
        told["since_ms"] = data.get("since_ms") or event.occurred_ms
    return told
