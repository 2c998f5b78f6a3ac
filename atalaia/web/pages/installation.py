"""The page of one installation: how it stands, what the check shows, what a person may do, photos, audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, File, Form, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.connectors.traffilog.importing import schemes_of, side_words
from atalaia.desk.exports import exporter
from atalaia.desk.exports.exporter import Exported, NotExported, exports_of
from atalaia.desk.installations import checks, photos, queries
from atalaia.desk.installations.actions import (
    Done,
    Installations,
    NoSuchInstallation,
    NotPossible,
    expires_ms,
)
from atalaia.desk.installations.photos import Photo, WrongPhoto
from atalaia.desk.installations.queries import Installation, Seen
from atalaia.desk.vehicles.plates import Plates, plates_of_jobs
from atalaia.jobs.queries import Job
from atalaia.jobs.submit import NotNow, WrongParams
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.album import file_of, keep_photo
from atalaia.web.api.jobs import orders_of
from atalaia.web.i18n import N_
from atalaia.web.pages import installations as listed
from atalaia.web.pages import jobs as job_pages
from atalaia.web.pages.common import Part, Words, done, look, screens, show
from atalaia.web.pages.installs import VERDICTS, Verified, verified_of
from atalaia.web.pages.stages import Stage, current, looks_good, stages_of
from atalaia.web.pages.telling import Names, Told, tell
from atalaia.web.pages.work import quantity_words
from atalaia.web.parts import parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity

routes = screens("installations:read")
Writer = Annotated[Who, Depends(require("installations:write"))]
Reason = Annotated[str, Form(max_length=500)]
VALUES_MAX = 400
PHOTO_KINDS = {
    "Cabeamento": N_("Wiring"),
    "LocalInstalacao": N_("Place of installation"),
    "Veiculo": N_("Vehicle"),
    "Equipamento": N_("Unit"),
    "Placa": N_("Plate"),
    "Chassi": N_("Chassis"),
    "Documento": N_("Document"),
}


@dataclass
class Shown:
    """What the page shows. check: all checks together; history: what people did, oldest first.

    scheme, mount: in words.
    """

    seen: Seen
    check: dict[str, Any]
    summary: dict[str, Any]
    until_ms: int | None
    photos: list[Photo]
    exports: list[Exported]
    history: list[Told]
    kinds: list[tuple[str, str]]
    connection: str
    names: dict[str, str]
    plates: Plates
    stages: list[Stage]
    scheme: str
    mount: str
    verified: Verified | None = None

    @property
    def now(self) -> Job | None:
        """The job that is under way."""
        return current(self.stages)

    @property
    def good(self) -> bool:
        """Whether the check shows no trouble."""
        return looks_good(self.summary, self.seen.installation.service)

    @property
    def taken(self) -> dict[str, int]:
        """How many photos there are, by kind."""
        return Counter(photo.kind for photo in self.photos)


@routes.get("/installations/{root}")
async def page(request: Request, root: Identity, part: Part = "") -> Response:
    """Answer the page of one installation."""
    view = render.view_of(request)

    def read(tx: Connection) -> Shown | None:
        with i18n.drawing(view):
            found = queries.get(tx, root)
            return read_shown(tx, found) if found else None

    shown = await look(request, read)
    if shown is None:
        raise not_found("installation")
    own = {"verdicts": VERDICTS, "values_shown": values_of, "quantities": quantity_words}
    return show(
        request, "installations/installation.html", part, shown=shown, one=shown.seen.installation,
        at=shown.seen.standing, h=listed.helpers() | own,
        j=job_pages.helpers(parts_of(request), shown.names, shown.plates), photo_kinds=PHOTO_KINDS,
        mask=parts_of(request).redactor.text,
    )  # fmt: skip


def read_shown(tx: Connection, seen: Seen) -> Shown:
    """Read everything about one installation; in the language of the view being drawn."""
    one = seen.installation
    check = checks.union(checks.snapshots_of(seen.chain))
    if not check and one.record:
        kept: dict[str, Any] = one.record.get("can") or {}
        found: dict[str, Any] | None = kept.get("snapshot")
        check = found or {}
    names = connection_names(tx)
    return Shown(
        seen=seen,
        check=check,
        summary=checks.summary(check) if check else {},
        until_ms=expires_ms(seen),
        photos=photos.list_photos(tx, one.root),
        exports=exports_of(tx, one.root),
        history=[tell(event, Names(names)) for event in queries.history(tx, [one.root])],
        plates=plates_of_jobs(tx, seen.chain),
        kinds=[(kind, i18n.gettext(word)) for kind, word in PHOTO_KINDS.items()],
        connection=names.get(one.connection, one.connection),
        names=names,
        verified=verified_of(queries.verified(tx, one.root)),
        stages=stages_of(seen.chain, one.service, seen.standing, gsensor=bool(one.label)),
        scheme=scheme_words(tx, one),
        mount=mount_words(tx, one),
    )


def mount_words(tx: Connection, one: Installation) -> str:
    """Answer to which sides label and harness point, as the form calls them; "" when nobody said."""
    sides = side_words(tx)
    found = (one.label, one.harness) if one.label else ()
    return " | ".join(sides.get(side, side) for side in found)


def scheme_words(tx: Connection, one: Installation) -> str:
    """Answer a scheme's name and number, the number alone when no catalog has it."""
    known = schemes_of(tx) if one.scheme else []
    fits = (kept.name for kept in known if (kept.client_id, kept.scheme_id) == (one.client, one.scheme))
    name = next(fits, "")
    return f"{name} ({one.scheme})" if name else one.scheme


def values_of(check: dict[str, Any]) -> list[dict[str, Any]]:
    """Answer the values of a check to show, by name; of several ids of one quantity the preferred one."""
    rows = [{"id": key, **one} for key, one in check.get("parameters", {}).items()]
    told = [one for one in rows if one.get("preferred", True)]
    return sorted(told, key=lambda one: str(one.get("name") or one["id"]))[:VALUES_MAX]


# Acts.


@routes.post("/installations/{root}/approve")
async def approve(request: Request, root: Identity, who: Writer) -> Response:
    """Approve the check."""
    said = N_("The CAN check is approved.")
    return await _act(request, root, said, lambda acts, tx: acts.approve(tx, root, by=who.name))


@routes.post("/installations/{root}/override")
async def override(request: Request, root: Identity, who: Writer, reason: Reason = "") -> Response:
    """Approve against the check, with a reason that is written down."""
    said = N_("The CAN check is approved against what it shows.")
    return await _act(
        request, root, said,
        lambda acts, tx: acts.approve(tx, root, by=who.name, override=True, reason=reason),
    )  # fmt: skip


@routes.post("/installations/{root}/refuse")
async def refuse(request: Request, root: Identity, who: Writer, reason: Reason = "") -> Response:
    """Refuse the check."""
    said = N_("The CAN check is refused.")
    return await _act(request, root, said, lambda acts, tx: acts.refuse(tx, root, by=who.name, reason=reason))


@routes.post("/installations/{root}/refresh")
async def refresh(request: Request, root: Identity, who: Writer) -> Response:
    """Check once more."""
    said = N_("Another CAN check was asked for.")
    return await _act(request, root, said, lambda acts, tx: acts.refresh(tx, root, by=who.name))


@routes.post("/installations/{root}/start-can")
async def start_can(request: Request, root: Identity, who: Writer) -> Response:
    """Begin the check of a maintenance without swap."""
    said = N_("The CAN check begins.")
    return await _act(request, root, said, lambda acts, tx: acts.start_can(tx, root, by=who.name))


@routes.post("/installations/{root}/complete")
async def complete(request: Request, root: Identity, who: Writer) -> Response:
    """End a maintenance without swap without a check."""
    said = N_("The maintenance ends without a check.")
    return await _act(request, root, said, lambda acts, tx: acts.complete(tx, root, by=who.name))


@routes.post("/installations/{root}/retry")
async def retry(request: Request, root: Identity, who: Writer, reason: Reason = "") -> Response:
    """Run again what failed."""
    said = N_("What had failed runs again.")
    return await _act(request, root, said, lambda acts, tx: acts.retry(tx, root, reason=reason, by=who.name))


@routes.post("/installations/{root}/cancel")
async def cancel(request: Request, root: Identity, who: Writer, reason: Reason = "") -> Response:
    """Call off what is under way."""
    said = N_("The installation is called off.")
    return await _act(request, root, said, lambda acts, tx: acts.cancel(tx, root, reason=reason, by=who.name))


@routes.post("/installations/{root}/export/{destination}")
async def export_again(request: Request, root: Identity, destination: Identity, who: Writer) -> Response:
    """Send the record to a destination once more."""
    parts, words = parts_of(request), Words(request)
    try:
        await parts.store.write(lambda tx: exporter.again(tx, parts.ambient, root, destination, by=who.name))
    except NotExported:
        raise not_found("export") from None
    return done(request, f"/installations/{root}", words(N_("The record is sent again.")))


@routes.post("/installations/{root}/photos")
async def add_photo(
    request: Request, root: Identity, who: Writer, kind: Annotated[str, Form(max_length=40)],
    photo: Annotated[list[UploadFile], File()], fleet: Annotated[str, Form(max_length=60)] = "",
) -> Response:  # fmt: skip
    """Keep photos."""
    parts, words = parts_of(request), Words(request)
    seen = await parts.store.read(lambda tx: queries.get(tx, root))
    if seen is None:
        raise not_found("installation")
    one, kept, wrong = seen.installation, 0, ""
    for file in photo:
        content = await file.read()
        try:
            await keep_photo(
                parts, content, kind=kind, client=one.client_name or one.client or one.service,
                plate=one.plate, fleet=fleet, installation=one.root, by=who.name,
            )  # fmt: skip
            kept += 1
        except WrongPhoto as error:
            wrong = words(PHOTO_ERRORS.get(error.code, str(error)))
        except OSError:
            wrong = words(N_("The disk did not take the photo. It was not kept."))
    if request.headers.get("hx-request") == "true":  # the page's script sent it, and shows the sentence
        return PlainTextResponse(wrong, 422) if wrong else Response(status_code=204)
    forms = (N_("%(n)s photo kept."), N_("%(n)s photos kept."))
    said = words(forms[kept != 1], n=kept)
    if wrong:
        return done(request, f"/installations/{root}#photos", f"{wrong} {said}" if kept else wrong, "bad")
    return done(request, f"/installations/{root}#photos", said)


PHOTO_ERRORS = {
    "too_large": N_("A photo may have 15 MB at most. It was not kept."),
    "not_an_image": N_("That is no photo: JPEG, PNG, WebP and HEIC are taken. It was not kept."),
    "empty": N_("The file is empty. It was not kept."),
}


@routes.get("/installations/{root}/photos/{photo}")
async def see_photo(request: Request, root: Identity, photo: Identity) -> Response:
    """Answer a photo's file."""
    parts = parts_of(request)
    found = await parts.store.read(lambda tx: photos.get_photo(tx, photo))
    if found is None or found.installation != root:
        raise not_found("photo")
    return file_of(parts, found)


async def _act(
    request: Request, root: str, said: str, work: Callable[[Installations, Connection], Done]
) -> Response:
    """Do one act, and say on the page what was done, or why it was not possible."""
    parts, words = parts_of(request), Words(request)
    acts = Installations(orders_of(parts))
    href = f"/installations/{root}"
    try:
        await parts.store.write(lambda tx: work(acts, tx))
    except NoSuchInstallation:
        raise not_found("installation") from None
    except NotPossible as error:
        return done(request, href, words(NOT_POSSIBLE.get(error.code, str(error))), "bad")
    except WrongParams:
        return done(request, href, words(N_("Approving against the check needs a reason.")), "bad")
    except NotNow:
        return done(request, href, words(N_("Somebody else was faster. Look at how it stands now.")), "bad")
    return done(request, href, words(said))


NOT_POSSIBLE = {
    "can_em_andamento": N_("A check is under way; wait for what it shows."),
    "can_sem_parametros": N_("The check failed: check again, or approve against it with a reason."),
    "can_error": N_("The check failed: check again, or approve against it with a reason."),
    "can_ausente": N_("There is no check yet."),
    "approval_timeout": N_("The time to approve this check is over. Check the CAN again."),
    "fluxo_concluido": N_("That is decided already. Look at how it stands now."),
    "job_type_invalido": N_("This is for a maintenance without swap."),
    "job_nao_concluido": N_("The portal has not answered yet."),
    "vehicle_id_ausente": N_("The portal did not name the vehicle."),
    "job_ja_finalizado": N_("It is completed already."),
    "status_invalido": N_("Nothing of it has failed."),
}
