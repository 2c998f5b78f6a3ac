"""A rude Asterisk: an ARI server on a real port that plays calls and misbehaves on request."""

from simulators.asterisk.faults import FAULTS
from simulators.asterisk.player import SCENARIOS
from simulators.asterisk.scenarios import Plan
from simulators.asterisk.server import AsteriskSimulator
from simulators.asterisk.world import World, demo_world, load_world, write_etc
from simulators.fault import Fault

__all__ = [
    "FAULTS",
    "SCENARIOS",
    "AsteriskSimulator",
    "Fault",
    "Plan",
    "World",
    "demo_world",
    "load_world",
    "write_etc",
]
