"""An installation as the few stages that a technician thinks in, each with how it stands; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atalaia.desk.installations.state import NO_SWAP, Phase, Standing, newest, phase_of
from atalaia.jobs.queries import Job
from atalaia.web.i18n import N_
from atalaia.web.pages.work import job_sign

LATER = "stage_later"

STAGE_WORDS: dict[Phase, str] = {
    "portal": N_("Portal"),
    "scheme": N_("Scheme"),
    "check": N_("CAN check"),
    "approval": N_("Approval"),
    "gsensor": N_("G-sensor"),
    "save": N_("Record"),
}
_WHOLE: tuple[Phase, ...] = ("portal", "scheme", "check", "approval", "gsensor", "save")
_EXPECTED: dict[str, tuple[Phase, ...]] = {
    "INSTALL": _WHOLE,
    "MAINT_WITH_SWAP": _WHOLE,
    NO_SWAP: ("portal", "check", "approval", "gsensor", "save"),
    "UNINSTALL": ("portal", "save"),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. word: English source text; sign: a name of `states.SIGNS`; job: None while it is to come."""

    key: Phase
    word: str
    sign: str
    job: Job | None = None

    @property
    def took_ms(self) -> int | None:
        """How long it took, once it ended."""
        job = self.job
        return job.ended_ms - job.started_ms if job and job.ended_ms and job.started_ms else None


def stages_of(chain: Sequence[Job], service: str, at: Standing, *, gsensor: bool) -> list[Stage]:
    """Answer the stages in their order. chain: in the order in which its jobs were asked for.

    gsensor: how the unit is mounted was filled in. What has ended shows only the stages it went through.
    """
    known = newest([job for job in chain if phase_of(job) != "silent"])
    found: list[Stage] = []
    for phase in _WHOLE:
        job = known.get(phase)
        expected = phase in _EXPECTED.get(service, _WHOLE) and (phase != "gsensor" or gsensor)
        if job is not None:
            found.append(Stage(phase, STAGE_WORDS[phase], job_sign(job.state), job))
        elif expected and not at.ended:
            found.append(Stage(phase, STAGE_WORDS[phase], LATER))
    return found


def current(stages: Sequence[Stage]) -> Job | None:
    """Answer the job that is under way or waits to begin, None when a person or nobody is next."""
    return next(
        (stage.job for stage in stages if stage.job and stage.job.state in ("running", "queued")), None
    )


def looks_good(summary: Mapping[str, Any], service: str) -> bool:
    """Answer whether a check shows no trouble: a bus works, none stopped working, the scheme is assigned.

    A bus that never worked is no trouble by itself: many vehicles have only one. A maintenance without swap
    writes the scheme after the check.
    """
    verdicts = list(dict(summary.get("buses") or {}).values())
    key = summary.get("key_matches") is not False or service == NO_SWAP
    return "ok" in verdicts and "worked" not in verdicts and key
