"""Scripted legs of which a consumer must never hear."""

from __future__ import annotations

from simulators.asterisk.dialplan import Call
from simulators.asterisk.scenarios import Plan

SCANNED = ("00442071234567", "9011972595114446", "100", "s", "+15550100123")


async def scanner(call: Call, plan: Plan) -> None:
    """Strangers try numbers; nobody rings. Recordings 14 and 17.

    `members` are the numbers tried; `caller_name` is the number the stranger shows, "-" for none.
    """
    pbx = call.pbx
    for index, number in enumerate(plan.members or (*SCANNED, plan.destiny)):
        shown = "" if plan.caller_name == "-" else plan.caller_name or str(100 + index)
        caller = {"name": "", "number": shown}
        a = pbx.create("anonymous", state="Ring", exten=number, context="from-anonymous", caller=caller)
        call.legs.append(a)
        a.protocol_id = pbx.fresh_uuid()
        pbx.set(a, "SIPDOMAIN", "127.0.0.1")
        if number != "s":
            pbx.step(a, "from-anonymous", number, 1, "Wait", "0.3")
            await call.wait(0.3)
        pbx.step(a, "from-anonymous", number, 1 if number == "s" else 2, "Hangup", "21")
        pbx.ask_hangup(a, 16, soft=True)
        pbx.step(a, "from-anonymous", "h", 1, "Wait", "0.3")
        pbx.destroy(a, 21, tech=403)
        await call.wait(0.15)


async def no_caller_number(call: Call, plan: Plan) -> None:
    """A stranger who shows no number calls a known phone. Recording 17."""
    await scanner(call, Plan(plan.origin, plan.destiny, members=(plan.destiny,), caller_name="-"))


async def exten_s(call: Call, plan: Plan) -> None:
    """A known phone dials "s". Recording 15."""
    a = call.incoming(plan.origin, "s")
    call.pbx.step(a, "from-endpoints", "s", 1, "Wait", "1")
    await call.wait(1.0)
    call.pbx.step(a, "from-endpoints", "s", 2, "Hangup", "1")
    call.pbx.ask_hangup(a, 16, soft=True)
    call.pbx.destroy(a, 1, tech=404)


async def unknown_number(call: Call, plan: Plan) -> None:
    """A known phone dials a number that is nobody's. Recording 16."""
    a = call.incoming(plan.origin, plan.destiny)
    call.pbx.step(a, "from-endpoints", plan.destiny, 1, "Goto", f"dial-one,{plan.destiny},1")
    call.enter_dial_one(a, plan.destiny, known=False)
    call.pbx.step(a, "dial-one", plan.destiny, 5, "Hangup", "1")
    call.pbx.ask_hangup(a, 16, soft=True)
    call.pbx.destroy(a, 1, tech=404)


async def call_file_failed(call: Call, plan: Plan) -> None:
    """A call file whose phone cannot be reached. Recording 21."""
    pbx = call.pbx
    caller = {"name": "Click", "number": plan.destiny}
    a = pbx.create("", state="Down", exten="failed", caller=caller, name="OutgoingSpoolFailed")
    call.legs.append(a)
    pbx.set(a, "REASON", "0")
    pbx.set(a, "AST_OUTGOING_ATTEMPT", "1")
    pbx.step(a, "from-endpoints", "failed", 1, "NoOp", "originate failed 0")
    pbx.step(a, "from-endpoints", "failed", 2, "Hangup", "")
    pbx.ask_hangup(a, 16, soft=True)
    pbx.destroy(a, 16)
    pbx.event("DeviceStateChanged", device_state={"name": "OutgoingSpoolFailed", "state": "INVALID"})


async def registration(call: Call, plan: Plan) -> None:
    """A phone registers, renews (silently) and goes. Recording 22."""
    call.pbx.register(plan.origin)
    await call.wait(plan.talk_s)
    call.pbx.register(plan.origin, call.pbx.phones[plan.origin].uri)
    await call.wait(plan.talk_s)
    call.pbx.unregister(plan.origin)
