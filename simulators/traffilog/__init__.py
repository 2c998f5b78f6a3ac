"""A rude telematics upstream: login, WebSocket and portal on real ports, with faults and a ledger."""

from simulators.fault import Fault
from simulators.traffilog.faults import FAULTS
from simulators.traffilog.ledger import Effect, Ledger
from simulators.traffilog.models import AssetType, Client, Scheme, Unit, Vehicle
from simulators.traffilog.pace import Pace
from simulators.traffilog.server import APP_GUID, ORIGIN, WS_GUID, Doors, TraffilogSimulator
from simulators.traffilog.world import World, demo_world, load_world

__all__ = [
    "APP_GUID",
    "FAULTS",
    "ORIGIN",
    "WS_GUID",
    "AssetType",
    "Client",
    "Doors",
    "Effect",
    "Fault",
    "Ledger",
    "Pace",
    "Scheme",
    "TraffilogSimulator",
    "Unit",
    "Vehicle",
    "World",
    "demo_world",
    "load_world",
]
