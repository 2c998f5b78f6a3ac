"""Every way in which a WhatsApp session goes wrong, and by which word it must be known."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.errors import UpstreamError
from tests.connectors.wppconnect.live.yard import Kept

LASTS_S = 420.0
# Only WhatsApp's own silence tells some faults: it is asked by the comparison, once in `store_every_s`.
STORE_EVERY_S, ANSWER_S = 300.0, 30.0


@dataclass(frozen=True)
class Case:
    """One fault of one session. Source: contract WhatsApp, section 8, and more of the same kind.

    named: the words that must come, in this order; none = it is no loss of truth, and nobody may touch the
        session. closed: somebody closes the session while the fault holds. person: somebody pairs it again.
    lost: it is found by what it loses, so that the time counts from there; `page_s` later the page has it.
        What is followed by a message that came is for the routine check.
    more_s: what it takes beyond two probes: WhatsApp's answer that does not come, the next comparison.
    """

    fault: str
    named: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    closed: bool = False
    person: bool = False
    lost: bool = False
    page_s: float = 0.0
    more_s: float = 0.0


LOSSES = (
    Case("page_crash", ("hung",)),
    Case("page_crash", ("hung",), {"close_hangs": False}),
    Case("browser_killed", ("browser_lost",)),
    Case("deaf", ("deaf",), lost=True),
    Case("stuck_initializing", ("closed", "starting"), closed=True),
    Case("orphan_browser", ("closed", "starting"), closed=True),
    Case("no_session_name_after_close", ("closed",), closed=True),
    Case("history_sync_late", ("closed",), closed=True),
    Case("autoclose_60s", ("logged_out",), person=True),
    Case("device_removed", ("logged_out",), person=True),
    Case("conflict", ("deaf",), lost=True, page_s=10),
    Case("page_hang", ("hung",)),
    Case("webhook_lost", ("deaf",), lost=True),
    Case("old_spelling", ("logged_out",), person=True),
    Case("version_skew", ("logged_out",), person=True, more_s=ANSWER_S),
    Case("socket_timeout", ("deaf",), more_s=STORE_EVERY_S + ANSWER_S),
)
NO_LOSSES = (
    Case("stale_qr_after_login"),
    Case("double_reply_400_but_sent"),
    Case("lid14_bug"),
    Case("ciphertext_then_chat", options={"duplicate": True}),
    Case("ciphertext_never_resolved"),
    Case("webhook_reorder"),
    Case("webhook_delay", options={"delay_s": 30}),
    Case("mark_read_on_delivery"),
    Case("big_media_body", options={"size_bytes": 400_000}),
    Case("lid_migration"),
    Case("ack_repeated"),
)
BY_GATEWAY = (Case("case_alias"), Case("presence_as_connection_update"))


@dataclass
class Played:
    """One case as it went. began_s: when the fault began, by the held clock."""

    case: Case
    kept: Kept
    random: Random
    began_s: float = 0.0
    before: int = 0

    async def play(self, every_s: float) -> None:
        """Begin the fault somewhere between two probes, let people write meanwhile, and end it."""
        clock = self.kept.yard.clock
        await clock.sleep(self.random.uniform(0, every_s))
        self.began_s, self.before = self.kept.yard.now_s, self.kept.disturbed()
        await self._begin()
        ends = clock.monotonic() + LASTS_S
        while clock.monotonic() < ends:
            await clock.sleep(self.random.uniform(1, 40))
            await self._live(clock.monotonic() > ends - LASTS_S / 2)
        await self.kept.yard.sim.faults.stop(self.case.fault, self.kept.name)

    async def _begin(self) -> None:
        case, kept, sim = self.case, self.kept, self.kept.yard.sim
        if case.fault == "stale_qr_after_login":
            client = sim.session(kept.name).client
            assert client is not None
            client.urlcode = "2@read-long-ago"  # what the server remembers of a code that was read
        await kept.starts(case.fault, **case.options)
        if case.person and case.fault != "device_removed":
            await kept.starts("device_removed")
        if case.closed:
            await sim.session(kept.name).close()
        if case.fault in ("double_reply_400_but_sent", "lid14_bug"):
            await self._send()

    async def _live(self, is_late: bool) -> None:
        """Let a contact write and another come and go; a person who is needed comes late."""
        kept, sim = self.kept, self.kept.yard.sim
        phone = sim.phone(kept.name)
        kept.write(f"{kept.name} {self.random.random():.6f}", self.random.choice(list(phone.people)))
        sim.host.presence(phone, self.random.choice(list(phone.people.values())), "available")
        if self.case.person and is_late:
            session = sim.session(kept.name)
            if session.page is not None and not session.page.connected:
                await session.close()
            session.start({"webhook": kept.yard.hook_url(kept.name)})
            session.scan(phone)

    async def _send(self) -> None:
        """Send as the hub does: to a number that is none, and to a lid of 14 digits."""
        async with ServerDoor(self.kept.settings, self.kept.yard.clock, "") as door:
            for chat in (Wid("551155509999", "c.us"), Wid("15000000000101", "lid")):
                try:
                    await door.send("send-message", chat, {"message": "bom dia"})
                except UpstreamError:
                    continue  # whether it was sent is for `test_sending`

    async def named_s(self, word: str, within_s: float) -> float | None:
        """Answer how long after the fault, or what it lost first, the session was known by this word."""
        told = await self.kept.told("connection.", "session.looked", since_s=self.began_s)
        found = [
            one.at_s for one in told
            if one.data.get("kind") == word
            and (one.type != "session.looked" or one.data["health"] in ("sick", "person"))
        ]  # fmt: skip
        if not found:
            return None
        return round(found[0] - (self._lost_s(found[0], within_s) if self.case.lost else self.began_s), 1)

    def _lost_s(self, found_s: float, within_s: float) -> float:
        """Answer when something was lost that shows: the first, or the last before it was found earlier."""
        lost = [one for one in self.kept.placed if one.lost and one.at_s >= self.began_s]
        came = [one for one in self.kept.placed if not one.lost]
        shows = [
            one.at_s for one in lost
            if not any(one.chat == other.chat and 0 < other.at_s - one.at_s < within_s for other in came)
        ]  # fmt: skip
        before = [one.at_s for one in lost if one.at_s <= found_s]
        return shows[0] if shows and shows[0] <= found_s else max(before, default=self.began_s)
