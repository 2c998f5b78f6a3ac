"""Busy-looking life in the demo's condominiums: random, but the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from simulators.asterisk.scenarios import Plan
from simulators.asterisk.world import Client, RingGroup, World, demo_world

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator

FEWEST, MOST = 3, 12
HURRIED, HURRY = 6, 0.3  # the first calls are short, so that a newcomer soon sees some end
BRAZIL = timedelta(hours=-3)
# How busy each hour of the day is, against the busiest.
DAY_CURVE = (
    0.15, 0.1, 0.1, 0.1, 0.15, 0.3, 0.5, 0.75, 0.85, 0.8, 0.8, 0.9,
    1.0, 0.9, 0.8, 0.8, 0.85, 0.95, 1.0, 1.0, 0.9, 0.7, 0.45, 0.25,
)  # fmt: skip
# How often each kind of call happens.
MIX = {
    "answered": 34,
    "ring-group": 16,
    "no-answer": 7,
    "cancelled": 6,
    "busy": 4,
    "rejected": 3,
    "unreachable": 3,
    "ring-group-nobody": 2,
    "hunt": 4,
    "queue": 5,
    "ia": 6,
    "push": 5,
    "push-in-vain": 1,
    "blind-transfer": 3,
    "attended-transfer": 2,
    "dtmf": 6,
    "click-to-call": 4,
    "scanner": 2,
    "unknown-number": 1,
}


class Traffic:
    """Starts calls at `rate` times the normal pace (about one in six seconds at noon)."""

    def __init__(self, sim: AsteriskSimulator, world: World | None = None, rate: float = 1.0) -> None:
        self.sim = sim
        self.world = world or demo_world()
        self.rate = rate
        self.random = sim.random
        self.begun = 0

    async def run(self) -> None:
        """Go on until cancelled; a few calls begin at once."""
        while True:
            self._top_up()
            if self.sim.player.live < MOST:
                self.begin_one()
            self._phones_come_and_go()
            await self.sim.clock.sleep(self._pause_s())

    def begin_one(self) -> str:
        """Start one call of a random kind; answers the kind."""
        kind = self.random.choices(list(MIX), weights=list(MIX.values()))[0]
        plan = self._plan(kind)
        if plan is None:
            return ""
        if self.begun < HURRIED:
            plan = replace(plan, ring_s=plan.ring_s * HURRY, talk_s=plan.talk_s * HURRY)
        self.begun += 1
        self.sim.player.begin("answered" if kind == "unreachable" else kind, plan)
        return kind

    def _top_up(self) -> None:
        for _ in range(FEWEST * 4):
            if self.sim.player.live >= FEWEST + 1:
                return
            self.begin_one()

    def _pause_s(self) -> float:
        hour = (self.sim.clock.now() + BRAZIL).hour
        normal = 6.0 / (max(self.rate, 0.01) * DAY_CURVE[hour])
        # Never so long that the board would run empty.
        return min(self.random.expovariate(1 / normal), 4.0 / max(self.rate, 0.1))

    def _phones_come_and_go(self) -> None:
        if self.random.random() > 0.15:
            return
        phones = [one for one in self.world.endpoints if one.kind == "unidade"]
        number = self.random.choice(phones).number
        if number in self.sim.player.busy_numbers():
            return
        if self.sim.pbx.phones[number].online:
            self.sim.pbx.unregister(number)
        else:
            self.sim.pbx.register(number)

    def _plan(self, kind: str) -> Plan | None:
        client = self.random.choice(self.world.clients)
        origin = self._idle(client, "apto", "ring-member", "condominio")
        if kind in ("ring-group", "ring-group-nobody", "hunt", "queue"):
            return self._group_plan(kind, client, origin)
        destiny = self._destiny(kind, client, origin)
        third = self._idle(client, "apto", "ring-member", but=(origin, destiny))
        if not origin or not destiny or ("transfer" in kind and not third):
            return None
        return Plan(
            origin=origin,
            destiny=destiny,
            third=third,
            ring_s=self.random.uniform(2, 11),
            talk_s=self._talk_s(kind),
            first="caller" if self.random.random() < 0.6 else "callee",
            dtmf=self._keys() if kind == "dtmf" else "",
            wake_s=self.random.uniform(1.5, 8),
            members=() if kind != "scanner" else (self._foreign_number(), destiny),
            caller_name="Click" if kind == "click-to-call" else "",
        )

    def _group_plan(self, kind: str, client: Client, origin: str) -> Plan | None:
        group = self._group(kind, client)
        if not origin or group is None or origin in group.members:
            return None
        busy = self.sim.player.busy_numbers()
        members = tuple(member for member in group.members if member not in busy)
        if not members:
            return None
        return Plan(
            origin=origin,
            destiny=group.number,
            members=members,
            winner=self.random.randrange(len(members)),
            ring_s=self.random.uniform(1.5, min(8.0, group.timeout_s - 1)),
            talk_s=self._talk_s(kind),
            limit_s=group.timeout_s,
            first="caller" if self.random.random() < 0.6 else "callee",
        )

    def _group(self, kind: str, client: Client) -> RingGroup | None:
        strategy = {"hunt": "hunt", "queue": "queue"}.get(kind, "ringall")
        fitting = [one for one in self.world.groups if one.client == client.code and one.strategy == strategy]
        return fitting[0] if fitting else None

    def _destiny(self, kind: str, client: Client, origin: str) -> str:
        if kind == "ia":
            return "94"
        if kind == "unknown-number":
            return f"{client.code}1999"
        if kind in ("push", "push-in-vain"):
            return self._idle(client, "unidade", online=False)
        if kind == "unreachable":
            return self._idle(client, "apto", online=False)
        return self._idle(client, "apto", "ring-member", "unidade", but=(origin,))

    def _idle(self, client: Client, *kinds: str, but: tuple[str, ...] = (), online: bool = True) -> str:
        """Answer a phone of this client that is in no call, or nothing."""
        busy = self.sim.player.busy_numbers()
        numbers = [one.number for one in self.world.of(client.code, *kinds)]
        free = [
            number
            for number in numbers
            if number not in busy and number not in but and self.sim.pbx.phones[number].online is online
        ]
        return self.random.choice(free) if free else ""

    def _talk_s(self, kind: str) -> float:
        if "transfer" in kind:
            return self.random.uniform(5, 20)
        return min(150.0, 6 + self.random.expovariate(1 / 28))

    def _keys(self) -> str:
        return "".join(self.random.choices("0123456789*#", k=self.random.randint(1, 5)))

    def _foreign_number(self) -> str:
        return f"00{self.random.randint(10**10, 10**11 - 1)}"
