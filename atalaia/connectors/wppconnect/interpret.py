"""What is heard of one WhatsApp account, folded into facts about messages and contacts.

Pure: no clock, no network. A fact's mark makes the same one known however often it is told, so the memory
holds only who is who, what is still unreadable, and a little of what came lately.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson

from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.contacts import Contacts, Learned
from atalaia.connectors.wppconnect.envelope import Json, read_time_ms
from atalaia.connectors.wppconnect.message import (
    CONTENT,
    REVOKED,
    Message,
    read_message,
)
from atalaia.connectors.wppconnect.wids import LID, PHONE, MessageId, Wid, read_message_id, read_wid
from atalaia.desk.chats.evidence import Evidence
from atalaia.errors import Unreadable
from atalaia.events.model import Event, Fact
from atalaia.ids import derived_uuid7
from atalaia.reactions.interpreter import Memory

# Status posts and channels: kept in the log, but nobody's conversation.
IGNORED_CHATS = ("broadcast", "newsletter")
RECENT = 1_000


class WppconnectInterpreter:
    """Understands the heard events of one account, in order of the log."""

    def __init__(self, connection: str, memory: Memory) -> None:
        self._connection = connection
        self._memory = memory
        self._contacts = Contacts(memory)

    def take(self, event: Event) -> Iterable[Fact]:
        """Answer the facts that follow from one heard event.

        Errors: `Unreadable` for a body that cannot be read; the memory is then to be reverted.
        """
        if event.type == heard.UNREADABLE or event.type in heard.SESSION or event.type == heard.PRESENCE:
            return []
        payload = _object(event.body)
        telling = _Telling(event)
        match event.type:
            case heard.CANARY:
                self._canary(payload)
            case heard.MESSAGE | heard.OWN_MESSAGE | heard.UNREAD_MESSAGE if payload.get("$canary"):
                self._canary(payload)
            case heard.MESSAGE | heard.OWN_MESSAGE | heard.UNREAD_MESSAGE:
                self._message(telling, read_message(payload))
            case heard.ACK:
                self._ack(telling, payload)
            case heard.REACTION:
                self._reaction(telling, payload)
            case heard.REVOKE:
                self._revoked(telling, payload)
            case heard.ALIAS:
                self._asked(telling, payload)
            case heard.GROUP_NAME:
                self._named(telling, payload)
            case _:
                pass  # kept, shown in the log, and no fact is made of what is not understood
        return telling.facts

    def _canary(self, payload: Mapping[str, Any]) -> None:
        """Remember a message that only proves a way: neither it nor its receipts are facts."""
        found = read_message_id(payload.get("id"))
        if found is not None:
            self._note("canary", found.key, 1)

    # Messages.

    def _message(self, telling: _Telling, message: Message) -> None:
        if message.chat is None:
            raise Unreadable("a message that says neither chat nor sender")
        if message.chat.server in IGNORED_CHATS:
            return
        if message.own is not None:
            self._contacts.note_own(message.own)
        self._learn_from(telling, message)
        identity = self._of_group(telling, message) or self.identity(message.id, message.author)
        about = self._about(message, identity, telling.event)
        conversation = about["conversation"]
        waiting = f"waiting:{identity}"
        was_unreadable = self._memory.get(waiting) is not None
        match message.kind:
            case "ciphertext":
                # Webhooks overtake each other: what could be read already is not unreadable again.
                if not was_unreadable and not self._recent("read", identity):
                    self._memory.put(waiting, message.sent_ms or telling.event.occurred_ms)
                telling.say(_received(message), conversation, about, f"message:{identity}")
            case "content" if was_unreadable:
                self._memory.delete(waiting)
                self._note("read", identity, 1)
                telling.say("message.revised", conversation, about, f"message:{identity}:{CONTENT}")
            case "revoked":
                self._memory.delete(waiting)
                telling.say("message.revised", conversation, about, f"message:{identity}:{REVOKED}")
            case "notice":
                telling.say("message.noticed", conversation, about, f"message:{identity}")
            case _:
                self._content(telling, message, conversation, about, identity)

    def _content(
        self, telling: _Telling, message: Message, conversation: str, about: Json, identity: str
    ) -> None:
        self._note("read", identity, 1)
        edited = _object(telling.event.body).get("latestEditSenderTimestampMs")
        telling.say(_received(message), conversation, about, f"message:{identity}")
        if edited:
            about = {**about, "kind": "edit", "edited_ms": read_time_ms(edited)}
            telling.say("message.revised", conversation, about, f"message:{identity}:edit:{edited}")

    def _of_group(self, telling: _Telling, message: Message) -> str:
        """Answer the identity under which a group's message is known already, `""` for one that is not.

        Its author may be written by number now and by lid then. The same key of the same group, sent in the
        same second, by a number and a lid, is one message, and says that they are one person.
        """
        chat, author = cast("Wid", message.chat), message.author
        if not chat.is_group or author is None:
            return ""
        place = f"{chat}:{message.id.key}"
        known: list[Any] | None = self._recent("group", place)
        if known is None:
            identity = self.identity(message.id, author)
            self._note("group", place, [identity, str(author), message.sent_ms])
            return identity
        other = read_wid(known[1])
        if other is None or other == author:
            return str(known[0])
        if other.server != author.server and known[2] == message.sent_ms:
            self._pair(telling, author, other, Evidence.SAME_MESSAGE)
            return str(known[0])
        return str(known[0]) if self._contacts.contact(other) == self._contacts.contact(author) else ""

    def identity(self, message: MessageId, author: Wid | None) -> str:
        """Answer what a message has in all its forms: who sent it, its key, in a group its author."""
        in_group = message.chat is not None and message.chat.is_group
        if in_group and author is not None and not message.from_me:
            return f"{message.identity}:{self._contacts.first_id(author)}"
        return message.identity

    def conversation(self, chat: Wid) -> tuple[str, str]:
        """Answer the conversation of a chat and its contact, or its group's id in the contact's place."""
        contact = self._contacts.contact(chat) if chat.is_person else derived_uuid7(0, f"group:{chat}")
        return derived_uuid7(0, f"conversation:{self._connection}:{contact}"), contact

    def _about(self, message: Message, identity: str, event: Event) -> Json:
        chat = cast("Wid", message.chat)
        conversation, contact = self.conversation(chat)
        about: Json = {
            "message": identity, "key": message.id.key, "serialized": message.id.serialized,
            "kind": message.kind, "type": message.type, "from_me": message.from_me,
            "channel": self._connection, "conversation": conversation, "contact": contact,
            "chat": str(chat), "group": chat.is_group, "phone": self._contacts.phone_of(chat),
            "author": self._author(message), "text": message.text, "media": _media(message),
            "quoted": message.quoted, "occurred_at": message.sent_ms, "ack": message.ack,
            "recovered": event.late,
        }  # fmt: skip
        return about | ({"more": message.more} if message.more else {})

    def _author(self, message: Message) -> Json | None:
        author = message.author
        if author is None:
            return None
        contact, phone = self._contacts.contact(author), self._contacts.phone_of(author)
        return {"wid": str(author), "contact": contact, "phone": phone, "name": message.name}

    # What ties identities together.

    def _learn_from(self, telling: _Telling, message: Message) -> None:
        author, chat = message.author, message.chat
        if author is None or chat is None:
            self._note_own_words(message)
            return
        if not chat.is_group:
            self._pair(telling, author, chat, Evidence.SAME_MESSAGE)
            if message.id.chat is not None:
                self._pair(telling, author, message.id.chat, Evidence.SAME_MESSAGE)
            self._quoted(telling, message, author)
        if author.server == LID and message.phone_hint:
            self._pair(telling, author, Wid(message.phone_hint, PHONE), Evidence.SHOWN_NUMBER)

    def _note_own_words(self, message: Message) -> None:
        """Keep what was written to numbers lately: a lid that quotes it is the one it was written to."""
        chat = message.chat
        if not message.from_me or chat is None or chat.server != PHONE or message.kind != CONTENT:
            return
        self._note("wrote", message.id.key, chat.user)

    def _quoted(self, telling: _Telling, message: Message, author: Wid) -> None:
        wrote_to = self._recent("wrote", message.quoted) if message.quoted else None
        if author.server == LID and wrote_to:
            self._pair(telling, author, Wid(wrote_to, PHONE), Evidence.QUOTED_REPLY)

    def _asked(self, telling: _Telling, payload: Mapping[str, Any]) -> None:
        """The upstream's own answer about a contact. Each of its parts may be missing."""
        lid, phone = read_wid(payload.get("lid")), read_wid(payload.get("phoneNumber"))
        if lid is not None and phone is not None:
            self._pair(telling, lid, phone, Evidence.ASKED)

    def _named(self, telling: _Telling, payload: Mapping[str, Any]) -> None:
        """The name of a group, as the page's list of chats has it."""
        group, name = read_wid(payload.get("groupId")), payload.get("name")
        if group is None or not group.is_group or not isinstance(name, str):
            return
        _, contact = self.conversation(group)
        data: Json = {
            "channel": self._connection, "chat": str(group), "contact": contact, "group": True, "name": name
        }  # fmt: skip
        telling.say("contact.named", contact, data, f"named:{group}:{telling.event.seq}")

    def _pair(self, telling: _Telling, one: Wid, other: Wid, evidence: Evidence) -> None:
        lid, phone = (one, other) if one.server == LID else (other, one)
        if self._contacts.is_own(lid) or self._contacts.is_own(phone):
            return
        learned = self._contacts.learn(lid, phone, evidence)
        if learned is not None:
            mark = f"alias:{learned.lid}:{learned.phone}:{evidence.word}"
            telling.say(_learned_type(learned), learned.contact, self._learned(learned), mark)

    def _learned(self, learned: Learned) -> Json:
        data: Json = {
            "channel": self._connection, "alias": str(learned.lid), "phone": learned.phone.user,
            "contact": learned.contact, "merged": learned.merged, "evidence": learned.evidence.word,
        }  # fmt: skip
        return data | ({"stands": learned.stands} if learned.stands else {})

    # What came lately; twice as much is kept at most.

    def _recent(self, kind: str, name: str) -> Any:
        return self._memory.get(f"{kind}:{name}")

    def _note(self, kind: str, name: str, value: Any) -> None:
        place, count = f"{kind}:{name}", f"count-{kind}"
        if self._memory.get(place) is not None:
            return
        self._memory.put(place, value)
        noted = int(self._memory.get(count) or 0) + 1
        if noted > 2 * RECENT:
            for old in list(self._memory.keys(f"{kind}:"))[:RECENT]:
                self._memory.delete(old)
            noted -= RECENT
        self._memory.put(count, noted)

    # What happens to messages that are there.

    def _ack(self, telling: _Telling, payload: Mapping[str, Any]) -> None:
        found = read_message_id(payload.get("id"))
        level = payload.get("ack")
        if found is None or found.chat is None or isinstance(level, bool) or not isinstance(level, int):
            raise Unreadable("a receipt that names no message or no level")
        if found.chat.server in IGNORED_CHATS or self._recent("canary", found.key):
            return
        conversation, contact = self.conversation(found.chat)
        who = read_wid(payload.get("participant"))
        identity = self.identity(found, found.author)
        data: Json = {
            "message": identity, "key": found.key, "ack": level, "from_me": found.from_me,
            "channel": self._connection, "conversation": conversation, "contact": contact,
            "by": str(who) if who else "",
        }  # fmt: skip
        telling.say("message.acked", conversation, data, f"ack:{identity}:{level}:{who or ''}")

    def _reaction(self, telling: _Telling, payload: Mapping[str, Any]) -> None:
        target = read_message_id(payload.get("msgId"))
        if target is None or target.chat is None:
            raise Unreadable("a reaction that names no message")
        if target.chat.server in IGNORED_CHATS:
            return
        reaction = read_message_id(payload.get("id"))
        if reaction is not None and reaction.key == target.key:
            reaction = None  # only the message's own id again: it does not say who reacted
        conversation, contact = self.conversation(target.chat)
        author = _reaction_author(reaction)
        by = "me" if reaction is not None and reaction.from_me else str(author or "")
        text = payload.get("reactionText")
        data: Json = {
            "message": self.identity(target, target.author), "key": target.key,
            "channel": self._connection, "conversation": conversation, "contact": contact,
            "text": text if isinstance(text, str) else "", "by": by,
        }  # fmt: skip
        mark = f"{by}:{data['text']}:{payload.get('timestamp')}"
        telling.say("message.reacted", conversation, data, f"reaction:{data['message']}:{mark}")

    def _revoked(self, telling: _Telling, payload: Mapping[str, Any]) -> None:
        target = read_message_id(payload.get("refId"))
        if target is None or target.chat is None:
            raise Unreadable("a deletion that names no message")
        if target.chat.server in IGNORED_CHATS:
            return
        conversation, contact = self.conversation(target.chat)
        author = target.author or (read_wid(payload.get("author")) if target.chat.is_group else None)
        identity = self.identity(target, author)
        self._memory.delete(f"waiting:{identity}")
        data: Json = {
            "message": identity, "key": target.key, "kind": REVOKED, "channel": self._connection,
            "conversation": conversation, "contact": contact, "from_me": target.from_me,
            "recovered": telling.event.late,
        }  # fmt: skip
        telling.say("message.revised", conversation, data, f"message:{identity}:{REVOKED}")


class _Telling:
    """The facts of one event; a mark makes each of them known however often it is told."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.facts: list[Fact] = []

    def say(self, fact_type: str, key: str, data: Json, mark: str) -> None:
        self.facts.append(Fact(fact_type, key, self.event.occurred_ms, data, mark, late=self.event.late))


def _received(message: Message) -> str:
    return "message.sent" if message.from_me else "message.received"


def _learned_type(learned: Learned) -> str:
    return "contact.alias_disputed" if learned.stands else "contact.alias_learned"


def _reaction_author(reaction: MessageId | None) -> Wid | None:
    if reaction is None:
        return None
    return reaction.author or (reaction.chat if reaction.chat and reaction.chat.is_person else None)


def _media(message: Message) -> Json | None:
    media = message.media
    if media is None:
        return None
    return {
        "mimetype": media.mimetype, "filename": media.filename, "size_bytes": media.size_bytes,
        "filehash": media.filehash, "seconds": media.seconds,
        **({"kept": media.kept} if media.kept else {}),
    }  # fmt: skip


def _object(body: str) -> Json:
    try:
        whole: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error}", raw=body.encode(errors="replace")) from error
    if not isinstance(whole, dict):
        raise Unreadable("not a JSON object", raw=body.encode(errors="replace"))
    return cast("Json", whole)
