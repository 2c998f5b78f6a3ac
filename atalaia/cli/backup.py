"""`atalaia backup` and `restore`: database, files, key and settings of a running hub in one file."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, inspect, make_url

from atalaia.ambient import Ambient
from atalaia.cli.backup_files import FOLDERS, absent, add_files, extract_files
from atalaia.cli.common import (
    Config,
    DatabaseUrl,
    DataDir,
    errors,
    fail,
    now_ms,
    say,
    settings_of,
    time_of,
    with_settings,
)
from atalaia.desk.alerts.outbox import drop_restored
from atalaia.errors import ConfigError
from atalaia.jobs.rescue import call_off_restored
from atalaia.settings import FILE_NAME, Settings
from atalaia.store.connect import open_store
from atalaia.version import VERSION, git_sha

MANIFEST, DATABASE, KEY = "manifest.json", "atalaia.db", "secret.key"
# What the job engine remembers is in no backup: it is made anew from the database.
ENGINE = "jobs.db"
FORMAT = 1
MIB = 1_048_576


def backup(
    to: Annotated[
        Path, typer.Argument(help="File to write, e.g. atalaia.tar, or .tar.gz to make it smaller.")
    ],
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Leave the key file out: keep it elsewhere yourself.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Write database, photos, attachments, exports, key and settings into one file, while the hub runs."""
    settings = settings_of(data_dir, database_url, config)
    _refuse_postgresql(settings, "backup")
    source = settings.data_dir / DATABASE
    if not source.exists():
        fail(f"There is no database at {source}. Name the folder with --data-dir.")
    if to.exists():
        fail(f"{to} is there already. Name another file; a backup is never overwritten.")
    errors.print(f"Copying {source.stat().st_size // MIB} MiB …", markup=False, highlight=False)
    try:
        files = _write(settings, source, to, config, without_key=without_key)
    except (OSError, sqlite3.Error) as error:
        to.unlink(missing_ok=True)
        fail(f"The backup failed: {getattr(error, 'strerror', None) or error}. Nothing was left behind.")
    beside = f", {files} photos, attachments and exports in it" if files else ""
    say(f"{to}: {to.stat().st_size // 1024} KiB{beside}, readable by you alone.")
    if without_key:
        say(f"The key file is not in it. Keep a copy of {settings.key_path}: without it, secrets are lost.")
    else:
        say("It holds the key to the stored secrets: keep it where only administrators can read it.")


@with_settings
def restore(
    settings: Settings,
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Put aside what is in the data folder; it is renamed, not deleted."),
    ] = False,
) -> None:
    """Put a backup into the data folder. The hub must be stopped."""
    _refuse_postgresql(settings, "restore")
    folder = settings.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as inside:
            told = _unpack(file, Path(inside))
            _check(Path(inside) / DATABASE)
            called_off = asyncio.run(_call_off(Path(inside)))
            aside = _put_aside(folder, force)
            for one in sorted(Path(inside).iterdir()):
                if one.name != MANIFEST:
                    one.replace(folder / one.name)
    except ConfigError as error:
        fail(str(error))
    except (OSError, tarfile.TarError, sqlite3.Error, KeyError, ValueError) as error:
        fail(f"{file} cannot be restored: {getattr(error, 'strerror', None) or error}.")
    say(f"Restored into {folder}: written {told['made_at']} by Atalaia {told['version']}.")
    if called_off:
        say(f"{called_off} jobs were open in it. They wait: what was sent since then is not in the backup.")
        say("Look at their upstreams, then: bin/atalaia jobs list --state cancelled, and jobs retry JOB.")
    for one in aside:
        say(f"What was there is now {one}.")
    if not (folder / KEY).exists() and not settings.keys.get_secret_value():
        say(f"The backup holds no key file. Put it at {settings.key_path} before you start the hub.")


# --- writing ---------------------------------------------------------------------------------------


def _write(settings: Settings, source: Path, to: Path, config: Path | None, *, without_key: bool) -> int:
    """Write the backup; answer how many files beside the database are in it."""
    with tempfile.TemporaryDirectory(dir=to.absolute().parent, prefix=".atalaia-backup-") as folder:
        copy = Path(folder) / DATABASE
        _copy(source, copy)
        _check(copy)
        _say_absent(copy, settings.data_dir)
        settings_file = config or settings.data_dir / FILE_NAME
        told = {"format": FORMAT, "made_at": time_of(now_ms()), "version": VERSION, "git_sha": git_sha()}
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz" if to.suffix in (".gz", ".tgz") else "w") as tar:
                _add_bytes(tar, MANIFEST, json.dumps(told, indent=2).encode() + b"\n")
                tar.add(copy, DATABASE, filter=_closed)
                if settings_file.exists():
                    tar.add(settings_file, FILE_NAME, filter=_closed)
                if settings.key_path.exists() and not without_key:
                    tar.add(settings.key_path, KEY, filter=_closed)
                files = add_files(tar, settings.data_dir, _closed)
            raw.flush()
            os.fsync(raw.fileno())
    return files


def _say_absent(database: Path, data: Path) -> None:
    """Tell of photos that the database names and the folder does not hold: no backup brings them back."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as one:
        known = one.execute("select 1 from sqlite_master where name = 'photos'").fetchone()
        digests = {row[0] for row in one.execute("select sha256 from photos")} if known else set[str]()
    one.close()
    lost = absent(data, digests)
    if lost:
        said = f"{lost} of the photos have no file in {data}: they are not in the backup either."
        errors.print(said, markup=False, highlight=False, soft_wrap=True)


def _copy(source: Path, to: Path) -> None:
    """Copy the database in one read transaction: whoever writes meanwhile is not held up."""
    with sqlite3.connect(f"file:{source}?mode=ro", uri=True) as old, sqlite3.connect(to) as new:
        old.execute("pragma busy_timeout=5000")
        old.backup(new)
        new.execute("pragma journal_mode=delete")  # one file, nothing beside it
    old.close()
    new.close()


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    about = _closed(tarfile.TarInfo(name))
    about.size = len(content)
    about.mtime = now_ms() / 1000
    tar.addfile(about, io.BytesIO(content))


def _closed(about: tarfile.TarInfo) -> tarfile.TarInfo:
    """Say nothing of this machine's users, and let nobody else read."""
    about.uid = about.gid = 0
    about.uname = about.gname = ""
    about.mode = 0o600
    return about


# --- reading ---------------------------------------------------------------------------------------


def _unpack(file: Path, folder: Path) -> dict[str, Any]:
    with tarfile.open(file) as tar:
        told: dict[str, Any] = json.loads(_content(tar, MANIFEST))
        if told.get("format") != FORMAT:
            raise ConfigError(f"{file} was written by another version of Atalaia ({told.get('version')}).")
        for name in (DATABASE, KEY, FILE_NAME):
            with suppress(KeyError):
                about = tar.getmember(name)
                if about.isfile():
                    about.mode = 0o600
                    tar.extract(about, folder, filter="data")
        extract_files(tar, folder)
    if not (folder / DATABASE).exists():
        raise ConfigError(f"{file} holds no database.")
    return told


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    try:
        found = tar.extractfile(name)
    except KeyError:
        found = None
    if found is None:
        raise ConfigError(
            "This is no backup of Atalaia: it has no manifest. Name the file that `backup` wrote."
        )
    return found.read()


def _check(database: Path) -> None:
    """Refuse a damaged database. Errors: `ConfigError`."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as one:
        said = one.execute("pragma quick_check(1)").fetchone()[0]
    one.close()
    if said != "ok":
        raise ConfigError(f"The database in it is damaged: {said}.")


async def _call_off(folder: Path) -> int:
    """Call off the jobs that are open in a restored database; answer how many."""

    def work(tx: Connection) -> int:
        # A backup of an older version knows no jobs, and no notices.
        if inspect(tx).has_table("alert_notices"):
            drop_restored(tx, now_ms())
        return call_off_restored(tx, Ambient()) if inspect(tx).has_table("jobs") else 0

    store = await open_store("", folder, exclusive=False)
    try:
        return await store.write(work)
    finally:
        await store.close()


def _put_aside(folder: Path, force: bool) -> list[Path]:
    """Rename what a restore would replace; answer the new names."""
    databases = [name + end for name in (DATABASE, ENGINE) for end in ("", "-wal", "-shm")]
    names = (*databases, KEY, FILE_NAME, *FOLDERS)
    there = [folder / name for name in names if _holds_something(folder / name)]
    if there and not force:
        raise ConfigError(
            f"{folder} holds {there[0].name} already. Name an empty folder with --data-dir, or use --force: "
            "what is there is then renamed."
        )
    suffix = f".before-{now_ms()}"
    moved = [one.rename(one.with_name(one.name + suffix)) for one in there]
    return [one for one in moved if not one.name.startswith((f"{DATABASE}-", f"{ENGINE}"))]


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Hold the lock that a running hub holds. Errors: `ConfigError` when it does."""
    descriptor = os.open(folder / f"{DATABASE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError("A hub is running on this data folder. Stop it first.") from None
    finally:
        os.close(descriptor)


def _refuse_postgresql(settings: Settings, what: str) -> None:
    url = settings.database_url.get_secret_value()
    if not url:
        return
    parts = make_url(url)
    port = f" --port {parts.port}" if parts.port else ""
    where = f"--host {parts.host or 'localhost'}{port} --username {parts.username or 'atalaia'}"
    how = (
        f"pg_dump --format=custom --file=atalaia.dump {where} {parts.database}"
        if what == "backup"
        else f"pg_restore --clean --if-exists --no-owner {where} --dbname {parts.database} atalaia.dump"
    )
    key = "" if settings.keys.get_secret_value() else f" Keep {settings.key_path} with it, in another place."
    there = [str(settings.data_dir / one) for one in FOLDERS if _holds_something(settings.data_dir / one)]
    files = f" After it, copy {' and '.join(there)}: they are files there, too." if there else ""
    fail(f"The database is PostgreSQL, which has its own tools: {how}{key}{files}")
