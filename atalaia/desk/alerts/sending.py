"""The port through which notices leave, and the way by Apprise."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from atalaia.desk.alerts.channels import secrets_of
from atalaia.redact import Redactor

# A mail server may take its time; after this the process is ended.
LIMIT_S = 40.0


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. id: equal for every try of one notice. severity: urgent, warning, or info.

    about: the connections that still suffer; nothing of it goes by one of them.
    """

    id: str
    title: str
    body: str
    severity: str = "info"
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """How it went. said: why not, in one sentence without secrets. service: what the place is called.

    job: that sends it, "" for other ways. passes: this way cannot tell it; another channel has to, and says
    this in its text, with the channel's name for %(name)s.
    """

    ok: bool
    said: str = ""
    service: str = ""
    took_ms: int = 0
    job: str = ""
    passes: str = ""


class Way(Protocol):
    """How messages reach a kind of channel."""

    async def look(self, place: str) -> Sent:
        """Answer whether the address can be read, and what its service is called; nothing is sent."""
        ...

    async def send(self, place: str, message: Message) -> Sent:
        """Hand the message over. Cancelled, it stops at once. Errors: none; what fails is answered."""
        ...


@dataclass(frozen=True)
class AppriseWay:
    """Sends by Apprise in a process of its own. allow: private networks that may be dialled all the same."""

    allow: Sequence[str] = ()
    limit_s: float = LIMIT_S

    async def send(self, place: str, message: Message) -> Sent:
        told = {"id": message.id, "title": message.title, "body": message.body, "severity": message.severity}
        return await self._ask(place, {"place": place, "allow": list(self.allow), **told})

    async def look(self, place: str) -> Sent:
        """Answer whether Apprise understands the address, and what its service is called; nothing is sent."""
        return await self._ask(place, {"place": place})

    async def _ask(self, place: str, asked: dict[str, Any]) -> Sent:
        began = time.monotonic()
        try:
            answer = await self._run(json.dumps(asked).encode())
        except TimeoutError:
            return Sent(False, f"It was not taken within {self.limit_s:g} s.", "", _since(began))
        except (OSError, ValueError):
            return Sent(
                False, "The process that sends it ended without an answer. See the log.", "", _since(began)
            )
        said = Redactor(secrets_of(place)).text(str(answer["said"]))
        return Sent(bool(answer["ok"]), said, str(answer["service"]), _since(began))

    async def _run(self, asked: bytes) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "atalaia.desk.alerts.postman",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self.limit_s):  # real time, as the other side's is
                answer, _ = await process.communicate(asked)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return json.loads(answer)


def _since(began: float) -> int:
    return round(1000 * (time.monotonic() - began))
