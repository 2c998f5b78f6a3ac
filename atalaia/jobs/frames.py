"""What a job sent and received, kept for its page: masked, and never in the way of the job itself."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Connection, insert

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import StoreUnavailable
from atalaia.jobs.model import Direction
from atalaia.redact import Redactor
from atalaia.store.job_tables import job_frames
from atalaia.store.store import Store

CHARS_MAX = 65_536
WAITING_MAX = 2_000
FLUSH_S = 0.5


class Frames:
    """The frames of one job. What waits is written each half second, and at the end of each step."""

    def __init__(self, store: Store, ambient: Ambient, redactor: Redactor, job: str) -> None:
        self._store = store
        self._ambient = ambient
        self._redactor = redactor
        self._job = job
        self._waiting: list[dict[str, Any]] = []
        self._dropped = 0
        self._flushing: asyncio.Task[None] | None = None

    def add(self, direction: Direction, surface: str, text: str) -> None:
        """Keep a frame; secrets are masked here, so that not even the buffer holds them."""
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        masked = self._redactor.json(text)
        if len(masked) > CHARS_MAX:
            masked = f"{masked[:CHARS_MAX]}… ({len(masked) - CHARS_MAX} more characters)"
        now = to_ms(self._ambient.clock.now())
        row = {"job": self._job, "at_ms": now, "direction": direction, "surface": surface[:20]}
        self._waiting.append(row | {"text": masked.replace("\x00", "␀")})
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush_soon())

    def take(self) -> list[dict[str, Any]]:
        """Answer the rows that wait, for `write_frames`; what then is not written is given to `give_back`."""
        rows, self._waiting = self._waiting, []
        if self._dropped and rows:
            note = f"{self._dropped} frames were not kept: they came faster than they could be written."
            rows.append({**rows[-1], "surface": "note", "text": note})
            self._dropped = 0
        return rows

    def give_back(self, rows: list[dict[str, Any]]) -> None:
        """Let rows that were taken wait on."""
        self._waiting = rows + self._waiting

    async def flush(self) -> None:
        """Write what waits; what cannot be written now waits on."""
        rows = self.take()
        if not rows:
            return
        try:
            await self._store.write(lambda tx: write_frames(tx, rows))
        except StoreUnavailable:
            self.give_back(rows)

    def close(self) -> None:
        """Stop the flushing in the background."""
        if self._flushing is not None:
            self._flushing.cancel()

    async def _flush_soon(self) -> None:
        while self._waiting:
            await self._ambient.clock.sleep(FLUSH_S)
            await self.flush()


def write_frames(tx: Connection, rows: list[dict[str, Any]]) -> None:
    """Write rows that `Frames.take` answered."""
    if rows:
        tx.execute(insert(job_frames), rows)
