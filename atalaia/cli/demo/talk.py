"""Puts messages on the demo's simulated phones: a plausible yesterday, and people who go on writing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from atalaia.cli.demo import files
from atalaia.cli.demo.dialogues import GROUP, PRESSED, Dialogue, Line
from atalaia.clock import HeldClock, from_ms, to_ms
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.hook import take_hook
from atalaia.events.model import Heard
from simulators.wppconnect import Message, Phone, WppSimulator
from simulators.wppconnect.objects import message_json
from simulators.wppconnect.population import busy

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
HOURS, TALKS, GROUP_LINES = 24, 16, 5
WAITING = 2  # dialogues of the last hour that nobody has answered yet
DEAF_MS = 45 * MINUTE_MS
READ = 3
NIGHT = 0.04  # beside the hours of the day: somebody always writes
PLACE = (-23.5505, -46.6333)
# Seconds between two things that happen on one phone, at the usual rate.
MESSAGE_S, PRESENCE_S = 22.0, 9.0


@dataclass(frozen=True)
class Placed:
    """A message that will be put on a phone. chat, author: handles of the phone."""

    at_ms: int
    chat: str
    line: Line
    author: str = ""


@dataclass
class Talk:
    """The people around one phone and what they say to each other."""

    simulator: WppSimulator
    session: str
    dialogues: tuple[Dialogue, ...]
    random: Random
    _open: list[tuple[str, list[Line]]] = field(default_factory=list[tuple[str, list[Line]]])

    @property
    def phone(self) -> Phone:
        return self.simulator.phone(self.session)

    # ---- yesterday -----------------------------------------------------------------------

    def yesterday(self, now_ms: int) -> list[Message]:
        """Put the last 24 hours on the phone, oldest first; answers the messages."""
        planned = [*self._dialogues(now_ms), *self._groups(now_ms)]
        planned = [one for one in planned if one.at_ms < now_ms - 2 * MINUTE_MS]
        return [self.put(one) for one in sorted(planned, key=lambda one: one.at_ms)]

    def _dialogues(self, now_ms: int) -> Iterator[Placed]:
        whom = self.random.sample(sorted(self.phone.people), min(TALKS, len(self.phone.people)))
        for place, handle in enumerate(whom):
            dialogue = self.dialogues[place % len(self.dialogues)]
            waiting = place < WAITING
            at = now_ms - self.random.randint(9, 50) * MINUTE_MS if waiting else self._moment(now_ms)
            for line in _before_answer(dialogue) if waiting else dialogue:
                yield Placed(at, handle, line)
                at += self.random.randint(20_000, 260_000)

    def _groups(self, now_ms: int) -> Iterator[Placed]:
        for group in self.phone.groups.values():
            for text in self.random.sample(GROUP, GROUP_LINES):
                author = self.random.choice(group.members)
                yield Placed(self._moment(now_ms), group.handle, Line(text), author)

    def _moment(self, now_ms: int) -> int:
        """Answer a moment of the last day, by day more likely than at night."""
        hours = range(1, HOURS)
        weights = [busy(from_ms(now_ms - hour * HOUR_MS)) + NIGHT for hour in hours]
        [hour] = self.random.choices(hours, weights)
        return now_ms - hour * HOUR_MS + self.random.randrange(HOUR_MS - 10 * MINUTE_MS)

    # ---- today ---------------------------------------------------------------------------

    async def go_on(self, rate: float) -> None:
        """Let people write, answer, come and go until cancelled. rate: 1 is normal."""
        async with asyncio.TaskGroup() as together:
            together.create_task(self._writing(rate))
            together.create_task(self._coming(rate))

    async def _writing(self, rate: float) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(rate / MESSAGE_S))
            self.say_next()

    async def _coming(self, rate: float) -> None:
        states = ("available", "unavailable", "composing", "recording")
        while True:
            await asyncio.sleep(self.random.expovariate(rate / PRESENCE_S))
            person = self.random.choice(list(self.phone.people.values()))
            self.simulator.host.presence(self.phone, person, self.random.choice(states))

    def say_next(self) -> Message:
        """Let the next thing be said: in a group, in a dialogue that goes on, or in a new one."""
        now = to_ms(self.simulator.clock.now())
        if self.phone.groups and self.random.random() < 0.15:
            group = self.random.choice(list(self.phone.groups.values()))
            line = Line(self.random.choice(GROUP))
            return self.put(Placed(now, group.handle, line, self.random.choice(group.members)))
        if len(self._open) < 3:
            busy_ones = {handle for handle, _ in self._open}
            free = [handle for handle in sorted(self.phone.people) if handle not in busy_ones]
            self._open.append((self.random.choice(free), list(self.random.choice(self.dialogues))))
        place = self.random.randrange(len(self._open))
        handle, lines = self._open[place]
        line = lines.pop(0)
        if not lines:
            del self._open[place]
        return self.put(Placed(now, handle, line))

    def press(self, handle: str = "") -> Message:
        """Let a customer write now: this one, or anybody."""
        now = to_ms(self.simulator.clock.now())
        handle = handle or self.random.choice(sorted(self.phone.people))
        return self.put(Placed(now, handle, Line(self.random.choice(PRESSED))))

    def next_to_hide(self) -> str:
        """Answer who wrote last of those who appear by their number, empty when nobody does any more."""
        people, written = self.phone.people, reversed(self.phone.messages.values())
        shown = {handle for handle, one in people.items() if one.number and not one.migrated}
        return next((one.chat for one in written if one.chat in shown), next(iter(sorted(shown)), ""))

    def press_file(self) -> Message:
        """Let a customer send a photo or a voice message now."""
        now = to_ms(self.simulator.clock.now())
        line = self.random.choice((Line("Segue a foto", kind="image"), Line("", kind="ptt")))
        return self.put(Placed(now, self.random.choice(sorted(self.phone.people)), line))

    def press_own(self) -> Message:
        """Let the owner answer on the phone, whoever wrote last."""
        last = next((one for one in reversed(self.phone.messages.values()) if not one.from_me), None)
        handle = last.chat if last is not None else self.random.choice(sorted(self.phone.people))
        now = to_ms(self.simulator.clock.now())
        return self.put(Placed(now, handle, Line("Oi! Já estamos vendo isso.", ours=True)))

    def put(self, placed: Placed) -> Message:
        """Put a message on the phone, as its writer does."""
        line, past = placed.line, placed.at_ms < to_ms(self.simulator.clock.now()) - MINUTE_MS
        about: dict[str, Any] = {**self._about(line), "at_ms": placed.at_ms}
        if line.ours and past:
            about["ack"] = READ
        text = "" if about.get("media") else line.text
        if not line.ours:
            return self.phone.receive(placed.chat, text, author=placed.author, **about)
        written = self.phone.write(placed.chat, text, **about)
        if not past:
            self.simulator.host.spawn(self.simulator.host.carry(self.phone, written))
        return written

    def _about(self, line: Line) -> dict[str, Any]:
        match line.kind:
            case "image":
                media = files.picture(self.random)
                media.caption = line.text
                return {"kind": "image", "media": media}
            case "ptt":
                return {"kind": "ptt", "media": files.voice(self.random)}
            case "document":
                return {"kind": "document", "media": files.document(line.text, self.random)}
            case "location":
                return {"kind": "location", "location": PLACE}
            case "chat":
                return {}


def _before_answer(dialogue: Dialogue) -> Iterator[Line]:
    """Answer what was written before anybody answered."""
    for line in dialogue:
        if line.ours:
            return
        yield line


@dataclass(frozen=True)
class Missed:
    """An interval of yesterday in which no webhook came. found_ms: when that was noticed."""

    from_ms: int
    found_ms: int
    messages: int


def missed_of(messages: list[Message], now_ms: int) -> Missed | None:
    """Answer an interval of yesterday with messages of others in it, None when it was too quiet for one."""
    heard_then = [one for one in messages if not one.from_me and now_ms - one.at_ms > 3 * HOUR_MS]
    if not heard_then:
        return None
    from_ms = heard_then[len(heard_then) // 2].at_ms
    within = [one for one in heard_then if from_ms <= one.at_ms < from_ms + DEAF_MS]
    return Missed(from_ms, from_ms + DEAF_MS, len(within))


def told_of(
    phone: Phone, session: str, settings: Any, messages: list[Message], missed: Missed | None
) -> Iterator[tuple[int, Heard]]:
    """Answer what the hub would have heard of these messages, and when: live, or by a catch-up."""
    for message in messages:
        row = message_json(phone, message, new=False)
        late = missed is not None and missed.from_ms <= message.at_ms < missed.found_ms
        if missed is not None and late:
            yield missed.found_ms, heard.stored_message(row, missed.found_ms)
            continue
        came_ms = message.at_ms + 900
        body = {"event": "onselfmessage" if message.from_me else "onmessage", "session": session, **row}
        for one in take_hook(settings, orjson.dumps(body), came_ms).heard:
            yield came_ms, one


def clock_at(moment_ms: int) -> HeldClock:
    """Answer a clock that stands at a moment of the past, so that the log says when something was heard."""
    return HeldClock(from_ms(moment_ms))
