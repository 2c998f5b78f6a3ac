"""The AMI port: its banner is what a health check looks at (contract section 11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator

BANNER = b"Asterisk Call Manager/11.0.0\r\n"


class AmiPort:
    """Accepts, tells the banner, and refuses whatever is asked."""

    def __init__(self, sim: AsteriskSimulator) -> None:
        self.sim = sim
        self.port = 0
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, host, port, reuse_address=True)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went, or the server is closed
        finally:
            self._talks.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (hung := self.sim.faults.gate.hung) is not None:
            await hung.wait()
        writer.write(BANNER)
        await writer.drain()
        while line := await reader.readline():
            if line == b"\r\n":
                writer.write(b"Response: Error\r\nMessage: Permission denied\r\n\r\n")
                await writer.drain()
