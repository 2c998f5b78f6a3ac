"""One WhatsApp session kept in truth: looked at, recovered by a ladder, reconciled after every loss.

Its events come by webhooks (`hook.py`); this asks, compares and mends. Nothing logs out, clears or deletes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import cast
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from atalaia.clock import to_ms
from atalaia.connections.ladder import Calm, Ladder, Rung
from atalaia.connections.recovery import Found, Recovery
from atalaia.connections.session import Reconciled, SessionPort
from atalaia.connections.silence import Suspicion
from atalaia.connections.truth import NOT_HEARING, Truth
from atalaia.connectors.wppconnect import versions
from atalaia.connectors.wppconnect.agent import BrowserAgent
from atalaia.connectors.wppconnect.asking import Asker
from atalaia.connectors.wppconnect.backfill import Report, reconcile
from atalaia.connectors.wppconnect.calls import Busy, NoAnswer
from atalaia.connectors.wppconnect.canary import Canary, marked
from atalaia.connectors.wppconnect.door import ChatHead, Sent, Word
from atalaia.connectors.wppconnect.envelope import Json
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.connectors.wppconnect.looking import SCAN, Looker
from atalaia.connectors.wppconnect.sampling import Sampler
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.todo import ASKS
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.errors import InDoubt, Rejected, Unavailable, UpstreamError
from atalaia.events.gaps import Reconcile
from atalaia.events.grouping import same

WATCHED = ("messages",)
# The page learns its own history over minutes after it was opened; what is not there yet is read then.
REPEATS_S = (120.0, 600.0, 3600.0)
# The routine check looks back so far: what a page learned late is found even if this process is a new one.
ROUTINE_BACK_MS = 6 * 3_600_000
GONE_AFTER = 2  # looks in a row that the server did not answer
# A page that opens says so several times over; what it says so long after a start is of another one.
OPENING_MS = 30_000
SECOND_MS = 1_000  # how exactly WhatsApp says when a message was sent
LONE = "A webhook was lost while others came."
OPENED = "The session's page was closed or loaded anew."

CODE = Rung(
    "code", "Ask for the code",
    "Asking the gateway for the code, which reconnects a session whose pairing is still valid.",
    "The session is connected, and messages come.", opens=True,
)  # fmt: skip
START = Rung(
    "start", "Start the session", "Starting the session with its whole configuration.",
    "The page answers, its messages are known here, and WhatsApp answers it.",
    cures=frozenset({Truth.CLOSED}), opens=True,  # the server takes it for open while a browser is lost
)  # fmt: skip
RESTART = Rung(
    "restart", "Close and start", "Closing the session and starting it; the pairing stays.",
    "The page answers, its messages are known here, and WhatsApp answers it.", opens=True, tries=2,
)  # fmt: skip
# A close does not end the browser of a page that hangs or does not load: with an agent nobody waits for one.
MILD = replace(RESTART, cures=frozenset(Truth) - {Truth.HUNG, Truth.STARTING})
END_BROWSER = Rung(
    "end_browser", "End its browser", "Ending the session's leftover browser, then starting the session.",
    "The page answers, its messages are known here, and WhatsApp answers it.",
    cures=frozenset({Truth.STARTING, Truth.HUNG, Truth.BROWSER_LOST, Truth.CLOSED, Truth.DEAF}),
    opens=True, tries=2,
)  # fmt: skip


async def run_session(settings: BaseModel, port: SessionPort) -> None:
    """Run one session until its server is gone or this is cancelled.

    Errors: `Unavailable`, `Refused`, `Fenced`.
    """
    await Session(cast("WppconnectSettings", settings), port).run()


def ladder_of(settings: WppconnectSettings) -> Ladder:
    """Answer what may be tried with these doors, from the mildest to the strongest."""
    rungs: list[Rung] = []
    if settings.server_url:
        rungs += [START, MILD, END_BROWSER] if settings.browser_url else [START, RESTART]
    else:
        rungs.append(CODE)
    return Ladder(tuple(rungs), look_every=timedelta(seconds=settings.probe_every_s), asks=ASKS)


class Session:
    """One session: its doors, its looks, its ladder."""

    def __init__(self, settings: WppconnectSettings, port: SessionPort) -> None:
        self._settings = settings
        self._port = port
        self._clock = port.ambient.clock
        self._mute = 0
        self._away = False  # what a gateway said last; a server's is the looker's
        self._since_ms = self._now_ms()  # since when what comes is of the session that is open now
        self._warned = ""
        self._early: list[Report] = []
        self._repeats: list[tuple[float, int]] = []
        self._lone: set[tuple[int, int]] = set()  # from when to when lone messages were lost

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._recovery = Recovery(
                self._port, ladder_of(self._settings), self, watched=WATCHED,
                zone=ZoneInfo(self._settings.zone),
                judge_every=timedelta(seconds=self._settings.probe_every_s),
            )  # fmt: skip
            self._canary = Canary(
                self._settings, self._port, self._write, self._own, self._recovery.suspected
            )
            await self._first_look()
            async with asyncio.TaskGroup() as together:
                together.create_task(self._recovery.run())
                together.create_task(self._probe())
                together.create_task(self._compare())
                together.create_task(self._reconcile())
                together.create_task(self._repeat())
                together.create_task(self._sing())

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        self._server: ServerDoor | None = None
        self._gateway: GatewayDoor | None = None
        self._agent: BrowserAgent | None = None
        if settings.server_url:
            door = ServerDoor(settings, self._clock, settings.hook_url(self._port.connection))
            self._server = await stack.enter_async_context(door)
            self._looker = Looker(
                settings, self._server, self._port, self._bring_in, self._opened, self._now_ms()
            )
            self._sampler = Sampler(self._server, self._port)
        if settings.gateway_url:
            self._gateway = await stack.enter_async_context(GatewayDoor(settings, self._clock))
        if settings.browser_url:
            self._agent = await stack.enter_async_context(BrowserAgent(settings, self._clock))

    async def _first_look(self) -> None:
        """Say how the session stands as it is found; whatever is wrong is for the ladder."""
        found = await self.look(None)
        await self._warn()
        if found.health == "healthy":
            await self._port.live(**found.evidence)
            return
        if found.health == "person":
            self._recovery.needs_person(found.kind, found.ask, found.said)
            return
        kind = found.kind if found.kind is not Truth.NONE else Truth.UNPROVEN
        await self._port.suspect(found.said, kind=kind, **found.evidence)
        self._recovery.suspected(kind)

    # What the ladder asks for.

    async def look(self, why: Suspicion | None) -> Found:
        """Find out how the session is; see `recovery.Hands`."""
        found = await (self._looker.look() if self._server is not None else self._look_by_gateway(why))
        return self._canary.missed if found.health == "healthy" and self._canary.missed else found

    async def _look_by_gateway(self, why: Suspicion | None) -> Found:
        """A gateway has only its word. It is trusted when it says no, and proves nothing when it says yes."""
        gateway = cast("GatewayDoor", self._gateway)
        claim = await gateway.status()
        self._port.prove("server", "proven", claim=claim.said)
        evidence = {"claim": claim.said}
        if claim.word is Word.CONNECTED and self._away:
            await self._opened()
            self._recovery.helped()  # nobody has to pair it any more, though nothing is proven yet
        self._away = claim.word is not Word.CONNECTED
        if claim.word is Word.QRCODE:
            return Found("person", Truth.PAIRING, "The session waits to be paired.", SCAN, None, evidence)
        if claim.word in (Word.CLOSED, Word.DISCONNECTED):
            return Found(
                "sick", Truth.CLOSED, "The gateway says that the session is not connected.", evidence=evidence
            )
        if why is not None:
            kind = Truth.DEAF if why.kind == "deaf" else Truth.SILENT
            said = "Nothing came for too long, and a gateway shows no messages to compare with."
            return Found("sick", kind, said, evidence=evidence | {"since_ms": why.since_ms})
        last = (await self._port.rhythm()).last_ms.get("messages")
        if last is None:
            return Found("not_known", Truth.UNPROVEN, "Nothing has come yet, and a gateway proves nothing.")
        return Found(
            "healthy", said="Messages came, and nothing speaks against it.", evidence={"last_ms": last}
        )

    async def act(self, rung: Rung, cause: Truth) -> None:
        """Carry one rung out; see `recovery.Hands`."""
        match rung.name:
            case "code":
                await cast("GatewayDoor", self._gateway).start()
            case "start":
                await self._start()
            case "restart":
                await self._restart()
            case _:
                await cast("BrowserAgent", self._agent).end(self._settings.session_name)
                await self._restart()

    async def _start(self) -> None:
        try:
            await cast("ServerDoor", self._server).start()
        except InDoubt as error:
            raise Unavailable(str(error)) from error  # a start may be asked for again
        self._looker.begin_anew()
        self._canary.begin_anew()

    async def _restart(self) -> None:
        """Close, then start. A stuck session answers 500 and is reset all the same; a hung one is mute."""
        try:
            await cast("ServerDoor", self._server).close()
        except (InDoubt, NoAnswer):
            pass
        await self._start()

    # What it does by itself.

    async def _probe(self) -> None:
        """Look at first sight every half minute: the claim, whether the page runs, what it has for us."""
        while True:
            server = self._server is not None
            await self._clock.sleep(self._looker.again_s if server else self._settings.probe_every_s)
            told_ms = (await self._show_events()).get("pages", 0)
            try:
                await self._notice_pages(told_ms)
                found = await (self._looker.glance(told_ms) if server else self.look(None))
            except Busy:
                continue  # it says nothing of the other side
            except Unavailable as error:
                self._gone(error)
                continue
            self._mute = 0
            self._take(found)
            await self._warn()

    def _gone(self, error: Unavailable) -> None:
        """Count looks without an answer: one may be chance, more are the loss of the server."""
        self._mute += 1
        self._port.prove("server", "failing", said=str(error))
        if self._mute >= GONE_AFTER:
            raise error

    async def _warn(self) -> None:
        """Warn of a server whose version does not fit its library.

        Each session tells for itself, and one server is one alert: it goes with the last that tells.
        """
        if self._server is None or self._looker.version == self._warned:
            return
        self._warned = self._looker.version
        cause, said = f"wppconnect.version:{self._port.connection}", versions.skew_of(self._warned)
        if said:
            # Said here, because a session may be called by a word that the title has, too.
            grouping = same("wppconnect.version", self._settings.server_url, said)
            await self._port.alert(cause, said, todo=versions.TODO, grouping=grouping, version=self._warned)
        else:
            await self._port.calm(cause)

    def _take(self, found: Found | None) -> None:
        if found is None or found.health == "healthy":
            return
        if found.health == "not_known" and found.kind not in NOT_HEARING:
            return
        if found.health == "person":
            self._recovery.needs_person(found.kind, found.ask, found.said)
        else:
            self._recovery.suspected(found.kind)

    async def _show_events(self) -> Mapping[str, int]:
        """Show what came by itself as proof of its planes; answer when each kind came last."""
        last = (await self._port.rhythm()).last_ms
        newest = max(last.values(), default=0)
        fresh_ms = int(self._settings.probe_every_s * 1000)
        now_ms = self._now_ms()
        for plane, kind in (("message_in", "messages"), ("message_out", "acks"), ("page", "presence")):
            at = last.get(kind, 0)
            if at > self._since_ms and now_ms - at <= fresh_ms:
                self._port.prove(plane, "proven", came=kind)
        if now_ms - newest <= fresh_ms:
            self._port.prove("intake", "proven", came="a webhook")
        return last

    async def _notice_pages(self, told_ms: int) -> None:
        """Notice a page that was loaded anew between two looks: it missed what came meanwhile."""
        if self._server is None:
            return
        if told_ms > self._looker.since_ms + OPENING_MS:
            await self._looker.is_another()
            self._recovery.suspected(Truth.UNPROVEN)

    async def _opened(self) -> None:
        """Take it that WhatsApp's session was opened anew: by the ladder, a person, or the server itself."""
        self._since_ms = self._now_ms()
        self._canary.begin_anew()
        await self._port.reopened(OPENED)
        if not self._repeats:
            self._repeat_later(self._since_ms)

    async def _compare(self) -> None:
        """Compare the page's store with our log now and then, whatever the word says."""
        if self._server is None:
            return
        while True:
            await self._clock.sleep(self._settings.store_every_s)
            try:
                found = await self._looker.look()
                self._take(found)
                if found.health == "healthy":
                    await self._sample()
            except UpstreamError as error:
                self._port.prove("page", "unknown", said=str(error))

    async def _sample(self) -> None:
        """Account for what was lost among messages that came: no loss of hearing, unless none came since."""
        looker = self._looker
        lost = await self._sampler.turn(looker.chats, looker.since_ms, self._upto_ms())
        if not lost:
            return
        looker.brought_in(lost)
        span = min(lost), max(lost) + SECOND_MS
        self._lone.add(span)
        await self._port.lost_hearing(span[0], LONE, span[1])

    async def _reconcile(self) -> None:
        """Bring in what was missed, whenever the ledger of gaps asks for it."""
        server = self._server
        if server is None:
            return
        while True:
            what = await self._port.to_reconcile()
            try:
                from_ms = what.from_ms - (ROUTINE_BACK_MS if what.routine else 0)
                store = _Marking(server, self._settings)
                report = await reconcile(store, self._port, self._clock, from_ms, self._upto_ms())
            except (UpstreamError, Rejected):
                continue  # the gap stays open, and is handed out again
            early, self._early = self._early, []
            self._weigh(what, report)
            await self._port.reconciled(what, told(report, early))

    def _weigh(self, what: Reconcile, report: Report) -> None:
        """Take what a reading brought in for a proof, unless it was sent before a known loss was over."""
        away = [span for span in what.spans if span not in self._lone]
        self._lone.difference_update(what.spans)
        if away:
            self._looker.explain(max(ended for _, ended in away))
            self._repeat_later(what.from_ms)
        self._looker.brought_in(report.owed_ms)

    def _repeat_later(self, from_ms: int) -> None:
        now = self._clock.monotonic()
        self._repeats += [(now + after, from_ms) for after in REPEATS_S]

    async def _repeat(self) -> None:
        """Read again what was reconciled while the page may not have known all of it, and who is hidden."""
        if self._server is None:
            return
        asker = Asker(self._server, self._port, self._clock, self._settings.store_every_s)
        while True:
            await self._clock.sleep(self._settings.probe_every_s)
            await asker.turn()
            now = self._clock.monotonic()
            due = [from_ms for at, from_ms in self._repeats if at <= now]
            if not due:
                continue
            try:
                await self._catch_up(min(due), self._upto_ms())
            except UpstreamError:
                continue  # it is still due at the next look
            self._repeats = [one for one in self._repeats if one[0] > now]

    async def _sing(self) -> None:
        """Write a canary now and then, while nothing else is suspected."""
        if not self._settings.canary_to:
            return
        while True:
            await self._clock.sleep(self._settings.canary_min * 60)
            if isinstance(self._recovery.state, Calm):
                await self._canary.once()

    async def _write(self, chat: Wid, text: str) -> Sent:
        if self._server is not None:
            return await self._server.send("send-message", chat, {"message": text})
        return await cast("GatewayDoor", self._gateway).send(chat.user, {"text": text})

    def _own(self) -> Wid | None:
        return self._looker.own if self._server is not None else None

    async def _bring_in(self, from_ms: int) -> None:
        """Bring in what a look has found missing; what may still come is left to it, unless nothing comes."""
        await self._catch_up(from_ms, None if self._looker.is_deaf else self._upto_ms())

    async def _catch_up(self, from_ms: int, upto_ms: int | None) -> None:
        """Read what may be missing, before the gap's own account of it."""
        store = _Marking(cast("ServerDoor", self._server), self._settings)
        report = await reconcile(store, self._port, self._clock, from_ms, upto_ms)
        self._early.append(report)
        self._looker.brought_in(report.owed_ms)

    def _upto_ms(self) -> int:
        """Answer until when a message that is still missing was missed; a younger one may be on its way."""
        return max(self._looker.since_ms, self._now_ms() - round(self._settings.behind_s * 1000))

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


class _Marking:
    """The page's store, with our own canaries marked as the webhooks mark them."""

    def __init__(self, server: ServerDoor, settings: WppconnectSettings) -> None:
        self._server, self._settings = server, settings

    async def chats(self, count: int | None = None) -> list[ChatHead]:
        return await self._server.chats(count)

    async def messages(self, chat: Wid, *, count: int, before: str = "") -> list[Json]:
        found = await self._server.messages(chat, count=count, before=before)
        return [marked(one, self._settings) for one in found]


def told(report: Report, early: Sequence[Report] = ()) -> Reconciled:
    """Answer a catch-up's report as the ledger of gaps has it. early: what was brought in before it."""
    checked = {"chats": report.checked, "of": report.chats, "messages": report.messages}
    left = {
        "undecrypted": report.undecrypted,
        "chats_not_read": len(report.failed),
        "chats_cut": len(report.cut),
    }
    unknown = ""
    if report.failed or report.cut:
        unknown = "what stands in the chats that could not be read to their end"
    return Reconciled(
        checked,
        {
            "messages": report.recovered + sum(one.recovered for one in early),
            "upgraded": report.upgraded + sum(one.upgraded for one in early),
        },
        {name: number for name, number in left.items() if number},
        "unknown" if unknown else "yes" if report.undecrypted else "no",
        unknown,
    )
