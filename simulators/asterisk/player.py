"""Starts scripted calls as tasks, and ends them when the server dies under them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from simulators.asterisk import nuisances, scenarios, transfers
from simulators.asterisk.dialplan import Call
from simulators.asterisk.models import Channel
from simulators.asterisk.pbx import Pbx
from simulators.asterisk.scenarios import Plan, Scenario
from simulators.asterisk.truth import Scores

SCENARIOS: dict[str, Scenario] = {
    "answered": scenarios.one_to_one,
    "no-answer": scenarios.one_to_one,
    "cancelled": scenarios.one_to_one,
    "busy": scenarios.one_to_one,
    "rejected": scenarios.one_to_one,
    "unavailable": scenarios.one_to_one,
    "offline": scenarios.one_to_one,
    "dtmf": scenarios.one_to_one,
    "ring-group": scenarios.ring_group,
    "ring-group-nobody": scenarios.ring_group,
    "hunt": scenarios.hunt,
    "queue": scenarios.queue,
    "ia": scenarios.ia,
    "push": transfers.push,
    "push-in-vain": transfers.push,
    "blind-transfer": transfers.blind_transfer,
    "attended-transfer": transfers.attended_transfer,
    "click-to-call": transfers.click_to_call,
    "click-to-call-busy": transfers.click_to_call,
    "scanner": nuisances.scanner,
    "no-caller-number": nuisances.no_caller_number,
    "exten-s": nuisances.exten_s,
    "unknown-number": nuisances.unknown_number,
    "call-file-failed": nuisances.call_file_failed,
    "registration": nuisances.registration,
}
_SAYS = {
    "no-answer": {"how": "no-answer"},
    "cancelled": {"how": "cancelled"},
    "busy": {"how": "busy"},
    "rejected": {"how": "rejected"},
    "unavailable": {"how": "unavailable"},
    "ring-group-nobody": {"how": "no-answer"},
    "click-to-call-busy": {"how": "first-busy"},
}


class Player:
    """Runs scripted calls on one `Pbx`. A call that raises is kept in `failures` and logged by tests."""

    def __init__(self, pbx: Pbx, scores: Scores) -> None:
        self.pbx = pbx
        self.scores = scores
        self.running: dict[asyncio.Task[None], Call] = {}
        self.failures: list[BaseException] = []

    @property
    def live(self) -> int:
        """Answer how many scripted calls are going on."""
        return len(self.running)

    def busy_numbers(self) -> set[str]:
        """Answer the endpoints that have a leg now."""
        return {leg.endpoint for leg in self.pbx.channels.values()}

    def begin(self, scenario: str, plan: Plan) -> asyncio.Task[None]:
        """Start a scripted call. `KeyError` for an unknown scenario."""
        run = SCENARIOS[scenario]
        says = dict(_SAYS.get(scenario, {}))
        if scenario == "push-in-vain":
            plan = replace(plan, wake_s=99.0)
        plan = replace(plan, **says)
        if scenario == "offline" and plan.destiny in self.pbx.phones:
            self.pbx.unregister(plan.destiny)
        call = Call(self.pbx, self.scores, scenario)
        return self._start(call, run, plan)

    def originate(self, plan: Plan) -> Channel:
        """Start a click-to-call as `POST /channels` does; answers its first leg."""
        call = Call(self.pbx, self.scores, "click-to-call")
        a = transfers.originate(call, plan)

        async def rest(call: Call, plan: Plan) -> None:
            await transfers.after_originate(call, a, plan)

        self._start(call, rest, plan)
        return a

    async def play(self, scenario: str, plan: Plan) -> Call:
        """Play a scripted call to its end."""
        task = self.begin(scenario, plan)
        call = self.running[task]
        await asyncio.wait([task])
        return call

    def abandon(self) -> None:
        """The process died: all calls stop where they are, without another event."""
        for task in list(self.running):
            task.cancel()
        self.running.clear()

    def end_all(self, cause: int = 4) -> None:
        """A graceful stop: every leg is hung up and all `ChannelDestroyed` are told. Recording 27."""
        self.abandon()
        self._end(list(self.pbx.channels.values()), cause)

    def hang_up(self, channel: Channel) -> None:
        """`DELETE /channels/ID`: the call of this leg ends, whatever it was doing."""
        for task, call in list(self.running.items()):
            if channel in call.legs:
                task.cancel()
                self.running.pop(task, None)
                alive = [leg for leg in call.legs if leg.id in self.pbx.channels]
                self._end(alive, 16)
                return
        self._end([channel], 16)

    def _start(self, call: Call, run: Scenario, plan: Plan) -> asyncio.Task[None]:
        async def go() -> None:
            await run(call, plan)

        task = asyncio.get_running_loop().create_task(go())
        self.running[task] = call
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self.running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def _end(self, legs: list[Channel], cause: int) -> None:
        pbx = self.pbx
        for leg in legs:
            pbx.ask_hangup(leg, cause, soft=True)
        bridges = {leg.bridge.id: leg.bridge for leg in legs if leg.bridge is not None}
        for leg in legs:
            pbx.leave(leg)
        for bridge in bridges.values():
            pbx.close_bridge(bridge)
        for leg in legs:
            pbx.destroy(leg, 16 if leg.state == "Up" else 0)
            for row in self.scores.rows[-500:]:
                if row.caller_channel == leg.id and row.ended_ms is None:
                    row.ended(pbx.told_at, by="system", reason="noanswer")
        pbx.device_states(*(leg.endpoint for leg in legs))
