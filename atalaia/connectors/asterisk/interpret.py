"""What is heard of one Asterisk, folded into facts; losing and regaining the connection is part of the fold.

After `control connected` the events are held back, durably, until the REST reading is complete
(`control snapshot`); then the reading and the memory are made one, and the held events are applied.
A capture has no `snapshot` line: `capture.py` puts it where its reading ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atalaia.connectors.asterisk import wire
from atalaia.connectors.asterisk.calls import Calls
from atalaia.connectors.asterisk.endpoints import Endpoints
from atalaia.connectors.asterisk.ledger import Ledger
from atalaia.connectors.asterisk.reading import Reading
from atalaia.connectors.asterisk.recover import Recovery
from atalaia.connectors.asterisk.transfers import Transfers
from atalaia.events.grouping import same
from atalaia.events.model import Event, Fact
from atalaia.reactions.interpreter import Interpretation, Memory

HELD_MAX = 50_000  # a reading that takes so long has failed; the events must not wait for it

# In which session our application was replaced, as the memory has it until the alarm is resolved.
THIS_SESSION, EARLIER_SESSION = "this", "earlier"


class AsteriskInterpreter:
    """Understands the heard events of one Asterisk connection, in order of the log."""

    def __init__(self, connection: str, memory: Memory, *, held_max: int = HELD_MAX) -> None:
        self._held_max = held_max
        self._memory = memory
        self._ledger = Ledger(connection, memory)
        self._calls = Calls(self._ledger)
        self._endpoints = Endpoints(self._ledger)
        self._transfers = Transfers(self._ledger, self._calls)
        self._reading = Reading(memory)
        self._recovery = Recovery(self._ledger, self._calls, self._endpoints, self._reading)

    def take(self, event: Event) -> Iterable[Fact]:
        """Answer the facts that follow from one heard event.

        Errors: `Unreadable` for a body that cannot be read; the memory is then to be reverted.
        """
        name = event.type.removeprefix(wire.PREFIX)
        if name == "ChannelVarset" and wire.WANTED_VARIABLE.search(event.body) is None:
            self._heard_at(event.occurred_ms)
            return ()
        ledger = self._ledger
        ledger.facts, ledger.seq, ledger.late = [], event.seq, event.late
        match event.type:
            case wire.CONTROL:
                self._control(event, wire.read_object(event.body))
            case wire.REST:
                self._reading.rest(wire.read_object(event.body))
            case wire.RECORDINGS:
                self._reading.recordings(wire.read_object(event.body))
            case wire.DIRECTORY:
                self._memory.put("directory", dict(wire.read_object(event.body)))
            case _:
                self._event(name, event)
        return ledger.facts

    def _event(self, name: str, event: Event) -> None:
        if self._link().get("state") != "reading":
            self._apply(name, event.body)
        elif wire.read_event(name, event.body) is not None:
            held = self._link()
            count = held.get("held", 0) + 1
            self._memory.put(f"held:{event.seq:015d}", {"name": name, "body": event.body, "seq": event.seq})
            self._memory.put("link", {**held, "held": count})
            if count > self._held_max:
                self._release("up")

    def _apply(self, name: str, body: str) -> None:
        event = wire.read_event(name, body)
        if event is None:
            return
        self._heard_at(event.at_ms)
        match event:
            case wire.Created():
                self._calls.created(event)
            case wire.VariableSet():
                self._calls.variable_set(event)
            case wire.Moved():
                self._calls.moved(event)
            case wire.Dialled():
                self._calls.dialled(event)
            case wire.StateChanged():
                self._calls.state_changed(event)
            case wire.HangupAsked():
                self._calls.hangup_asked(event)
            case wire.Destroyed():
                self._calls.destroyed(event)
            case wire.Pressed():
                self._calls.pressed(event)
            case wire.BlindTransfer():
                self._transfers.blind(event)
            case wire.AttendedTransfer():
                self._transfers.attended(event)
            case wire.Signalled():
                self._calls.signalled(event)
            case wire.PeerChanged():
                self._endpoints.peer_changed(event)
            case wire.ContactChanged():
                self._endpoints.contact_changed(event)
            case wire.Replaced():
                self._replaced(event)
        if self._memory.get("wakes"):
            self._calls.overdue_wakes(event.at_ms)

    def _control(self, event: Event, body: wire.Json) -> None:
        link = self._link()
        at_ms = event.occurred_ms
        match body.get("control"):
            case "connected":
                if link.get("state") == "reading":
                    self._release("down")
                    link = self._link()
                if self._memory.get("replaced"):
                    self._memory.put("replaced", EARLIER_SESSION)
                lost_ms = link.get("lost_ms") or self._last_sign_ms(link)
                self._reading.clear()
                self._memory.put(
                    "link", {"state": "reading", "lost_ms": lost_ms, "cause": link.get("cause", "")}
                )
            case "disconnected" | "closed":
                if link.get("state") == "reading":
                    self._release("down")
                lost_ms = link.get("lost_ms") if link.get("state") != "up" else at_ms
                cause = _cause(body) if link.get("state") == "up" else link.get("cause") or _cause(body)
                self._memory.put("link", {"state": "down", "lost_ms": lost_ms or at_ms, "cause": cause})
            case "snapshot":
                if link.get("state") == "reading":
                    self._recovery.reconcile(at_ms, link, self._held())
                    self._release("up", since_ms=at_ms)
                    self._resolve_replaced(at_ms)
            case _:
                pass  # a word of a newer version: it stays in the log

    def _last_sign_ms(self, link: dict[str, Any]) -> int | None:
        """Answer when the connection was last alive, for a hub that was killed; None at first."""
        return max(self._memory.get("heard_ms") or 0, link.get("since_ms") or 0) or None

    def _release(self, state: str, *, since_ms: int = 0) -> None:
        """Apply what was held back, in order, and leave the reading behind."""
        link = self._link()
        kept: dict[str, Any] = {"lost_ms": link.get("lost_ms"), "cause": link.get("cause", "")}
        if state == "up":
            kept = {"since_ms": since_ms}
        self._memory.put("link", {"state": state, **kept})
        self._reading.clear()
        for key, held in self._held():
            self._memory.delete(key)
            self._ledger.seq = held["seq"]
            self._apply(held["name"], held["body"])

    def _held(self) -> list[tuple[str, dict[str, Any]]]:
        return [(key, self._memory.get(key) or {}) for key in sorted(self._memory.keys("held:"))]

    def _link(self) -> dict[str, Any]:
        return self._memory.get("link") or {}

    def _heard_at(self, at_ms: int) -> None:
        """Remember the newest time of Asterisk's own clock: the last moment of which we know."""
        if at_ms > (self._memory.get("heard_ms") or 0):
            self._memory.put("heard_ms", at_ms)

    def _replaced(self, event: wire.Replaced) -> None:
        """Another client took our application's name: this connection is open and mute from here on.

        Asterisk may say so more than once; within one session it is one replacement and one alarm.
        """
        if self._memory.get("replaced") == THIS_SESSION:
            return
        known = {"app": event.app}
        data = {
            "title": f"Another client took the application name {event.app}.",
            "grouping": same("asterisk.replaced", str(event.app)),
            "detail": {
                "known": known,
                "todo": "Find out which client uses it; ours comes back with a new name.",
            },
        }
        self._memory.put("replaced", THIS_SESSION)
        self._alert("alert.raised", event.at_ms, data)

    def _resolve_replaced(self, at_ms: int) -> None:
        if self._memory.get("replaced"):
            self._memory.delete("replaced")
            self._alert("alert.resolved", at_ms, {})

    def _alert(self, fact_type: str, at_ms: int, data: dict[str, Any]) -> None:
        cause = f"asterisk.replaced:{self._ledger.connection}"
        self._ledger.say(fact_type, cause, at_ms, data, f"{cause}:{fact_type}:{self._ledger.seq}")


def _cause(body: wire.Json) -> str:
    """Say in words how the connection ended."""
    if body.get("control") == "closed":
        return "closed by us"
    told, code = body.get("cause"), body.get("code")
    if isinstance(told, str) and told:
        return told
    return f"cut without a close frame ({code})" if code == 1006 else f"closed by Asterisk ({code})"


def make(connection: str, memory: Memory) -> AsteriskInterpreter:
    """Make the interpreter of one connection."""
    return AsteriskInterpreter(connection, memory)


INTERPRETATION = Interpretation("asterisk.calls", ("asterisk.*",), make)
