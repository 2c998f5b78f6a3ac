"""The vehicles of one account: their merged records, kept in the interpreter's memory, told as facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from atalaia.connectors.traffilog import modules as registry
from atalaia.connectors.traffilog.parameters import known_names, missing_groups
from atalaia.connectors.traffilog.records import Reading
from atalaia.connectors.traffilog.snapshot import Record
from atalaia.connectors.traffilog.telling import Telling
from atalaia.connectors.traffilog.units import Gone, Message, Report
from atalaia.connectors.traffilog.wire import Json, Row, text_of
from atalaia.reactions.interpreter import Memory

KEYS = ("configuration_key_db", "configuration_key_unit")


class Vehicles:
    """Takes what is heard of vehicles. Header, modules and parameters change apart, so are kept apart."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def vehicle_of(self, inner_id: str) -> str:
        """Answer the vehicle of a unit, `""` if it was never told."""
        return self._memory.get(f"unit:{inner_id}") or ""

    def info(self, telling: Telling, vehicle_id: str, row: Row, job: str) -> None:
        """Take a row of `get_vehicle_info`. Keys that changed are told at once: a scheme was written."""
        record = self._load(vehicle_id)
        before = [record.text(name) for name in KEYS]
        record.take_info(row, telling.at_ms)
        self._save(record)
        if all(before) and before != [record.text(name) for name in KEYS]:
            self.whole(telling, vehicle_id, job)
        inner_id = text_of(row, "inner_id")
        if inner_id and self.vehicle_of(inner_id) != vehicle_id:
            self._memory.put(f"unit:{inner_id}", vehicle_id)

    def connected(self, telling: Telling, vehicle_id: str, told: str) -> None:
        """Take `is_connected`; above 0 is connected. 2 and 0 are on record."""
        if told.strip().isdecimal():
            self._connection(
                telling, vehicle_id, int(told) > 0, f"is_connected is {told.strip()}", live=False
            )

    def message(self, telling: Telling, vehicle_id: str, message: Message, driver_code: str) -> None:
        """Take a raw message. driver_code: the row's own field, `""` if empty."""
        match message:
            case Gone():
                self._connection(telling, vehicle_id, False, "the unit disconnected", live=True)
            case Report():
                record = self._load(vehicle_id)
                record.take_report(
                    replace(message, driver_code=message.driver_code or driver_code), telling.at_ms
                )
                news = record.beat(telling.at_ms)
                self._save(record)
                if news:
                    self._say_connection(telling, record, "the unit sent a message")
            case _:
                pass

    def parameters(self, telling: Telling, vehicle_id: str, rows: Iterable[Row]) -> None:
        """Take a push of values."""
        record = self._load(vehicle_id)
        renewed = record.take_parameters(rows, telling.at_ms)
        news = record.beat(telling.at_ms)
        self._save(record)
        if news:
            self._say_connection(telling, record, "the unit sent parameters")
        if renewed:
            shown = record.shown_parameters(renewed, self._names())
            missing = missing_groups(record.parameters)
            data = {"parameters": shown, "known": len(record.parameters), "missing": missing}
            telling.say("vehicle.parameters_seen", vehicle_id, data)

    def names(self, rows: Iterable[Row]) -> None:
        """Learn the names of parameters: rows of `get_unit_parameters_opr`."""
        self._learn({text_of(row, "id"): text_of(row, "param_type_descr") for row in rows})

    def modules(self, telling: Telling, vehicle_id: str, rows: Iterable[Row], job: str) -> None:
        """Take a reading of the registry. One that is empty or growing says nothing against a bus."""
        found = registry.read_modules(rows)
        record = self._load(vehicle_id)
        best = record.take_modules(registry.to_rows(found), telling.at_ms)
        self._save(record)
        data = {
            "rows": len(found),
            "complete": registry.is_complete(found),
            "best": best,
            "buses": registry.judge_buses(found),
            "errors": {one.name: one.error_descr for one in found if one.error},
        }
        telling.say("vehicle.modules_read", vehicle_id, data)
        if best:
            self.whole(telling, vehicle_id, job)

    def imported(self, telling: Telling, reading: Reading, job: str) -> None:
        """Take a record of other software."""
        record = self._load(reading.vehicle_id)
        self._learn(reading.names)
        record.take_info(reading.info, reading.at_ms)
        record.take_modules(reading.modules, reading.at_ms)
        record.take_parameters(reading.parameters, reading.at_ms)
        if reading.connected is not None:
            record.take_connected(reading.connected, reading.at_ms, live=False)
        self._save(record)
        self.whole(telling, reading.vehicle_id, job)

    def whole(self, telling: Telling, vehicle_id: str, job: str) -> None:
        """State the merged record as a whole."""
        record = self._load(vehicle_id)
        data = {**record.whole(telling.at_ms, self._names()), "job": job}
        telling.say("vehicle.snapshot_merged", vehicle_id, data)

    def _connection(
        self, telling: Telling, vehicle_id: str, connected: bool, why: str, *, live: bool
    ) -> None:
        record = self._load(vehicle_id)
        if record.take_connected(connected, telling.at_ms, live=live):
            self._say_connection(telling, record, why)
        self._save(record)

    def _say_connection(self, telling: Telling, record: Record, why: str) -> None:
        assert record.connected is not None
        connected, since_ms, live = record.connected
        evidence = {"why": why, "live": live}
        data = {"connected": connected, "since_ms": since_ms, "evidence": evidence}
        telling.say("vehicle.connection_changed", record.vehicle_id, data)

    def _names(self) -> Mapping[str, str]:
        return self._memory.get("names") or {}

    def _learn(self, names: Mapping[str, str]) -> None:
        """Remember names that differ from those that are known anyway."""
        known = self._names()
        new = {
            one: name
            for one, name in names.items()
            if one and name and known.get(one) != name and known_names().get(one) != name
        }
        if new:
            self._memory.put("names", {**known, **new})

    def _load(self, vehicle_id: str) -> Record:
        head: Json = self._memory.get(f"header:{vehicle_id}") or {}
        return Record(
            vehicle_id,
            header=head.get("fields", {}),
            connected=head.get("connected"),
            read_ms=head.get("read_ms"),
            modules=self._memory.get(f"modules:{vehicle_id}"),
            parameters=self._memory.get(f"parameters:{vehicle_id}") or {},
        )

    def _save(self, record: Record) -> None:
        head = {"fields": record.header, "connected": record.connected, "read_ms": record.read_ms}
        for key, value in (
            (f"header:{record.vehicle_id}", head),
            (f"modules:{record.vehicle_id}", record.modules),
            (f"parameters:{record.vehicle_id}", record.parameters or None),
        ):
            if value is not None and value != self._memory.get(key):
                self._memory.put(key, value)
