"""Selecting a vehicle and queueing a process: ticks, the review slot of a client, execution."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulators.traffilog.connections import Connection
from simulators.traffilog.models import Process
from simulators.traffilog.processes import begin
from simulators.traffilog.tokens import Context, Session
from simulators.traffilog.wire import Answer, Request

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Slot, Upstream

SCHEME_BUILDER, RUN_COMMAND = "1", "5"
COMMAND = re.compile(r"^\([oO]2[wW],(\d+),([0-9A-Fa-f]+)\)$")


class Queueing:
    """The actions of the contract's section 4.1.

    The review is one slot per client: whoever asks `get_vcls_action_review_opr` sees what is in it, also
    somebody else's process, and `execute_action_opr` runs it. That is how preparations collide.
    """

    def __init__(self, up: Upstream) -> None:
        self.up = up

    def table(self) -> dict[str, Callable[[Connection, Request], Answer]]:
        return {
            "vcls_check_opr": self.check,
            "associate_vehicles_actions_opr": self.associate,
            "review_process_attributes": self.review,
            "get_vcls_action_review_opr": self.process_id,
            "execute_action_opr": self.execute,
            "get_custom_command": self.custom_commands,
            "add_remove_custom_command": self.change_command,
        }

    def check(self, connection: Connection, request: Request) -> Answer:
        """Tick or untick a vehicle; one of another client is passed over."""
        session, vehicle_id = connection.session, request.get("vehicle_id")
        vehicle = self.up.vehicles.get(vehicle_id)
        if request.get("is_checked") == "1" and vehicle and vehicle.client_id == request.get("client_id"):
            session.ticked[vehicle_id] = vehicle.client_id
        elif request.get("is_checked") == "0":
            session.ticked.pop(vehicle_id, None)
        return Answer()

    def associate(self, connection: Connection, request: Request) -> Answer:
        session, client_id = connection.session, request.get("client_id")
        action_id = request.get("action_id")
        if action_id not in (SCHEME_BUILDER, RUN_COMMAND) or client_id not in self.up.clients:
            return Answer(value="400")
        if request.get("call_num") == "0":
            session.context = Context(action_id, client_id)
            return Answer()
        context = session.context
        ticked = [one for one, owner in session.ticked.items() if owner == client_id]
        if context is None or context.client_id != client_id or context.action_id != action_id or not ticked:
            return Answer(value="400")
        return self._prepare(session, context, ticked, request)

    def _prepare(self, session: Session, context: Context, ticked: list[str], request: Request) -> Answer:
        """Answer call 1: take the client's slot and put a process into it."""
        up, client_id = self.up, context.client_id
        context.comment = request.get("comment")
        if context.action_id == SCHEME_BUILDER:
            context.setting_id = request.get("vehicle_setting_id")
            if context.setting_id not in up.schemes:
                return Answer(value="400")
            if all(up.vehicles[one].assigned_setting == context.setting_id for one in ticked):
                return Answer(value="1")
        else:
            context.command = session.command
        slot = up.slots.get(client_id)
        held = slot is not None and slot.owner != session.token and self._is_fresh(slot)
        if held or up.rules.take("slot-busy", client_id=client_id) is not None:
            return Answer(value="8")
        context.process = Process(
            up.new_process_id(),
            "scheme_builder" if context.action_id == SCHEME_BUILDER else "gsensor",
            client_id,
            ticked,
            context.setting_id,
            context.command,
            visible_from=up.later(up.draw(up.pace.process_id_s)),
        )
        up.slots[client_id] = up.new_slot(session.token, context.process)
        return Answer()

    def _is_fresh(self, slot: Slot) -> bool:
        return (self.up.now() - slot.since).total_seconds() < self.up.pace.slot_held_s

    def review(self, connection: Connection, request: Request) -> Answer:
        """Answer what is about to be queued, or nothing where the slot was lost."""
        slot = self.up.slots.get(request.get("client_id"))
        if slot is None or slot.owner != connection.session.token:
            return Answer()
        scheme = self.up.schemes.get(slot.process.setting_id)
        row = {
            "oid": str(9_540_000 + int(slot.process.setting_id or "0")),
            "attribute": scheme.name if scheme else "Run Command",
            "count_vehicles": "",
            "total_vehicles": f"Total: {len(slot.process.vehicles)}",
        }
        return Answer([row])

    def process_id(self, connection: Connection, request: Request) -> Answer:
        client_id = request.get("client_id")
        slot = self.up.slots.get(client_id)
        if self.up.rules.take("process-not-found", client_id=client_id) is not None:
            return Answer(value="404")
        if self.up.rules.take("no-process", client_id=client_id) is not None:
            return Answer()
        if slot is None or self.up.now() < slot.process.visible_from:
            return Answer()
        return Answer([{"process_id": slot.process.id}])

    def execute(self, connection: Connection, request: Request) -> Answer:
        """Queue the process; `0` means no more than that."""
        up, client_id = self.up, request.get("client_id")
        up.ledger.asked["execute_action_opr"] += 1
        slot = up.slots.get(client_id)
        if slot is None or slot.process.id != request.get("process_id"):
            return Answer(value="404")
        process = slot.process
        del up.slots[client_id]
        session = connection.session
        comment = request.get("comment") or (session.context.comment if session.context else "")
        process.comment, process.state = comment, "queued"
        up.processes[process.id] = process
        session.ticked.clear()
        session.context = None
        for vehicle_id in process.vehicles:
            up.ledger.add(
                up.now(),
                process.kind,
                vehicle_id,
                comment=process.comment,
                process_id=process.id,
                token=session.token,
                setting_id=process.setting_id,
                command=process.command,
            )
            begin(up, process, up.vehicles[vehicle_id])
        return Answer()

    # ---- raw commands --------------------------------------------------------------------

    def custom_commands(self, connection: Connection, request: Request) -> Answer:
        """Answer the stored raw commands. The real rows were never recorded; nobody uses them."""
        client = self.up.clients.get(request.get("client_id"))
        return Answer([{"command_syntax": one} for one in (client.commands if client else [])])

    def change_command(self, connection: Connection, request: Request) -> Answer:
        """Store or remove a raw command; `2` for one that is there already. It becomes the session's."""
        syntax = request.get("command_syntax")
        client = self.up.clients.get(request.get("client_id"))
        found = COMMAND.match(syntax)
        if client is None or found is None or int(found.group(1)) != len(found.group(2)):
            return Answer(value="400")
        if request.get("action_value") == "1":
            client.commands = [one for one in client.commands if one != syntax]
            return Answer()
        connection.session.command = syntax
        if syntax in client.commands:
            return Answer(value="2")
        client.commands.append(syntax)
        self.up.ledger.add(self.up.now(), "custom_command", client.id, command=syntax)
        return Answer()
