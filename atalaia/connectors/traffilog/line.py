"""Surface B, live: one login, one socket, one reader. What is heard is durable before anybody acts on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import aiohttp

from atalaia.ambient import Ambient
from atalaia.clock import to_ms, within
from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.account import Account
from atalaia.connectors.traffilog.heard import heard
from atalaia.connectors.traffilog.protocol import Came, Missing, Protocol, Request, refusal
from atalaia.connectors.traffilog.reach import LOST_TODO, Cause, Unreached, read_client_error
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.wire import (
    MESSAGES,
    PARAMETERS,
    Action,
    Answer,
    Push,
    RawError,
    Token,
    socket_url,
)
from atalaia.errors import AtalaiaError, Fenced, StoreUnavailable, Unavailable
from atalaia.events.model import Heard
from atalaia.jobs.model import Direction

# The upstream's largest messages are parameter lists of some 100 kB; this only bounds a broken one.
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
WAITING_BYTES_MAX = 64 * 1024 * 1024
PUSHES_MAX = 20_000
CLOSE_WITHIN_S = 2.0
LAST_WORDS_WITHIN_S = 5.0
STORE_RETRY_S = 1.0

# Harmless, and sent by the upstream's own screens (contract §4.1).
PROOF = Action("get_user_command_list", {"tag": "loading_screen", "filter": ""})

Socket = aiohttp.ClientWebSocketResponse[bool]


async def _nowhere(_: Sequence[Heard]) -> None:
    """Where events go that nobody keeps: the set-up check."""


@dataclass(frozen=True)
class Watcher:
    """Who is told what happens on a line.

    append: makes heard events durable; called before anybody waiting is answered.
    frame: is shown each text that leaves or comes, but the streams of a unit's messages and parameters, with
        secrets: mask before keeping.
    reached: hears `login` and `socket` on the way. failed: hears why a login failed that is tried again.
    job: the job's id in what is heard, "" for none.
    """

    append: Callable[[Sequence[Heard]], Awaitable[Any]] = _nowhere
    frame: Callable[[Direction, str, str], None] = lambda _direction, _surface, _text: None
    reached: Callable[[str], None] = lambda _what: None
    failed: Callable[[Unavailable], None] = lambda _error: None
    job: str = ""


@asynccontextmanager
async def open_line(
    settings: TraffilogSettings, ambient: Ambient, watcher: Watcher, *, tries: int | None = None
) -> AsyncGenerator[Line]:
    """Log in and open a socket; at the end subscriptions are given back and the token is forgotten.

    tries: of the login; 1 also means that a refused socket is not tried again with another login.
    Errors: `Refused` when a person must act, `Unavailable` (mostly `Unreached`) else.
    """
    async with Account(settings, ambient) as account:
        token = await account.log_in(tries=tries, failed=watcher.failed)
        watcher.reached("login")
        try:
            socket = await _dial(account, token)
        except Unreached as error:
            if tries == 1 or error.cause is not Cause.SOCKET:
                raise
            # A socket that is refused may be a token that was spent: one more login (contract §3.1).
            await ambient.clock.sleep(settings.login_pause_s)
            token = await account.log_in(tries=tries)
            socket = await _dial(account, token)
        watcher.reached("socket")
        line = Line(settings, ambient, watcher, socket, token)
        try:
            yield line
        finally:
            await line.close()


async def _dial(account: Account, token: Token) -> Socket:
    settings = account.settings
    guid = settings.socket_guid or new_guid(account.ambient.random)
    url = socket_url(settings.socket_url, guid, token)

    async def dial() -> Socket:
        return await account.http.ws_connect(
            url, origin=settings.origin, max_msg_size=MESSAGE_BYTES_MAX, compress=0
        )

    try:
        return await within(account.ambient.clock, settings.handshake_within_s, dial())
    except TimeoutError:
        said = "The socket's handshake was not answered in time."
        raise await account.silent(settings.socket_url, said) from None
    except aiohttp.ClientError as error:
        raise read_client_error(error, settings.socket_url) from None


def new_guid(dice: Random) -> str:
    """Answer a GUID as the upstream's screens write it. It accepts any (contract §3.1)."""
    text = f"{dice.getrandbits(128):032X}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Line:
    """One open socket. Whoever asks gets the answer once it is durable; a closed socket fails all at once."""

    def __init__(
        self,
        settings: TraffilogSettings,
        ambient: Ambient,
        watcher: Watcher,
        socket: Socket,
        token: Token,
    ) -> None:
        self.opened_at = ambient.clock.monotonic()
        self.heard_at = self.opened_at  # when any text came last
        self._settings = settings
        self._clock = ambient.clock
        self._watcher = watcher
        self._socket = socket
        self._protocol = Protocol(token, ambient.random)
        self._waiting: dict[str, asyncio.Future[Came]] = {}
        self._pushes: deque[Came] = deque(maxlen=PUSHES_MAX)
        self._news = asyncio.Event()
        self._ear: deque[tuple[int, list[Came], int]] = deque()
        self._ear_bytes = 0
        self._something = asyncio.Event()
        self._ended: BaseException | None = None  # why reading ended
        self._failed: BaseException | None = None  # the same, once all that came before is durable
        self._tasks = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._write_down()),
            asyncio.create_task(self._ping()),
        ]

    # What the one who opened it does.

    @property
    def broken(self) -> bool:
        """Answer whether nothing can be asked any more."""
        return self._failed is not None or self._ended is not None

    @property
    def subscribed(self) -> Iterable[str]:
        """The vehicles whose pushes were asked for."""
        return self._protocol.subscribed

    async def ask(
        self, action: Action, *, within_s: float | None = None, fine: frozenset[str] = frozenset()
    ) -> Answer:
        """Send a request and answer its answer: a success, or one whose value is in `fine`.

        Errors: those of `protocol.refusal`; `Unreached` when no answer comes in time or the socket ends.
        """
        self._check()
        request = self._protocol.ask(action, self._now_ms())
        answered: asyncio.Future[Came] = asyncio.get_running_loop().create_future()
        self._waiting[request.mtkn] = answered
        try:
            await self._send(request)
            came = await self._awaited(request, answered, within_s or self._settings.answer_within_s)
        finally:
            self._waiting.pop(request.mtkn, None)
            if not answered.done():
                answered.cancel()
        message = came.message
        if isinstance(message, Answer) and (message.ok or message.value in fine):
            return message
        assert isinstance(message, Answer | RawError)
        raise refusal(action.name, message, alone=len(came.fails) < 2)

    async def tell(self, action: Action) -> None:
        """Send a request without waiting; its answer is written down when it comes. Errors: `Unreached`."""
        self._check()
        await self._send(self._protocol.ask(action, self._now_ms(), awaited=False))

    async def fire(self, action: Action) -> None:
        """Send a request without a name of its own, whose answer does not matter. Errors: `Unreached`."""
        self._check()
        await self._send(self._protocol.fire(action))

    async def pushes(self, *, within_s: float) -> list[Came]:
        """Wait for pushes and answer all that came, in order; none when none came within `within_s`.

        Errors: why the socket ended, after what came before was answered.
        """
        if not self._pushes and self._failed is None:
            self._news.clear()
            with suppress(TimeoutError):
                await within(self._clock, within_s, cast("Any", self._news.wait()))
        if self._pushes:
            came = list(self._pushes)
            self._pushes.clear()
            return came
        if self._failed is not None:
            raise self._failed
        return []

    async def prove(self, vehicle_id: str = "") -> str:
        """Ask something harmless; answer what proved that our frames are understood.

        Errors: as `ask`; an unknown action (404) is an answer, too.
        """
        action = actions.vehicle_info(vehicle_id) if vehicle_id else PROOF
        try:
            await self.ask(action)
        except Missing:
            return f"{action.name}: 404"
        return action.name

    async def close(self) -> None:
        """Give subscriptions back, close, and let what was heard become durable. Never raises."""
        if not self.broken:
            with suppress(AtalaiaError, aiohttp.ClientError, ConnectionError):
                for vehicle in list(self._protocol.subscribed):
                    await self.tell(actions.unsubscribe(vehicle))
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            await within(self._clock, CLOSE_WITHIN_S, cast("Any", self._socket.close(code=1000)))
        reading, writing, pinging = self._tasks
        with suppress(TimeoutError):
            await within(self._clock, LAST_WORDS_WITHIN_S, self._drained())
        for task in (pinging, reading, writing):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drained(self) -> None:
        await asyncio.wait([self._tasks[1]])  # waiting for a task does not end it

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._ended is not None:
            raise self._ended

    async def _awaited(self, request: Request, answered: asyncio.Future[Came], within_s: float) -> Came:
        async def wait() -> Came:
            return await answered

        try:
            return await within(self._clock, within_s, wait())
        except TimeoutError:
            partial = self._protocol.give_up(request.mtkn)
        if partial is None:
            said = f"{request.action.name} was not answered within {within_s:g} s."
            raise Unreached(Cause.MUTE, said)
        self._take([partial], 0)
        return await answered

    async def _send(self, request: Request) -> None:
        self._watcher.frame("sent", "websocket", request.text)
        try:
            await self._socket.send_str(request.text)
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:
            said = "The socket broke while a frame was sent."
            raise Unreached(Cause.SOCKET, said, todo=LOST_TODO) from error

    # The reader: nothing but taking what comes.

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                text = cast("str | bytes", message.data)
                self.heard_at = self._clock.monotonic()
                came = self._protocol.take(text)
                if not _is_stream(came):
                    shown = text if isinstance(text, str) else text.decode("latin-1")
                    self._watcher.frame("received", "websocket", shown)
                self._take(came, len(text))
                if self._ear_bytes > WAITING_BYTES_MAX:
                    self._end(Unavailable("More was heard than could be written down; the socket is left."))
                    return
            else:
                said = _farewell(message.type, message.data, self._socket.close_code)
                self._end(Unreached(Cause.SOCKET, said, todo=LOST_TODO))
                return

    def _take(self, came: list[Came], size: int) -> None:
        self._ear.append((self._now_ms(), came, size))
        self._ear_bytes += size
        self._something.set()

    def _end(self, why: BaseException) -> None:
        unfinished, _ = self._protocol.closed()
        self._take(unfinished, 0)
        self._ended = why
        self._something.set()

    async def _ping(self) -> None:
        """Keep ways open that forget silent connections; the upstream need not answer (contract §3.1)."""
        while True:
            await self._clock.sleep(self._settings.ping_every_s)
            with suppress(aiohttp.ClientError, ConnectionError):  # the reader learns of the end by itself
                await self._socket.ping()

    # The scribe: first durable, then known.

    async def _write_down(self) -> None:
        try:
            while True:
                batch = list(self._ear)
                self._ear.clear()
                if not batch:
                    if self._ended is not None:
                        break
                    self._something.clear()
                    await self._something.wait()
                    continue
                job = self._watcher.job
                await self._append([heard(one, at_ms, job) for at_ms, came, _ in batch for one in came])
                for _, came, size in batch:
                    self._ear_bytes -= size
                    for one in came:
                        self._deliver(one)
        except Fenced as fenced:
            self._ended = self._ended or fenced
            self._fail(fenced)
            return
        assert self._ended is not None
        self._fail(self._ended)

    async def _append(self, what: list[Heard]) -> None:
        while what:
            try:
                await self._watcher.append(what)
                return
            except StoreUnavailable:
                await self._clock.sleep(STORE_RETRY_S)

    def _deliver(self, came: Came) -> None:
        waiting = [came.request] if came.request is not None and not came.fails else []
        for request in (*waiting, *came.fails):
            answered = self._waiting.get(request.mtkn)
            if answered is not None and not answered.done():
                answered.set_result(came)
        if isinstance(came.message, Push):
            self._pushes.append(came)
            self._news.set()

    def _fail(self, why: BaseException) -> None:
        self._failed = why
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(why)
                answered.exception()  # whoever waits takes it; nobody may have begun to
        self._news.set()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


def _is_stream(came: Sequence[Came]) -> bool:
    """Answer whether this is one of the many pushes that are in the log and need not be kept twice."""
    sources = [one.message.source if isinstance(one.message, Push) else "" for one in came]
    return bool(sources) and all(source in (MESSAGES, PARAMETERS) for source in sources)


def _farewell(kind: aiohttp.WSMsgType, data: object, code: int | None) -> str:
    if kind is aiohttp.WSMsgType.CLOSE:
        code = data if isinstance(data, int) and data else 1005
    return f"The upstream closed the socket ({code or 1006})."
