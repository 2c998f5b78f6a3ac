"""Backup, restore and the doctor's look."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import tarfile
from pathlib import Path

import pytest

from atalaia.ambient import Ambient
from atalaia.desk.installations.photos import Album
from atalaia.store.connect import open_store
from atalaia.store.files import FileStore
from tests.cli.conftest import Command
from tests.cli.ground import ARI_PASSWORD
from tests.cli.test_events import ask

JPEG = b"\xff\xd8\xff\xe0" + b"a photo" * 100


def test_a_backup_of_a_running_hub_restores_to_the_same_log_and_secrets(
    run: Command, folder: Path, tmp_path: Path
):
    (folder / "atalaia.toml").write_text('zone = "UTC"\n')
    file, other = tmp_path / "atalaia.tar.gz", tmp_path / "other"

    async def beside_a_hub() -> None:
        hub = await open_store("", folder)
        try:
            assert (await asyncio.to_thread(run, "backup", str(file))).status == 0
            assert "running" in (await asyncio.to_thread(run, "restore", str(file))).errors
        finally:
            await hub.close()

    asyncio.run(beside_a_hub())
    assert file.stat().st_mode & 0o077 == 0
    assert run("restore", str(file), folder=other).status == 0
    everything = "select * from events order by seq"
    assert ask(other, everything) == ask(folder, everything)
    assert (other / "secret.key").read_text() == (folder / "secret.key").read_text()
    assert (other / "atalaia.toml").read_text() == 'zone = "UTC"\n'
    assert "can be opened" in run("doctor", folder=other).out
    assert ARI_PASSWORD.encode() not in file.read_bytes()


def test_a_backup_never_overwrites_and_may_leave_the_key_out(run: Command, tmp_path: Path):
    file = tmp_path / "atalaia.tar"
    done = run("backup", str(file), "--without-key")
    assert "Keep a copy" in done.out
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["manifest.json", "atalaia.db"]
    assert "never overwritten" in run("backup", str(file)).errors
    assert "Put it at" in run("restore", str(file), folder=tmp_path / "other").out


def test_a_restore_puts_aside_what_is_there_only_when_forced(run: Command, folder: Path, tmp_path: Path):
    file = tmp_path / "atalaia.tar"
    run("backup", str(file))
    before = ask(folder, "select count(*) from events")
    assert "--force" in run("restore", str(file)).errors
    assert "is now" in run("restore", str(file), "--force").out
    assert ask(folder, "select count(*) from events") == before
    assert list(folder.glob("atalaia.db.before-*"))


def test_photos_and_exports_come_back_with_the_database_that_names_them(
    run: Command, folder: Path, tmp_path: Path
):
    file, other, photo = tmp_path / "atalaia.tar.gz", tmp_path / "other", add_photo(folder, JPEG)
    export = folder / "exports" / "instalacoes-2026-11.csv"
    export.parent.mkdir()
    export.write_text("one line")
    (folder / "exports" / "instalacoes-2026-11.csv.new").write_text("half a li")
    sent = FileStore(folder / "media", Ambient()).keep(b"a voice message")
    assert "3 photos, attachments and exports" in run("backup", str(file)).out
    with tarfile.open(file) as tar:
        assert not {one.name for one in tar if one.mode & 0o077}
    assert run("restore", str(file), folder=other).status == 0
    names = "select name, sha256 from photos"
    assert ask(other, names) == ask(folder, names) == [("Client 112/TST1A23/Placa1.jpg", photo.name)]
    assert (other / photo.relative_to(folder)).read_bytes() == JPEG
    assert FileStore(other / "media", Ambient()).read(sent) == b"a voice message"
    assert [(one.name, one.read_text()) for one in (other / "exports").iterdir()] == [
        (export.name, "one line")
    ]
    assert "holds" in run("restore", str(file), folder=other).errors


def test_a_photo_without_its_file_is_told_of_when_it_is_missed(run: Command, folder: Path, tmp_path: Path):
    add_photo(folder, JPEG).unlink()
    done = run("backup", str(tmp_path / "atalaia.tar"))
    assert done.status == 0
    assert "1 of the photos have no file" in done.errors


def test_a_damaged_photo_is_not_restored(run: Command, folder: Path, tmp_path: Path):
    photo = add_photo(folder, JPEG)
    photo.write_bytes(JPEG + b"rotten")
    file = tmp_path / "atalaia.tar"
    run("backup", str(file))
    done = run("restore", str(file), folder=tmp_path / "other")
    assert done.status == 1
    assert "A file in it is damaged" in done.errors
    assert not (tmp_path / "other" / "atalaia.db").exists()


def test_a_forced_restore_puts_photos_and_exports_aside_too(run: Command, folder: Path, tmp_path: Path):
    file = tmp_path / "atalaia.tar"
    run("backup", str(file))
    kept = add_photo(folder, JPEG).relative_to(folder / "photos")
    assert run("restore", str(file), "--force").status == 0
    assert not (folder / "photos").exists()
    [aside] = folder.glob("photos.before-*")
    assert (aside / kept).read_bytes() == JPEG


def add_photo(folder: Path, content: bytes) -> Path:
    """Keep a photo as a hub would; answer its file."""

    async def work() -> Path:
        album = Album(Ambient(), folder / "photos")
        kept = album.keep(content)
        store = await open_store("", folder, exclusive=False)
        try:
            about = {"kind": "Placa", "client": "Client 112", "plate": "TST1A23", "by": "test"}
            await store.write(lambda tx: album.add(tx, kept, size_bytes=len(content), **about))
        finally:
            await store.close()
        return album.path(kept[0])

    return asyncio.run(work())


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b broken"])
def test_what_is_no_backup_changes_nothing(run: Command, folder: Path, tmp_path: Path, content: bytes):
    file = tmp_path / "strange"
    file.write_bytes(content)
    before = sorted(one.name for one in folder.iterdir())
    assert run("restore", str(file), "--force").status == 1
    assert sorted({*before, "atalaia.db.lock"}) == sorted(one.name for one in folder.iterdir())


def test_a_damaged_database_is_not_restored(run: Command, folder: Path, tmp_path: Path):
    file, broken = tmp_path / "atalaia.tar", tmp_path / "broken.tar"
    run("backup", str(file))
    raw = bytearray(file.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 8_192] = b"\xa5" * 8_192
    broken.write_bytes(raw)
    done = run("restore", str(broken), folder=tmp_path / "other")
    assert done.status == 1
    assert not (tmp_path / "other" / "atalaia.db").exists()


@pytest.mark.parametrize(("what", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_postgresql_has_its_own_tools_and_keeps_its_password(
    run: Command, tmp_path: Path, what: str, tool: str
):
    url = "postgresql+asyncpg://hub:canary-pg@db.example.test/atalaia"
    done = run(what, str(tmp_path / "x.tar"), "--database-url", url)
    assert done.status == 1
    assert tool in done.errors and "db.example.test" in done.errors
    assert "canary-pg" not in done.errors


def test_the_doctor_finds_a_lost_key_and_a_taken_port(
    run: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("ATALAIA_PORT", str(other.getsockname()[1]))
        (folder / "secret.key").unlink()
        done = run("doctor", "--json")
    wrong = {row["what"]: row for row in done.rows if not row["ok"]}
    assert done.status == 1
    assert "missing" in wrong["stored secrets"]["said"]
    assert any(what.startswith("port ") for what in wrong)
    assert not (folder / "secret.key").exists()


def test_the_doctor_says_that_another_key_does_not_fit(run: Command, folder: Path, tmp_path: Path):
    (folder / "secret.key").write_text("")
    (folder / "secret.key").unlink()
    from atalaia.secretbox import SecretBox

    SecretBox.from_file(folder / "secret.key")
    done = run("doctor")
    assert done.status == 1
    assert "another" in done.out or "does not have" in done.out


def test_the_doctor_is_content_with_a_healthy_folder(
    run: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATALAIA_PORT", "0")
    assert run("doctor").status == 0
    with sqlite3.connect(folder / "atalaia.db") as db:
        assert db.execute("pragma quick_check").fetchone() == ("ok",)
    db.close()
