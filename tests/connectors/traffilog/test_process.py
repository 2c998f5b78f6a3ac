"""How far a process is, whether it is alive, how it ended, and what proves it."""

from __future__ import annotations

import pytest

from atalaia.connectors.traffilog import process, units
from atalaia.connectors.traffilog.process import Process
from tests.connectors.traffilog.folding import said, told
from tests.connectors.traffilog.ground import SCHEME_RUN, T0, lines

KEY = f"{T0 // 1000 + 15:08X}"
Step = tuple[int, str, dict[str, str]]


def begun(**fields: object) -> Process:
    return Process("2900108", process.SCHEME_BUILDER, "10422606", queued_ms=T0, **fields)  # type: ignore[arg-type]


def recorded() -> list[Step]:
    """Answer the recorded run: time, source, row."""
    steps: list[Step] = []
    for line in lines(SCHEME_RUN):
        properties = (line["json"] or {}).get("response", {}).get("properties", {})
        for row in properties.get("data", []) if line["dir"] == "in" else []:
            if properties.get("data_source"):
                steps.append((T0 + line["t_ms"], properties["data_source"], row))
    return steps


def play(one: Process, steps: list[Step]) -> Process:
    for at_ms, source, row in steps:
        one = take(one, at_ms, source, row)
    return one


def take(one: Process, at_ms: int, source: str, row: dict[str, str]) -> Process:
    if source == "UNIT_CONFIG_STATUS":
        return process.hear_status(one, row, at_ms)
    return process.hear_message(one, units.read_message(row["raw_message"]), at_ms)


def status(
    one: Process, percent: str, word: str = "In Progress", error: str = " ", at_ms: int = T0
) -> Process:
    return process.hear_status(one, {"status": word, "progress": percent, "error": error}, at_ms)


def executed(one: Process, command: str = "F0", times: int = 1, at_ms: int = T0) -> Process:
    for _ in range(times):
        one = process.hear_message(one, units.read_message(said(f"0401{command}")), at_ms)
    return one


def write_key(one: Process, key: str = KEY) -> Process:
    one = process.hear_message(one, units.read_message(told(f"150200C31304{key.lower()}")), T0)
    return executed(one, "13")


def test_the_recorded_run_is_followed_command_by_command_and_agrees_with_the_upstream():
    one = begun()
    for at_ms, source, row in recorded():
        before = one
        one = take(one, at_ms, source, row)
        assert one.percent >= before.percent
        if source == "UNIT_CONFIG_STATUS" and one.reported != before.reported and one.runs:
            assert one.total is not None
            assert abs(one.done / one.total * 100 - one.reported) <= 0.01
        if one.reported >= 1.74:
            assert one.total == 460
    assert (one.sent, one.done, one.missed, one.total) == (460, 459, 0, 460)
    assert (one.outcome, one.key, one.key_acknowledged, one.reset) == (
        process.UNCONFIRMED, "6A1C5000", True, True,
    )  # fmt: skip


def test_the_recorded_run_raises_no_alarm_at_any_moment():
    one = begun()
    for at_ms, source, row in recorded():
        assert process.overdue(one, at_ms) is None
        one = take(one, at_ms, source, row)
    assert process.overdue(one, T0 + 10**9) is None


@pytest.mark.parametrize("hole", [(30, 400), (400, 700), (60, 1000), (900, 1300)])
def test_progress_survives_a_hole_in_what_is_heard(hole: tuple[int, int]):
    steps = recorded()
    one = play(begun(), steps[: hole[0]])
    after = steps[hole[1] :]
    changes = 0
    for at_ms, source, row in after:
        before, one = one, take(one, at_ms, source, row)
        changes += one.reported != before.reported
        if changes >= 3 and one.runs:
            assert one.total is not None and abs(one.total - 460) <= 5
            assert abs(one.percent - one.done / 460 * 100) < 3
    assert one.outcome == process.UNCONFIRMED


def test_a_process_met_in_its_middle_tells_its_total_from_what_follows():
    steps = recorded()[300:]
    one = play(Process("2900108", process.SCHEME_BUILDER, started_ms=T0), steps)
    assert one.total is not None and abs(one.total - 460) <= 5
    assert one.outcome == process.UNCONFIRMED


def test_the_key_that_was_written_proves_the_run_in_either_case():
    one = write_key(begun())
    assert one.key_acknowledged and not one.confirmed_ms
    one = status(one, "100", "Completed")
    assert one.outcome == process.UNCONFIRMED
    one = process.confirm(one, KEY, KEY.lower(), T0 + 5)
    assert one.confirmed_ms == T0 + 5


def test_a_unit_that_reports_its_key_before_the_end_makes_the_end_confirmed():
    one = process.hear_message(write_key(begun()), units.read_message(said(f"150200011404{KEY}")), T0 + 9)
    assert status(one, "100", "Completed").outcome == process.CONFIRMED


@pytest.mark.parametrize(
    ("assigned", "loaded"),
    [("", ""), ("00000000", "00000000"), (KEY, "67546D46"), ("67546D46", "67546D46"), ("x", "x"), ("", KEY)],
)
def test_other_keys_prove_nothing(assigned: str, loaded: str):
    without = process.confirm(begun(), assigned, loaded, T0)
    assert bool(without.confirmed_ms) is False or loaded == KEY == without.key
    if loaded != KEY:
        assert not process.confirm(write_key(begun()), assigned, loaded, T0).confirmed_ms


def test_equal_keys_of_the_right_time_prove_a_run_of_which_the_write_was_missed():
    assert process.confirm(begun(), KEY, KEY, T0 + 400_000).confirmed_ms
    late = f"{T0 // 1000 + 9_000:08X}"
    assert not process.confirm(begun(), late, late, T0).confirmed_ms


@pytest.mark.parametrize(
    ("word", "error", "outcome"),
    [
        ("Completed", " ", process.UNCONFIRMED),
        ("Done", "", process.UNCONFIRMED),
        ("Error", " ", process.FAILED),
        ("error", " ", process.FAILED),
        ("In Progress", "E17", process.FAILED),
        ("Disconnected Unit", " ", ""),
        ("Disconnected", " ", ""),
        ("No Response", " ", ""),
        ("Retry", " ", ""),
        ("Batch Timeout", " ", ""),
        ("Internal Timeout", " ", ""),
    ],
)
def test_each_status_ends_the_process_or_waits(word: str, error: str, outcome: str):
    assert status(begun(), "12.5", word, error).outcome == outcome


def test_an_end_is_not_taken_back():
    one = status(begun(), "100", "Completed")
    assert status(one, "12", "Error").outcome == process.UNCONFIRMED
    assert process.conclude(one, process.FAILED, T0).outcome == process.UNCONFIRMED
    assert process.conclude(one, process.CONFIRMED, T0).confirmed_ms == T0


def test_silence_is_counted_from_the_last_push_of_any_kind():
    one = executed(status(begun(), "0", at_ms=T0 + 1_000), at_ms=T0 + 60_000)
    assert process.overdue(one, T0 + 149_000) is None
    assert process.overdue(one, T0 + 150_000) == "silent"
    assert process.overdue(one, T0 + 720_000) == "too_long"
    assert process.overdue(one, T0 + 150_000, silent_s=600) is None


@pytest.mark.parametrize("percent", ["", "-1", "101", "nan", "x", "1e9"])
def test_a_figure_that_is_none_changes_nothing(percent: str):
    assert status(status(begun(), "12.5"), percent).reported == 12.5


def test_a_run_command_is_confirmed_by_the_units_own_acknowledgement():
    matrix = "C6140000FC00000000000000FC000400000000000000"
    one = Process("2900108", process.RUN_COMMAND, "10424006", queued_ms=T0, command=matrix)
    one = executed(one, "C6")  # of an earlier command: ours was not sent yet
    assert one.runs
    one = process.hear_message(one, units.read_message(told("1502000AC6140400")), T0)
    assert not one.sent  # another matrix
    one = process.hear_message(one, units.read_message(told(f"1502000A{matrix}")), T0)
    one = process.hear_message(one, units.read_message(said("1602000A")), T0)
    assert (one.percent, one.runs) == (50.0, True)
    one = executed(one, "C6", at_ms=T0 + 7)
    assert (one.outcome, one.confirmed_ms, one.percent) == (process.CONFIRMED, T0 + 7, 100.0)


def test_what_is_remembered_of_a_process_is_all_of_it():
    one = play(begun(), recorded()[:500])
    assert process.from_memory({**process.to_memory(one), "of_a_newer_version": 1}) == one
