"""Alembic's way in: it works on the connection that `store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from atalaia.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
