"""One installation as both generations show it; pure. Source: contract §11.2, §12.1."""

from __future__ import annotations

from typing import Any

from atalaia.clock import rfc3339
from atalaia.desk.installations import checks
from atalaia.desk.installations.queries import Installation, Seen
from atalaia.desk.installations.state import phase_of
from atalaia.jobs.queries import Job
from atalaia.redact import Redactor
from atalaia.web.old.traffilog.model import approval_of, job_out, result_of, type_of

JOBS = ("html5_install", "scheme_builder", "monitor_can_snapshot", "gs_calibration", "save_snapshot")


def record_of(seen: Seen, redactor: Redactor, *, token: bool = True) -> dict[str, Any]:
    """Answer an installation with the keys of both generations, secrets masked.

    token: with the installation's own token, by which its technician may act.
    """
    one, chain = seen.installation, seen.chain
    root = next((job for job in chain if job.id == one.root), None)
    jobs: dict[str, Any] = dict.fromkeys(JOBS)
    for job in chain:
        if phase_of(job) != "silent" and type_of(job.kind):
            jobs["html5_install" if job.id == one.root else type_of(job.kind)] = job_out(
                job, approval_of(job, chain)
            )
    told: dict[str, Any] = {
        "payload": _payload(one),
        "result": result_of(root) if root else None,
        "sb": _scheme(chain),
        "can": _check(one, chain),
        "gs": _gsensor(chain),
        "jobs": jobs,
        "last_error": _error(seen),
        "resolved": {
            "vehicle_id": one.vehicle or None, "current_client_id": None,
            "target_client_id": one.client or None,
        },
    }  # fmt: skip
    named = {"installation_token": one.token} if token else {}
    return {
        "ok": True,
        "id": one.root,
        "installation_id": one.root,
        **named,
        "service": one.service,
        "status": seen.standing.word,
        **redactor.value(told),
        "created_at": rfc3339(one.created_ms),
        "updated_at": rfc3339(one.changed_ms),
        "updatedAt": rfc3339(one.changed_ms),
    }


def _payload(one: Installation) -> dict[str, Any]:
    return {
        **one.form, "service": one.service, "client_id": one.client, "client_descr": one.client_name,
        "plate": one.plate, "plate_real": one.plate, "serial": one.serial, "comment": one.comment,
        "vehicle_id": one.vehicle or None, "vehicle_setting_id": one.scheme,
    }  # fmt: skip


def _newest(chain: list[Job], old_type: str) -> Job | None:
    found = [job for job in chain if type_of(job.kind) == old_type and phase_of(job) != "silent"]
    return found[-1] if found else None


def _scheme(chain: list[Job]) -> dict[str, Any]:
    job = _newest(chain, "scheme_builder")
    if job is None:
        return {"progress": 0, "last_progress": None}
    return {
        "progress": 100 if job.state == "done" else job.percent or 0,
        "last_progress": job.progress or None,
    }


def _check(one: Installation, chain: list[Job]) -> dict[str, Any]:
    found = checks.snapshots_of(chain)
    job = _newest(chain, "monitor_can_snapshot")
    ended = job.ended_ms if job is not None else None
    return {
        "snapshots": len(found),
        "last_snapshot_at": rfc3339(ended) if ended else None,
        "summary": checks.summary(checks.union(found)) if found else None,
        "audit": {
            "approved_by": one.approved_by or None,
            "override": one.override,
            "reason": one.override_reason,
        },
    }


def _gsensor(chain: list[Job]) -> dict[str, Any]:
    job = _newest(chain, "gs_calibration")
    if job is None or not job.ended_ms:
        return {"done_at": None, "ok": None}
    return {"done_at": rfc3339(job.ended_ms), "ok": job.state == "done"}


def _error(seen: Seen) -> dict[str, Any] | None:
    at = seen.standing
    job = next((one for one in seen.chain if one.id == at.job), None)
    if job is None or not (at.reason or at.said):
        return None
    return {
        "ts": rfc3339(at.since_ms), "job_id": job.id, "job_type": type_of(job.kind),
        "message": at.said, "code": at.reason, "hint": at.needs or None,
    }  # fmt: skip
