"""Own captures of a real Asterisk (22.10.1 and 16.28.0) for what the shared recordings do not show.

The table says what the SIP phones really did: ring and talk in seconds as told to them, who answered,
and the reason. Times rebuilt after a loss may differ by what a WAV file's steps allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from atalaia.connectors.asterisk.capture import open_capture
from atalaia.connectors.asterisk.replay import replay
from tests.connectors.asterisk.folding import OWN, world


@dataclass(frozen=True)
class Call:
    """What one call must come to. talk None = never answered."""

    origin: str
    destiny: str
    ring_s: float
    talk_s: float | None
    reason: str = ""
    digits: str = ""
    to: str = ""
    forced: bool = False
    dialled: str = ""


A, B, C, GROUP, HUNT, QUEUE, PHONE = (
    "1121001",
    "1121002",
    "1121003",
    "1128001",
    "1128002",
    "1128009",
    "1123001",
)
TRANSFER = [Call(A, B, 1, 2, to=C), Call(B, C, 1, 2)]
ATTENDED = [Call(A, B, 1, 5, to=C), Call(A, C, 1, 2), Call(B, C, 0, 3)]

TABLE: dict[str, list[Call]] = {
    "twelve-at-once": [Call(f"11470{n:02}", f"11470{n + 12:02}", 1.5, 3) for n in range(1, 13)],
    "dtmf-by-rtp": [Call(A, B, 1.5, 4, digits="159*")],
    "blind-transfer-by-caller": TRANSFER,
    "unavailable-480": [Call(A, B, 1.5, None, "unavailable")],
    "queue-nobody": [Call(A, QUEUE, 20.2, None, "noanswer")],
    "ring-group-partly-offline": [Call(A, "1122003", 1.5, 3, dialled=GROUP)],
    "click-to-call-refused": [],
    "push-in-vain": [Call(A, PHONE, 12.1, None, "offline")],
    "lost-while-ringing": [Call(A, B, 6, 4)],
    "lost-over-the-answer": [Call(A, B, 2, 6)],
    "lost-over-answer-and-end": [Call(A, B, 2, 2, forced=True)],
    "lost-over-the-cancel": [Call(A, B, 1.3, None, "lost", forced=True)],
    "lost-over-a-blind-transfer": [Call(A, B, 1, 2.7, to=C), Call(A, C, 0, 4)],
    "lost-and-back-while-the-transfer-rings": [Call(A, B, 3, 1.2), Call(A, C, 5.8, 4)],
    "lost-over-an-attended-transfer": [
        Call(A, B, 1, 7, forced=True),
        Call(A, C, 1, 2, forced=True),
        Call(B, C, 0, 7),
    ],
    "lost-over-the-answer-of-a-group": [Call(A, "1122002", 3, 6, dialled=GROUP)],
    "lost-over-the-answer-of-a-queue": [Call(A, "1122002", 3, 6, dialled=QUEUE)],
    "lost-over-the-begin-of-an-ia-call": [Call(A, "94", 0, 6.2)],
    "lost-over-the-begin-of-a-call": [Call(A, B, 1, 5)],
    "killed-mid-call": [Call(A, B, 1, 4.1, forced=True)],
    "starting-while-a-group-rings": [Call(A, "1122002", 5, 3, dialled=GROUP)],
    "starting-before-an-attended-transfer": [Call(A, B, 1, 7, to=C), Call(A, C, 1, 2), Call(B, C, 0, 5)],
    "asterisk16-attended-transfer": ATTENDED,
    "asterisk16-queue": [Call(A, "1122002", 1, 2, dialled=QUEUE)],
    "asterisk16-push-wake": [Call(A, PHONE, 3.5, 2)],
    "asterisk16-blind-transfer-by-caller": TRANSFER,
    "asterisk16-lost-over-answer-and-end": [Call(A, B, 2, 2, forced=True)],
    "asterisk16-hunt": [Call(A, "1122002", 5, 2, dialled=HUNT)],
    "asterisk16-click-to-call": [Call(A, B, 1, 2)],
    "asterisk16-unavailable-480": [Call(A, B, 1, None, "unavailable")],
}


@pytest.mark.parametrize("name", TABLE)
def test_a_capture_comes_to_what_the_phones_did(name: str) -> None:
    lasts = _calls(name)
    if name == "twelve-at-once":
        lasts.sort(key=lambda one: one["origin"])

    assert [(one["origin"], one["destiny"]) for one in lasts] == [
        (one.origin, one.destiny) for one in TABLE[name]
    ]
    for one, wanted in zip(lasts, TABLE[name], strict=True):
        assert one["ring_ms"] == pytest.approx(wanted.ring_s * 1000, abs=150)
        assert one["answered_ms"] is not None if wanted.talk_s is not None else one["answered_ms"] is None
        assert one["talk_ms"] == pytest.approx((wanted.talk_s or 0) * 1000, abs=300)
        assert (one["reason"], one["dtmf"], one["forceclose"]) == (
            wanted.reason,
            wanted.digits,
            wanted.forced,
        )
        assert one["transferred_to"] == wanted.to
        assert one["dialled"] == (wanted.dialled or wanted.destiny)


def test_every_capture_is_in_the_table() -> None:
    assert {path.name.removesuffix(".jsonl.gz") for path in OWN.glob("*.gz")} == TABLE.keys()


@pytest.mark.parametrize("name", [name for name, calls in TABLE.items() if len(calls) in {2, 3}])
def test_the_last_part_of_a_transfer_leads_back_to_the_first(name: str) -> None:
    calls = _calls(name)

    assert calls[-1]["linked_guid"] == calls[0]["guid"] != calls[-1]["guid"]


def _calls(name: str) -> list[dict[str, Any]]:
    """Answer the last fact of each call, in order of opening."""
    found: dict[str, dict[str, Any]] = {}
    for line in replay(open_capture(OWN / f"{name}.jsonl.gz"), world()):
        assert line["kind"] == "fact"
        if str(line["type"]).startswith("call."):
            found[str(line["subject"])] = line["data"]  # type: ignore[assignment]
    return list(found.values())
