"""How an installation stands follows from its jobs alone; the table is all of the words."""

from __future__ import annotations

from typing import Any

import pytest

from atalaia.desk.installations.checks import summary, text_of, union
from atalaia.desk.installations.state import WORDS, standing
from atalaia.jobs.queries import Asked, Job


def job(step: str, state: str, n: int = 0, **more: Any) -> Job:
    """Answer a job of a chain; the first has no step."""
    given: dict[str, Any] = {
        "id": f"j{n}", "kind": "traffilog.x", "connection": "c1", "params": {}, "state": state,
        "priority": 0, "not_before_ms": None, "expires_ms": None, "idempotency_key": None, "root": "j0",
        "step": step, "parent": None, "trace": "", "attempt": 1, "epoch": 1, "executor": None, "reason": "",
        "said": "", "asked": None, "progress": {}, "result": None, "by": "ana", "created_ms": n,
        "started_ms": None, "ended_ms": None, "changed_ms": n, **more,
    }  # fmt: skip
    return Job(**given)


def chain(*parts: tuple[str, str]) -> list[Job]:
    return [job(step, state, n) for n, (step, state) in enumerate(parts)]


DONE = ("", "done")
SB, CAN, OK = ("scheme_builder", "done"), ("can", "done"), ("approval", "done")
STANDINGS: list[tuple[list[tuple[str, str]], str, str]] = [
    ([], "UNKNOWN", ""),
    ([("", "queued")], "HTML5_RUNNING", ""),
    ([("", "running")], "HTML5_RUNNING", ""),
    ([("", "in_doubt")], "HTML5_RUNNING", "decision"),
    ([("", "failed")], "HTML5_ERROR", "retry"),
    ([("", "expired")], "HTML5_ERROR", "retry"),
    ([("", "cancelled")], "CANCELLED", ""),
    ([DONE], "HTML5_DONE", ""),
    ([DONE, ("scheme_builder", "running")], "SB_RUNNING", ""),
    ([DONE, ("scheme_builder", "failed")], "SB_ERROR", "retry"),
    ([DONE, SB], "SB_DONE", ""),
    ([DONE, SB, ("can", "running")], "CAN_RUNNING", ""),
    ([DONE, SB, ("can", "failed")], "CAN_ERROR", "retry"),
    ([DONE, SB, CAN, ("approval", "queued")], "WAITING_APPROVAL", ""),
    ([DONE, SB, CAN, ("approval", "waiting")], "WAITING_APPROVAL", "approval"),
    ([DONE, SB, CAN, ("approval", "failed")], "CAN_ERROR", "retry"),
    ([DONE, SB, CAN, ("approval", "waiting"), ("can:2", "running")], "CAN_RUNNING", ""),
    ([DONE, SB, CAN, OK, ("can:2", "done"), ("approval:2", "waiting")], "WAITING_APPROVAL", "approval"),
    ([DONE, SB, CAN, OK, ("gsensor", "running")], "GS_RUNNING", ""),
    ([DONE, SB, CAN, OK, ("gsensor", "in_doubt")], "GS_RUNNING", "decision"),
    ([DONE, SB, CAN, OK, ("gsensor", "failed")], "GS_ERROR", "retry"),
    ([DONE, SB, CAN, OK, ("gsensor", "done"), ("save", "running")], "GS_RUNNING", ""),
    ([DONE, SB, CAN, OK, ("gsensor", "done"), ("save", "failed")], "SAVE_ERROR", "retry"),
    ([DONE, SB, CAN, OK, ("gsensor", "done"), ("save", "done")], "COMPLETED", ""),
    ([DONE, SB, CAN, ("approval", "cancelled")], "CANCELLED", ""),
    ([DONE, ("save", "done")], "COMPLETED", ""),
]


@pytest.mark.parametrize(("parts", "word", "needs"), STANDINGS)
def test_each_chain_has_one_word(parts: list[tuple[str, str]], word: str, needs: str):
    at = standing(chain(*parts))
    assert (at.word, at.needs) == (word, needs)


def test_every_word_is_told_by_some_chain():
    assert {word for _, word, _ in STANDINGS} == set(WORDS)


def test_an_approval_that_is_given_waits_for_nobody_though_its_code_has_not_gone_on():
    asked = chain(DONE, SB, CAN)
    answered = job("approval", "running", 9, progress={"percent": None, "said": "", "chosen": "approve"})
    at = standing([*asked, answered])
    assert (at.word, at.needs) == ("CAN_RUNNING", "")


def test_a_silent_scheme_builder_after_the_end_changes_nothing():
    saved = [*chain(DONE, ("save", "done")), job("scheme_builder", "failed", 9, params={"terminal": True})]
    assert standing(saved).word == "COMPLETED"


def test_a_maintenance_without_swap_waits_for_the_technicians_choice():
    root = job("", "done", params={"chain": {"service": "MAINT_NO_SWAP"}})
    assert standing([root]).needs == "choice"
    assert standing([root, job("can", "running", 1)]).needs == ""


def test_a_saved_installation_stays_completed_when_its_jobs_are_swept():
    assert standing([], saved=True).word == "COMPLETED"


def test_an_approval_knows_until_when():
    waiting = job("approval", "waiting", 3, asked=Asked("approval:1", "?", ("approve",), None, 77))
    assert standing([job("", "done"), waiting]).job == "j3"


def value(number: float, name: str = "Battery", **more: Any) -> dict[str, Any]:
    return {"name": name, "value": number, "raw": "0", "unit": "V", **more}


def test_a_poorer_check_never_hides_a_richer_one():
    rich = {"header": {"ignition": "1"}, "parameters": {"1": value(1), "2": value(2)}, "missing": ["a"]}
    poor = {"header": {"ignition": "0"}, "parameters": {}, "missing": ["a", "b"]}
    newer = {"header": {"ignition": "1"}, "parameters": {"2": value(3)}, "missing": ["b"]}

    whole = union([rich, poor, newer])

    assert {key: one["value"] for key, one in whole["parameters"].items()} == {"1": 1, "2": 3}
    assert whole["missing"] == []
    assert union([rich, poor])["header"] == {"ignition": "1"}
    assert summary(whole)["parameters"] == 2
    assert union([]) == {}


def test_the_line_about_a_check_has_255_characters_at_most_and_counts_what_it_left_out():
    many = {str(n): value(n, f"Parameter number {n}") for n in range(60)}
    modules = {f"M/{n}": {"active": True, "ok": True, "sub": f"S{n}"} for n in range(9)}
    header = {"ignition": "1", "configuration_key_db": "6a1c5000"}

    text = text_of({"header": header, "modules": modules, "parameters": many})

    assert len(text) <= 255
    assert text.startswith("IGN:1 | KEY:6a1c5000 | MOD:S0,S1,S2,S3,S4 | Parameter nu:0 ")
    shown = text.count("Parameter nu:")
    assert text.endswith(f"+{60 - shown}")
    assert text_of({}) == ""
