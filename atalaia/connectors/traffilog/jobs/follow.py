"""Follow a Scheme Builder to its end: only reading, so that it survives a lost upstream and a lost worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atalaia.connectors.traffilog import actions, process
from atalaia.connectors.traffilog.heard import verdict
from atalaia.connectors.traffilog.jobs.asked import ForVehicle
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.line import Line
from atalaia.connectors.traffilog.process import (
    CONFIRMED,
    FAILED,
    SCHEME_BUILDER,
    UNCONFIRMED,
    UNKNOWN,
    Process,
)
from atalaia.connectors.traffilog.protocol import Came
from atalaia.connectors.traffilog.units import read_message
from atalaia.connectors.traffilog.wire import CONFIG_STATUS, MESSAGES, Push, text_of
from atalaia.errors import Refused, Unavailable

LOOK_EVERY_S = 15.0  # at the keys, while the proof is awaited
TURN_S = 5.0  # the longest between two looks at the clock
REFUSED_PAUSE_S = 30.0
# Who listens again after an absence gives the process this long to be heard of, whatever the clock says.
AFTER_ABSENCE_S = 180.0

WHY = {
    "silent": "Nothing was heard of the unit any more.",
    "too_long": "It did not end within its time.",
}


class Follower:
    """One process on its way. Never sends anything that changes something."""

    def __init__(self, live: Live, asked: ForVehicle, queued: Mapping[str, Any]) -> None:
        self._live = live
        self._asked = asked
        self._settings = live.settings
        self._process = Process(
            vehicle_id=asked.vehicle_id,
            kind=SCHEME_BUILDER,
            process_id=str(queued["process_id"]),
            job=live.ctx.job,
            queued_ms=int(queued["executed_ms"]),
        )
        self._key_before = str(queued.get("key_before") or "").strip().upper()
        self._line: Line | None = None  # the line on which we are subscribed
        self._entered_ms = self._advanced_ms = 0
        self._subscribed_at = self._looked_at = 0.0
        self._ended_at: float | None = None  # since when only the proof is missing

    async def run(self) -> dict[str, Any]:
        """Answer {"outcome", "why", "evidence"} once it has ended, as far as that can be known."""
        tries = 0
        while True:
            try:
                await self._turn()
                tries = 0
                if (ended := await self._judged()) is not None:
                    return ended
            except Unavailable as error:  # who cannot listen has nothing to judge by
                tries += 1
                await self._live.wait_out(tries, error)
            except Refused as error:
                # The process goes on upstream whether we may look or not.
                await self._live.leave()
                await self._live.ctx.progress(self._process.percent, str(error), waiting_for="person")
                await self._live.ctx.ambient.clock.sleep(REFUSED_PAUSE_S)

    # Listening.

    async def _turn(self) -> None:
        line = await self._live.line()
        if line is not self._line:
            await self._enter(line)
        now = self._live.ctx.ambient.clock.monotonic()
        if now - self._subscribed_at >= self._settings.subscribe_every_s:
            await line.tell(actions.subscribe(self._asked.vehicle_id, CONFIG_STATUS))
            self._subscribed_at = now
        for came in await line.pushes(within_s=TURN_S):
            self._take(came)
        waits_for_proof = self._process.outcome == UNCONFIRMED and not self._process.confirmed_ms
        if waits_for_proof and now - self._looked_at >= LOOK_EVERY_S:
            await self._look(line)
        await self._say()

    async def _enter(self, line: Line) -> None:
        """Subscribe on a line that is new to us, and catch up by what the upstream has stored."""
        for kind in (MESSAGES, CONFIG_STATUS):
            await line.ask(actions.subscribe(self._asked.vehicle_id, kind))
        await self._look(line)
        self._line = line
        self._entered_ms = self._live.now_ms()
        self._subscribed_at = self._live.ctx.ambient.clock.monotonic()
        # Silence is counted from here: while we were away nobody could have heard anything.
        self._process = replace(self._process, heard_ms=max(self._process.heard_ms, self._entered_ms))

    async def _look(self, line: Line) -> None:
        """Read the vehicle's row: its keys may prove the process, its status may show that it runs."""
        asked = self._asked
        info = await line.ask(actions.vehicle_info(asked.vehicle_id, asked.client_id))
        self._looked_at = self._live.ctx.ambient.clock.monotonic()
        if not info.rows:
            return
        row, now = info.rows[0], self._live.now_ms()
        assigned, loaded = text_of(row, "configuration_key_db"), text_of(row, "configuration_key_unit")
        if loaded.strip().upper() != self._key_before:
            self._process = process.confirm(self._process, assigned, loaded, now)
        if self._process.runs and (status := text_of(row, "configuration_status").strip()):
            told = {"status": status, "progress": text_of(row, "progress"), "error": text_of(row, "error")}
            heard_ms = self._process.heard_ms  # what is stored may be old: only a push is a sign of life
            self._process = replace(process.hear_status(self._process, told, now), heard_ms=heard_ms)

    def _take(self, came: Came) -> None:
        message, now, done = came.message, self._live.now_ms(), self._process.done
        if not isinstance(message, Push) or came.vehicle_id not in ("", self._asked.vehicle_id):
            return
        for row in message.rows:
            if message.source == MESSAGES:
                said = read_message(text_of(row, "raw_message"))
                self._process = process.hear_message(self._process, said, now)
            elif message.source == CONFIG_STATUS:
                told = {key: text_of(row, key) for key in row}
                self._process = process.hear_status(self._process, told, now)
        if self._process.done > done:
            self._advanced_ms = now

    async def _say(self) -> None:
        known = self._process
        if known.outcome == UNCONFIRMED and not known.confirmed_ms:
            await self._live.ctx.progress(known.percent, "Waiting for the unit's configuration key.")
            return
        said = known.status or "Waiting for the unit."
        counts = {"acknowledged": known.done, "total": known.total}
        await self._live.ctx.progress(known.percent, said, process_id=known.process_id, **counts)

    # Judging.

    async def _judged(self) -> dict[str, Any] | None:
        known, now = self._process, self._live.now_ms()
        if known.outcome == FAILED:
            said = known.error or known.status
            return self._ended(FAILED, f"The upstream reports an error: {said}." if said else "It failed.")
        if known.confirmed_ms:
            if known.runs:  # its end was missed, its proof was not
                await self._pronounce(CONFIRMED, "The unit shows the key that was written.")
            return self._ended(CONFIRMED, "The unit shows the key that was written.")
        if known.outcome == UNCONFIRMED:
            return self._unconfirmed()
        why = process.overdue(
            known, now, silent_s=self._settings.sb_silence_s, seconds_max=self._seconds_max()
        )
        if why is None or (why == "too_long" and self._advances(now)):
            return None
        return await self._give_up(why)

    def _advances(self, now_ms: int) -> bool:
        """Answer whether the unit acknowledged something lately: what advances is slow, not lost."""
        return now_ms - self._advanced_ms < self._settings.sb_silence_s * 1000

    def _unconfirmed(self) -> dict[str, Any] | None:
        clock = self._live.ctx.ambient.clock
        self._ended_at = clock.monotonic() if self._ended_at is None else self._ended_at
        if clock.monotonic() - self._ended_at < self._settings.proof_within_s:
            return None
        return self._ended(UNCONFIRMED, "It completed, but the unit did not show its new key in time.")

    def _seconds_max(self) -> float:
        """Answer how long it may take, counted from its start; an absence of ours is not held against it."""
        usual_s = self._settings.sb_within_min * 60
        if not self._entered_ms:
            return usual_s + AFTER_ABSENCE_S
        heard_again_s = (self._entered_ms - self._process.queued_ms) / 1000
        return max(usual_s, heard_again_s + AFTER_ABSENCE_S)

    async def _give_up(self, why: str) -> dict[str, Any] | None:
        """Time has decided, but the keys have the last word: until they are read nothing is final."""
        await self._look(await self._live.line())
        if self._process.confirmed_ms or not self._process.runs:
            return None  # the next turn says so
        status = self._process.status
        said = WHY[why] + (f" The upstream's last word was “{status}”." if status else "")
        await self._pronounce(UNKNOWN, said)
        return self._ended(UNKNOWN, said)

    async def _pronounce(self, outcome: str, why: str) -> None:
        known, now = self._process, self._live.now_ms()
        word = verdict(
            known.vehicle_id,
            now,
            process_id=known.process_id,
            outcome=outcome,
            why=why,
            evidence=process.evidence(known),
            job=self._live.ctx.job,
        )
        await self._live.ctx.append([word])

    def _ended(self, outcome: str, why: str) -> dict[str, Any]:
        return {"outcome": outcome, "why": why, "evidence": process.evidence(self._process)}
