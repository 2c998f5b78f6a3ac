"""Installations for programs, below /api/hub: /api/installations is how the old clients call theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from pydantic import Field
from sqlalchemy import Connection

from atalaia.connectors.traffilog.installing import Form, Known, start_of
from atalaia.desk.installations import checks, queries
from atalaia.desk.installations.actions import (
    Done,
    Installations,
    NoSuchInstallation,
    NotPossible,
    expires_ms,
)
from atalaia.desk.installations.queries import Seen, Wanted
from atalaia.desk.installations.state import WORDS
from atalaia.jobs.submit import KeyReused, NotNow, WrongParams
from atalaia.web.access import Who, require
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.api.jobs import JobOut, job_out, orders_of
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Fault, Problem, conflict, not_found
from atalaia.web.wire import Cursor, From, Identity, Limit, Moment, Page, To, ms_of, read_cursor, to_cursor

routes = router("installations")
_READ = [Depends(require("installations:read"))]
Writer = Annotated[Who, Depends(require("installations:write"))]
Json = dict[str, Any]
Reason = Annotated[str, Field(max_length=500)]


class InstallationOut(Wire):
    """One installation. state follows from its jobs; needs: `approval`, `decision`, `retry`, `choice` or "".

    `id` is that of its first job. `reason` is a stable word, `said` the same as a sentence.
    """

    id: str
    token: str
    connection: str
    service: str
    client: str
    client_name: str
    plate: str
    serial: str
    technician: str
    vehicle: str
    label: str
    harness: str
    scheme: str
    comment: str
    form: Json
    state: str
    needs: str
    reason: str
    said: str
    approved_by: str
    approved_at: Moment | None
    override: bool
    override_reason: str
    approvable_until: Moment | None
    saved_at: Moment | None
    by: str
    created_at: Moment


class WholeOut(InstallationOut):
    """One installation with its jobs, and what its checks showed together; record: once it is saved."""

    jobs: list[JobOut]
    check: Json
    summary: Json
    record: Json


class ApproveAsked(Asked):
    """override: approve against what the check shows; then `reason` says why."""

    override: bool = False
    reason: Reason = ""


class ReasonAsked(Asked):
    """Why."""

    reason: Reason = ""


class CompleteAsked(Asked):
    """scheme: one to write silently; empty is the client's."""

    scheme: Annotated[str, Field(pattern=r"^\d{0,12}$")] = ""
    comment: Annotated[str, Field(max_length=350)] = ""


def wanted(
    state: Annotated[str | None, Query(max_length=30, description=f"One of {', '.join(WORDS)}.")] = None,
    service: Annotated[
        Literal["INSTALL", "UNINSTALL", "MAINT_WITH_SWAP", "MAINT_NO_SWAP"] | None, Query()
    ] = None,
    client: Annotated[str, Query(max_length=40)] = "",
    text: Annotated[
        str, Query(max_length=120, description="Part of plate, serial, client, technician.")
    ] = "",
    since: From = None,
    until: To = None,
) -> Wanted:
    """Read which installations are meant from the query."""
    states, services = ((state,) if state else ()), ((service,) if service else ())
    return Wanted(states, services, client, text.strip(), ms_of(since), ms_of(until))


@routes.get("/hub/installations", dependencies=_READ)
async def list_installations(
    request: Request, which: Annotated[Wanted, Depends(wanted)], cursor: Cursor = None, limit: Limit = 50
) -> Page[InstallationOut]:
    """List installations, the latest first."""
    before = read_cursor(cursor, int, str)
    found = await parts_of(request).store.read(
        lambda tx: queries.list_installations(tx, which, before=before, limit=limit + 1)
    )
    following = None
    if len(found) > limit:
        found = found[:limit]
        following = to_cursor(found[-1].installation.created_ms, found[-1].installation.root)
    return Page(items=[InstallationOut(**_told(seen)) for seen in found], next=following)


@routes.get("/hub/installations/{installation}", dependencies=_READ)
async def get_installation(request: Request, installation: Identity) -> WholeOut:
    """Answer one installation, by its id or its token, with its jobs and checks."""
    parts = parts_of(request)
    seen = await parts.store.read(lambda tx: queries.get(tx, installation))
    if seen is None:
        raise not_found("installation")
    return _whole(seen, parts)


@routes.post("/hub/installations", status_code=201, dependencies=ONCE)
async def start(request: Request, who: Writer, asked: Form) -> WholeOut:
    """Ask for an installation; what the catalogs say is filled in, what they refuse is named by its field."""
    parts = parts_of(request)
    acts = Installations(orders_of(parts))

    def work(tx: Connection) -> Done:
        return acts.start(tx, start_of(asked, Known.read(tx, asked.client_id)), by=who.name)

    return await _write(parts, work)


@routes.post("/hub/installations/{installation}/approve", dependencies=ONCE)
async def approve(request: Request, installation: Identity, who: Writer, asked: ApproveAsked) -> WholeOut:
    """Approve the CAN check."""
    return await _act(
        request,
        lambda acts, tx: acts.approve(
            tx, installation, by=who.name, override=asked.override, reason=asked.reason
        ),
    )


@routes.post("/hub/installations/{installation}/refuse", dependencies=ONCE)
async def refuse(request: Request, installation: Identity, who: Writer, asked: ReasonAsked) -> WholeOut:
    """Refuse the CAN check."""
    return await _act(
        request, lambda acts, tx: acts.refuse(tx, installation, by=who.name, reason=asked.reason)
    )


@routes.post("/hub/installations/{installation}/refresh", dependencies=ONCE)
async def refresh(request: Request, installation: Identity, who: Writer) -> WholeOut:
    """Check the CAN once more."""
    return await _act(request, lambda acts, tx: acts.refresh(tx, installation, by=who.name))


@routes.post("/hub/installations/{installation}/start-can", dependencies=ONCE)
async def start_can(request: Request, installation: Identity, who: Writer) -> WholeOut:
    """Begin the CAN check of a maintenance without swap."""
    return await _act(request, lambda acts, tx: acts.start_can(tx, installation, by=who.name))


@routes.post("/hub/installations/{installation}/complete", dependencies=ONCE)
async def complete(request: Request, installation: Identity, who: Writer, asked: CompleteAsked) -> WholeOut:
    """End a maintenance without swap without a check."""
    return await _act(
        request,
        lambda acts, tx: acts.complete(
            tx, installation, by=who.name, scheme=asked.scheme, comment=asked.comment
        ),
    )


@routes.post("/hub/installations/{installation}/retry", dependencies=ONCE)
async def retry(request: Request, installation: Identity, who: Writer, asked: ReasonAsked) -> WholeOut:
    """Run again what failed of it."""
    return await _act(
        request, lambda acts, tx: acts.retry(tx, installation, reason=asked.reason, by=who.name)
    )


@routes.post("/hub/installations/{installation}/cancel", dependencies=ONCE)
async def cancel(request: Request, installation: Identity, who: Writer, asked: ReasonAsked) -> WholeOut:
    """Call off what is under way of it."""
    return await _act(
        request, lambda acts, tx: acts.cancel(tx, installation, reason=asked.reason, by=who.name)
    )


async def _act(request: Request, work: Callable[[Installations, Connection], Done]) -> WholeOut:
    parts = parts_of(request)
    acts = Installations(orders_of(parts))
    return await _write(parts, lambda tx: work(acts, tx))


async def _write(parts: Parts, work: Callable[[Connection], Done]) -> WholeOut:
    """Do one act. Errors: `Problem` 404, 409 with the reason, 422 by field."""
    try:
        done = await parts.store.write(work)
    except NoSuchInstallation:
        raise not_found("installation") from None
    except KeyReused as error:
        raise Problem(409, "key-reused", "This key was used for something else", str(error)) from None
    except NotPossible as error:
        raise _not_possible(error) from None
    except NotNow as error:
        raise conflict(str(error)) from None
    except WrongParams as error:
        faults = [Fault(f"body.{one['field']}", one.get("kind", ""), one["said"]) for one in error.fields]
        raise Problem(422, "invalid-input", "The input does not fit", str(error), errors=faults) from None
    return _whole(done.seen, parts)


def _not_possible(error: NotPossible) -> Problem:
    """Answer a refusal by the state: `errors` holds its stable word as the kind, and what to do."""
    problem = conflict(str(error))
    problem.errors = (Fault("state", error.code, str(error)),)
    return problem


def _whole(seen: Seen, parts: Parts) -> WholeOut:
    check = checks.union(checks.snapshots_of(seen.chain))
    mask = parts.redactor.value
    return WholeOut(
        **_told(seen),
        jobs=[job_out(job, parts) for job in seen.chain],
        check=mask(check),
        summary=checks.summary(check) if check else {},
        record=mask(seen.installation.record),
    )


_PLAIN = (
    "token", "connection", "service", "client", "client_name", "plate", "serial", "technician", "vehicle",
    "label", "harness", "scheme", "comment", "form", "approved_by", "override", "override_reason", "by",
)  # fmt: skip


def _told(seen: Seen) -> Json:
    one, at = seen.installation, seen.standing
    return {name: getattr(one, name) for name in _PLAIN} | {
        "id": one.root, "state": at.word, "needs": at.needs, "reason": at.reason, "said": at.said,
        "approved_at": one.approved_ms, "saved_at": one.saved_ms, "created_at": one.created_ms,
        "approvable_until": expires_ms(seen),
    }  # fmt: skip
