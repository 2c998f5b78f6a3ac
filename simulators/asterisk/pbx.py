"""The engine: channels, bridges and phones, kept in step with the events that are told about them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from atalaia.clock import Clock
from simulators.asterisk.models import Bridge, Channel, Json, Phone, ari_time

CAUSES = {
    0: "Unknown",
    1: "Unallocated (unassigned) number",
    16: "Normal Clearing",
    17: "User busy",
    19: "User alerting, no answer",
    20: "Subscriber absent",
    21: "Call Rejected",
    26: "Answered elsewhere",
    34: "Circuit/channel congestion",
    127: "Interworking, unspecified",
}


class Pbx:
    """Primitive operations: each changes the world and then tells the event that Asterisk tells.

    `tell` gets the event without `application` (the hub adds it per client). Nothing here waits.
    Source: recordings 01 to 30 of the contract.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        tell: Callable[[Json], None],
        *,
        systemname: str = "demo1",
        entity_id: str = "00:00:5e:00:53:01",
        version: str = "22.10.1",
        channelvars: bool = True,
        monitor_dir: str = "/var/spool/asterisk/monitor",
    ) -> None:
        self.clock = clock
        self.random = random
        self.tell = tell
        self.systemname = systemname
        self.entity_id = entity_id
        self.version = version
        self.channelvars = channelvars
        self.monitor_dir = monitor_dir
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.phones: dict[str, Phone] = {}
        self.started = self.now()
        self.reloaded = self.told_at = self.started
        self._count = 0
        self._names = 0
        self._load = 0

    @property
    def tells_tech_cause(self) -> bool:
        """Answer whether this version has `tech_cause` (not 16 and 18)."""
        return int(self.version.partition(".")[0]) >= 20

    def now(self) -> datetime:
        """Answer the clock's time cut to milliseconds: Asterisk tells no finer."""
        moment = self.clock.now().astimezone(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    # ---- identifiers ---------------------------------------------------------------------

    def fresh_id(self) -> str:
        """Answer a channel id: system name, epoch second, a counter since the start."""
        fresh = f"{self.systemname}-{int(self.now().timestamp())}.{self._count}"
        self._count += 1
        return fresh

    def count_from(self, first: int) -> None:
        """Let ids and names count from `first`."""
        self._count = self._names = first

    def load_count(self, first: int) -> int:
        """Answer two fresh counts, from `first` on, for a call that is not made of `Channel` objects."""
        self._load = max(self._load, first - 2) + 2
        return self._load

    def fresh_name(self, endpoint: str) -> str:
        """Answer a channel name; its hex counter starts again at 0 after a restart."""
        fresh = f"PJSIP/{endpoint}-{self._names:08x}"
        self._names += 1
        return fresh

    def fresh_uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    # ---- telling -------------------------------------------------------------------------

    def event(self, kind: str, **fields: object) -> None:
        """Tell one event, stamped with now; the stamp stays readable as `told_at`."""
        self.told_at = self.now()
        stamp = ari_time(self.told_at)
        self.tell({"type": kind, "timestamp": stamp, **fields, "asterisk_id": self.entity_id})

    def of(self, channel: Channel) -> Json:
        return channel.as_ari(channelvars=self.channelvars)

    # ---- channels ------------------------------------------------------------------------

    def create(
        self,
        endpoint: str,
        *,
        state: str,
        exten: str,
        context: str = "from-endpoints",
        caller: Json | None = None,
        linked_id: str = "",
        channel_id: str = "",
        name: str = "",
    ) -> Channel:
        """Make a leg and tell `ChannelCreated`; the SIP Call-ID is known only afterwards."""
        phone = self.phones.get(endpoint) or Phone(endpoint, title="", online=False)
        fresh = channel_id or self.fresh_id()
        channel = Channel(
            id=fresh,
            name=name or self.fresh_name(endpoint),
            state=state,
            created=self.now(),
            caller=dict(caller or phone.caller),
            account=phone.account,
            context=context,
            exten=exten,
            linked_id=linked_id or fresh,
        )
        self.channels[fresh] = channel
        self.event("ChannelCreated", channel=self.of(channel))
        return channel

    def set(self, channel: Channel, variable: str, value: str) -> None:
        """Set a variable and tell `ChannelVarset`. `LOCAL(X)` is stored as `X`."""
        plain = variable[6:-1] if variable.startswith("LOCAL(") else variable
        channel.variables[plain] = value
        self.event("ChannelVarset", variable=variable, value=value, channel=self.of(channel))

    def step(self, channel: Channel, context: str, exten: str, priority: int, app: str, data: str) -> None:
        """Move a leg to a line of the dialplan and tell `ChannelDialplan`."""
        channel.context, channel.exten, channel.priority = context, exten, priority
        channel.app, channel.app_data = app, data
        self.event("ChannelDialplan", dialplan_app=app, dialplan_app_data=data, channel=self.of(channel))

    def state(self, channel: Channel, state: str) -> None:
        """Change a leg's state and tell `ChannelStateChange`."""
        channel.state = state
        self.event("ChannelStateChange", channel=self.of(channel))

    def connect_line(self, channel: Channel, other: Channel) -> None:
        """Show `other` as the connected party and tell `ChannelConnectedLine`."""
        channel.connected = dict(other.caller)
        self.event("ChannelConnectedLine", channel=self.of(channel))

    def dial(self, caller: Channel | None, peer: Channel, status: str, dialstring: str = "") -> None:
        """Tell `Dial`; an originated leg has no caller."""
        fields: Json = {"dialstatus": status, "forward": "", "dialstring": dialstring}
        if caller is not None:
            fields["caller"] = self.of(caller)
        self.event("Dial", **fields, peer=self.of(peer))

    def ask_hangup(
        self, channel: Channel, cause: int | None, *, soft: bool = False, tech: int | None = None
    ) -> None:
        """Tell `ChannelHangupRequest`; with `soft` it is Asterisk's own clean-up."""
        fields: Json = {}
        if cause is not None:
            fields["cause"] = cause
        if soft:
            fields["soft"] = True
        if tech is not None and self.tells_tech_cause:
            fields["tech_cause"] = tech
        self.event("ChannelHangupRequest", **fields, channel=self.of(channel))

    def destroy(self, channel: Channel, cause: int, *, tech: int | None = None) -> None:
        """Take a leg away and tell `ChannelDestroyed`."""
        if self.channels.pop(channel.id, None) is None:
            return
        channel.app, channel.app_data = channel.home
        fields: Json = {"cause": cause, "cause_txt": CAUSES.get(cause, "Unknown")}
        if tech is not None and self.tells_tech_cause:
            fields["tech_cause"] = tech
        self.event("ChannelDestroyed", **fields, channel=self.of(channel))

    # ---- bridges -------------------------------------------------------------------------

    def open_bridge(self) -> Bridge:
        """Make an empty bridge and tell `BridgeCreated`."""
        bridge = Bridge(self.fresh_uuid(), self.now())
        self.bridges[bridge.id] = bridge
        self.event("BridgeCreated", bridge=bridge.as_ari())
        return bridge

    def enter(self, bridge: Bridge, channel: Channel) -> None:
        """Put a leg into a bridge and tell `ChannelEnteredBridge`."""
        bridge.channels.append(channel.id)
        channel.bridge = bridge
        self.event("ChannelEnteredBridge", bridge=bridge.as_ari(), channel=self.of(channel))

    def leave(self, channel: Channel) -> None:
        """Take a leg out of its bridge and tell `ChannelLeftBridge`."""
        bridge = channel.bridge
        if bridge is None:
            return
        bridge.channels.remove(channel.id)
        channel.bridge = None
        self.event("ChannelLeftBridge", bridge=bridge.as_ari(), channel=self.of(channel))

    def close_bridge(self, bridge: Bridge) -> None:
        """Take a bridge away and tell `BridgeDestroyed`."""
        if self.bridges.pop(bridge.id, None) is not None:
            self.event("BridgeDestroyed", bridge=bridge.as_ari())

    def peers(self, channel: Channel) -> list[Channel]:
        """Answer the legs that share this leg's bridge."""
        if channel.bridge is None:
            return []
        others = (self.channels.get(other) for other in channel.bridge.channels if other != channel.id)
        return [other for other in others if other is not None]

    # ---- phones --------------------------------------------------------------------------

    def add_phone(self, phone: Phone, *, known: bool = True) -> Phone:
        """Add an endpoint; `known=False` is a database endpoint before res_pjsip.so was reloaded."""
        phone.known = known
        phone.uri = phone.uri or (self._address(phone.number) if phone.online else "")
        phone.device_state = "NOT_INUSE" if phone.online else "UNAVAILABLE"
        self.phones[phone.number] = phone
        return phone

    def reload(self) -> None:
        """Take over what the database holds, as `PUT /asterisk/modules/res_pjsip.so` does."""
        self.reloaded = self.now()
        for phone in self.phones.values():
            phone.known = True

    def register(self, number: str, uri: str = "") -> None:
        """A phone registers: first contact, replacement, or (same address) a renewal that tells nothing."""
        phone = self.phones[number]
        uri = uri or self._address(number)
        if phone.online and phone.uri == uri:
            return
        old, phone.uri = phone.uri, uri
        if phone.online:
            self._contact(phone, "NonQualified", uri)
            self._contact(phone, "Removed", old)
            return
        phone.online = True
        self._peer(phone, "Reachable")
        self._contact(phone, "NonQualified", uri)
        self._device(phone, "NOT_INUSE")

    def unregister(self, number: str) -> None:
        """A phone goes away (or its registration was swept)."""
        phone = self.phones[number]
        if not phone.online:
            return
        old, phone.uri, phone.online = phone.uri, "", False
        self._peer(phone, "Unreachable")
        self._device(phone, "UNAVAILABLE")
        self._contact(phone, "Removed", old)

    def endpoint(self, phone: Phone) -> Json:
        """Answer the endpoint object of `GET /endpoints`."""
        return {
            "technology": "PJSIP",
            "resource": phone.number,
            "state": "online" if phone.online else "offline",
            "channel_ids": [leg.id for leg in self.channels.values() if leg.endpoint == phone.number],
        }

    def device_states(self, *numbers: str) -> None:
        """Tell `DeviceStateChanged` for those of `numbers` whose state is another than last told."""
        for number in numbers:
            if (phone := self.phones.get(number)) is not None:
                self._device(phone, self._device_state(phone))

    def _device_state(self, phone: Phone) -> str:
        states = {leg.state for leg in self.channels.values() if leg.endpoint == phone.number}
        if states - {"Ringing", "Down"}:
            return "INUSE"
        if "Ringing" in states:
            return "RINGING"
        return "NOT_INUSE" if phone.online else "UNAVAILABLE"

    def _device(self, phone: Phone, state: str) -> None:
        if phone.device_state == state:
            return
        phone.device_state = state
        if phone.known:
            self.event("DeviceStateChanged", device_state={"name": f"PJSIP/{phone.number}", "state": state})

    def _peer(self, phone: Phone, status: str) -> None:
        if phone.known:
            endpoint = self.endpoint(phone)
            self.event("PeerStatusChange", endpoint=endpoint, peer={"peer_status": status})

    def _contact(self, phone: Phone, status: str, uri: str) -> None:
        if phone.known:
            contact = {
                "uri": uri,
                "contact_status": status,
                "aor": phone.number,
                "roundtrip_usec": "0",
            }
            self.event("ContactStatusChange", endpoint=self.endpoint(phone), contact_info=contact)

    def _address(self, number: str) -> str:
        # 203.0.113.0/24 is reserved for documentation: no real phone lives there.
        return f"sip:{number}@203.0.113.{self.random.randint(1, 254)}:{self.random.randint(16000, 19999)}"

    # ---- the whole server ----------------------------------------------------------------

    def forget_everything(self) -> None:
        """A new process: no channels, no bridges, counters and names from 0, a new start time."""
        self.channels.clear()
        self.bridges.clear()
        self._count = self._names = self._load = 0
        self.started = self.reloaded = self.now()
        for phone in self.phones.values():
            phone.device_state = "NOT_INUSE" if phone.online else "UNAVAILABLE"

    def info(self) -> Json:
        """Answer `GET /asterisk/info`."""
        return {
            "build": {
                "os": "Linux",
                "kernel": "unknown",
                "machine": "unknown",
                "options": "OPTIONAL_API",
                "date": "2026-07-20 21:35:32 UTC",
                "user": "nobody",
            },
            "system": {"version": self.version, "entity_id": self.entity_id},
            "config": {
                "name": self.systemname,
                "default_language": "en",
                "setid": {"user": "", "group": ""},
                "max_open_files": 65535,
            },
            "status": {
                "startup_time": ari_time(self.started),
                "last_reload_time": ari_time(self.reloaded),
            },
        }
