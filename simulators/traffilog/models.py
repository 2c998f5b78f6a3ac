"""What the upstream keeps: clients, vehicles, units, schemes, processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
Row = dict[str, str]

NO_KEY = "00000000"


@dataclass
class Client:
    """One customer company. `root_group` is the group of the portal that its vehicles are put in."""

    id: str
    name: str
    owner_id: str
    root_group: str
    commands: list[str] = field(default_factory=list[str])  # stored raw commands


@dataclass(frozen=True)
class Scheme:
    """A named configuration of a client. `commands`: how many the Scheme Builder sends, 0 for the pace's."""

    id: str
    name: str
    client_id: str
    commands: int = 0
    author: str = "user_01"
    updated_at: str = "28/01/2026 19:19:05"


@dataclass(frozen=True)
class AssetType:
    """One row of the portal's catalogue of vehicle models."""

    id: str
    manufacturer: str
    model: str
    sub_model: str = ""


@dataclass
class Unit:
    """One telematics box. It exists (is registered) whether a vehicle carries it or not.

    `serial` has 16 digits. `key` is the configuration key it runs, 8 hex digits. `sent` and `told` count the
    numbered messages of either side, 16 bits, wrapping. `next_process` names how the next process goes wrong.
    """

    serial: str
    online: bool = True
    version: str = "A77 Read Write.14"
    key: str = NO_KEY
    loaded_setting: str = ""
    ignition: bool = True
    latitude: float = -18.271928
    longitude: float = -43.992804
    speed: int = 0
    heading: int = 158
    mileage_km: int = 120_022
    way_km: float = 0.0  # driven since then
    engine_hours: int = 1_133
    fuel_l: float = 65_565.0
    driver_code: str = ""
    last_packet: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    sent: int = 0xFEFB
    told: int = 0x0894
    parameters: list[str] = field(default_factory=list[str])
    values: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    modules: int = 40  # rows of the full registry, 36 to 42
    buses: tuple[bool, bool, bool] = (True, True, False)  # CAN0, CAN1, J1708 work
    registry_from: datetime | None = None  # since when the registry grows anew
    registry_some_s: float = 0.0
    registry_full_s: float = 0.0
    mounting: str = ""  # the last matrix command it executed

    @property
    def mileage(self) -> int:
        """Answer whole kilometres."""
        return self.mileage_km + int(self.way_km)

    @property
    def key_name(self) -> str:
        return f"SPT:{self.serial}"

    def next_sent(self) -> str:
        """Count a numbered message of the server; answers its four hex digits."""
        self.sent = (self.sent + 1) & 0xFFFF
        return f"{self.sent:04X}"

    def next_told(self) -> str:
        """Count a numbered message of the unit."""
        self.told = (self.told + 1) & 0xFFFF
        return f"{self.told:04X}"

    def forget_modules(self, now: datetime, some_s: float, full_s: float) -> None:
        self.registry_from = now
        self.registry_some_s, self.registry_full_s = some_s, full_s


@dataclass
class Vehicle:
    """One vehicle record. `serial` names its unit, empty for none; `plate` may be a placeholder's."""

    id: str
    plate: str
    client_id: str
    group_id: str
    serial: str = ""
    asset_type: str = ""
    unit_type_id: str = "1"
    firmware_type_id: str = "2"
    assigned_setting: str = ""
    key_db: str = NO_KEY
    field_ids: str = "2,6"
    field_value: str = "2:,6:"
    orders: list[str] = field(default_factory=list[str])
    visible_from: datetime | None = None  # a stock vehicle of an order appears a moment later
    saved: Row = field(default_factory=dict[str, str])  # what SAVE_VHCL_ACTIVATION_NEW left
    status: Row = field(default_factory=dict[str, str])  # the running Scheme Builder, as in the info row


@dataclass
class Process:
    """One queued unit of work. `state`: review, queued, running, ended."""

    id: str
    kind: str  # scheme_builder, gsensor
    client_id: str
    vehicles: list[str]
    setting_id: str = ""
    command: str = ""
    comment: str = ""
    state: str = "review"
    total: int = 0
    acknowledged: int = 0
    outcome: str = ""
    key: str = ""
    visible_from: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    empty_polls: int = 0


def wire_time(moment: datetime) -> str:
    """Answer a date as rows of answers have it: seven digits of fraction and an offset."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}0000+00:00"


def push_time(moment: datetime) -> str:
    """Answer a date as pushes have it: milliseconds without trailing zeros, none on the full second."""
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond // 1000:03d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def whole_second(moment: datetime) -> datetime:
    return moment - timedelta(microseconds=moment.microsecond)
