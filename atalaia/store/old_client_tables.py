"""The tables of what the old clients' API keeps. Times are Unix milliseconds; JSON is kept as text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from atalaia.store.tables import metadata


def _ms(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


# A technician who signed in with his account of the portal.
old_sessions = Table(
    "old_sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("connection", String(36), nullable=False),
    Column("username", String(120), nullable=False),
    Column("clients", Text, nullable=False),  # JSON: [{client_id, client_descr, default_group_name}]
    _ms("created_ms"),
    _ms("expires_ms"),
    Index("ix_old_sessions_expires", "expires_ms"),
)

# The last heartbeat of each worker outside.
old_workers = Table(
    "old_workers",
    metadata,
    Column("id", String(120), primary_key=True),
    Column("said", Text, nullable=False),  # JSON: status, job, checks, last_error, meta
    Column("address", String(64), nullable=False),
    _ms("seen_ms"),
)

# Single values, sealed: what workers and administrators hand in, sessions of upstreams.
old_values = Table(
    "old_values",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("by", String(120), nullable=False),
    _ms("changed_ms"),
)

# Who claimed which job: a worker that sends no token is known by its name or its address.
old_claims = Table(
    "old_claims",
    metadata,
    Column("job", String(36), primary_key=True),
    Column("token", BigInteger, primary_key=True, autoincrement=False),
    Column("worker", String(120), nullable=False),
    Column("address", String(64), nullable=False),
    _ms("at_ms"),
)

# CAN probes without an installation; the job tells how far it is.
old_probes = Table(
    "old_probes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("token", String(40), nullable=False),
    Column("asked", Text, nullable=False),  # JSON
    Column("job", String(36), nullable=False),  # "" before one is asked for
    Column("by", String(120), nullable=False),
    _ms("created_ms"),
)
