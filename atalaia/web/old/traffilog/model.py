"""Our jobs in the old clients' words, and their payloads in ours; pure. Source: contract §12.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.clock import rfc3339
from atalaia.connectors.traffilog.outside import PREFIX, TYPES
from atalaia.jobs.queries import Job
from atalaia.web.old.traffilog.common import CONNECTOR, mapping, word

# Old type -> our kind. The first of several types of one kind is what we call a job of ours.
KINDS: dict[str, str] = {
    "html5_install": "install",
    "html5_uninstall": "uninstall",
    "html5_maint_with_swap": "maint_with_swap",
    "html5_maint_no_swap": "maint_no_swap",
    "html5_change_company": "change_company",
    "resolver_change_company": "change_company",
    "vehicle_resolve": "vehicle_resolve",
    "scheme_builder": "scheme_builder",
    "monitor_can_snapshot": "vehicle_snapshot",
    "gs_calibration": "gsensor_command",
    "save_snapshot": "save_record",
}
ALSO = {"monitor_gs": "gs_calibration"}  # the older generation's word
ALL_TYPES = (*TYPES, *ALSO)
STATUSES = {
    "queued": "pending", "running": "processing", "in_doubt": "processing", "waiting": "waiting_approval",
    "done": "completed", "failed": "error", "expired": "error", "cancelled": "cancelled",
}  # fmt: skip
RUNNING = ("pending", "processing")
SUCCESS = ("ok", "success", "done", "completed")
APPROVED = ("approve", "approve_anyway")
PLATE_CHARS = 40

_TYPES_BY_KIND: dict[str, str] = {
    **{kind: old for old, kind in reversed(KINDS.items())},
    "can_probe": "monitor_can_snapshot",
    "sync_asset_types": "admin_config_sync",
}


def canonical(old_type: str) -> str:
    """Answer the newer generation's word for a type, "" when there is no such type."""
    name = ALSO.get(old_type, old_type)
    return name if name in TYPES else ""


def type_of(kind: str) -> str:
    """Answer the old type of one of our kinds (full name), "" for kinds that old clients do not know."""
    connector, _, name = kind.partition(".")
    if connector != CONNECTOR:
        return ""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else _TYPES_BY_KIND.get(name, "")


def known_kinds() -> tuple[str, ...]:
    """Answer our kinds (full names) that old clients see."""
    own = [f"{CONNECTOR}.{name}" for name in _TYPES_BY_KIND]
    return (*own, *(f"{CONNECTOR}.{PREFIX}{name}" for name in TYPES))


def is_outside(kind: str) -> bool:
    """Answer whether workers outside do jobs of this kind (full name)."""
    return kind.startswith(f"{CONNECTOR}.{PREFIX}")


def order_of(
    old_type: str, payload: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    """Answer our kind (full name) and its params for an old payload.

    names: clients' names by id, for payloads without one. What is missing is left empty: the kind's own
    check names it. Errors: `KeyError` when the hub does not do this type.
    """
    kind = KINDS[old_type]
    client = word(payload, "client_id", "clientId", "target_client_id")
    client_name = word(payload, "client_name", "client_descr", "clientName") or names.get(client) or client
    about = {
        "client_id": client,
        "client_name": client_name,
        "vehicle_id": word(payload, "vehicle_id", "vehicleId", "VEHICLE_ID"),
        "comment": word(payload, "comment"),
    }
    match kind:
        case "scheme_builder":
            scheme = word(payload, "vehicle_setting_id", "vehicleSettingId")
            params = about | {"vehicle_setting_id": scheme, "terminal": bool(payload.get("_terminal"))}
        case "gsensor_command":
            mount = {**payload, **mapping(payload.get("gsensor"))}
            label, harness = word(mount, "label_pos", "label"), word(mount, "harness_pos", "harness")
            params = about | {"label": label, "harness": harness}
        case "vehicle_snapshot" | "save_record":
            params = about
        case _:
            params = _of_portal(kind, payload, client, client_name)
    return f"{CONNECTOR}.{kind}", params


def _of_portal(kind: str, payload: Mapping[str, Any], client: str, client_name: str) -> dict[str, Any]:
    vehicle = mapping(payload.get("vehicle"))
    plate = word(payload, "plate_real", "plate", "license_nmbr", most=PLATE_CHARS)
    serial = word(payload, "serial", "inner_id")
    told: dict[str, Any] = {"plate": plate}
    model = {
        "asset_type": word(payload, "assetType", "asset_type"),
        "manufacturer": word(vehicle, "manufacturer") or word(payload, "manufacturer"),
        "model": word(vehicle, "model") or word(payload, "model"),
    }
    company = {"client_id": client, "client_name": client_name}
    if kind == "vehicle_resolve":
        return told | {"serial": serial}
    if kind == "maint_no_swap":
        return told
    if kind == "change_company":
        return told | company | model
    told |= {"installed_by": technician_of(payload), "comment": word(payload, "comment")}
    if kind == "uninstall":
        return told | {"serial": serial}
    scheme = word(payload, "vehicle_setting_id", "vehicleSettingId")
    told |= {"vehicle_setting_id": scheme, "place": word(payload, "install_location", "installLocation")}
    if kind == "maint_with_swap":
        return told | {"serial_new": word(payload, "serial_new", "serialNew") or serial}
    return told | company | model | {"serial": serial}


def technician_of(payload: Mapping[str, Any]) -> str:
    """Answer a technician's name, who comes as `{id, nick}` or as text."""
    told = payload.get("technician")
    return word(mapping(told), "nick", "name") or word(payload, "technician", "installed_by")


def payload_of(job: Job) -> dict[str, Any]:
    """Answer a job's payload: the old one as it came, or our params under the names of both generations."""
    if is_outside(job.kind):
        return mapping(job.params.get("payload"))
    told = {name: value for name, value in job.params.items() if name not in ("chain", "shown")}
    chain = mapping(job.params.get("chain"))
    if chain:
        told |= {"service": chain.get("service"), "_from": job.parent, "installation_id": job.root}
        told.setdefault("vehicle_setting_id", chain.get("vehicle_setting_id"))
    also = {"clientId": "client_id", "clientName": "client_name", "client_descr": "client_name",
            "vehicleId": "vehicle_id", "vehicleSettingId": "vehicle_setting_id"}  # fmt: skip
    return told | {old: told[ours] for old, ours in also.items() if ours in told}


def status_of(job: Job, approval: Job | None = None) -> str:
    """Answer a job's status. approval: the job that waits for a person's word about this CAN check."""
    status = STATUSES[job.state]
    if approval is None or status not in ("completed", "error"):
        return status
    if approval.state == "done":
        chosen = mapping(approval.result).get("choice")
        return "approved" if chosen in APPROVED else status
    if status == "error":
        return status
    return "error" if approval.state in ("failed", "expired", "cancelled") else "waiting_approval"


def result_of(job: Job, approval: Job | None = None) -> dict[str, Any] | None:
    """Answer a job's result: how far it is, what it found, or why it failed; None before it has begun."""
    found = mapping(job.result)
    if job.state in ("running", "in_doubt", "waiting"):
        told = {name: value for name, value in job.progress.items() if name not in ("percent", "said")}
        told |= {"progress": job.percent, "message": job.progress.get("said") or ""}
        if job.state == "in_doubt":
            told |= {"in_doubt": True, "detail": job.said}
        return told
    if job.state in ("failed", "expired", "cancelled"):
        return {**found, "ok": False, "reason": job.reason or job.state, "detail": job.said}
    if job.state != "done":
        return None
    if job.kind == f"{CONNECTOR}.scheme_builder":
        found = {**found, "status": "ok" if found.get("outcome") == "confirmed" else "completed_no_push"}
    if approval is not None and approval.state in ("failed", "expired", "cancelled"):
        return {**found, "ok": False, "reason": approval.reason or approval.state, "detail": approval.said}
    return {"ok": True, **found}


def job_out(job: Job, approval: Job | None = None, *, worker: str = "") -> dict[str, Any]:
    """Answer a job in a shape that serves both generations. Times are RFC 3339.

    worker: the one outside that got it last, for jobs that nobody holds any more.
    """
    told: dict[str, Any] = {
        "id": job.id,
        "type": type_of(job.kind),
        "status": status_of(job, approval),
        "payload": payload_of(job),
        "workerId": job.executor or worker or None,
        "createdAt": rfc3339(job.created_ms),
        "updatedAt": rfc3339(job.changed_ms),
        "progressPercent": 100 if job.state == "done" else job.percent or 0,
        "progressStage": job.progress.get("said") or "",
        "progressDetail": job.progress.get("detail"),
        "lastProgressAt": rfc3339(job.changed_ms) if job.progress else None,
    }
    result = result_of(job, approval)
    return told if result is None else told | {"result": result}


def approval_of(job: Job, chain: list[Job]) -> Job | None:
    """Answer the job that asks for a person's word about this CAN check, or that passed over its failing."""
    if job.kind != f"{CONNECTOR}.vehicle_snapshot" or not job.step:
        return None
    nth = job.step.removeprefix("can")
    asking = (f"approval{nth}", f"approval{nth or ':1'}:given")
    return next((one for one in chain if one.step in asking), None)
