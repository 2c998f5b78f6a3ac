"""The record of one vehicle, merged over time: a later, poorer reading never overwrites a richer one; pure.

Each field and each value carries its own time, and the newest wins, whatever the order of hearing. What is
live beats what the upstream has stored. Source: contracts/traffilog.md §8.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atalaia.clock import rfc3339
from atalaia.connectors.traffilog import modules as registry
from atalaia.connectors.traffilog.parameters import IGNITION, known_names, missing_groups, preferred, shown
from atalaia.connectors.traffilog.units import Report
from atalaia.connectors.traffilog.wire import Json, decode, read_time_ms, text_of

LIVE_MS = 120_000  # for so long after a live sign a stored "not connected" is not believed
BEAT_MS = 5_000  # finer than this nobody needs to know when a unit was last heard
_AHEAD_MS = 24 * 3_600_000  # a unit's clock that is further ahead of ours is wrong

# Fields that the unit measures: as old as its last contact, however late the row is read.
_MEASURED = frozenset(
    {
        "ignition", "server_time", "orig_time", "driver_code", "mileage", "fuel_used", "speed",
        "engine_hours", "latitude", "longitude",
    }
)  # fmt: skip
# Fields whose emptiness says something: no process runs, the keys are equal.
_MAY_EMPTY = frozenset(
    {
        "configuration_status", "configuration_type", "progress", "error", "configuration_key_db_color",
        "configuration_key_unit_color",
    }
)  # fmt: skip

Stamped = list[Any]  # of a header's field: [value, ms, live]; of a parameter: [raw, source, ms, heard_ms]


@dataclass
class Record:
    """One vehicle's record, JSON-able throughout; the `take_…` methods replace, never change in place.

    header: field to [value, ms, live]. connected: [bool, ms, live] or None. modules: the best reading
    {"at_ms", "rows"} or None. parameters: id to [raw, source, ms, heard_ms]. read_ms: when the row was read.
    """

    vehicle_id: str
    header: dict[str, Stamped] = field(default_factory=dict[str, Stamped])
    connected: Stamped | None = None
    read_ms: int | None = None
    modules: dict[str, Any] | None = None
    parameters: dict[str, Stamped] = field(default_factory=dict[str, Stamped])

    def take_info(self, row: Json, at_ms: int) -> bool:
        """Merge a row of `get_vehicle_info`, read at `at_ms`; answer whether a value changed."""
        contact_ms = read_time_ms(text_of(row, "server_time")) or 0
        changed = False
        for name in row:
            if name in ("mtkn", "raw", "") or not isinstance(row[name], (str, int, float)):
                continue
            value = decode(text_of(row, name))
            ms = min(contact_ms, at_ms) if name in _MEASURED else at_ms
            if value or name in _MAY_EMPTY:
                changed = self._put(name, value, ms, live=False) or changed
        self.read_ms = max(self.read_ms or 0, at_ms)
        return changed

    def take_parameters(self, rows: Iterable[Json], at_ms: int) -> list[str]:
        """Merge values, from a push or a stored record; answer the ids whose value is newer now."""
        merged = dict(self.parameters)
        renewed: list[str] = []
        for row in rows:
            parameter_id = text_of(row, "id").upper()
            if text_of(row, "inner_id") and "inner_id" not in self.header:
                self._put("inner_id", text_of(row, "inner_id"), at_ms, live=True)
            raw = text_of(row, "param_value") or text_of(row, "paramvalue") or text_of(row, "raw_value")
            if not parameter_id or not raw:
                continue
            told_ms = read_time_ms(text_of(row, "orig_time") or text_of(row, "last_update"))
            ms = at_ms if told_ms is None or told_ms > at_ms + _AHEAD_MS else told_ms
            new: Stamped = [raw, text_of(row, "paramsource") or text_of(row, "source"), ms, at_ms]
            old = merged.get(parameter_id)
            if old is None or (new[2], new[3], new[0], new[1]) > (old[2], old[3], old[0], old[1]):
                merged[parameter_id] = new
                renewed.append(parameter_id)
        self.parameters = merged
        return list(dict.fromkeys(renewed))

    def take_modules(self, rows: Iterable[Json], at_ms: int) -> bool:
        """Merge a reading of the registry; answer whether it is the best one now."""
        found = registry.to_rows(registry.read_modules(rows))
        reading = {"at_ms": at_ms, "rows": found}
        if not found or not registry.better(self.modules, reading):
            return False
        self.modules = reading
        return True

    def take_report(self, report: Report, at_ms: int) -> None:
        """Merge what a unit said of itself."""
        told: dict[str, Any] = {
            "inner_id": report.inner_id,
            "driver_code": report.driver_code,
            "speed": report.speed,
            "mileage": report.mileage,
            "engine_hours": report.engine_hours,
            "latitude": report.latitude,
            "longitude": report.longitude,
            "satellites": report.satellites,
        }
        said_ms = report.at_ms if report.at_ms is not None and report.at_ms <= at_ms + _AHEAD_MS else at_ms
        for name, value in told.items():
            # What is stored is finer than what a message says (km, h), so only a newer one replaces it.
            if value not in (None, ""):
                self._put(name, str(value), min(said_ms, at_ms), live=True)

    def beat(self, at_ms: int) -> bool:
        """Note a live sign of the unit; answer whether it was not known to be connected."""
        known = self.header.get("server_time")
        if known is None or not known[2] or at_ms - known[1] >= BEAT_MS:
            self._put("server_time", rfc3339(at_ms), at_ms, live=True)
        return self.take_connected(True, at_ms, live=True)

    def take_connected(self, connected: bool, at_ms: int, *, live: bool) -> bool:
        """Note whether the unit is connected; answer whether that is news. live: seen, not stored."""
        old = self.connected
        if old is not None:
            if at_ms < old[1]:
                return False
            if not live and old[2] and old[0] != connected and at_ms - old[1] < LIVE_MS:
                return False
        self.connected = [connected, at_ms, live]
        return old is None or old[0] != connected

    def text(self, name: str) -> str:
        """Answer a field of the header, `""` if it is not known."""
        known = self.header.get(name)
        return str(known[0]) if known else ""

    def shown_parameters(self, ids: Iterable[str], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Answer parameters by id: {"name", "raw", "value", "unit", "source", "seen_ms", "preferred"}."""
        first = preferred(self.parameters)
        found: dict[str, dict[str, Any]] = {}
        for one in ids:
            raw, source, ms, _ = self.parameters[one]
            name = names.get(one) or known_names().get(one, "")
            row = shown(one, raw, name)
            found[one] = {**row, "source": source, "seen_ms": ms, "preferred": one in first}
        return found

    def whole(self, at_ms: int, names: Mapping[str, str]) -> dict[str, Any]:
        """Answer the record as a fact states it. at_ms: now, for `age_s`, the seconds since the last contact.

        ages: when the header's values and the modules are of, in Unix milliseconds. header_live: the fields
        that the unit itself has told since. key_matches: whether the unit runs the scheme assigned to it.
        usable: there is a value at all; an installation is not turned down for more, e.g. a growing registry.
        """
        rows: list[dict[str, Any]] = self.modules["rows"] if self.modules else []
        read = registry.from_rows(rows)
        header = {**self.header, **self._ignition()}
        missing = missing_groups(self.parameters)
        contact = self.header.get("server_time")
        contact_ms = read_time_ms(str(contact[0])) if contact else None
        return {
            "vehicle_id": self.vehicle_id,
            "client_id": self.text("client_id"),
            "plate": self.text("license_nmbr"),
            "inner_id": self.text("inner_id"),
            "connected": self.connected[0] if self.connected else None,
            "header": {name: value for name, (value, _, _) in sorted(header.items())},
            "header_live": sorted(name for name, (_, _, live) in header.items() if live),
            "read_ms": self.read_ms,
            "ages": {"header": contact_ms, "modules": self.modules["at_ms"] if self.modules else None},
            "age_s": None if contact_ms is None else max(0, (at_ms - contact_ms) // 1000),
            "key_matches": _key_matches(self),
            "modules": {row["name"]: {k: v for k, v in row.items() if k != "name"} for row in rows},
            "modules_complete": registry.is_complete(read),
            "buses": registry.judge_buses(read),
            "parameters": self.shown_parameters(sorted(self.parameters), names),
            "missing": missing,
            "complete": not missing and registry.is_complete(read),
            "usable": bool(self.parameters),
        }

    def _ignition(self) -> dict[str, Stamped]:
        """Answer the ignition as the unit's own parameters tell it, when that is newer than the header's."""
        told = [self.parameters[one] for one in IGNITION if one in self.parameters]
        stored = self.header.get("ignition")
        if not told:
            return {}
        raw, _, ms, _ = max(told, key=lambda one: (one[2], one[3]))
        if stored is not None and stored[1] > ms:
            return {}
        return {"ignition": ["0" if raw.strip("0") == "" else "1", ms, True]}

    def _put(self, name: str, value: str, ms: int, *, live: bool) -> bool:
        old = self.header.get(name)
        new: Stamped = [value, ms, live]
        if old is not None and (ms, live, value) <= (old[1], old[2], old[0]):
            return False
        self.header = {**self.header, name: new}
        return old is None or old[0] != value


def _key_matches(record: Record) -> bool | None:
    """Answer whether the unit runs the assigned scheme; None when a key is not known."""
    assigned = record.text("configuration_key_db").upper()
    loaded = record.text("configuration_key_unit").upper()
    if not assigned or not loaded:
        return None
    return assigned == loaded and assigned.strip("0") != ""
