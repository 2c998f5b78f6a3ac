"""Every scenario of `call list`, each on phones of its own, and what a consumer must come to know of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.journeys.bus import Conversation
from tests.peers.asterisk import CALL, Asterisk

PHONES_AT_ONCE = 8


@dataclass(frozen=True)
class Played:
    """One scenario with its phones. also: records that follow by the contract and `call` does not print.

    ring: by the contract where `call` prints another one (a push counts the waiting).
    """

    scenario: str
    options: dict[str, Any]
    vhost: str
    also: tuple[dict[str, Any], ...] = ()
    ring: float | None = None
    reason: str = ""

    @property
    def phones(self) -> set[str]:
        """Answer the numbers that only this scenario calls from."""
        return {str(value) for name, value in self.options.items() if name in ("origin", "to", "target")}


def _load(scenario: str, first: int, *, target: bool = False, **options: Any) -> Played:
    """Phones of client 114: the load endpoints from 1147101 on, which `many` and `load` leave alone."""
    given = {"origin": first, "to": first + 1, **({"target": first + 2} if target else {}), **options}
    return Played(scenario, given, "cliente114")


# These share the members of the ring groups, so they are played one after the other.
GROUPS = [
    Played("ring-group", {"origin": "1121001", "winner": 2}, "cliente112"),
    Played("hunt", {"origin": "1121002"}, "cliente112"),
    Played("queue", {"origin": "1121003"}, "cliente112"),
    Played("ring-group-partly-offline", {"origin": "1121004"}, "cliente112"),
    Played("ring-group-none", {"origin": "1121005"}, "cliente112"),
    Played("queue-none", {"origin": "1121006"}, "cliente112"),
]
# These call from the first load endpoints on.
LOADS = [
    Played("many", {"count": 10, "rate": 20}, "cliente114"),
    Played("load", {"count": 5, "calls": 20, "rate": 5, "talk": 1, "ring": 0.5}, "cliente114"),
]
ALONE = [
    _load("registration-expires", 1147101),
    _load("dead-phone", 1147104),
    Played("no-answer", {"origin": "1131003", "to": "1131004"}, "cliente113"),
    Played("push-in-vain", {"origin": "1131", "unit": "1133001"}, "cliente113", ring=12, reason="offline"),
    _load("registration", 1147107),
    Played("answered", {"origin": "1121007", "to": "1121008"}, "cliente112"),
    Played("callee-hangs-up", {"origin": "1131001", "to": "1131002"}, "cliente113"),
    Played("cancelled", {"origin": "1131005", "to": "1131006", "ring": 2}, "cliente113"),
    _load("busy", 1147110),
    _load("rejected", 1147113),
    _load("unavailable", 1147116),
    _load("offline", 1147119),
    _load("blind-by-caller", 1147122, target=True),
    _load("blind-by-callee", 1147125, target=True),
    _load("attended", 1147128, target=True),
    _load("dtmf", 1147131, digits="14*#"),
    _load("dtmf-rtp", 1147134, digits="5678"),
    Played("ia", {"origin": "1121"}, "cliente112"),
    Played("push-wake", {"origin": "1122", "unit": "1123001"}, "cliente112", ring=3.5),
    _load("click-to-call", 1147137),
    _load("click-to-call-refused", 1147140),
    _load("call-file-failed", 1147143),
    Played("scan", {"count": 6}, ""),
    Played("wrong-password", {"to": "1147146"}, ""),
    Played("unknown-number", {"origin": "1147147"}, ""),
    Played("exten-s", {"origin": "1147148"}, ""),
    Played("no-number", {"to": "1147149"}, ""),
]
ALL = [*GROUPS, *LOADS, *ALONE]
# An attended transfer joins the two that remain: a third conversation, by contract section 5.2.
THIRD = {"origin": "1147129", "destiny": "1147130", "channelstatus": "closed", "ringduration": 0}


@dataclass
class Outcome:
    """What the phones saw."""

    played: Played
    result: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def expected(self) -> list[dict[str, Any]]:
        """Answer the records that a consumer must come to know."""
        records = [dict(one) for one in self.result["expect"]]
        for one in records:
            if self.played.ring is not None:
                one["ringduration"] = self.played.ring
            if self.played.reason:
                one["reason"] = self.played.reason
        return [*records, THIRD] if self.played.scenario == "attended" else records

    def pick(self, found: Iterable[Conversation]) -> list[Conversation]:
        """Answer the conversations that these phones began while the scenario was played, oldest first."""
        since_ms, until_ms = self.result["began"] * 1000 - 500, self.result["ended"] * 1000 + 500
        phones = self.played.phones | {one["origin"] for one in self.expected}
        mine = [
            one
            for one in found
            if one.first["origin"] in phones and since_ms <= one.first["extra"]["opened_ms"] <= until_ms
        ]
        return sorted(mine, key=lambda one: (one.first["extra"]["opened_ms"], one.guid))


def list_scenarios() -> set[str]:
    """Answer the names that `call list` prints."""
    printed = subprocess.run([str(CALL), "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in printed.splitlines()}


def play_all(asterisk: Asterisk) -> dict[str, Outcome]:
    """Play every scenario, those with phones of their own side by side."""
    rows = (GROUPS, LOADS, *([one] for one in ALONE))
    return {one.played.scenario: one for one in play_rows(asterisk, rows)}


def play_rows(asterisk: Asterisk, rows: Iterable[Sequence[Played]]) -> list[Outcome]:
    """Play rows side by side, each in its order."""
    with ThreadPoolExecutor(PHONES_AT_ONCE) as pool:
        played = [pool.submit(_play_row, asterisk, row) for row in rows]
        return [one for row in played for one in row.result()]


def _play_row(asterisk: Asterisk, row: Sequence[Played]) -> list[Outcome]:
    return [_play(asterisk, one) for one in row]


def _play(asterisk: Asterisk, one: Played) -> Outcome:
    """Play one, again if its phones failed: `call` writes their scripts anew while others read them."""
    result: dict[str, Any] = {}
    for _ in range(3):
        result = asterisk.start_call(one.scenario, **one.options).result()
        if result["ok"]:
            break
    return Outcome(one, result)
