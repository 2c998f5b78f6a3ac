"""The tables of vehicles, folded from facts. Times are Unix milliseconds; JSON is kept as text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, Text

from atalaia.store.tables import metadata


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _of_vehicle() -> tuple[Column[str], Column[str]]:
    """Answer the columns that name a vehicle: two accounts may know the same one."""
    return (
        Column("connection", String(36), primary_key=True),
        Column("vehicle", String(40), primary_key=True),  # the upstream's vehicle id
    )


# What is known of each part has an age of its own: header, modules, parameters, and whether it transmits.
vehicles = Table(
    "vehicles",
    metadata,
    *_of_vehicle(),
    Column("plate", String(40), nullable=False),
    Column("serial", String(40), nullable=False),
    Column("client", String(40), nullable=False),
    Column("client_name", String(120), nullable=False),
    Column("connected", Boolean),  # NULL = nobody knows
    _ms("connected_ms", nullable=True),  # since when, by the last sign
    Column("evidence", Text, nullable=False),  # JSON: what `connected` rests on
    Column("header", Text, nullable=False),  # JSON
    _ms("header_ms", nullable=True),
    Column("modules_complete", Boolean),
    Column("modules_count", Integer, nullable=False),
    _ms("modules_ms", nullable=True),
    Column("values_count", Integer, nullable=False),
    _ms("values_ms", nullable=True),  # of the newest value
    Column("complete", Boolean),  # every group of parameters has a value
    Column("missing", Text, nullable=False),  # JSON: groups without one
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_vehicles_client", "client", "vehicle"),
    Index("ix_vehicles_plate", "plate"),
)

vehicle_values = Table(
    "vehicle_values",
    metadata,
    *_of_vehicle(),
    Column("parameter", String(40), primary_key=True),
    Column("name", String(160), nullable=False),
    Column("raw", String(200), nullable=False),
    Column("value", String(200), nullable=False),  # as it is shown; "" when it cannot be decoded
    Column("number", Double),  # the same when it is a number
    Column("unit", String(20), nullable=False),
    Column("source", String(20), nullable=False),
    Column("preferred", Boolean, nullable=False),  # the one of several ids of the same quantity
    _ms("seen_ms", nullable=True),
    Column("changed_seq", BigInteger, nullable=False),
)

vehicle_value_history = Table(
    "vehicle_value_history",
    metadata,
    *_of_vehicle(),
    Column("parameter", String(40), primary_key=True),
    Column("minute_ms", BigInteger, primary_key=True),  # the last value of each minute
    Column("number", Double, nullable=False),
    Index("ix_vehicle_value_history_minute", "minute_ms"),
    sqlite_with_rowid=False,
)

vehicle_modules = Table(
    "vehicle_modules",
    metadata,
    *_of_vehicle(),
    Column("module", String(80), primary_key=True),
    Column("sub", String(80), primary_key=True),  # "" when the module has no parts
    Column("active", Boolean),
    Column("ok", Boolean),
    Column("was_ok", Boolean),
    Column("error", String(160), nullable=False),
    _ms("seen_ms", nullable=True),
    Column("changed_seq", BigInteger, nullable=False),
)

# The merged snapshot at most once a minute and vehicle, the last of each.
vehicle_snapshots = Table(
    "vehicle_snapshots",
    metadata,
    *_of_vehicle(),
    Column("minute_ms", BigInteger, primary_key=True),
    _ms("at_ms"),
    Column("body", Text, nullable=False),  # JSON: header, modules, parameters
    Column("values_count", Integer, nullable=False),
    Column("modules_count", Integer, nullable=False),
    Column("job", String(36), nullable=False),  # that read it, "" when none did
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_vehicle_snapshots_at", "at_ms"),
)

# state: queued, running, ended. outcome: confirmed, completed_unconfirmed, unknown, failed; "" until the end
processes = Table(
    "processes",
    metadata,
    Column("connection", String(36), primary_key=True),
    Column("process", String(40), primary_key=True),
    Column("vehicle", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("state", String(10), nullable=False),
    Column("outcome", String(30), nullable=False),
    Column("why", Text, nullable=False),
    Column("status", String(40), nullable=False),  # the upstream's own word
    Column("acknowledged", Integer),
    Column("total", Integer),
    Column("percent", Double),
    Column("last_command", String(200), nullable=False),
    Column("configuration_key", String(20), nullable=False),
    Column("job", String(36), nullable=False),
    _ms("queued_ms", nullable=True),
    _ms("heard_ms", nullable=True),  # the last sign of it
    _ms("ended_ms", nullable=True),
    _ms("confirmed_ms", nullable=True),
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_processes_vehicle", "connection", "vehicle"),
    Index("ix_processes_state", "state"),
    Index("ix_processes_ended", "ended_ms"),
)
