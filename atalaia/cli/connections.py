"""`atalaia connections`: what is configured and how it is."""

from __future__ import annotations

import json
from typing import Any

import typer
from sqlalchemy import Connection, select

from atalaia.cli.common import (
    Config,
    DatabaseUrl,
    DataDir,
    Json,
    print_json,
    print_table,
    settings_of,
    with_store,
)
from atalaia.clock import rfc3339
from atalaia.store.tables import connection_states, connections

app = typer.Typer(help="Connections and their state.", no_args_is_help=True)


@app.command("list")
def list_(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, config: Config = None, as_json: Json = False
) -> None:
    """List connections with their state, since when, and why."""
    settings = settings_of(data_dir, database_url, config)
    rows = with_store(settings, lambda store: store.read(_rows))
    if as_json:
        print_json(rows)
        return
    lines = [[row["name"], row["connector"], row["state"], row["since"] or "", row["reason"]] for row in rows]
    empty = "No connections yet. Add one on the screen, under Connections."
    print_table(["name", "connector", "state", "since", "reason"], lines, empty)


def _rows(tx: Connection) -> list[dict[str, Any]]:
    joined = connections.outerjoin(connection_states, connections.c.id == connection_states.c.connection)
    query = select(connections, connection_states).select_from(joined)
    query = query.where(connections.c.deleted_ms.is_(None)).order_by(connections.c.name)
    return [
        {
            "id": row.id,
            "name": row.name,
            "connector": row.connector,
            "desired": row.desired,
            "state": row.state or "unknown",
            "since": rfc3339(row.since_ms) if row.since_ms else None,
            "reason": row.reason or "",
            "evidence": json.loads(row.evidence) if row.evidence else {},
        }
        for row in tx.execute(query)
    ]
