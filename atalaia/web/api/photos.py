"""Photos and exports of installations for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, File, Form, Query, Request, UploadFile
from fastapi.responses import FileResponse

from atalaia.desk.exports import exporter
from atalaia.desk.exports.exporter import NotExported
from atalaia.desk.installations import photos, queries
from atalaia.desk.installations.photos import KINDS, Photo, WrongPhoto
from atalaia.web.access import Who, require
from atalaia.web.album import file_of, keep_photo
from atalaia.web.api.common import ONCE, Wire, router
from atalaia.web.parts import parts_of
from atalaia.web.problems import Fault, Problem, not_found
from atalaia.web.wire import Cursor, Identity, Limit, Moment, Page, page_of, read_cursor

routes = router("installations")
_READ = [Depends(require("installations:read"))]
Writer = Annotated[Who, Depends(require("installations:write"))]
_FIELDS = {"unknown_kind": "kind", "no_folder": "plate"}
_REMEDIES = {
    "too_large": "Send it smaller: 15 MB at most.",
    "not_an_image": "Send JPEG, PNG, WebP or HEIC.",
    "empty": "Send the file's content.",
    "unknown_kind": f"Use one of {', '.join(KINDS)}.",
    "no_folder": "Name client and plate.",
}


class PhotoOut(Wire):
    """One photo. name: `<client>/<fleet - plate>/<kind><n>.<ending>`; installation: "" when it came alone."""

    id: str
    installation: str
    kind: str
    name: str
    media: str
    size_bytes: int
    sha256: str
    by: str
    created_at: Moment


class ExportOut(Wire):
    """How a record stands at one destination. state: `pending`, `done`, `failed` (again at `next_at`)."""

    destination: str
    state: str
    attempts: int
    error: str
    place: str
    next_at: Moment
    done_at: Moment | None


@routes.get("/hub/photos", dependencies=_READ)
async def list_all_photos(
    request: Request,
    text: Annotated[str, Query(max_length=120, description="Part of the name: client, plate, kind.")] = "",
    cursor: Cursor = None, limit: Limit = 50,
) -> Page[PhotoOut]:  # fmt: skip
    """List photos, the latest first; also those that came without an installation."""
    before = read_cursor(cursor, int, str)
    rows = await parts_of(request).store.read(
        lambda tx: photos.find_photos(tx, text.strip(), before=before, limit=limit + 1)
    )
    found, following = page_of(rows, limit, "created_ms", "id")
    return Page(items=[_out(one) for one in found], next=following)


@routes.get("/hub/photos/{photo}", dependencies=_READ)
async def get_photo(request: Request, photo: Identity) -> PhotoOut:
    """Answer what is known of a photo."""
    found = await parts_of(request).store.read(lambda tx: photos.get_photo(tx, photo))
    if found is None:
        raise not_found("photo")
    return _out(found)


@routes.get(
    "/hub/photos/{photo}/file", dependencies=_READ, response_class=FileResponse,
    responses={200: {"description": "The file.", "content": {"image/*": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def get_file(request: Request, photo: Identity) -> FileResponse:
    """Answer a photo's file."""
    parts = parts_of(request)
    return file_of(parts, await parts.store.read(lambda tx: photos.get_photo(tx, photo)))


@routes.get("/hub/installations/{installation}/photos", dependencies=_READ)
async def list_photos(request: Request, installation: Identity) -> list[PhotoOut]:
    """List an installation's photos, the oldest first."""
    parts = parts_of(request)
    root = (await _installation(request, installation)).root
    return [_out(one) for one in await parts.store.read(lambda tx: photos.list_photos(tx, root))]


@routes.post("/hub/installations/{installation}/photos", status_code=201, dependencies=ONCE)
async def add_photo(
    request: Request, installation: Identity, who: Writer,
    photo: Annotated[UploadFile, File(description="JPEG, PNG, WebP or HEIC, 15 MB at most.")],
    kind: Annotated[str, Form(max_length=40, description=f"One of {', '.join(KINDS)}.")],
    fleet: Annotated[str, Form(max_length=60, description="The vehicle's number in its fleet.")] = "",
) -> PhotoOut:  # fmt: skip
    """Keep a photo; what it is, is told from its content. The same one again answers the one there is."""
    one = await _installation(request, installation)
    try:
        kept = await keep_photo(
            parts_of(request), await photo.read(), kind=kind,
            client=one.client_name or one.client or one.service, plate=one.plate, fleet=fleet,
            installation=one.root, by=who.name,
        )  # fmt: skip
    except WrongPhoto as error:
        fault = Fault(f"body.{_FIELDS.get(error.code, 'photo')}", error.code, _REMEDIES[error.code])
        raise Problem(422, "invalid-input", "The input does not fit", str(error), errors=[fault]) from None
    except OSError:
        said = "The photo could not be written to the disk. It was not kept."
        raise Problem(503, "storage-failed", "The disk took nothing", said) from None
    return _out(kept)


@routes.get("/hub/installations/{installation}/exports", dependencies=_READ)
async def list_exports(request: Request, installation: Identity) -> list[ExportOut]:
    """Say how the saved record stands at each destination; nothing before it is saved."""
    root = (await _installation(request, installation)).root
    rows = await parts_of(request).store.read(lambda tx: exporter.exports_of(tx, root))
    return [
        ExportOut(
            destination=one.destination, state=one.state, attempts=one.attempts, error=one.error,
            place=one.place, next_at=one.next_ms, done_at=one.done_ms,
        )
        for one in rows
    ]  # fmt: skip


@routes.post("/hub/installations/{installation}/exports/{destination}/again", dependencies=ONCE)
async def export_again(
    request: Request, installation: Identity, destination: Identity, who: Writer
) -> list[ExportOut]:
    """Send the record to a destination once more, also when it is there; it takes its own place there."""
    parts = parts_of(request)
    root = (await _installation(request, installation)).root
    try:
        await parts.store.write(lambda tx: exporter.again(tx, parts.ambient, root, destination, by=who.name))
    except NotExported:
        raise not_found("export") from None
    return await list_exports(request, installation)


async def _installation(request: Request, identity: str) -> queries.Installation:
    seen = await parts_of(request).store.read(lambda tx: queries.get(tx, identity))
    if seen is None:
        raise not_found("installation")
    return seen.installation


def _out(one: Photo) -> PhotoOut:
    return PhotoOut(
        id=one.id, installation=one.installation, kind=one.kind, name=one.name, media=one.media,
        size_bytes=one.size_bytes, sha256=one.sha256, by=one.by, created_at=one.created_ms,
    )  # fmt: skip
