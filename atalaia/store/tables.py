"""Every table of the product. Times are Unix milliseconds; JSON is kept as text.

One database holds events, facts, cursors, deliveries, attempts and configuration, so that what belongs
together is committed together. Migrations in `migrations/` bring an older file to this shape; a test
compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)

# SQLite gives a 64-bit rowid only to a column declared INTEGER.
Sequence = BigInteger().with_variant(Integer, "sqlite")


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


# --- the log ---------------------------------------------------------------------------------------

HEARD, FACT = 0, 1

events = Table(
    "events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False),
    Column("family", SmallInteger, nullable=False),  # HEARD or FACT
    Column("type", String(120), nullable=False),
    Column("key", String(200), nullable=False),
    Column("connection", String(36), nullable=False),  # "" = no connection: a person, the hub itself
    _ms("occurred_ms"),
    _ms("recorded_ms"),
    Column("cause_seq", BigInteger),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("late", Boolean, nullable=False, server_default=text("false")),
    Column("body", Text, nullable=False),
    Index("ix_events_key", "key", "seq"),
    Index("ix_events_type", "type", "seq"),
    Index("ix_events_connection", "connection", "seq"),
    Index(
        "ix_events_facts",
        "seq",
        postgresql_where=text("family = 1"),
        sqlite_where=text("family = 1"),
    ),
    sqlite_autoincrement=True,
)

events_seen = Table(
    "events_seen",
    metadata,
    Column("scope", String(80), primary_key=True),  # connection id, or "fact:<producer>"
    Column("dedupe", String(200), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    _ms("recorded_ms"),
    Index("ix_events_seen_recorded", "recorded_ms"),
    sqlite_with_rowid=False,
)

event_counts = Table(
    "event_counts",
    metadata,
    Column("connection", String(36), primary_key=True),
    Column("type", String(120), primary_key=True),
    Column("minute_ms", BigInteger, primary_key=True),
    Column("kept", BigInteger, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

kind_policies = Table(
    "kind_policies",
    metadata,
    Column("connector", String(40), primary_key=True),
    Column("type", String(120), primary_key=True),  # may end in "*"
    Column("policy", String(8)),  # keep, count, drop; null = the connector's own
    Column("retention_days", Integer),
    Column("dedupe_days", Integer),
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("connection", String(36), nullable=False),
    _ms("from_ms"),
    _ms("to_ms", nullable=True),
    Column("cause", Text, nullable=False),
    Column("planes", Text, nullable=False),
    _ms("closed_ms", nullable=True),
    Column("checked", Text, nullable=False, server_default="{}"),
    Column("recovered", Text, nullable=False, server_default="{}"),
    Column("lost", String(8), nullable=False, server_default="unknown"),  # no, yes, unknown
    Column("origin", String(12), nullable=False, server_default="loss"),  # loss, downtime, found, routine
    Column("detail", Text, nullable=False, server_default="{}"),
    Index("ix_gaps_connection", "connection", "from_ms"),
)

# --- who owns what ---------------------------------------------------------------------------------

leases = Table(
    "leases",
    metadata,
    Column("name", String(160), primary_key=True),  # connection:<id>, reaction:<name>, lane:<sub>:<dest>
    Column("owner", String(36)),
    Column("epoch", BigInteger, nullable=False),
    _ms("expires_ms"),
    _ms("taken_ms"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(40), nullable=False),
    Column("git_sha", String(40), nullable=False),
    _ms("started_ms"),
    _ms("seen_ms"),
    _ms("gone_ms", nullable=True),
)

# --- connections -----------------------------------------------------------------------------------

connections = Table(
    "connections",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("connector", String(40), nullable=False),
    Column("name", String(120), nullable=False),
    Column("settings", Text, nullable=False),  # JSON without the secret fields
    Column("secrets", Text, nullable=False),  # encrypted JSON of the secret fields
    Column("desired", String(8), nullable=False),  # on, off
    _ms("created_ms"),
    _ms("changed_ms"),
    _ms("deleted_ms", nullable=True),
)

connection_states = Table(
    "connection_states",
    metadata,
    Column("connection", String(36), primary_key=True),
    Column("state", String(20), nullable=False),  # opening live suspect lost waiting needs_person stopped
    _ms("since_ms"),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    _ms("until_ms", nullable=True),  # waiting: when the next attempt starts
    _ms("heard_ms", nullable=True),
    Column("kind", String(20), nullable=False, server_default=""),  # see connections/truth.py
    Column("server", String(200), nullable=False, server_default=""),  # the upstream's, shared by sessions
)

planes = Table(
    "planes",
    metadata,
    Column("connection", String(36), primary_key=True),
    Column("plane", String(40), primary_key=True),
    Column("state", String(12), nullable=False),  # proven, failing, unknown
    Column("claim", Text, nullable=False),  # what the upstream says of itself
    Column("evidence", Text, nullable=False),  # JSON: what we saw
    _ms("seen_ms", nullable=True),  # last proof
    _ms("checked_ms", nullable=True),  # last look, whatever it gave
)

# --- reactions -------------------------------------------------------------------------------------

cursors = Table(
    "cursors",
    metadata,
    Column("reaction", String(80), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    _ms("changed_ms"),
)

memories = Table(
    "memories",
    metadata,
    Column("reaction", String(80), primary_key=True),
    Column("connection", String(36), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("value", Text, nullable=False),
    Column("position", BigInteger, nullable=False),  # keeps the order in which keys were first put
)

parked = Table(
    "parked",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("reaction", String(80), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("key", String(200), nullable=False),
    Column("error", Text, nullable=False),
    Column("state", String(8), nullable=False),  # parked, again (a person asked), settled
    _ms("parked_ms"),
    _ms("settled_ms", nullable=True),
    Index("ix_parked_open", "state", "reaction"),
)

# --- deliveries ------------------------------------------------------------------------------------

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("state", String(8), nullable=False),  # on, paused
    Column("filter", Text, nullable=False),
    Column("format", String(60), nullable=False),
    Column("options", Text, nullable=False),
    Column("target", Text, nullable=False),  # JSON without secrets
    Column("secrets", Text, nullable=False),  # encrypted
    Column("policy", Text, nullable=False),
    Column("managed_by", String(36)),  # the connection that brought it, or null
    Column("from_seq", BigInteger, nullable=False),  # only events after this one
    Column("version", BigInteger, nullable=False),  # grows with every change of any subscription or lane
    _ms("created_ms"),
    _ms("changed_ms"),
    _ms("deleted_ms", nullable=True),
)

lanes = Table(
    "lanes",
    metadata,
    Column("subscription", String(36), primary_key=True),
    Column("destination", String(120), primary_key=True),
    Column("circuit", String(8), nullable=False),  # closed, open
    Column("failures", Integer, nullable=False),
    _ms("opened_ms", nullable=True),
    _ms("probe_ms", nullable=True),
    _ms("delivered_ms", nullable=True),
    Column("error", Text, nullable=False),
    Column("ask", Text, nullable=False),  # what a person must do before it can go on; "" = nothing
    Column("touched", BigInteger, nullable=False),  # version at which a person changed its deliveries
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("subscription", String(36), nullable=False),
    Column("destination", String(120), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", String(120), nullable=False),
    Column("key", String(200), nullable=False),
    Column("message_id", String(120), nullable=False),
    Column("state", String(10), nullable=False),  # pending sending delivered waiting dead cancelled
    Column("attempts", Integer, nullable=False),
    _ms("next_ms", nullable=True),
    _ms("failing_ms", nullable=True),  # first failure that was the event's own; giving up counts from here
    _ms("created_ms"),
    _ms("done_ms", nullable=True),
    Column("error", Text, nullable=False),
    Column("replay_of", BigInteger),  # the delivery it repeats; 0 = the event was never on its way before
    Index(
        "ix_deliveries_open",
        "subscription",
        "destination",
        "id",
        postgresql_where=text("state in ('pending','sending','waiting')"),
        sqlite_where=text("state in ('pending','sending','waiting')"),
    ),
    Index("ix_deliveries_seq", "seq"),
    Index("ix_deliveries_key", "key", "id"),
    Index(
        "ix_deliveries_dead",
        "subscription",
        "id",
        postgresql_where=text("state = 'dead'"),
        sqlite_where=text("state = 'dead'"),
    ),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("delivery", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    _ms("started_ms"),
    Column("took_ms", Integer, nullable=False),
    Column("outcome", String(12), nullable=False),  # delivered, unavailable, refused, rejected
    Column("status", String(60), nullable=False),  # e.g. "HTTP 503", "confirmed", "returned"
    Column("error", Text, nullable=False),
    Column("response", Text, nullable=False),  # a small, redacted part of the answer
    Index("ix_attempts_delivery", "delivery"),
    Index("ix_attempts_started", "started_ms"),
)

# --- the desk --------------------------------------------------------------------------------------

calls = Table(
    "calls",
    metadata,
    Column("guid", String(36), primary_key=True),
    Column("connection", String(36), nullable=False),
    Column("server", String(80), nullable=False),
    Column("client", String(20), nullable=False),
    Column("callnumber", BigInteger, nullable=False),
    Column("origin", String(80), nullable=False),
    Column("origin_type", String(20), nullable=False),
    Column("destiny", String(80), nullable=False),
    Column("destiny_type", String(20), nullable=False),
    Column("dialled", String(80), nullable=False),
    Column("answered_by", String(80), nullable=False),
    Column("status", String(12), nullable=False),  # open, oncall, closed, unanswered
    _ms("opened_ms"),
    _ms("answered_ms", nullable=True),
    _ms("ended_ms", nullable=True),
    Column("ring_s", Integer),
    Column("talk_s", Integer),
    Column("reason", String(20), nullable=False),
    Column("hangup_by", String(12), nullable=False),
    Column("dtmf", Text, nullable=False),
    Column("recording", Text, nullable=False),
    Column("recovered", Text, nullable=False),
    Column("forceclose", Boolean, nullable=False),
    Column("linked_guid", String(36), nullable=False),
    Column("transferred_to", String(80), nullable=False),
    Column("channel_id", String(120), nullable=False),
    Column("channel", String(120), nullable=False),
    Column("extra_channel", String(120), nullable=False),
    Column("opened_seq", BigInteger, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_calls_opened", "opened_ms"),
    Index("ix_calls_client", "client", "opened_ms"),
    Index("ix_calls_status", "status", "opened_ms"),
    Index("ix_calls_linked", "linked_guid"),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("connection", String(36), primary_key=True),
    Column("endpoint", String(80), primary_key=True),
    Column("client", String(20), nullable=False),
    Column("type", String(20), nullable=False),
    Column("status", String(10), nullable=False),  # online, offline, unknown
    Column("address", String(120), nullable=False),
    _ms("since_ms", nullable=True),
    Column("changed_seq", BigInteger, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("cause", String(200), primary_key=True),
    Column("title", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON: what is known, by which evidence, what to do
    _ms("raised_ms"),
    _ms("resolved_ms", nullable=True),
    Column("times", Integer, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
)

# --- people ----------------------------------------------------------------------------------------

people = Table(
    "people",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("email", String(200), nullable=False, unique=True),
    Column("name", String(120), nullable=False),
    Column("role", String(10), nullable=False),  # admin, agent, technician, viewer
    Column("password_hash", Text),
    Column("language", String(8), nullable=False, server_default=""),
    Column("zone", String(60), nullable=False, server_default=""),
    Column("theme", String(8), nullable=False, server_default=""),
    Column("density", String(12), nullable=False, server_default=""),
    _ms("created_ms"),
    _ms("disabled_ms", nullable=True),
    _ms("seen_ms", nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of the cookie's value
    Column("person", String(36), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("agent", String(200), nullable=False),
    _ms("created_ms"),
    _ms("seen_ms"),
    _ms("expires_ms"),
    Index("ix_sessions_person", "person"),
)

login_links = Table(
    "login_links",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("person", String(36)),  # null: makes the first administrator
    _ms("created_ms"),
    _ms("expires_ms"),
    _ms("used_ms", nullable=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("name", String(120), nullable=False),
    Column("scopes", Text, nullable=False),  # space separated
    Column("hint", String(12), nullable=False),  # last characters, to recognise it by
    Column("person", String(36)),
    _ms("created_ms"),
    _ms("expires_ms", nullable=True),
    _ms("used_ms", nullable=True),
    _ms("revoked_ms", nullable=True),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", String(120), primary_key=True),  # who + route
    Column("key", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    _ms("created_ms"),
)

hub_settings = Table(
    "hub_settings",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", Text, nullable=False),
    _ms("changed_ms"),
)
