"""What the interpretation of one Asterisk remembers: living legs, open conversations, endpoints.

All of it lives in the durable `Memory`, so that a restart of the hub continues where the log was read to.
Values in a memory are never changed in place: a `Leg` or `Call` is read, changed, and put back whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from atalaia.connectors.asterisk.directory import Directory
from atalaia.connectors.asterisk.wire import Channel, technology_of
from atalaia.events.model import Fact
from atalaia.reactions.interpreter import Memory

GONE_SPAN_MS = 5_000
GONE_SPANS = 24  # so two minutes: no repeated event comes later than that


@dataclass(slots=True)
class Leg:
    """A living channel.

    call: id of the caller's leg of the conversation it takes part in, its own id when it is the caller.
    turns: conversations it has opened so far. originated: Asterisk itself called this phone.
    next_*: where a blind transfer sent it, until its next `Dial()`. not_before_ms: the end of its last
    conversation: what began before is a repetition. real_*: a Local channel's true answerer.
    wake: a smartphone dialled while it was offline, not yet woken; wake_ms: since when.
    """

    id: str
    name: str
    dialled: str = ""
    recording: str = ""
    call: str = ""
    turns: int = 0
    originated: bool = False
    next_exten: str = ""
    next_linked: str = ""
    not_before_ms: int = 0
    real_id: str = ""
    real_name: str = ""
    wake: str = ""
    wake_ms: int = 0


@dataclass(slots=True)
class Call:
    """An open conversation: one record on the bus. Key: the channel id of the caller's leg.

    hangup: who hung up first, `""` so far. members: callees' channel ids, living or not. causes: by callee's
    channel id, in order of their end, `[cause, hung up himself]`. no_recording: a file that belongs to an
    earlier conversation of the leg. pressed: marks of the last digits, to know a repeated event.
    peer_gone_ms: when the answering leg left while the caller's stays.
    """

    channel_id: str
    channel: str
    guid: str
    linked_guid: str
    server: str
    callnumber: int
    origin: str
    origin_type: str
    destiny: str
    destiny_type: str
    dialled: str
    client: str
    vhost: str
    opened_ms: int
    state: str = "open"
    answered_ms: int | None = None
    answered_by: str = ""
    extra_channel: str = ""
    peer_id: str = ""
    is_ia: bool = False
    dtmf: str = ""
    pressed: list[str] = field(default_factory=list[str])
    hangup: str = ""
    cancelled: bool = False
    members: list[str] = field(default_factory=list[str])
    causes: dict[str, list[Any]] = field(default_factory=dict[str, "list[Any]"])
    no_recording: str = ""
    peer_gone_ms: int = 0
    woken: list[str] = field(default_factory=list[str])
    clicktocall: bool = False
    recovered: str = ""
    transferred_to: str = ""


_Kept = TypeVar("_Kept", Leg, Call)
_NAMES: dict[type, tuple[str, ...]] = {kind: tuple(one.name for one in fields(kind)) for kind in (Leg, Call)}


def _load(kind: type[_Kept], saved: dict[str, Any]) -> _Kept:
    try:
        return kind(**saved)
    except TypeError:  # saved by another version: what we do not know is dropped
        return kind(**{key: value for key, value in saved.items() if key in _NAMES[kind]})


def _dump(value: Leg | Call) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


class Ledger:
    """Typed access to the memory, and the facts of the event in hand."""

    def __init__(self, connection: str, memory: Memory) -> None:
        self.connection = connection
        self.memory = memory
        self.facts: list[Fact] = []
        self.seq = 0
        self.late = False
        self._directory_saved: Any = None
        self._directory = Directory()

    @property
    def directory(self) -> Directory:
        """Answer the configuration last told by the log; empty before that."""
        saved = self.memory.get("directory")
        if saved is not self._directory_saved:
            self._directory_saved = saved
            self._directory = Directory.from_body(saved) if saved else Directory()
        return self._directory

    def say(self, fact_type: str, key: str, at_ms: int, data: dict[str, Any], dedupe: str) -> None:
        """Add a fact that the event in hand causes."""
        self.facts.append(Fact(fact_type, key, at_ms, data, dedupe, self.seq, self.late))

    def leg(self, channel_id: str) -> Leg | None:
        saved = self.memory.get("leg:" + channel_id)
        return _load(Leg, saved) if saved else None

    def meet(self, channel: Channel) -> Leg:
        """Answer the leg of a channel, remembering it first when it is new (the hub came in the middle)."""
        found = self.leg(channel.id)
        if found is None:
            # What was said of its recording before we came stands in the channel, where it has variables.
            found = Leg(channel.id, channel.name, recording=channel.recording)
            self.put_leg(found)
            if technology_of(channel.name) == "Local":
                self.memory.put("local:" + channel.name, channel.id)
        return found

    def put_leg(self, leg: Leg) -> None:
        self.memory.put("leg:" + leg.id, _dump(leg))

    def drop_leg(self, leg: Leg, at_ms: int) -> None:
        self.memory.delete("leg:" + leg.id)
        self.memory.delete("local:" + leg.name)
        self._mark_gone(leg.id, at_ms)

    def legs(self) -> Iterator[Leg]:
        for key in list(self.memory.keys("leg:")):
            yield _load(Leg, self.memory.get(key) or {})

    def call(self, channel_id: str) -> Call | None:
        saved = self.memory.get("call:" + channel_id)
        return _load(Call, saved) if saved else None

    def call_of(self, channel_id: str) -> Call | None:
        """Answer the conversation in which this channel takes part, as caller or callee."""
        leg = self.leg(channel_id)
        return self.call(leg.call) if leg and leg.call else None

    def put_call(self, call: Call) -> None:
        self.memory.put("call:" + call.channel_id, _dump(call))

    def drop_call(self, call: Call, ended_ms: int) -> None:
        """Forget a conversation that is over and free its legs."""
        self.memory.delete("call:" + call.channel_id)
        for channel_id in (call.channel_id, call.peer_id, *call.members):
            leg = self.leg(channel_id)
            if leg and leg.call == call.channel_id:
                leg.call, leg.not_before_ms = "", ended_ms
                self.put_leg(leg)

    def calls(self) -> Iterator[Call]:
        for key in list(self.memory.keys("call:")):
            yield _load(Call, self.memory.get(key) or {})

    def next_callnumber(self) -> int:
        number = max(self.memory.get("callnumber") or 0, self.directory.rules.callnumber_from - 1) + 1
        self.memory.put("callnumber", number)
        return number

    def local_partner(self, leg: Leg) -> Leg | None:
        """Answer the other half of a Local channel: the leg that somebody dialled."""
        if not leg.name.endswith(";2"):
            return None
        found = self.memory.get("local:" + leg.name[:-1] + "1")
        return self.leg(found) if found else None

    def is_gone(self, channel_id: str) -> bool:
        """Answer whether this channel ended a short while ago: what still names it is a repetition."""
        spans: list[int] = self.memory.get("gone") or []
        return any(channel_id in (self.memory.get(f"gone:{span}") or ()) for span in spans)

    def _mark_gone(self, channel_id: str, at_ms: int) -> None:
        span = at_ms // GONE_SPAN_MS
        spans: list[int] = self.memory.get("gone") or []
        if span not in spans:
            for old in spans[: 1 - GONE_SPANS]:
                self.memory.delete(f"gone:{old}")
            self.memory.put("gone", [*spans[1 - GONE_SPANS :], span])
        self.memory.put(f"gone:{span}", [*(self.memory.get(f"gone:{span}") or ()), channel_id])
