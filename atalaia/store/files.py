"""Files by the hash of their content, in a folder of their own: written whole and durably, or not at all."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from atalaia.ids import Ids

FOLDER = "media"  # within the data folder
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileStore:
    """One folder. The same content is kept once, whoever brings it."""

    folder: Path
    ids: Ids

    def keep(self, content: bytes) -> str:
        """Write a file down; answer its SHA-256 in hex. Blocking. Errors: `OSError` when the disk refuses."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.path(digest)
        if path.exists():
            return digest
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{self.ids.new()}")
        try:
            with new.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
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


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
