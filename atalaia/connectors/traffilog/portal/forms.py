"""The bodies of the portal's actions: names, order and constants as the portal's own screens send them.

A form is an ordered list of pairs, every value a string; misspelt names (`MILAGE_SOURCE_ID`,
`ACCOSSORIES_COMMENTS`) are the portal's. Source: contract §10.2-10.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

Fields = tuple[tuple[str, str], ...]

VERSION = ("VERSION_ID", "2")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # stands for a time in plans
ZONE = ZoneInfo("America/Sao_Paulo")  # dates of installations are the technicians' dates
PARKED = "CMDT"  # the plate of a record that keeps a unit in stock
REASON_CODE, DELIVER_CODE = "5501", "5511"
SALES_PRODUCT = "27"

VHCLS = "VHCLS"
ACTIVATION = "GET_VHCL_ACTIVATION_DATA_NEW"
SAVE = "SAVE_VHCL_ACTIVATION_NEW"
DEACTIVATE = "DEACTIVATE_VEHICLE_HIST"
ORDER = "ORDER_SAVE"
ASSET = "ASSET_BASIC_SAVE"
GROUPS = "LOGIN_USER_GROUPS"
CLIENTS = "CLIENTS"
ASSET_TYPES = "ASSET_TYPES"
SCHEMES = "GET_VEHICLE_SETTINGS_GRID"
LOGIN = "APPLICATION_LOGIN"

WRITES = frozenset({SAVE, DEACTIVATE, ORDER, ASSET})


@dataclass(frozen=True, slots=True)
class Form:
    """One action and its fields in order; the action is always the body's first field."""

    action: str
    fields: Fields

    def body(self) -> str:
        """Answer the body as it is sent, percent-encoded."""
        return urlencode((("action", self.action), *self.fields))

    def shown(self) -> str:
        """Answer the body as people read it: decoded, without what is empty. For notes, not for the wire."""
        return "&".join(f"{name}={value}" for name, value in (("action", self.action), *self.fields) if value)

    def __getitem__(self, name: str) -> str:
        return next(value for field, value in self.fields if field == name)


@dataclass(frozen=True, slots=True)
class Activation:
    """What a save of a vehicle's activation says; the rest comes from its baseline or is constant.

    serial: digits. day: `dd/mm/yyyy`. installed_by: a name as plain text.
    """

    vehicle_id: str
    plate: str
    serial: str
    asset_type: str
    client_id: str
    day: str
    installed_by: str
    place: str = ""
    comment: str = ""
    unit_type_id: str = "1"
    firmware_type_id: str = "2"


@dataclass(frozen=True, slots=True)
class Asset:
    """A vehicle's master record as a change of company writes it. asset_type: the id that is to stay."""

    vehicle_id: str
    plate: str
    client_id: str
    group_id: str
    serial: str
    asset_type: str
    asset_name: str  # "manufacturer model"
    url: str = ""
    unit_type: str = ""
    firmware: str = ""


def login(user: str, password: str, language: str) -> Form:
    """Answer the login. Its body holds the password: it is never kept or shown."""
    return Form(LOGIN, (
        ("username", user), ("password", password), ("language", language), ("BOL_SAVE_COOKIE", "1"), VERSION,
    ))  # fmt: skip


def vehicles(
    *,
    plate: str = "",
    client: str = "",
    serial: str = "",
    owner: str = "",
    dial: str = "",
    client_id: str = "",
) -> Form:
    """Answer a search of vehicles; an empty filter finds all. `plate` is part of the plate as stored."""
    fields: Fields = (
        VERSION, ("REFRESH_FLG", "1"), ("LICENSE_NMBR", plate), ("CLIENT_DESCR", client),
        ("OWNER_DESCR", owner), ("DIAL_NMBR", dial), ("INNER_ID", serial),
    )  # fmt: skip
    return Form(VHCLS, (*fields, ("CLIENT_ID", client_id)) if client_id else fields)


def activation_of(vehicle_id: str) -> Form:
    """Answer the question for a vehicle's activation data."""
    return Form(ACTIVATION, (VERSION, ("VEHICLE_ID", vehicle_id)))


def groups() -> Form:
    """Answer the question for the groups that our account sees."""
    return Form(GROUPS, (VERSION,))


def clients() -> Form:
    """Answer the question for the companies that our account sees."""
    return Form(CLIENTS, (VERSION, ("REFRESH_FLG", "1")))


def asset_types() -> Form:
    """Answer the question for the whole catalog of models: 1.7 MB, up to three minutes."""
    return Form(ASSET_TYPES, (VERSION,))


def schemes_of(client_id: str) -> Form:
    """Answer the question for the schemes of a client."""
    return Form(SCHEMES, (VERSION, ("CLIENT_ID", client_id)))


def deactivate(vehicle_id: str, plate: str, installer: str, comment: str) -> Form:
    """Answer the form that takes the unit off a vehicle."""
    return Form(DEACTIVATE, (
        VERSION, ("VEHICLE_ID", vehicle_id), ("LICENSE_NMBR", plate), ("INSTALLER_NAME", installer),
        ("COMMENTS", comment), ("REASON_CODE", REASON_CODE), ("DELIVER_CODE", DELIVER_CODE),
    ))  # fmt: skip


def order(client_id: str, user: str, now: datetime) -> Form:
    """Answer the order that makes a stock vehicle. `user`: the portal's login name; `now`: aware."""
    stamp = now.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return Form(ORDER, (
        VERSION, ("ORDERID", "-1"), ("ORDER_DATE", stamp), ("USER_NAME", user), ("CLIENT_ID", client_id),
        ("CLIENT_DESCR", ""), ("EXTERNAL_ORDER", ""), ("INSTALLATION_DATE", day_of(now)),
        ("INSTALLATION_PLACE", ""), ("REMARKS", ""), ("QUANTITY", "1"), ("STC_ID", ""),
        ("SALES_PRODUCT_ID", SALES_PRODUCT),
    ))  # fmt: skip


def save(wanted: Activation, baseline: Mapping[str, str]) -> Form:
    """Answer the save of an activation: what is wanted, the constants, then the baseline's other fields.

    baseline: the vehicle's activation data as read; `undefined` and `null`, which the portal's own screens
    leave in it, become empty.
    """
    clean = {name: _plain(value) for name, value in baseline.items()}
    ids, values = _field_values(wanted.serial, clean)
    said = {
        "VERSION_ID": "2",
        "VEHICLE_ID": wanted.vehicle_id,
        "LICENSE_NMBR": wanted.plate,
        "INNER_ID": wanted.serial,
        "DIAL_NUMBER": wanted.serial,
        "SIM_NUMBER": "",
        "ASSET_TYPE": wanted.asset_type,
        "CLIENT_ID": wanted.client_id,
        "INSTALLATION_DATE": wanted.day,
        "WARRANTY_START_DATE": wanted.day,
        "LOG_UNIT_DATA_UNTIL_DATE": wanted.day,
        "WARRANTY_PERIOD_ID": "1",
        "MILAGE_SOURCE_ID": "5067",
        "UNIT_TYPE_ID": wanted.unit_type_id,
        "FIRMWARE_TYPE_ID": wanted.firmware_type_id,
        "INSTALLED_BY": wanted.installed_by,
        "INSTALLATION_PLACE": wanted.place,
        "ACCOSSORIES_COMMENTS": wanted.comment,
        "LOGISTIC_COMMENTS": wanted.comment,
        "FIELD_IDS": ids,
        "FIELD_VALUE": values,
        **dict(_SAVE_CONSTANTS),
    }
    rest = {name: value for name, value in clean.items() if name not in said and name.lower() != "action"}
    return Form(SAVE, (*said.items(), *rest.items()))


def move(asset: Asset) -> Form:
    """Answer the form that moves a vehicle to another company."""
    return Form(ASSET, (
        VERSION, ("VEHICLE_ID", asset.vehicle_id), ("ASSET_ID", asset.vehicle_id),
        ("ASSET_DESCRIPTION", asset.plate), ("CLIENT_ID", asset.client_id), ("GROUP_ID", asset.group_id),
        ("DRIVER_ID", "undefined"),  # the portal's own screen sends the word
        ("URL", asset.url), ("UNIT_TYPE_DESCR", asset.unit_type), ("MODEL_CODE", asset.asset_type),
        ("ASSET_TYPE_DESCR", asset.asset_name), ("UNIT", asset.serial), ("FIRMWARE", asset.firmware),
        *((name, "0") for name in _ASSET_ZEROS), *((name, "") for name in _ASSET_EMPTY),
    ))  # fmt: skip


def day_of(now: datetime) -> str:
    """Answer `dd/mm/yyyy` of an aware moment, where the technicians are."""
    return now.astimezone(ZONE).strftime("%d/%m/%Y")


def _plain(value: str) -> str:
    return "" if value.strip() in ("undefined", "null") else value


def _field_values(serial: str, baseline: Mapping[str, str]) -> tuple[str, str]:
    """Answer the form's own fields, e.g. `2,6` and `2:x,6:x`.

    The portal refuses a save in which all values are empty, so those are filled with the serial.
    """
    ids, values = baseline.get("FIELD_IDS", ""), baseline.get("FIELD_VALUE", "")
    names = [name.strip() for name in ids.split(",") if name.strip()]
    if not names:
        return ids, values  # nothing recorded says which fields a record without them has
    if any(part.partition(":")[2].strip() for part in values.split(",")):
        return ids, values
    return ids, ",".join(f"{name}:{serial}" for name in names)


def _pairs(text: str) -> Sequence[tuple[str, str]]:
    return [(name, value) for name, _, value in (part.partition("=") for part in text.split())]


_SAVE_CONSTANTS = _pairs(
    "ASSIGNED_VEHICLE_SETTING_ID=-1 LINK_AND_RUN=0 UPDATE_DRIVER_CODE=0 SAFETY_GROUP_ID=-1 NICK_NAME= "
    "ID_DRIVER_ID=-1 ID_TEMP_SENSORS=-1 ID_D_MASS=-1 ID_TRAILER=-1 ID_DOORS=-1 ID_MDT=-1 ID_MODEM=-1 "
    "ID_TACHOGRAPH=-1 DUPLICATE=0 DUPLICATE_VEHICLE=-1 DUPLICATE_CLIENT=-1 SVR_ID=-1 BUILD_ID= "
    "iDRIVE_UNIT_SN= ORIG_ZOOM_ID=-1 DUPLICATE_ZOOM_ID= ORIG_ZOOM_NUMBER= ORIG_ZOOM_DESCR= "
    "DUPLICATE_ZOOM_NUMBER= DUPLICATE_ZOOM_DESCR="
)
_ASSET_ZEROS = (
    "LICENSE_TYPE_CODE", "BODY_CONFIGURATION_CODE", "LETTERS_SEND_BY_CODE", "VEHICLE_STATUS_CODE",
    "NEXT_SER_KM", "NEXT_SER_ENG", "MODEL_YEAR", "TIRES", "DRAGGING_HOOK", "IN_GARAGE",
)  # fmt: skip
_ASSET_EMPTY = (
    "CHASSIS_SERIAL", "INTERNAL_VALUE", "GCW", "TOTAL_WEIGHT_1", "FUEL_I_VOLUME", "FUEL_II_VOLUME",
    "FUEL_COST", "VEHICLE_MIN_FUEL_CONS", "VEHICLE_MAX_FUEL_CONS", "POINT_ZERO_FUEL_CONS",
    "MONTHLY_MILEAGE_LIMIT", "PARKING_SCM_ID", "FUEL_TYPE_ID",
)  # fmt: skip
