"""A rude WhatsApp gateway: wppconnect-server 2.10.4, its wrapper, the phones behind, with faults."""

from simulators.fault import Fault
from simulators.wppconnect.faults import BY_GATEWAY, EVERYWHERE, FAULTS, GROUPS
from simulators.wppconnect.models import Account, Group, Media, Message, Person
from simulators.wppconnect.pace import Pace
from simulators.wppconnect.phone import Phone
from simulators.wppconnect.server import WppSimulator
from simulators.wppconnect.world import PhoneOwner, World, demo_world, load_world, owner

__all__ = [
    "BY_GATEWAY",
    "EVERYWHERE",
    "FAULTS",
    "GROUPS",
    "Account",
    "Fault",
    "Group",
    "Media",
    "Message",
    "Pace",
    "Person",
    "Phone",
    "PhoneOwner",
    "World",
    "WppSimulator",
    "demo_world",
    "load_world",
    "owner",
]
