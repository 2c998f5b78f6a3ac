"""The manager port: its banner within a second shows that Asterisk's main loop turns."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from atalaia.clock import Clock, within
from atalaia.connectors.asterisk.ari import words_of

BANNER_WITHIN_S = 1.0
BANNER = b"Asterisk Call Manager/"


@dataclass(frozen=True, slots=True)
class Banner:
    """What the manager port said. said: its first line, or a sentence why there is none."""

    proven: bool
    said: str
    took_ms: float = 0


async def read_banner(host: str, port: int, clock: Clock) -> Banner:
    """Connect and read the banner. A connection alone proves nothing: a hung Asterisk accepts it, too."""
    began = clock.monotonic()
    try:
        line = await within(clock, BANNER_WITHIN_S, _first_line(host, port))
    except TimeoutError:
        return Banner(False, f"AMI is hung: {host}:{port} sent no banner within {BANNER_WITHIN_S:g} s.")
    except OSError as error:
        return Banner(False, f"AMI is down: nothing answers on {host}:{port} ({words_of(error)}).")
    took_ms = round((clock.monotonic() - began) * 1000, 2)
    if not line.startswith(BANNER):
        return Banner(False, f"{host}:{port} is not an Asterisk manager port.", took_ms)
    return Banner(True, line.decode(errors="replace").strip()[:80], took_ms)


async def _first_line(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, limit=4096)
    try:
        return await reader.readline()
    except ValueError:  # a line without an end: something else lives on that port
        return b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
