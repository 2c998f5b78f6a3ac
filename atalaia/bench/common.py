"""What the benches share: a hub in a process of its own, figures, and a fast HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

FIRST_LINE_MOST = 4 * 1024 * 1024  # a simulator names its sessions there


def say(text: str) -> None:
    """Print progress where it does not disturb the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def percentile(values: Sequence[float], share: float) -> float:
    """Answer the value below which `share` of the values lie; 0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def rss_mb(pid: int) -> float:
    """Answer the resident memory of a process in MiB, 0 when it is gone (Linux)."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    return 0.0


def cpu_s(pid: int) -> float:
    """Answer the processor seconds a process has used, 0 when it is gone (Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def scratch() -> Generator[Path]:
    """A folder that is gone afterwards, on the disk where results would be kept, not in memory."""
    folder = Path(tempfile.mkdtemp(prefix="atalaia-bench-", dir=os.environ.get("ATALAIA_BENCH_DIR")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Child:
    """A process that tells in its first line of standard output, as JSON, where it can be found."""

    process: asyncio.subprocess.Process
    said: dict[str, Any]
    ready_s: float

    def at(self, name: str) -> str:
        """Answer an address that it said."""
        return str(self.said[name])

    @property
    def pid(self) -> int:
        return self.process.pid


@asynccontextmanager
async def child(words: Sequence[str], *, env: dict[str, str] | None = None) -> AsyncGenerator[Child]:
    """Run `python -m …` until the end of the block; the first JSON line it prints says that it is ready."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *words,
        stdout=asyncio.subprocess.PIPE,
        limit=FIRST_LINE_MOST,
        stderr=asyncio.subprocess.DEVNULL if not os.environ.get("ATALAIA_BENCH_LOUD") else None,
        # As for a person: with cached bytecode, whatever this shell says of it.
        env={
            **_without("PYTHONDONTWRITEBYTECODE"),
            "PYTHONPATH": _checkout(),
            "ATALAIA_LOG_LEVEL": "warning",
            **(env or {}),
        },
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        if not line:
            raise RuntimeError(f"{' '.join(words)} ended before it was ready (status {await process.wait()})")
        yield Child(process, json.loads(line), time.perf_counter() - began)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != name}


def _checkout() -> str:
    return str(Path(__file__).resolve().parents[2])


@dataclass
class Hammer:
    """Sends requests over keep-alive connections, one at a time on each, until told to stop.

    request(n) -> the bytes of the n-th request; ok: status lines that count.
    """

    host: str
    port: int
    request: Callable[[int], bytes]
    ok: tuple[bytes, ...] = (b"HTTP/1.1 202", b"HTTP/1.1 200")
    took_s: list[float] = field(default_factory=list[float])
    failed: int = 0
    sent: int = 0
    stop: bool = False
    paced: bool = False

    async def run(self, clients: int, seconds: float, *, rate: float | None = None) -> float:
        """Hammer for `seconds`, as fast as it goes or at `rate` a second; answer how long it took."""
        loop = asyncio.get_running_loop()
        lines: list[_Line] = []
        for _ in range(clients):
            _, line = await loop.create_connection(lambda: _Line(self), self.host, self.port)
            lines.append(line)
        self.paced = rate is not None
        began = time.perf_counter()
        if rate is None:
            for line in lines:
                line.send()
            await asyncio.sleep(seconds)
        else:
            await self._paced(lines, seconds, rate)
        self.stop = True
        await asyncio.wait_for(asyncio.gather(*[line.idle.wait() for line in lines]), 30)
        took = time.perf_counter() - began
        for line in lines:
            line.transport.close()
        return took

    async def _paced(self, lines: list[_Line], seconds: float, rate: float) -> None:
        began = time.perf_counter()
        due, turn = 0, 0
        while (passed := time.perf_counter() - began) < seconds:
            while due < passed * rate:
                line = lines[turn % len(lines)]
                turn += 1
                if line.idle.is_set():
                    line.send()
                    due += 1
                elif turn % len(lines) == 0:
                    break
            await asyncio.sleep(0.001)


class _Line(asyncio.Protocol):
    """One keep-alive connection of the hammer."""

    def __init__(self, hammer: Hammer) -> None:
        self.hammer = hammer
        self.idle = asyncio.Event()
        self.idle.set()
        self.transport: asyncio.Transport
        self._got = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.idle.is_set():
            self.hammer.failed += 1
        self.idle.set()

    def send(self) -> None:
        self.idle.clear()
        number = self.hammer.sent
        self.hammer.sent += 1
        self._began = time.perf_counter()
        self.transport.write(self.hammer.request(number))

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _content_length(self._got[:end])
        if len(self._got) < end + 4 + length:
            return
        self.hammer.took_s.append(time.perf_counter() - self._began)
        if not self._got.startswith(self.hammer.ok):
            self.hammer.failed += 1
        self._got = self._got[end + 4 + length :]
        self.idle.set()
        if not self.hammer.stop and not self.hammer.paced:
            self.send()


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
