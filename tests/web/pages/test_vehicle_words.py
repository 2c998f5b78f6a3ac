"""What a vehicle says is read with its units and in words, in the language of whoever looks."""

from __future__ import annotations

import pytest

from atalaia.desk.vehicles.queries import Change
from atalaia.web import i18n
from atalaia.web.i18n import View
from atalaia.web.pages.vehicle_words import change_words, header_pairs, measured, parted_changes

PT, EN = View("pt_BR"), View("en")


@pytest.mark.parametrize(
    ("value", "unit", "pt", "en"),
    [
        ("137433.00", "km", "137.433\u00a0km", "137,433\u00a0km"),
        (27.4, "V", "27,4\u00a0V", "27.4\u00a0V"),
        (-18.984227, "deg", "-18,984227°", "-18.984227°"),
        (1140.0, "RPM", "1.140\u00a0rpm", "1,140\u00a0rpm"),
        (0.0, "-", "0", "0"),
        ("A77 Read Write.14", "", "A77 Read Write.14", "A77 Read Write.14"),
    ],
)
def test_a_value_has_its_unit_and_the_marks_of_the_language(value: str | float, unit: str, pt: str, en: str):
    for view, said in ((PT, pt), (EN, en)):
        with i18n.drawing(view):
            assert measured(value, unit) == said


def test_a_header_is_told_in_the_order_in_which_people_ask():
    header = {"mileage": "137433.00", "ignition": "1", "unit_type": "SPETROTEC", "driver_code": "", "x": "y"}
    with i18n.drawing(PT):
        assert header_pairs(header) == [
            ("Unidade", "SPETROTEC"), ("Ignição", "ligada"), ("Quilometragem", "137.433\u00a0km"),
        ]  # fmt: skip


def test_what_came_and_went_does_not_bury_what_changed():
    rows = [
        Change("header", "mileage", "10.5", "11.5"),
        Change("modules", "CAN/CAN0", "active ok was_ok", "active was_ok NO_ERROR"),
        Change("parameters", "RPM (2715)", None, "1140 RPM"),
        Change("parameters", "Speed (2713)", "3 km/h", None),
    ]
    found = parted_changes(rows)
    with i18n.drawing(PT):
        assert [change_words(one) for one in found.changed] == [
            ("Quilometragem", "10,5\u00a0km", "11,5\u00a0km"),
            ("CAN CAN0", "Funcionando", "Não funciona agora · NO_ERROR"),
        ]
        assert [change_words(one) for one in found.came] == [("RPM (2715)", "", "1.140\u00a0rpm")]
        assert [change_words(one) for one in found.went] == [("Speed (2713)", "3\u00a0km/h", "")]
    assert len(found) == 4
