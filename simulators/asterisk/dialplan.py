"""The pieces a call is made of, in the order in which the real dialplan and its applications tell them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from atalaia.clock import to_ms
from simulators.asterisk.models import Bridge, Channel
from simulators.asterisk.pbx import Pbx
from simulators.asterisk.truth import Scores, Truth

Place = tuple[str, str, int]
Side = Literal["caller", "callee"]

DIAL_VARIABLES = (
    "DIALSTATUS",
    "DIALEDPEERNUMBER",
    "DIALEDPEERNAME",
    "ANSWEREDTIME",
    "ANSWEREDTIME_MS",
    "DIALEDTIME",
    "DIALEDTIME_MS",
    "RINGTIME",
    "RINGTIME_MS",
    "PROGRESSTIME",
    "PROGRESSTIME_MS",
)
# What the dialplan's [give-up] does with a DIALSTATUS: tests made, hangup line, cause, SIP status.
GIVE_UP = {
    "BUSY": (("1?busy",), 6, 17, 486),
    "CHANUNAVAIL": (("0?busy", "1?off"), 7, 20, 480),
    "NOANSWER": (("0?busy", "0?off", "0?cong", "0?done"), 5, 19, 480),
}
# How a phone says no: cause, SIP status, the Dial event's status, the DIALSTATUS variable.
REFUSALS = {
    "busy": (17, 486, "BUSY", "BUSY"),
    "rejected": (21, 603, "NOANSWER", "CHANUNAVAIL"),
    "unavailable": (19, 480, "NOANSWER", "NOANSWER"),
}
RTP_STATISTICS = {
    "": "ssrc={ssrc};themssrc={them};lp=0;rxjitter=0.000000;rxcount={count};txjitter=0.000125;"
    "txcount={count};rlp=0;rtt=0.000000;rxmes=0.000000;txmes=0.000000",
    "JITTER": "minrxjitter=000.000000;maxrxjitter=000.000125;avgrxjitter=000.000005;"
    "stdevrxjitter=000.000026;mintxjitter=000.000000;maxtxjitter=000.000000;avgtxjitter=000.000000;"
    "stdevtxjitter=000.000000;",
    "LOSS": "  minrxlost=000.000000;  maxrxlost=000.000000;  avgrxlost=000.000000;"
    "  stdevrxlost=000.000000;  mintxlost=000.000000;  maxtxlost=000.000000;  avgtxlost=000.000000;"
    "  stdevtxlost=000.000000;",
    "RTT": "     minrtt=000.000000;     maxrtt=000.000000;     avgrtt=000.000000;     stdevrtt=000.000000;",
    "MES": "   minrxmes=000.000000;   maxrxmes=000.000000;   avgrxmes=000.000000;   stdevrxmes=000.000000;"
    "   mintxmes=000.000000;   maxtxmes=000.000000;   avgtxmes=000.000000;   stdevtxmes=000.000000;",
}


@dataclass
class Call:
    """One scripted call: the legs it made, what is true of it, and the steps it is composed of.

    Steps do not wait, except `wait`; so a snapshot between two steps is always consistent.
    """

    pbx: Pbx
    scores: Scores
    scenario: str
    legs: list[Channel] = field(default_factory=list[Channel])
    arguments: list[int] = field(default_factory=list[int])
    dialed_ms: dict[str, int] = field(default_factory=dict[str, int])
    answered_ms: dict[str, int] = field(default_factory=dict[str, int])
    referred: str = ""  # the header that follows a blind transfer onto the next leg

    async def wait(self, seconds: float) -> None:
        await self.pbx.clock.sleep(seconds)

    def told_ms(self) -> int:
        """Answer the timestamp of the event told last: truth is counted in those."""
        return to_ms(self.pbx.told_at)

    def open(self, a: Channel, destiny: str) -> Truth:
        """Note the open signal of a conversation: the event told last."""
        truth = Truth(self.scenario, a.id, a.endpoint, destiny, destiny, self.told_ms())
        return self.scores.add(truth)

    # ---- the dialplan --------------------------------------------------------------------

    def leg(
        self, endpoint: str, *, state: str, exten: str, context: str = "from-endpoints", linked_id: str = ""
    ) -> Channel:
        """Make a leg; its SIP Call-ID appears right after `ChannelCreated`."""
        made = self.pbx.create(endpoint, state=state, exten=exten, context=context, linked_id=linked_id)
        made.protocol_id = self.pbx.fresh_uuid()
        self.legs.append(made)
        return made

    def incoming(self, origin: str, exten: str, context: str = "from-endpoints") -> Channel:
        """A phone dials `exten`."""
        a = self.leg(origin, state="Ring", exten=exten, context=context)
        self.pbx.set(a, "SIPDOMAIN", "127.0.0.1")
        return a

    def gosub(self, a: Channel, at: Place, target: str, *args: str) -> None:
        """Enter a subroutine. Arguments of an outer one are hidden by empty ones."""
        data = f"{target},s,1({','.join(args)})" if args else f"{target},s,1"
        self.pbx.step(a, *at, "Gosub", data)
        self.pbx.step(a, target, "s", 0, "Gosub", data)
        outer = self.arguments[-1] if self.arguments else 0
        for number in range(1, max(len(args), outer) + 1):
            self.pbx.set(a, f"LOCAL(ARG{number})", args[number - 1] if number <= len(args) else "")
        self.pbx.set(a, "LOCAL(ARGC)", str(len(args)))
        self.arguments.append(len(args))

    def give_back(self, a: Channel, inner: tuple[str, int], at: Place) -> None:
        """Return from a subroutine to the line it was called from."""
        self.pbx.step(a, inner[0], "s", inner[1], "Return", "")
        self.pbx.step(a, *at, "Return", "")
        for variable in ("ARGC", "ARG1", "GOSUB_RETVAL"):
            self.pbx.set(a, variable, "")
        self.arguments.pop()

    def record(self, a: Channel, destiny: str, at: Place) -> None:
        """Start the recording: its path is the leg's `MIXMONITOR_FILENAME`."""
        self.gosub(a, at, "record", destiny)
        moment = self.pbx.now()
        name = f"internal-{a.caller['number']}-{destiny}-{moment:%Y%m%d-%H%M%S}-{a.id}.wav"
        path = f"{self.pbx.monitor_dir}/{moment:%Y/%m/%d}/{name}"
        self.pbx.step(a, "record", "s", 1, "MixMonitor", f"{path},b")
        self.pbx.set(a, "MIXMONITOR_FILENAME", path)
        self.give_back(a, ("record", 2), at)

    def enter_dial_one(self, a: Channel, exten: str, *, known: bool = True) -> None:
        """Go to the dialplan's part that rings one endpoint, up to the line with `Dial`."""
        self.pbx.step(a, "dial-one", exten, 1, "GotoIf", "0?unknown" if known else "1?unknown")
        if known:
            self.record(a, exten, ("dial-one", exten, 2))
            self.pbx.step(a, "dial-one", exten, 3, "Dial", f"PJSIP/{exten},25,tT")

    def give_up(self, a: Channel, status: str, at: Place) -> tuple[int, int]:
        """Run [give-up] after a dial that failed; answers cause and SIP status of the caller's end."""
        self.gosub(a, at, "give-up")
        tests, line, cause, sip = GIVE_UP[status]
        for priority, test in enumerate(tests, 1):
            self.pbx.step(a, "give-up", "s", priority, "GotoIf", test)
        self.pbx.step(a, "give-up", "s", line, "Hangup", str(cause))
        self.pbx.ask_hangup(a, 16, soft=True)
        return cause, sip

    # ---- dialling ------------------------------------------------------------------------

    def start_dial(self, a: Channel, numbers: list[str]) -> list[Channel]:
        """`Dial()` begins: variables are cleared and a leg is made for every phone that is there."""
        for variable in DIAL_VARIABLES:
            self.pbx.set(a, variable, "")
        self.dialed_ms[a.id] = self.told_ms()
        made = [self._callee(a, number) for number in numbers if self._reachable(number)]
        for b in made:
            self.pbx.dial(a, b, "", b.endpoint)
            if len(numbers) == 1:
                self.pbx.connect_line(a, b)
        return made

    def ring(self, a: Channel, legs: list[Channel]) -> None:
        """The phones ring. A leg's `Ringing` may come before or after the `Dial` that tells it."""
        for index, b in enumerate(legs):
            early = self.pbx.random.random() < 0.6
            if early:
                self.pbx.state(b, "Ringing")
            if index == 0:
                took = to_ms(self.pbx.now()) - self.dialed_ms[a.id]
                self.pbx.set(a, "RINGTIME", str(took // 1000))
                self.pbx.set(a, "RINGTIME_MS", str(took))
            self.pbx.dial(a, b, "RINGING")
            if not early:
                self.pbx.state(b, "Ringing")
        self.pbx.device_states(*(b.endpoint for b in legs), a.endpoint)

    def answer(self, a: Channel, winner: Channel, legs: list[Channel], truth: Truth) -> None:
        """`winner` answers; the others are cancelled; both parties meet in a new bridge."""
        self.pbx.state(winner, "Up")
        losers = [leg for leg in legs if leg is not winner]
        if losers:
            self.pbx.connect_line(a, winner)
        for loser in losers:
            self.pbx.dial(a, loser, "CANCEL")
        self.pbx.set(a, "DIALSTATUS", "ANSWER")
        self.pbx.set(a, "DIALEDPEERNAME", winner.name)
        self.pbx.set(a, "DIALEDPEERNUMBER", winner.endpoint)
        winner.exten = ""
        self.pbx.dial(a, winner, "ANSWER")
        truth.answered(self.pbx.told_at, winner.endpoint, winner.name)
        self.answered_ms[a.id] = self.told_ms()
        if a.state != "Up":
            self.pbx.state(a, "Up")
        for loser in losers:
            self.pbx.destroy(loser, 26)
        self.meet(a, winner)
        self.pbx.device_states(*(leg.endpoint for leg in legs), a.endpoint)

    def meet(self, a: Channel, b: Channel, *, queue: bool = False) -> None:
        """Put both into a new bridge."""
        bridge = self.pbx.open_bridge()
        if not queue:
            self.pbx.step(b, b.context, b.exten, b.priority, b.app, b.app_data)
        self.pbx.enter(bridge, b)
        self.pbx.enter(bridge, a)
        if self.referred:
            self.pbx.set(a, "BLINDTRANSFER", "")
            self.referred = ""
        self.show_peers(b, a)

    def show_peers(self, *pair: Channel) -> None:
        """Tell each of two bridged legs who the other is."""
        for one, other in (pair, pair[::-1]):
            self.pbx.set(one, "BRIDGEPEER", other.name)
            self.pbx.set(one, "BRIDGEPVTCALLID", other.protocol_id)

    def hide_peers(self, *legs: Channel) -> None:
        for leg in legs:
            self.pbx.set(leg, "BRIDGEPEER", "")
            self.pbx.set(leg, "BRIDGEPVTCALLID", "")

    # ---- endings -------------------------------------------------------------------------

    def refuse(self, a: Channel, b: Channel, how: str) -> str:
        """The called phone says no; answers the DIALSTATUS."""
        cause, sip, dial, status = REFUSALS[how]
        self.pbx.ask_hangup(b, cause, tech=sip)
        self.pbx.dial(a, b, dial)
        if how == "busy":
            self.pbx.destroy(b, cause, tech=sip)
        self.pbx.set(a, "DIALSTATUS", status)
        return status

    def cancel(self, a: Channel, legs: list[Channel], truth: Truth) -> None:
        """The caller gives up while it rings."""
        self.pbx.ask_hangup(a, 127, tech=487)
        for b in legs:
            self.pbx.dial(a, b, "CANCEL")
            self.pbx.destroy(b, 127, tech=500)
        self.pbx.set(a, "DIALSTATUS", "CANCEL")
        self.pbx.ask_hangup(a, 16, soft=True, tech=487)
        self.pbx.destroy(a, 127, tech=487)
        truth.ended(self.pbx.told_at, by="origin", reason="cancelled")
        self.pbx.device_states(*(b.endpoint for b in legs), a.endpoint)

    def hang_up(self, a: Channel, b: Channel, first: Side, truth: Truth, *, queue: bool = False) -> None:
        """End a conversation: `first` hangs up, the other side is cleaned up."""
        leader, other = (a, b) if first == "caller" else (b, a)
        self.measure(leader, other)
        self.pbx.ask_hangup(leader, None if queue else 16)
        self.hide_peers(leader, other)
        bridge = leader.bridge
        self.pbx.leave(leader)
        if leader is b:
            self.pbx.leave(a)
            self._close(bridge)
        self.sum_up(a, queue=queue)
        self.pbx.ask_hangup(a, 16, soft=True)
        if leader is a:
            self.pbx.leave(b)
            self._close(bridge)
        last = [a, b]
        self.pbx.random.shuffle(last)
        for leg in last:
            self.measure(leg)
            self.pbx.destroy(leg, 16)
            if leg is a:
                truth.ended(self.pbx.told_at, by="origin" if leader is a else "destiny")
        self.pbx.device_states(a.endpoint, b.endpoint)

    def measure(self, leg: Channel, peer: Channel | None = None) -> None:
        """Tell the RTP statistics of a leg once; a bridged peer is told the same."""
        if leg.measured:
            return
        leg.measured = True
        count = self.pbx.random.randint(50, 3000)
        for name, text in RTP_STATISTICS.items():
            value = text.format(ssrc=self._ssrc(), them=self._ssrc(), count=count) if not name else text
            self.pbx.set(leg, f"RTPAUDIOQOS{name}", value)
            if peer is not None and peer.bridge is not None:
                self.pbx.set(peer, f"RTPAUDIOQOS{name}BRIDGED", value)

    def sum_up(self, a: Channel, *, queue: bool = False) -> None:
        """Tell how long the caller's leg dialled and talked."""
        now, dialed = to_ms(self.pbx.now()), self.dialed_ms.get(a.id, 0)
        answered = self.answered_ms.get(a.id, dialed)
        self.pbx.set(a, "ANSWEREDTIME", str((now - answered) // 1000))
        self.pbx.set(a, "ANSWEREDTIME_MS", str(now - answered))
        self.pbx.set(a, "DIALEDTIME", str((now - dialed) // 1000))
        self.pbx.set(a, "DIALEDTIME_MS", str(now - dialed))
        if not queue:
            self.pbx.set(a, "DIALSTATUS", "ANSWER")

    # ---- small parts ---------------------------------------------------------------------

    def _callee(self, a: Channel, number: str) -> Channel:
        b = self.leg(number, state="Down", exten="s", linked_id=a.linked_id)
        self.pbx.set(b, "DIALEDPEERNUMBER", number)
        if self.referred:
            self.pbx.set(b, "__SIPREFERREDBYHDR", self.referred)
        b.connected = dict(a.caller)
        b.home = ("AppDial", "(Outgoing Line)")
        self.pbx.step(b, "from-endpoints", a.exten, 1, *b.home)
        self.pbx.connect_line(b, a)
        return b

    def _reachable(self, number: str) -> bool:
        phone = self.pbx.phones.get(number)
        return phone is not None and phone.online

    def _close(self, bridge: Bridge | None) -> None:
        if bridge is not None:
            self.pbx.close_bridge(bridge)

    def _ssrc(self) -> int:
        return self.pbx.random.getrandbits(31)
