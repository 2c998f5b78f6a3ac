"""Between the ear and the log: what was heard waits here, in order, until it is durable."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from atalaia.clock import to_ms
from atalaia.connections.session import SessionPort
from atalaia.connectors.asterisk.ari import AriFailed
from atalaia.connectors.asterisk.frames import is_about_channels, read_frame
from atalaia.connectors.asterisk.protocol import Overflow
from atalaia.errors import StoreUnavailable
from atalaia.events.model import Heard

log = structlog.get_logger(__name__)

# A commit costs the same for one event as for thousands: when the disk is slow the batches grow.
BATCH_EVENTS_MAX = 4000
BATCH_BYTES_MAX = 8 * 1024 * 1024
READ_AT_ONCE = 100  # then the loop gets its turn, and with it the ear
RETRY_S = 1.0
# What an entry costs besides its text, so that many small events fill the spool, too.
OVERHEAD_BYTES = 200


class Spool:
    """Frames as they came, and events of our own making, bounded by bytes. `put` never waits."""

    def __init__(self, bytes_max: int) -> None:
        self.waiting_bytes = 0
        self.peak_bytes = 0
        self.closed = False
        self._bytes_max = bytes_max
        self._entries: deque[tuple[int, bytes | Heard]] = deque()
        self._something = asyncio.Event()

    def put(self, entry: bytes | Heard, received_ms: int) -> None:
        """Keep a frame or an event. Errors: `AriFailed` when too much waits: the session must end."""
        size = _size(entry)
        # One entry alone always fits, however large: it has been received already.
        if self._entries and self.waiting_bytes + size > self._bytes_max:
            raise AriFailed(Overflow(round(self._bytes_max / 1024 / 1024, 1)))
        self._add(entry, received_ms, size)

    def put_last_word(self, entry: Heard, received_ms: int) -> None:
        """Keep how the session ended, even in a full spool."""
        self._add(entry, received_ms, _size(entry))

    def close(self) -> None:
        """Nothing more will come: `take` answers None once all is taken."""
        self.closed = True
        self._something.set()

    @property
    def idle(self) -> bool:
        """Answer whether everything heard so far is durable."""
        return self.waiting_bytes == 0

    async def take(self) -> list[tuple[int, bytes | Heard]] | None:
        """Wait for entries and answer a batch of them, None when there will be none."""
        while not self._entries:
            if self.closed:
                return None
            self._something.clear()
            await self._something.wait()
        batch: list[tuple[int, bytes | Heard]] = []
        size = 0
        while self._entries and len(batch) < BATCH_EVENTS_MAX and size < BATCH_BYTES_MAX:
            batch.append(self._entries.popleft())
            size += _size(batch[-1][1])
        return batch

    def done(self, batch: list[tuple[int, bytes | Heard]]) -> None:
        """This batch is durable."""
        self.waiting_bytes -= sum(_size(entry) for _, entry in batch)

    def _add(self, entry: bytes | Heard, received_ms: int, size: int) -> None:
        self._entries.append((received_ms, entry))
        self.waiting_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.waiting_bytes)
        self._something.set()


def _size(entry: bytes | Heard) -> int:
    return len(entry if isinstance(entry, bytes) else entry.body) + OVERHEAD_BYTES


class Appender:
    """Carries the spool into the log. While the store is away events stay in memory and are tried again."""

    def __init__(self, spool: Spool, port: SessionPort, frame_bytes_max: int) -> None:
        self.newest_channel_ms = 0  # Asterisk's time of the newest event about a channel
        self._spool = spool
        self._port = port
        self._frame_bytes_max = frame_bytes_max

    async def run(self) -> None:
        """Run until the spool is closed and empty. Errors: `Fenced`."""
        while (batch := await self._spool.take()) is not None:
            heard: list[Heard] = []
            for received_ms, entry in batch:
                heard.append(self._read(entry, received_ms))
                if len(heard) % READ_AT_ONCE == 0:
                    await asyncio.sleep(0)
            frames = (received_ms for received_ms, entry in batch if isinstance(entry, bytes))
            await self._append(heard, max(frames, default=None))
            self._spool.done(batch)

    def _read(self, entry: bytes | Heard, received_ms: int) -> Heard:
        if isinstance(entry, Heard):
            return entry
        heard = read_frame(entry, received_ms, self._frame_bytes_max)
        if heard.occurred_ms > self.newest_channel_ms and is_about_channels(heard.type):
            self.newest_channel_ms = heard.occurred_ms
        return heard

    async def _append(self, heard: list[Heard], came_ms: int | None) -> None:
        while True:
            try:
                await self._port.append(heard, came_ms=came_ms)
                return
            except StoreUnavailable as error:
                log.warning("asterisk.store_away", connection=self._port.connection, error=str(error),
                            waiting_bytes=self._spool.waiting_bytes)  # fmt: skip
                await self._port.ambient.clock.sleep(RETRY_S)


def now_ms(port: SessionPort) -> int:
    """Answer the wall clock of this session in Unix milliseconds."""
    return to_ms(port.ambient.clock.now())
