"""How far an installation is, derived from the jobs of its chain; nothing of it is stored as truth.

The words are those of the old clients. Source: contract §11.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from atalaia.jobs.queries import Job

Phase = Literal["portal", "scheme", "check", "approval", "gsensor", "save", "silent"]
Needs = Literal["", "approval", "decision", "retry", "choice"]

PORTAL_RUNNING, PORTAL_ERROR, PORTAL_DONE = "HTML5_RUNNING", "HTML5_ERROR", "HTML5_DONE"
SCHEME_RUNNING, SCHEME_ERROR, SCHEME_DONE = "SB_RUNNING", "SB_ERROR", "SB_DONE"
CHECK_RUNNING, CHECK_ERROR, WAITING_APPROVAL = "CAN_RUNNING", "CAN_ERROR", "WAITING_APPROVAL"
GSENSOR_RUNNING, GSENSOR_ERROR = "GS_RUNNING", "GS_ERROR"
SAVE_ERROR, COMPLETED, CANCELLED, UNKNOWN = "SAVE_ERROR", "COMPLETED", "CANCELLED", "UNKNOWN"
WORDS = (
    PORTAL_RUNNING, PORTAL_ERROR, PORTAL_DONE, SCHEME_RUNNING, SCHEME_ERROR, SCHEME_DONE, CHECK_RUNNING,
    CHECK_ERROR, WAITING_APPROVAL, GSENSOR_RUNNING, GSENSOR_ERROR, SAVE_ERROR, COMPLETED, CANCELLED, UNKNOWN,
)  # fmt: skip
ERRORS = (PORTAL_ERROR, SCHEME_ERROR, CHECK_ERROR, GSENSOR_ERROR, SAVE_ERROR)

NO_SWAP = "MAINT_NO_SWAP"
EXPIRED = "approval_timeout"
_BAD = ("failed", "expired")
_STEPS: dict[str, Phase] = {
    "": "portal", "scheme_builder": "scheme", "can": "check", "approval": "approval", "gsensor": "gsensor",
    "save": "save",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """How an installation stands. word: one of `WORDS`; job: the id of the job that says so.

    needs: what a person has to do; `choice` is the technician's, between a check and none.
    reason, said: why it stopped. since_ms: when the job last changed.
    """

    word: str
    needs: Needs = ""
    job: str = ""
    reason: str = ""
    said: str = ""
    since_ms: int = 0

    @property
    def ended(self) -> bool:
        """Nothing will change any more unless somebody asks for it."""
        return self.word in (COMPLETED, CANCELLED) or self.word in ERRORS


def phase_of(job: Job) -> Phase:
    """Answer which part of an installation a job is; `silent` ones count for nothing."""
    if job.params.get("terminal"):
        return "silent"
    return _STEPS.get(job.step.partition(":")[0], "silent")


def newest(chain: Sequence[Job]) -> dict[Phase, Job]:
    """Answer the newest job of each part. chain: in the order in which they were asked for."""
    return {phase_of(job): job for job in chain}


def standing(chain: Sequence[Job], *, saved: bool = False) -> Standing:
    """Answer how an installation stands. chain: in the order in which its jobs were asked for.

    saved: its record is kept, which is all that is known once the jobs themselves are swept.
    """
    counted = [job for job in chain if phase_of(job) != "silent"]
    if not counted:
        return Standing(COMPLETED if saved else UNKNOWN)
    known = newest(counted)
    last = counted[-1]
    if last.state == "cancelled":
        return _told(CANCELLED, last)
    if (save := known.get("save")) is not None and (save.state == "done" or save.state in _BAD):
        return _told(COMPLETED if save.state == "done" else SAVE_ERROR, save)
    if (gsensor := known.get("gsensor")) is not None:
        return _told(GSENSOR_ERROR if gsensor.state in _BAD else GSENSOR_RUNNING, gsensor)
    if checks := [job for job in counted if phase_of(job) in ("check", "approval")]:
        return _check(checks[-1])
    if (scheme := known.get("scheme")) is not None:
        return _told(_of(scheme, SCHEME_RUNNING, SCHEME_DONE, SCHEME_ERROR), scheme)
    root = known["portal"] if "portal" in known else counted[0]
    found = _told(_of(root, PORTAL_RUNNING, PORTAL_DONE, PORTAL_ERROR), root)
    chooses = found.word == PORTAL_DONE and service_of(root) == NO_SWAP and "save" not in known
    return Standing(found.word, "choice", found.job, since_ms=found.since_ms) if chooses else found


def service_of(root: Job) -> str:
    """Answer the service that the chain was made for."""
    chain: Any = root.params.get("chain")
    return str(cast("dict[str, Any]", chain).get("service") or "") if isinstance(chain, dict) else ""


def _check(last: Job) -> Standing:
    answered = last.state == "running" and last.progress.get("chosen")  # its code is about to go on
    if phase_of(last) == "check" or last.state == "done" or answered:
        return _told(CHECK_ERROR if last.state in _BAD else CHECK_RUNNING, last)
    return _told(CHECK_ERROR if last.state in _BAD else WAITING_APPROVAL, last)


def _of(job: Job, running: str, done: str, error: str) -> str:
    return error if job.state in _BAD else done if job.state == "done" else running


def _told(word: str, job: Job) -> Standing:
    needs: Needs = ""
    if job.state == "in_doubt":
        needs = "decision"
    elif word == WAITING_APPROVAL and job.state == "waiting":
        needs = "approval"
    elif word in ERRORS:
        needs = "retry"
    bad = job.state in (*_BAD, "cancelled", "in_doubt")
    reason, said = (job.reason, job.said) if bad else ("", "")
    return Standing(word, needs, job.id, reason, said, job.changed_ms)
