"""Files by the hash of their content, in a folder of their own: written whole and durably, or not at all."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from atalaia.ambient import Ambient
from atalaia.clock import to_ms

FOLDER = "media"  # within the data folder
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OURS = re.compile(r"[0-9a-f]{64}(\.[\w-]+)?")  # the second part: it was never finished


@dataclass(frozen=True, slots=True)
class Kept:
    """One file as it lies there. sha256: "" for one that was never finished.

    kept_ms: when somebody brought it last, by the hub's clock; the file's own time says it.
    """

    path: Path
    sha256: str
    size_bytes: int
    kept_ms: int


@dataclass(frozen=True)
class FileStore:
    """One folder. The same content is kept once, whoever brings it."""

    folder: Path
    ambient: Ambient

    def keep(self, content: bytes) -> str:
        """Write a file down; answer its SHA-256 in hex. Blocking. Errors: `OSError` when the disk refuses."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.path(digest)
        if self._stamp(path):
            return digest
        path.parent.mkdir(parents=True, exist_ok=True)
        new = self._beside(path)
        try:
            with new.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            self._stamp(new)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return digest

    def read(self, sha256: str) -> bytes:
        """Answer a file's content. Errors: `ValueError` for no hash, `OSError` when it is not there."""
        return self.path(sha256).read_bytes()

    def path(self, sha256: str) -> Path:
        """Answer where a file lies, whether or not it is there. Errors: `ValueError` for what is no hash."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256 in hex")
        return self.folder / sha256[:2] / sha256

    def shelves(self) -> list[Path]:
        """Answer the folders in which files lie; `lying` lists one of them. Blocking. Errors: `OSError`."""
        return sorted(self.folder.glob("[0-9a-f][0-9a-f]"))

    def lying(self, shelf: Path) -> list[Kept]:
        """Answer the files of one shelf; what is none of ours is left out. Blocking. Errors: `OSError`."""
        found: list[Kept] = []
        for path in sorted(shelf.iterdir()):
            if _OURS.fullmatch(path.name) and path.name.startswith(shelf.name) and (one := _look(path)):
                found.append(one)
        return found

    def remove(self, one: Kept) -> bool:
        """Delete a file, unless somebody brought it again meanwhile; answer whether it is gone. Blocking.

        Errors: `OSError` when the disk refuses.
        """
        aside = self._beside(one.path)
        try:
            # From here on whoever brings it writes it anew; who did so just before has stamped it.
            one.path.rename(aside)
        except FileNotFoundError:
            return False
        found = _look(aside)
        if found is not None and found.kept_ms != one.kept_ms:
            aside.replace(one.path)
            return False
        aside.unlink(missing_ok=True)
        return True

    def _beside(self, path: Path) -> Path:
        return path.with_name(f"{path.name[:64]}.{self.ambient.ids.new()}")

    def _stamp(self, path: Path) -> bool:
        """Say that it was brought now; answer False when it is not there, or is another user's file."""
        now = to_ms(self.ambient.clock.now()) * 1_000_000
        try:
            os.utime(path, ns=(now, now))
        except (FileNotFoundError, PermissionError):
            return False
        return True


def _look(path: Path) -> Kept | None:
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    whole = path.name if _SHA256.fullmatch(path.name) else ""
    return Kept(path, whole, about.st_size, about.st_mtime_ns // 1_000_000)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
