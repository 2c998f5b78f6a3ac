"""Photos on their way in and out, for pages and API alike: the file first, then its row."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi.responses import FileResponse

from atalaia.desk.installations.photos import FOLDER, Album, Photo
from atalaia.web.parts import Parts
from atalaia.web.problems import not_found


def album_of(parts: Parts) -> Album:
    """Answer the album of the data folder."""
    return Album(parts.ambient, parts.settings.data_dir / FOLDER)


async def keep_photo(
    parts: Parts, content: bytes, *, kind: str, client: str, plate: str, by: str, fleet: str = "",
    installation: str = "",
) -> Photo:  # fmt: skip
    """Keep a photo, its file first. Errors: `WrongPhoto`; `OSError` when the disk refuses."""
    album = album_of(parts)
    kept = await asyncio.to_thread(album.keep, content)
    return await parts.store.write(
        lambda tx: album.add(
            tx, kept, size_bytes=len(content), kind=kind, client=client, plate=plate, fleet=fleet,
            installation=installation, by=by,
        )
    )  # fmt: skip


def file_of(parts: Parts, photo: Photo | None) -> FileResponse:
    """Answer a photo's file. Errors: `Problem` 404 when there is no row or no file."""
    path: Path | None = album_of(parts).path(photo.sha256) if photo else None
    if photo is None or path is None or not path.is_file():
        raise not_found("photo")
    headers = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type=photo.media, headers=headers)
