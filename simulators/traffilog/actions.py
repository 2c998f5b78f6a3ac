"""What each action of surface B does and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulators.traffilog import modules, parameters, reports
from simulators.traffilog.connections import MESSAGES, SUBSCRIBABLE, Connection
from simulators.traffilog.models import Client, Row, Unit, Vehicle, wire_time
from simulators.traffilog.queueing import Queueing
from simulators.traffilog.wire import Answer, Request

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream

Action = Callable[[Connection, Request], Answer]
RED = "#c70e33"


class Actions:
    """The table of actions. `run` never waits: effects are at once, answers travel later."""

    def __init__(self, up: Upstream) -> None:
        self.up = up
        queueing = Queueing(up)
        self.table: dict[str, Action] = {
            **queueing.table(),
            "get_client_vehicles_opr": self.client_vehicles,
            "get_clients_list": self.clients_list,
            "get_user_command_list": self.nothing,
            "user_login": self.login_by_socket,
            "vehicle_subscribe": self.subscribe,
            "vehicle_unsubscribe": self.unsubscribe,
            "get_vehicle_info": self.vehicle_info,
            "get_vehicle_data_from_redis": self.from_redis,
            "get_unit_parameters_opr": self.unit_parameters,
            "get_unit_parameters_metadata": self.parameters_metadata,
            "get_monitor_module_state": self.module_state,
            "send_quick_command": self.quick_command,
        }

    def run(self, connection: Connection, request: Request) -> Answer:
        if self.up.rules.take("pool-exhausted", action=request.name) is not None:
            return refused("6666", "connection pool exhausted", counted=None)
        if (rule := self.up.rules.take("answer-value", action=request.name)) is not None:
            return Answer(value=str(rule.options.get("value", "500")))
        return self.table[request.name](connection, request)

    # ---- lists ---------------------------------------------------------------------------

    def nothing(self, connection: Connection, request: Request) -> Answer:
        return Answer()

    def login_by_socket(self, connection: Connection, request: Request) -> Answer:
        # Recorded: seven guesses at its field names, none of them answered.
        return Answer(silent=True)

    def clients_list(self, connection: Connection, request: Request) -> Answer:
        return Answer(client_rows(list(self.up.clients.values())))

    def client_vehicles(self, connection: Connection, request: Request) -> Answer:
        """Answer the grid of a client. Only the keys known from code; the real row was never recorded."""
        rows: list[Row] = []
        for vehicle in self.up.vehicles.values():
            unit = self.up.unit_of(vehicle)
            row = {
                "vehicle_id": vehicle.id,
                "license_nmbr": vehicle.plate,
                "inner_id": vehicle.serial,
                "unit_key": unit.key_name if unit else "",
                "loaded_setting_name": self._scheme_name(unit.loaded_setting if unit else ""),
                "assigned_setting_name": self._scheme_name(vehicle.assigned_setting),
            }
            wanted = ("vehicle_id", "license_nmbr", "inner_id")
            if vehicle.client_id == request.get("client_id") and all(
                request.get(key).upper() in row[key].upper() for key in wanted
            ):
                rows.append(row)
        return Answer(rows)

    def _scheme_name(self, setting_id: str) -> str:
        scheme = self.up.schemes.get(setting_id)
        return scheme.name if scheme else ""

    # ---- subscriptions -------------------------------------------------------------------

    def subscribe(self, connection: Connection, request: Request) -> Answer:
        source, vehicle_id = request.get("object_type"), request.get("vehicle_id")
        burnt = self.up.rules.take("burnt-token", vehicle_id=vehicle_id) is not None
        if connection.session.burnt or burnt:
            return Answer(value="406")
        if source not in SUBSCRIBABLE or vehicle_id not in self.up.vehicles:
            return Answer(value="400")
        connection.wants.setdefault(vehicle_id, set()).add(source)
        unit = self.up.unit_of(self.up.vehicles[vehicle_id])
        if source == MESSAGES and unit is not None:
            reports.keep_reporting(self.up, unit)
        return Answer()

    def unsubscribe(self, connection: Connection, request: Request) -> Answer:
        if kind := request.get("object_type"):
            connection.wants.get(request.get("vehicle_id"), set()).discard(kind)
        else:
            connection.wants.pop(request.get("vehicle_id"), None)
        return Answer()

    # ---- one vehicle ---------------------------------------------------------------------

    def vehicle_info(self, connection: Connection, request: Request) -> Answer:
        vehicle = self.up.vehicles.get(request.get("vehicle_id"))
        return Answer([info_row(self.up, vehicle)] if vehicle is not None else [])

    def from_redis(self, connection: Connection, request: Request) -> Answer:
        """Answer whether the unit transmits: 2 or 0, never 1. The other keys of the row are not known."""
        unit = self.up.unit_of(self.up.vehicles.get(request.get("vehicle_id")))
        return Answer([{"is_connected": "2" if unit is not None and unit.online else "0"}])

    def unit_parameters(self, connection: Connection, request: Request) -> Answer:
        unit = self.up.unit_of(self.up.vehicles.get(request.get("vehicle_id")))
        return Answer(parameters.list_rows(unit) if unit is not None else [])

    def parameters_metadata(self, connection: Connection, request: Request) -> Answer:
        unit = self.up.unit_of(self.up.vehicles.get(request.get("vehicle_id")))
        return Answer(parameters.metadata_rows(unit) if unit is not None else [])

    def module_state(self, connection: Connection, request: Request) -> Answer:
        vehicle_id = request.get("vehicle_id")
        unit = self.up.unit_of(self.up.vehicles.get(vehicle_id))
        if unit is None:
            return Answer()
        stuck = self.up.rules.has("modules-stuck", vehicle_id=vehicle_id)
        return Answer(modules.rows(unit, self.up.now(), partial=stuck))

    def quick_command(self, connection: Connection, request: Request) -> Answer:
        unit = next((one for one in self.up.units.values() if one.key_name == request.get("unit_key")), None)
        if unit is None or not unit.online:
            return refused("1001", "")
        vehicle = self.up.vehicle_of(unit.serial)
        if vehicle is not None:
            self.up.spawn(reports.burst(self.up, unit, vehicle))
        told = self.up.rules.take("quick-command-refused") is not None or self.up.random.random() < 0.1
        return refused("1001", "") if told else Answer()


def refused(value: str, description: str, *, counted: int | None = 0) -> Answer:
    """Answer a wrapped error: an error row inside `data`, which is no data."""
    return Answer([{"error_code": value, "error_description": description}], value, counted=counted)


def client_rows(clients: list[Client]) -> list[Row]:
    return [{"client_id": one.id, "client_descr": one.name} for one in clients]


def info_row(up: Upstream, vehicle: Vehicle) -> Row:
    """Answer the row of `get_vehicle_info`, keys in the recorded order, without `mtkn`."""
    unit = up.unit_of(vehicle)
    client = up.clients[vehicle.client_id]
    asset = up.asset_types.get(vehicle.asset_type)
    now = up.now()
    if unit is not None and unit.online:
        reports.contact(unit, now, up.pace.report_s)
    color = "" if unit is not None and unit.key == vehicle.key_db else RED
    row = {
        "client_id": vehicle.client_id,
        "vehicle_id": vehicle.id,
        "license_nmbr": vehicle.plate,
        "ignition": "1" if unit is not None and unit.ignition else "0",
        "vcl_manufacturer": asset.manufacturer if asset else "",
        "vcl_model": asset.model if asset else "",
        "vcl_client_id": vehicle.client_id,
        "vcl_client_description": client.name,
        "vcl_client_group_id": vehicle.group_id,
        "vcl_client_group_description": client.name,
        **_unit_part(vehicle, unit),
        "configuration_status": vehicle.status.get("status", ""),
        "configuration_type": vehicle.status.get("type", ""),
        "progress": vehicle.status.get("progress", ""),
        "error": vehicle.status.get("error", "").strip(),
        "number_of_scms": "131",
        "number_of_prms": "200",
        "configuration_key_db_color": color,
        "configuration_key_unit_color": color,
    }
    row["latitude"] = f"{unit.latitude:.7f}" if unit else ""
    row["longitude"] = f"{unit.longitude:.7f}" if unit else ""
    return row


def _unit_part(vehicle: Vehicle, unit: Unit | None) -> Row:
    """Answer the middle of the info row, empty where the vehicle carries no unit."""
    names = "server_time orig_time driver_code mileage fuel_used speed engine_hours"
    if unit is None:
        row = dict.fromkeys(("unit_type", "unit_version", "inner_id", "unit_key"), "")
        row |= {"configuration_key_db": vehicle.key_db, "configuration_key_unit": "00000000"}
        return row | dict.fromkeys(names.split(), "")
    return {
        "unit_type": "SPETROTEC",
        "unit_version": unit.version,
        "inner_id": unit.serial,
        "unit_key": unit.key_name,
        "configuration_key_db": vehicle.key_db,
        "configuration_key_unit": unit.key,
        "server_time": wire_time(unit.last_packet),
        "orig_time": wire_time(unit.last_packet.replace(microsecond=0)),
        "driver_code": unit.driver_code,
        "mileage": f"{unit.mileage_km + unit.way_km:.2f}",
        "fuel_used": f"{unit.fuel_l:.2f}",
        "speed": str(unit.speed),
        "engine_hours": f"{unit.engine_hours:.2f}",
    }
