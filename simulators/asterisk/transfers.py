"""Scripted calls that change hands, are woken, or are asked for by a program."""

from __future__ import annotations

from dataclasses import replace

from simulators.asterisk.dialplan import Call
from simulators.asterisk.models import Bridge, Channel, Json
from simulators.asterisk.scenarios import Plan, dial_one, end_failed
from simulators.asterisk.truth import Truth

WAKE_LIMIT_S = 12.0


async def connected_pair(call: Call, plan: Plan, destiny: str) -> tuple[Channel, Channel, Truth] | None:
    """A phone calls a phone and is answered after `ring_s`; None when that phone is not there."""
    a = call.incoming(plan.origin, destiny)
    call.pbx.step(a, "from-endpoints", destiny, 1, "Goto", f"dial-one,{destiny},1")
    call.enter_dial_one(a, destiny)
    legs = call.start_dial(a, [destiny])
    truth = call.open(a, destiny)
    if not legs:
        call.pbx.set(a, "DIALSTATUS", "CHANUNAVAIL")
        end_failed(call, a, "CHANUNAVAIL", ("dial-one", destiny, 4), truth, "offline")
        return None
    call.ring(a, legs)
    await call.wait(plan.ring_s)
    call.answer(a, legs[0], legs, truth)
    return a, legs[0], truth


async def blind_transfer(call: Call, plan: Plan) -> None:
    """The called party sends the caller on to a third and goes. Recording 10."""
    pbx = call.pbx
    pair = await connected_pair(call, plan, plan.destiny)
    if pair is None:
        return
    a, b, truth = pair
    await call.wait(plan.talk_s)
    refer(call, a, b, plan.third)
    bridge = a.bridge
    assert bridge is not None
    pbx.event(
        "BridgeBlindTransfer",
        channel=pbx.of(b),
        exten=plan.third,
        context="from-endpoints",
        result="Success",
        is_external=True,
        transferee=pbx.of(a),
        bridge=bridge.as_ari(),
    )
    truth.ended(pbx.told_at, by="transfer")
    pbx.leave(b)
    call.hide_peers(a)
    pbx.step(a, "from-endpoints", plan.third, 1, a.app, a.app_data)
    pbx.leave(a)
    pbx.set(a, "DIALSTATUS", "ANSWER")
    pbx.close_bridge(bridge)
    call.measure(b)
    pbx.destroy(b, 16)
    call.referred = f"<sip:{b.endpoint}@127.0.0.1>"
    pbx.device_states(b.endpoint)
    call.enter_dial_one(a, plan.third)
    await dial_one(call, a, replace(plan, talk_s=plan.after_s or plan.talk_s), plan.third)


def refer(call: Call, a: Channel, b: Channel, third: str) -> None:
    """What a REFER leaves in the variables of both legs."""
    pbx = call.pbx
    pbx.event("ChannelUnhold", channel=pbx.of(b))
    pbx.set(a, "BLINDTRANSFER", b.name)
    pbx.set(b, "BLINDTRANSFER", a.name)
    pbx.set(a, "SIPTRANSFER", "yes")
    call.show_peers(b, a)
    pbx.set(a, "SIPREFERRINGCONTEXT", "from-endpoints")
    pbx.set(a, "__SIPREFERREDBYHDR", f"<sip:{b.endpoint}@127.0.0.1>")
    pbx.set(a, "SIPREFERTOHDR", f"sip:{third}@127.0.0.1:5060")
    call.hide_peers(b)


async def attended_transfer(call: Call, plan: Plan) -> None:
    """The caller rings a third on a second leg and joins the other two. Recording 11."""
    pbx = call.pbx
    pair = await connected_pair(call, plan, plan.destiny)
    if pair is None:
        return
    a, b, first = pair
    await call.wait(plan.talk_s)
    pair = await connected_pair(call, plan, plan.third)
    if pair is None:
        call.hang_up(a, b, "caller", first)
        return
    a2, c, second = pair
    await call.wait(plan.talk_s)
    old, kept = a.bridge, a2.bridge
    assert old is not None and kept is not None
    move(call, a, b, a2, c)
    pbx.event(
        "BridgeAttendedTransfer",
        transferer_first_leg=pbx.of(a),
        transferer_second_leg=pbx.of(a2),
        result="Success",
        is_external=False,
        transferee=pbx.of(b),
        transfer_target=pbx.of(c),
        transferer_first_leg_bridge=drawn_before(old, a, b),
        transferer_second_leg_bridge=drawn_before(kept, a2, c),
        destination_type="bridge",
        destination_bridge=kept.id,
    )
    first.ended(pbx.told_at, by="transfer")
    second.ended(pbx.told_at, by="transfer")
    third = call.scores.add(Truth(call.scenario, b.id, b.endpoint, c.endpoint, c.endpoint, call.told_ms()))
    third.answered(pbx.told_at, c.endpoint, c.name)
    let_go(call, a, b, a2, c)
    await call.wait(plan.after_s or plan.talk_s)
    end_remaining(call, b, c, third)


def drawn_before(bridge: Bridge, *legs: Channel) -> Json:
    """Draw a bridge as it was before the transfer: that is what the event carries."""
    return {**bridge.as_ari(), "channels": sorted(leg.id for leg in legs)}


def move(call: Call, a: Channel, b: Channel, a2: Channel, c: Channel) -> None:
    """B takes the place of A's second leg in C's bridge; C comes under the first linked id."""
    pbx = call.pbx
    pbx.event("ChannelUnhold", channel=pbx.of(a))
    pbx.event("ChannelUnhold", channel=pbx.of(a2))
    pbx.set(b, "ATTENDEDTRANSFER", a.name)
    pbx.set(a, "ATTENDEDTRANSFER", b.name)
    target = a2.bridge
    assert target is not None
    pbx.leave(b)
    call.hide_peers(a2)
    pbx.leave(a2)
    pbx.enter(target, b)
    pbx.set(b, "ATTENDEDTRANSFER", "")
    c.linked_id = b.linked_id
    call.show_peers(b, c)
    call.hide_peers(a)
    pbx.ask_hangup(a2, 1, soft=True)


def let_go(call: Call, a: Channel, b: Channel, a2: Channel, c: Channel) -> None:
    """The transferring party's two legs end."""
    pbx = call.pbx
    call.show_peers(b, c)
    pbx.connect_line(b, c)
    call.show_peers(b, c)
    pbx.connect_line(c, b)
    old = a.bridge
    pbx.leave(a)
    for leg in (a, a2):
        call.sum_up(leg)
        pbx.ask_hangup(leg, 16, soft=True)
        call.measure(leg)
        if leg is a and old is not None:
            pbx.close_bridge(old)
        pbx.destroy(leg, 16)
    pbx.device_states(a.endpoint)


def end_remaining(call: Call, b: Channel, c: Channel, truth: Truth) -> None:
    """The two that remain end: C hangs up; neither runs a dialplan any more."""
    pbx, bridge = call.pbx, c.bridge
    call.measure(c, b)
    pbx.ask_hangup(c, 16)
    call.hide_peers(c, b)
    pbx.leave(c)
    pbx.leave(b)
    if bridge is not None:
        pbx.close_bridge(bridge)
    for leg in (c, b):
        call.measure(leg)
        pbx.destroy(leg, 16)
    truth.ended(pbx.told_at, by="destiny")
    pbx.device_states(b.endpoint, c.endpoint)


async def push(call: Call, plan: Plan) -> None:
    """A smartphone that is not registered is woken, or does not wake. Recording 19."""
    pbx, number = call.pbx, plan.destiny
    pbx.unregister(number)
    a = call.incoming(plan.origin, number)
    pbx.step(a, "from-endpoints", number, 1, "Set", "WAITED=0")
    pbx.set(a, "WAITED", "0")
    pbx.step(a, "from-endpoints", number, 2, "GotoIf", f"0?dial-one,{number},1")
    wake = f"PushWake,endpoint:{number},linkedid:{a.linked_id}"
    pbx.step(a, "from-endpoints", number, 3, "UserEvent", wake)
    asked = {"eventname": "PushWake", "endpoint": number, "linkedid": a.linked_id}
    pbx.event("ChannelUserevent", eventname="PushWake", userevent=asked, channel=pbx.of(a))
    truth = call.open(a, number)
    pbx.step(a, "from-endpoints", number, 4, "Ringing", "")
    pbx.device_states(a.endpoint)
    if await woke(call, a, number, plan.wake_s):
        pbx.step(a, "from-endpoints", number, 6, "GotoIf", f"1?dial-one,{number},1")
        call.enter_dial_one(a, number)
        await dial_one(call, a, plan, number, truth)
        return
    pbx.step(a, "from-endpoints", number, 9, "Hangup", "20")
    pbx.ask_hangup(a, 16, soft=True)
    pbx.destroy(a, 20, tech=480)
    truth.ended(pbx.told_at, reason="offline")
    pbx.device_states(a.endpoint)


async def woke(call: Call, a: Channel, number: str, wake_s: float) -> bool:
    """Run the waiting loop of the dialplan; answers whether the phone came."""
    pbx, rounds = call.pbx, 0
    while True:
        pbx.step(a, "from-endpoints", number, 5, "Wait", "0.5")
        left = wake_s - rounds * 0.5
        if 0 < left <= 0.5:
            await call.wait(left)
            pbx.register(number)
            await call.wait(0.5 - left)
        else:
            await call.wait(0.5)
        if pbx.phones[number].online:
            return True
        rounds += 1
        more = "1" if rounds < WAKE_LIMIT_S * 2 else "0"
        pbx.step(a, "from-endpoints", number, 6, "GotoIf", f"0?dial-one,{number},1")
        pbx.step(a, "from-endpoints", number, 7, "Set", f"WAITED={rounds}")
        pbx.set(a, "WAITED", str(rounds))
        pbx.step(a, "from-endpoints", number, 8, "GotoIf", f"{more}?loop")
        if more == "0":
            return False


def originate(call: Call, plan: Plan) -> Channel:
    """`POST /channels`: a leg to the asker's own phone, which nobody calls. Recording 20."""
    pbx = call.pbx
    linked = plan.channel_id
    a = pbx.create(plan.origin, state="Down", exten="s", channel_id=linked)
    a.protocol_id = pbx.fresh_uuid()
    call.legs.append(a)
    a.home = ("AppDial2", "(Outgoing Line)")
    pbx.step(a, "from-endpoints", "s", 1, *a.home)
    a.caller = {"name": plan.caller_name, "number": plan.origin}
    pbx.event(
        "ChannelCallerId",
        caller_presentation=0,
        caller_presentation_txt="Presentation Allowed, Not Screened",
        channel=pbx.of(a),
    )
    pbx.connect_line(a, a)
    pbx.dial(None, a, "", plan.origin)
    pbx.dial(None, a, "RINGING", plan.origin)
    pbx.state(a, "Ringing")
    pbx.device_states(a.endpoint)
    return a


async def click_to_call(call: Call, plan: Plan) -> None:
    """A program asks for a call: first the asker's phone, then the dialplan rings the other."""
    await after_originate(call, originate(call, plan), plan)


async def after_originate(call: Call, a: Channel, plan: Plan) -> None:
    """What follows once the asker's phone rings: a busy phone ends it before any record."""
    pbx = call.pbx
    await call.wait(min(plan.ring_s, 1.0))
    if plan.how == "first-busy":
        pbx.ask_hangup(a, 17, tech=486)
        pbx.dial(None, a, "BUSY", plan.origin)
        pbx.destroy(a, 17, tech=486)
        pbx.device_states(a.endpoint)
        return
    pbx.state(a, "Up")
    pbx.dial(None, a, "ANSWER", plan.origin)
    pbx.step(a, plan.context, plan.destiny, 1, "Goto", f"dial-one,{plan.destiny},1")
    call.enter_dial_one(a, plan.destiny)
    pbx.device_states(a.endpoint)
    await dial_one(call, a, plan, plan.destiny)
