"""The bodies of the portal's actions, held against the contract's lists, name by name."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

from atalaia.connectors.traffilog.portal import forms

NIGHT = datetime(2026, 6, 1, 1, 30, 5, 120_000, tzinfo=UTC)  # still 31 May where the technicians are


def wanted(**changes: str) -> forms.Activation:
    said = {
        "vehicle_id": "2900108", "plate": "ABC1D23", "serial": "920001747", "asset_type": "23392",
        "client_id": "310209", "day": "31/05/2026", "installed_by": "ANA EXEMPLO",
    }  # fmt: skip
    return forms.Activation(**{**said, **changes})


def names(form: forms.Form) -> list[str]:
    return [name for name, _ in form.fields]


def test_a_body_begins_with_its_action_and_keeps_empty_fields():
    assert forms.vehicles(plate="604 - ABC1D23").body() == (
        "action=VHCLS&VERSION_ID=2&REFRESH_FLG=1&LICENSE_NMBR=604+-+ABC1D23&CLIENT_DESCR=&OWNER_DESCR="
        "&DIAL_NMBR=&INNER_ID="
    )


def test_the_login_ends_with_the_version():
    assert forms.login("ana", "p&w", "7001").body() == (
        "action=APPLICATION_LOGIN&username=ana&password=p%26w&language=7001&BOL_SAVE_COOKIE=1&VERSION_ID=2"
    )


def test_a_deactivation_says_the_usual_reason():
    body = forms.deactivate("2900108", "ABC1D23", "ANA EXEMPLO", "retirada").body()

    assert body == (
        "action=DEACTIVATE_VEHICLE_HIST&VERSION_ID=2&VEHICLE_ID=2900108&LICENSE_NMBR=ABC1D23"
        "&INSTALLER_NAME=ANA+EXEMPLO&COMMENTS=retirada&REASON_CODE=5501&DELIVER_CODE=5511"
    )


def test_an_order_is_dated_in_utc_and_its_installation_where_the_technicians_are():
    form = forms.order("310209", "portal-user", NIGHT)

    assert form["ORDER_DATE"] == "2026-06-01T01:30:05.120"
    assert form["INSTALLATION_DATE"] == "31/05/2026"
    assert " ".join(names(form)) == (
        "VERSION_ID ORDERID ORDER_DATE USER_NAME CLIENT_ID CLIENT_DESCR EXTERNAL_ORDER INSTALLATION_DATE "
        "INSTALLATION_PLACE REMARKS QUANTITY STC_ID SALES_PRODUCT_ID"
    )


SAVED = (
    "VERSION_ID VEHICLE_ID LICENSE_NMBR INNER_ID DIAL_NUMBER SIM_NUMBER ASSET_TYPE CLIENT_ID "
    "INSTALLATION_DATE WARRANTY_START_DATE LOG_UNIT_DATA_UNTIL_DATE WARRANTY_PERIOD_ID MILAGE_SOURCE_ID "
    "UNIT_TYPE_ID FIRMWARE_TYPE_ID INSTALLED_BY INSTALLATION_PLACE ACCOSSORIES_COMMENTS LOGISTIC_COMMENTS "
    "FIELD_IDS FIELD_VALUE ASSIGNED_VEHICLE_SETTING_ID LINK_AND_RUN UPDATE_DRIVER_CODE SAFETY_GROUP_ID "
    "NICK_NAME ID_DRIVER_ID ID_TEMP_SENSORS ID_D_MASS ID_TRAILER ID_DOORS ID_MDT ID_MODEM ID_TACHOGRAPH "
    "DUPLICATE DUPLICATE_VEHICLE DUPLICATE_CLIENT SVR_ID BUILD_ID iDRIVE_UNIT_SN ORIG_ZOOM_ID "
    "DUPLICATE_ZOOM_ID ORIG_ZOOM_NUMBER ORIG_ZOOM_DESCR DUPLICATE_ZOOM_NUMBER DUPLICATE_ZOOM_DESCR"
)


def test_a_save_says_the_contracts_fields_in_order_then_the_rest_of_the_baseline():
    form = forms.save(wanted(), {"GROUP_ID": "330402", "DIAL_NUMBER": "old", "Action": "x", "SOME_NEW": "1"})

    assert " ".join(names(form)) == f"{SAVED} GROUP_ID SOME_NEW"
    assert form["DIAL_NUMBER"] == form["INNER_ID"] == "920001747"


def test_words_that_the_portals_screens_leave_behind_become_empty():
    form = forms.save(wanted(), {"TRAILER": "undefined", "DRIVER": "null", "NOTE": "null and void"})

    assert (form["TRAILER"], form["DRIVER"], form["NOTE"]) == ("", "", "null and void")


def test_a_save_whose_own_fields_are_all_empty_gets_the_serial_into_them():
    empty = forms.save(wanted(), {"FIELD_IDS": "2,6", "FIELD_VALUE": "2:,6:"})
    filled = forms.save(wanted(), {"FIELD_IDS": "2,6", "FIELD_VALUE": "2:,6:x"})

    assert (empty["FIELD_IDS"], empty["FIELD_VALUE"]) == ("2,6", "2:920001747,6:920001747")
    assert filled["FIELD_VALUE"] == "2:,6:x"


def test_a_move_to_another_company_keeps_the_chosen_model_and_the_word_undefined():
    form = forms.move(
        forms.Asset("2900108", "ABC1D23", "310209", "330402", "920001747", "23392", "VW 15.180")
    )

    assert dict(parse_qsl(form.body(), keep_blank_values=True))["DRIVER_ID"] == "undefined"
    assert (form["MODEL_CODE"], form["ASSET_TYPE_DESCR"], form["UNIT"]) == ("23392", "VW 15.180", "920001747")
    assert (form["GROUP_ID"], form["IN_GARAGE"], form["FUEL_COST"]) == ("330402", "0", "")
