"""Find out how a session truly is: its claim, its page, its store against our log, and WhatsApp behind it.

Reads only. What an upstream says of itself is a claim; health needs a proof.
Source: contract WhatsApp, sections 2.3, 5.1 and 5.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.recovery import Found
from atalaia.connections.session import PlaneState
from atalaia.connections.silence import Rhythm
from atalaia.connections.truth import Truth
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.backfill import is_wanted, mark_start, name_groups, owed_ms
from atalaia.connectors.wppconnect.calls import NoAnswer
from atalaia.connectors.wppconnect.door import ChatHead, Claim, Word
from atalaia.connectors.wppconnect.envelope import Json, read_time_ms
from atalaia.connectors.wppconnect.server import NoSession, ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import Wid, comparable
from atalaia.errors import Unavailable, UpstreamError
from atalaia.events.model import Appended, Heard

COMPARED = 20
LAST = 5  # so many messages of a chat that seems behind
# A message that the page has and no webhook brought is looked for again after this part of a probe's
# interval, and named when it is still missing: within two intervals in all.
AGAIN, LATE = 2 / 3, 1 / 2
LEFT = ("disconnectedMobile", "desconnectedMobile")  # the latter is how libraries before 1.37.7 spell it
CAME = ("isLogged", "inChat", "qrReadSuccess")
SCAN = "Scan the code on the session's page with the phone: WhatsApp, linked devices."
NO_WEBHOOK = "The page has messages that no webhook brought."
BROUGHT_IN = "A reading brought in what no webhook had."
COMPARED_WELL = "Compared: the page has nothing that was not heard."
NO_ANSWER = "The page gets no answer from WhatsApp."
ANSWERED = "WhatsApp answered the page."
WRONG_NUMBER = "Pair the right phone, or correct the expected number in the connection's settings."


class Notes(Protocol):
    """What a look may say and ask of the house; see `session.SessionPort`."""

    @property
    def ambient(self) -> Ambient: ...

    def prove(self, plane: str, state: PlaneState, *, claim: str = "", **evidence: Any) -> None: ...

    async def known(self, starts: Sequence[str]) -> set[str]: ...

    async def newest(self, keys: Sequence[str], types: Sequence[str]) -> Mapping[str, int]: ...

    async def append(self, heard: Sequence[Heard]) -> list[Appended]: ...

    async def rhythm(self) -> Rhythm: ...


@dataclass(frozen=True, slots=True)
class Unheard:
    """A chat whose newest message, of `at_ms`, never reached us.

    owed: what a webhook should have brought, and when it was sent.
    """

    chat: str
    at_ms: int
    owed: Mapping[str, int]

    @property
    def since_ms(self) -> int:
        """Answer when the oldest missing one was sent: a chat in which much is written is always young."""
        return min(self.owed.values(), default=self.at_ms)


@dataclass(frozen=True, slots=True)
class Late:
    """A message that no webhook brought, and when (monotonic seconds) it was first found missing."""

    chat: str
    sent_ms: int
    since: float


@dataclass
class Looker:
    """Looks at one session through its server.

    catch_up: brings in what was sent since a moment, once it is known to be missing. opened: takes it that
    the session was opened anew. since_ms: from when on the page's messages should have come by webhook; older
    ones were missed for reasons that are known.
    """

    settings: WppconnectSettings
    server: ServerDoor
    notes: Notes
    catch_up: Callable[[int], Awaitable[None]]
    opened: Callable[[], Awaitable[None]]
    since_ms: int
    own: Wid | None = None
    version: str = ""
    chats: Sequence[ChatHead] = ()  # the newest of the page, as they were last compared
    _away: bool = False
    _starting_since: float | None = None
    _deaf: Found | None = None
    _deaf_ms: int = 0
    _explained_ms: int = 0
    _heads: dict[str, int] = field(default_factory=dict[str, int])  # chats whose newest message is known here
    _late: dict[str, Late] = field(default_factory=dict[str, Late])
    _told_ms: int = 0  # the last word on the session that was thought about
    _named: dict[str, str] = field(default_factory=dict[str, str])

    def begin_anew(self) -> None:
        """Take it that the session was started anew: what it hears from now on counts."""
        self.since_ms = to_ms(self.notes.ambient.clock.now())
        self._deaf = None
        self._late.clear()

    @property
    def is_deaf(self) -> bool:
        """Answer whether something is owed, as far as the last judgement knew."""
        return self._deaf is not None

    def explain(self, upto_ms: int) -> None:
        """Take it that what was sent up to now was missed for a loss that is known and accounted for."""
        self._explained_ms = max(self._explained_ms, upto_ms)

    def brought_in(self, sent_ms: Sequence[int]) -> None:
        """Take it that something else than a look found what no webhook had brought, sent at these times.

        It was brought in, and is a proof all the same: the next judgement names the session deaf, unless a
        message came by itself since.
        """
        since_ms, behind_ms = max(self.since_ms, self._explained_ms), self._behind_ms()
        owed = [at for at in sent_ms if since_ms < at < behind_ms]
        if not owed:
            return
        if self._deaf is None:
            evidence = {"messages": len(owed), "oldest_ms": min(owed)}
            self._deaf = Found("sick", Truth.DEAF, BROUGHT_IN, missed_ms=min(owed), evidence=evidence)
        self._deaf_ms = max(self._deaf_ms, *owed)

    async def look(self) -> Found:
        """Answer how the session is, proven from the claim down to WhatsApp itself.

        Errors: `Unavailable` when the server itself cannot be reached: then nothing is known of the session.
        """
        claim = await self.claim()
        found = self._of_claim(claim)
        if found is not None:
            return (await self._unpaired() if found.kind is Truth.CLOSED else None) or found
        return await self._of_page() or await self._of_store()

    async def claim(self) -> Claim:
        """Ask what the server says of the session."""
        claim = await self.server.status()
        self.notes.prove("server", "proven", claim=claim.said, version=claim.version)
        self.version = claim.version or self.version
        if claim.word is not Word.INITIALIZING:
            self._starting_since = None
        if claim.word is not Word.CONNECTED:
            self._away = True
        elif self._away:
            await self.is_another()
        return claim

    async def is_another(self) -> None:
        """Take it that the page is another one than at the last look, and has still to prove itself."""
        self._away = False
        self.begin_anew()
        await self.opened()

    async def glance(self, told_ms: int = 0) -> Found | None:
        """Answer the trouble that shows at first sight, None when there is none.

        Status, check, what was told of the session (last at `told_ms`), and whether the page has a message
        that should have come by now.
        """
        claim = await self.claim()
        return (
            self._of_claim(claim)
            or await self._left(told_ms)
            or await self._checked()
            or await self._still_deaf()
            or await self._behind()
        )

    @property
    def again_s(self) -> float:
        """Answer after how long to glance again: sooner when something may be missing."""
        every_s = self.settings.probe_every_s
        return every_s * AGAIN if self._late else every_s

    def _of_claim(self, claim: Claim) -> Found | None:
        """Judge the word: everything but `connected` is trusted, because nothing gains by it being a lie."""
        evidence = {"claim": claim.said}
        match claim.word:
            case Word.CONNECTED | Word.UNKNOWN:  # a word that nobody has seen is no claim at all
                return None
            case Word.QRCODE | Word.PHONECODE:
                self.notes.prove("page", "failing", claim=claim.said)
                self.notes.prove("browser", "unknown", claim=claim.said)
                return Found("person", Truth.PAIRING, "The session waits to be paired.", SCAN, None, evidence)
            case Word.INITIALIZING:
                return self._of_starting(evidence)
            case _:
                self.notes.prove("browser", "failing", claim=claim.said)
                said = "The server has no open session."
                return Found("sick", Truth.CLOSED, said, evidence=evidence)

    async def _unpaired(self) -> Found | None:
        """Answer that the phone took the pairing back, when that is the last that was told of it."""
        told = await self.notes.newest([*LEFT, *CAME], [heard.STATUS])
        left = max(told.get(word, 0) for word in LEFT)
        if left <= max(told.get(word, 0) for word in CAME):
            return None
        said = "The phone removed this session from its linked devices."
        return Found("person", Truth.LOGGED_OUT, said, SCAN, evidence={"left_ms": left})

    async def _left(self, told_ms: int) -> Found | None:
        """Answer that the pairing is said to be gone, though the server says that all is well.

        Servers up to 2.8.6 say so for ever after; a look has to prove it, because the word of a later login
        may have been lost. Each word is thought about once.
        """
        if told_ms <= self._told_ms:
            return None
        self._told_ms = told_ms
        found = await self._unpaired()
        return replace(found, health="sick") if found is not None else None

    def _of_starting(self, evidence: dict[str, Any]) -> Found:
        now = self.notes.ambient.clock.monotonic()
        self._starting_since = since = self._starting_since if self._starting_since is not None else now
        if now - since < self.settings.starting_within_s:
            return Found("not_known", Truth.STARTING, "The session is starting.", evidence=evidence)
        said = f"The session has been starting for {round(now - since)} s: its page does not load."
        return Found("sick", Truth.STARTING, said, evidence=evidence)

    async def _checked(self) -> Found | None:
        """Ask for the check of the page. It is true even for a page that hears nothing; false is a loss."""
        try:
            running = await self.server.check()
        except NoAnswer as error:
            self.notes.prove("page", "failing", said=str(error))
            return Found("sick", Truth.HUNG, "The page does not answer: it crashed or hangs.")
        if not running:
            self.notes.prove("browser", "failing", claim="check-connection: false")
            return Found("sick", Truth.BROWSER_LOST, "The session's browser is gone.")
        self.notes.prove("browser", "proven", claim="check-connection: true")
        return None

    async def _of_page(self) -> Found | None:
        """Read something that only a living page can answer: which account it is."""
        found = await self._checked()
        if found is not None:
            return found
        try:
            self.own = await self.server.own_number() or self.own
        except NoAnswer:
            self.notes.prove("page", "failing")
            return Found("sick", Truth.HUNG, "The page does not answer: it crashed or hangs.")
        except NoSession:
            return Found("sick", Truth.CLOSED, "The server has no live page for this session.")
        self.notes.prove("page", "proven", account=str(self.own or ""))
        wanted = self.settings.phone
        if wanted and self.own is not None and comparable(self.own.user) != comparable(wanted):
            said = f"The session is paired with {self.own.user}, and {wanted} is expected."
            return Found("person", Truth.PAIRING, said, WRONG_NUMBER, None, {"account": self.own.user})
        return None

    async def _of_store(self) -> Found:
        """Compare the page's chats with our log, then have the page ask WhatsApp itself."""
        try:
            unheard = await self._unheard_chats()
        except NoAnswer:
            return Found("sick", Truth.HUNG, "The page does not show its chats: it hangs.")
        behind_ms = self._behind_ms()
        if missed := [one for one in unheard if one.since_ms < behind_ms]:
            await self._bring_in(missed, behind_ms)
        deaf = await self._still_deaf() or await self._of_late()
        if deaf is not None:
            self.notes.prove("message_in", "failing", **deaf.evidence)
            return deaf
        self.notes.prove("message_in", "proven", said=COMPARED_WELL)
        if self.own is None:
            return Found("not_known", said="The page does not say yet which account it is.")
        try:
            await self.server.round_trip(self.own)
        except NoAnswer:
            self.notes.prove("message_out", "failing", said=NO_ANSWER)
            return await self._unpaired() or Found("sick", Truth.DEAF, NO_ANSWER)
        except Unavailable as error:
            return Found("not_known", said=str(error))
        self.notes.prove("message_out", "proven", said=ANSWERED)
        return Found("healthy", said="The page hears, and WhatsApp answers it.")

    async def _bring_in(self, missed: Sequence[Unheard], behind_ms: int) -> None:
        """Catch up at once, a customer waits; and remember what should have come by itself."""
        owed = [at for one in missed for at in one.owed.values() if at < behind_ms]
        if owed and self._deaf is None:
            evidence = {"chats": sum(bool(one.owed) for one in missed), "oldest_ms": min(owed)}
            self._deaf = Found("sick", Truth.DEAF, NO_WEBHOOK, missed_ms=min(owed), evidence=evidence)
            # A chat whose last word is missing is proof; in one that goes on, nothing may have come since.
            last_word = any(one.owed and one.at_ms < behind_ms for one in missed)
            self._deaf_ms = to_ms(self.notes.ambient.clock.now()) if last_word else max(owed)
        await self.catch_up(min(one.since_ms for one in missed))

    def _behind_ms(self) -> int:
        """Answer when a message must have been sent for its webhook to count as missing."""
        return to_ms(self.notes.ambient.clock.now()) - int(self.settings.behind_s * 1000)

    async def _still_deaf(self) -> Found | None:
        """A session that was found deaf stays so until it is started anew, or a message comes by itself."""
        if self._deaf is None:
            return None
        last = (await self.notes.rhythm()).last_ms.get("messages", 0)
        if last >= self._deaf_ms:
            self._deaf = None
        return self._deaf

    async def _behind(self) -> Found | None:
        """Compare the page's chats with our log at first sight; a slow or failing list proves nothing."""
        try:
            await self._unheard_chats(within_s=self.settings.probe_every_s / 3)
        except UpstreamError:
            return None
        return await self._of_late()

    async def _of_late(self) -> Found | None:
        """Answer that something should have come by now, which may still come: named, and not acted upon."""
        now, enough_s = self.notes.ambient.clock.monotonic(), self.settings.probe_every_s * LATE
        late = [one for one in self._late.values() if now - one.since >= enough_s]
        if not late:
            return None
        said = "The page has a message that no webhook has brought yet."
        late_s = round(now - min(one.since for one in late), 1)
        return Found("not_known", Truth.DEAF, said, evidence={"late_s": late_s})

    async def _unheard_chats(self, *, within_s: float | None = None) -> list[Unheard]:
        """Answer the chats whose newest messages never reached us.

        A chat that is behind by its time alone is looked into: it may be known under another name. What a
        webhook should have brought is remembered, from when it was first found missing.
        """
        listed = await self.server.chats(COMPARED, within_s=within_s)
        if new := [one for one in listed if self._named.get(str(one.wid)) != one.name]:
            await name_groups(self.notes, new, to_ms(self.notes.ambient.clock.now()))
            self._named |= {str(one.wid): one.name for one in new}
        self.chats = chats = [one for one in listed if is_wanted(one, 0) and one.newest_ms]
        fresh = [one for one in chats if self._heads.get(str(one.wid)) != one.newest_ms]
        newest = await self.notes.newest([str(one.wid) for one in fresh], heard.MESSAGES)
        found: list[Unheard] = []
        for one in fresh:
            at = one.newest_ms or 0
            behind = await self._unheard(one, at) if at > newest.get(str(one.wid), 0) else None
            if behind is None:
                self._heads[str(one.wid)] = at
            else:
                found.append(behind)
        now, before = self.notes.ambient.clock.monotonic(), self._late
        self._late = {
            key: before.get(key) or Late(one.chat, sent_ms, now)
            for one in found
            for key, sent_ms in one.owed.items()
        }
        return found

    async def _unheard(self, chat: ChatHead, at_ms: int) -> Unheard | None:
        """Answer what of a chat's last messages nothing ever told us; None when there is nothing."""
        name = str(chat.wid)
        last = sorted(await self.server.messages(chat.wid, count=LAST), key=_sent_ms)
        rows = {start: row for row in last if (start := mark_start(row))}
        # Where much is written, what was missing at the last look is no longer among the last. Where others
        # came by themselves since, it was lost alone: that is no deafness.
        came_ms = (await self.notes.rhythm()).last_ms.get("messages", 0)
        before = {key: one.sent_ms for key, one in self._late.items() if one.chat == name}
        sent = {key: sent_ms for key, sent_ms in before.items() if sent_ms > came_ms}
        sent |= {start: owed_ms(row) for start, row in rows.items()}
        new = sent.keys() - await self.notes.known(list(sent))
        owed = {start: sent[start] for start in new if sent[start] > self.since_ms}
        # What is older than our log is unknown, too, and nobody misses it.
        if owed or (rows and list(rows)[-1] in new):
            return Unheard(name, at_ms, owed)
        return None


def _sent_ms(row: Json) -> int:
    return read_time_ms(row.get("t")) or 0
