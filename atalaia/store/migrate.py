"""Bring a database to this version's shape, once, whoever comes first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from atalaia.errors import ConfigError
from atalaia.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from alembic.config import Config

# The newest migration. A database that is there already needs no Alembic, which weighs 9 MB in memory.
HEAD = "0011"
_FOLDER = Path(__file__).parent / "migrations"


def migrate_sqlite(store: SqliteStore) -> None:
    """Migrate the file this process holds the lock of."""
    with store.engine.connect() as connection, connection.begin():
        upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing. Errors: `ConfigError` when the database is newer than we are."""
    current = _current(connection)
    if current == HEAD:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise ConfigError(
            f"The database was written by a newer Atalaia (schema {current}). "
            "Start that version, or restore a backup."
        )
    command.upgrade(config, "head")


def alembic_config(connection: Connection | None = None) -> Config:
    """Answer the Alembic configuration of the packaged migrations, bound to `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    return config


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("select version_num from alembic_version"))
