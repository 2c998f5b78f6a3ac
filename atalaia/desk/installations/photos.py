"""Photos of installations: files by the hash of their content, named as the old software stored them.

What a file is, is told from its content, never from its name. Source: contract §12.1 (`/api/photos/upload`).
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, tuple_

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import AtalaiaError
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.installation_tables import installations, photos
from atalaia.store.store import serialise

KINDS = ("Cabeamento", "LocalInstalacao", "Veiculo", "Equipamento", "Placa", "Chassi", "Documento")
BYTES_MAX = 15 * 1024 * 1024
PRODUCER = "photos"
FOLDER = "photos"  # of the data folder
_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*#%]+')


class WrongPhoto(AtalaiaError):
    """The file cannot be taken. code: `too_large`, `not_an_image`, `empty`, `unknown_kind`, `no_folder`."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code = code


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo. name: `<client>/<fleet - plate>/<Type><n>.<ext>`; installation: "" when it came alone."""

    id: str
    installation: str
    kind: str
    folder: str
    number: int
    name: str
    media: str
    size_bytes: int
    sha256: str
    by: str
    created_ms: int


@dataclass(frozen=True)
class Album:
    """Takes photos into a folder."""

    ambient: Ambient
    folder: Path

    def keep(self, content: bytes) -> tuple[str, str, str]:
        """Write a file down before its row is; answer (sha256, media type, ending). Blocking.

        Errors: `WrongPhoto`; `OSError` when the disk refuses.
        """
        if not content:
            raise WrongPhoto("empty", "The file is empty.")
        if len(content) > BYTES_MAX:
            raise WrongPhoto("too_large", "A photo may have 15 MB at most.")
        media, ending = media_of(content)
        digest = hashlib.sha256(content).hexdigest()
        path = self.path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(f".{self.ambient.ids.new()}")
            with new.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            new.replace(path)
        return digest, media, ending

    def path(self, sha256: str) -> Path:
        """Answer where a file lies."""
        return self.folder / sha256[:2] / sha256

    def add(
        self, tx: Connection, kept: tuple[str, str, str], *, size_bytes: int, kind: str, client: str,
        plate: str, by: str, fleet: str = "", installation: str = "",
    ) -> Photo:  # fmt: skip
        """Write a photo's row under the next number of its kind; the same one again answers the row there is.

        kept: what `keep` answered. Errors: `WrongPhoto`.
        """
        if kind not in KINDS:
            raise WrongPhoto("unknown_kind", f"“{kind}” is no kind of photo: {', '.join(KINDS)}.")
        digest, media, ending = kept
        folder = folder_of(client, plate, fleet)
        serialise(tx)
        c = photos.c
        there = (c.folder == folder, c.kind == kind)
        same = tx.execute(
            select(photos).where(*there, c.sha256 == digest, c.installation == installation)
        ).first()
        if same is not None:
            return to_photo(same)
        number = int(tx.scalar(select(func.max(c.number)).where(*there)) or 0) + 1
        now = to_ms(self.ambient.clock.now())
        one = Photo(
            self.ambient.ids.new(), installation, kind, folder, number, f"{folder}/{kind}{number}.{ending}",
            media, size_bytes, digest, by[:120], now,
        )  # fmt: skip
        tx.execute(insert(photos).values({name: getattr(one, name) for name in Photo.__dataclass_fields__}))
        if installation:
            self._tell(tx, one, now)
        return one

    def _tell(self, tx: Connection, one: Photo, now: int) -> None:
        row = tx.execute(select(installations).where(installations.c.root == one.installation)).first()
        if row is None:
            return
        data = {
            "service": row.service, "plate": row.plate, "job": one.installation, "name": one.name,
            "sha256": one.sha256, "size_bytes": one.size_bytes, "by": one.by,
        }  # fmt: skip
        fact = Fact("installation.photo_added", one.installation, now, data)
        append_facts(tx, self.ambient, PRODUCER, [fact], connection=row.connection)


def list_photos(tx: Connection, installation: str) -> list[Photo]:
    """Answer the photos of an installation, oldest first."""
    query = select(photos).where(photos.c.installation == installation).order_by(photos.c.created_ms)
    return [to_photo(row) for row in tx.execute(query)]


def find_photos(
    tx: Connection, words: str = "", *, before: tuple[int, str] | None = None, limit: int = 50
) -> list[Photo]:
    """Answer photos, the latest first. words: part of the name; before: (created_ms, id) known already."""
    c = photos.c
    query = select(photos)
    if words:
        query = query.where(c.name.icontains(words, autoescape=True))
    if before is not None:
        query = query.where(tuple_(c.created_ms, c.id) < before)
    return [
        to_photo(row) for row in tx.execute(query.order_by(c.created_ms.desc(), c.id.desc()).limit(limit))
    ]


def get_photo(tx: Connection, identity: str) -> Photo | None:
    """Answer one photo."""
    row = tx.execute(select(photos).where(photos.c.id == identity)).first()
    return to_photo(row) if row else None


def to_photo(row: object) -> Photo:
    """Read a row of `photos`, all columns."""
    return Photo(*(getattr(row, name) for name in Photo.__dataclass_fields__))


def media_of(content: bytes) -> tuple[str, str]:
    """Answer (media type, ending) by a file's first bytes. Errors: `WrongPhoto` `not_an_image`."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", "jpg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png", "png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp", "webp"
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1", b"heif"):
        return "image/heic", "heic"
    raise WrongPhoto("not_an_image", "That is no photo: JPEG, PNG, WebP and HEIC are taken.")


def folder_of(client: str, plate: str, fleet: str = "") -> str:
    """Answer `<client>/<fleet - plate>`, without what no file system takes. Errors: `WrongPhoto`."""
    vehicle = f"{_clean(fleet)} - {_clean(plate)}" if _clean(fleet) else _clean(plate)
    if not _clean(client) or not _clean(plate):
        raise WrongPhoto("no_folder", "A photo needs the client and the plate it belongs to.")
    return f"{_clean(client)[:150]}/{vehicle[:140]}"


def _clean(text: str) -> str:
    return " ".join(_UNSAFE.sub(" ", text).split()).strip(". ")
