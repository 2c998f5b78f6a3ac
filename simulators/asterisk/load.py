"""Many answered calls at little cost: each is one scripted call, serialised once, with its values filled in.

All values that differ between calls have a fixed width, so whole bursts of WebSocket frames are ready
made and one `%` fills a burst.
"""

from __future__ import annotations

import heapq
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import orjson

from atalaia.clock import to_ms
from simulators.asterisk.dialplan import Call
from simulators.asterisk.hub import Application, text_frame
from simulators.asterisk.models import Bridge, Channel, Json, Phone, ari_time
from simulators.asterisk.pbx import Pbx
from simulators.asterisk.scenarios import Plan, one_to_one
from simulators.asterisk.truth import Scores, Truth

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator

TICK_S = 0.01
VARIANTS = 8
PAIRS = 400
ORIGIN, DESTINY = "1147001", "1147501"  # the first of PAIRS callers and of PAIRS callees
FIRST_COUNT = 1_000_000  # ids of load calls count from here, so that they keep their width
RINGING, TALKING, OVER = 0, 1, 2


class _Tape:
    """A clock on which a whole call is played at once."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        # Any moment with ten digits of Unix seconds, as every moment of the simulator has.
        return datetime(2005, 2, 3, 4, 5, 6, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


@dataclass(frozen=True)
class Burst:
    """What a call tells at one moment: seconds after its start, and events with `%(name)b` in them."""

    after_s: float
    events: list[tuple[str, bytes, int]]  # type, template, length when filled in


class Template:
    """One answered call, cut into bursts."""

    def __init__(self, like: Pbx, ring_s: float, talk_s: float, seed: int) -> None:
        self._told: list[tuple[float, Json]] = []
        tape = _Tape()
        pbx = Pbx(
            tape,
            Random(seed),
            lambda event: self._told.append((tape.passed, event)),
            systemname=like.systemname,
            entity_id=like.entity_id,
            version=like.version,
            channelvars=like.channelvars,
            monitor_dir=like.monitor_dir,
        )
        pbx.count_from(FIRST_COUNT)
        for number in (ORIGIN, DESTINY):
            pbx.add_phone(Phone(number, account=number[:3]))
        self._play(Call(pbx, Scores(), "load"), Plan(ORIGIN, DESTINY, ring_s, talk_s))
        self.bursts = self._cut()

    def _play(self, call: Call, plan: Plan) -> None:
        work = one_to_one(call, plan)
        try:
            # On the tape nothing really waits, so the call runs to its end here.
            work.__await__().send(None)
        except StopIteration:
            pass
        self._a, self._b = call.legs

    def _cut(self) -> list[Burst]:
        moments = sorted({passed for passed, _ in self._told})
        names = self._names(moments)
        bursts: list[Burst] = []
        for moment in moments:
            events: list[tuple[str, bytes, int]] = []
            for passed, event in self._told:
                if passed == moment:
                    plain = orjson.dumps(event)
                    filled = plain.replace(b"%", b"%%")
                    for old, name in names.items():
                        filled = filled.replace(old, b"%%(%s)b" % name)
                    events.append((str(event["type"]), filled, len(plain)))
            bursts.append(Burst(moment, events))
        return bursts

    def _names(self, moments: list[float]) -> dict[bytes, bytes]:
        """Answer what stands in the tape's text, and by which name it is filled in."""
        start = _Tape().now()
        bridge = next(event["bridge"]["id"] for _, event in self._told if event["type"] == "BridgeCreated")
        texts = {
            self._a.id: "a",
            self._b.id: "b",
            self._a.name[-8:]: "ahex",
            self._b.name[-8:]: "bhex",
            self._a.protocol_id: "acall",
            self._b.protocol_id: "bcall",
            bridge: "bridge",
            f"{start:%Y/%m/%d}": "day",
            f"{start:%Y%m%d-%H%M%S}": "stamp",
            ORIGIN: "origin",
            DESTINY: "destiny",
        }
        for index, moment in enumerate(moments):
            texts[ari_time(start + timedelta(seconds=moment))] = f"t{index}"
        return {text.encode(): name.encode() for text, name in texts.items()}


@dataclass
class LoadCall:
    """One call of the load: its values, and how far it is."""

    number: int
    template: int
    values: dict[bytes, bytes]
    started: datetime
    truth: Truth
    burst: int = 0
    answered: datetime | None = None

    def legs(self, pbx: Pbx) -> list[Channel]:
        """Draw the living legs, for `GET /channels`."""
        up = self.answered is not None
        a = self._leg("a", "origin", "Up" if up else "Ring")
        b = self._leg("b", "destiny", "Up" if up else "Ringing")
        a.context, a.exten, a.priority = "dial-one", self.truth.destiny_at_open, 3
        a.app, a.app_data = "Dial", f"PJSIP/{self.truth.destiny_at_open},25,tT"
        b.exten, b.app, b.app_data = "" if up else self.truth.destiny_at_open, "AppDial", "(Outgoing Line)"
        a.connected, b.connected = b.caller, a.caller
        b.linked_id = a.id
        day, stamp = self.values[b"day"].decode(), self.values[b"stamp"].decode()
        name = f"internal-{self.truth.origin}-{self.truth.destiny_at_open}-{stamp}-{a.id}.wav"
        a.variables["MIXMONITOR_FILENAME"] = f"{pbx.monitor_dir}/{day}/{name}"
        a.variables["DIALEDPEERNUMBER"] = self.truth.destiny_at_open if up else ""
        return [a, b]

    def bridge(self) -> Bridge | None:
        if self.answered is None:
            return None
        legs = [self.values[b"a"].decode(), self.values[b"b"].decode()]
        return Bridge(self.values[b"bridge"].decode(), self.answered, channels=legs)

    def _leg(self, side: str, who: str, state: str) -> Channel:
        number, leg = self.values[who.encode()].decode(), self.values[side.encode()].decode()
        name = f"PJSIP/{number}-{self.values[side.encode() + b'hex'].decode()}"
        caller = {"name": f"Ramal {number}", "number": number}
        call_id = self.values[side.encode() + b"call"].decode()
        return Channel(leg, name, state, self.started, caller, number[:3], protocol_id=call_id, linked_id=leg)


class Load:
    """Emits `calls` answered calls at `rate` a second, then is done."""

    def __init__(self, sim: AsteriskSimulator, rate: float, calls: int, talk_s: tuple[float, float]) -> None:
        self.sim = sim
        self.rate = rate
        self.calls = calls
        self.state = "running"
        self.begun = 0
        self.events = 0
        self.live: dict[int, LoadCall] = {}
        self._due: list[tuple[float, int]] = []
        self._framed: dict[tuple[str, frozenset[str]], list[list[tuple[bytes, int]]]] = {}
        rings = [sim.random.uniform(0.3, 2.0) for _ in range(VARIANTS)]
        talks = [sim.random.uniform(*talk_s) for _ in range(VARIANTS)]
        pairs = zip(rings, talks, strict=True)
        self._templates = [Template(sim.pbx, ring, talk, seed) for seed, (ring, talk) in enumerate(pairs)]
        for first in (ORIGIN, DESTINY):
            for index in range(PAIRS):
                number = str(int(first) + index)
                if number not in sim.pbx.phones:
                    sim.pbx.add_phone(Phone(number, account=number[:3]))

    async def run(self) -> None:
        """Emit until all calls have ended."""
        clock, start = self.sim.clock, self.sim.clock.monotonic()
        while self.state == "running" and (self.begun < self.calls or self._due):
            now = clock.monotonic()
            while self.begun < self.calls and start + self.begun / self.rate <= now:
                self._begin(now)
            while self._due and self._due[0][0] <= now:
                _, number = heapq.heappop(self._due)
                self._go_on(self.live[number], now)
            await clock.sleep(TICK_S)
        if self.state == "running":
            self.state = "done"

    def abandon(self) -> None:
        """The server died: the calls are gone."""
        if self.state == "running":
            self.state = "abandoned"
        self.live.clear()
        self._due.clear()

    def channels(self) -> list[Channel]:
        return [leg for call in self.live.values() for leg in call.legs(self.sim.pbx)]

    def bridges(self) -> list[Bridge]:
        return [bridge for call in self.live.values() if (bridge := call.bridge()) is not None]

    def as_json(self) -> Json:
        return {
            "state": self.state,
            "rate": self.rate,
            "calls": self.calls,
            "begun": self.begun,
            "live": len(self.live),
            "events": self.events,
        }

    # ---- one call ------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        number, pbx = self.begun, self.sim.pbx
        self.begun += 1
        started = pbx.now()
        count = pbx.load_count(FIRST_COUNT)
        origin, destiny = (str(int(first) + number % PAIRS) for first in (ORIGIN, DESTINY))
        epoch = int(started.timestamp())
        a = f"{pbx.systemname}-{epoch}.{count}"
        texts = {
            "a": a,
            "b": f"{pbx.systemname}-{epoch}.{count + 1}",
            "ahex": f"{count:08x}",
            "bhex": f"{count + 1:08x}",
            "acall": self._uuid(),
            "bcall": self._uuid(),
            "bridge": self._uuid(),
            "day": f"{started:%Y/%m/%d}",
            "stamp": f"{started:%Y%m%d-%H%M%S}",
            "origin": origin,
            "destiny": destiny,
        }
        values = {name.encode(): text.encode() for name, text in texts.items()}
        truth = self.sim.scores.add(Truth("load", a, origin, destiny, destiny, to_ms(started)))
        call = LoadCall(number, number % VARIANTS, values, started, truth)
        self.live[number] = call
        self._go_on(call, now, started)

    def _go_on(self, call: LoadCall, now: float, moment: datetime | None = None) -> None:
        moment = moment or self.sim.pbx.now()
        bursts = self._templates[call.template].bursts
        call.values[b"t%d" % call.burst] = ari_time(moment).encode()
        if call.burst == TALKING:
            call.answered = moment
            destiny, count = call.truth.destiny_at_open, call.values[b"bhex"].decode()
            call.truth.answered(moment, destiny, f"PJSIP/{destiny}-{count}")
        self._emit(call)
        if call.burst == OVER:
            call.truth.ended(moment, by="origin")
            del self.live[call.number]
            return
        pause = bursts[call.burst + 1].after_s - bursts[call.burst].after_s
        call.burst += 1
        heapq.heappush(self._due, (now + pause, call.number))

    def _emit(self, call: LoadCall) -> None:
        for app in self.sim.hub.apps.values():
            if not app.subscribe_all:
                continue
            frames, count = self._frames(app)[call.template][call.burst]
            app.connection.write(frames % call.values, count)
            self.events += count

    def _frames(self, app: Application) -> list[list[tuple[bytes, int]]]:
        """Answer the ready frames for this application: per template, per burst."""
        key = (app.name, app.allowed)
        if key not in self._framed:
            self._framed[key] = [
                [_frame_burst(burst, app) for burst in template.bursts] for template in self._templates
            ]
        return self._framed[key]

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.sim.random.getrandbits(128), version=4))


def _frame_burst(burst: Burst, app: Application) -> tuple[bytes, int]:
    """Answer one burst as WebSocket frames with `%(name)b` in them, and how many frames they are."""
    tail = b',"application":' + orjson.dumps(app.name) + b"}"
    frames: list[bytes] = []
    for kind, template, length in burst.events:
        if not app.wants(kind):
            continue
        # The header counts the bytes after filling in; "%" in it must be doubled for the `%` operator.
        header = text_frame(b"x" * (length - 1 + len(tail)))[: -(length - 1 + len(tail))]
        frames.append(header.replace(b"%", b"%%") + template[:-1] + tail.replace(b"%", b"%%"))
    return b"".join(frames), len(frames)
