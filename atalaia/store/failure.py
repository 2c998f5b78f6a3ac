"""Tells "the database cannot serve anybody now" from "this statement was wrong"."""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from atalaia.errors import StoreUnavailable

# Primary codes: permissions, busy, locked, memory, read-only, I/O, corrupt, full, cannot open, no database.
_BUSY, _LOCKED, _FULL = 5, 6, 13
_SQLITE = frozenset({3, _BUSY, _LOCKED, 7, 8, 10, 11, _FULL, 14, 26})
# SQLSTATE classes: connection, rolled back by the server (deadlock), resources (disk full), operator, system;
# then read-only, lock not available, idle in a transaction for too long.
_POSTGRES = ("08", "40", "53", "57", "58", "25006", "55P03", "25P03", "25P04")


def unavailable(error: BaseException) -> StoreUnavailable | None:
    """Answer the error to raise when the database itself failed, None when the work was at fault.

    `OperationalError` alone does not tell: SQLite says it for a full disk and for a misspelled column.
    """
    if isinstance(error, StoreUnavailable):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0)
        if code & 0xFF in _SQLITE:
            return StoreUnavailable(
                f"The database file could not be used: {cause}. Check disk space and rights."
            )
        return None
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("All connections to the database are busy. It is tried again.")
    state = str(getattr(cause, "sqlstate", None) or "")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or state.startswith(_POSTGRES) or _closed(cause):
        name = type((cause and cause.__cause__) or cause or error).__name__
        return StoreUnavailable(f"PostgreSQL cannot serve now ({name}). It is tried again.")
    return None


def is_broken(error: BaseException) -> bool:
    """Answer whether SQLite's file handle itself is in doubt, so that it is better opened again."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
    return code in _SQLITE - {_BUSY, _LOCKED, _FULL}


def in_transaction(tx: Connection) -> bool:
    """Answer whether the transaction is still held; at some errors SQLite undoes all of it by itself."""
    if tx.dialect.name != "sqlite":
        return True
    return bool(getattr(tx.connection.dbapi_connection, "in_transaction", False))


def _closed(error: BaseException | None) -> bool:
    """Answer whether the driver itself says that the connection is gone; it has no SQLSTATE for that."""
    said = str(error)
    return type(error).__name__ == "InterfaceError" and ("closed" in said or "another operation" in said)
