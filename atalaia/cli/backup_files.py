"""The files beside the database that belong to it: photos, attachments of messages, exported records."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from atalaia.desk.exports.destinations import FOLDER as EXPORTS
from atalaia.desk.installations.photos import FOLDER as PHOTOS
from atalaia.errors import ConfigError
from atalaia.store.files import FOLDER as MEDIA

FOLDERS = (PHOTOS, MEDIA, EXPORTS)
CHUNK = 1_048_576
_HASHED = re.compile(rf"(?:{PHOTOS}|{MEDIA})/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})")
_EXPORT = re.compile(rf"{EXPORTS}/[\w-]+\.(csv|xlsx)")


def add_files(tar: tarfile.TarFile, data: Path, closed: Callable[[tarfile.TarInfo], tarfile.TarInfo]) -> int:
    """Add what is there now, after the database was copied; answer how many files.

    A photo's or attachment's file is written before its row and never changed, an export's is replaced as a
    whole, so all that the copied database names is among them, and none is half. Retention removes a file one
    pass after its row says so. closed: takes this machine's users out.
    """
    added = 0
    for file in _files(data):
        name = file.relative_to(data).as_posix()
        with suppress(FileNotFoundError), file.open("rb") as content:  # retention may have taken it just now
            # By the open file: another one may have taken its name since.
            tar.addfile(closed(tar.gettarinfo(arcname=name, fileobj=content)), content)
            added += 1
    return added


def extract_files(tar: tarfile.TarFile, folder: Path) -> int:
    """Put the files of a backup into `folder`; answer how many. Errors: `ConfigError` for a damaged one."""
    extracted = 0
    for about in tar:
        hashed = _HASHED.fullmatch(about.name)
        if not about.isfile() or not (hashed or _EXPORT.fullmatch(about.name)):
            continue
        about.mode = 0o600
        tar.extract(about, folder, filter="data")
        if hashed and _digest(folder / about.name) != hashed.group(2):
            raise ConfigError(f"A file in it is damaged: {about.name}.")
        extracted += 1
    return extracted


def absent(data: Path, digests: set[str]) -> int:
    """Answer how many of these photos have no file."""
    return sum(1 for one in digests if not (data / PHOTOS / one[:2] / one).is_file())


def _files(data: Path) -> Iterator[Path]:
    for name in FOLDERS:
        for file in sorted((data / name).rglob("*")):
            inside = file.relative_to(data).as_posix()
            if (_HASHED.fullmatch(inside) or _EXPORT.fullmatch(inside)) and file.is_file():
                yield file


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
