"""One session with one Asterisk: dial, prove, listen, read what lives there, notice when it falls silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, cast

import aiohttp
from pydantic import BaseModel

from atalaia.clock import within
from atalaia.connections.recovery import Found
from atalaia.connections.session import SessionPort
from atalaia.connections.silence import Suspicion
from atalaia.connections.watch import Watch
from atalaia.connectors.asterisk import frames
from atalaia.connectors.asterisk.alarms import Alarm, Alarms
from atalaia.connectors.asterisk.ami import read_banner
from atalaia.connectors.asterisk.ari import Ari, AriFailed, Socket
from atalaia.connectors.asterisk.directory import Directory
from atalaia.connectors.asterisk.protocol import (
    AppReplaced,
    CanaryLost,
    ChannelUnheard,
    CheckAmi,
    CheckApplication,
    Command,
    Doubt,
    Failure,
    Health,
    Leave,
    NoApplication,
    NoPong,
    Relief,
    SendCanary,
    SendPing,
    SocketEnded,
    Status,
    Verdict,
    Vigil,
    first_unheard,
    judge,
)  # fmt: skip
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.connectors.asterisk.snapshot import Reader, Reading, ages
from atalaia.connectors.asterisk.spool import Appender, Spool, now_ms
from atalaia.connectors.asterisk.watch import Book, lines_alarm, unknown_alarm, unknown_to_asterisk
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.events.gaps import Reconciled
from atalaia.events.model import Heard

TICK_S = 0.5
DIAGNOSE_WITHIN_S = 2.0
STORE_AGAIN_S = 30.0
HEARS = "Asterisk has no channel that was not told: nobody calls."
LAST_WORDS_WITHIN_S = 3.0
UNHEARD_AFTER_S = 2.0
MIB = 1024 * 1024


async def run_session(settings: BaseModel, port: SessionPort) -> None:
    """Run one session from dialling to its loss. See `atalaia.connections.session.RunSession`.

    Errors: `Unavailable` (down, hung, starting, mute, replaced), `Refused` (user, password, certificate),
        `Fenced`. What was heard before is durable when it raises.
    """
    ours = cast("AsteriskSettings", settings)
    async with Ari(ours, port.ambient) as ari:
        await Session(ours, port, ari).run()


class Session:
    """The state of one session. Its tasks share one rule: whoever fails first ends it for all."""

    def __init__(self, settings: AsteriskSettings, port: SessionPort, ari: Ari) -> None:
        self.app = f"{settings.app_prefix}-{settings.server}-{port.ambient.random.getrandbits(32):08x}"
        self.read_only = False
        self.live = False
        self.spool = Spool(round(settings.memory_mib_max * MIB))
        self._settings = settings
        self._port = port
        self._ari = ari
        self._clock = port.ambient.clock
        self._vigil = Vigil(settings.times, self._clock.monotonic(), ami=settings.ami is not None)
        self._appender = Appender(self.spool, port, round(settings.frame_mib_max * MIB))
        self._alarms = Alarms(port)
        self._book = Book(settings, self._clock)
        self._canary_back = asyncio.Event()
        self._endpoints: list[str] | None = None
        self._told_directory: Directory | None = None
        self._checked_channel_ms = 0

    # From dialling to the end.

    async def run(self) -> None:
        await self._book.read()
        try:
            socket = await self._ari.open_events(self.app)
        except AriFailed as failed:
            raise self._show(failed.failure).error from None
        # No pause from here to the reading task: events may come already.
        self._tell_directory()
        self._tell(self._control("connected", app=self.app))
        appending = asyncio.create_task(self._appender.run())
        try:
            await self._converse(socket, appending)
        except AriFailed as failed:
            await self._lost(failed.failure, appending)
        except asyncio.CancelledError:
            await self._left(socket, appending)
            raise
        except Fenced:
            raise
        except Exception as bug:
            # A defect of ours ends the session, but not what it heard.
            self._end_with(self._control("disconnected", app=self.app, code=1006, cause=type(bug).__name__))
            await appending
            raise
        finally:
            appending.cancel()
            await asyncio.gather(appending, return_exceptions=True)

    async def _converse(self, socket: Socket, appending: asyncio.Task[None]) -> None:
        self._vigil = Vigil(self._settings.times, self._clock.monotonic(), ami=self._settings.ami is not None)
        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(_follow(appending))
                together.create_task(self._hear(socket))
                together.create_task(self._watch(socket, together))
                together.create_task(self._establish())
                together.create_task(self._check_again_and_again())
                together.create_task(Watch(self._port, self._probe, watched=("calls",)).run())
                together.create_task(self._book.follow(self._directory_changed))
        except BaseExceptionGroup as group:
            raise _first(group) from None

    async def _lost(self, failure: Failure, appending: asyncio.Task[None]) -> None:
        """Write how hearing ended, wait until all that was heard is durable, and raise what it means."""
        self._ari.hang_up()
        verdict = self._show(failure)
        code = failure.code if isinstance(failure, SocketEnded) else 1006
        cause = {"health": verdict.health, "cause": str(verdict.error)}
        last = self._control("disconnected", app=self.app, code=code, **cause)
        self._end_with(last)
        await appending
        raise verdict.error from None

    def _end_with(self, last: Heard) -> None:
        self.spool.put_last_word(last, now_ms(self._port))
        self.spool.close()

    async def _left(self, socket: Socket, appending: asyncio.Task[None]) -> None:
        """We are told to stop: say goodbye, and give the log a moment for the last words."""
        self._end_with(self._control("closed", app=self.app))
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            await within(self._clock, 1.0, _close(socket))
        with suppress(TimeoutError, Fenced, StoreUnavailable):
            await within(self._clock, LAST_WORDS_WITHIN_S, _follow(appending))

    def _show(self, failure: Failure) -> Verdict:
        """Mark what failed on the card."""
        verdict = judge(failure, self._settings.where)
        self._port.prove("socket", "failing", claim=verdict.health, said=str(verdict.error))
        if verdict.health in (Health.DOWN, Health.HUNG, Health.STARTING, Health.DENIED):
            self._port.prove("rest", "failing", claim=verdict.health, said=str(verdict.error))
        if verdict.health in (Health.MUTE, Health.REPLACED):
            self._port.prove("canary", "failing", claim=verdict.health, said=str(verdict.error))
        return verdict

    # The ear: nothing but keeping what comes.

    async def _hear(self, socket: Socket) -> None:
        while True:
            message = await socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                    self._frame(cast("bytes", message.data))
                case aiohttp.WSMsgType.PONG:
                    self._pong(bytes(cast("bytes", message.data)))
                case aiohttp.WSMsgType.PING:
                    with suppress(aiohttp.ClientError, ConnectionError):
                        await socket.pong(bytes(cast("bytes", message.data)))
                case _:
                    raise AriFailed(_ending(message.type, message.data, message.extra))

    def _frame(self, raw: bytes) -> None:
        self._vigil.heard(self._clock.monotonic())
        received_ms = now_ms(self._port)
        n = frames.canary_number(raw, self.app)
        if n is not None:
            self._canary(n, received_ms)
            return
        self.spool.put(raw, received_ms)
        if frames.is_replaced(raw, self.app):
            raise AriFailed(AppReplaced(self.app))

    def _canary(self, n: int, received_ms: int) -> None:
        took_ms = self._vigil.canary(n, self._clock.monotonic())
        if took_ms is None:
            return
        self._port.prove("canary", "proven", canary_ms=round(took_ms, 2), n=n)
        self.spool.put(frames.canary(n, round(took_ms, 2), received_ms), received_ms)
        self._canary_back.set()

    def _pong(self, payload: bytes) -> None:
        took_ms = self._vigil.pong(payload, self._clock.monotonic())
        if took_ms is not None:
            self._port.prove("socket", "proven", pong_ms=round(took_ms, 2), app=self.app, **self._waiting())

    def _waiting(self) -> dict[str, Any]:
        return {} if self.spool.idle else {"waiting_bytes": self.spool.waiting_bytes}

    # Proving, once after the connect.

    async def _establish(self) -> None:
        await self._see_application()
        await self._send_canary(self._vigil.next_canary(self._clock.monotonic()))
        await self._canary_back.wait()
        self.live = True
        claim = {"read_only": True} if self.read_only else {}
        await self._port.live(app=self.app, **claim)
        reading = await self._read_world()
        counts = {"channels": reading.channels, "bridges": reading.bridges, "recordings": reading.recordings}
        self._tell(self._control("snapshot", app=self.app, **counts))
        self._endpoints = reading.endpoints
        await self._alarms.say("recordings", _recordings_alarm(reading.recordings_trouble))
        await self._say_configuration()

    async def _see_application(self) -> None:
        path = f"/applications/{self.app}"
        answer = await self._ari.get(path)
        if answer.status == 404:
            raise AriFailed(NoApplication(self.app))
        if answer.status != 200:
            raise AriFailed(Status(answer.status, path))
        self._port.prove("rest", "proven", status=answer.status, took_ms=answer.took_ms)

    async def _read_world(self) -> Reading:
        reader = Reader(self._ari, self._settings, self._port.ambient, self.app, self._tell)
        reading = await reader.read()
        self._port.prove("rest", "proven", version=reading.version, channels=reading.channels)
        if reading.channels == 0:
            self._port.prove("events", "proven", claim="no channels")
        self._appender.newest_channel_ms = max(self._appender.newest_channel_ms, reading.newest_ms)
        return reading

    # Watching, as long as it is open.

    async def _watch(self, socket: Socket, together: asyncio.TaskGroup) -> None:
        usual_s = 0.0
        while True:
            for command in self._vigil.step(self._clock.monotonic(), usual_s):
                await self._carry_out(command, socket, together)
            await self._clock.sleep(TICK_S)
            usual_s = TICK_S

    async def _carry_out(self, command: Command, socket: Socket, together: asyncio.TaskGroup) -> None:
        match command:
            case SendPing(payload=payload):
                with suppress(aiohttp.ClientError, ConnectionError):  # the ear learns of the end by itself
                    await socket.ping(payload)
            case SendCanary(n=n):
                together.create_task(self._send_canary(n))
            case CheckApplication():
                together.create_task(self._check())
            case CheckAmi():
                together.create_task(self._check_ami())
            case Doubt(reason=reason) if self.live:
                await self._port.suspect(reason)
            case Relief() if self.live:
                await self._port.live(app=self.app)
            case Leave(failure=failure):
                raise AriFailed(await self._diagnose(failure))
            case Doubt() | Relief():
                pass  # not live yet: nothing to take back

    async def _diagnose(self, failure: Failure) -> Failure:
        """Tell a mute socket from a hung Asterisk: ask REST once more."""
        if not isinstance(failure, NoPong | CanaryLost):
            return failure
        try:
            await self._ari.get("/asterisk/info?only=system", within_s=DIAGNOSE_WITHIN_S)
        except AriFailed:
            return NoPong(failure.after_s, answers=False)
        return failure

    async def _send_canary(self, n: int) -> None:
        if self.read_only:
            await self._read_only_canary(n)
            return
        within_s = self._settings.canary_within_s
        try:
            answer = await self._ari.send_canary(self.app, n, within_s=within_s)
        except AriFailed as failed:
            self._rest_failed(failed.failure, n)
            return
        match answer.status:
            case 200 | 204:
                pass  # the proof is that it comes back over the socket
            case 403:
                self.read_only = True
                await self._read_only_canary(n)
            case 404:
                raise AriFailed(NoApplication(self.app))
            case status:
                self._rest_failed(Status(status, "/events/user"), n)

    async def _read_only_canary(self, n: int) -> None:
        """A read-only user may not send events: that Asterisk knows our application is the next best."""
        try:
            await self._see_application()
        except AriFailed as failed:
            self._rest_failed(failed.failure, n)
            return
        self._vigil.canary(n, self._clock.monotonic())
        self._port.prove("canary", "proven", claim="read-only: application check")
        self._canary_back.set()

    def _rest_failed(self, failure: Failure, canary: int | None = None) -> None:
        """REST did not do as asked. While the socket is not proven that is the end, later only a doubt."""
        if not self.live or isinstance(failure, NoApplication):
            raise AriFailed(failure)
        if canary is not None:
            self._vigil.forget(canary)
        said = str(judge(failure, self._settings.where).error)
        self._vigil.application(said)
        self._port.prove("rest", "failing", claim=judge(failure, self._settings.where).health, said=said)

    async def _check(self) -> None:
        await self._alarms.settle()
        if not self.live:
            return
        try:
            await self._see_application()
            self._vigil.application("")
            await self._check_channels()
        except AriFailed as failed:
            if isinstance(failed.failure, ChannelUnheard):
                raise
            self._rest_failed(failed.failure)

    async def _check_channels(self) -> None:
        """While channels exist, the events about them must come; REST says whether there are any."""
        newest = self._appender.newest_channel_ms
        if newest != self._checked_channel_ms:
            self._checked_channel_ms = newest
            self._port.prove("events", "proven", newest_event_ms=newest)
            return
        found = await self._channels()
        if first_unheard(found, self._appender.newest_channel_ms) is None:
            claim = f"{len(found)} channels, nothing new to tell" if found else "no channels"
            self._port.prove("events", "proven", claim=claim)
            return
        await self._clock.sleep(UNHEARD_AFTER_S)
        unheard = first_unheard(found, self._appender.newest_channel_ms)
        if unheard is not None and self.spool.idle:
            self._port.prove("events", "failing", claim="a channel was not told", channel=unheard)
            raise AriFailed(ChannelUnheard(unheard))

    async def _check_again_and_again(self) -> None:
        """Take the routine check: what channels there are must have been told.

        Gaps are closed by folding the reading after a connect (`recover.py`), so they are not ours here. A
        channel that was not told ends the session, which opens a gap and reads everything anew.
        """
        while True:
            try:
                what = await self._port.to_reconcile()
                if not what.routine or not self.live:
                    continue
                found = await self._channels()
                if first_unheard(found, self._appender.newest_channel_ms) is None:
                    report = Reconciled(checked={"channels": len(found)}, lost="no")
                    await self._port.reconciled(what, report)
            except AriFailed:
                continue  # the watch over REST notices it better; the check is due again later
            except StoreUnavailable:
                await self._clock.sleep(STORE_AGAIN_S)  # what is heard waits in the spool meanwhile

    async def _probe(self, why: Suspicion) -> Found:
        """No call for longer than usual: what channels there are must have been told."""
        try:
            found = await self._channels()
            await self._check_channels()
        except AriFailed as failed:
            if isinstance(failed.failure, ChannelUnheard):
                raise
            return Found("not_known", said=str(judge(failed.failure, self._settings.where).error))
        return Found("healthy", said=HEARS, evidence={"channels": len(found)})

    async def _channels(self) -> list[tuple[str, int]]:
        answer = await self._ari.get("/channels")
        body = answer.json()
        if answer.status != 200 or not isinstance(body, list):
            raise AriFailed(Status(answer.status, "/channels"))
        return ages(cast("list[dict[str, Any]]", body))

    async def _check_ami(self) -> None:
        assert self._settings.ami is not None
        banner = await read_banner(*self._settings.ami, self._clock)
        state = "proven" if banner.proven else "failing"
        self._port.prove("ami", state, claim=banner.said, banner_ms=banner.took_ms)

    # The configuration.

    async def _directory_changed(self) -> None:
        self._tell_directory()
        await self._say_configuration()

    def _tell_directory(self) -> None:
        known = self._book.directory
        if known is not None and known is not self._told_directory:
            self._told_directory = known
            self._tell(frames.directory(known.to_body(), now_ms(self._port)))

    async def _say_configuration(self) -> None:
        await self._alarms.say("configuration", self._book.alarm())
        if self._book.directory is not None:
            await self._alarms.say("lines", lines_alarm(self._book.directory))
        if self._endpoints is not None and self._book.directory is not None:
            unknown = unknown_to_asterisk(self._book.directory, self._endpoints)
            await self._alarms.say("endpoints", unknown_alarm(unknown))

    # Small things.

    def _control(self, word: str, **more: Any) -> Heard:
        return frames.control(word, now_ms(self._port), **more)

    def _tell(self, heard: Heard) -> None:
        self.spool.put(heard, now_ms(self._port))


def _ending(kind: aiohttp.WSMsgType, data: object, extra: object) -> SocketEnded:
    if kind is aiohttp.WSMsgType.CLOSE:
        return SocketEnded(data if isinstance(data, int) and data else 1005, str(extra or "")[:120])
    if isinstance(data, aiohttp.WebSocketError):
        return SocketEnded(int(data.code))
    return SocketEnded(1006)


def _recordings_alarm(trouble: str) -> Alarm | None:
    if not trouble:
        return None
    title = f"The recordings folder cannot be read ({trouble}): lengths of missed calls stay unknown."
    return Alarm(title, "Correct the recordings folder in the settings, or its permissions.")


async def _close(socket: Socket) -> None:
    await socket.close()


async def _follow(task: asyncio.Task[None]) -> None:
    """Wait for a task of somebody else without ending it, and share its failure."""
    await asyncio.shield(task)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Answer the one exception that says most: a lost lease, a defect of ours, then a failed upstream."""
    flat: list[BaseException] = []
    for one in group.exceptions:
        flat.append(_first(one) if isinstance(one, BaseExceptionGroup) else one)  # pyright: ignore[reportUnknownArgumentType]
    return min(flat, key=_weight)


def _weight(error: BaseException) -> int:
    if isinstance(error, Fenced):
        return 0
    return 2 if isinstance(error, AriFailed) else 1
