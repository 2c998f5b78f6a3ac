"""What a unit says by itself: raw messages, battery reports, bursts of parameters."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from simulators.traffilog import parameters
from simulators.traffilog.connections import CONNECTION, MESSAGES, PARAMETERS, STATUS
from simulators.traffilog.models import Row, Unit, Vehicle, push_time

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream

_EMPTY = (
    "orig_time",
    "ignition",
    "satellites",
    "speed",
    "direction",
    "mileage",
    "gps",
    "engine_hours",
    "latitude",
    "longitude",
    "driver_code",
)


def contact(unit: Unit, now: datetime, every_s: float) -> None:
    """Bring the time of the last packet of an online unit up to date."""
    if (now - unit.last_packet).total_seconds() > every_s:
        unit.last_packet = now - timedelta(seconds=now.timestamp() % every_s)


def raw(unit: Unit, moment: datetime, payload: str) -> str:
    """Answer a message of the unit as it travels: 17 fields in parentheses (contract section 5)."""
    stamp = moment.strftime("%d%m%y%H%M%S")
    latitude, longitude = round(unit.latitude * 1e6), round(unit.longitude * 1e6)
    return (
        f"({unit.serial},16,{stamp},3,86,11,{_signed(latitude, 8)},{_signed(longitude, 9)},{unit.speed},"
        f"{unit.heading},136793856,0,{unit.mileage},{unit.engine_hours:012d},{unit.driver_code},W2O,{payload})"
    )


def _signed(value: int, digits: int) -> str:
    return f"{'-' if value < 0 else ''}{abs(value):0{digits}d}"


def _tell(up: Upstream, unit: Unit, rows: list[Row], source: str = MESSAGES) -> None:
    vehicle = up.vehicle_of(unit.serial)
    if vehicle is None or unit.serial in up.played:
        return
    if not up.rules.has("mute-pushes", vehicle_id=vehicle.id, serial=unit.serial):
        up.connections.push(vehicle.id, source, rows)


def from_unit(up: Upstream, unit: Unit, payload: str) -> None:
    """Push a message that the unit sent."""
    now = up.now()
    unit.last_packet = now
    second = now.replace(microsecond=0)
    row = {
        "info": "",
        "server_time": push_time(now),
        "raw_message": raw(unit, second, payload),
        "inbound": "1",
        "fuel_used": "0",
        "unitType": "SPT",
        "inner_id": unit.serial,
        "orig_time": push_time(second),
        "ignition": str(int(unit.ignition)),
        "satellites": "11",
        "speed": str(unit.speed),
        "direction": str(unit.heading),
        "mileage": str(unit.mileage),
        "gps": "3",
        "engine_hours": str(unit.engine_hours),
        "latitude": f"{unit.latitude:.6f}",
        "longitude": f"{unit.longitude:.6f}",
        "driver_code": unit.driver_code,
    }
    _tell(up, unit, [row])


def to_unit(up: Upstream, unit: Unit, payload: str) -> None:
    """Push a message that the server sends to the unit."""
    word = "O2W" if payload[8:10] in ("F0", "21", "31", "41", "33", "23", "AE") else "o2w"
    row = {
        "info": "",
        "server_time": push_time(up.now()),
        "raw_message": f"({word},{len(payload)},{payload})",
        "inbound": "0",
        "fuel_used": "",
        "unitType": "SPT",
        "inner_id": unit.serial,
        **dict.fromkeys(_EMPTY, ""),
    }
    _tell(up, unit, [row])


def connected(up: Upstream, unit: Unit, online: bool) -> None:
    """Say that the unit went or came back; the row of `unit_connection_status` was never recorded."""
    unit.online = online
    if not online:
        row = {
            "info": "",
            "server_time": push_time(up.now()),
            "raw_message": "DISCONNECTED",
            "inbound": "9",
            "fuel_used": "",
            "unitType": "SPT",
            "inner_id": unit.serial,
            **dict.fromkeys(_EMPTY, ""),
        }
        _tell(up, unit, [row])
    status = {"unitType": "SPT", "inner_id": unit.serial, "is_connected": "2" if online else "0"}
    _tell(up, unit, [status], CONNECTION)


def status(up: Upstream, vehicle: Vehicle, row: Row) -> None:
    """Push the status of a Scheme Builder, and keep it for the info row."""
    vehicle.status = dict(row) if row["status"] == "In Progress" else {}
    unit = up.unit_of(vehicle)
    if unit is not None:
        _tell(up, unit, [row], STATUS)


def keep_reporting(up: Upstream, unit: Unit) -> None:
    """Have the unit report its battery for as long as somebody hears it."""
    if unit.serial not in up.reporting:
        up.reporting.add(unit.serial)
        up.spawn(_report(up, unit))


async def _report(up: Upstream, unit: Unit) -> None:
    try:
        while True:
            await up.clock.sleep(up.pace.report_s * up.random.uniform(0.93, 1.07))
            vehicle = up.vehicle_of(unit.serial)
            if vehicle is None or not up.connections.listening(vehicle.id, MESSAGES):
                return
            if unit.online:
                battery(up, unit)
    finally:
        up.reporting.discard(unit.serial)


def battery(up: Upstream, unit: Unit) -> None:
    """The periodic report of parameter 00002712, as a message and as a parameter."""
    value, _ = parameters.value_of(unit, "00002712", up.random)
    from_unit(up, unit, f"1502{unit.next_told()}240B000B0000{value[-4:]}00002712FF0800")
    tell_parameters(up, unit, ["00002712"])


def tell_parameters(up: Upstream, unit: Unit, names: list[str]) -> None:
    """Push some parameters with the values they have now."""
    unit.last_packet = up.now()
    _tell(up, unit, parameters.push_rows(unit, names, up.now(), up.random), PARAMETERS)


async def burst(up: Upstream, unit: Unit, vehicle: Vehicle) -> None:
    """The answer to a quick command: 5 to 25 pushes with 40 to 80 % of the unit's parameters."""
    share = up.random.uniform(0.4, 0.8)
    names = [one for one in unit.parameters if up.random.random() < share]
    up.random.shuffle(names)
    pushes = up.random.randint(5, 25)
    seconds = up.draw(up.pace.burst_s)
    size = max(1, min(18, -(-len(names) // pushes)))
    parts = [names[start : start + size] for start in range(0, len(names), size)]
    for part in parts:
        await up.clock.sleep(seconds / len(parts))
        if not unit.online:
            return
        tell_parameters(up, unit, part)
