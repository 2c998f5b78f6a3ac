"""The tables of jobs. Times are Unix milliseconds; JSON is kept as text. See `tables` for the rest."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from atalaia.store.tables import Sequence, metadata


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


_STEP = text("step <> ''")

# state: queued, running, waiting (for a person's choice), in_doubt, done, failed, cancelled, expired
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(80), nullable=False),  # <connector>.<kind>
    Column("connection", String(36), nullable=False),
    Column("params", Text, nullable=False),
    Column("state", String(12), nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),  # higher goes first
    _ms("not_before_ms", nullable=True),
    _ms("expires_ms", nullable=True),  # queued longer than this: expired
    Column("idempotency_key", String(200)),
    Column("body_hash", String(64), nullable=False),
    Column("root", String(36), nullable=False),
    Column("step", String(80), nullable=False),  # within the pipeline; "" for its first job
    Column("parent", String(36)),
    Column("trace", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),  # grows with each retry by a person
    Column("epoch", BigInteger, nullable=False),  # grows with each worker that takes it
    Column("executor", String(36)),
    _ms("lease_ms", nullable=True),  # external workers only: theirs until then
    Column("reason", String(80), nullable=False),  # why it failed or waits, a stable word
    Column("said", Text, nullable=False),
    Column("asked", Text, nullable=False),  # JSON: {name, question, choices, shown, until_ms}
    Column("progress", Text, nullable=False),  # JSON: {percent, said, ...}
    Column("result", Text, nullable=False),  # JSON
    Column("by", String(120), nullable=False),  # who asked for it
    _ms("created_ms"),
    _ms("started_ms", nullable=True),
    _ms("ended_ms", nullable=True),
    _ms("changed_ms"),
    Index("ix_jobs_state", "state", "priority", "created_ms"),
    Index("ix_jobs_connection", "connection", "created_ms"),
    Index("ix_jobs_root", "root"),
    Index("ux_jobs_step", "root", "step", unique=True, sqlite_where=_STEP, postgresql_where=_STEP),
    Index("ux_jobs_key", "connection", "idempotency_key", unique=True),
)  # fmt: skip

job_locks = Table(
    "job_locks",
    metadata,
    Column("name", String(200), primary_key=True),  # <connection>:<lock>
    Column("job", String(36), nullable=False),
    _ms("taken_ms"),
    Index("ix_job_locks_job", "job"),
)

# The intent ledger: one row a step and attempt. state: started (sent for unsafe steps), done, failed,
# in_doubt, happened, again, cancelled
job_steps = Table(
    "job_steps",
    metadata,
    Column("job", String(36), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("name", String(80), primary_key=True),
    Column("round", Integer, primary_key=True),  # grows when a person says: run again
    Column("kind", String(12), nullable=False),
    Column("state", String(12), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
    Column("result", Text, nullable=False),  # JSON
    Column("error", Text, nullable=False),
    _ms("began_ms"),
    _ms("sent_ms", nullable=True),
    _ms("ended_ms", nullable=True),
    Column("decided_by", String(120), nullable=False),
    _ms("decided_ms", nullable=True),
)

job_frames = Table(
    "job_frames",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("job", String(36), nullable=False),
    _ms("at_ms"),
    Column("direction", String(8), nullable=False),  # sent, received
    Column("surface", String(20), nullable=False),  # e.g. websocket, login, portal
    Column("text", Text, nullable=False),  # masked
    Index("ix_job_frames_job", "job", "id"),
)
