"""What can be looked up in the portal: vehicles, activation data, clients, groups, schemes, models."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from simulators.traffilog import portal_xml
from simulators.traffilog.models import Row, Vehicle

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream

Form = dict[str, str]
Handler = Callable[[Form, tuple[str, ...]], str]
ZONE = ZoneInfo("America/Sao_Paulo")
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
FORM_BYTES = 88_000  # the activation form weighs 85 to 93 KB, most of it HTML
# Attributes of the activation form whose value nothing depends on; names and values are constructed.
_QUIET: Row = {
    "SIM_NUMBER": "",
    "WARRANTY_PERIOD_ID": "1",
    "MILAGE_SOURCE_ID": "5067",
    "LINK_AND_RUN": "0",
    "UPDATE_DRIVER_CODE": "0",
    "SAFETY_GROUP_ID": "-1",
    "NICK_NAME": "",
    "ID_DRIVER_ID": "-1",
    "ID_TEMP_SENSORS": "-1",
    "ID_D_MASS": "-1",
    "ID_TRAILER": "-1",
    "ID_DOORS": "-1",
    "ID_MDT": "-1",
    "ID_MODEM": "-1",
    "ID_TACHOGRAPH": "-1",
    "SVR_ID": "-1",
    "BUILD_ID": "",
    "iDRIVE_UNIT_SN": "",
    "ORIG_ZOOM_ID": "-1",
    "ORIG_ZOOM_NUMBER": "",
    "ORIG_ZOOM_DESCR": "",
    "VIN_NUMBER": "",
    "COLOR": "",
    "MODEL_YEAR": "",
    "ENGINE_TYPE": "",
    "GEAR_TYPE": "",
    "FUEL_TANK": "undefined",
    "TIME_ZONE": "-180",
    "COUNTRY_ID": "55",
    "LANGUAGE_ID": "7001",
    "CONTRACT_NUMBER": "",
    "CONTRACT_END_DATE": "",
    "POLICY_NUMBER": "null",
    "REMARKS": "",
    "VEHICLE_STATUS": "0",
    "DRIVER_GROUP_ID": "-1",
    "CREATED_BY": "user_01",
    "UPDATED_BY": "user_02",
}


class Reads:
    """Each handler takes the form's fields and the clients of the account, empty for all."""

    def __init__(self, up: Upstream) -> None:
        self.up = up

    def table(self) -> dict[str, Handler]:
        return {
            "VHCLS": self.vhcls,
            "GET_VHCL_ACTIVATION_DATA_NEW": self.activation_data,
            "LOGIN_USER_GROUPS": self.groups,
            "CLIENTS": self.clients,
            "ASSET_TYPES": self.asset_types,
            "GET_VEHICLE_SETTINGS_GRID": self.settings_grid,
        }

    def vhcls(self, form: Form, clients: tuple[str, ...]) -> str:
        """Find vehicles: the plate is a substring of the stored one, as it stands, blanks included."""
        rows = [self._row(one) for one in self.up.vehicles.values() if self.up.visible(one)]
        filters = {
            "LICENSE_NMBR": "LICENSE_NMBR",
            "CLIENT_DESCR": "CLIENT_DESCR",
            "INNER_ID": "INNER_ID",
            "DIAL_NMBR": "INNER_ID",
        }
        for field, attribute in filters.items():
            if wanted := form.get(field, "").upper():
                rows = [row for row in rows if wanted in row[attribute].upper()]
        if client := form.get("CLIENT_ID", ""):
            rows = [row for row in rows if row["CLIENT_ID"] == client]
        return portal_xml.vhcls([row for row in rows if not clients or row["CLIENT_ID"] in clients])

    def _row(self, vehicle: Vehicle) -> Row:
        up = self.up
        unit, asset = up.unit_of(vehicle), up.asset_types.get(vehicle.asset_type)
        moment = unit.last_packet if unit else None
        return {
            "LAST_GPRS": moment.astimezone(ZONE).strftime("%d/%m/%Y %H:%M") if moment else "",
            "LAST_GPRS_SEC": str(int((moment - EPOCH).total_seconds())) if moment else "",
            "VEHICLE_ID": vehicle.id,
            "LICENSE_NMBR": vehicle.plate,
            "INNER_ID": vehicle.serial,
            "CLIENT_ID": vehicle.client_id,
            "CLIENT_DESCR": up.clients[vehicle.client_id].name,
            "MANUFACTURER_DESCR": asset.manufacturer if asset else "NA",
            "MODEL": asset.model if asset else "NA",
            "ASSET_TYPE": vehicle.asset_type,
            "UNIT_TYPE": "SPETROTEC" if unit else "",
            "FIRMWARE": unit.version.rpartition(".")[0] if unit else "",
            "ORDERS_LIST": ",".join(vehicle.orders),
            "URL": "Images/icons/Vehicles/V2S0.png",
        }

    def activation_data(self, form: Form, clients: tuple[str, ...]) -> str:
        """Answer the activation form of one vehicle: much HTML, and one element with 59 attributes."""
        vehicle = self.up.vehicles.get(form.get("VEHICLE_ID", ""))
        if vehicle is None or not self.up.visible(vehicle):
            return portal_xml.bare("GET_VHCL_ACTIVATION_DATA_NEW", "DATA", [])
        line = '<div class="row"><label>Campo</label><input type="text" value="" /></div>'
        html = {"VALUE": line * (FORM_BYTES // len(portal_xml.attributes({"": line})))}
        inner = portal_xml.element("FORM", html)
        inner += portal_xml.element("DATA", self._activation(vehicle))
        source = {"DATASOURCE": "GET_VHCL_ACTIVATION_DATA_NEW", "ACT": "REFRESH"}
        return portal_xml.root(portal_xml.element("DATASOURCE", source, inner))

    def _activation(self, vehicle: Vehicle) -> Row:
        saved = vehicle.saved
        names = ("INSTALLATION_DATE", "WARRANTY_START_DATE", "LOG_UNIT_DATA_UNTIL_DATE", "INSTALLED_BY")
        names += ("INSTALLATION_PLACE", "ACCOSSORIES_COMMENTS", "LOGISTIC_COMMENTS")
        return {
            "DATASOURCE": "GET_VHCL_ACTIVATION_DATA_NEW",
            "VEHICLE_ID": vehicle.id,
            "LICENSE_NMBR": vehicle.plate,
            "INNER_ID": vehicle.serial.lstrip("0"),
            "DIAL_NUMBER": vehicle.serial.lstrip("0"),
            "ASSET_TYPE": vehicle.asset_type,
            "CLIENT_ID": vehicle.client_id,
            "GROUP_ID": vehicle.group_id,
            "FIELD_IDS": vehicle.field_ids,
            "FIELD_VALUE": vehicle.field_value,
            "ASSIGNED_VEHICLE_SETTING_ID": vehicle.assigned_setting or "-1",
            "UNIT_TYPE_ID": vehicle.unit_type_id,
            "FIRMWARE_TYPE_ID": vehicle.firmware_type_id,
            **{name: saved.get(name, "") for name in names},
            "CLIENT_DESCR": self.up.clients[vehicle.client_id].name,
            **_QUIET,
        }

    # ---- lists ---------------------------------------------------------------------------

    def groups(self, form: Form, clients: tuple[str, ...]) -> str:
        """Answer the groups of the account: the tenant's root, its production root, one per client."""
        rows = [
            self._group("330010", "-1", "ROOT", 1, "ROOT_Lib"),
            self._group("330020", "330010", "ROOT Production", 2, "ROOT Production"),
        ]
        for client in self.up.clients.values():
            if not clients or client.id in clients:
                group, name = client.root_group, client.name
                rows.append(self._group(group, "330020", name.upper(), len(rows) + 1, name))
        return portal_xml.bare("LOGIN_USER_GROUPS", "GROUP", rows)

    def _group(self, number: str, parent: str, name: str, index: int, client: str) -> Row:
        return {
            "GROUP_ID": number,
            "PARENT_OBJECT": parent,
            "GROUP_NAME": name,
            "INDEX": str(index),
            "CLIENT_DESCR": client,
            "CHECKED": "1",
        }

    def clients(self, form: Form, clients: tuple[str, ...]) -> str:
        rows: list[Row] = [
            {
                "OWNER_ID": one.owner_id,
                "OWNER_DESCR": "--",
                "CLIENT_ID": one.id,
                "CLIENT_DESCR": one.name,
                "CONNECT_PERSON": "Pessoa",
                "DEFAULT_GROUP_NAME": one.name.upper(),
            }
            for one in self.up.clients.values()
            if not clients or one.id in clients
        ]
        return portal_xml.bare("CLIENTS", "CLIENT", rows)

    def asset_types(self, form: Form, clients: tuple[str, ...]) -> str:
        rows: list[Row] = [
            {
                "ASSET_TYPE": one.id,
                "MANUFACTURER_DESCR": one.manufacturer,
                "MODEL": one.model,
                "SUB_MODEL": one.sub_model or one.model,
            }
            for one in self.up.asset_types.values()
        ]
        return portal_xml.bare("ASSET_TYPES", "ASSET_TYPE", rows)

    def settings_grid(self, form: Form, clients: tuple[str, ...]) -> str:
        rows: list[Row] = [
            {
                "VEHICLE_SETTING_ID": one.id,
                "VEHICLE_SETTING_NAME": one.name,
                "CREATED_BY_USER_NAME": one.author,
                "UPDATED_AT": one.updated_at,
            }
            for one in self.up.schemes.values()
            if one.client_id == form.get("CLIENT_ID")
        ]
        return portal_xml.bare("GET_VEHICLE_SETTINGS_GRID", "DATA", rows)
