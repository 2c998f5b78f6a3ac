"""Every form of catalog file comes to one shape; what is wrong is named by its place, the rest is read."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.traffilog.catalog_files import read_catalog, read_catalogs
from atalaia.connectors.traffilog.catalogs import Catalog, Choice, Scheme, choose_scheme
from atalaia.errors import ConfigError
from tests.connectors.traffilog.ground import CONTRACT

FOLDER = CONTRACT / "catalogs"
needs_contract = pytest.mark.skipif(not FOLDER.is_dir(), reason="the contract is not beside this checkout")


def read(name: str) -> Catalog:
    return read_catalog(name, (FOLDER / name).read_bytes())


def problems(content: object) -> list[tuple[str, str, str]]:
    raw = content if isinstance(content, bytes) else orjson.dumps(content)
    found = read_catalog("file", raw).problems
    assert all(one.said.endswith(".") and one.remedy.endswith((".", ")")) for one in found)
    return [(one.place, one.field, one.kind) for one in found]


@needs_contract
@pytest.mark.parametrize(
    ("name", "clients", "schemes", "models", "commands", "technicians"),
    [
        ("catalogs.example.json", 7, 9, 0, 24, 0),
        ("scheme_ids.example.txt", 7, 7, 0, 0, 0),
        ("catalog_vehicle_settings.example.json", 6, 6, 0, 0, 0),
        ("active-config.example.json", 0, 1, 0, 0, 0),
        ("schemes_selection.example.json", 3, 9, 0, 0, 0),
        ("catalog_vehicle_type.example.json", 0, 0, 12, 0, 0),
        ("asset_types_active.example.json", 0, 0, 12, 0, 0),
        ("g-sensor_commands.json", 0, 0, 0, 24, 0),
        ("technicians.example.json", 0, 0, 0, 0, 3),
    ],
)
def test_every_form_of_the_contract_is_read_without_a_problem(
    name: str, clients: int, schemes: int, models: int, commands: int, technicians: int
):
    found = read(name)
    assert found.problems == []
    assert len(found.clients) == clients
    assert len(found.schemes) == schemes
    assert len(found.models) == models
    assert len(found.commands) == commands
    assert len(found.technicians) == technicians


@needs_contract
def test_the_one_wrong_command_is_kept_but_not_to_be_sent():
    found = read("g-sensor_commands.json").commands
    assert [(one.label, one.harness) for one in found if not one.sendable] == [("LEFT", "FRONT")]


@needs_contract
def test_several_files_make_one_catalog_and_the_newest_generation_chooses(tmp_path: Path):
    names = (
        "active-config.example.json",
        "schemes_selection.example.json",
        "scheme_ids.example.txt",
        "catalog_vehicle_settings.example.json",
        "catalogs.example.json",
    )
    whole = read_catalogs([*(FOLDER / name for name in names), tmp_path / "nothing.json"])

    assert [one.file for one in whole.problems] == ["nothing.json"]
    assert choose_scheme(whole.schemes, "310206", asked="1") == Choice("5433", "active", "Default")
    assert choose_scheme(whole.schemes, "310217", asked="1") == Choice("5406", "selection", "TEST")
    assert choose_scheme(whole.schemes, "310278", asked="1") == Choice("1", "job")
    assert choose_scheme(whole.schemes, "310278") == Choice("5421", "text", "")
    assert choose_scheme(whole.schemes, "310290") == Choice("5581", "settings", "Default - Frota - FWA79")
    assert choose_scheme(whole.schemes, "310295") == Choice("5528", "clients", "Default - Frota")
    dallas = Choice("5606", "clients", "Default - Frota - Dallas")
    assert choose_scheme(whole.schemes, "310295", profile="dallas") == dallas
    assert choose_scheme(whole.schemes, "999") is None


def test_each_wrong_place_is_named_and_the_rest_is_read():
    assert problems({"settings": {"x": {}, "1": 5, "2": {}, "3": {"vehicleSettingId": "12"}}}) == [
        ("settings.x", "", "value"),
        ("settings.1", "", "type"),
        ("settings.2", "vehicleSettingId", "missing"),
    ]
    assert problems({"items": [{"clientId": True}, {"clientId": 1, "vehicleSettingId": "abc"}, 7]}) == [
        ("items[0]", "clientId", "missing"),
        ("items[1]", "vehicleSettingId", "value"),
        ("items[2]", "", "type"),
    ]
    two = {"clientId": 1, "vehicleSettingId": 2, "isDefault": True}
    assert problems({"items": [two, {**two, "vehicleSettingId": 3}, two]}) == [
        ("items[2]", "vehicleSettingId", "duplicate"),
        ("items", "isDefault", "conflict"),
    ]
    selection = {"client_id": 1, "schemes": [{"vehicle_setting_id": 2}], "selected_scheme_id": 3}
    assert problems({"clients": [selection]}) == [("clients[0]", "selected_scheme_id", "conflict")]
    assert problems({"clients": {"1": {"profiles": {"a": 5}}}}) == [("clients.1.profiles.a", "", "type")]
    assert problems([{"asset_type": 7, "manufacturer": "", "model": "m"}]) == [
        ("[0]", "manufacturer", "missing")
    ]
    assert problems({"by_client": {"1": [5, {"id": 6, "manufacturer": "a", "model": "b"}, "x"], "2": 5}}) == [
        ("by_client.1[2]", "", "type"),
        ("by_client.2", "", "type"),
    ]
    wrong = {"label": "UP", "harness": "BACK", "command": "(o2w,44,C614)"}
    assert problems({"commands": [wrong]}) == [("commands[0]", "command", "conflict")]
    people = [{"id": "a", "nick": "A"}, {"id": "a", "nick": "B"}, {"id": "", "nick": "C"}]
    assert problems({"technicians": people}) == [
        ("technicians[1]", "id", "duplicate"),
        ("technicians[2]", "id", "missing"),
    ]


def test_the_text_file_is_read_by_its_lines():
    text = "CLIENT_ID;CLIENT_DESCR;VEHICLE_SETTING_ID\r\n1;A;10\n\n1;A;11\n2;B\nx;C;3\n4;D;\n5;Ação;50\n"
    for raw in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("cp1252")):
        assert problems(raw) == [
            ("line 4", "CLIENT_ID", "duplicate"),
            ("line 5", "", "missing"),
            ("line 6", "CLIENT_ID", "value"),
            ("line 7", "VEHICLE_SETTING_ID", "missing"),
        ]
        found = read_catalog("file", raw)
        assert [one.scheme_id for one in found.schemes] == ["10", "50"]
        assert found.clients["5"] == "Ação"


@pytest.mark.parametrize(
    "raw",
    [b"", b" \n", b"{", b"{}", b'{"a":1}', b"a;b;c\n1;2;3", b'"text"', b"\xff\xfe", b'[{"id":"1"}]', b"[5]"],
)
def test_a_file_of_no_known_form_is_refused_in_words(raw: bytes):
    with pytest.raises(ConfigError) as caught:
        read_catalog("file", raw)
    assert str(caught.value).endswith((".", ")"))


def test_a_problem_says_where_and_what_to_do():
    [one] = read_catalog("schemes.json", b'{"settings":{"1":{}}}').problems
    assert str(one) == (
        "schemes.json, settings.1, vehicleSettingId: It is empty. Fill in the upstream's number."
    )


def test_a_scheme_that_was_asked_for_needs_no_catalog():
    assert choose_scheme([], "1", asked="5433") == Choice("5433", "job")
    assert choose_scheme([Scheme("1", "2", "", "selection")], "1") is None


keys = [
    "settings", "items", "clients", "commands", "technicians", "by_client", "gsensorMap", "asset_types", "1",
    "x", "schemes", "profiles", "clientId", "client_id", "vehicleSettingId", "id", "UP|BACK",
]  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_no_content_makes_the_reader_stumble(value: object):
    said = _said_of(orjson.dumps(value))

    assert said == "" or said.startswith("file: ")


def _said_of(raw: bytes) -> str:
    try:
        read_catalog("file", raw)
    except ConfigError as error:
        return str(error)
    return ""
