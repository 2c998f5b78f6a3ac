"""The connection's own session: it listens to the watched units, proves itself, and renews its login."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import cast

from pydantic import BaseModel

from atalaia.connections.recovery import Found
from atalaia.connections.session import SessionPort
from atalaia.connections.silence import Suspicion
from atalaia.connections.watch import Watch
from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.line import Line, Watcher, open_line
from atalaia.connectors.traffilog.protocol import Missing, SessionSpent
from atalaia.connectors.traffilog.reach import Cause, Unreached
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.wire import CONFIG_STATUS, MESSAGES, PARAMETERS
from atalaia.errors import Refused, Unavailable, UpstreamError
from atalaia.events.gaps import Reconciled

TICK_S = 1.0
ASKED_AT_ONCE = 16
RENEW_AGAIN_S = 60.0
ANSWERS = "The upstream answers; the units were subscribed to anew."
UNKNOWN = "what the units sent meanwhile: the upstream repeats nothing"
UNIT_QUIET_S = 300.0  # an idle unit reports its battery every 30 to 60 s


async def run_session(settings: BaseModel, port: SessionPort) -> None:
    """Run one session until it is lost or cancelled.

    Errors: `Unavailable` (mostly `Unreached`, with the cause), `Refused`, `Fenced`.
    """
    await Session(cast("TraffilogSettings", settings), port).run()


class Session:
    """One line at a time; while the login is renewed two, so that nothing is missed between them."""

    _line: Line
    _reconciling: asyncio.Task[None]
    _watching: asyncio.Task[None]

    def __init__(self, settings: TraffilogSettings, port: SessionPort) -> None:
        self._settings = settings
        self._port = port
        self._clock = port.ambient.clock
        self._heard_units: dict[str, float] = {}
        self._canary_failed = False
        self._renew_at = 0.0

    async def run(self) -> None:
        current, self._line = await self._open()
        self._reconciling = asyncio.create_task(self._reconcile_again_and_again())
        watch = Watch(self._port, self._look, watched=("units",))
        self._watching = asyncio.create_task(watch.run())
        try:
            while True:
                await self._tend(self._line)
                renewed = await self._renew(self._line)
                if renewed is not None:
                    old, (current, self._line) = current, renewed
                    await old.aclose()
        except UpstreamError as error:
            self._show(error)
            raise
        finally:
            self._reconciling.cancel()
            self._watching.cancel()
            await current.aclose()

    # Opening.

    async def _open(self) -> tuple[AsyncExitStack, Line]:
        """Answer a proven line that listens to all watched units, and what closes it."""
        stack = AsyncExitStack()
        try:
            watcher = Watcher(append=self._port.append, reached=self._reached, failed=self._login_failed)
            line = await stack.enter_async_context(open_line(self._settings, self._port.ambient, watcher))
            await self._prove(line)
            await self._port.live(watched=len(self._settings.watched))
            await self._watch(line)
        except BaseException as error:
            if isinstance(error, UpstreamError):
                self._show(error)
            await stack.aclose()
            raise
        self._renew_at = self._clock.monotonic() + self._settings.token_min * 60
        return stack, line

    def _reached(self, what: str) -> None:
        if what == "login":
            self._port.prove("login", "proven")
        else:
            self._port.prove("socket", "proven", claim="open")

    def _login_failed(self, error: Unavailable) -> None:
        """Show at once what is tried again: three tries take a while."""
        self._port.prove("login", "failing", said=str(error))

    async def _watch(self, line: Line) -> None:
        room = asyncio.Semaphore(ASKED_AT_ONCE)
        unknown: list[str] = []

        async def watch(vehicle: str) -> None:
            async with room:
                # Which unit is in the vehicle: its messages name the unit alone.
                if not await self._is_known(line, vehicle):
                    unknown.append(vehicle)
                    return
                await line.ask(actions.subscribe(vehicle, MESSAGES))
                for kind in self._kinds[1:]:
                    await line.tell(actions.subscribe(vehicle, kind))
                self._port.prove("answers", "proven", claim="get_vehicle_info")

        try:
            async with asyncio.TaskGroup() as together:
                for vehicle in self._settings.watched:
                    together.create_task(watch(vehicle))
        except BaseExceptionGroup as group:
            raise _first(group) from None
        await self._say_unknown(sorted(unknown))

    async def _is_known(self, line: Line, vehicle: str) -> bool:
        try:
            info = await line.ask(actions.vehicle_info(vehicle), within_s=self._settings.read_within_s)
        except Missing:
            return False
        return bool(info.rows)

    @property
    def _kinds(self) -> tuple[str, ...]:
        """A status push does not say whose it is, so it is of use only when one vehicle alone is watched."""
        alone = len(self._settings.watched) == 1
        return (MESSAGES, PARAMETERS, CONFIG_STATUS) if alone else (MESSAGES, PARAMETERS)

    async def _say_unknown(self, unknown: list[str]) -> None:
        cause = f"traffilog.watched:{self._port.connection}"
        if not unknown:
            await self._port.calm(cause)
            return
        title = f"{len(unknown)} watched vehicles are not known upstream: {', '.join(unknown[:5])}."
        todo = "Correct the list of watched vehicles in the connection's settings."
        await self._port.alert(cause, title, todo=todo, vehicles=unknown[:100])

    # Tending.

    async def _tend(self, line: Line) -> None:
        """Listen and prove until the login should be renewed. Errors: why the line is of no use any more."""
        now = self._clock.monotonic()
        subscribe_at = now + self._settings.subscribe_every_s
        canary_at = now + self._settings.canary_every_s
        while (now := self._clock.monotonic()) < self._renew_at:
            await self._listen(line)
            for one in (self._reconciling, self._watching):
                if one.done():
                    one.result()  # a defect of ours, or the store: it must not end in silence
            try:
                if now >= canary_at:
                    await self._canary(line)
                    canary_at = self._clock.monotonic() + (
                        TICK_S if self._canary_failed else self._settings.canary_every_s
                    )
                if now >= subscribe_at:
                    await self._subscribe(line)
                    subscribe_at = self._clock.monotonic() + self._settings.subscribe_every_s
            except SessionSpent:
                return

    async def _listen(self, line: Line) -> None:
        for came in await line.pushes(within_s=TICK_S):
            if came.vehicle_id:
                self._heard_units[came.vehicle_id] = self._clock.monotonic()
        if self._clock.monotonic() - line.heard_at < TICK_S * 2:
            self._port.prove("socket", "proven", claim="texts come")
        self._prove_pushes()

    def _prove_pushes(self) -> None:
        watched = self._settings.watched
        if not watched:
            return
        since = self._clock.monotonic() - UNIT_QUIET_S
        heard = sum(self._heard_units.get(vehicle, -UNIT_QUIET_S * 2) > since for vehicle in watched)
        self._port.prove(
            "pushes", "proven" if heard else "unknown", claim=f"{heard} of {len(watched)} units", heard=heard
        )

    async def _subscribe(self, line: Line) -> None:
        """Repeat what is subscribed: the only thing that keeps it alive (contract §3.1)."""
        vehicles = list(line.subscribed)
        for place, vehicle in enumerate(vehicles):
            for kind in self._kinds:
                action = actions.subscribe(vehicle, kind)
                if place or kind != MESSAGES:
                    await line.tell(action)
                    continue
                try:
                    await line.ask(action)
                except SessionSpent:
                    raise
                except Unavailable:
                    pass  # the canary notices it better

    async def _canary(self, line: Line) -> None:
        """Prove the line. Open and mute is not live: a second silence in a row ends the session."""
        try:
            await self._prove(line)
        except SessionSpent:
            raise
        except Unavailable as error:
            self._port.prove("answers", "failing", claim=str(error))
            again, self._canary_failed = self._canary_failed, True
            if line.broken or again:
                said = f"The socket is open, but nothing is answered. {error}"
                raise error if line.broken else Unreached(Cause.MUTE, said) from error
            await self._port.suspect(str(error))
            return
        if self._canary_failed:
            self._canary_failed = False
            await self._port.live()

    async def _prove(self, line: Line) -> None:
        """Ask something harmless. Errors: as `Line.ask`."""
        watched = self._settings.watched
        began = self._clock.monotonic()
        said = await line.prove(watched[0] if watched else "")
        took_ms = round((self._clock.monotonic() - began) * 1000, 2)
        self._port.prove("answers", "proven", claim=said, answer_ms=took_ms)
        self._port.prove("socket", "proven", claim="answers")

    # What may have been missed.

    async def _look(self, why: Suspicion) -> Found:
        """Units are silent for longer than usual: ask for one, and have all of them subscribed anew."""
        line = self._line
        try:
            await self._prove(line)
            await self._subscribe(line)
        except Unavailable as error:
            return Found("not_known", said=str(error))
        evidence = {"watched": len(self._settings.watched), "event": why.event}
        return Found("healthy", said=ANSWERS, evidence=evidence)

    async def _reconcile_again_and_again(self) -> None:
        """After each gap and every half hour, read the watched vehicles anew.

        What their units sent in a gap nobody repeats; in a routine check all of them must still be known.
        """
        while True:
            what = await self._port.to_reconcile()
            try:
                report = await self._reconcile(routine=what.routine)
            except Unavailable:
                continue  # the gap stays open and is handed out again
            await self._port.reconciled(what, report)

    async def _reconcile(self, *, routine: bool) -> Reconciled:
        watched = self._settings.watched
        if not watched:
            return Reconciled(lost="no")  # nobody was listened to, so nothing was missed
        room = asyncio.Semaphore(ASKED_AT_ONCE)

        async def read(vehicle: str) -> bool:
            async with room:
                return await self._is_known(self._line, vehicle)

        answers = await asyncio.gather(*(read(vehicle) for vehicle in watched))
        if routine:
            return Reconciled(checked={"vehicles": sum(answers)}, lost="no")
        return Reconciled(
            checked={"vehicles": len(watched)}, recovered={"vehicles_read": sum(answers)}, unknown=UNKNOWN
        )

    # Renewing.

    async def _renew(self, line: Line) -> tuple[AsyncExitStack, Line] | None:
        """Open the next line before this one is closed. None: it failed, and this one still serves."""
        try:
            return await self._open()
        except Unavailable as error:
            if line.broken or self._clock.monotonic() < self._renew_at:
                raise  # it was needed: this line is broken, or its login is spent
            self._renew_at = self._clock.monotonic() + RENEW_AGAIN_S
            await self._port.suspect(f"The login could not be renewed. {error}")
            return None

    def _show(self, error: UpstreamError) -> None:
        """Mark on the card where the way ended."""
        plane = "login" if isinstance(error, Refused) or error.cause == Cause.LOGIN else "socket"
        if error.cause in (Cause.MUTE, Cause.FRAME):
            plane = "answers"
        self._port.prove(plane, "failing", said=str(error))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Answer the first of what went wrong together; a person's turn before anything else."""
    flat = [_first(one) if isinstance(one, BaseExceptionGroup) else one for one in group.exceptions]  # pyright: ignore[reportUnknownArgumentType]
    return next((one for one in flat if isinstance(one, Refused)), flat[0])
