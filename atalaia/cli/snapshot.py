"""`atalaia snapshot`: the state in one file without secrets, for people who help or for a git repository."""

from __future__ import annotations

import io
import os
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import typer
from sqlalchemy import Connection, text

from atalaia.cli.common import (
    fail,
    learned,
    now_ms,
    registry_of,
    say,
    time_of,
    times,
    with_settings,
    with_store,
)
from atalaia.cli.doctor import findings
from atalaia.connections.queries import list_connections
from atalaia.deliveries.queries import list_dead, list_views
from atalaia.desk.alerts.queries import list_alerts
from atalaia.desk.system.publishing import repository_of
from atalaia.desk.system.queries import list_cursors, list_parked, list_workers, sizes, store_bytes
from atalaia.desk.system.report import state_report
from atalaia.errors import AtalaiaError
from atalaia.events.export import line
from atalaia.events.gaps import list_gaps
from atalaia.events.queries import EventFilter, counts, newest
from atalaia.jobs.queries import JobFilter, count_by_state, list_jobs, needing_person
from atalaia.settings import Settings
from atalaia.store.store import Store
from atalaia.version import VERSION, git_sha

DAY_MS = 86_400_000


@with_settings
def snapshot(
    settings: Settings,
    to: Annotated[
        Path | None,
        typer.Argument(
            help="File to write; else atalaia-snapshot-TIME.md. With a name that ends in .tar.gz, an archive "
            "for somebody who helps: also queues, dead letters and the last events."
        ),
    ] = None,
    events: Annotated[
        int, typer.Option(min=0, max=100_000, help="How many of the last events go into an archive.")
    ] = 500,
    push: Annotated[
        bool, typer.Option("--push", help="Commit and push it to the repository that the settings name.")
    ] = False,
) -> None:
    """Write the state as Markdown: versions, workers, connections, jobs, settings; no secrets."""
    stamp = (time_of(now_ms()) or "")[:19].replace(":", "")
    if to is not None and to.name.endswith((".tar.gz", ".tgz", ".tar")):
        if push:
            fail("Only the Markdown is pushed, never an archive. Leave out the name or --push.")
        _archive(settings, to, events)
    elif push:
        say(f"Pushed as {with_store(settings, lambda store: _push(store, settings))}.")
    else:
        path = to or Path(f"atalaia-snapshot-{stamp}.md")
        _keep(path, with_store(settings, lambda store: _report(store, settings)).encode())
        say(f"{path}: {path.stat().st_size // 1024} KiB. Secrets are masked.")


async def _report(store: Store, settings: Settings) -> str:
    redactor = await learned(store, settings)
    return await state_report(store, registry_of(settings), settings, redactor, now_ms())


async def _push(store: Store, settings: Settings) -> str:
    redactor = await learned(store, settings)
    report = await state_report(store, registry_of(settings), settings, redactor, now_ms())
    return await repository_of(settings, redactor).publish(report, "State of Atalaia")


def _archive(settings: Settings, path: Path, events: int) -> None:
    files = {"findings.json": _json([asdict(one) for one in findings(settings)])}
    files |= with_store(settings, lambda store: _look(store, settings, events))
    try:
        _write(path, files)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")
    say(
        f"{path}: {path.stat().st_size // 1024} KiB. Secrets are masked; phone numbers and addresses are not."
    )


async def _look(store: Store, settings: Settings, events: int) -> dict[str, bytes]:
    redactor = await learned(store, settings)
    now = now_ms()
    rows: dict[str, Any] = await store.read(lambda tx: _rows(tx, now))
    rows["version"] = {
        "version": VERSION, "git_sha": git_sha(), "python": platform.python_version(),
        "system": platform.platform(), "store": store.dialect, "made_at": time_of(now),
    }  # fmt: skip
    rows["settings"] = settings.model_dump(mode="json")
    rows["connection_settings"] = await _settings(store, settings)
    files = {f"{name}.json": _json(redactor.value(_plain(value))) for name, value in rows.items()}
    if events:
        page = await store.read(lambda tx: newest(tx, EventFilter(), limit=events))
        files["events.jsonl"] = b"".join(line(event, redactor.json) for event in page.events[::-1])
    return files


def _rows(tx: Connection, now: int) -> dict[str, Any]:
    return {
        "connections": list_connections(tx),
        "gaps": list_gaps(tx, limit=200),
        "subscriptions": list_views(tx, now),
        "dead_letters": list(list_dead(tx, limit=200).items),
        "jobs": list_jobs(tx, JobFilter(), limit=200),
        "jobs_that_need_a_person": needing_person(tx, limit=200),
        "job_counts": count_by_state(tx),
        "alerts": list_alerts(tx, limit=200),
        "workers": list_workers(tx, now),
        "reactions": list_cursors(tx),
        "parked": list_parked(tx, limit=200),
        "counts_last_day": counts(tx, since_ms=now - DAY_MS),
        "sizes": {**asdict(sizes(tx)), "bytes": store_bytes(tx)},
        "schema": str(tx.scalar(text("select version_num from alembic_version"))),
    }


async def _settings(store: Store, settings: Settings) -> list[dict[str, Any]]:
    """Answer the connections' settings; a secret shows only whether it has a value."""
    try:
        known = await store.read(registry_of(settings).all)
    except AtalaiaError as error:
        return [{"error": str(error)}]
    return [
        {"id": one.id, "name": one.name, "connector": one.connector, **one.settings.model_dump(mode="json")}
        for one in known
    ]


def _plain(value: Any) -> Any:
    """Answer dataclasses as objects with readable times; what evidence calls `…_ms` is a duration."""
    if is_dataclass(value) and not isinstance(value, type):
        inner = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        return times(inner)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    return value


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str) + b"\n"


def _keep(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, content in sorted(files.items()):
            about = tarfile.TarInfo(f"atalaia-snapshot/{name}")
            about.size, about.mode, about.mtime = len(content), 0o600, now_ms() / 1000
            tar.addfile(about, io.BytesIO(content))
