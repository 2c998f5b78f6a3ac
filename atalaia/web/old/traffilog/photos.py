"""Photos from the technician's app. Source: contract §12.1 (`/api/photos/upload`)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from atalaia.desk.installations import queries
from atalaia.desk.installations.photos import BYTES_MAX, KINDS, WrongPhoto, get_photo
from atalaia.web.album import album_of, keep_photo
from atalaia.web.old.traffilog.access import Technician, TechnicianReads
from atalaia.web.old.traffilog.common import Body, OldRefusal, mapping, old_router, word
from atalaia.web.parts import Parts, parts_of

routes = old_router()
_FIELDS = ("type", "client_descr", "plate", "fleet", "installation_id")
_FILE: Body = {"description": "The file.", "content": {"image/*": {"schema": {"type": "string"}}}}
_MULTIPART: Body = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photo", "type", "client_descr", "plate"],
                    "properties": {
                        "photo": {"type": "string", "format": "binary"},
                        "type": {"enum": list(KINDS)},
                        **{name: {"type": "string"} for name in _FIELDS[1:]},
                    },
                }
            }
        },
    }
}


@routes.post("/api/photos/upload", openapi_extra=_MULTIPART)
async def upload(request: Request, caller: Technician) -> JSONResponse:
    """Keep a photo of at most 15 MB; what it is, is told from its content."""
    parts = parts_of(request)
    content, fields = await _read(request)
    root = await _installation(parts, fields["installation_id"])
    try:
        if fields["type"] not in KINDS:
            raise WrongPhoto("unknown_kind", f"type is one of {', '.join(KINDS)}.")
        photo = await keep_photo(
            parts, content, kind=fields["type"], client=fields["client_descr"], plate=fields["plate"],
            fleet=fields["fleet"], by=caller.name, installation=root,
        )  # fmt: skip
    except WrongPhoto as error:
        raise OldRefusal(400, error.code, detail=str(error)) from None
    except OSError:
        raise OldRefusal(
            502, "storage_failed", detail="The photo could not be written to the disk."
        ) from None
    url = f"{parts.settings.public_url}/api/photos/{photo.id}"
    return JSONResponse({"ok": True, "id": photo.id, "name": photo.name, "webUrl": url})


@routes.get("/api/photos/{photo}", response_class=FileResponse, responses={200: _FILE})
async def show(
    request: Request, _: TechnicianReads,
    photo: Annotated[str, Path(max_length=40, pattern=r"^[\w-]+$")],
) -> FileResponse:  # fmt: skip
    """Answer a photo; this is where `webUrl` leads."""
    parts = parts_of(request)
    found = await parts.store.read(lambda tx: get_photo(tx, photo))
    path = album_of(parts).path(found.sha256) if found else None
    if found is None or path is None or not path.is_file():
        raise OldRefusal(404, "not_found")
    return FileResponse(path, media_type=found.media, headers={"Cache-Control": "private, max-age=86400"})


async def _read(request: Request) -> tuple[bytes, dict[str, str]]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise OldRefusal(400, "photo_ausente", detail="Send multipart/form-data.")
    try:
        async with request.form(max_files=1, max_fields=20) as form:
            return await _fields(form)
    except HTTPException:
        raise OldRefusal(400, "invalid_form") from None


async def _fields(form: FormData) -> tuple[bytes, dict[str, str]]:
    photo = form.get("photo")
    if not isinstance(photo, UploadFile):
        raise OldRefusal(400, "photo_ausente")
    if (photo.size or 0) > BYTES_MAX:
        raise OldRefusal(400, "too_large", detail="A photo may have 15 MB at most.")
    texts = mapping({name: form.get(name) for name in _FIELDS})
    return await photo.read(), {name: word(texts, name) for name in _FIELDS}


async def _installation(parts: Parts, identity: str) -> str:
    """Answer the installation that a photo belongs to, "" when none is named."""
    if not identity:
        return ""
    seen = await parts.store.read(lambda tx: queries.get(tx, identity))
    if seen is None:
        raise OldRefusal(404, "not_found", detail="There is no such installation.")
    return seen.installation.root
