"""Which vehicle is meant, and whether a unit may be installed: tables."""

from __future__ import annotations

import pytest

from atalaia.connectors.traffilog.portal.checks import Standing, judge
from atalaia.connectors.traffilog.portal.lookups import (
    Found,
    NotThere,
    Unsure,
    Vehicle,
    choose,
    same_serial,
    spellings,
)


def vehicle(id: str, plate: str = "", serial: str = "") -> Vehicle:
    return Vehicle({"VEHICLE_ID": id, "LICENSE_NMBR": plate, "INNER_ID": serial})


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        (" abc1d23 ", ["ABC1D23"]),
        ("604 - ABC1D23", ["604 - ABC1D23", "ABC1D23"]),
        ("604-abc1d23", ["604-ABC1D23", "ABC1D23"]),
        ("ABC-1234", ["ABC-1234"]),
        ("", []),
    ],
)
def test_a_plate_is_asked_as_typed_and_then_without_its_fleet(typed: str, asked: list[str]):
    assert spellings(typed) == asked


def test_an_exact_plate_beats_one_that_only_contains_it():
    rows = [vehicle("1", "604 - ABC1D23"), vehicle("9", "abc1d23")]

    assert choose(rows, "ABC1D23") == Found(rows[1], "exact")


def test_of_duplicates_the_oldest_record_wins_with_a_warning():
    rows = [vehicle("2900200", "ABC1D23"), vehicle("990", "ABC 1D23"), vehicle("2900100", "ABC1D23")]

    assert choose(rows, "ABC1D23") == Found(rows[1], "exact", ("2900100", "2900200"))


def test_a_stored_plate_with_blanks_equals_the_one_typed_without():
    assert choose([vehicle("7", "604 - ABC1D23")], "604-ABC1D23") == Found(
        vehicle("7", "604 - ABC1D23"), "exact"
    )


def test_rows_of_several_plates_are_for_a_person():
    rows = [vehicle("8", "ABC1D24"), vehicle("7", "ABC1D23")]

    assert choose(rows, "ABC1D") == Unsure((rows[1], rows[0]))


def test_a_single_row_that_does_not_match_is_not_taken_but_asked_about():
    row = vehicle("7", "XYZ9Z99")

    assert choose([row], "ABC1D23") == Unsure((row,))


def test_nothing_is_nothing():
    assert choose([], "ABC1D23") == NotThere()


def test_leading_zeros_do_not_make_another_serial():
    assert same_serial("0000000920001747", "920001747")
    assert not same_serial("", "0")


SERIAL = "920001747"
PADDED = "0000000920001747"


@pytest.mark.parametrize(
    ("records", "standing", "blocking"),
    [
        ([], Standing.UNKNOWN, []),
        ([vehicle("5", SERIAL, PADDED)], Standing.PARKED, ["5"]),
        ([vehicle("5", "CMDT", PADDED)], Standing.PARKED, ["5"]),
        ([vehicle("5", "CMDT 12", PADDED)], Standing.PARKED, ["5"]),
        ([vehicle("5", PADDED, PADDED)], Standing.PARKED, ["5"]),
        ([vehicle("5", "", PADDED)], Standing.FREE, []),
        ([vehicle("5", SERIAL, "")], Standing.FREE, []),
        ([vehicle("5", "ABC1D23", PADDED)], Standing.IN_USE, ["5"]),
        ([vehicle("4", "CMDT", PADDED), vehicle("5", "ABC1D23", PADDED)], Standing.IN_USE, ["5"]),
        ([vehicle("1", "ABC1D23", PADDED)], Standing.OURS, []),
        ([vehicle("1", SERIAL, PADDED)], Standing.OURS, []),
        ([vehicle("1", SERIAL, PADDED), vehicle("5", "CMDT", PADDED)], Standing.PARKED, ["5"]),
    ],
)
def test_a_serial_is_judged_by_the_records_that_hold_it(
    records: list[Vehicle], standing: Standing, blocking: list[str]
):
    found = judge(records, SERIAL, own_id="1")

    assert (found.standing, [one.id for one in found.blocking]) == (standing, blocking)


def test_the_units_last_word_counts_from_the_year_2000():
    assert Vehicle({"LAST_GPRS_SEC": "833555515"}).last_gprs_ms == 1_780_240_315_000
    assert Vehicle({"LAST_GPRS_SEC": ""}).last_gprs_ms is None
