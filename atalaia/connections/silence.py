"""Whether a session's silence means something: counted per session and kind, against its own week.

Pure: no clock, no database; `rhythms.py` reads a `Rhythm` from what the log counted. A suspicion is a reason
to look (`ladder.Look`), never one to act: on a feast day a healthy session is as silent as a deaf one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from atalaia.clock import from_ms, to_ms

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEKS = 4


@dataclass(frozen=True, slots=True)
class SilenceRules:
    """When silence is suspicious. Source: the WhatsApp contract, section 5.2; it holds for every upstream.

    unlikely: so improbable must it be to hear nothing, were all well: e^-λ below this (0.001: λ above 6.9).
    quiet: without a rhythm to compare with, a watched kind may be silent for so long while others go on.
    others_within: others go on when one of them came so lately.
    gap_least, gap_times: no event of any kind for longer than both the first and so many usual gaps.
    burst_most: so many events of an hour count for the usual gap: many at once say nothing of the next hour.
    """

    unlikely: float = 0.001
    quiet: timedelta = timedelta(hours=24)
    others_within: timedelta = timedelta(hours=6)
    gap_least: timedelta = timedelta(minutes=30)
    gap_times: float = 3.0
    burst_most: int = 6


@dataclass(frozen=True)
class Rhythm:
    """What one session heard. Times are Unix milliseconds; hours begin at full hours of UTC.

    counts: kind -> beginning of an hour -> how many events of it occurred then, also those recovered later.
    last_ms: kind -> when the last one came by itself. Recovered ones prove nothing about hearing.
    since_ms: from when on the session was listened to; of the time before nothing is known.
    unheard: intervals in which nothing was heard for other reasons; their hours say nothing of the usual.
    """

    counts: Mapping[str, Mapping[int, int]]
    last_ms: Mapping[str, int]
    since_ms: int
    unheard: Sequence[tuple[int, int]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why a session should be looked at.

    kind: `deaf` = others go on, but not this kind; `silent` = nothing comes at all.
    rule: which of the three found it. event: the kind that is missed, "" = every one.
    since_ms: from when on nothing was heard or proven. expected: how many should have come, None = unknown.
    chance: how likely such a silence is, were all well. others_ms: the last event of another kind.
    """

    kind: Literal["silent", "deaf"]
    rule: Literal["expected", "quiet", "usual_gap"]
    event: str
    since_ms: int
    expected: float | None = None
    chance: float | None = None
    others_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Fresh:
    """How fresh one kind is, for a person to look at; `judge` draws the same line.

    last_ms: when the last one came by itself, None = none in four weeks. usual: how many this hour of the
    week brings; expected: how many should have come since the last one; None = nothing to compare with.
    late: whether hearing none since then is improbable.
    """

    kind: str
    last_ms: int | None
    usual: float | None
    expected: float | None
    late: bool


def judge(
    rhythm: Rhythm, watched: Iterable[str], now_ms: int, zone: ZoneInfo, rules: SilenceRules | None = None, *,
    proven_ms: Mapping[str, int] | None = None,
) -> Suspicion | None:  # fmt: skip
    """Answer the gravest suspicion about one session, None when its silence means nothing.

    watched: kinds whose absence alone is a loss, e.g. messages of others; the rest shows that the page lives.
    zone: the account's, for the hours of its week. proven_ms: kind -> when a look proved that none was
    missed; silence is counted from there, so that a quiet session is looked at now and then and not all the
    time.
    """
    rules, proven = rules or SilenceRules(), proven_ms or {}
    found = [_of_one(rhythm, kind, now_ms, zone, rules, proven) for kind in watched]
    found.append(_of_all(rhythm, now_ms, zone, rules, proven))
    suspicions = [one for one in found if one is not None]
    return min(suspicions, key=lambda one: (one.kind != "deaf", one.since_ms), default=None)


def expected(
    rhythm: Rhythm, kinds: Iterable[str], low_ms: int, high_ms: int, zone: ZoneInfo, *, most: int | None =
    None
) -> float | None:  # fmt: skip
    """Answer how many events of these kinds an interval should bring, None when nothing is known of it.

    Each hour is compared with the same hour of the week, by the clock on the wall of `zone`, in the last four
    weeks that were heard. most: at most so many of an hour count.
    """
    lines, total, known = [rhythm.counts.get(kind, {}) for kind in kinds], 0.0, False
    hour = low_ms - low_ms % HOUR_MS
    while hour < high_ms:
        part = (min(high_ms, hour + HOUR_MS) - max(low_ms, hour)) / HOUR_MS
        usual = [
            sum(line.get(one, 0) for line in lines)
            for one in _same_hours(hour, zone)
            if one + HOUR_MS <= low_ms and _is_known(rhythm, one)
        ]
        if usual:
            known = True
            total += part * sum(n if most is None else min(n, most) for n in usual) / len(usual)
        hour += HOUR_MS
    return total if known else None


def freshness(
    rhythm: Rhythm, kinds: Iterable[str], now_ms: int, zone: ZoneInfo, rules: SilenceRules | None = None
) -> list[Fresh]:
    """Answer how fresh each of these kinds is, in their order."""
    rules, hour = rules or SilenceRules(), now_ms - now_ms % HOUR_MS
    found: list[Fresh] = []
    for kind in kinds:
        last = rhythm.last_ms.get(kind)
        since = rhythm.since_ms if last is None else last
        number = expected(rhythm, (kind,), since, now_ms, zone)
        usual = expected(rhythm, (kind,), hour, hour + HOUR_MS, zone)
        late = number is not None and math.exp(-number) < rules.unlikely
        found.append(Fresh(kind, last, usual, number, late))
    return found


def _of_one(
    rhythm: Rhythm, kind: str, now_ms: int, zone: ZoneInfo, rules: SilenceRules, proven: Mapping[str, int]
) -> Suspicion | None:
    since = max(rhythm.last_ms.get(kind, rhythm.since_ms), proven.get(kind, 0))
    others = max((at for name, at in rhythm.last_ms.items() if name != kind), default=None)
    go_on = others is not None and others > since and now_ms - others < _ms(rules.others_within)
    number = expected(rhythm, (kind,), since, now_ms, zone)
    if number is not None and math.exp(-number) < rules.unlikely:
        how = "deaf" if go_on else "silent"
        return Suspicion(how, "expected", kind, since, round(number, 2), math.exp(-number), others)
    if go_on and now_ms - since > _ms(rules.quiet):
        chance = None if number is None else math.exp(-number)
        return Suspicion("deaf", "quiet", kind, since, number and round(number, 2), chance, others)
    return None


def _of_all(
    rhythm: Rhythm, now_ms: int, zone: ZoneInfo, rules: SilenceRules, proven: Mapping[str, int]
) -> Suspicion | None:
    since = max([rhythm.since_ms, *rhythm.last_ms.values(), *proven.values()])
    if now_ms - since <= _ms(rules.gap_least):
        return None
    number = expected(rhythm, rhythm.counts, since, now_ms, zone, most=rules.burst_most)
    # The usual gap is the silence divided by what it should have brought: three of them are three events.
    if number is None or number <= rules.gap_times:
        return None
    return Suspicion("silent", "usual_gap", "", since, round(number, 2), math.exp(-number))


@lru_cache(maxsize=8192)  # all sessions of a zone ask for the same hours
def _same_hours(hour_ms: int, zone: ZoneInfo) -> list[int]:
    """Answer the same hour of the week in the weeks before, by the clock on the wall."""
    local = from_ms(hour_ms).astimezone(zone)
    before = (to_ms(local - timedelta(weeks=week)) for week in range(1, WEEKS + 1))
    return [one - one % HOUR_MS for one in before]


def _is_known(rhythm: Rhythm, hour_ms: int) -> bool:
    end = hour_ms + HOUR_MS
    return hour_ms >= rhythm.since_ms and not any(
        low < end and high > hour_ms for low, high in rhythm.unheard
    )


def _ms(length: timedelta) -> int:
    return round(length.total_seconds() * 1000)
