"""The invented world: customer companies, their vehicles and schemes, units in stock, technicians."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from simulators.traffilog.models import AssetType, Client, Scheme, Unit, Vehicle
from simulators.traffilog.parameters import all_parameters

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream

OWNER_ID = "310050"
ROOT_GROUP, PRODUCTION_GROUP = "330010", "330020"
STOCK_CLIENT = "310217"


@dataclass
class World:
    """Everything that is there before anybody asks. The first client keeps the units in stock."""

    clients: list[Client]
    schemes: list[Scheme]
    asset_types: list[AssetType]
    units: list[Unit]
    vehicles: list[Vehicle]
    technicians: list[str] = field(default_factory=list[str])


_CLIENTS = (
    (STOCK_CLIENT, "Cedro Logística", "330410"),
    ("310209", "Rápido Exemplo", "330402"),
    ("310273", "Jequitibá Transportes", "330403"),
    ("310206", "Marítima Transportes", "330404"),
)
# Scheme, name, client, commands of its Scheme Builder.
_SCHEMES = (
    ("5505", "Default - Frota", STOCK_CLIENT, 0),
    ("9000", "Default - Dallas", "310209", 460),
    ("5411", "Default - Free mode", "310209", 120),
    ("5410", "Default - Frota", "310273", 0),
    ("5470", "Default - Read Only", "310273", 60),
    ("5536", "Default - Frota FW A.79", "310273", 0),
    ("5433", "Default", "310206", 90),
)
_ASSETS = (
    ("23392", "Volkswagen", "15.180-CNM-M-4x2"),
    ("8064", "Volvo", "VM330-MWM7B-R-4x2"),
    ("23103", "Scania", "R410-DC9GNL-R-UP-6x2-E6"),
    ("4016", "Mercedes", "ETT-OF-1721-OM924LA-M-E5"),
    ("8547", "Volkswagen", "Constellation-25.420-D26-R-6X2"),
    ("23565", "DAF", "CF-290-M-6x2"),
    ("24285", "Foton", "Ewonder Chassi SZX"),
    ("7547", "Iveco", "Stralis-480-800S48TZ-M-6x4"),
    # In the catalogue, in no vehicle.
    ("23765", "ANKAI", "G9 OE10"),
    ("23764", "ANKAI", "G9 OE6"),
    ("24333", "BYD", "Mini Dolphin"),
    ("1155", "Caterpillar", "320GC"),
    ("6146", "Chevrolet", "Spark GT"),
)
# Vehicle, plate, client, serial, asset type, scheme, online.
_VEHICLES = (
    ("2900104", "TST1A04", "310209", "920000797", "23392", "9000", True),
    ("2900108", "604 - TST1B08", "310209", "920001747", "23392", "5411", True),
    ("2900117", "TST2L74", "310209", "920002852", "8547", "9000", True),
    ("2900127", "TST2M27", "310273", "920002861", "8064", "5536", True),
    ("2900133", "TST2N33", "310273", "920002877", "23103", "5470", True),
    ("2900141", "TST2P41", "310273", "920002890", "4016", "5410", True),
    ("2900143", "TST2Q43", "310273", "920002902", "8547", "5536", False),
    ("2900151", "TST2R51", "310206", "920002915", "23565", "5433", True),
    ("2900160", "TST3S60", "310206", "920002923", "24285", "5433", True),
    ("2900166", "TST3T66", "310206", "", "7547", "", False),
    ("2900171", "TST3U71", "310209", "", "8064", "", False),
    ("2900180", "TST3V80", "310206", "920002931", "7547", "", True),
    # Units in stock: the plate is the serial, or holds CMDT.
    ("2900195", "920003010", STOCK_CLIENT, "920003010", "", "", True),
    ("2900196", "920003011", STOCK_CLIENT, "920003011", "", "", True),
    ("2900197", "CMDT920003012", STOCK_CLIENT, "920003012", "", "", False),
    ("2900198", "CMDT 920003013", STOCK_CLIENT, "920003013", "", "", True),
)
_TECHNICIANS = ("ANA EXEMPLO", "BRUNO EXEMPLO", "CARLA EXEMPLO")


def serial(digits: str) -> str:
    """Answer the 16 digits of a serial."""
    return digits.zfill(16)


def demo_world() -> World:
    """Answer the demo's companies, always the same: 4 clients, 12 vehicles, 4 units in stock."""
    clients = [Client(number, name, OWNER_ID, group) for number, name, group in _CLIENTS]
    groups = {client.id: client.root_group for client in clients}
    schemes = [Scheme(number, name, client, commands) for number, name, client, commands in _SCHEMES]
    units: list[Unit] = []
    vehicles: list[Vehicle] = []
    for place, (number, plate, client, digits, asset, scheme, online) in enumerate(_VEHICLES):
        vehicle = Vehicle(number, plate, client, groups[client], asset_type=asset, assigned_setting=scheme)
        vehicles.append(vehicle)
        if digits:
            vehicle.serial = serial(digits)
            unit = _unit(vehicle.serial, place, online)
            units.append(unit)
            if scheme:
                # Every third unit still runs an older scheme than the one in the database.
                vehicle.key_db = f"{0x697C666B + place * 86_400:08X}"
                unit.key = vehicle.key_db if place % 3 else "67546D46"
                unit.loaded_setting = scheme if place % 3 else ""
    return World(clients, schemes, [AssetType(*one) for one in _ASSETS], units, vehicles, list(_TECHNICIANS))


def _unit(number: str, place: int, online: bool) -> Unit:
    extra = ["0000271E"] if place % 2 else []
    return Unit(
        number,
        online,
        latitude=round(-18.271928 - place * 0.71, 6),
        longitude=round(-43.992804 - place * 0.43, 6),
        mileage_km=120_022 + place * 17_411,
        driver_code=f"{5_000_000 + place * 7_919}" if place % 2 else "",
        ignition=place % 5 != 4,
        speed=0 if place % 2 else 40 + place,
        modules=36 + place % 7,
        buses=(place % 6 != 5, place % 4 != 3, place % 5 == 0),
        parameters=[one for one in all_parameters() if one != "0000271E"] + extra,
    )


def load_world(vehicles: int, *, commands: int = 40) -> World:
    """Answer a world of so many vehicles of one client, all online: for loads and for rows of processes."""
    client = Client("310209", "Rápido Exemplo", OWNER_ID, "330402")
    schemes = [
        Scheme("9000", "Default - Dallas", client.id, commands),
        Scheme("5411", "Default - Free mode", client.id, commands),
    ]
    made: list[Vehicle] = []
    units: list[Unit] = []
    for place in range(vehicles):
        number = serial(str(930_000_000 + place))
        units.append(_unit(number, place, online=True))
        plate = f"TST{place // 100 % 10}{chr(65 + place % 26)}{place % 100:02d}"
        made.append(
            Vehicle(
                str(2_910_000 + place), plate, client.id, client.root_group, serial=number, asset_type="23392"
            )
        )
    return World([client], schemes, [AssetType(*one) for one in _ASSETS], units, made)


def furnish(up: Upstream, world: World) -> None:
    """Put a world into an upstream that has none yet."""
    up.clients = {one.id: one for one in world.clients}
    up.schemes = {one.id: one for one in world.schemes}
    up.asset_types = {one.id: one for one in world.asset_types}
    up.units = {one.serial: one for one in world.units}
    up.vehicles = {one.id: one for one in world.vehicles}
    up.technicians = list(world.technicians)
    now = up.now()
    for place, unit in enumerate(world.units):
        # A unit that is away was heard weeks ago: its header is a stale row of the database.
        age = timedelta(seconds=12 + place) if unit.online else timedelta(days=23, hours=place)
        unit.last_packet = now - age
