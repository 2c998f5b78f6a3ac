"""What people, machines and other jobs may ask of jobs. Each is one transaction and leaves a fact."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from sqlalchemy import Connection, insert, select, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import AtalaiaError, ConfigError, kind_of
from atalaia.jobs import told
from atalaia.jobs.model import JobKind, Planned, StepKind
from atalaia.jobs.outcome import filled
from atalaia.jobs.rows import Job, change_job, dump, insert_job, move, read_job, to_job
from atalaia.jobs.state import CHOICES, Got, State, StepState
from atalaia.redact import Redactor
from atalaia.store.job_tables import job_steps, jobs
from atalaia.store.store import serialise
from atalaia.store.tables import connections

# The patterns of ids and serials, as connectors write them.
_DIGITS = re.compile(r"\^\(?\\d\{(\d+),(\d+)\}\)?\??\$")
CANCEL_REQUESTED = "cancel_requested"
PROBE = "probe"  # who decided, when it was no person


class NoSuchJob(AtalaiaError):
    """There is no job of this id."""


class NotNow(AtalaiaError):
    """The job is in a state in which this means nothing; nothing was changed."""


class KeyReused(AtalaiaError):
    """The idempotency key belongs to another job with another body."""


class WrongParams(ConfigError):
    """What was asked does not fit the kind. fields: [{"field", "said"}], in the order of the form.

    A field may have a "kind", too: what kind of value was found.
    """

    def __init__(self, said: str, fields: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(said)
        self.fields = list(fields)


@dataclass(frozen=True)
class Order:
    """What is asked. kind: with the connector's name, e.g. `traffilog.scheme_builder`. Times in Unix ms.

    key: an idempotency key, unique within the connection. by: who asked, for the record.
    root, step, parent: the place in a pipeline; left alone, the job is the first of its own.
    """

    kind: str
    connection: str
    params: Mapping[str, Any]
    by: str
    key: str | None = None
    priority: int = 0
    not_before_ms: int | None = None
    expires_ms: int | None = None
    root: str | None = None
    step: str = ""
    parent: str | None = None


@dataclass(frozen=True)
class Orders:
    """Takes orders. kinds: by full name, `<connector>.<kind>`."""

    ambient: Ambient
    kinds: Mapping[str, JobKind]
    redactor: Redactor = field(default_factory=Redactor)

    def kind(self, name: str) -> JobKind:
        """Answer a kind by its full name. Errors: `WrongParams`."""
        found = self.kinds.get(name)
        if found is None:
            there = ", ".join(sorted(self.kinds)) or "none"
            raise WrongParams(f"There is no kind of job “{name}”. Known: {there}.")
        return found

    def check(self, kind: str, params: Mapping[str, Any]) -> BaseModel:
        """Read what is asked. Errors: `WrongParams` naming each wrong field, never its value."""
        model = self.kind(kind).params
        try:
            return model.model_validate(dict(params))
        except ValidationError as error:
            raise _explain(error) from None

    def plan(self, kind: str, settings: Any, params: Mapping[str, Any]) -> list[Planned]:
        """Answer the frames that would be sent, in order, secrets masked; nothing is sent.

        Errors: `WrongParams`, also for kinds that have no dry run.
        """
        planner = self.kind(kind).plan
        if planner is None:
            raise WrongParams(f"{self.kind(kind).title}: this kind cannot be tried without sending.")
        planned = planner(settings, self.check(kind, params))
        return [replace(one, text=self.redactor.json(one.text)) for one in planned]

    def submit(self, tx: Connection, order: Order) -> Job:
        """Queue a job; the same key with the same body, or the same (root, step), answers the job there is.

        Errors: `WrongParams`; `KeyReused`; `ConfigError` when there is no such connection.
        """
        params = self.check(order.kind, order.params).model_dump(mode="json")
        serialise(tx)
        body_hash = hashlib.sha256(_sorted([order.kind, params])).hexdigest()
        known = self._known(tx, order, body_hash)
        if known is not None:
            return known
        self._check_connection(tx, order)
        now = to_ms(self.ambient.clock.now())
        identity = self.ambient.ids.new()
        row: dict[str, Any] = {
            "id": identity, "kind": order.kind, "connection": order.connection, "params": dump(params),
            "state": State.QUEUED.value, "priority": order.priority, "not_before_ms": order.not_before_ms,
            "expires_ms": order.expires_ms, "idempotency_key": order.key, "body_hash": body_hash,
            "root": order.root or identity, "step": order.step, "parent": order.parent,
            "trace": f"{now}_{self.ambient.random.getrandbits(24):06x}", "attempt": 1, "epoch": 0,
            "reason": "", "said": "", "asked": "", "progress": "", "result": "", "by": order.by[:120],
            "created_ms": now, "changed_ms": now,
        }  # fmt: skip
        job = insert_job(tx, row)
        shown = self.redactor.value(params)
        told.tell(tx, self.ambient, job, "job.queued", step=job.step, params=shown, by=job.by)
        return job

    def cancel(self, tx: Connection, identity: str, *, reason: str, by: str) -> Job:
        """Call a job off: at once, or after the answer of an unsafe step that is on its way.

        A job in doubt is called off like `decide` with `cancel`: its code may then put things right.
        Errors: `NoSuchJob`; `NotNow` when it has ended.
        """
        job = self._hold(tx, identity)
        if job.state is State.IN_DOUBT:
            return self.decide(tx, identity, "cancel", by=by, reason=reason)
        now = to_ms(self.ambient.clock.now())
        if job.state is State.RUNNING and _is_on_its_way(tx, job):
            change_job(tx, identity, now, reason=CANCEL_REQUESTED, said=reason)
            told.tell(tx, self.ambient, job, "job.decided", step="", choice="cancel", by=by)
            return _must(tx, identity)
        # The epoch grows, so that the worker that runs it can send nothing more.
        if not move(tx, job, Got.CANCEL, now, epoch=job.epoch + 1, reason="cancelled", said=reason):
            raise NotNow(f"The job has ended as {job.state}: there is nothing to call off.")
        told.tell(tx, self.ambient, job, "job.cancelled", reason=reason, by=by)
        told.resolve_unknown(tx, self.ambient, job)
        return _must(tx, identity)

    def retry(self, tx: Connection, identity: str, *, reason: str, by: str, anew: bool | None = None) -> Job:
        """Run a job that ended without success again, as its next attempt.

        anew: also send again what is surely done; None is what the kind says (`JobKind.resumes`).
        Errors: `NoSuchJob`; `NotNow`.
        """
        job = self._hold(tx, identity)
        now = to_ms(self.ambient.clock.now())
        kind = self.kinds.get(job.kind)
        cleared: dict[str, Any] = {
            "attempt": job.attempt + 1, "started_ms": None, "ended_ms": None, "not_before_ms": None,
            "expires_ms": None, "reason": "", "said": "", "result": "", "progress": "", "asked": "",
            "executor": None, "lease_ms": None,
        }  # fmt: skip
        if not move(tx, job, Got.RETRY, now, **cleared):
            raise NotNow(f"The job is {job.state}: only what ended without success is run again.")
        if not (anew if anew is not None else kind is not None and not kind.resumes):
            _keep_done(tx, job)
        after = _must(tx, identity)
        told.tell(tx, self.ambient, after, "job.retried", attempt=after.attempt, reason=reason, by=by)
        return after

    def decide(
        self,
        tx: Connection,
        identity: str,
        choice: str,
        *,
        by: str,
        step: str | None = None,
        result: Any = None,
        evidence: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> Job:
        """Decide about a step in doubt: `happened`, `again` or `cancel`.

        With `happened`, result: what it would have answered, or that part of it which is not as supposed.
        evidence: what was seen upstream, by name, e.g. {"process_id": "10422606"}; it is kept, and stands in
        the answer where that has the name.
        Errors: `NoSuchJob`; `NotNow` when nothing (or another step) is in doubt; `WrongParams`.
        """
        if choice not in CHOICES:
            raise WrongParams(f"choice holds “{choice}”; it is one of {', '.join(CHOICES)}.")
        job = self._hold(tx, identity)
        row = _doubtful(tx, job)
        if job.state is not State.IN_DOUBT or row is None or (step is not None and row.name != step):
            raise NotNow("This step is not in doubt any more; somebody or a probe decided already.")
        seen = dict(evidence or {})
        decided = Decided(CHOICES[choice], _answer(row, result, seen), by, reason, seen, self.redactor)
        settle(tx, self.ambient, job, row, decided)
        return _must(tx, identity)

    def answer(
        self, tx: Connection, identity: str, choice: str, *, by: str, name: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Job:  # fmt: skip
        """Answer what a job asks. data: what was filled in.

        Errors: `NoSuchJob`; `NotNow` when it does not ask (this); `WrongParams` for a choice not offered.
        """
        job = self._hold(tx, identity)
        asked = job.asked
        if job.state is not State.WAITING or (name is not None and asked.get("name") != name):
            raise NotNow("The job does not ask this any more.")
        if choice not in asked["choices"]:
            raise WrongParams(f"choice holds “{choice}”; it is one of {', '.join(asked['choices'])}.")
        decided = {"choice": choice, "by": by, "data": dict(data or {})}
        close_question(tx, self.ambient, job, decided)
        return _must(tx, identity)

    def _known(self, tx: Connection, order: Order, body_hash: str) -> Job | None:
        if order.step and order.root:
            found = select(jobs).where(jobs.c.root == order.root, jobs.c.step == order.step)
            row = tx.execute(found).first()
            if row is not None:
                return to_job(row)
        if order.key is None:
            return None
        found = select(jobs).where(jobs.c.connection == order.connection, jobs.c.idempotency_key == order.key)
        row = tx.execute(found).first()
        if row is not None and row.body_hash != body_hash:
            raise KeyReused("This idempotency key was used for another job. Use a fresh key.")
        return to_job(row) if row is not None else None

    def _check_connection(self, tx: Connection, order: Order) -> None:
        query = select(connections.c.connector).where(
            connections.c.id == order.connection, connections.c.deleted_ms.is_(None)
        )
        connector = tx.scalar(query)
        if connector is None:
            raise ConfigError("connection names none that exists. It may have been deleted.")
        if connector != order.kind.partition(".")[0]:
            raise ConfigError(
                f"connection is one of {connector}, which has no jobs of the kind {order.kind}."
            )

    def _hold(self, tx: Connection, identity: str) -> Job:
        serialise(tx)
        job = read_job(tx, identity, lock=True)
        if job is None:
            raise NoSuchJob("There is no such job.")
        return job


@dataclass(frozen=True)
class Decided:
    """What a probe or a person decided about a step. answer: what it answered, when it happened; JSON-able.

    seen: what a person saw upstream, by name.
    """

    state: StepState
    answer: Any
    by: str
    reason: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict[str, Any])
    redactor: Redactor = field(default_factory=Redactor)


UNKNOWN_ANSWER = "A person said that it happened; what it answered is not known."


def settle(tx: Connection, ambient: Ambient, job: Job, row: Any, decided: Decided) -> None:
    """Write down what was decided about a step in doubt; the worker that runs the job goes on from there.

    row: the step's entry or row of the ledger.
    """
    now = to_ms(ambient.clock.now())
    by, reason = decided.by, decided.reason
    mine = (
        job_steps.c.job == job.id, job_steps.c.attempt == job.attempt, job_steps.c.name == row.name,
        job_steps.c.round == row.round,
    )  # fmt: skip
    # `ended_ms` stays: from when it is in doubt, so that the time spent waiting for people can be told.
    change: dict[str, Any] = {
        "state": decided.state.value, "decided_by": by[:120], "decided_ms": now, "result": "",
    }  # fmt: skip
    more: dict[str, Any] = {"evidence": decided.redactor.value(dict(decided.seen))} if decided.seen else {}
    if decided.seen:
        change["evidence"] = dump({**_loaded(row.evidence), "seen": dict(decided.seen)})
    if decided.state is StepState.HAPPENED:
        change["result"] = dump(decided.answer)
        more["answer"] = decided.redactor.value(decided.answer)
        unknown = decided.answer is None and by != PROBE
        change["error"] = dump({"type": "unconfirmed", "said": UNKNOWN_ANSWER}) if unknown else ""
    if decided.state is StepState.CANCELLED:
        change["error"] = dump({"type": "failed", "reason": "cancelled", "said": reason, "known": {"by": by}})
    tx.execute(update(job_steps).where(*mine).values(change))
    move(tx, job, Got.DECIDE, now, reason="", said="")
    choice = next(word for word, becomes in CHOICES.items() if becomes is decided.state)
    told.tell(tx, ambient, job, "job.decided", step=row.name, choice=choice, by=by, reason=reason, **more)
    told.resolve_alert(tx, ambient, job)


def _answer(row: Any, given: Any, seen: Mapping[str, Any]) -> Any:
    """Answer what a step answered by a person's word. Errors: `WrongParams`."""
    answer = supposed = _loaded(row.result)
    if given is not None:
        answer = given
        if isinstance(given, dict) and isinstance(supposed, dict):
            answer = cast("dict[str, Any]", supposed) | cast("dict[str, Any]", given)
    try:
        return filled(answer, seen)
    except ValueError as error:
        raise WrongParams(str(error)) from None


def _loaded(value: Any) -> Any:
    """Read a column that holds JSON, unless it is read already."""
    return (orjson.loads(value) if value else None) if isinstance(value, str) else value


def close_question(tx: Connection, ambient: Ambient, job: Job, decided: Mapping[str, Any] | None) -> None:
    """Write down the answer to what a job asks; None when nobody answered in time."""
    now = to_ms(ambient.clock.now())
    name = str(job.asked.get("name"))
    mine = (
        job_steps.c.job == job.id, job_steps.c.attempt == job.attempt, job_steps.c.name == f"ask:{name}",
    )  # fmt: skip
    by = str(decided["by"]) if decided else ""
    change = {"state": StepState.DONE.value, "result": dump(decided), "ended_ms": now}
    tx.execute(update(job_steps).where(*mine).values(change | {"decided_by": by[:120], "decided_ms": now}))
    choice = str(decided["choice"]) if decided else ""
    # Who looks at the job before its code goes on sees what was chosen, and asks nobody again.
    progress = dump({"percent": None, "said": "", "chosen": choice})
    move(tx, job, Got.ANSWER, now, asked="", reason="", said="", progress=progress)
    told.tell(tx, ambient, job, "job.decided", step=name, choice=choice, by=by or "nobody in time")


def _doubtful(tx: Connection, job: Job) -> Any:
    query = select(job_steps).where(
        job_steps.c.job == job.id,
        job_steps.c.attempt == job.attempt,
        job_steps.c.state == StepState.IN_DOUBT.value,
    )
    return tx.execute(query).first()


def _is_on_its_way(tx: Connection, job: Job) -> bool:
    """Answer whether an unsafe effect has left and is not answered."""
    query = select(job_steps.c.name).where(
        job_steps.c.job == job.id, job_steps.c.attempt == job.attempt,
        job_steps.c.state == StepState.STARTED.value, job_steps.c.kind == StepKind.UNSAFE.value,
        job_steps.c.sent_ms.is_not(None),
    )  # fmt: skip
    return tx.execute(query).first() is not None


def _keep_done(tx: Connection, job: Job) -> None:
    """Take the answers of unsafe steps over into the next attempt: they are not sent again."""
    certain = (StepState.DONE.value, StepState.HAPPENED.value)
    query = select(job_steps).where(
        job_steps.c.job == job.id, job_steps.c.attempt == job.attempt,
        job_steps.c.kind == StepKind.UNSAFE.value, job_steps.c.state.in_(certain),
    )  # fmt: skip
    rows = [{**row, "attempt": job.attempt + 1, "error": ""} for row in tx.execute(query).mappings()]
    if rows:
        tx.execute(insert(job_steps), rows)


def _must(tx: Connection, identity: str) -> Job:
    job = read_job(tx, identity)
    assert job is not None
    return job


def _sorted(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _explain(error: ValidationError) -> WrongParams:
    fields: list[dict[str, str]] = []
    for one in error.errors():
        name = ".".join(str(part) for part in one["loc"]) or "params"
        fields.append({"field": name, "kind": kind_of(one["input"]), "said": _remedy(one)})
    return WrongParams("\n".join(f"{one['field']} does not fit: {one['said']}." for one in fields), fields)


def _remedy(one: ErrorDetails) -> str:
    """Answer what to do about one wrong field, without the words of the library that found it."""
    context = one.get("ctx", {})
    match one["type"]:
        case "missing" | "string_too_short":
            return "Fill it in"
        case "string_too_long":
            return f"It may have {context.get('max_length')} characters at most"
        case "string_pattern_mismatch":
            digits = _DIGITS.fullmatch(str(context.get("pattern")))
            return f"Only digits, {digits[2]} at most" if digits else "It has another form"
        case "extra_forbidden":
            return "There is no such field: leave it out"
        case _:
            return one["msg"].removeprefix("Value error, ").rstrip(".")
