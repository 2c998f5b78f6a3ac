"""Transfers: where one conversation ends and the next begins, tied together by `linked_guid`.

Source: contracts/asterisk.md section 5.2.
"""

from __future__ import annotations

from atalaia.connectors.asterisk.calls import Calls
from atalaia.connectors.asterisk.ledger import Call, Ledger
from atalaia.connectors.asterisk.wire import AttendedTransfer, BlindTransfer, Channel

THREE_WAY = "threeway"


class Transfers:
    """Folds blind and attended transfers."""

    def __init__(self, ledger: Ledger, calls: Calls) -> None:
        self._ledger = ledger
        self._calls = calls

    def blind(self, event: BlindTransfer) -> None:
        """End the conversation; the party that stays opens the next one with its next `Dial()`."""
        call = self._ledger.call_of(event.channel.id)
        if not event.done or call is None or call.state != "oncall":
            return
        stays = event.transferee.id if event.transferee else _other(call, event.channel.id)
        linked = call.linked_guid
        self._finish(call, event.at_ms, event.exten)
        if event.transferee and not self._ledger.is_gone(stays):
            self._ledger.meet(event.transferee)
        leg = self._ledger.leg(stays)
        if leg is not None:
            leg.next_exten, leg.next_linked, leg.not_before_ms = event.exten, linked, event.at_ms
            leg.call = ""
            self._ledger.put_leg(leg)

    def attended(self, event: AttendedTransfer) -> None:
        """End both conversations of the one who transfers and begin the one between the two that remain."""
        if not event.done or event.kind == THREE_WAY:
            return
        first = self._ledger.call_of(event.first.id)
        second = self._ledger.call_of(event.second.id)
        if first is None and second is None:
            return
        linked = first.linked_guid if first else ""
        target = event.target.endpoint if event.target else second.dialled if second else ""
        if first is not None:
            self._finish(first, event.at_ms, target)
        if second is not None and (first is None or second.channel_id != first.channel_id):
            second.linked_guid = linked or second.linked_guid
            self._finish(second, event.at_ms, "")
        if event.transferee and event.target:
            self._joined(event.transferee, event.target, linked, event.at_ms)
        elif event.transferee and second is not None:
            self._takes_over(event, second, linked)

    def _finish(self, call: Call, at_ms: int, target: str) -> None:
        call.hangup, call.transferred_to = "transfer", target
        self._calls.end(call, at_ms, self._ledger.leg(call.channel_id))

    def _joined(self, caller: Channel, callee: Channel, linked: str, at_ms: int) -> None:
        if self._ledger.is_gone(caller.id):
            return
        leg = self._ledger.meet(caller)
        leg.next_exten, leg.next_linked = callee.endpoint, linked
        leg.call = ""
        call = self._calls.open(leg, at_ms, towards=callee.name)
        if call is None:
            return
        call.no_recording = leg.recording
        call.members = [callee.id]
        self._ledger.put_call(call)
        other = self._ledger.meet(callee)
        other.call = call.channel_id
        self._ledger.put_leg(other)
        self._calls.answer(call, at_ms, peer_id=callee.id, peer_name=callee.name)

    def _takes_over(self, event: AttendedTransfer, second: Call, linked: str) -> None:
        """The target still rings: the one who was transferred waits for it in the place of the other."""
        place = event.replacement or event.transferee
        if place is None or self._ledger.is_gone(place.id):
            return
        leg = self._ledger.meet(place)
        leg.next_exten, leg.next_linked, leg.not_before_ms = second.dialled, linked, event.at_ms
        leg.call = ""
        call = self._calls.open(leg, event.at_ms)
        if call is not None:
            call.members = list(second.members)
            self._ledger.put_call(call)
            for channel_id in second.members:
                callee = self._ledger.leg(channel_id)
                if callee is not None:
                    callee.call = call.channel_id
                    self._ledger.put_leg(callee)


def _other(call: Call, channel_id: str) -> str:
    return call.peer_id if channel_id == call.channel_id else call.channel_id
