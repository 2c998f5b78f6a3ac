"""What a consumer of call messages sees, and what must be true of it whatever happened on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.peers.rabbitmq import Received

# Contract section 9.2: what stands in `data`, by channelstatus; `extra` and `forceclose` are ours.
OPEN = {
    "origin", "destiny", "origin_type", "destiny_type", "callnumber", "guid", "channelstatus", "callstatus",
    "channel",
}  # fmt: skip
ONCALL = OPEN | {"extra_channel", "ringduration"}
ENDED = {"ringduration", "callduration", "urlfilename", "dtmf"}
EXTRA = {
    "server", "linked_guid", "reason", "hangup_by", "transferred_to", "forceclose", "opened_ms",
    "answered_ms", "ended_ms", "audio",
}  # fmt: skip
ORDERS = (["open", "oncall", "closed"], ["open", "unanswered"])


@dataclass
class Conversation:
    """One guid's messages as a consumer that drops repeats by `message_id` keeps them, in order."""

    guid: str
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def statuses(self) -> list[str]:
        return [one["data"]["channelstatus"] for one in self.messages]

    @property
    def first(self) -> dict[str, Any]:
        return self.messages[0]["data"]

    @property
    def last(self) -> dict[str, Any]:
        return self.messages[-1]["data"]

    @property
    def vhost(self) -> str:
        return self.messages[0]["operation"]["vhost"]

    @property
    def is_forceclosed(self) -> bool:
        return self.last.get("forceclose") == "Y"

    def __str__(self) -> str:
        last = self.last
        return (
            f"{last['origin']}→{last['destiny']} {'/'.join(self.statuses)} ring {last.get('ringduration')} "
            f"talk {last.get('callduration')} {last['extra']['reason']} {last.get('forceclose', '')}"
        )


def deduplicated(received: Iterable[Received]) -> list[Received]:
    """Keep the first of each `message_id`; a repeat must be the same message."""
    kept: dict[str, Received] = {}
    for one in received:
        assert one.message_id, one
        before = kept.setdefault(one.message_id, one)
        assert before.raw == one.raw, f"one message_id, two bodies: {before.raw!r} and {one.raw!r}"
    return list(kept.values())


def conversations(received: Iterable[Received], kind: str = "received-call") -> dict[str, Conversation]:
    """Sort the messages of one kind by guid, in the order of their arrival."""
    found: dict[str, Conversation] = {}
    for one in deduplicated(received):
        if one.body["operation"]["type"] == kind:
            guid = one.body["data"]["guid"]
            found.setdefault(guid, Conversation(guid)).messages.append(one.body)
    return found


def check_order(found: Mapping[str, Conversation]) -> None:
    """Every conversation is complete and in order, no state is told twice."""
    wrong = [str(one) for one in found.values() if one.statuses not in ORDERS]
    assert not wrong, wrong


def check_shape(message: Received) -> None:
    """One received-call message is exactly as the contract says. Source: contract section 9.1 and 9.2."""
    operation, data = message.body["operation"], message.body["data"]
    assert set(operation) == {"type", "event_code", "timestamp", "vhost"}
    assert operation["event_code"] == "8000"
    assert isinstance(operation["timestamp"], int)
    status = data["channelstatus"]
    expected = {"open": OPEN, "oncall": ONCALL, "closed": ONCALL | ENDED, "unanswered": OPEN | ENDED}[status]
    if data["destiny_type"] == "ia":  # the dialplan itself answers, there is no second channel
        expected = expected - {"extra_channel"}
    assert set(data) - {"extra", "forceclose"} == expected
    assert set(data["extra"]) >= EXTRA
    assert data["callstatus"] == (1 if status == "open" or not data["extra"]["answered_ms"] else 2)
    assert message.message_id == f"{data['guid']}:{status}"
    assert message.persistent
    assert message.content_type == "application/json"
    assert message.routing_key == "received-call"


def near(value: Any, expected: float | None, tolerance: float = 1.0) -> bool:
    """Answer whether a duration fits what the phones did; their timing and ours are rounded."""
    return expected is None or (value is not None and abs(float(value) - expected) <= tolerance + 0.5)
