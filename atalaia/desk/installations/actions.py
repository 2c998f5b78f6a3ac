"""What people do to installations: start, approve, refuse, check again, complete, retry, call off.

Each is one transaction and leaves an audited fact with who did it. Whether it is possible now follows from
the jobs of the chain, read under the log's lock: of two people who act at once, the second is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from sqlalchemy import Connection, insert, update

from atalaia.clock import to_ms
from atalaia.desk.installations import checks, queries
from atalaia.desk.installations.queries import Seen
from atalaia.desk.installations.state import CANCELLED, EXPIRED, NO_SWAP, PORTAL_RUNNING, newest, standing
from atalaia.errors import AtalaiaError
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.jobs.queries import Job
from atalaia.jobs.submit import NotNow, Order, Orders, WrongParams
from atalaia.store.installation_tables import installations
from atalaia.store.store import serialise

PRODUCER = "installations"
NO_PARAMETERS = "can_sem_parametros"
APPROVE, OVERRIDE, AGAIN, REFUSE = "approve", "approve_anyway", "check_again", "refuse"
_OPEN = ("queued", "running", "waiting", "in_doubt")


class NoSuchInstallation(AtalaiaError):
    """There is no installation of this id."""


class NotPossible(NotNow):
    """The installation is in a state in which this means nothing; nothing was changed.

    code: a stable word; where the old software had one for the case, it is that one.
    """

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code = code


@dataclass(frozen=True)
class Start:
    """What is asked: the first job, and what is kept of the form. `installing.py` of a connector makes one.

    kind: of the first job, with the connector's name; params: with a `chain`. form: all that was filled in.
    """

    kind: str
    connection: str
    params: Mapping[str, Any]
    service: str
    client: str
    client_name: str
    plate: str
    serial: str
    technician: str = ""
    label: str = ""
    harness: str = ""
    scheme: str = ""
    comment: str = ""
    form: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Done:
    """What came of an act: the installation as it stands now, and the job that was asked for, if any."""

    seen: Seen
    job: str = ""


@dataclass(frozen=True)
class Installations:
    """Acts on installations by the orders they give."""

    orders: Orders

    def start(self, tx: Connection, asked: Start, *, by: str, key: str | None = None) -> Done:
        """Ask for an installation; the same key with the same body answers the one there is.

        Errors: `WrongParams`, `KeyReused`, `ConfigError`, as `Orders.submit`.
        """
        order = Order(asked.kind, asked.connection, asked.params, by, key=key)
        job = self.orders.submit(tx, order)
        if (known := queries.get(tx, job.id)) is not None:
            return Done(known, job.id)
        now = self._now()
        kept = {
            name: getattr(asked, name)
            for name in ("connection", "service", "client", "client_name", "plate", "serial", "technician",
                         "label", "harness", "scheme", "comment")
        }  # fmt: skip
        row = kept | {
            "root": job.id, "token": f"tok_{self.orders.ambient.random.getrandbits(128):032x}", "vehicle": "",
            "form": orjson.dumps(dict(asked.form)).decode(), "state": PORTAL_RUNNING, "approved_by": "",
            "override": False, "override_reason": "", "record": "", "by": by[:120], "created_ms": now,
            "changed_ms": now,
        }  # fmt: skip
        tx.execute(insert(installations).values(row))
        told = {name: kept[name] for name in ("service", "client", "plate", "serial", "technician")}
        return self._done(tx, job.id, "created", by, job=job.id, **told)

    def approve(
        self, tx: Connection, root: str, *, by: str, override: bool = False, reason: str = ""
    ) -> Done:
        """Approve the CAN check. override: against what it shows, or against its failing; `reason` says why.

        Errors: `NoSuchInstallation`; `WrongParams` for an override without a reason; `NotPossible`
        `can_em_andamento` while a check runs, `can_sem_parametros` or `can_error` for one that failed,
        `approval_timeout` when it was too late, `can_ausente`, `fluxo_concluido`.
        """
        reason = reason.strip()
        if override and not reason:
            raise WrongParams(
                "Approving against the check needs a reason.", [{"field": "reason", "said": "Say why."}]
            )
        seen = self._hold(tx, root)
        shown = checks.summary(checks.union(checks.snapshots_of(seen.chain)))
        if override and (failed := _failed_check(seen)) is not None:
            job = self._pass_over(tx, seen, failed, shown, by, reason)
        else:
            asking = _asking(seen)
            job = asking.id
            self._answer(tx, asking, OVERRIDE if override else APPROVE, by, reason)
        now = self._now()
        change = {"approved_by": by[:120], "approved_ms": now, "override": override}
        _change(tx, seen.installation.root, now, override_reason=reason, **change)
        return self._done(
            tx, seen.installation.root, "approved", by, job=job, override=override, reason=reason, check=shown
        )

    def refuse(self, tx: Connection, root: str, *, by: str, reason: str = "") -> Done:
        """Refuse the CAN check: the installation stops there until it is checked again or called off.

        Errors: as `approve`.
        """
        seen = self._hold(tx, root)
        job = _asking(seen)
        self._answer(tx, job, REFUSE, by, reason.strip())
        return self._done(tx, seen.installation.root, "refused", by, job=job.id, reason=reason.strip())

    def refresh(self, tx: Connection, root: str, *, by: str) -> Done:
        """Check the CAN once more; what earlier checks found is kept.

        Errors: `NoSuchInstallation`; `NotPossible` `can_em_andamento`, `fluxo_concluido`, `can_ausente`.
        """
        seen = self._hold(tx, root)
        known = newest(seen.chain)
        last, approval = known.get("check"), known.get("approval")
        if "save" in known or "gsensor" in known or standing(seen.chain).word == CANCELLED:
            raise NotPossible("fluxo_concluido", "The check is decided already; it is not made again.")
        if last is None:
            raise NotPossible("can_ausente", "There is no check yet that could be made again.")
        if last.state in _OPEN or (approval is not None and approval.state in ("queued", "running")):
            raise NotPossible("can_em_andamento", "A check is under way already.")
        rounds = [int(job.params.get("round") or 1) for job in seen.chain if job.step.startswith("can")]
        n = max(rounds) + 1
        if approval is not None and approval.state == "waiting":
            self._answer(tx, approval, AGAIN, by, "")
        params = {name: value for name, value in last.params.items() if name != "after_ms"}
        job = self._follow(tx, seen, last.kind, params | {"mode": "full", "round": n}, f"can:{n}", by)
        return self._done(tx, seen.installation.root, "refreshed", by, job=job, round=n)

    def start_can(self, tx: Connection, root: str, *, by: str) -> Done:
        """Begin the CAN check of a maintenance without swap.

        Errors: `NoSuchInstallation`; `NotPossible` `job_type_invalido`, `job_nao_concluido`,
        `vehicle_id_ausente`, `can_em_andamento`.
        """
        seen = self._hold(tx, root)
        shared = self._no_swap(seen)
        if "check" in newest(seen.chain) or "save" in newest(seen.chain):
            raise NotPossible("can_em_andamento", "Its check was begun already; ask for another one.")
        job = self._follow(tx, seen, _kind(seen, "vehicle_snapshot"), shared, "can", by)
        return self._done(tx, seen.installation.root, "can_started", by, job=job)

    def complete(self, tx: Connection, root: str, *, by: str, scheme: str = "", comment: str = "") -> Done:
        """End a maintenance without swap without a check. scheme: one to write silently, "" for none.

        Errors: as `start_can`, and `job_ja_finalizado`.
        """
        seen = self._hold(tx, root)
        shared = self._no_swap(seen)
        known = newest(seen.chain)
        if "save" in known:
            raise NotPossible("job_ja_finalizado", "It is completed already.")
        if any(name in known and known[name].state in _OPEN for name in ("check", "approval")):
            raise NotPossible("can_em_andamento", "Its check is under way: approve or refuse it first.")
        shared |= {"comment": (comment or seen.installation.comment)[:400]}
        job = self._follow(tx, seen, _kind(seen, "save_record"), shared, "save", by)
        scheme = scheme or seen.installation.scheme
        if scheme:
            written = shared | {"vehicle_setting_id": scheme, "terminal": True}
            self._follow(tx, seen, _kind(seen, "scheme_builder"), written, "scheme_builder", by)
        return self._done(tx, seen.installation.root, "completed", by, job=job, scheme=scheme)

    def retry(self, tx: Connection, root: str, *, reason: str, by: str) -> Done:
        """Run the part again that ended without success; what surely happened is not sent again.

        Errors: `NoSuchInstallation`; `NotPossible` `status_invalido`.
        """
        seen = self._hold(tx, root)
        at = standing(seen.chain)
        failed = next((one for one in seen.chain if one.id == at.job), None)
        if failed is None or failed.state not in ("failed", "expired", "cancelled"):
            raise NotPossible("status_invalido", "Nothing of it has failed.")
        self.orders.retry(tx, failed.id, reason=reason, by=by)
        return self._done(tx, seen.installation.root, "retried", by, job=failed.id, reason=reason)

    def cancel(self, tx: Connection, root: str, *, reason: str, by: str) -> Done:
        """Call off what has not ended. What happened upstream stays as it is.

        Errors: `NoSuchInstallation`; `NotPossible` `fluxo_concluido`.
        """
        seen = self._hold(tx, root)
        running = [job for job in seen.chain if job.state in _OPEN]
        if not running:
            raise NotPossible("fluxo_concluido", "Nothing of it is under way.")
        for job in running:
            self.orders.cancel(tx, job.id, reason=reason, by=by)
        return self._done(
            tx, seen.installation.root, "cancelled", by, jobs=[job.id for job in running], reason=reason
        )

    # What the acts share.

    def _hold(self, tx: Connection, root: str) -> Seen:
        serialise(tx)
        seen = queries.get(tx, root)
        if seen is None:
            raise NoSuchInstallation("There is no such installation.")
        return seen

    def _no_swap(self, seen: Seen) -> dict[str, Any]:
        """Answer what the jobs of a maintenance without swap are asked with. Errors: `NotPossible`."""
        one = seen.installation
        if one.service != NO_SWAP:
            raise NotPossible("job_type_invalido", "This is for a maintenance without swap.")
        root = next((job for job in seen.chain if job.id == one.root), None)
        if root is None or root.state != "done":
            raise NotPossible("job_nao_concluido", "The portal has not answered yet.")
        found = _mapping(root.result)
        vehicle = one.vehicle or str(found.get("vehicle_id") or "")
        if not vehicle:
            raise NotPossible("vehicle_id_ausente", "The portal did not name the vehicle.")
        meta = _mapping(found.get("meta"))
        client = one.client or str(meta.get("client_id") or "")
        return {
            "client_id": client,
            "client_name": one.client_name or str(meta.get("client_descr") or "") or client,
            "vehicle_id": vehicle,
            "comment": one.comment[:400],
            "chain": root.params.get("chain"),
        }

    def _answer(self, tx: Connection, job: Job, choice: str, by: str, reason: str) -> None:
        name = job.asked.name if job.asked else None
        self.orders.answer(tx, job.id, choice, by=by, name=name, data={"reason": reason} if reason else None)

    def _pass_over(
        self, tx: Connection, seen: Seen, failed: Job, shown: Mapping[str, Any], by: str, reason: str
    ) -> str:
        """Go on from a check that failed: its approval is asked for with the answer in it."""
        names = ("client_id", "client_name", "vehicle_id", "comment", "chain")
        params: dict[str, Any] = {name: failed.params[name] for name in names if name in failed.params}
        n = int(failed.params.get("round") or 1)
        params |= {"round": n, "shown": shown, "given": {"by": by[:120], "reason": reason[:500]}}
        return self._follow(tx, seen, _kind(seen, "can_approval"), params, f"approval:{n}:given", by)

    def _follow(
        self, tx: Connection, seen: Seen, kind: str, params: Mapping[str, Any], step: str, by: str
    ) -> str:
        one = seen.installation
        parent = seen.chain[-1].id if seen.chain else one.root
        order = Order(kind, one.connection, params, by, root=one.root, step=step, parent=parent)
        return self.orders.submit(tx, order).id

    def _done(self, tx: Connection, root: str, word: str, by: str, *, job: str = "", **data: Any) -> Done:
        now = self._now()
        seen = queries.get(tx, root)
        assert seen is not None
        about = {"service": seen.installation.service, "plate": seen.installation.plate}
        fact = Fact(f"installation.{word}", root, now, about | {"job": job, **data, "by": by})
        append_facts(tx, self.orders.ambient, PRODUCER, [fact], connection=seen.installation.connection)
        _change(tx, root, now, state=seen.standing.word)
        return Done(seen, job)

    def _now(self) -> int:
        return to_ms(self.orders.ambient.clock.now())


def expires_ms(seen: Seen) -> int | None:
    """Answer until when the check that waits can be approved; None when none waits."""
    job = newest(seen.chain).get("approval")
    return job.asked.until_ms if job is not None and job.state == "waiting" and job.asked else None


def _failed_check(seen: Seen) -> Job | None:
    """Answer the newest check if it failed and nothing was decided since."""
    known = newest(seen.chain)
    check, approval = known.get("check"), known.get("approval")
    if check is None or check.state not in ("failed", "expired") or "gsensor" in known or "save" in known:
        return None
    later = approval is not None and seen.chain.index(approval) > seen.chain.index(check)
    return None if later or standing(seen.chain).word == CANCELLED else check


def _asking(seen: Seen) -> Job:
    """Answer the job that waits for the approval; no check may run beside it. Errors: `NotPossible`."""
    known = newest(seen.chain)
    job, check = known.get("approval"), known.get("check")
    if check is not None and check.state in _OPEN:
        raise NotPossible("can_em_andamento", "A check is under way; wait for what it shows.")
    if (failed := _failed_check(seen)) is not None:
        code = failed.reason if failed.reason == NO_PARAMETERS else "can_error"
        raise NotPossible(code, "The check failed: check again, or approve against it with a reason.")
    if job is None:
        raise NotPossible("can_ausente", "There is no check to approve.")
    if job.state == "failed" and job.reason == EXPIRED:
        raise NotPossible(EXPIRED, "The time to approve this check is over. Check the CAN again.")
    chosen = seen.installation.approved_by or job.progress.get("chosen")
    if job.state in ("queued", "running") and not chosen:
        raise NotPossible("can_em_andamento", "The check has just ended; look at what it shows first.")
    if job.state != "waiting" or job.asked is None:
        raise NotPossible("fluxo_concluido", "The check is decided already.")
    return job


def _kind(seen: Seen, name: str) -> str:
    """Answer the full name of a kind of the same connector."""
    return f"{seen.chain[0].kind.partition('.')[0]}.{name}"


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _change(tx: Connection, root: str, now_ms: int, **change: Any) -> None:
    c = installations.c
    tx.execute(update(installations).where(c.root == root).values(changed_ms=now_ms, **change))
