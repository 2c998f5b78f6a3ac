"""May this unit be installed? One table, judged before anything is written. Source: contract §10.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from atalaia.connectors.traffilog.portal.forms import PARKED
from atalaia.connectors.traffilog.portal.lookups import Vehicle, normal_plate, same_serial


class Standing(StrEnum):
    """What the portal says about a serial.

    UNKNOWN: no record, so nobody registered and tested the unit: a hard stop. FREE: known and on no vehicle.
    OURS: on the very vehicle that is worked on. PARKED: held by a stock record, which is deactivated first.
    IN_USE: on somebody's vehicle.
    """

    UNKNOWN = "unknown"
    FREE = "free"
    OURS = "ours"
    PARKED = "parked"
    IN_USE = "in_use"


@dataclass(frozen=True, slots=True)
class Judgement:
    """standing: the word. blocking: the records that hold the unit, oldest first; empty when it is free."""

    standing: Standing
    blocking: tuple[Vehicle, ...] = ()


def judge(records: Sequence[Vehicle], serial: str, own_id: str = "") -> Judgement:
    """Judge a serial by the records found under it, searched as a serial and as a plate by a fresh session.

    own_id: the vehicle that the unit is for; its own record never blocks.
    """
    if not records:
        return Judgement(Standing.UNKNOWN)
    holding = [one for one in records if one.carries(serial)]
    others = [one for one in holding if one.id != own_id]
    in_use = tuple(one for one in others if not is_parked(one, serial))
    if in_use:
        return Judgement(Standing.IN_USE, in_use)
    parked = tuple(one for one in others if one.plate)
    if parked:
        return Judgement(Standing.PARKED, parked)
    return Judgement(Standing.OURS if len(holding) > len(others) else Standing.FREE)


def is_parked(vehicle: Vehicle, serial: str) -> bool:
    """Answer whether a record only keeps a unit in stock: no plate, CMDT in it, or the serial as plate."""
    plate = normal_plate(vehicle.plate)
    return (
        not plate
        or PARKED in plate
        or same_serial(plate, serial)
        or (bool(vehicle.serial) and same_serial(plate, vehicle.serial))
    )
