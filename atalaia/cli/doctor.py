"""`atalaia doctor`: is everything here that the hub needs? Each finding says what to do."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer
from sqlalchemy import text

from atalaia.cli.common import (
    Config,
    DatabaseUrl,
    DataDir,
    Json,
    print_json,
    print_table,
    settings_of,
    with_store,
)
from atalaia.settings import Settings
from atalaia.version import VERSION, git_sha

SPACE_MB_MIN = 500


@dataclass(frozen=True)
class Finding:
    """One look. ok: nothing to do."""

    what: str
    ok: bool
    said: str
    todo: str = ""


def doctor(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, config: Config = None, as_json: Json = False
) -> None:
    """Look for what would keep the hub from working. Ends with status 1 when something is wrong."""
    settings = settings_of(data_dir, database_url, config)
    found = [finding for look in (_python, _folder, _key, _port) for finding in look(settings)]
    found += list(_database(settings))
    rows = [{"what": one.what, "ok": one.ok, "said": one.said, "todo": one.todo} for one in found]
    if as_json:
        print_json(rows)
    else:
        lines = [[one.what, "ok" if one.ok else "WRONG", one.said, one.todo] for one in found]
        print_table(["what", "", "found", "what to do"], lines, "")
    if not all(one.ok for one in found):
        raise typer.Exit(1)


def _python(_: Settings) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("Atalaia", True, f"{VERSION} {git_sha()}".strip())
    yield Finding("Python", sys.version_info >= (3, 11), version, "Use Python 3.11 or newer.")
    yield Finding(
        "SQLite", sqlite3.sqlite_version_info >= (3, 35), sqlite3.sqlite_version, "Use SQLite 3.35 or newer."
    )


def _folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    writable = os.access(existing, os.W_OK)
    yield Finding(
        "data folder", writable, str(folder.absolute()), "" if writable else f"Make {existing} writable."
    )
    free_mb = shutil.disk_usage(existing).free // 1_048_576
    enough = free_mb >= SPACE_MB_MIN
    yield Finding(
        "disk space",
        enough,
        f"{free_mb} MiB free",
        "" if enough else "Free some space, or shorten retention.",
    )


def _key(settings: Settings) -> Iterator[Finding]:
    path = settings.key_path
    if not path.exists():
        yield Finding("key file", True, f"{path} is made at the first start")
        return
    closed = not stat.S_IMODE(path.stat().st_mode) & 0o077
    yield Finding("key file", closed, str(path), "" if closed else f"chmod 600 {path}")


def _port(settings: Settings) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = settings.port and probe.connect_ex((settings.host, settings.port)) == 0
    said = "in use: by a running hub?" if taken else "free"
    yield Finding(f"port {settings.port}", True, said)


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.database_url.get_secret_value()
    if not url and not (settings.data_dir / "atalaia.db").exists():
        yield Finding("database", True, "SQLite, made at the first start")
        return
    look: Callable[[Settings], str] = _schema
    try:
        yield Finding("database", True, f"{'PostgreSQL' if url else 'SQLite'}, schema {look(settings)}")
    except typer.Exit:
        yield Finding("database", False, "cannot be opened", "See the message above.")


def _schema(settings: Settings) -> str:
    query = text("select version_num from alembic_version")
    return str(with_store(settings, lambda store: store.read(lambda tx: tx.scalar(query))))
