"""`atalaia doctor`: is everything here that the hub needs? Each finding says what to do."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import typer
from sqlalchemy import select, text

from atalaia.cli.common import (
    Json,
    print_rows,
    registry_of,
    with_settings,
)
from atalaia.errors import AtalaiaError, ConfigError
from atalaia.events.log import head as log_head
from atalaia.jobs.engine import sqlite_module
from atalaia.jobs.queries import count_by_state
from atalaia.settings import Settings
from atalaia.store.connect import open_store
from atalaia.store.store import Store
from atalaia.store.tables import connections
from atalaia.version import VERSION, git_sha

SPACE_MB_MIN = 500
_EVERYWHERE = ("0.0.0.0", "")  # noqa: S104  # what a hub listens on; asked for here on this machine only


@dataclass(frozen=True)
class Finding:
    """One look. ok: nothing to do."""

    what: str
    ok: bool
    said: str
    todo: str = ""


@with_settings
def doctor(settings: Settings, as_json: Json = False) -> None:
    """Look for what would keep the hub from working. Ends with status 1 when something is wrong."""
    found = findings(settings)
    print_rows(
        [asdict(one) for one in found],
        ["what", "", "found", "what to do"],
        lambda row: [row["what"], "ok" if row["ok"] else "WRONG", row["said"], row["todo"]],
        "",
        as_json=as_json,
    )
    if not all(one.ok for one in found):
        raise typer.Exit(1)


def findings(settings: Settings) -> list[Finding]:
    """Answer everything that was looked at, good or bad."""
    looks = (_python, _folder, _key, _hub, _database)
    return [finding for look in looks for finding in look(settings)]


def _python(_: Settings) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("Atalaia", True, f"{VERSION} {git_sha()}".strip())
    yield Finding("Python", sys.version_info >= (3, 11), version, "Use Python 3.11 or newer.")
    try:
        module = sqlite_module()
        said = f"{module.sqlite_version} ({module.__name__})"
        yield Finding("SQLite of jobs", True, said)
    except ConfigError as error:
        yield Finding("SQLite of jobs", False, str(error), "Or make the environment anew: rm -r .venv")
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
    if settings.keys.get_secret_value():
        yield Finding("keys", True, "given by the setting `keys`")
        return
    if not path.exists():
        yield Finding("key file", True, f"{path} is made at the first start")
        return
    closed = not stat.S_IMODE(path.stat().st_mode) & 0o077
    yield Finding("key file", closed, str(path), "" if closed else f"chmod 600 {path}")


def _hub(settings: Settings) -> Iterator[Finding]:
    """Ask the hub on the configured port how it is; when none answers, look whether the port is free."""
    name = f"port {settings.port}"
    if not settings.port:
        yield Finding(name, True, "a free one is taken at the start")
        return
    host = "127.0.0.1" if settings.host in _EVERYWHERE else "::1" if settings.host == "::" else settings.host
    asking = http.client.HTTPConnection(host, settings.port, timeout=3)
    try:
        asking.request("GET", "/health")
        answer = json.loads(asking.getresponse().read())
        status = str(answer["status"])
        todo = (
            ""
            if status == "healthy"
            else "See bin/atalaia connections list, deliveries subscriptions, events parked."
        )
        yield Finding("running hub", status != "failing", status, todo)
    except ConnectionRefusedError:
        yield Finding(name, True, "free; no hub is running here")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        yield Finding(
            name, False, "taken by something that is not Atalaia", "Choose another port: ATALAIA_PORT."
        )
    finally:
        asking.close()


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.database_url.get_secret_value()
    kind = "PostgreSQL" if url else "SQLite"
    if not url and not (settings.data_dir / "atalaia.db").exists():
        yield Finding("database", True, "SQLite, made at the first start")
        return
    try:
        schema, head, waiting, secrets = asyncio.run(_look(settings))
    except AtalaiaError as error:
        yield Finding("database", False, str(error), "Start or repair the database, or correct its address.")
        return
    yield Finding("database", True, f"{kind}, schema {schema}, log up to {head}")
    yield Finding(
        "jobs", not waiting, f"{waiting} wait for a person's decision",
        "" if not waiting else "See bin/atalaia jobs list --state person.",
    )  # fmt: skip
    todo = "" if not secrets else "Restore the key file from its copy, or enter the secrets again."
    yield Finding("stored secrets", not secrets, secrets or "can be opened", todo)


async def _look(settings: Settings) -> tuple[str, int, int, str]:
    """Answer the schema's version, the log's end, jobs in doubt, and why secrets cannot be opened, or ""."""
    store = await open_store(settings.database_url.get_secret_value(), settings.data_dir, exclusive=False)
    try:
        query = text("select version_num from alembic_version")
        schema = str(await store.read(lambda tx: tx.scalar(query)))
        last = await store.read(log_head)
        waiting = (await store.read(count_by_state))["in_doubt"]
        return schema, last, waiting, await _secrets(store, settings)
    finally:
        await store.close()


async def _secrets(store: Store, settings: Settings) -> str:
    if not settings.keys.get_secret_value() and not settings.key_path.exists():
        used = await store.read(lambda tx: tx.scalar(select(connections.c.id).limit(1)))
        return f"the key file {settings.key_path} is missing" if used else ""
    try:
        await store.read(registry_of(settings).all)
    except AtalaiaError as error:
        return str(error)
    return ""
