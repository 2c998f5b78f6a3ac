"""A load: messages placed on many phones in turn, at a steady rate, and how many there were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from atalaia.clock import to_ms
from simulators.wppconnect.models import Json

if TYPE_CHECKING:
    from simulators.wppconnect.host import Host
    from simulators.wppconnect.phone import Phone

STEP_S = 0.01


class Load:
    """One load after the other. `placed`: messages of the one that runs or ran last, by session."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._number = 0
        self.began_ms = 0
        self.running = False
        self.placed: dict[str, int] = {}

    def begin(self, sessions: Sequence[str], rate: float, seconds: float) -> None:
        """Have the contacts of these sessions write, `rate` messages a second in all."""
        phones = [self._host.phones[name] for name in sessions]
        self.placed = dict.fromkeys(sessions, 0)
        self.running = True
        self._number += 1
        self._host.spawn(self._run(phones, rate, seconds, self._number))

    async def _run(self, phones: Sequence[Phone], rate: float, seconds: float, number: int) -> None:
        clock = self._host.clock
        self.began_ms, began = to_ms(clock.now()), clock.monotonic()
        done, most = 0, round(rate * seconds)
        while done < most and number == self._number:
            due = min(most, int((clock.monotonic() - began) * rate))
            for place in range(done, due):
                self._write(phones[place % len(phones)], place // len(phones))
            done = max(done, due)
            await clock.sleep(STEP_S)
        if number == self._number:
            self.running = False

    def _write(self, phone: Phone, turn: int) -> None:
        people = list(phone.people.values())
        phone.receive(people[turn % len(people)].handle, f"Mensagem {turn}")
        self.placed[phone.name] += 1

    def as_json(self) -> Json:
        """Answer how far it is: `{"running", "began_ms", "placed"}`, `placed` by session."""
        return {"running": self.running, "began_ms": self.began_ms, "placed": self.placed}
