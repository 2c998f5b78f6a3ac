"""The tables of installations, their photos and exports, and of catalogs. Times are Unix milliseconds."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from atalaia.store.tables import Sequence, metadata


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


# What was asked for, and what people said to it. How far it is follows from its jobs; `state` is only the
# last word that was derived from them, to filter by. record: what is kept for good, once it is saved.
installations = Table(
    "installations",
    metadata,
    Column("root", String(36), primary_key=True),  # the first job of its chain
    Column("token", String(40), nullable=False, unique=True),  # the old clients' `installation_token`
    Column("connection", String(36), nullable=False),
    Column("service", String(40), nullable=False),
    Column("client", String(40), nullable=False),
    Column("client_name", String(200), nullable=False),
    Column("plate", String(40), nullable=False),
    Column("serial", String(40), nullable=False),  # of the unit that is put in or taken out
    Column("technician", String(120), nullable=False),
    Column("vehicle", String(40), nullable=False),  # the upstream's id, "" until it is known
    Column("label", String(20), nullable=False),
    Column("harness", String(20), nullable=False),
    Column("scheme", String(20), nullable=False),
    Column("comment", Text, nullable=False),
    Column("form", Text, nullable=False),  # JSON: all that the technician filled in
    Column("state", String(30), nullable=False),
    Column("approved_by", String(120), nullable=False),
    _ms("approved_ms", nullable=True),
    Column("override", Boolean, nullable=False),  # approved against the check
    Column("override_reason", Text, nullable=False),
    Column("record", Text, nullable=False),  # JSON: {cadastro, can, ts}, "" until it is saved
    _ms("saved_ms", nullable=True),
    Column("by", String(120), nullable=False),
    _ms("created_ms"),
    _ms("changed_ms"),
    Index("ix_installations_created", "created_ms", "root"),
    Index("ix_installations_state", "state"),
    Index("ix_installations_plate", "plate"),
    Index("ix_installations_client", "client"),
)

# Files lie in the data folder by the hash of their content; `name` is how the old software would store it.
photos = Table(
    "photos",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("installation", String(36), nullable=False),  # "" when it came without one
    Column("kind", String(40), nullable=False),
    Column("folder", String(300), nullable=False),  # <client>/<fleet - plate>
    Column("number", Integer, nullable=False),  # counts the photos of a kind in a folder
    Column("name", String(400), nullable=False, unique=True),
    Column("media", String(40), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("by", String(120), nullable=False),
    _ms("created_ms"),
    Index("ix_photos_installation", "installation"),
    Index("ix_photos_folder", "folder", "kind"),
)

# state: pending, done, failed (tried again later), off (its destination is not configured any more)
exports = Table(
    "exports",
    metadata,
    Column("installation", String(36), primary_key=True),
    Column("destination", String(40), primary_key=True),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("place", String(300), nullable=False),  # where it is now, e.g. a file's name
    _ms("next_ms"),  # not tried before
    _ms("done_ms", nullable=True),
    _ms("changed_ms"),
    Index("ix_exports_due", "state", "next_ms"),
)

# catalog: clients, schemes, models, technicians, mounts, labels
catalog_entries = Table(
    "catalog_entries",
    metadata,
    Column("catalog", String(20), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("client", String(40), nullable=False),  # "" when it belongs to no client
    Column("name", String(300), nullable=False),  # to show, to sort and to find by
    Column("value", Text, nullable=False),  # JSON
    Column("by", String(120), nullable=False),
    _ms("changed_ms"),
    Index("ix_catalog_entries_client", "catalog", "client"),
    Index("ix_catalog_entries_name", "catalog", "name"),
)

catalog_history = Table(
    "catalog_history",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("catalog", String(20), nullable=False),
    Column("key", String(200), nullable=False),
    Column("before", Text, nullable=False),  # JSON, "" when there was nothing
    Column("after", Text, nullable=False),  # JSON, "" when nothing is left
    Column("by", String(120), nullable=False),
    Column("source", String(200), nullable=False),  # a file's name, or what was done
    Column("batch", String(36), nullable=False),  # what belongs together
    _ms("at_ms"),
    Index("ix_catalog_history_entry", "catalog", "key", "id"),
    Index("ix_catalog_history_batch", "batch"),
)
