"""A consumer to look at: receives webhooks, verifies their signatures, keeps the last ones.

The demo runs it as the embedded consumer, benchmarks and tests as the far end. A developer may read it as an
example: answer 2xx once the message is safe, drop what was seen before by `webhook-id`, sort by nothing else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from atalaia.clock import Clock, SystemClock, to_ms
from atalaia.deliveries.signing import verify
from atalaia.errors import Rejected

BODY_BYTES_MOST = 1_048_576
SEEN_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Received:
    """One message that arrived. problem: why it was turned away, "" = it was taken."""

    message_id: str
    received_ms: int
    path: str
    headers: Mapping[str, str]
    body: bytes
    problem: str = ""
    repeated: bool = False

    def json(self) -> Any:
        """Answer the body, read as JSON."""
        return orjson.loads(self.body)


# Answers the status for a message that is otherwise fine, None = 204; lets tests and the demo misbehave.
Answer = Callable[[Received], int | None]


@dataclass
class Receiver:
    """Listens for webhooks. secrets: accepted `whsec_…`; empty = signatures are not checked. keep: how many.

    on_received: told of each message, for whoever shows or counts them.
    """

    secrets: Sequence[str] = ()
    keep: int = 200
    clock: Clock = field(default_factory=SystemClock)
    answer: Answer | None = None
    on_received: Callable[[Received], None] | None = None
    messages: deque[Received] = field(init=False)
    received: int = 0
    refused: int = 0
    repeated: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.messages = deque(maxlen=self.keep)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._came = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and answer the address to subscribe with. Port 0 takes a free one."""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = self._runner.addresses[0]
        self.url = f"http://{bound[0]}:{bound[1]}/"
        return self.url

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for(self, count: int) -> list[Received]:
        """Wait until that many different messages were taken; answer the kept ones, oldest first."""
        while self.received - self.repeated < count:
            self._came.clear()
            await self._came.wait()
        return list(self.messages)

    def ids(self) -> list[str]:
        """Answer the ids of the kept messages in order of arrival, without repeats."""
        return list(dict.fromkeys(one.message_id for one in self.messages if not one.problem))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.content_length is not None and request.content_length > BODY_BYTES_MOST:
            return web.Response(status=413)
        message = self._read(request, await request.read())
        status = 401 if message.problem else (self.answer(message) if self.answer else None) or 204
        if status < 300:
            self._take(message)
        else:
            self.refused += 1
        if self.on_received is not None:
            self.on_received(message)
        self._came.set()
        return web.Response(status=status)

    def _read(self, request: web.BaseRequest, body: bytes) -> Received:
        now = to_ms(self.clock.now())
        message_id = request.headers.get("webhook-id", "")
        problem = ""
        if self.secrets:
            try:
                verify(self.secrets, request.headers, body, now)
            except Rejected as no:
                problem = str(no)
        repeated = message_id in self._seen
        return Received(message_id, now, request.path, request.headers, body, problem, repeated)

    def _take(self, message: Received) -> None:
        self.received += 1
        self.repeated += message.repeated
        self.messages.append(message)
        self._seen[message.message_id] = None
        if len(self._seen) > SEEN_MOST:
            self._seen.popitem(last=False)
