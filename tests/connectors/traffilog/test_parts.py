"""Raw messages, mounting commands, modules and parameters, held against what was recorded."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.traffilog import gsensor, modules, parameters, units
from atalaia.errors import Rejected
from tests.connectors.traffilog.folding import said, told
from tests.connectors.traffilog.ground import CONTRACT, FRAGMENTED, SCHEME_RUN, lines

needs_contract = pytest.mark.skipif(not CONTRACT.is_dir(), reason="the contract is not beside this checkout")


def test_a_report_of_a_unit_is_read():
    message = units.read_message(said("15020895240B000B00002F5B00002712FF0800"))
    assert isinstance(message, units.Report)
    assert (message.inner_id, message.at_ms) == ("0000000920001747", 1780240404000)
    assert (message.latitude, message.longitude) == (-18.271928, -43.992804)
    assert (message.speed, message.heading, message.satellites) == (0, 158, 11)
    assert (message.mileage, message.engine_hours, message.driver_code) == (120022, 1133, "")
    assert message.payload == units.Battery(12123)


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (told("150200C313046a1c5000"), units.KeyWritten("6A1C5000", "00C3")),
        ("(O2W, 8, 06025753)", units.Reset()),
        (told("1502FEFB0F0606444D020000"), units.Numbered("FEFB", "0F", "0606444D020000")),
        (told("C6140000FC00"), units.Mounting("C6140000FC00")),
        (told("1502000AC6140000FC00"), units.Mounting("C6140000FC00", "000A")),
        (said("160200C3"), units.Transported("00C3")),
        (said("040113"), units.Executed("13")),
        (said("0402F007"), units.Executed("F0", "07")),
        (said("1502000114046A1C5000"), units.KeyReported("6A1C5000")),
        (said("no hex"), units.Other("NO HEX")),
    ],
)
def test_payloads_are_told_apart(raw: str, payload: units.Payload):
    message = units.read_message(raw)
    assert isinstance(message, (units.Report, units.Command))
    assert message.payload == payload


def test_every_recorded_message_is_understood():
    kinds: dict[str, int] = {}
    for line in lines(SCHEME_RUN):
        properties = line["json"].get("response", {}).get("properties", {})
        for row in properties.get("data", []) if properties.get("data_source") == "UNIT_MESSAGES" else []:
            message = units.read_message(row["raw_message"])
            assert isinstance(message, (units.Report, units.Command))
            kind = type(message.payload).__name__
            kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds == {
        "Numbered": 461, "Transported": 458, "Executed": 459, "Battery": 13, "KeyWritten": 1, "Reset": 1,
    }  # fmt: skip


@given(
    st.text(max_size=80)
    | st.builds(lambda text: f"({text})", st.text(",0123456789ABCFabcW2O+-", max_size=120))
)
def test_no_message_makes_the_reader_stumble(text: str):
    message = units.read_message(text)

    assert isinstance(message, units.Message)


@needs_contract
def test_the_rule_gives_the_vendors_commands_but_the_one_that_is_wrong():
    body = orjson.loads((CONTRACT / "catalogs" / "g-sensor_commands.json").read_bytes())
    vendors = {(one["label"], one["harness"]): one["command"] for one in body["commands"]}

    ours = {(one.label, one.harness): one.command for one in gsensor.mounts()}

    assert len(vendors) == 24
    assert ours == {pair: command for pair, command in vendors.items() if pair != ("LEFT", "FRONT")}


def test_the_wrong_command_is_refused_and_so_is_what_cannot_be():
    with pytest.raises(Rejected, match="RIGHT with FRONT"):
        gsensor.read_mount("left", " front ")
    for label in gsensor.SIDES:
        for harness in gsensor.SIDES:
            axes = {"UP": 2, "DOWN": 2, "LEFT": 1, "RIGHT": 1, "BACK": 0, "FRONT": 0}
            if axes[label] == axes[harness]:
                with pytest.raises(Rejected, match="on one axis"):
                    gsensor.Mount(label, harness)
    with pytest.raises(Rejected, match="no side"):
        gsensor.read_mount("TOP", "UP")
    assert len(gsensor.mounts()) == 23


@pytest.mark.parametrize(
    ("comment", "written"),
    [("G", "G [GS]"), ("G [GS]", "G [GS]"), ("G [GS] ", "G [GS]"), ("", "[GS]"), ("G[GS]", "G[GS]")],
)
def test_the_suffix_of_the_comment_stands_once(comment: str, written: str):
    assert gsensor.with_suffix(comment) == written
    assert gsensor.with_suffix(written) == written


def test_the_payload_of_a_command_is_what_the_units_messages_show():
    mount = gsensor.Mount("RIGHT", "DOWN")
    assert gsensor.payload_of(mount.command) == "C6140000FC00000000000000FC000400000000000000"
    assert mount.comment == "GSensor: GS_RIGHT_DOWN"
    assert gsensor.payload_of("C614") == ""


def test_modules_are_known_by_name_and_judged():
    rows = [
        orjson.loads(one["raw"].removeprefix(","))
        for one in lines(FRAGMENTED)
        if one.get("fragment") == "row" and "template_name" in one["raw"]
    ]
    found = modules.read_modules(rows)
    assert len({one.name for one in found}) == 36
    assert modules.is_complete(found)
    buses = modules.judge_buses(found)
    assert {bus: one["verdict"] for bus, one in buses.items()} == {
        "can0": "worked",
        "can1": "ok",
        "j1708": "off",
    }
    assert buses["can0"]["error"] == "CAN_NO_ACTIVE_ERROR_CODE"
    assert modules.read_modules(modules.to_rows(found)) == found == modules.from_rows(modules.to_rows(found))


def test_a_registry_that_is_still_growing_condemns_no_bus():
    can = {"module_descr": "CAN", "sub_module_descr": "CAN0", "active": "1", "ok": "0", "was_ok": "0"}
    others = [{"module_descr": f"M{n}", "sub_module_descr": ""} for n in range(12)]
    growing = modules.read_modules([can, *others])
    assert not modules.is_complete(growing)
    assert modules.judge_buses(growing)["can1"]["verdict"] == "unknown"
    assert modules.judge_buses([])["can0"]["verdict"] == "unknown"


def test_a_smaller_reading_replaces_a_larger_one_only_when_both_are_whole():
    def reading(rows: int, at_ms: int) -> dict[str, object]:
        bus = {"module": "CAN", "sub": "CAN0"}
        found = modules.read_modules([bus, *({"module": f"M{n}"} for n in range(rows - 1))])
        return {"at_ms": at_ms, "rows": modules.to_rows(found)}

    assert not modules.better(reading(14, 1), reading(6, 2))
    assert modules.better(reading(14, 1), reading(20, 2))
    assert modules.better(reading(42, 1), reading(37, 2))
    assert not modules.better(reading(42, 1), reading(20, 2))
    assert not modules.better(reading(37, 2), reading(37, 1))


@pytest.mark.parametrize(
    ("parameter", "raw", "value", "unit"),
    [
        ("00002719", "000A012B", 65565.9, "L"),
        ("00002714", "0E81DF00", 243392.256, "km"),
        ("0000711F", "00000084", 10.56, "bar"),
        ("00002723", "000001B0", 4.32, "bar"),
        ("00000024", "00000070", 4.48, "bar"),
        ("0000271F", "0000015E", 77, "°C"),
        ("0000002F", "00000075", 77, "°C"),
        ("00002712", "00002F5B", 12.123, "V"),
        ("00002710", "00000001", 1, ""),
        ("00002711", "00000000", 0, ""),
        ("00000118", "14AEF87B", -12.988805, "deg"),
        ("00000119", "1296232F", -48.170705, "deg"),
    ],
)
def test_values_are_decoded_with_their_units(parameter: str, raw: str, value: float, unit: str):
    decoded = parameters.decode_value(parameter, raw)
    assert (decoded.value, decoded.unit, decoded.note) == (value, unit, "")


@pytest.mark.parametrize(
    ("parameter", "raw", "note"),
    [
        ("00002715", "FFFFFFFF", "outside"),
        ("00000118", "05F5E100", "no place"),
        ("00002715", "", "no value"),
        ("00002715", "0x12", "no number"),
        ("00002715", "1_2", "no number"),
        ("00002715", "-1", "no number"),
        ("0000FFFF", "00000001", "no conversion"),
    ],
)
def test_what_is_no_good_value_says_why_and_stays_raw(parameter: str, raw: str, note: str):
    decoded = parameters.decode_value(parameter, raw)
    assert decoded.value is None
    assert note in decoded.note
    assert parameters.shown(parameter, raw)["raw"] == raw


@given(st.floats(-89.9, 89.9))
def test_positions_are_written_as_units_write_them(degrees: float):
    value = parameters.decode_value("00000118", parameters.encode_position(degrees)).value
    assert value is not None and abs(value - degrees) < 0.000002


def test_every_conversion_has_its_evidence_or_says_that_it_has_none():
    assert len(parameters.conversions()) == 27
    for one in parameters.conversions().values():
        assert one.evidence or one.status in ("original software only", "verified against recordings")


def test_the_units_own_value_is_preferred_among_several():
    ids = ["00000031", "00002719", "0000003A", "000000AD", "0000FFFF", "00000062"]
    assert parameters.preferred(ids) == {"00002719", "0000003A", "0000FFFF", "00000062"}


def test_completeness_is_a_value_of_each_quantity():
    assert len(parameters.missing_groups([])) == 10
    first = [ids[-1] for ids in parameters.GROUPS.values()]
    assert parameters.missing_groups(first) == []
    assert parameters.missing_groups(first[1:]) == ["total_fuel_used"]
    live = ["00002719", "00002717", "00002718", "00002714", "00002715"]
    assert parameters.is_live_complete(live, connected=True, driver_code="1", modules=5)
    assert not parameters.is_live_complete(live, connected=True, driver_code="", modules=5)
    assert not parameters.is_live_complete(live[1:], connected=True, driver_code="1", modules=5)
