"""What is heard of one Traffilog account, folded into facts about its processes and vehicles.

No timer lives here: what only time can tell comes as `traffilog.verdict`, written by who has a clock. What
the contract calls unknown stays in the log, and no fact is made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from atalaia.connectors.traffilog import heard, units
from atalaia.connectors.traffilog.alarms import Alarms
from atalaia.connectors.traffilog.processes import Processes
from atalaia.connectors.traffilog.records import read_record
from atalaia.connectors.traffilog.telling import Telling
from atalaia.connectors.traffilog.vehicles import Vehicles
from atalaia.connectors.traffilog.wire import (
    CONFIG_STATUS,
    MESSAGES,
    PARAMETERS,
    Answer,
    Json,
    Push,
    Row,
    read_object,
    read_properties,
    text_of,
)
from atalaia.errors import Unreadable
from atalaia.events.model import Event, Fact
from atalaia.reactions.interpreter import Memory


class TraffilogInterpreter:
    """Understands the heard events of one account, in order of the log."""

    def __init__(self, connection: str, memory: Memory) -> None:
        self._alarms = Alarms(connection, memory)
        self._vehicles = Vehicles(memory)
        self._processes = Processes(memory)

    def take(self, event: Event) -> Iterable[Fact]:
        """Answer the facts that follow from one heard event.

        Errors: `Unreadable` for a body that cannot be read; the memory is then to be reverted.
        """
        telling = Telling(event)
        match event.type:
            case heard.UNREADABLE | heard.ERROR:
                pass
            case heard.PORTAL_EVICTED:
                self._alarms.evicted(telling, read_object(event.body))
            case heard.PORTAL_KEPT:
                self._alarms.kept(telling)
            case heard.VERIFIED:
                self._alarms.verified(telling, event.key, read_object(event.body))
            case heard.VERDICT:
                self._processes.verdict(telling, event.key, read_object(event.body))
            case heard.COLLECTED:
                job = text_of(read_object(event.body), "job")
                self._vehicles.whole(telling, event.key, job)
            case heard.SNAPSHOT:
                self._imported(telling, read_object(event.body))
            case _:
                body = read_object(event.body)
                if "properties" in body:  # else a word of the connector's own that says nothing here
                    self._message(telling, body)
        return telling.facts

    def _imported(self, telling: Telling, body: Json) -> None:
        record: Any = body.get("record")
        if not isinstance(record, dict):
            raise Unreadable("an import without its record")
        for reading in read_record(cast("Json", record)):
            self._vehicles.imported(telling, reading, text_of(body, "job"))

    def _message(self, telling: Telling, body: Json) -> None:
        properties: Any = body.get("properties")
        if not isinstance(properties, dict):
            raise Unreadable("a message without its properties")
        message = read_properties(cast("Json", properties), cut=bool(body.get("partial")))
        if isinstance(message, Push):
            self._push(telling, message)
            return
        request: Any = body.get("request")
        asked: Any = cast("Json", request).get("parameters") if isinstance(request, dict) else None
        parameters = cast("Json", asked) if isinstance(asked, dict) else cast("Json", {})
        name = telling.event.type.removeprefix(heard.ANSWER)
        self._answer(telling, name, message, parameters, text_of(body, "job"))

    def _push(self, telling: Telling, push: Push) -> None:
        vehicle_id = telling.event.key or self._vehicles.vehicle_of(push.inner_id)
        if not vehicle_id:
            return  # nobody can tell whose it is
        if push.source == MESSAGES:
            for row in push.rows:
                self._unit_message(telling, vehicle_id, row)
        elif push.source == CONFIG_STATUS:
            for row in push.rows:
                self._processes.status(telling, vehicle_id, row)
        elif push.source == PARAMETERS:
            self._processes.beat(telling, vehicle_id)
            self._vehicles.parameters(telling, vehicle_id, push.rows)

    def _unit_message(self, telling: Telling, vehicle_id: str, row: Row) -> None:
        message = units.read_message(text_of(row, "raw_message"))
        self._processes.message(telling, vehicle_id, message)
        self._vehicles.message(telling, vehicle_id, message, text_of(row, "driver_code").strip())

    def _answer(self, telling: Telling, name: str, answer: Answer, asked: Json, job: str) -> None:
        vehicle_id = telling.event.key
        match name:
            case "execute_action_opr" if answer.ok and vehicle_id:
                self._processes.queued(telling, vehicle_id, asked, job)
            case "get_vcls_action_review_opr" if answer.ok and answer.rows:
                process_id = text_of(answer.rows[0], "process_id")
                self._processes.prepared(telling, vehicle_id, process_id, asked, job)
            case "add_remove_custom_command" if answer.value in ("0", "2"):
                self._processes.command_added(vehicle_id, asked)
            case "get_vehicle_info":
                for row in answer.rows:
                    self._info(telling, text_of(row, "vehicle_id") or vehicle_id, row, job)
            case "get_vehicle_data_from_redis" if answer.rows and vehicle_id:
                self._vehicles.connected(telling, vehicle_id, text_of(answer.rows[0], "is_connected"))
            case "get_unit_parameters_opr":
                self._vehicles.names(answer.rows)
            case "get_monitor_module_state" if answer.ok and vehicle_id:
                self._vehicles.modules(telling, vehicle_id, answer.rows, job)
            case _:
                pass

    def _info(self, telling: Telling, vehicle_id: str, row: Row, job: str) -> None:
        if not vehicle_id:
            return
        self._vehicles.info(telling, vehicle_id, row, job)
        assigned, loaded = (text_of(row, f"configuration_key_{side}") for side in ("db", "unit"))
        self._processes.keys(telling, vehicle_id, assigned, loaded)
