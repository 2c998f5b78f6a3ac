"""From events to conversations: one record per conversation between two parties.

Key is the channel id of the caller's leg, never a time. States go open -> oncall -> closed or
open -> unanswered, never twice and never backwards, whatever is repeated or swapped.
Source: contracts/asterisk.md sections 3 to 5 and 9.5.
"""

from __future__ import annotations

from atalaia.connectors.asterisk import records
from atalaia.connectors.asterisk.directory import Known
from atalaia.connectors.asterisk.ledger import Call, Ledger, Leg
from atalaia.connectors.asterisk.wire import (
    NO_NUMBER,
    Channel,
    Created,
    Destroyed,
    Dialled,
    HangupAsked,
    Moved,
    Pressed,
    Signalled,
    StateChanged,
    VariableSet,
    endpoint_of,
    server_of,
    technology_of,
)
from atalaia.ids import derived_uuid7

DIGITS_KNOWN = 32  # so many marks are kept
WAKE_PATIENCE_MS = 20  # so long the dialplan has the first word about an offline phone, by PushWake
WAITING_APPS = frozenset(
    {"Wait", "WaitExten", "Ringing", "Progress", "Answer", "Playback", "BackGround", "MusicOnHold"}
)
IDENTIFYING = frozenset({"PJSIP", "SIP"})  # technologies whose channel names say who Asterisk believes it is


class Calls:
    """Folds the events of legs into conversations."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def created(self, event: Created) -> None:
        """Remember a new leg; it opens a conversation by itself only towards an IA."""
        channel = event.channel
        if self._ledger.leg(channel.id) or self._ledger.is_gone(channel.id):
            return
        leg = self._ledger.meet(channel)
        if channel.exten in NO_NUMBER or not technology_of(channel.name):
            return
        leg.dialled = channel.exten
        self._ledger.put_leg(leg)
        if not channel.number:
            return  # opens nothing by itself; it may still dial
        directory = self._ledger.directory
        wanted = directory.find(channel.exten)
        if wanted is None or self._party(channel.name) is None:
            return
        if wanted.type == "ia":
            self.open(leg, event.at_ms)
        elif wanted.type == "unidade" and self._is_offline(channel.exten):
            leg.wake, leg.wake_ms = channel.exten, event.at_ms
            self._ledger.put_leg(leg)
            self._ledger.memory.put("wakes", {**self._wakes(), leg.id: event.at_ms})

    def moved(self, event: Moved) -> None:
        """Learn the number that an originated leg asks for; see a caller who waits for a sleeping phone."""
        leg = self._ledger.leg(event.channel.id)
        if leg is None:
            return
        if leg.originated and not leg.dialled and event.channel.exten not in NO_NUMBER:
            leg.dialled = event.channel.exten
            self._ledger.put_leg(leg)
        if leg.wake and event.channel.app in WAITING_APPS:
            self.wake(leg, leg.wake, event.at_ms)

    def variable_set(self, event: VariableSet) -> None:
        """`DIALEDPEERNUMBER` empty: `Dial()` runs for this caller. `MIXMONITOR_FILENAME`: a recording."""
        if self._ledger.is_gone(event.channel.id):
            return
        if event.variable == "MIXMONITOR_FILENAME" and event.value:
            leg = self._ledger.meet(event.channel)
            leg.recording = event.value
            self._ledger.put_leg(leg)
        elif event.variable == "DIALEDPEERNUMBER" and not event.value:
            self.open(self._caller(event.channel), event.at_ms)

    def dialled(self, event: Dialled) -> None:
        """Follow one step of dialling: a callee joins, or somebody answers."""
        if event.caller is None:
            self._originated(event)
            return
        if self._ledger.is_gone(event.caller.id):
            return
        leg = self._caller(event.caller)
        partner = self._ledger.local_partner(leg)
        if partner is not None and event.status == "ANSWER":
            partner.real_id, partner.real_name = event.peer.id, event.peer.name
            self._ledger.put_leg(partner)
            return
        call = self._ledger.call(partner.call if partner else leg.id)
        if call is None and event.status in {"", "RINGING", "PROGRESS", "PROCEEDING", "ANSWER"}:
            call = self.open(leg, _began_ms(event, leg), towards=event.peer.name)
        elif call is not None and event.status == "" and partner is None:
            call = self.open(leg, event.at_ms, towards=event.peer.name) or call
        if call is None:
            return
        self._join(call, event.peer, event.status)
        if event.status == "ANSWER":
            self._answered_by(call, event.peer, event.at_ms)

    def state_changed(self, event: StateChanged) -> None:
        """A caller in state Up talks only when he asked for an IA; a queue answers for nobody."""
        call = self._ledger.call(event.channel.id)
        if event.channel.state == "Up" and call and call.is_ia and call.answered_ms is None:
            self.answer(call, event.at_ms)

    def pressed(self, event: Pressed) -> None:
        """Keep the digits of both parties in the order of arrival; the same event twice counts once."""
        call = self._ledger.call_of(event.channel.id)
        mark = f"{event.channel.id} {event.at_ms} {event.digit}"
        if call and mark not in call.pressed:
            call.dtmf, call.pressed = call.dtmf + event.digit, [*call.pressed[-DIGITS_KNOWN:], mark]
            self._ledger.put_call(call)

    def hangup_asked(self, event: HangupAsked) -> None:
        """Remember who hung up first. Asterisk's own clean-up (`soft`) says nothing."""
        call = self._ledger.call_of(event.channel.id)
        if event.soft or call is None:
            return
        if event.channel.id == call.channel_id:
            call.hangup = call.hangup or "origin"
            call.cancelled = call.cancelled or call.answered_ms is None
        elif event.channel.id == call.peer_id:
            call.hangup = call.hangup or "destiny"
        else:
            call.causes = _with(call.causes, event.channel.id, event.cause, hung_up=True)
        self._ledger.put_call(call)

    def destroyed(self, event: Destroyed) -> None:
        """Forget a leg; the end of the caller's is the end of the conversation."""
        leg = self._ledger.leg(event.channel.id)
        if leg is None:
            return
        call = self._ledger.call(leg.call) if leg.call else None
        self._ledger.drop_leg(leg, event.at_ms)
        self._forget_wake(leg.id)
        if call is None:
            return
        if call.channel_id == leg.id:
            self.end(call, event.at_ms, leg)
            return
        if leg.id == call.peer_id:
            call.peer_gone_ms = event.at_ms
        else:
            hung_up = bool(call.causes.get(leg.id, [0, False])[1])
            call.causes = _with(call.causes, leg.id, event.cause, hung_up=hung_up)
        self._ledger.put_call(call)

    def signalled(self, event: Signalled) -> None:
        """`PushWake`: the dialplan waits for a sleeping phone."""
        if event.name != "PushWake":
            return
        leg = None
        if event.channel and not self._ledger.is_gone(event.channel.id):
            leg = self._ledger.meet(event.channel)
        elif event.channel is None:
            leg = self._ledger.leg(event.fields.get("linkedid", ""))
        if leg is not None:
            self.wake(leg, event.fields.get("endpoint", "") or leg.dialled, event.at_ms)

    def overdue_wakes(self, now_ms: int) -> None:
        """Wake the phones about which the dialplan kept silent."""
        for channel_id, since_ms in self._wakes().items():
            if now_ms > since_ms + WAKE_PATIENCE_MS:
                leg = self._ledger.leg(channel_id)
                if leg and leg.wake:
                    self.wake(leg, leg.wake, leg.wake_ms)
                self._forget_wake(channel_id)

    def open(self, leg: Leg, at_ms: int, *, towards: str = "", recovered: str = "") -> Call | None:
        """Begin a conversation of this caller unless one is going on; None when it is none of ours.

        towards: channel name of the callee, when there is one already.
        """
        current = self._ledger.call(leg.id)
        if current is not None:
            if not 0 < current.peer_gone_ms <= at_ms:
                return current if current.state == "open" else None
            self.end(current, current.peer_gone_ms, leg)  # the callee left, and the caller dials on
            leg = self._ledger.leg(leg.id) or leg
        if (at_ms < leg.not_before_ms and not recovered) or technology_of(leg.name) in {"", "Local"}:
            return None
        dialled = leg.next_exten or leg.dialled or endpoint_of(towards)
        origin = self._party(leg.name)
        destiny = self._destiny(dialled, origin, towards)
        if origin is None and destiny is None:
            return None
        call = self._begin(leg, dialled, origin, destiny, at_ms)
        if recovered:
            call.recovered = recovered
            self._ledger.put_call(call)
        records.say_opened(self._ledger, call)
        if leg.wake or (destiny and destiny.type == "unidade" and self._is_offline(dialled)):
            self.wake(leg, leg.wake or dialled, at_ms)
            call = self._ledger.call(leg.id) or call
        return call

    def open_recovered(self, leg: Leg, at_ms: int, recovered: str, *, towards: str) -> Call | None:
        """Begin a conversation that the REST reading showed, unless one is going on."""
        if self._ledger.call(leg.id) is not None:
            return None
        return self.open(leg, at_ms, towards=towards, recovered=recovered)

    def open_if_sleeping(self, leg: Leg, at_ms: int, recovered: str) -> None:
        """Begin the conversation of a caller who waits for a phone that sleeps, and ask to wake it."""
        wanted = self._ledger.directory.find(leg.dialled)
        waits = wanted and wanted.type == "unidade" and self._is_offline(leg.dialled)
        if waits and self._party(leg.name) is not None:
            self.open_recovered(leg, at_ms, recovered, towards="")

    def answer(self, call: Call, at_ms: int, *, peer_id: str = "", peer_name: str = "") -> None:
        """Bring a conversation to oncall. The destiny becomes who answered."""
        if call.state != "open":
            return
        if peer_name:
            who = endpoint_of(peer_name)
            known = self._ledger.directory.infer(who)
            call.destiny, call.destiny_type = who, known.type if known else ""
            call.answered_by, call.extra_channel, call.peer_id = who, peer_name, peer_id
        call.state, call.answered_ms = "oncall", max(at_ms, call.opened_ms)
        self._ledger.put_call(call)
        records.say_answered(self._ledger, call)

    def end(
        self, call: Call, at_ms: int, leg: Leg | None, *, forced: bool = False, recording: str | None = None
    ) -> None:
        """Bring a conversation to its end and free its legs.

        recording: overrides what the leg recorded, `""` = there is no sound.
        """
        sound = records.recording_of(call, leg) if recording is None else recording
        ended_ms = max(at_ms, call.answered_ms or call.opened_ms)
        records.say_ended(self._ledger, call, ended_ms, recording=sound, forced=forced)
        self._ledger.drop_call(call, ended_ms)

    def wake(self, leg: Leg, endpoint: str, at_ms: int) -> None:
        """Ask for a push to a sleeping phone, once per call and endpoint; the record opens with it."""
        self._forget_wake(leg.id)
        leg.wake, leg.wake_ms = "", 0
        self._ledger.put_leg(leg)
        call = self._ledger.call(leg.id) or self.open(leg, at_ms)
        if call is None or not endpoint or endpoint in call.woken:
            return
        directory = self._ledger.directory
        known = directory.find(endpoint)
        client = directory.clients.get(known.client) if known else None
        call.woken = [*call.woken, endpoint]
        self._ledger.put_call(call)
        if client is None or not client.push:
            return
        data = {
            "endpoint": endpoint,
            "origin": call.origin,
            "guid": call.guid,
            "expires": (at_ms // 1000) + directory.rules.push_expires_s,
            "client": client.code,
            "vhost": client.vhost,
        }
        self._ledger.say("endpoint.wake_requested", endpoint, at_ms, data, f"{call.guid}:push:{endpoint}")

    def _begin(self, leg: Leg, dialled: str, origin: Known | None, destiny: Known | None, at_ms: int) -> Call:
        ledger = self._ledger
        guid = derived_uuid7(at_ms, f"{ledger.connection}:{leg.id}:{leg.turns}")
        owner = origin or destiny
        call = Call(
            channel_id=leg.id,
            channel=leg.name,
            guid=guid,
            linked_guid=leg.next_linked or guid,
            server=ledger.directory.rules.server or server_of(leg.id) or ledger.connection,
            callnumber=ledger.next_callnumber(),
            origin=endpoint_of(leg.name),
            origin_type=origin.type if origin else "",
            destiny=dialled,
            destiny_type=destiny.type if destiny else "",
            dialled=dialled,
            client=owner.client if owner else "",
            vhost=owner.vhost if owner else "",
            opened_ms=at_ms,
            is_ia=bool(destiny and destiny.type == "ia"),
            clicktocall=leg.originated and not leg.next_exten,
        )
        leg.call, leg.turns = leg.id, leg.turns + 1
        leg.next_exten, leg.next_linked = "", ""
        ledger.put_leg(leg)
        ledger.put_call(call)
        return call

    def _originated(self, event: Dialled) -> None:
        """Asterisk calls a phone for somebody: that leg becomes a caller when it dials."""
        if self._ledger.is_gone(event.peer.id):
            return
        leg = self._ledger.meet(event.peer)
        if not leg.originated:
            leg.originated = True
            self._ledger.put_leg(leg)

    def _caller(self, channel: Channel) -> Leg:
        """Answer the leg of a caller, and the number he asked for if only this event tells it."""
        leg = self._ledger.meet(channel)
        if not leg.dialled and not leg.next_exten and channel.exten not in NO_NUMBER:
            leg.dialled = channel.exten
            self._ledger.put_leg(leg)
        return leg

    def _join(self, call: Call, peer: Channel, status: str) -> None:
        """Let a callee's leg take part in a conversation."""
        if self._ledger.is_gone(peer.id):
            return
        leg = self._ledger.meet(peer)
        if leg.call != call.channel_id:
            leg.call = call.channel_id
            self._ledger.put_leg(leg)
        if peer.id not in call.members:
            call.members = [*call.members, peer.id]
            self._ledger.put_call(call)
        if status == "BUSY" and peer.id not in call.causes:
            call.causes = _with(call.causes, peer.id, records.BUSY, hung_up=False)
            self._ledger.put_call(call)

    def _answered_by(self, call: Call, peer: Channel, at_ms: int) -> None:
        leg = self._ledger.leg(peer.id)
        if leg and leg.real_id:  # a Local channel stood between
            real = self._ledger.leg(leg.real_id)
            if real:
                real.call = call.channel_id
                self._ledger.put_leg(real)
            call.members = [*call.members, leg.real_id]
            self.answer(call, at_ms, peer_id=leg.real_id, peer_name=leg.real_name)
        else:
            self.answer(call, at_ms, peer_id=peer.id, peer_name=peer.name)

    def _party(self, channel_name: str) -> Known | None:
        """Answer who is at this channel: a listed endpoint, or one that the number plan explains."""
        endpoint = endpoint_of(channel_name)
        directory = self._ledger.directory
        return (
            directory.infer(endpoint)
            if technology_of(channel_name) in IDENTIFYING
            else directory.find(endpoint)
        )

    def _destiny(self, dialled: str, origin: Known | None, towards: str) -> Known | None:
        """Answer who is called. A stranger's word counts only for listed numbers, or by whom he is let to."""
        directory = self._ledger.directory
        found = directory.infer(dialled) if origin else directory.find(dialled)
        if found is None and origin is None and towards:
            return self._party(towards)
        return found

    def _wakes(self) -> dict[str, int]:
        """Answer the phones not yet woken: caller's channel id -> since when."""
        return self._ledger.memory.get("wakes") or {}

    def _forget_wake(self, channel_id: str) -> None:
        wakes = self._wakes()
        if channel_id in wakes:
            self._ledger.memory.put("wakes", {key: ms for key, ms in wakes.items() if key != channel_id})

    def _is_offline(self, endpoint: str) -> bool:
        saved = self._ledger.memory.get("endpoint:" + endpoint)
        return bool(saved) and saved.get("status") == "offline"


def _began_ms(event: Dialled, leg: Leg) -> int:
    """Answer since when it rings, for a conversation of which this step of dialling is the first sign.

    A later step than the beginning means that we came in its middle: `Dial()` created the callee's leg as it
    began, and Asterisk tells when that was. Of legs that rang one after the other only this one is known.
    """
    created_ms = event.peer.created_ms
    known = event.status != "" and max(leg.not_before_ms, 1) <= created_ms <= event.at_ms
    return created_ms if known else event.at_ms


def _with(
    causes: dict[str, list[object]], channel_id: str, cause: int, *, hung_up: bool
) -> dict[str, list[object]]:
    """Answer `causes` with this leg as the last to end."""
    return {
        **{key: value for key, value in causes.items() if key != channel_id},
        channel_id: [cause, hung_up],
    }
