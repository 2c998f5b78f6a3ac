"""ARI on the wire: JSON text to our dataclasses. Every foreign key name of the event stream lives here; pure.

Source: contracts/asterisk.md sections 2 to 5, recordings of Asterisk 16.28 and 22.10.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import orjson

from atalaia.clock import to_ms
from atalaia.errors import Unreadable
from atalaia.events.model import Heard

PREFIX = "asterisk."
CONTROL, REST, RECORDINGS, DIRECTORY, UNREADABLE = (
    "asterisk.control",
    "asterisk.rest",
    "asterisk.recordings",
    "asterisk.directory",
    "asterisk.unreadable",
)

# Of the 52 ChannelVarset of an answered call two names matter: looked for in the text, before parsing.
WANTED_VARIABLE = re.compile(r'"variable"\s*:\s*"(?:DIALEDPEERNUMBER|MIXMONITOR_FILENAME)"')

NO_NUMBER = frozenset({"", "s", "h", "i", "t", "failed"})
"""Extensions that name no party: Asterisk's own special ones, and what an originate that failed runs."""

ID_MAX = 150  # Asterisk's own limit

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """One leg as an event or the REST reading shows it. Unset text is `""`, an unset time 0."""

    id: str
    name: str
    state: str
    number: str
    exten: str
    context: str
    app: str
    created_ms: int
    recording: str
    linked: str

    @property
    def endpoint(self) -> str:
        """Answer the endpoint of the channel's name: `PJSIP/1121001-0000000b` is `1121001`."""
        return endpoint_of(self.name)


@dataclass(frozen=True, slots=True)
class Created:
    """A leg exists (`ChannelCreated`)."""

    at_ms: int
    channel: Channel


@dataclass(frozen=True, slots=True)
class Destroyed:
    """A leg is gone (`ChannelDestroyed`); `cause` as in Q.850."""

    at_ms: int
    channel: Channel
    cause: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A leg is at another step of the dialplan (`ChannelDialplan`)."""

    at_ms: int
    channel: Channel


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A leg's state changed (`ChannelStateChange`)."""

    at_ms: int
    channel: Channel


@dataclass(frozen=True, slots=True)
class VariableSet:
    """A channel variable was set (`ChannelVarset`)."""

    at_ms: int
    channel: Channel
    variable: str
    value: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """Dialling goes on (`Dial`). `caller` is None when nobody calls: an originate."""

    at_ms: int
    caller: Channel | None
    peer: Channel
    status: str


@dataclass(frozen=True, slots=True)
class HangupAsked:
    """A side hung up; `soft` = Asterisk's own clean-up (`ChannelHangupRequest`)."""

    at_ms: int
    channel: Channel
    cause: int
    soft: bool


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key was pressed (`ChannelDtmfReceived`)."""

    at_ms: int
    channel: Channel
    digit: str


@dataclass(frozen=True, slots=True)
class BlindTransfer:
    """`channel` sent the other party, `transferee`, to `exten` (`BridgeBlindTransfer`)."""

    at_ms: int
    channel: Channel
    transferee: Channel | None
    exten: str
    done: bool


@dataclass(frozen=True, slots=True)
class AttendedTransfer:
    """One party of two calls joined the other two (`BridgeAttendedTransfer`)."""

    at_ms: int
    first: Channel
    second: Channel
    transferee: Channel | None
    target: Channel | None
    replacement: Channel | None
    kind: str
    done: bool


@dataclass(frozen=True, slots=True)
class Signalled:
    """The dialplan's own word (`ChannelUserevent`)."""

    at_ms: int
    channel: Channel | None
    name: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """Asterisk sees an endpoint otherwise than before (`PeerStatusChange`)."""

    at_ms: int
    endpoint: str
    technology: str
    status: str
    address: str


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """A registration of an endpoint changed (`ContactStatusChange`); `uri` holds the phone's address."""

    at_ms: int
    endpoint: str
    technology: str
    status: str
    uri: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another client took our application's name; this session is mute now (`ApplicationReplaced`)."""

    at_ms: int
    app: str


WireEvent = (
    Created
    | Destroyed
    | Moved
    | StateChanged
    | VariableSet
    | Dialled
    | HangupAsked
    | Pressed
    | BlindTransfer
    | AttendedTransfer
    | Signalled
    | PeerChanged
    | ContactChanged
    | Replaced
)


def read_event(name: str, body: str) -> WireEvent | None:
    """Read the body of one ARI event called `name`; None when no rule depends on it.

    Errors: `Unreadable` when it is no JSON object, or its time or the leg it is about cannot be read.
    """
    reader = _READERS.get(name)
    if reader is None or (name == "ChannelVarset" and WANTED_VARIABLE.search(body) is None):
        return None
    raw = read_object(body)
    try:
        return reader(stamp_ms(raw.get("timestamp")), raw)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"the event {name} cannot be read: {error}", raw=body.encode()) from error


def read_object(body: str | bytes) -> Json:
    """Read a JSON object. Errors: `Unreadable` when it is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raw = body if isinstance(body, bytes) else body.encode(errors="replace")
        raise Unreadable(f"no JSON: {error}", raw=raw) from error
    if not isinstance(value, dict):
        raise Unreadable("JSON, but no object", raw=orjson.dumps(value))
    return cast("Json", value)


def heard(raw: bytes, received_ms: int) -> Heard:
    """Make a frame of the event socket ready for the log. Never fails: what is unreadable is kept as such."""
    try:
        event = read_object(raw)
        name = event.get("type")
        if not isinstance(name, str) or not name:
            raise Unreadable("an event without a type", raw=raw)
        text = raw.decode()
    except (Unreadable, UnicodeDecodeError):
        return Heard(UNREADABLE, "", received_ms, _kept(raw))
    try:
        at_ms = stamp_ms(event.get("timestamp"))
    except ValueError:
        at_ms = received_ms
    return Heard(PREFIX + name, _subject(event), at_ms, text)


def _kept(raw: bytes) -> str:
    try:
        return orjson.dumps({"raw": raw.decode()}).decode()
    except (UnicodeDecodeError, TypeError):
        return orjson.dumps({"raw_base64": base64.b64encode(raw).decode()}).decode()


def _subject(event: Json) -> str:
    """Answer what an event is about: its caller's or own leg, else its endpoint."""
    for key in ("channel", "caller", "peer", "transferer_first_leg"):
        found = _text(_object(event, key), "id")
        if found:
            return found
    return _text(_object(event, "endpoint"), "resource")


def read_channel(raw: Json) -> Channel:
    """Read a channel object of an event or of `GET /channels`. Errors: `ValueError` without an id."""
    ident = _text(raw, "id")
    if not ident or len(ident) > ID_MAX or "\x00" in ident:
        raise ValueError("a channel without a usable id")
    plan, more = _object(raw, "dialplan"), _object(raw, "channelvars")
    return Channel(
        id=ident,
        name=_text(raw, "name"),
        state=_text(raw, "state"),
        number=_text(_object(raw, "caller"), "number"),
        exten=_text(plan, "exten"),
        context=_text(plan, "context"),
        app=_text(plan, "app_name"),
        created_ms=_stamp_or_0(raw.get("creationtime")),
        recording=_text(more, "MIXMONITOR_FILENAME"),
        linked=_text(more, "CHANNEL(linkedid)"),
    )


def stamp_ms(value: object) -> int:
    """Read `2026-11-20T20:48:56.130+0000` as Unix milliseconds. Errors: `ValueError`."""
    if not isinstance(value, str) or len(value) < 23 or not value[20:23].isdigit():
        raise ValueError("no timestamp in the form 2026-11-20T20:48:56.130+0000")
    return _second_ms(value[:19], value[23:]) + int(value[20:23])


@lru_cache(maxsize=512)
def _second_ms(second: str, zone: str) -> int:
    moment = datetime.fromisoformat(second + (zone or "+00:00"))
    return to_ms(moment)


def _stamp_or_0(value: object) -> int:
    try:
        return stamp_ms(value)
    except ValueError:
        return 0


def technology_of(name: str) -> str:
    """Answer the technology of a channel name: `PJSIP`, `Local`, or `""` for an odd one."""
    return name.split("/", 1)[0] if "/" in name else ""


def endpoint_of(name: str) -> str:
    """Answer what stands between the first `/` and the last `-` of a channel name, `""` for an odd one."""
    return name[name.find("/") + 1 :].rpartition("-")[0] if "/" in name else ""


def server_of(channel_id: str) -> str:
    """Answer the system name in `voip1-1795207736.0`; `""` when Asterisk has none."""
    head, _, tail = channel_id.rpartition("-")
    return head if _CHANNEL_TAIL.fullmatch(tail) else ""


def counter_of(channel_id: str) -> int | None:
    """Answer the number that Asterisk counts up for each channel since its start, None when there is none."""
    found = _CHANNEL_TAIL.search(channel_id)
    return int(found[1]) if found else None


_CHANNEL_TAIL = re.compile(r"\d+\.(\d+)$")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a phone is. `public`: reachable from the internet, so neither private, loopback nor reserved."""

    host: str
    port: int | None
    public: bool


def address_of(uri: str) -> Address | None:
    """Read the address in `sip:1121002@203.0.113.9:5060;transport=ws`; None when there is none."""
    found = _URI.match(uri)
    if not found:
        return None
    host = (found["six"] or found["host"]).lower()
    try:
        public = ipaddress.ip_address(host).is_global
    except ValueError:
        public = False  # a name: the registrar did not rewrite the contact
    return Address(host, int(found["port"]) if found["port"] else None, public)


_URI = re.compile(
    r"^sips?:(?:[^@;]*@)?(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:;@>\s\[\]]+))(?::(?P<port>\d{1,5}))?"
)


def _text(raw: Json, key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _number(raw: Json, key: str) -> int:
    value = raw.get(key)
    return value if isinstance(value, int) else 0


def _object(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return cast("Json", value) if isinstance(value, dict) else _NOTHING


_NOTHING: Json = {}


def _leg(raw: Json, key: str = "channel") -> Channel:
    return read_channel(_object(raw, key))


def _leg_or_none(raw: Json, key: str) -> Channel | None:
    found = _object(raw, key)
    return read_channel(found) if found else None


def _varset(at_ms: int, raw: Json) -> VariableSet | None:
    if not _object(raw, "channel"):  # a global variable
        return None
    return VariableSet(at_ms, _leg(raw), _text(raw, "variable"), _text(raw, "value"))


def _dial(at_ms: int, raw: Json) -> Dialled:
    return Dialled(at_ms, _leg_or_none(raw, "caller"), _leg(raw, "peer"), _text(raw, "dialstatus"))


def _hangup(at_ms: int, raw: Json) -> HangupAsked:
    return HangupAsked(at_ms, _leg(raw), _number(raw, "cause"), raw.get("soft") is True)


def _blind(at_ms: int, raw: Json) -> BlindTransfer:
    done = _text(raw, "result") == "Success"
    return BlindTransfer(at_ms, _leg(raw), _leg_or_none(raw, "transferee"), _text(raw, "exten"), done)


def _attended(at_ms: int, raw: Json) -> AttendedTransfer:
    return AttendedTransfer(
        at_ms,
        _leg(raw, "transferer_first_leg"),
        _leg(raw, "transferer_second_leg"),
        _leg_or_none(raw, "transferee"),
        _leg_or_none(raw, "transfer_target"),
        _leg_or_none(raw, "replace_channel"),
        _text(raw, "destination_type"),
        _text(raw, "result") == "Success",
    )


def _userevent(at_ms: int, raw: Json) -> Signalled:
    fields = {key: value for key, value in _object(raw, "userevent").items() if isinstance(value, str)}
    return Signalled(at_ms, _leg_or_none(raw, "channel"), _text(raw, "eventname"), fields)


def _peer(at_ms: int, raw: Json) -> PeerChanged:
    end, peer = _object(raw, "endpoint"), _object(raw, "peer")
    status, address = _text(peer, "peer_status"), _text(peer, "address")
    return PeerChanged(at_ms, _text(end, "resource"), _text(end, "technology"), status, address)


def _contact(at_ms: int, raw: Json) -> ContactChanged:
    end, info = _object(raw, "endpoint"), _object(raw, "contact_info")
    status, uri = _text(info, "contact_status"), _text(info, "uri")
    return ContactChanged(at_ms, _text(end, "resource"), _text(end, "technology"), status, uri)


_READERS: dict[str, Callable[[int, Json], WireEvent | None]] = {
    "ChannelCreated": lambda at, raw: Created(at, _leg(raw)),
    "ChannelDestroyed": lambda at, raw: Destroyed(at, _leg(raw), _number(raw, "cause")),
    "ChannelDialplan": lambda at, raw: Moved(at, _leg(raw)),
    "ChannelStateChange": lambda at, raw: StateChanged(at, _leg(raw)),
    "ChannelVarset": _varset,
    "Dial": _dial,
    "ChannelHangupRequest": _hangup,
    "ChannelDtmfReceived": lambda at, raw: Pressed(at, _leg(raw), _text(raw, "digit")),
    "BridgeBlindTransfer": _blind,
    "BridgeAttendedTransfer": _attended,
    "ChannelUserevent": _userevent,
    "PeerStatusChange": _peer,
    "ContactStatusChange": _contact,
    "ApplicationReplaced": lambda at, raw: Replaced(at, _text(raw, "application")),
}
