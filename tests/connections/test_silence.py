"""Silence against the account's own week: what is suspicious, and what is only a quiet night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from atalaia.clock import to_ms
from atalaia.connections.ladder import Act, Calm, Claim, Healthy, Ladder, Rung, Sick, Suspected, step
from atalaia.connections.silence import DAY_MS, HOUR_MS, Rhythm, expected, freshness, judge

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 2, tzinfo=SAO_PAULO)
MINUTE = 60_000
MESSAGES, PRESENCE = "message", "presence"


def at(days: float, hours: float = 0, *, start: datetime = MONDAY) -> int:
    return to_ms(start + timedelta(days=days, hours=hours))


def steady(per_hour: int, *, kind: str = MESSAGES, weeks: int = 4) -> dict[str, dict[int, int]]:
    begin = at(-7 * weeks)
    return {kind: {begin + n * HOUR_MS: per_hour for n in range(weeks * 7 * 24)}}


def test_messages_that_should_have_come_and_did_not_are_suspicious():
    rhythm = Rhythm(steady(10), {MESSAGES: at(0), PRESENCE: at(0, 0.6)}, at(-28))

    assert judge(rhythm, [MESSAGES], at(0, 0.68), SAO_PAULO) is None
    found = judge(rhythm, [MESSAGES], at(0, 0.7), SAO_PAULO)

    assert found is not None
    assert (found.kind, found.rule, found.event, found.since_ms) == ("deaf", "expected", MESSAGES, at(0))
    assert found.expected == pytest.approx(7.0)
    assert found.chance is not None
    assert found.chance < 0.001


def test_when_nothing_else_comes_either_it_is_silent():
    rhythm = Rhythm(steady(10), {MESSAGES: at(0)}, at(-28))
    found = judge(rhythm, [MESSAGES], at(0, 0.7), SAO_PAULO)
    assert found is not None
    assert found.kind == "silent"


def test_the_incident_of_a_dead_session_is_seen_at_once_and_not_after_22_hours():
    """Presence came all day, then nothing: three usual gaps and half an hour are enough."""
    rhythm = Rhythm(steady(4, kind=PRESENCE), {PRESENCE: at(0), MESSAGES: at(-0.5)}, at(-28))
    assert judge(rhythm, [MESSAGES], at(0, 0.75), SAO_PAULO) is None
    found = judge(rhythm, [MESSAGES], at(0, 0.77), SAO_PAULO)
    assert found is not None
    assert (found.kind, found.rule, found.event) == ("silent", "usual_gap", "")


def test_half_an_hour_without_anything_is_never_suspicious():
    rhythm = Rhythm(steady(1000, kind=PRESENCE), {PRESENCE: at(0)}, at(-28))
    assert judge(rhythm, [], at(0, 0.5), SAO_PAULO) is None
    assert judge(rhythm, [], at(0, 0.51), SAO_PAULO) is not None


def test_a_burst_does_not_make_the_usual_gap_short():
    """A hundred in one hour and none in the next: nobody should ask after half an hour."""
    counts = {PRESENCE: {at(-7 * week, hour): 100 for week in range(1, 5) for hour in range(0, 24, 2)}}
    rhythm = Rhythm(counts, {PRESENCE: at(0, 0.9)}, at(-28))
    assert judge(rhythm, [], at(0, 2.3), SAO_PAULO) is None


def test_a_quiet_session_is_looked_at_after_a_day_without_messages_while_others_go_on():
    rhythm = Rhythm({}, {MESSAGES: at(0), PRESENCE: at(0, 22)}, at(-28))
    assert judge(rhythm, [MESSAGES], at(0, 24), SAO_PAULO) is None
    found = judge(rhythm, [MESSAGES], at(0, 24.1), SAO_PAULO)
    assert found is not None
    assert (found.kind, found.rule) == ("deaf", "quiet")


def test_a_look_that_found_nothing_missed_begins_the_silence_anew():
    rhythm = Rhythm({}, {MESSAGES: at(0), PRESENCE: at(1, 22)}, at(-28))
    looked = {MESSAGES: at(1)}
    assert judge(rhythm, [MESSAGES], at(1, 23), SAO_PAULO, proven_ms=looked) is None


def test_nights_are_compared_with_nights():
    day_only = {
        MESSAGES: {at(-7 * w + d, h): 20 for w in range(1, 5) for d in range(7) for h in range(8, 18)}
    }
    rhythm = Rhythm(day_only, {MESSAGES: at(0, 17.9), PRESENCE: at(1, 7.9)}, at(-28))
    assert judge(rhythm, [MESSAGES], at(1, 8), SAO_PAULO) is None
    assert judge(rhythm, [MESSAGES], at(1, 8.5), SAO_PAULO) is not None


def test_the_hour_of_the_week_is_the_accounts_own_also_when_the_clock_is_changed():
    """Berlin goes to summer time on 29 March: eight in the morning stays eight in the morning."""
    summer = datetime(2026, 3, 30, tzinfo=BERLIN)
    counts = {MESSAGES: {at(-7 * week, 8, start=summer): 40 for week in range(1, 5)}}
    rhythm = Rhythm(counts, {}, at(-30, start=summer))
    begin = to_ms(summer.replace(hour=8))
    assert expected(rhythm, [MESSAGES], begin, begin + HOUR_MS, BERLIN) == 40
    assert expected(rhythm, [MESSAGES], begin - HOUR_MS, begin, BERLIN) == 0


def test_what_was_not_heard_says_nothing_of_the_usual():
    counts = {MESSAGES: {at(-7, 1): 12}}
    deaf = [(at(-14), at(-13)), (at(-21), at(-20)), (at(-28), at(-27))]
    begin, end = at(0, 1), at(0, 2)
    assert expected(Rhythm(counts, {}, at(-28)), [MESSAGES], begin, end, SAO_PAULO) == 3
    assert expected(Rhythm(counts, {}, at(-28), deaf), [MESSAGES], begin, end, SAO_PAULO) == 12


def test_of_a_new_session_nothing_is_expected():
    rhythm = Rhythm({MESSAGES: {at(0): 90}}, {MESSAGES: at(0)}, at(-1))
    assert expected(rhythm, [MESSAGES], at(0, 1), at(0, 9), SAO_PAULO) is None
    assert judge(rhythm, [MESSAGES], at(0, 9), SAO_PAULO) is None


# Thirty days in the life of accounts that are well.

PROFILES = {  # messages in an hour of work, at night, on days off; presence likewise
    "shop": (30.0, 0.2, 2.0),
    "workshop": (4.0, 0.0, 0.0),
    "quiet": (0.15, 0.0, 0.02),
    "weekly": (0.02, 0.0, 0.0),  # about one message a week
    "bursts": (1.0, 0.05, 0.5),  # see `BURSTS`: much at once, then nothing for hours
}
BURSTS = {"bursts": (1, 12, 40)}
LADDER = Ladder((Rung("restart", "", "", "", opens=True),))
HOLIDAYS = {3, 17}


def rate(profile: str, hour_ms: int, *, holidays: bool) -> float:
    local = datetime.fromtimestamp(hour_ms / 1000, UTC).astimezone(SAO_PAULO)
    work, night, off = PROFILES[profile]
    day = (local.date() - MONDAY.date()).days
    if local.weekday() >= 5 or (holidays and day in HOLIDAYS):
        return off if 8 <= local.hour < 22 else night
    return work if 8 <= local.hour < 18 else off if 18 <= local.hour < 22 else night


def life(profile: str, random: Random) -> list[tuple[int, str]]:
    """Events of four weeks before and thirty days, in bursts as people write."""
    found: list[tuple[int, str]] = []
    for hour in range(at(-28), at(30), HOUR_MS):
        for kind, much in ((MESSAGES, 1.0), (PRESENCE, 1.5)):
            left = rate(profile, hour, holidays=hour >= at(0)) * much
            while left > 0:
                burst = random.choice(BURSTS.get(profile, (1, 1, 2, 4)))
                if random.random() < left / burst:
                    begin = hour + random.randrange(HOUR_MS)
                    found += [(begin + n * 20_000, kind) for n in range(burst)]
                left -= burst
    return sorted(found)


class Account:
    """A life that is heard: counted by hour, judged each quarter of an hour, looked at when suspicious."""

    def __init__(self, profile: str, seed: int) -> None:
        self.events = life(profile, Random(seed))
        self.counts: dict[str, dict[int, int]] = {MESSAGES: {}, PRESENCE: {}}
        self.last: dict[str, int] = {}
        self.proven: dict[str, int] = {}
        self.place = 0
        self.suspicions: list[int] = []

    def hear_until(self, now: int, *, deaf: frozenset[str] = frozenset()) -> None:
        while self.place < len(self.events) and self.events[self.place][0] <= now:
            moment, kind = self.events[self.place]
            self.place += 1
            if kind in deaf:
                continue
            hour = moment - moment % HOUR_MS
            self.counts[kind][hour] = self.counts[kind].get(hour, 0) + 1
            self.last[kind] = moment

    def suspicious(self, now: int):
        rhythm = Rhythm(self.counts, self.last, at(-28))
        return judge(rhythm, [MESSAGES], now, SAO_PAULO, proven_ms=self.proven)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_in_thirty_days_nothing_is_done_to_an_account_that_is_well(profile, seed):
    """Nights, weekends, two holidays: at most a look now and then, never an action, never a person asked."""
    account, state = Account(profile, seed), Calm()
    for now in range(at(0), at(30), 15 * MINUTE):
        account.hear_until(now)
        if account.suspicious(now) is None:
            continue
        account.suspicions.append(now)
        moment = datetime.fromtimestamp(now / 1000, UTC)
        state, orders = step(state, Suspected("silent"), moment, LADDER)
        assert not any(isinstance(order, Claim | Act) for order in orders)
        account.proven = {MESSAGES: now}  # the look finds that nothing was missed
        state, _ = step(state, Healthy(), moment, LADDER)
        assert state == Calm()
    assert len(account.suspicions) <= 150, "five looks a day are no burden, more would be"


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("profile", "within_h"), [("shop", 2), ("workshop", 6), ("quiet", 40)])
def test_a_deaf_account_is_found_as_soon_as_its_week_allows(profile, within_h, seed):
    """Deaf from Tuesday ten o'clock on, while presence goes on."""
    account, began = Account(profile, seed), at(8, 10)
    account.hear_until(began)
    now = began
    while account.suspicious(now) is None:
        now += 15 * MINUTE
        account.hear_until(now, deaf=frozenset({MESSAGES}))
        assert now < began + 9 * DAY_MS
    assert now - began <= within_h * HOUR_MS
    moment = datetime.fromtimestamp(now / 1000, UTC)
    state, _ = step(Calm(), Suspected("deaf"), moment, LADDER)
    _, orders = step(state, Sick("deaf"), moment, LADDER)
    assert [type(order) for order in orders] == [Claim]


def test_one_busy_session_does_not_hide_a_dead_one():
    """Judged apart: what the one hears is no sign of life of the other."""
    dead = Rhythm(steady(10), {MESSAGES: at(0)}, at(-28))
    busy = Rhythm(steady(10), {MESSAGES: at(0, 5)}, at(-28))
    assert judge(dead, [MESSAGES], at(0, 5), SAO_PAULO) is not None
    assert judge(busy, [MESSAGES], at(0, 5), SAO_PAULO) is None


def test_the_freshness_of_each_kind_says_what_is_usual_and_what_should_have_come_since():
    rhythm = Rhythm(steady(10), {MESSAGES: at(0)}, at(-28))
    [messages, presence] = freshness(rhythm, [MESSAGES, PRESENCE], at(0, 0.5), SAO_PAULO)

    assert (messages.last_ms, messages.usual, messages.expected) == (at(0), 10, pytest.approx(5.0))
    assert not messages.late
    assert (presence.last_ms, presence.expected, presence.late) == (None, None, False)
    [messages] = freshness(rhythm, [MESSAGES], at(0, 0.7), SAO_PAULO)
    assert messages.late
    assert judge(rhythm, [MESSAGES], at(0, 0.7), SAO_PAULO) is not None, "the same line"


def test_of_a_new_session_nothing_is_usual_yet():
    [messages] = freshness(Rhythm({}, {}, at(0)), [MESSAGES], at(0, 12), SAO_PAULO)
    assert (messages.usual, messages.expected, messages.late) == (None, None, False)
