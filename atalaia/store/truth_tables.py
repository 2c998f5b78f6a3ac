"""Tables about the truth of sessions: what they usually hear, and what was tried to bring them back."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from atalaia.store.tables import metadata

# How much of a declared kind occurred in each hour: five weeks of them, see connections/rhythms.py.
heard_hours = Table(
    "heard_hours",
    metadata,
    Column("connection", String(36), primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("last_ms", BigInteger),  # when the last one came by itself; null = all of them were recovered
    sqlite_with_rowid=False,
)

recoveries = Table(
    "recoveries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("connection", String(36), nullable=False),
    Column("server", String(200), nullable=False),
    Column("rung", String(40), nullable=False),
    Column("title", String(120), nullable=False),
    Column("step", Integer, nullable=False),
    Column("cause", String(20), nullable=False),
    Column("opens", Boolean, nullable=False),  # it opened a session anew
    Column("whole", Boolean, nullable=False),  # it touched every session of the server
    Column("epoch", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("outcome", String(8), nullable=False),  # "" while under way, proved, failed
    Column("said", Text, nullable=False),
    Index("ix_recoveries_connection", "connection", "started_ms"),
    Index("ix_recoveries_server", "server", "started_ms"),
)

# The code that a session shows for its pairing, for seconds: never in the log, sealed where it is a text.
pairing_codes = Table(
    "pairing_codes",
    metadata,
    Column("connection", String(36), primary_key=True),
    Column("mark", String(64), nullable=False),  # a hash of the code, "" = begun, none came yet
    Column("sealed", Text, nullable=False),  # what is typed into the phone; a picture is never kept
    Column("since_ms", BigInteger, nullable=False),  # of the first code since the pairing was begun
    Column("shown_ms", BigInteger, nullable=False),  # of this code
)
