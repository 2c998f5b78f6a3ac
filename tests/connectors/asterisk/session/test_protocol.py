"""The conversation as tables: what failures mean, and what a watch over a socket does when."""

from __future__ import annotations

import pytest

from atalaia.connectors.asterisk.protocol import (
    AppReplaced,
    BadTls,
    CanaryLost,
    ChannelUnheard,
    CheckAmi,
    CheckApplication,
    Command,
    Doubt,
    Failure,
    Health,
    Leave,
    NoAnswer,
    NoApplication,
    NoPong,
    NotConnected,
    Overflow,
    Relief,
    SendCanary,
    SendPing,
    SocketEnded,
    Status,
    Times,
    Vigil,
    first_unheard,
    judge,
)
from atalaia.errors import Refused, Unavailable

TICK = 0.5


@pytest.mark.parametrize(
    ("failure", "health", "error"),
    [
        (NotConnected("connection refused"), Health.DOWN, Unavailable),
        (NoAnswer(5, connects=True), Health.HUNG, Unavailable),
        (NoAnswer(5, connects=False), Health.DOWN, Unavailable),
        (BadTls("the certificate is not trusted"), Health.DENIED, Refused),
        (Status(401, "/ari/events"), Health.DENIED, Refused),
        (Status(403, "/ari/events"), Health.DENIED, Refused),
        (Status(404, "/ari/events"), Health.STARTING, Unavailable),
        (Status(400, "/ari/events"), Health.FAILING, Unavailable),
        (Status(502, "/ari/events"), Health.FAILING, Unavailable),
        (NoApplication("atalaia-1"), Health.MUTE, Unavailable),
        (CanaryLost(2), Health.MUTE, Unavailable),
        (NoPong(5, answers=True), Health.MUTE, Unavailable),
        (NoPong(5, answers=False), Health.HUNG, Unavailable),
        (AppReplaced("atalaia-1"), Health.REPLACED, Unavailable),
        (SocketEnded(1006), Health.DOWN, Unavailable),
        (SocketEnded(1001, "bye"), Health.DOWN, Unavailable),
        (SocketEnded(1009), Health.FAILING, Unavailable),
        (ChannelUnheard("voip1-1.2"), Health.MUTE, Unavailable),
        (Overflow(64), Health.FAILING, Unavailable),
    ],
)
def test_each_failure_has_a_name_and_a_kind(failure: Failure, health: Health, error: type[Exception]) -> None:
    verdict = judge(failure, "pbx.example.test:8088")

    assert verdict.health is health
    assert type(verdict.error) is error
    assert str(verdict.error).endswith((".", "loaded"))


class Watch:
    """A vigil driven tick by tick; `answers`: what the other side answers."""

    def __init__(self, *answers: str, ami: bool = False) -> None:
        self.answers = set(answers)
        self.now = 100.0
        self.vigil = Vigil(Times(), self.now, ami=ami)
        self.log: list[tuple[float, Command]] = []

    def run(self, seconds: float, *, heard_every_s: float = 0) -> None:
        end = self.now + seconds
        while self.now < end:
            for command in self.vigil.step(self.now, TICK):
                self.log.append((self.now - 100, command))
                self._answer(command)
            if heard_every_s and self.now % heard_every_s == 0:
                self.vigil.heard(self.now)
            self.now += TICK

    def _answer(self, command: Command) -> None:
        if isinstance(command, SendPing) and "pong" in self.answers:
            assert self.vigil.pong(command.payload, self.now + 0.001) == pytest.approx(1)
        if isinstance(command, SendCanary) and "canary" in self.answers:
            self.vigil.heard(self.now)
            self.vigil.canary(command.n, self.now + 0.001)

    def times(self, kind: type[Command]) -> list[float]:
        return [at for at, command in self.log if isinstance(command, kind)]

    def left(self) -> tuple[float, Failure] | None:
        return next(((at, c.failure) for at, c in self.log if isinstance(c, Leave)), None)


def test_pings_go_out_every_5_s_and_canaries_every_30_s_while_events_come() -> None:
    watch = Watch("pong", "canary", ami=True)
    watch.run(65, heard_every_s=0.5)

    assert watch.times(SendPing) == [float(n) for n in range(0, 65, 5)]
    assert watch.times(SendCanary) == [30.0, 60.0]
    assert watch.times(CheckApplication) == [float(n) for n in range(10, 65, 10)]
    assert watch.times(CheckAmi) == [0.0, 30.0, 60.0]
    assert watch.left() is None
    assert watch.times(Doubt) == []


def test_in_silence_the_canary_comes_earlier() -> None:
    watch = Watch("pong", "canary")
    watch.run(31)

    assert watch.times(SendCanary) == [6.0, 12.0, 18.0, 24.0, 30.0]


def test_a_missing_pong_is_doubted_after_2_s_and_left_after_5() -> None:
    watch = Watch("canary")
    watch.run(20)

    assert watch.times(Doubt)[0] == 2.0
    assert watch.left() == (5.0, NoPong(5, answers=True))


def test_a_late_pong_takes_the_doubt_back() -> None:
    watch = Watch("canary")
    watch.run(3)
    watch.vigil.pong(b"100000", watch.now)
    watch.answers.add("pong")
    watch.run(20)

    assert watch.times(Doubt) == [2.0]
    assert watch.times(Relief) == [3.0]
    assert watch.left() is None


def test_before_the_first_proof_one_lost_canary_is_enough() -> None:
    watch = Watch("pong")
    watch.vigil.next_canary(watch.now)
    watch.run(20)

    assert watch.left() == (2.0, CanaryLost(2))


def test_later_a_second_one_is_tried() -> None:
    watch = Watch("pong", "canary")
    watch.run(20)
    watch.answers.discard("canary")
    watch.run(40)

    left = watch.left()
    assert left is not None
    assert left[1] == CanaryLost(2)
    assert [at for at in watch.times(SendCanary) if at < left[0]][-2:] == [left[0] - 4, left[0] - 2]


def test_while_events_come_pongs_and_canaries_may_be_late_but_not_for_ever() -> None:
    watch = Watch("pong", "canary")
    watch.run(20)
    watch.answers.clear()
    watch.run(10, heard_every_s=0.5)
    assert watch.left() is None
    assert watch.times(Doubt) != []

    watch.run(10, heard_every_s=0.5)

    assert watch.left() is not None


def test_when_the_events_stop_what_is_late_counts_at_once() -> None:
    watch = Watch("pong", "canary")
    watch.run(20)
    watch.answers.clear()
    watch.run(8, heard_every_s=0.5)
    stopped_at = watch.now - 100
    watch.run(10)

    left = watch.left()
    assert left is not None
    assert left[0] - stopped_at <= 2.5


def test_a_canary_that_was_never_sent_is_not_missed() -> None:
    watch = Watch("pong", "canary")
    watch.run(10)
    watch.vigil.forget(watch.vigil.next_canary(watch.now))
    watch.run(10)

    assert watch.left() is None


def test_rest_is_doubted_when_it_fails_twice() -> None:
    watch = Watch("pong", "canary")
    watch.vigil.application("HTTP 502.")
    watch.run(1)
    assert watch.times(Doubt) == []
    watch.vigil.application("HTTP 502.")
    watch.run(1)
    watch.vigil.application("")
    watch.run(1)

    assert [command for _, command in watch.log if isinstance(command, Doubt | Relief)] == [
        Doubt("HTTP 502."),
        Relief(),
    ]


def test_what_we_missed_by_standing_still_ourselves_is_forgiven() -> None:
    watch = Watch()
    watch.run(1)
    watch.now += 60
    watch.run(1)

    assert watch.left() is None
    watch.run(10)
    assert watch.left() is not None


@pytest.mark.parametrize(
    ("channels", "newest", "unheard"),
    [
        ([], 0, None),
        ([("a", 100)], 100, None),
        ([("a", 100)], 200, None),
        ([("a", 300), ("b", 250), ("c", 100)], 200, "b"),
    ],
)
def test_a_channel_younger_than_anything_heard_is_found(
    channels: list[tuple[str, int]], newest: int, unheard: str | None
) -> None:
    assert first_unheard(channels, newest) == unheard
