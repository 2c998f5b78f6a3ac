"""Attachments of messages on their way in and out, for pages and API alike."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from fastapi import UploadFile
from fastapi.responses import FileResponse

from atalaia.desk.chats import queries
from atalaia.desk.chats.files import EXPIRED, File, get_file
from atalaia.desk.chats.sniffing import OTHER, SHOWN
from atalaia.desk.chats.uploads import Upload, read_upload
from atalaia.web.i18n import N_
from atalaia.web.parts import Parts
from atalaia.web.problems import Problem, not_found

# Whatever a file says it is, nothing in it may run or load anything.
_CSP = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"


async def keep(parts: Parts, file: UploadFile, wanted: str = "") -> tuple[Upload, dict[str, Any]]:
    """Keep a file that is to be sent; answer it, and what a request says of it.

    Errors: `NotFitting`; `OSError` when the disk refuses.
    """
    content = await file.read()
    upload = read_upload(content, file.filename or "", file.content_type or "", wanted)
    kept = await asyncio.to_thread(parts.files.keep, content)
    return upload, upload.body(kept)


async def answer(parts: Parts, message: str, *, chat: str = "", save: bool = False) -> FileResponse:
    """Answer the file of a message. chat: the conversation it must be in; save: never shown in the browser.

    Errors: `Problem` 404 when there is no such message there, or its file never came; 410 when it was here.
    """

    def read(tx: Any) -> tuple[File, queries.Message] | None:
        one, file = queries.get_message(tx, message), get_file(tx, message)
        return (file, one) if one is not None and file is not None and chat in ("", one.thread) else None

    found = await parts.store.read(read)
    if found is None or not found[0].file:
        raise not_found("attachment")
    file, one = found
    path = parts.files.path(file.file)
    if file.state == EXPIRED or not await asyncio.to_thread(path.is_file):
        raise Problem(
            410, "expired", N_("The file is not here any more"),
            kept=N_("Its message and its hash are kept."),
            todo=N_("Have it fetched again; the phone gives it for as long as it has it."),
        )  # fmt: skip
    shown = file.mimetype in SHOWN and not save
    named = str((one.media or {}).get("filename") or "") or f"{one.type}-{one.key}"
    place = f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quote(named, safe='')}"
    headers = {
        "Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _CSP,
        "Content-Disposition": place,
    }  # fmt: skip
    return FileResponse(path, media_type=file.mimetype if shown else OTHER, headers=headers)
