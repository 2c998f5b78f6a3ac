"""Making memory and REST reading one after a loss: what goes on, what ended, what began meanwhile.

Everything said here carries `recovered` (from what a time was rebuilt) and is `late`; calls that were
closed without hearing their end carry `forceclose`.
Source: contracts/asterisk.md section 6, cases 1 to 5; recordings 24 to 27.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from atalaia.connectors.asterisk import records, wire
from atalaia.connectors.asterisk.calls import Calls
from atalaia.connectors.asterisk.endpoints import Endpoints
from atalaia.connectors.asterisk.ledger import Call, Ledger, Leg
from atalaia.connectors.asterisk.reading import Bridge, Reading, Snapshot, Sound
from atalaia.connectors.asterisk.wire import NO_NUMBER, Channel
from atalaia.events.gaps import Reconciled, closing

DIALLING = frozenset({"Dial", "Queue"})
DIALLED = frozenset({"AppDial", "AppQueue"})
ORIGINATED = "AppDial2"

FROM_SOUND = "end and length from the WAV file"
FROM_LOSS = "end = loss of the socket"
FROM_RESTART = "Asterisk restarted: end = loss of the socket"
FROM_READING = "whole call from GET /channels and /bridges"
FROM_BRIDGE = "answer from GET /bridges"
FROM_CHANNEL = "answer from GET /channels"
FROM_LENGTH = "answer from the length of the WAV file"
FROM_OTHER_PEER = "talking to another party after the loss: end = loss of the socket"
FROM_ENDPOINTS = "state from GET /endpoints"


@dataclass
class Found:
    """What one reconciliation did, for the gap's record."""

    closed: int = 0
    continued: int = 0
    answered: int = 0
    rebuilt: int = 0
    endpoints: int = 0
    linked: dict[str, str] = field(default_factory=dict[str, str])  # caller's channel id -> linked guid


@dataclass
class Held:
    """What the events held back tell about channels: they know it better than the reading."""

    created: set[str] = field(default_factory=set[str])
    ended_ms: dict[str, int] = field(default_factory=dict[str, int])


class Recovery:
    """Reconciles after a connect."""

    def __init__(self, ledger: Ledger, calls: Calls, endpoints: Endpoints, reading: Reading) -> None:
        self._ledger = ledger
        self._calls = calls
        self._endpoints = endpoints
        self._reading = reading

    def reconcile(self, at_ms: int, link: dict[str, Any], held: list[tuple[str, dict[str, Any]]]) -> None:
        """Fold the reading into the memory and say what the gap held.

        Without an answer to `GET /channels` no call is touched and the gap stays open.
        """
        snapshot = self._reading.snapshot()
        found = Found()
        late, self._ledger.late = self._ledger.late, True
        restarted = self._restarted(snapshot)
        if snapshot.channels is not None:
            lost_ms = link.get("lost_ms") or self._ledger.memory.get("heard_ms") or at_ms
            told = _told(held)
            self._take_endpoints(snapshot, found, at_ms)
            calls = list(self._ledger.calls())
            found.linked = {one.channel_id: one.linked_guid for one in calls}
            for call in calls:
                self._settle(call, snapshot, told, found, lost_ms=lost_ms, restarted=restarted)
            self._forget_dead(snapshot.channels, told, at_ms)
            self._rebuild(snapshot, snapshot.channels, told, found)
        else:
            self._take_endpoints(snapshot, found, at_ms)
        self._ledger.late = late
        if snapshot.startup_ms:
            self._ledger.memory.put("startup_ms", snapshot.startup_ms)
        if link.get("lost_ms") and snapshot.channels is not None:
            self._say_gap(at_ms, link, snapshot, found, restarted=restarted)

    def _restarted(self, snapshot: Snapshot) -> bool:
        """Answer whether all channels from before are dead. Compares times of Asterisk's own clock only."""
        known, heard_ms = self._ledger.memory.get("startup_ms"), self._ledger.memory.get("heard_ms")
        if snapshot.startup_ms is None:
            return False
        return snapshot.startup_ms > (heard_ms or snapshot.startup_ms) or known not in (
            None,
            snapshot.startup_ms,
        )

    def _settle(
        self, call: Call, snapshot: Snapshot, told: Held, found: Found, *, lost_ms: int, restarted: bool
    ) -> None:
        """Bring one open call to where it is now."""
        channel = (snapshot.channels or {}).get(call.channel_id)
        if channel is not None and not restarted:
            self._go_on(call, channel, snapshot, found, lost_ms)
            return
        leg = self._ledger.leg(call.channel_id)
        sound = snapshot.sound(records.recording_of(call, leg))
        heard_end = told.ended_ms.get(call.channel_id)
        if heard_end is not None and not restarted:
            if call.state == "open" and sound and sound.data_bytes:
                self._answer_from(call, sound, heard_end, found)
            return  # its end waits among the held events
        self._force_close(
            call, leg, sound, found, lost_ms=lost_ms, restarted=restarted, looked=snapshot.sounds is not None
        )

    def _force_close(
        self,
        call: Call,
        leg: Leg | None,
        sound: Sound | None,
        found: Found,
        *,
        lost_ms: int,
        restarted: bool,
        looked: bool,
    ) -> None:
        """Close a call whose end nobody heard, from its WAV file if it has sound, else at the loss."""
        has_sound = sound is not None and sound.data_bytes > 0
        ended_ms, basis = lost_ms, FROM_RESTART if restarted else FROM_LOSS
        if sound and has_sound and not restarted:
            ended_ms, basis = sound.modified_ms, FROM_SOUND
        if sound and has_sound and call.state == "open":
            self._answer_from(call, sound, ended_ms, found)
        call.recovered = basis
        recording = None if has_sound or not looked else ""
        self._calls.end(call, ended_ms, leg, forced=True, recording=recording)
        found.closed += 1

    def _answer_from(self, call: Call, sound: Sound, ended_ms: int, found: Found) -> None:
        """The answer fell into the gap: sound proves it. Who answered is known if only one phone rang."""
        call.recovered = FROM_LENGTH
        ringing = [one for one in call.members if one not in call.causes]
        leg = self._ledger.leg(ringing[0]) if len(ringing) == 1 else None
        peer_id, peer_name = (leg.id, leg.name) if leg else ("", "")
        self._calls.answer(call, ended_ms - sound.length_ms, peer_id=peer_id, peer_name=peer_name)
        found.answered += 1

    def _go_on(self, call: Call, channel: Channel, snapshot: Snapshot, found: Found, lost_ms: int) -> None:
        """The caller's leg lives: perhaps answered meanwhile, perhaps talking to somebody else."""
        found.continued += 1
        bridge = snapshot.bridge_of(call.channel_id)
        peer = _other(snapshot, bridge, call.channel_id)
        if call.state == "open":
            if bridge and peer:
                call.recovered = FROM_BRIDGE
                self._join(call, peer)
                self._calls.answer(call, bridge.created_ms, peer_id=peer.id, peer_name=peer.name)
                found.answered += 1
            elif call.is_ia and channel.state == "Up":
                call.recovered = FROM_CHANNEL
                self._calls.answer(call, call.opened_ms)
                found.answered += 1
            return
        others_live = call.peer_id in (snapshot.channels or {})
        if call.peer_id and not others_live and (peer or channel.app in DIALLING):
            call.recovered, call.hangup = FROM_OTHER_PEER, "transfer"
            call.transferred_to = peer.endpoint if peer else ""
            self._calls.end(call, lost_ms, self._ledger.leg(channel.id))
            leg = self._ledger.meet(channel)
            leg.next_exten = call.transferred_to or _asked(channel, leg) or call.dialled
            leg.next_linked = call.linked_guid
            self._ledger.put_leg(leg)
            self._build(channel, snapshot, found, opened_ms=bridge.created_ms if bridge else lost_ms)

    def _forget_dead(self, channels: dict[str, Channel], told: Held, at_ms: int) -> None:
        """Drop the legs that ended in the gap."""
        for leg in list(self._ledger.legs()):
            if leg.id not in channels and leg.id not in told.ended_ms:
                self._ledger.drop_leg(leg, at_ms)
                call = self._ledger.call(leg.call) if leg.call else None
                if call and call.peer_id == leg.id and call.peer_gone_ms == 0:
                    call.peer_gone_ms = at_ms
                    self._ledger.put_call(call)

    def _rebuild(self, snapshot: Snapshot, channels: dict[str, Channel], told: Held, found: Found) -> None:
        """Build the calls that began in the gap, and remember their legs."""
        for channel in sorted(channels.values(), key=lambda one: (one.created_ms, one.id)):
            if channel.id in told.created or self._ledger.is_gone(channel.id):
                continue
            leg = self._ledger.meet(channel)
            leg.recording = (
                channel.recording or _variable(snapshot, channel.id, "MIXMONITOR_FILENAME") or leg.recording
            )
            leg.dialled = leg.dialled or _asked(channel, leg)
            leg.originated = leg.originated or channel.app == ORIGINATED
            self._ledger.put_leg(leg)
            if leg.call:
                continue
            if self._is_caller(channel, snapshot):
                self._build(channel, snapshot, found, opened_ms=channel.created_ms)
            elif channel.app in DIALLED:
                call = self._ledger.call(_linked(snapshot, channel))
                if call and call.state == "open":
                    self._join(call, channel)
            else:
                self._calls.open_if_sleeping(leg, channel.created_ms, FROM_READING)

    def _is_caller(self, channel: Channel, snapshot: Snapshot) -> bool:
        if channel.app in DIALLING or (channel.exten in self._ledger.directory.rules.ia_numbers):
            return True
        peer = _other(snapshot, snapshot.bridge_of(channel.id), channel.id)
        # Two called parties that talk: an attended transfer in the gap. The elder one becomes the origin.
        both_called = peer is not None and peer.app in DIALLED and channel.app in DIALLED
        return bool(both_called and peer and not self._ledger.call_of(peer.id))

    def _build(self, channel: Channel, snapshot: Snapshot, found: Found, *, opened_ms: int) -> None:
        """Build one call from the reading, as case 4 says."""
        bridge = snapshot.bridge_of(channel.id)
        peer = _other(snapshot, bridge, channel.id)
        leg = self._ledger.meet(channel)
        if channel.app in DIALLED and bridge:
            opened_ms = bridge.created_ms
            leg.dialled = peer.endpoint if peer else leg.dialled
        linked = _linked(snapshot, channel)
        if linked != channel.id and not leg.next_linked:
            leg.next_linked = found.linked.get(linked, "")
        call = self._calls.open_recovered(leg, opened_ms, FROM_READING, towards=peer.name if peer else "")
        if call is None:
            return
        found.rebuilt += 1
        if bridge and peer:
            self._join(call, peer)
            self._calls.answer(call, bridge.created_ms, peer_id=peer.id, peer_name=peer.name)
        elif call.is_ia and channel.state == "Up":
            self._calls.answer(call, opened_ms)

    def _join(self, call: Call, peer: Channel) -> None:
        leg = self._ledger.meet(peer)
        leg.call = call.channel_id
        self._ledger.put_leg(leg)
        if peer.id not in call.members:
            call.members = [*call.members, peer.id]
        self._ledger.put_call(call)

    def _take_endpoints(self, snapshot: Snapshot, found: Found, at_ms: int) -> None:
        for endpoint, status in (snapshot.endpoints or {}).items():
            first = not self._endpoints.status(endpoint)
            news = self._endpoints.set_status(endpoint, status, at_ms, recovered=FROM_ENDPOINTS, first=first)
            found.endpoints += news and not first

    def _say_gap(
        self, at_ms: int, link: dict[str, Any], snapshot: Snapshot, found: Found, *, restarted: bool
    ) -> None:
        """Close the gap's record: what was looked at, what was rebuilt, what cannot be known."""
        report = Reconciled(
            checked={
                "channels": len(snapshot.channels or {}),
                "bridges": len(snapshot.bridges),
                "endpoints": None if snapshot.endpoints is None else len(snapshot.endpoints),
                "recordings": None if snapshot.sounds is None else len(snapshot.sounds),
            },
            recovered={
                "calls_closed": found.closed,
                "calls_continued": found.continued,
                "calls_answered": found.answered,
                "calls_rebuilt": found.rebuilt,
                "endpoints_changed": found.endpoints,
            },
            unknown="calls that began and ended inside of the gap",
        )
        cause = link.get("cause") or "the hub was not running"
        data = closing(report, link["lost_ms"], at_ms, cause=cause, restarted=restarted)
        connection = self._ledger.connection
        self._ledger.say("gap.closed", connection, at_ms, data, f"gap:{connection}:{self._ledger.seq}")


def _told(held: list[tuple[str, dict[str, Any]]]) -> Held:
    told = Held()
    for _, one in held:
        event = wire.read_event(one["name"], one["body"])
        if isinstance(event, wire.Created):
            told.created.add(event.channel.id)
        elif isinstance(event, wire.Destroyed):
            told.ended_ms[event.channel.id] = event.at_ms
    return told


def _other(snapshot: Snapshot, bridge: Bridge | None, channel_id: str) -> Channel | None:
    if bridge is None:
        return None
    ident = next(one for one in bridge.channels if one != channel_id)
    return (snapshot.channels or {}).get(ident)


def _variable(snapshot: Snapshot, channel_id: str, name: str) -> str:
    return snapshot.variables.get(channel_id, {}).get(name, "")


def _linked(snapshot: Snapshot, channel: Channel) -> str:
    """Answer the linked id, which ties the parts of a transfer together."""
    return channel.linked or _variable(snapshot, channel.id, "CHANNEL(linkedid)")


def _asked(channel: Channel, leg: Leg) -> str:
    """Answer the number this caller asked for, as far as the reading still tells it."""
    if channel.app in DIALLED:
        return ""
    return channel.exten if channel.exten not in NO_NUMBER else records.dialled_in(leg.recording)
