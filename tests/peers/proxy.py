"""A TCP proxy that can do what networks do: cut without a word, stall, swallow, refuse."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Self
from urllib.parse import urlsplit, urlunsplit

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Pair:
    """One connection through the proxy: the client's end and the server's."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server

    def reset(self) -> None:
        """End both ends with RST, without a FIN and without anything still buffered."""
        for writer in (self.client, self.server):
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() != -1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()


class TcpProxy:
    """Stands between a client and `host:port`; `port` is where it listens.

    Every fault works at once on what is connected and stays until undone: `pause`/`resume`,
    `swallow`/`pass_on`, `refuse`/`accept`. `cut` is over as soon as it is done.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = 0
        self.accepted = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flow = asyncio.Event()
        self._flow.set()
        self._swallow = False
        self._refuse = False
        self._changed = asyncio.Condition()

    async def start(self, port: int = 0) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def url(self, url: str) -> str:
        """Answer the same URL with the proxy's host and port in it."""
        parts = urlsplit(url)
        login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{self.port}"))

    @property
    def connections(self) -> int:
        return len(self._pairs)

    async def wait_for_connections(self, count: int = 1, seconds: float = 30) -> None:
        """Wait until at least `count` connections stand (exactly 0 for 0)."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: len(self._pairs) >= count if count else not self._pairs)

    def cut(self) -> int:
        """Reset every connection (RST, no close frame, no FIN); answers how many there were."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def pause(self) -> None:
        """Stop reading on both sides: TCP pushes back, nobody is told."""
        self._flow.clear()

    def resume(self) -> None:
        self._flow.set()

    def swallow(self) -> None:
        """Read and throw away, both ways: what a dead router does."""
        self._swallow = True

    def pass_on(self) -> None:
        self._swallow = False

    def refuse(self) -> None:
        """Reset new connections at once; those that stand go on."""
        self._refuse = True

    def accept(self) -> None:
        self._refuse = False

    async def close(self) -> None:
        self._server.close()
        self.resume()
        self.cut()
        if self._tasks:  # they end by themselves; cancelled, each would complain in asyncio's own callback
            await asyncio.wait(list(self._tasks), timeout=5)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            if self._refuse:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            _Pair(writer, writer).reset()
            return
        pair = _Pair(writer, far_writer)
        await self._note(pair, there=True)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, far_writer, up=True))
                both.create_task(self._pump(far_reader, writer, up=False))
        except* OSError:
            pair.reset()  # one end was reset, so the other is, too
        finally:
            writer.close()
            far_writer.close()
            await self._note(pair, there=False)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, up: bool) -> None:
        while True:
            await self._flow.wait()
            chunk = await source.read(65_536)
            await self._flow.wait()
            if not chunk:
                break
            if up:
                self.bytes_up += len(chunk)
            else:
                self.bytes_down += len(chunk)
            if not self._swallow:
                sink.write(chunk)
                await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    async def _note(self, pair: _Pair, *, there: bool) -> None:
        async with self._changed:
            (self._pairs.add if there else self._pairs.discard)(pair)
            self._changed.notify_all()
