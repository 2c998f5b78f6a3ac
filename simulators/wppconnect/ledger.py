"""What was placed on the phones: the judge of "every message in our log, exactly once"."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from atalaia.clock import rfc3339
from simulators.wppconnect.models import GROUP, LID, PHONE, Json, Message, Person
from simulators.wppconnect.phone import Phone
from simulators.wppconnect.pictures import file_bytes


def placed_json(phone: Phone, message: Message) -> Json:
    """Answer one message as it is in truth, with every name that its contact goes by.

    `key` identifies it together with the account and `from_me`; `t` in seconds. `contact` is the chat's
    person or group; `author` the person who wrote in a group. `text` is the newest after edits, `texts` all.
    """
    group = message.chat.endswith(GROUP)
    told: Json = {
        "session": phone.name,
        "account": phone.account.number,
        "order": message.order,
        "key": message.key,
        "from_me": message.from_me,
        "source": message.source,
        "kind": message.kind,
        "text": message.body,
        "texts": [message.text, *message.edits],
        "t": message.t,
        "at": rfc3339(message.at_ms),
        "chat": phone.wid(message.chat),
        "contact": {"group": message.chat} if group else _person(phone.people.get(message.chat)),
        "author": _person(phone.people.get(message.author)) if group and not message.from_me else None,
        "ack": message.ack,
        "revoked": message.revoked,
        "reactions": {who: text for who, text in message.reactions.items() if text},
        "quoted": message.quoted or None,
    }
    if message.media is not None:
        data = file_bytes(message.media)
        digest = hashlib.sha256(data).hexdigest()
        told["media"] = {"mimetype": message.media.mimetype, "size": len(data), "sha256": digest}
    return told


def _person(person: Person | None) -> Json | None:
    if person is None:
        return None
    wids = [person.number + PHONE] if person.number else []
    wids += [person.lid + LID] if person.lid else []
    return {"number": person.number, "lid": person.lid, "wids": wids}


def ledger_json(phones: Iterable[Phone], session: str = "") -> Json:
    """Answer everything that was placed, oldest first for each phone, and how much of it."""
    rows = [
        placed_json(phone, message)
        for phone in phones
        if session in ("", phone.name)
        for message in phone.messages.values()
    ]
    counts = {"received": sum(not one["from_me"] for one in rows)}
    counts |= {source: sum(one["source"] == source for one in rows) for source in ("phone", "api")}
    return {"messages": rows, "counts": counts}
