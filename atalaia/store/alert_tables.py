"""Tables of the alerts desk: alerts with their members, silences, acknowledgements, channels and notices."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from atalaia.store.tables import metadata


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


# What people call an alert: one cause, with everything that suffers from it. `alerts` has the single causes.
incidents = Table(
    "incidents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("grouping", String(200), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("severity", String(10), nullable=False),  # urgent, warning
    Column("title", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON, of the member that was told first
    _ms("opened_ms"),
    _ms("resolved_ms", nullable=True),
    Column("turns", Integer, nullable=False),  # how often it came
    Column("recent", Text, nullable=False),  # JSON: when it came the last few times
    Column("flapping", Boolean, nullable=False, server_default=false()),
    _ms("over_ms", nullable=True),  # gone, it is over from then on; back before that, it is the same alert
    Column("members", Integer, nullable=False),
    Column("standing", Integer, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_incidents_grouping", "grouping", "opened_ms"),
    Index("ix_incidents_opened", "opened_ms"),
    Index("ix_incidents_resolved", "resolved_ms"),
)

incident_members = Table(
    "incident_members",
    metadata,
    Column("incident", String(36), primary_key=True),
    Column("cause", String(200), primary_key=True),
    Column("title", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("connection", String(36), nullable=False),
    _ms("raised_ms"),
    _ms("resolved_ms", nullable=True),
    Column("times", Integer, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_incident_members_cause", "cause"),
)

alert_silences = Table(
    "alert_silences",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("grouping", String(200), nullable=False),  # "" = it is about a connection
    Column("connection", String(36), nullable=False, server_default=""),  # "" = it is about a grouping
    Column("incident", String(36), nullable=False),  # the one on whose page it was asked for, "" = none
    Column("reason", Text, nullable=False),
    Column("by", String(120), nullable=False),
    _ms("from_ms"),
    _ms("until_ms"),
    _ms("ended_ms", nullable=True),  # somebody took it back
    Index("ix_alert_silences_grouping", "grouping", "until_ms"),
    Index("ix_alert_silences_until", "until_ms"),
)

alert_acks = Table(
    "alert_acks",
    metadata,
    Column("incident", String(36), primary_key=True),
    Column("by", String(120), nullable=False),
    Column("note", Text, nullable=False),
    _ms("at_ms"),
)

alert_channels = Table(
    "alert_channels",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("kind", String(20), nullable=False),  # apprise, session
    Column("sealed", Text, nullable=False),  # where to, encrypted
    Column("hint", String(120), nullable=False),  # the kind of place, without anything secret
    Column("enabled", Boolean, nullable=False),
    Column("policy", Text, nullable=False),  # JSON: which alerts, language, zone, quiet hours, repeat
    _ms("since_ms"),  # alerts that began before are not told here
    _ms("created_ms"),
    _ms("changed_ms"),
    _ms("deleted_ms", nullable=True),
)

alert_notices = Table(
    "alert_notices",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("channel", String(36), nullable=False),
    Column("incident", String(36), nullable=False),  # "" in a summary
    Column("kind", String(12), nullable=False),  # raised, grew, flapping, reminder, resolved, summary, test
    Column("number", BigInteger, nullable=False),
    Column(
        "state", String(10), nullable=False
    ),  # held, pending, sending, sent, failed, summed, passed, dropped
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("severity", String(10), nullable=False),
    Column("members", Integer, nullable=False),  # how many it told of
    Column("attempts", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # of the worker that sends it
    Column("again", Boolean, nullable=False),  # a worker ended while it sent it: it may come twice
    Column("error", Text, nullable=False),
    Column("job", String(36), nullable=False, server_default=""),  # that sent it by a session of our own
    _ms("created_ms"),
    _ms("next_ms", nullable=True),
    _ms("done_ms", nullable=True),
    UniqueConstraint("channel", "incident", "kind", "number", name="uq_alert_notices_told"),
    Index("ix_alert_notices_state", "state", "next_ms"),
    Index("ix_alert_notices_incident", "incident", "created_ms"),
    Index("ix_alert_notices_channel", "channel", "created_ms"),
)
