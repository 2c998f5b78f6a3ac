"""From ticking a vehicle to the frame that changes it: a client's critical section (contract §9.1, §9.2).

The upstream keeps one review slot per client. What is prepared there by others must never be executed by us,
so a process id is believed only after the review showed our own preparation, of one vehicle.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.jobs.asked import ForVehicle, traced
from atalaia.connectors.traffilog.jobs.evidence import Queued
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.line import Line
from atalaia.connectors.traffilog.protocol import Busy, Missing, SessionSpent
from atalaia.connectors.traffilog.wire import Action, text_of
from atalaia.errors import Rejected, Unavailable
from atalaia.jobs.model import Effect, JobFailed, StepKind

# Pauses between frames as they were recorded (contract §9.1, §9.2), in seconds.
AFTER_CHECK_S = 0.3
AFTER_CHOICE_S = 0.4
BEFORE_ANEW_S = 5.0
EXHAUSTED = "(6666)"


@dataclass(frozen=True)
class Prepared:
    """What waits in the client's review slot. process_id: "" when the scheme is assigned already.

    attribute: what the review calls it, for a Scheme Builder the scheme's name. value: of the association.
    """

    process_id: str
    attribute: str = ""
    value: str = "0"


class SlotLost(Unavailable):
    """Another process took the client's review slot while ours was being prepared."""


class NoProcess(Unavailable):
    """The upstream shows no process for what was prepared."""


Prepare = Callable[[Line], Awaitable[Prepared]]


async def began_ms(live: Live) -> int:
    """Answer when the job began, Unix milliseconds; the same at each run."""

    async def now(_: Effect) -> int:
        return live.now_ms()

    return await live.ctx.step("began", StepKind.READ, now)


async def find_prepared(live: Live, line: Line, asked: ForVehicle, value: str) -> Prepared:
    """Read the review and the process id of what was just prepared.

    Errors: `SlotLost`, `NoProcess` (both mean: prepare anew), `JobFailed` when it is about other vehicles.
    """
    reviewed = await line.ask(actions.review(asked.client_id))
    if not reviewed.rows:
        if value == "1":
            return Prepared("", value=value)
        raise SlotLost("Another process of this client took the review while ours was prepared.")
    _only_ours(text_of(reviewed.rows[0], "total_vehicles"))
    attribute = text_of(reviewed.rows[0], "attribute")
    process_id = await _poll(live, line, asked)
    if not process_id and value != "1":
        raise NoProcess("The upstream shows no process for what was prepared.")
    return Prepared(process_id, attribute, value)


async def _poll(live: Live, line: Line, asked: ForVehicle) -> str:
    settings = live.settings
    for n in range(settings.review_polls + 1):
        if n:
            await live.ctx.ambient.clock.sleep(settings.review_every_s)
        try:
            found = await line.ask(actions.find_process(asked.client_id, asked.client_name))
        except Missing:
            continue
        process_id = next((text_of(row, "process_id") for row in found.rows), "")
        if process_id:
            return process_id
    return ""


def _only_ours(total: str) -> None:
    """The selection lives in the upstream's session: it must hold our one vehicle and nothing else."""
    number = re.search(r"\d+", total)
    if number and number[0] != "1":
        said = f"The upstream would do this to {number[0]} vehicles instead of one; nothing was sent."
        raise JobFailed("wrong_selection", said)


@dataclass
class Queueing:
    """One changing step: prepare in the client's section, commit the intent, send, and answer."""

    live: Live
    asked: ForVehicle
    prepare: Prepare
    execute: Callable[[str, str], Action]  # (process_id, comment)
    listen: Callable[[Line], Awaitable[None]]  # subscribe before it is executed
    evidence: dict[str, Any]

    async def run(self, effect: Effect) -> dict[str, Any]:
        """Queue it upstream; answer `Queued` as JSON.

        Errors: `JobFailed` when it cannot be prepared; `Rejected` when it was refused; any other after the
        intent is committed means in doubt.
        """
        busy = tries = 0
        while True:
            try:
                return await self._once(effect)
            except _Sent as sent:
                raise sent.error from None
            except (Busy, SlotLost, NoProcess) as error:
                busy += 1
                if busy >= self.live.settings.busy_tries:
                    raise JobFailed(_reason(error), f"{error} Tried {busy} times.") from error
                await self._pause(str(error), BEFORE_ANEW_S if isinstance(error, NoProcess) else None)
            except SessionSpent as error:
                tries += 1
                if tries > self.live.settings.login_tries:
                    raise JobFailed("session_refused", str(error)) from error
                await self.live.leave()
            except Unavailable as error:
                tries += 1
                if EXHAUSTED in str(error):
                    await self._pause(str(error), self.live.settings.exhausted_pause_s)
                else:
                    await self.live.wait_out(tries, error)

    async def _pause(self, said: str, seconds: float | None) -> None:
        settings, ctx = self.live.settings, self.live.ctx
        pause = seconds or settings.busy_pause_s
        await ctx.progress(None, said, waiting_for="client")
        # A new session's selection is empty: what was ticked before must not be in the next try.
        await self.live.leave()
        await ctx.ambient.clock.sleep(pause * (0.8 + 0.4 * ctx.ambient.random.random()))

    async def _once(self, effect: Effect) -> dict[str, Any]:
        ctx, asked = self.live.ctx, self.asked
        line = await self.live.line()
        info = await line.ask(actions.vehicle_info(asked.vehicle_id, asked.client_id))
        if not info.rows:
            raise JobFailed("vehicle_unknown", "The upstream does not know this vehicle.")
        key_before = text_of(info.rows[0], "configuration_key_db")
        async with ctx.section(f"client:{asked.client_id}"):
            prepared = await self.prepare(line)
            if not prepared.process_id:
                return Queued("", key_before, already=True).as_json()
            await self.listen(line)
            comment = traced(asked.comment, ctx.trace, prepared.process_id)
            return await self._execute(effect, line, prepared, comment, key_before)

    async def _execute(
        self, effect: Effect, line: Line, prepared: Prepared, comment: str, key_before: str
    ) -> dict[str, Any]:
        live = self.live
        action = self.execute(prepared.process_id, comment)
        await effect.sending(
            process_id=prepared.process_id,
            trace=live.ctx.trace,
            comment=comment,
            attribute=prepared.attribute,
            value=prepared.value,
            key_before=key_before,
            sent_ms=live.now_ms(),
            **self.evidence,
        )
        try:
            await line.ask(action)
        except Missing as error:
            said = f"The upstream does not know process {prepared.process_id} any more; it was not queued."
            raise _Sent(Rejected(said)) from error
        except Exception as error:
            raise _Sent(error) from error
        return Queued(prepared.process_id, key_before, live.now_ms()).as_json()


class _Sent(Exception):
    """The intent was committed: whatever happened then is not tried again here."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _reason(error: Unavailable) -> str:
    return "no_process" if isinstance(error, NoProcess) else "slot_busy"
