"""Finding a vehicle by plate or serial: what equals, what only contains, and when absence may be believed.

The portal's filter is a substring of what is stored, blanks included: `604 - ABC1D23` finds the record that
`604-ABC1D23` does not. So plates are asked as typed and compared normalised. An empty answer may also come
from a stale session: see `believed`. Source: contract §10.2, §10.3.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from atalaia.connectors.traffilog.portal import forms, xml
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.xml import Row
from atalaia.errors import Unavailable

T = TypeVar("T")

BELIEVED_TRIES = 4
EPOCH_2000_S = 946_684_800  # `LAST_GPRS_SEC` counts from 2000-01-01 UTC

How = Literal["exact", "substring"]

_FLEET = re.compile(r"^\s*\d{1,6}\s*-\s*(?=\S)")


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A row of VHCLS. Ids, plate and serial are as the portal writes them; `row` keeps all of it."""

    row: Mapping[str, str]

    @property
    def id(self) -> str:
        return self._word("VEHICLE_ID")

    @property
    def plate(self) -> str:
        return self._word("LICENSE_NMBR")

    @property
    def serial(self) -> str:
        return self._word("INNER_ID")

    @property
    def client_id(self) -> str:
        return self._word("CLIENT_ID")

    @property
    def client_name(self) -> str:
        return self._word("CLIENT_DESCR")

    @property
    def asset_type(self) -> str:
        return self._word("ASSET_TYPE")

    @property
    def orders(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._word("ORDERS_LIST").split(",") if part.strip())

    @property
    def last_gprs_ms(self) -> int | None:
        """Answer when its unit was last heard, in Unix milliseconds."""
        seconds = self._word("LAST_GPRS_SEC")
        return (EPOCH_2000_S + int(seconds)) * 1000 if seconds.isdigit() and int(seconds) else None

    def carries(self, serial: str) -> bool:
        """Answer whether this record holds the unit; leading zeros do not matter."""
        return bool(self.serial) and same_serial(self.serial, serial)

    def told(self) -> dict[str, str]:
        """Answer what people should see of it. JSON-able."""
        return {
            "vehicle_id": self.id,
            "license_nmbr": self.plate,
            "inner_id": self.serial,
            "client_id": self.client_id,
            "client_descr": self.client_name,
        }

    def _word(self, name: str) -> str:
        return self.row.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Found:
    """One vehicle. duplicates: ids of further records of the same plate, which are newer."""

    vehicle: Vehicle
    how: How
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsure:
    """Rows came, but none is surely the one: a person chooses. vehicles: oldest first."""

    vehicles: tuple[Vehicle, ...]


@dataclass(frozen=True, slots=True)
class NotThere:
    """A fresh session says so, too."""


Choice = Found | Unsure | NotThere


def normal_plate(plate: str) -> str:
    """Answer a plate as it is compared: upper case, only letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Z0-9_-]", "", plate.upper())


def normal_serial(serial: str) -> str:
    """Answer a serial as it is compared: without blanks and leading zeros."""
    return re.sub(r"\s", "", serial).lstrip("0")


def same_plate(one: str, other: str) -> bool:
    return bool(normal_plate(one)) and normal_plate(one) == normal_plate(other)


def same_serial(one: str, other: str) -> bool:
    return bool(normal_serial(one)) and normal_serial(one) == normal_serial(other)


def spellings(plate: str) -> list[str]:
    """Answer how a plate is asked for, in order: as typed, then without a fleet prefix as in `604 - `."""
    typed = plate.strip().upper()
    return list(dict.fromkeys(one for one in (typed, _FLEET.sub("", typed).strip()) if one))


def choose(vehicles: Sequence[Vehicle], plate: str) -> Choice:
    """Answer which of the rows is meant: exact before substring, the oldest record before its duplicates.

    Rows of several different plates, or of one that does not even contain what was asked, are for a person.
    """
    asked = normal_plate(plate)
    rows = sorted(vehicles, key=_age)
    exact = [one for one in rows if normal_plate(one.plate) == asked]
    within = [one for one in rows if asked and asked in normal_plate(one.plate)]
    if exact:
        return _oldest(exact, "exact")
    if within:
        plates = {normal_plate(one.plate) for one in within}
        return _oldest(within, "substring") if len(plates) == 1 else Unsure(tuple(within))
    return Unsure(tuple(rows)) if rows else NotThere()


async def believed(portal: Portal, ask: Callable[[], Awaitable[T]]) -> T:
    """Answer what `ask` answers; an empty answer only when the session is surely alive.

    A session that somebody evicts gets correct answers without rows, also right after its login. So nothing
    is believed to be absent but by a fresh session that, asked after it, still sees our own groups.
    Errors: `Unavailable` when it is evicted again and again; as `Portal.ask`.
    """
    for _ in range(BELIEVED_TRIES):
        answer = await ask()
        if answer or (portal.fresh and await groups(portal)):
            return answer
        await portal.renew()
    raise Unavailable("The portal's session ends again and again: what it does not show may be there.")


async def groups(portal: Portal) -> list[Row]:
    """Answer the groups that an account sees; a living session always sees some.

    Shape: GROUP_ID, PARENT_OBJECT, GROUP_NAME, INDEX, CLIENT_DESCR, CHECKED. Errors: as `Portal.ask`.
    """
    return xml.read(await portal.ask(forms.groups())).rows(forms.GROUPS, "GROUP")


async def by_plate(portal: Portal, plate: str) -> Choice:
    """Find a vehicle by its plate; absence is `believed`. Errors: as `Portal.ask`."""
    unsure: Unsure | None = None
    for spelling in spellings(plate):
        rows = await _vehicles(portal, forms.vehicles(plate=spelling))
        choice = choose(rows, plate)  # `604-ABC1D23` is `604 - ABC1D23`, which only `ABC1D23` finds
        if not isinstance(choice, Found):
            choice = choose(rows, spelling)
        if isinstance(choice, Found):
            return choice
        unsure = choice if isinstance(choice, Unsure) and unsure is None else unsure
    return unsure or NotThere()


async def by_serial(portal: Portal, serial: str) -> list[Vehicle]:
    """Find the records that hold a unit, or that are parked under its number, oldest first.

    Searched as a serial, then as a plate; absence is `believed`. Errors: as `Portal.ask`.
    """
    by_unit, by_plate = forms.vehicles(serial=serial), forms.vehicles(plate=serial)
    holding = [one for one in await _vehicles(portal, by_unit) if one.carries(serial)]
    parked = [
        one
        for one in await _vehicles(portal, by_plate)
        if same_serial(one.plate, serial) or one.carries(serial)
    ]
    known = {one.id: one for one in (*holding, *parked)}
    return sorted(known.values(), key=_age)


async def record_of(portal: Portal, vehicle_id: str, *, plate: str = "", serial: str = "") -> Vehicle | None:
    """Answer the row of one vehicle, searched by what it should be found under; None when it is not there."""
    by_serial, by_plate = forms.vehicles(serial=serial), forms.vehicles(plate=plate)
    # Many records share the stock's plate; any other plate is there before the unit is.
    for form in (by_serial, by_plate) if plate == forms.PARKED else (by_plate, by_serial):
        if form["INNER_ID"] or form["LICENSE_NMBR"]:
            for vehicle in await _vehicles(portal, form):
                if vehicle.id == vehicle_id:
                    return vehicle
    return None


async def of_client(portal: Portal, client_id: str, client_name: str = "") -> list[Vehicle]:
    """Answer the vehicles of a company. The filter is a wish: rows of others are left out here."""
    form = forms.vehicles(client=client_name, client_id=client_id)
    return [one for one in await _vehicles(portal, form) if one.client_id == client_id]


async def everything(portal: Portal) -> list[Vehicle]:
    """Answer all vehicles that our account sees."""
    return await _vehicles(portal, forms.vehicles())


async def activation_of(portal: Portal, vehicle_id: str) -> Row | None:
    """Answer a vehicle's activation data, or None, which is `believed`. Errors: as `Portal.ask`."""

    async def ask() -> Row | None:
        text = await portal.ask(forms.activation_of(vehicle_id))
        return xml.activation_row(xml.read(text), forms.ACTIVATION)

    return await believed(portal, ask)


async def _vehicles(portal: Portal, form: forms.Form) -> list[Vehicle]:
    async def ask() -> list[Row]:
        return xml.read(await portal.ask(form)).rows(forms.VHCLS)

    return [Vehicle(row) for row in await believed(portal, ask)]


def _oldest(vehicles: Sequence[Vehicle], how: How) -> Found:
    first, *others = vehicles
    return Found(first, how, tuple(one.id for one in others))


def _age(vehicle: Vehicle) -> tuple[int, str]:
    """Order by id as a number: the lowest is the oldest record; one without an id comes last."""
    return (int(vehicle.id) if vehicle.id.isdigit() else 1 << 62, vehicle.id)
