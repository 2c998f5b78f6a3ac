"""What one may ask of the portal, what a dry run shows, and the recorded answers of the contract."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from atalaia.connectors.traffilog.portal import PORTAL_JOBS, company, forms, params, xml
from atalaia.connectors.traffilog.portal.lookups import Vehicle
from atalaia.connectors.traffilog.settings import TraffilogSettings
from tests.connectors.traffilog.portal.bench import install_of
from tests.simulators.traffilog_ground import RECORDINGS

KINDS = {kind.name: kind for kind in PORTAL_JOBS}
SETTINGS = TraffilogSettings.model_validate(
    {
        "api_url": "http://api.example.test", "app_guid": "G", "user": "office", "password": "test-only",
        "socket_url": "ws://ws.example.test", "origin": "https://operation.example.test",
    }
)  # fmt: skip

ASKED: dict[str, dict[str, Any]] = {
    "install": install_of(),
    "uninstall": {"plate": "604 - ABC1D23"},
    "maint_with_swap": {"plate": "ABC1D23", "serial_new": "920003010"},
    "maint_no_swap": {"plate": "ABC1D23"},
    "change_company": {"plate": "ABC1D23", "client_id": "310209", "client_name": "Rápido Exemplo"},
    "vehicle_resolve": {"plate": "ABC1D23", "serial": "920003010"},
    "sync_asset_types": {},
    "verify_schemes": {"rows": []},
}


def actions(kind: str, **changes: Any) -> list[str]:
    """Answer the actions of a dry run, in order."""
    one = KINDS[kind]
    assert one.plan
    planned = one.plan(SETTINGS, one.params.model_validate({**ASKED[kind], **changes}))
    return [frame.text.partition("&")[0].removeprefix("action=") for frame in planned]


def test_every_kind_shows_what_it_would_send():
    assert set(KINDS) == set(ASKED)
    assert actions("uninstall") == [
        forms.VHCLS, forms.VHCLS, forms.ACTIVATION, forms.DEACTIVATE, forms.ACTIVATION, forms.ORDER,
        forms.VHCLS, forms.SAVE, forms.ACTIVATION,
    ]  # fmt: skip
    assert actions("install").count(forms.SAVE) == 1
    assert actions("maint_with_swap").count(forms.DEACTIVATE) == 2
    assert actions("change_company") == [forms.VHCLS, forms.GROUPS, forms.ASSET, forms.ACTIVATION]
    assert actions("maint_no_swap") == [forms.VHCLS]


def test_a_dry_run_marks_what_only_reading_can_tell_and_says_which_frames_change_something():
    kind = KINDS["install"]
    assert kind.plan
    planned = kind.plan(SETTINGS, params.Install.model_validate(ASKED["install"]))

    [save] = [frame for frame in planned if forms.SAVE in frame.text]
    assert "VEHICLE_ID=%7Bvehicle_id%7D" in save.text
    assert save.note.startswith("changes")
    assert {frame.note for frame in planned if forms.VHCLS in frame.text} == {"reads"}


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        ("install", {"serial": "92000A010"}, "serial"),
        ("install", {"serial": ["920003010"]}, "serial"),
        ("install", {"plate": " - "}, "plate"),
        ("install", {"client_id": "Rápido"}, "client_id"),
        ("install", {"client_id": True}, "client_id"),
        ("install", {"installed_by": "[object Object]"}, "installed_by"),
        ("install", {"sreial": "1"}, "sreial"),
        ("uninstall", {"plate": ""}, "plate"),
        ("verify_schemes", {"rows": [{}] * 21}, "rows"),
    ],
)
def test_what_is_asked_wrongly_is_named_by_its_field(kind: str, changes: dict[str, Any], field: str):
    with pytest.raises(ValidationError) as error:
        KINDS[kind].params.model_validate({**ASKED[kind], **changes})

    assert error.value.errors()[0]["loc"][0] == field


def test_ids_come_as_numbers_too_and_a_technician_as_an_object():
    asked = install_of(client_id=310206, installed_by={"id": "tech_01", "nick": "ANA"})
    read = params.Install.model_validate({**asked, "serial": 920003010})

    assert (read.client_id, read.serial, read.installed_by) == ("310206", "920003010", "ANA")


def test_plates_and_units_are_locked_however_they_are_written():
    one = params.Install.model_validate(install_of("604 - abc1d23", "0000000920003010", vehicle_id="29"))
    other = params.Swap.model_validate({"plate": "604-ABC1D23", "serial_new": "920003010"})

    assert params.locks_of(one) == ["vehicle:29", "plate:604-ABC1D23", "serial:920003010"]
    assert set(params.locks_of(other)) < set(params.locks_of(one))


def recorded(name: str) -> str:
    path = RECORDINGS / "html5" / name
    if not path.is_file():
        pytest.skip("the recordings are not beside this checkout")
    return path.read_text(encoding="utf-8")


def test_the_recorded_answers_are_read():
    assert xml.read(recorded("vhcls_empty.xml")).rows(forms.VHCLS) == []
    [row] = xml.read(recorded("vhcls_one_bench.constructed.xml")).rows(forms.VHCLS)
    assert (Vehicle(row).id, Vehicle(row).carries("920001747"), Vehicle(row).orders) == ("2900108", True, ())
    groups = xml.read(recorded("login_user_groups.xml")).rows(forms.GROUPS, "GROUP")
    assert company.root_group(groups, "rápido exemplo", "330020") == "330402"
    assert company.root_group(groups, "ROOT Production", "330020") == ""
    assert (
        xml.read(recorded("clients.constructed.xml")).rows(forms.CLIENTS, "CLIENT")[0]["OWNER_DESCR"] == "--"
    )
