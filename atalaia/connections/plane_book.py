"""What was seen of each plane of one connection, and which of them its session has still to prove."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atalaia.connections.session import Plane, PlaneState
from atalaia.events.fit import fit_text

TEXT_CHARS_MAX = 2000
ANEW = "Not proven since the session was opened."


@dataclass
class Seen:
    """The latest look at a plane. seen_ms: when it was proven last, also by sessions before this one."""

    state: PlaneState
    claim: str
    evidence: dict[str, Any]
    seen_ms: int | None
    checked_ms: int


class PlaneBook:
    """One connection's. `changed` names what is not written yet; `missing` what is to be proven anew."""

    def __init__(self, declared: tuple[Plane, ...]) -> None:
        self.seen: dict[str, Seen] = {}
        self.changed: set[str] = set()
        self.missing: set[str] = set()
        self._declared = declared
        self._before: dict[str, int] = {}
        self._accounts: dict[str, str] = {}

    def remember(self, proofs: Mapping[str, int], accounts: Mapping[str, str]) -> None:
        """Take when planes were proven last, and whose session it was, as the last process wrote it down."""
        self._before, self._accounts = dict(proofs), dict(accounts)

    def begin_anew(self, now_ms: int) -> None:
        """Take it that the upstream's session is another one: what the last one proved says nothing of it."""
        self.missing = {plane.name for plane in self._declared if plane.anew}
        for name in self.missing:
            self.seen[name] = Seen("unknown", "", {"said": ANEW}, self._last(name), now_ms)
        self.changed |= self.missing

    def prove(self, plane: str, state: PlaneState, claim: str, evidence: dict[str, Any], now_ms: int) -> bool:
        """Note a look. Answers whether it proved the last one that was missing."""
        # Whose session it is stays known, whatever proves the plane next.
        if account := evidence.get("account"):
            self._accounts[plane] = str(account)
        elif plane in self._accounts:
            evidence = {**evidence, "account": self._accounts[plane]}
        seen_ms = now_ms if state == "proven" else self._last(plane)
        self.seen[plane] = Seen(state, claim, evidence, seen_ms, now_ms)
        self.changed.add(plane)
        return state == "proven" and self._proven(plane)

    def prove_by_events(self, came_ms: int) -> bool:
        """Hearing is proven up to what is durable; what came after it may still be lost with this process.

        Answers whether that proved the last plane that was missing.
        """
        done = False
        for plane in self._declared:
            seen = self.seen.get(plane.name)
            if plane.by_events and seen is not None and (seen.seen_ms or 0) < came_ms:
                seen.seen_ms = came_ms
                self.changed.add(plane.name)
                done = self._proven(plane.name) or done
        return done

    def oldest(self, names: Iterable[str], most_ms: int) -> int:
        """Answer when the plane of these that was proven longest ago was proven, at most `most_ms`."""
        proofs = [self.seen[name].seen_ms for name in names if name in self.seen]
        return min([most_ms, *(proof for proof in proofs if proof is not None)])

    def brief(self) -> dict[str, Any]:
        """Answer all planes as facts of transitions tell them."""
        return {
            name: {"state": one.state, "claim": one.claim, "seen_ms": one.seen_ms, **one.evidence}
            for name, one in self.seen.items()
        }

    def rows(self, connection: str, names: Iterable[str]) -> list[dict[str, Any]]:
        """Answer what is known of some planes as rows of the table."""
        return [self._row(connection, name, self.seen[name]) for name in sorted(names)]

    def _row(self, connection: str, name: str, seen: Seen) -> dict[str, Any]:
        return {
            "connection": connection, "plane": name, "state": seen.state,
            "claim": fit_text(seen.claim, TEXT_CHARS_MAX), "evidence": json.dumps(seen.evidence),
            "seen_ms": seen.seen_ms, "checked_ms": seen.checked_ms,
        }  # fmt: skip

    def _last(self, plane: str) -> int | None:
        before = self.seen.get(plane)
        return before.seen_ms if before is not None else self._before.get(plane)

    def _proven(self, plane: str) -> bool:
        if plane not in self.missing:
            return False
        self.missing.discard(plane)
        return not self.missing
