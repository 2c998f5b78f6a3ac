"""Opening a database: one process per SQLite file, the right shape, and words that help."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from atalaia.errors import ConfigError, StoreUnavailable
from atalaia.store import sqlite
from atalaia.store.connect import open_store
from atalaia.store.search import is_search
from atalaia.store.tables import metadata
from tests.store.bases import Base
from tests.store.test_group_commit import names, put

ROOT = Path(__file__).resolve().parents[2]
OPEN = """
import asyncio, sys
from pathlib import Path
from atalaia.errors import ConfigError
from atalaia.store.connect import open_store
try:
    asyncio.run(open_store("", Path(sys.argv[1])))
except ConfigError as error:
    sys.exit(str(error))
"""


def open_elsewhere(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", OPEN, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


async def test_a_second_process_on_the_same_file_is_refused_in_clear_words(sqlite: Base):
    store = await sqlite.open()

    other = await asyncio.to_thread(open_elsewhere, sqlite.folder)

    assert other.returncode == 1
    assert f"process {os.getpid()}" in other.stderr
    assert str(sqlite.folder / "atalaia.db") in other.stderr
    assert "PostgreSQL" in other.stderr
    assert "Traceback" not in other.stderr
    assert await store.write(put("a")) == "a"


async def test_the_file_is_free_again_once_its_process_is_gone(sqlite: Base):
    await (await sqlite.open()).close()

    assert (await asyncio.to_thread(open_elsewhere, sqlite.folder)).returncode == 0
    assert await (await sqlite.open()).write(put("a")) == "a"


async def test_a_short_command_may_look_into_the_file_of_a_running_hub(sqlite: Base):
    store = await sqlite.open()
    await store.write(put("a"))

    other = await open_store("", sqlite.folder, exclusive=False)
    await other.write(put("b"))

    assert await other.read(names) == await store.read(names) == ["a", "b"]
    await other.close()


async def test_a_command_without_a_hub_says_what_to_do(tmp_path: Path):
    with pytest.raises(ConfigError, match="Start the hub first"):
        await open_store("", tmp_path, exclusive=False)


async def test_the_migrations_make_exactly_the_tables(base: Base):
    store = await base.open()

    def differences(tx: Connection) -> list[object]:
        options = {
            "compare_type": True,
            "compare_server_default": store.dialect == "postgresql",
            "include_name": lambda name, _, __: not is_search(name),
        }
        return list(compare_metadata(MigrationContext.configure(tx, opts=options), metadata))

    assert await store.write(differences) == []


async def test_opening_again_migrates_nothing(base: Base):
    store = await base.open()
    await store.write(put("a"))
    await base.close()

    assert await (await base.open()).read(names) == ["a"]


async def test_workers_that_start_together_migrate_once(shared: Base):
    stores = await asyncio.gather(*[shared.open() for _ in range(4)])

    await asyncio.gather(*[store.write(put(f"{n}")) for n, store in enumerate(stores)])
    assert await stores[0].read(names) == ["0", "1", "2", "3"]


async def test_a_newer_database_is_refused_and_left_alone(base: Base):
    store = await base.open()
    await store.write(lambda tx: tx.execute(text("update alembic_version set version_num = '9999'")))
    await base.close()

    for _ in range(2):  # the refused one also lets go of the file
        with pytest.raises(ConfigError, match=r"newer Atalaia \(schema 9999\)"):
            await base.open()


async def test_space_of_deleted_rows_can_be_given_back(sqlite: Base):
    store = await sqlite.open()

    assert await store.read(lambda tx: tx.exec_driver_sql("pragma auto_vacuum").scalar()) == 2
    assert await store.read(lambda tx: tx.exec_driver_sql("pragma journal_mode").scalar()) == "wal"
    assert await store.write(lambda tx: tx.exec_driver_sql("pragma synchronous").scalar()) == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:hush@localhost/x", "names mysql, which is not supported"),
        ("no address at all", "is not an address"),
    ],
)
async def test_an_address_we_cannot_use_is_named_without_its_password(url: str, said: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=said) as raised:
        await open_store(url, tmp_path)
    assert "hush" not in str(raised.value)


async def test_a_database_that_does_not_exist_is_a_setting_to_correct(shared: Base, tmp_path: Path):
    url = shared.url.rpartition("/")[0] + "/nowhere"
    with pytest.raises(ConfigError, match='"nowhere" does not exist'):
        await open_store(url, tmp_path)


async def test_a_server_that_does_not_answer_at_start_is_unavailable(tmp_path: Path):
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await open_store("postgresql://atalaia@127.0.0.1:1/x", tmp_path)


def test_the_head_that_is_taken_for_current_is_the_newest_migration():
    from alembic.script import ScriptDirectory

    from atalaia.store.migrate import HEAD, alembic_config

    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD


def test_a_process_that_was_killed_a_moment_ago_is_waited_for(tmp_path, monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    held = os.open(tmp_path / "atalaia.db.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.write(held, str(child.pid).encode())
    waits: list[float] = []

    def go(seconds: float) -> None:
        waits.append(seconds)
        os.close(held)  # the last of its threads has gone

    monkeypatch.setattr(sqlite.time, "sleep", go)
    store = sqlite.SqliteStore(tmp_path / "atalaia.db")

    assert waits == [sqlite.LOCK_PAUSE_S]
    asyncio.run(store.close())
