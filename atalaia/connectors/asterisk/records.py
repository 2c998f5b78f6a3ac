"""Conversations as facts: what `call.opened`, `call.answered` and `call.ended` say.

Source: contracts/asterisk.md section 5.3.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from atalaia.connectors.asterisk.ledger import Call, Ledger, Leg

BUSY, REJECTED, NO_ANSWER = 17, 21, 19  # Q.850 causes of a callee's leg


def say_opened(ledger: Ledger, call: Call) -> None:
    """Say that a conversation began."""
    _say(ledger, "call.opened", call, call.opened_ms, "open", {})


def say_answered(ledger: Ledger, call: Call) -> None:
    """Say that somebody answered."""
    _say(ledger, "call.answered", call, call.answered_ms or call.opened_ms, "oncall", {})


def say_ended(ledger: Ledger, call: Call, ended_ms: int, *, recording: str, forced: bool = False) -> None:
    """Say that a conversation is over; `recording` = path of its sound, `""` for none."""
    talked = call.answered_ms is not None
    outcome = "closed" if talked else "unanswered"
    name = _base_name(recording) if talked else ""
    audio_host, url = _place(ledger, call, name)
    more = {
        "ended_ms": ended_ms,
        "outcome": outcome,
        "reason": "" if talked else reason_of(call, forced=forced),
        "hangup_by": _hangup_by(call, talked=talked),
        "recording": name,
        "recording_path": recording if name else "",
        "urlfilename": url,
        "audio_host": audio_host,
        "audio": "planned" if url else "",
        "forceclose": forced,
    }
    _say(ledger, "call.ended", call, ended_ms, outcome, more)


def reason_of(call: Call, *, forced: bool) -> str:
    """Answer why nobody answered."""
    if call.cancelled:
        return "cancelled"
    if forced:
        return "lost"
    if not call.members:
        return "offline"
    cause, hung_up = list(call.causes.values())[-1] if call.causes else (0, False)
    if cause == NO_ANSWER and hung_up:
        return "unavailable"
    return {BUSY: "busy", REJECTED: "rejected"}.get(cause, "noanswer")


def seconds(ms: int) -> int:
    """Answer whole seconds, rounded half up; a clock that stepped back counts as 0."""
    return max(0, (ms + 500) // 1000)


def recording_of(call: Call, leg: Leg | None) -> str:
    """Answer the last recording of the caller's leg, unless it belongs to an earlier conversation."""
    path = leg.recording if leg else ""
    return "" if path == call.no_recording else path


def dialled_in(recording: str) -> str:
    """Answer the dialled number in a recording's name, `""` if it is named otherwise.

    `internal-<origin>-<dialled>-<YYYYMMDD>-<HHMMSS>-<id>.wav` is all that still tells it when the hub
    came late and the caller's leg is inside of a subroutine.
    """
    found = _RECORDING.match(_base_name(recording))
    return found[1] if found else ""


_RECORDING = re.compile(r"internal-[^-]*-([^-]+)-\d{8}-\d{6}-")


def _base_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _hangup_by(call: Call, *, talked: bool) -> str:
    if talked:
        return call.hangup or "system"
    return "transfer" if call.hangup == "transfer" else "origin" if call.cancelled else ""


def _place(ledger: Ledger, call: Call, name: str) -> tuple[str, str]:
    """Answer host and planned address of a recording; the guid chooses among the audio servers."""
    rules = ledger.directory.rules
    if not name or not rules.audio_servers:
        return "", ""
    noise = hashlib.blake2b(call.guid.encode(), digest_size=4).digest()
    host = rules.audio_servers[int.from_bytes(noise, "big") % len(rules.audio_servers)]
    stem = name.rsplit(".", 1)[0]
    return host, rules.url_rule.format(audio=host, server=call.server, name=stem)


def _say(ledger: Ledger, fact_type: str, call: Call, at_ms: int, status: str, more: dict[str, Any]) -> None:
    answered, ended = call.answered_ms, more.get("ended_ms")
    ring_until = answered if answered is not None else ended
    ring_ms = None if ring_until is None else max(0, ring_until - call.opened_ms)
    talk_ms = None if ended is None else max(0, ended - answered) if answered is not None else 0
    data = {
        "guid": call.guid,
        "linked_guid": call.linked_guid,
        "channelstatus": status,
        "callstatus": 1 if answered is None else 2,
        "origin": call.origin,
        "origin_type": call.origin_type,
        "destiny": call.destiny,
        "destiny_type": call.destiny_type,
        "dialled": call.dialled,
        "answered_by": call.answered_by,
        "client": call.client,
        "vhost": call.vhost,
        "server": call.server,
        "callnumber": call.callnumber,
        "channel": call.channel,
        "extra_channel": call.extra_channel,
        "channel_id": call.channel_id,
        "ring_ms": ring_ms,
        "talk_ms": talk_ms,
        "ring_s": None if ring_ms is None else seconds(ring_ms),
        "talk_s": None if talk_ms is None else seconds(talk_ms),
        "opened_ms": call.opened_ms,
        "answered_ms": answered,
        "ended_ms": None,
        "outcome": "",
        "reason": "",
        "hangup_by": "",
        "dtmf": call.dtmf,
        "recording": "",
        "recording_path": "",
        "urlfilename": "",
        "audio_host": "",
        "audio": "",
        "transferred_to": call.transferred_to,
        "recovered": call.recovered,
        "forceclose": False,
        "pushed": bool(call.woken),
        "clicktocall": call.clicktocall,
        **more,
    }
    ledger.say(fact_type, call.guid, at_ms, data, f"{call.guid}:{status}")
