"""The old system's messages: the JSON bodies that the web systems of the clients understand.

One message per fact, to the vhost of the fact's client. Field names and their order are the old ones;
what is ours stands in `extra`.
Source: contracts/asterisk.md section 9.2, 9.3 and 9.5.

Options of a subscription: `event_codes` (operation type -> code), `extra` (False leaves ours out).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from atalaia.deliveries.formats import Outgoing
from atalaia.events.model import Event

EVENT_CODES = {"received-call": "8000", "push": "8009", "endpoint-status": "8013"}
CALL_FACTS = frozenset({"call.opened", "call.answered", "call.ended"})

Json = Mapping[str, Any]


class AsteriskMessages:
    """The format `asterisk.messages`."""

    @property
    def name(self) -> str:
        """Answer the format's name in a subscription."""
        return "asterisk.messages"

    def render(self, event: Event, options: Mapping[str, Any]) -> Outgoing | None:
        """Answer the message of a fact, None when it has none or belongs to no client."""
        if event.family != "fact":
            return None
        data = cast("Json", orjson.loads(event.body))
        return render(event.type, event.occurred_ms, data, options)


MESSAGES = AsteriskMessages()


def render(fact_type: str, at_ms: int, data: Json, options: Mapping[str, Any]) -> Outgoing | None:
    """Answer the message of one fact, as `AsteriskMessages.render` does."""
    if not data.get("vhost"):
        return None
    if fact_type in CALL_FACTS:
        ident = f"{data['guid']}:{data['channelstatus']}"
        return _message("received-call", at_ms, data, _call(data, options), ident, options)
    if fact_type == "endpoint.wake_requested":
        body = {key: data[key] for key in ("endpoint", "origin", "guid", "expires")}
        return _message("push", at_ms, data, body, f"{data['guid']}:push:{data['endpoint']}", options)
    if fact_type == "endpoint.status_changed" and not data.get("first"):
        ident = f"{data['endpoint']}:{data['status']}:{data['since_ms']}"
        return _message("endpoint-status", at_ms, data, _status(data), ident, options)
    return None


def _message(
    kind: str, at_ms: int, data: Json, body: dict[str, Any], ident: str, options: Mapping[str, Any]
) -> Outgoing:
    codes = {**EVENT_CODES, **cast("Json", options.get("event_codes") or {})}
    vhost = str(data["vhost"])
    operation = {"type": kind, "event_code": str(codes[kind]), "timestamp": at_ms // 1000, "vhost": vhost}
    text = orjson.dumps({"operation": operation, "data": body})
    return Outgoing(destination=vhost, message_id=ident, body=text, routing_key=kind)


def _call(data: Json, options: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the body of received-call. `callstatus` is 1 at open and 2 from oncall on, to the end."""
    status = data["channelstatus"]
    first = ("origin", "destiny", "origin_type", "destiny_type", "callnumber", "guid", "channelstatus")
    body = {key: data[key] for key in (*first, "callstatus", "channel")}
    if status != "open":
        body["ringduration"] = data["ring_s"]
        if data["extra_channel"]:
            body["extra_channel"] = data["extra_channel"]
    if status in {"closed", "unanswered"}:
        body.update(callduration=data["talk_s"], dtmf=data["dtmf"], urlfilename=data["urlfilename"])
    if data["forceclose"]:
        body["forceclose"] = "Y"
    if options.get("extra", True):
        body["extra"] = {key: data[key] for key in _EXTRA}
    return body


_EXTRA = (
    "server",
    "linked_guid",
    "reason",
    "hangup_by",
    "transferred_to",
    "forceclose",
    "opened_ms",
    "answered_ms",
    "ended_ms",
    "audio",
    "recovered",
)


def _status(data: Json) -> dict[str, Any]:
    body: dict[str, Any] = {"endpoint": data["endpoint"], "status": data["status"]}
    if data.get("address"):
        body["ip"] = data["address"]
    body["since"] = data["since_ms"] // 1000
    return body
