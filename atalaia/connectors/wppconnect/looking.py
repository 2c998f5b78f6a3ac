"""Find out how a session truly is: its claim, its page, its store against our log, and WhatsApp behind it.

Reads only. What an upstream says of itself is a claim; health needs a proof.
Source: contract WhatsApp, sections 2.3, 5.1 and 5.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.recovery import Found
from atalaia.connections.session import PlaneState
from atalaia.connections.silence import Rhythm
from atalaia.connections.truth import Truth
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.backfill import is_wanted
from atalaia.connectors.wppconnect.calls import NoAnswer
from atalaia.connectors.wppconnect.door import ChatHead, Claim, Word
from atalaia.connectors.wppconnect.server import NoSession, ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import Wid, comparable, read_message_id
from atalaia.errors import Unavailable

COMPARED = 20
SCAN = "Scan the code on the session's page with the phone: WhatsApp, linked devices."
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

    async def rhythm(self) -> Rhythm: ...


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
    _away: bool = False
    _starting_since: float | None = None
    _deaf: Found | None = None
    _deaf_ms: int = 0

    def begin_anew(self) -> None:
        """Take it that the session was started anew: what it hears from now on counts."""
        self.since_ms = to_ms(self.notes.ambient.clock.now())
        self._deaf = None

    async def look(self) -> Found:
        """Answer how the session is, proven from the claim down to WhatsApp itself.

        Errors: `Unavailable` when the server itself cannot be reached: then nothing is known of the session.
        """
        claim = await self.claim()
        found = self._of_claim(claim)
        if found is not None:
            return found
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

    async def glance(self) -> Found | None:
        """Answer the trouble that shows at first sight, None when there is none: status and check alone."""
        claim = await self.claim()
        return self._of_claim(claim) or await self._checked()

    def _of_claim(self, claim: Claim) -> Found | None:
        """Judge the word: everything but `connected` is trusted, because nothing gains by it being a lie."""
        evidence = {"claim": claim.said}
        match claim.word:
            case Word.CONNECTED | Word.UNKNOWN:  # a word that nobody has seen is no claim at all
                return None
            case Word.QRCODE | Word.PHONECODE:
                self.notes.prove("page", "failing", claim=claim.said)
                return Found("person", Truth.PAIRING, "The session waits to be paired.", SCAN, None, evidence)
            case Word.INITIALIZING:
                return self._of_starting(evidence)
            case _:
                self.notes.prove("browser", "failing", claim=claim.said)
                said = "The server has no open session."
                return Found("sick", Truth.CLOSED, said, evidence=evidence)

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
            missed = await self.missed()
        except NoAnswer:
            return Found("sick", Truth.HUNG, "The page does not show its chats: it hangs.")
        if missed:
            await self._bring_in(missed)
        deaf = await self._still_deaf()
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
            return Found("sick", Truth.DEAF, NO_ANSWER)
        except Unavailable as error:
            return Found("not_known", said=str(error))
        self.notes.prove("message_out", "proven", said=ANSWERED)
        return Found("healthy", said="The page hears, and WhatsApp answers it.")

    async def _bring_in(self, missed: dict[str, int]) -> None:
        """Catch up at once, a customer waits; and remember what should have come by itself."""
        since = min(missed.values())
        late = [at for at in missed.values() if at > self.since_ms]
        if late and self._deaf is None:
            said = "The page has messages that no webhook brought."
            evidence = {"chats": len(late), "oldest_ms": min(late)}
            self._deaf = Found("sick", Truth.DEAF, said, missed_ms=min(late), evidence=evidence)
            self._deaf_ms = to_ms(self.notes.ambient.clock.now())
        await self.catch_up(since)

    async def _still_deaf(self) -> Found | None:
        """A session that was found deaf stays so until it is started anew, or a message comes by itself."""
        if self._deaf is None:
            return None
        last = (await self.notes.rhythm()).last_ms.get("messages", 0)
        if last > self._deaf_ms:
            self._deaf = None
        return self._deaf

    async def missed(self) -> dict[str, int]:
        """Answer the chats whose newest message never reached us, and when each was sent.

        A chat that is behind by its time alone is looked into: it may be known under another name.
        """
        now_ms = to_ms(self.notes.ambient.clock.now())
        chats = [one for one in await self.server.chats(COMPARED) if is_wanted(one, 0) and one.newest_ms]
        newest = await self.notes.newest([str(one.wid) for one in chats], heard.MESSAGES)
        behind_ms = int(self.settings.behind_s * 1000)
        late = [
            one
            for one in chats
            if (one.newest_ms or 0) > newest.get(str(one.wid), 0)
            and now_ms - (one.newest_ms or 0) > behind_ms
        ]
        return {str(one.wid): at for one in late if (at := await self._unheard(one)) is not None}

    async def _unheard(self, chat: ChatHead) -> int | None:
        """Answer when the newest message of a chat was sent, if nothing ever told us of it."""
        for row in await self.server.messages(chat.wid, count=1):
            found = read_message_id(row.get("id"))
            start = f"message:{found.identity}:" if found else ""
            if start and start not in await self.notes.known([start]):
                return chat.newest_ms
        return None
