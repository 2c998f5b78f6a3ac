"""What a page makes of what it hears: which events leave, in which form, and which never do.

Source: the contract's sections 3.2 and 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from atalaia.clock import to_ms
from simulators.wppconnect import objects
from simulators.wppconnect.models import Json, Message, Person

if TYPE_CHECKING:
    from simulators.rules import Rule
    from simulators.wppconnect.page import Page
    from simulators.wppconnect.session import Client, Session

PORTIONS = 3


class Listener:
    """The listeners of one page, from login to its end."""

    def __init__(self, session: Session, client: Client, page: Page) -> None:
        self.session = session
        self.host = session.host
        self.client = client
        self.page = page
        self._heard = {
            "message": self._message,
            "ack": self._ack,
            "revoke": self._revoke,
            "reaction": self._reaction,
        }

    @property
    def hears(self) -> bool:
        return self.page.alive and self.page.connected

    def heard(self, what: str, message: Message, about: dict[str, Any]) -> None:
        """Take what the phone tells. Edits are known to the page and not sent by the server."""
        if self.hears and (told := self._heard.get(what)) is not None:
            told(message, about)

    def _muted(self) -> bool:
        return self.host.rules.has("deaf", session=self.session.name)

    # ---- settling ------------------------------------------------------------------------

    async def settle(self, *, fresh: bool) -> None:
        """Say that the main screen is there, and fetch what was missed: it enters without an event."""
        waiting = self.page.missing()
        self.host.spawn(self._catch_up(waiting, fresh=fresh))
        self._send_what_waits()
        await self.host.pause(self.host.pace.in_chat_s)
        never = self.host.rules.has("no_in_chat", session=self.session.name)
        if never:
            await self.host.clock.sleep(self.host.pace.device_sync_s)
        if self.page.alive and self.session.page is self.page:
            status = "phoneNotConnected" if never else "inChat"
            self.session.emit(self.client, "status-find", status=status)

    def back(self) -> None:
        """The page hears the phone again; what it missed enters without an event."""
        self.host.spawn(self._catch_up(self.page.missing(), fresh=False))
        self._send_what_waits()

    async def _catch_up(self, waiting: Sequence[Message], *, fresh: bool) -> None:
        late = self.host.rules.take("history_sync_late", session=self.session.name)
        if late is not None:
            await self.host.clock.sleep(late.number("delay_s", 120.0))
        if not fresh and late is None:
            await self.host.pause(self.host.pace.resume_s)
            if await self._learn(waiting) and self.host.config.all_unread_on_start:
                self._replay_unread()
            return
        portions = int(late.number("portions", PORTIONS)) if late is not None else PORTIONS
        size = -(-len(waiting) // portions) or 1
        newest_first = list(reversed(waiting))
        for place in range(0, len(newest_first), size):
            await self.host.pause(self.host.pace.history_s)
            if late is not None and place:
                await self.host.clock.sleep(late.number("every_s", 30.0))
            if not await self._learn(newest_first[place : place + size]):
                return

    async def _learn(self, messages: Sequence[Message]) -> bool:
        if not self.page.alive:
            return False
        self.page.learn(one.key for one in messages)
        return True

    def _replay_unread(self) -> None:
        """Emit what is unread once more, as `allUnreadOnStart` does."""
        for handle, count in self.page.phone.unread.items():
            received = [one for one in self.page.chat(handle) if not one.from_me]
            for message in received[len(received) - count :] if count else []:
                self._send("unreadmessages", message)

    def _send_what_waits(self) -> None:
        """What was sent while nothing left the page leaves now."""
        for one in self.page.phone.messages.values():
            if one.from_me and one.source == "api" and one.ack == 0:
                self.host.spawn(self.host.travel(self.page.phone, one))

    # ---- events --------------------------------------------------------------------------

    def _message(self, message: Message, about: dict[str, Any]) -> None:
        self.page.learn([message.key])
        rules, name = self.host.rules, self.session.name
        if message.from_me:
            if self.host.config.on_self_message and not self._muted():
                self._send("onselfmessage", message)
            return
        sealed = rules.take("ciphertext_never_resolved", session=name)
        if sealed is not None:
            opens = sealed.options.get("readable_after_s")
            later = None if opens is None else self.host.clock.monotonic() + float(opens)
            self.page.profile.sealed[message.key] = later
        elif (first := rules.take("ciphertext_then_chat", session=name)) is not None:
            after_s = first.number("after_s", 0.8)
            self.page.profile.sealed[message.key] = self.host.clock.monotonic() + after_s
            self.host.spawn(self._open_later(message, first, after_s))
        if not self._muted():
            self._send("onmessage", message)

    async def _open_later(self, message: Message, rule: Rule, after_s: float) -> None:
        """Emit a message again once it is decrypted; a page that was reloaded in between never does."""
        await self.host.clock.sleep(after_s)
        if self.session.page is not self.page or not self.hears:
            return
        self.page.profile.sealed.pop(message.key, None)
        if not self._muted():
            for _ in range(2 if rule.options.get("duplicate") else 1):
                self._send("onmessage", message)

    def _send(self, event: str, message: Message) -> None:
        phone = self.page.phone
        if phone.wid(message.chat) in self.host.config.ignore:
            return
        sealed = self.page.is_sealed(message.key, self.host.clock.monotonic())
        told = objects.message_json(phone, message, sealed=sealed)
        after_s = 0.0
        if message.media is not None and not sealed:
            big = self.host.rules.take("big_media_body", session=self.session.name)
            if big is not None:
                message.media.grow(int(big.number("size_bytes", 5_000_000)))
            if self.host.config.auto_download or big is not None:
                after_s = self.host.draw(self.host.pace.download_s)
                told = objects.with_file(told, message)
        self.session.emit(
            self.client, event, after_s=after_s, then=lambda: self._taken(event, message), **told
        )

    def _taken(self, event: str, message: Message) -> None:
        """A webhook was delivered: the server marks the whole chat as read, on the phone too."""
        marks = self.host.natural("mark_read_on_delivery", self.session.name)
        if event in ("onmessage", "unreadmessages") and marks and self.hears:
            self.page.phone.read(message.chat)

    def _ack(self, message: Message, about: dict[str, Any]) -> None:
        if self.host.config.listen_acks and message.from_me:
            repeats = self.host.rules.take("ack_repeated", session=self.session.name) is not None
            for _ in range(2 if repeats else 1):
                self._emit("onack", objects.ack_json(self.page.phone, message))

    def _revoke(self, message: Message, about: dict[str, Any]) -> None:
        if self.host.config.on_revoked_message and not self._muted():
            self._emit("onrevokedmessage", objects.revoke_json(self.page.phone, message))

    def _reaction(self, message: Message, about: dict[str, Any]) -> None:
        if self.host.config.on_reaction_message and not self._muted():
            now = to_ms(self.host.clock.now())
            self._emit(
                "onreactionmessage",
                objects.reaction_json(self.page.phone, message, str(about["text"]), now),
            )

    def presence(self, person: Person, state: str) -> None:
        """A contact comes, goes or types. Goes on while the session is deaf."""
        if self.hears and self.host.config.on_presence_changed:
            now = to_ms(self.host.clock.now())
            self._emit("onpresencechanged", objects.presence_json(self.page.phone, person, state, now))

    def say(self, event: str, data: Json) -> None:
        """Emit any event at all, as the page would: calls, polls, groups, what nobody knows yet."""
        if self.hears:
            self._emit(event, data)

    def _emit(self, event: str, data: Json) -> None:
        self.session.emit(self.client, event, **data)
