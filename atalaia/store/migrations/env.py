"""Alembic's way in: it works on the connection that `store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from atalaia.store import (
    alert_tables,
    chat_tables,
    installation_tables,
    job_tables,
    old_client_tables,
    truth_tables,
    vehicle_tables,
)
from atalaia.store.search import is_search
from atalaia.store.tables import metadata

tables = (
    alert_tables,
    chat_tables,
    installation_tables,
    job_tables,
    old_client_tables,
    truth_tables,
    vehicle_tables,
)
assert all(one.metadata is metadata for one in tables)  # they add to the same one

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
    include_name=lambda name, _, __: not is_search(name),
)
with context.begin_transaction():
    context.run_migrations()
