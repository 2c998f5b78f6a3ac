"""The scripted calls. Each is what one recording of the contract holds, with fresh ids, names and times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulators.asterisk.dialplan import Call, Side
from simulators.asterisk.models import Channel
from simulators.asterisk.truth import Truth


@dataclass(frozen=True)
class Plan:
    """What the people in a call do. Seconds are of the simulator's clock; unused fields mean nothing."""

    origin: str
    destiny: str
    ring_s: float = 2.0
    talk_s: float = 5.0
    first: Side = "caller"  # who hangs up first
    how: str = "answered"  # answered, no-answer, busy, rejected, unavailable, cancelled
    members: tuple[str, ...] = ()  # of a group, a hunt or a queue
    winner: int = 0  # index of the member that answers
    third: str = ""  # to whom the call is transferred
    after_s: float = 0.0  # how long those talk who are left after a transfer; 0: as long as before
    dtmf: str = ""
    dtmf_by: Side = "caller"
    wake_s: float = 2.0  # until a woken smartphone registers; longer than 12: in vain
    limit_s: float = 25.0  # the dialplan's limit of ringing
    channel_id: str = ""  # of an originated leg, when the caller of the API chose it
    caller_name: str = ""
    context: str = "from-endpoints"


Scenario = Callable[[Call, Plan], Awaitable[None]]


async def one_to_one(call: Call, plan: Plan) -> None:
    """A phone calls a phone. Recordings 01 to 06, 12, 23."""
    a = call.incoming(plan.origin, plan.destiny)
    call.pbx.step(a, "from-endpoints", plan.destiny, 1, "Goto", f"dial-one,{plan.destiny},1")
    call.enter_dial_one(a, plan.destiny)
    await dial_one(call, a, plan, plan.destiny)


async def dial_one(call: Call, a: Channel, plan: Plan, destiny: str, truth: Truth | None = None) -> None:
    """From the `Dial` line of [dial-one] to the end of the caller's leg."""
    legs = call.start_dial(a, [destiny])
    truth = truth or call.open(a, destiny)
    if not legs:
        call.pbx.set(a, "DIALSTATUS", "CHANUNAVAIL")
        end_failed(call, a, "CHANUNAVAIL", ("dial-one", destiny, 4), truth, "offline")
        return
    call.ring(a, legs)
    if plan.how == "answered":
        await call.wait(plan.ring_s)
        call.answer(a, legs[0], legs, truth)
        await talk(call, a, legs[0], plan, truth)
    elif plan.how == "cancelled":
        await call.wait(plan.ring_s)
        call.cancel(a, legs, truth)
    else:
        await fail(call, a, legs, plan, ("dial-one", destiny, 4), truth)


async def talk(call: Call, a: Channel, b: Channel, plan: Plan, truth: Truth) -> None:
    """Two parties talk, press keys, and one hangs up."""
    pause = plan.talk_s / (len(plan.dtmf) + 1)
    presser = a if plan.dtmf_by == "caller" else b
    for digit in plan.dtmf:
        await call.wait(pause)
        call.pbx.event("ChannelDtmfReceived", digit=digit, duration_ms=160, channel=call.pbx.of(presser))
        truth.dtmf += digit
    await call.wait(pause)
    call.hang_up(a, b, plan.first, truth)


async def fail(
    call: Call, a: Channel, legs: list[Channel], plan: Plan, at: tuple[str, str, int], truth: Truth
) -> None:
    """Nobody answers: the limit passes, or a phone says no."""
    if plan.how == "no-answer":
        await call.wait(plan.limit_s)
        for b in legs:
            call.pbx.dial(a, b, "NOANSWER")
        call.pbx.set(a, "DIALSTATUS", "NOANSWER")
        end_failed(call, a, "NOANSWER", at, truth, "noanswer", legs)
        return
    await call.wait(plan.ring_s)
    status = call.refuse(a, legs[0], plan.how)
    end_failed(call, a, status, at, truth, plan.how, legs)


def end_failed(
    call: Call,
    a: Channel,
    status: str,
    at: tuple[str, str, int],
    truth: Truth,
    reason: str,
    legs: list[Channel] | None = None,
) -> None:
    """Run [give-up] and take all legs away; the callee's may go before or after the caller's."""
    cause, sip = call.give_up(a, status, at)
    ends: list[tuple[Channel, int, int | None]] = [(a, cause, sip)]
    why, tech = {"rejected": (21, 603), "unavailable": (19, 480)}.get(reason, (0, None))
    ends += [(b, why, tech) for b in legs or []]
    call.pbx.random.shuffle(ends)
    for leg, cause, tech in ends:
        call.pbx.destroy(leg, cause, tech=tech)
        if leg is a:
            truth.ended(call.pbx.told_at, reason=reason)
    call.pbx.device_states(a.endpoint, *(b.endpoint for b in legs or []))


def enter_group(call: Call, a: Channel, group: str) -> None:
    call.pbx.step(a, "from-endpoints", group, 1, "Set", f"DEST={group}")
    call.pbx.set(a, "DEST", group)
    call.pbx.step(a, "from-endpoints", group, 2, "GotoIf", f"1?ring-groups,{group},1")


async def ring_group(call: Call, plan: Plan) -> None:
    """All members ring at once. Recordings 07, 08, 28."""
    a = call.incoming(plan.origin, plan.destiny)
    enter_group(call, a, plan.destiny)
    targets = "&".join(f"PJSIP/{member}" for member in plan.members)
    call.gosub(a, ("ring-groups", plan.destiny, 1), "dial-group", targets, f"{plan.limit_s:.0f}")
    call.record(a, plan.destiny, ("dial-group", "s", 1))
    call.pbx.step(a, "dial-group", "s", 2, "Dial", f"{targets},{plan.limit_s:.0f},tT")
    legs = call.start_dial(a, list(plan.members))
    truth = call.open(a, plan.destiny)
    if not legs:
        call.pbx.set(a, "DIALSTATUS", "CHANUNAVAIL")
        end_failed(call, a, "CHANUNAVAIL", ("dial-group", "s", 3), truth, "offline")
        return
    call.ring(a, legs)
    if plan.how == "answered":
        await call.wait(plan.ring_s)
        winner = legs[min(plan.winner, len(legs) - 1)]
        call.answer(a, winner, legs, truth)
        await talk(call, a, winner, plan, truth)
    elif plan.how == "cancelled":
        await call.wait(plan.ring_s)
        call.cancel(a, legs, truth)
    else:
        await fail(call, a, legs, plan, ("dial-group", "s", 3), truth)


async def hunt(call: Call, plan: Plan) -> None:
    """One member after the other, `limit_s` each; the last one answers. Recording 09."""
    a = call.incoming(plan.origin, plan.destiny)
    enter_group(call, a, plan.destiny)
    limit = f"{plan.limit_s:.0f}"
    call.gosub(a, ("ring-groups", plan.destiny, 1), "dial-hunt", "-".join(plan.members), limit)
    call.record(a, plan.destiny, ("dial-hunt", "s", 1))
    set_var(call, a, 2, "LEFT", "-".join(plan.members))
    truth: Truth | None = None
    for index, member in enumerate(plan.members):
        start_round(call, a, plan.members, index, limit)
        legs = call.start_dial(a, [member])
        truth = truth or call.open(a, plan.destiny)
        call.ring(a, legs)
        if index == len(plan.members) - 1 and legs:
            await call.wait(plan.ring_s)
            call.answer(a, legs[0], legs, truth)
            await talk(call, a, legs[0], plan, truth)
            return
        await call.wait(plan.limit_s)
        for b in legs:
            call.pbx.dial(a, b, "NOANSWER")
        call.pbx.set(a, "DIALSTATUS", "NOANSWER")
        end_round(call, a)
        for b in legs:
            call.pbx.destroy(b, 0)
        call.pbx.device_states(member)


def set_var(call: Call, a: Channel, line: int, variable: str, value: str) -> None:
    call.pbx.step(a, "dial-hunt", "s", line, "Set", f"{variable}={value}")
    call.pbx.set(a, variable, value)


def start_round(call: Call, a: Channel, members: tuple[str, ...], index: int, limit: str) -> None:
    call.pbx.step(a, "dial-hunt", "s", 3, "While", "1")
    if index == 0:
        call.pbx.set(a, "dial-hunt_s_3", "0")
        call.pbx.set(a, "WHILE_0", "dial-hunt,s,3")
    set_var(call, a, 4, "NEXT", members[index])
    set_var(call, a, 5, "LEFT", "-".join(members[index + 1 :]))
    call.pbx.step(a, "dial-hunt", "s", 6, "Dial", f"PJSIP/{members[index]},{limit},tT")


def end_round(call: Call, a: Channel) -> None:
    call.pbx.step(a, "dial-hunt", "s", 7, "ExecIf", "0?Hangup(16)")
    call.pbx.step(a, "dial-hunt", "s", 8, "EndWhile", "")
    if "END_WHILE_0" not in a.variables:
        call.pbx.set(a, "END_WHILE_0", "dial-hunt,s,9")


async def queue(call: Call, plan: Plan) -> None:
    """The caller is answered by the dialplan, then a member is rung by `Queue()`. Recording 30."""
    pbx = call.pbx
    a = call.incoming(plan.origin, plan.destiny)
    enter_group(call, a, plan.destiny)
    call.record(a, plan.destiny, ("ring-groups", plan.destiny, 1))
    pbx.step(a, "ring-groups", plan.destiny, 2, "Answer", "")
    pbx.state(a, "Up")
    pbx.step(a, "ring-groups", plan.destiny, 3, "Queue", f"{plan.destiny},,,,{plan.limit_s:.0f}")
    for name in ("ANSWEREDTIME", "ANSWEREDTIME_MS", "DIALEDTIME", "DIALEDTIME_MS"):
        pbx.set(a, name, "")
    for name in ("QUEUEWAIT", "QUEUEWAIT_MS"):
        pbx.set(a, name, "")
    b = queue_member(call, a, plan.members[min(plan.winner, len(plan.members) - 1)], plan.destiny)
    pbx.dial(a, b, "", f"PJSIP/{b.endpoint}")
    truth = call.open(a, plan.destiny)
    call.dialed_ms[a.id] = call.told_ms()
    pbx.connect_line(a, b)
    pbx.state(b, "Ringing")
    pbx.dial(a, b, "RINGING", f"PJSIP/{b.endpoint}")
    pbx.device_states(b.endpoint, a.endpoint)
    await call.wait(plan.ring_s)
    pbx.state(b, "Up")
    pbx.dial(a, b, "ANSWER", f"PJSIP/{b.endpoint}")
    truth.answered(pbx.told_at, b.endpoint, b.name)
    call.answered_ms[a.id] = call.told_ms()
    waited = call.told_ms() - call.dialed_ms[a.id]
    pbx.set(a, "QUEUEPOSITION", "1")
    pbx.set(a, "QUEUEWAIT", str(waited // 1000))
    pbx.set(a, "QUEUEWAIT_MS", str(waited // 1000 * 1000))
    call.meet(a, b, queue=True)
    pbx.device_states(b.endpoint)
    await call.wait(plan.talk_s)
    call.hang_up(a, b, plan.first, truth, queue=True)


def queue_member(call: Call, a: Channel, number: str, group: str) -> Channel:
    b = call.leg(number, state="Down", exten="s", linked_id=a.linked_id)
    b.connected = dict(a.caller)
    b.home = ("AppQueue", "(Outgoing Line)")
    call.pbx.step(b, "from-endpoints", group, 1, *b.home)
    call.pbx.connect_line(b, a)
    call.pbx.set(b, "DIALEDPEERNUMBER", number)
    return b


async def ia(call: Call, plan: Plan) -> None:
    """The virtual attendant: the dialplan answers by itself, nobody is dialled. Recording 18."""
    pbx, number = call.pbx, plan.destiny
    a = call.incoming(plan.origin, number)
    truth = Truth(call.scenario, a.id, a.endpoint, number, number, call.told_ms())
    call.scores.add(truth)
    pbx.step(a, "from-endpoints", number, 1, "NoOp", "IA")
    call.record(a, number, ("from-endpoints", number, 2))
    pbx.step(a, "from-endpoints", number, 3, "Answer", "")
    pbx.state(a, "Up")
    truth.answered(pbx.told_at, number)
    pbx.device_states(a.endpoint)
    pbx.step(a, "from-endpoints", number, 4, "Wait", "0.3")
    await call.wait(0.3)
    pbx.step(a, "from-endpoints", number, 5, "Milliwatt", "")
    await call.wait(max(0.1, plan.talk_s - 0.3))
    call.measure(a)
    pbx.ask_hangup(a, None)
    pbx.ask_hangup(a, 16, soft=True)
    pbx.destroy(a, 0)
    truth.ended(pbx.told_at, by="origin")
    pbx.device_states(a.endpoint)
