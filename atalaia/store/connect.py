"""Open the database that the settings name, in the shape this version needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from atalaia.errors import ConfigError
from atalaia.store.sqlite import SqliteStore
from atalaia.store.store import Store


async def open_store(database_url: str, data_dir: Path, *, exclusive: bool = True) -> Store:
    """Open SQLite in `data_dir` when `database_url` is empty, else what the URL names; migrate it first.

    exclusive: False lets a short command work on the SQLite file of a running hub. It takes no lock and
        migrates nothing; the hub notices what was written at its next look.
    Errors: `ConfigError` for an address we cannot use or a file another process owns;
        `StoreUnavailable` when the server does not answer.
    """
    url = _read_url(database_url)
    if url is None or url.get_backend_name() == "sqlite":
        path = Path(url.database) if url is not None and url.database else data_dir / "atalaia.db"
        if not exclusive and not path.exists():
            raise ConfigError(f"There is no database at {path} yet. Start the hub first: bin/atalaia up")
        return await _open_sqlite(path, exclusive=exclusive)
    # Only here, so that a hub on SQLite neither needs nor loads the driver.
    from atalaia.store.postgres import open_postgres

    return await open_postgres(url.render_as_string(hide_password=False))


async def _open_sqlite(path: Path, *, exclusive: bool) -> Store:
    store = SqliteStore(path, exclusive=exclusive)
    if exclusive:
        try:
            from atalaia.store.migrate import migrate_sqlite  # Alembic: heavy, and short commands need none

            migrate_sqlite(store)
        except BaseException:
            await store.close()
            raise
    return store


def _read_url(database_url: str) -> URL | None:
    if not database_url:
        return None
    try:
        url = make_url(database_url)
    except ArgumentError:
        raise ConfigError(
            "database_url is not an address. Write postgresql+asyncpg://user:password@host/name, "
            "or leave it empty for SQLite."
        ) from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+asyncpg")
    if url.drivername in ("postgresql+asyncpg", "sqlite"):
        return url
    raise ConfigError(
        f"database_url names {url.drivername}, which is not supported. "
        "Use postgresql+asyncpg://… or leave it empty for SQLite."
    )
