"""Which finished installations the clock has verified next. Source: contract §11.3.

Only the newest installation of a vehicle counts, and only while nothing works on the vehicle: an older one is
not true any more once the unit was taken off, and the scheme of one that is being written is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, or_, select

from atalaia.connectors.traffilog.alarms import scheme_cause
from atalaia.connectors.traffilog.portal.params import SWEEP_ROWS_MAX
from atalaia.connectors.traffilog.portal.verify import AGE_MS_MAX, KIND_NAME, UNINSTALL
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.desk.installations.queries import Installation, to_installation
from atalaia.jobs import queries as jobs
from atalaia.jobs.queries import ENDED, JobFilter, list_jobs, newest_by_param
from atalaia.store.installation_tables import installations
from atalaia.store.tables import alerts

SETTLED_MS = 60_000  # since the record was saved: the portal needs a moment to show what it took
AGAIN_MS = 30 * 60_000  # doubles with each verdict that was not `ok`
CANDIDATES_MAX = 1_000
SWEEPS_MAX = 400  # of a day, at one each five minutes
JOBS_MAX = 5


@dataclass(frozen=True, slots=True)
class Verified:
    """What earlier sweeps said of one installation: how often, the last time, whether it was sent again."""

    times: int
    last_ms: int
    ok: bool
    resent: bool


def asked(tx: Connection, connection: str, settings: Any, now_ms: int) -> Mapping[str, Any] | None:
    """Answer the params of the next sweep; None when no installation is due."""
    read = cast("TraffilogSettings", settings)
    rows = _due(tx, connection, now_ms)
    resend = read.verify_resend and not read.read_only
    return {"rows": rows, "dry_run": not resend} if rows else None


def _due(tx: Connection, connection: str, now_ms: int) -> list[dict[str, Any]]:
    earlier, alerted = _earlier(tx, connection, now_ms), _alerted(tx, connection)
    rows: list[dict[str, Any]] = []
    for one in _newest_of_vehicles(tx, connection, alerted, now_ms):
        known, standing = earlier.get(one.root), one.vehicle in alerted
        if _may(one, known, now_ms, standing=standing) and not _is_worked_on(tx, one):
            rows.append(_row(one, known, now_ms, standing=standing))
        if len(rows) == SWEEP_ROWS_MAX:
            break
    return rows


def _newest_of_vehicles(
    tx: Connection, connection: str, alerted: set[str], now_ms: int
) -> Iterator[Installation]:
    """Answer the newest installation of each vehicle, the one that was saved first before the others."""
    c = installations.c
    since_ms = now_ms - AGE_MS_MAX
    wanted = or_(c.saved_ms > since_ms, c.created_ms > since_ms, c.vehicle.in_(alerted))
    query = select(installations).where(c.connection == connection, c.vehicle != "", wanted)
    query = query.order_by(c.created_ms.desc(), c.root.desc())
    newest: dict[str, Installation] = {}
    for row in tx.execute(query.limit(CANDIDATES_MAX)):
        one = to_installation(row)
        newest.setdefault(one.vehicle, one)
    yield from sorted(newest.values(), key=lambda one: one.saved_ms or 0)


def _may(one: Installation, known: Verified | None, now_ms: int, *, standing: bool) -> bool:
    if one.saved_ms is None or now_ms - one.saved_ms < SETTLED_MS:
        return False
    if one.service == UNINSTALL:  # never read or written again; only said, where an alert stands
        return standing
    if not (one.scheme and one.client) or (now_ms - one.saved_ms > AGE_MS_MAX and not standing):
        return False
    if known is None:
        return True
    return (standing or not known.ok) and now_ms >= known.last_ms + AGAIN_MS * 2 ** (known.times - 1)


def _alerted(tx: Connection, connection: str) -> set[str]:
    """Answer the vehicles about whose scheme an alert stands: they are looked at until it is gone."""
    prefix = scheme_cause(connection)
    query = select(alerts.c.cause).where(
        alerts.c.cause.startswith(prefix, autoescape=True), alerts.c.resolved_ms.is_(None)
    )
    return {str(cause).removeprefix(prefix) for cause in tx.scalars(query.limit(CANDIDATES_MAX))}


def _is_worked_on(tx: Connection, one: Installation) -> bool:
    """Answer whether a job of the installation or of its vehicle has not ended."""
    near = [*jobs.chain(tx, one.root), *newest_by_param(tx, "vehicle_id", one.vehicle, limit=JOBS_MAX)]
    return any(job.state not in ENDED for job in near)


def _earlier(tx: Connection, connection: str, now_ms: int) -> dict[str, Verified]:
    """Answer what the sweeps of the last day said, by installation. They are read from the jobs themselves,
    where verdict and end of a sweep were written together."""
    wanted = JobFilter(
        states=("done",), kinds=(f"traffilog.{KIND_NAME}",), connection=connection,
        from_ms=now_ms - AGE_MS_MAX,
    )  # fmt: skip
    found: dict[str, Verified] = {}
    for job in reversed(list_jobs(tx, wanted, limit=SWEEPS_MAX)):
        result: Any = job.result
        rows: Any = cast("dict[str, Any]", result).get("rows") if isinstance(result, dict) else None
        for row in cast("list[dict[str, Any]]", rows or []):
            root = str(row.get("installation") or "")
            before = found.get(root, Verified(0, 0, False, False))
            found[root] = Verified(
                before.times + 1, job.ended_ms or job.created_ms, row.get("verdict") == "ok",
                before.resent or bool(row.get("job")),
            )  # fmt: skip
    return found


def _row(one: Installation, known: Verified | None, now_ms: int, *, standing: bool) -> dict[str, Any]:
    saved_ms = one.saved_ms or 0
    resend = now_ms - saved_ms <= AGE_MS_MAX and not (known is not None and known.resent)
    return {
        "vehicle_id": one.vehicle, "client_id": one.client, "client_name": one.client_name or one.client,
        "vehicle_setting_id": one.scheme, "service": one.service, "done_ms": saved_ms, "plate": one.plate,
        "comment": one.comment, "serial": one.serial if one.serial.isdigit() else "",
        "installation": one.root, "resend": resend, "standing": standing,
    }  # fmt: skip
