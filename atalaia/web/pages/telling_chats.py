"""Facts about messages, contacts and conversations in words."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

from atalaia.events.model import Event
from atalaia.web.i18n import N_, gettext

Line = tuple[str, str, str, str, str]
TEXT_CHARS = 120

# Fact: icon, tone, words.
_WORDS = {
    "message.received": ("message", "info", N_("Message from %(who)s")),
    "message.sent": ("message", "idle", N_("Message to %(who)s")),
    "message.revised": ("edit", "idle", N_("Message of %(who)s revised: %(kind)s")),
    "message.noticed": ("info-circle", "idle", N_("Notice in the chat of %(who)s")),
    "message.acked": ("check", "idle", N_("Receipt for a message: level %(ack)s")),
    "message.reacted": ("message", "idle", N_("Reaction: %(text)s")),
    "message.send_changed": ("send", "idle", N_("Message to be sent: %(state)s")),
    "message.file_fetched": ("paperclip", "idle", N_("Attachment of a message is here")),
    "message.file_failed": ("paperclip", "ask", N_("Attachment of a message could not be fetched")),
    "contact.named": ("users", "idle", N_("The group is called %(name)s")),
    "contact.alias_learned": ("user", "idle", N_("%(alias)s is the number %(phone)s")),
    "contact.alias_disputed": ("user", "ask", N_("%(alias)s may be %(phone)s; %(stands)s stands")),
    "contact.merged": ("user", "idle", N_("Two contacts were said to be one")),
    "contact.parted": ("user", "idle", N_("An identity was made a contact of its own")),
    "conversation.assigned": ("user", "idle", N_("Conversation given to %(name)s")),
    "conversation.labelled": ("edit", "idle", N_("Labels of a conversation changed")),
    "conversation.status_changed": ("edit", "idle", N_("Conversation: %(status)s")),
    "conversation.noted": ("edit", "idle", N_("Note left at a conversation")),
    "conversation.note_removed": ("edit", "idle", N_("Note taken away from a conversation")),
    "conversation.linked": ("user", "idle", N_("Conversation linked to %(company)s")),
    "conversation.read": ("check", "idle", N_("Conversation read")),
    "canned_reply.changed": ("edit", "idle", N_("Reply at hand written: %(shortcut)s")),
    "canned_reply.deleted": ("edit", "idle", N_("Reply at hand taken away: %(shortcut)s")),
    "ticket.stub_asked": ("message", "ask", N_("A ticket was asked for: %(title)s")),
}
_STATUS = {
    "new": N_("new"), "open": N_("open"), "pending": N_("pending"), "closed": N_("closed"),
    "ignored": N_("ignored"),
}  # fmt: skip
_STATES = {
    "queued": N_("on its way"),
    "sent": N_("sent"),
    "failed": N_("failed"),
    "uncertain": N_("uncertain"),
    "dropped": N_("taken away"),
}
_KINDS = {"content": N_("readable now"), "edit": N_("edited"), "revoked": N_("deleted by its author")}


def tell_chat(event: Event, data: dict[str, Any], _: object) -> Line:
    """Say what happened in a conversation, to a contact or to a reply at hand."""
    icon, tone, words = _WORDS[event.type]
    values = {name: str(data.get(name) or "—") for name in _NAMED}
    values["who"] = _who(data)
    values["name"] = str(data.get("name") or gettext("nobody"))
    values["kind"] = _word(_KINDS, data.get("kind"))
    values["state"] = _word(_STATES, data.get("state"))
    values["status"] = _word(_STATUS, data.get("status"))
    text = str(data.get("text") or "")[:TEXT_CHARS] if event.type.startswith("message.") else ""
    by = str(data.get("by") or "") if not event.type.startswith("message.") else ""
    told = text or (gettext("by %(name)s") % {"name": by} if by else "")
    return icon, tone, gettext(words) % values, told, _href(event, data)


_NAMED = ("ack", "text", "alias", "phone", "stands", "company", "shortcut", "title")


def _who(data: dict[str, Any]) -> str:
    """Answer whose chat it is: a name, else a number, else what identifies it."""
    author: Any = data.get("author")
    name: Any = cast("dict[str, Any]", author).get("name") if isinstance(author, dict) else ""
    return str(name or data.get("phone") or data.get("chat") or data.get("contact") or "—")


def _word(words: dict[str, str], value: object) -> str:
    return gettext(words[value]) if isinstance(value, str) and value in words else str(value or "—")


def _href(event: Event, data: dict[str, Any]) -> str:
    conversation = data.get("conversation") or (
        event.key if event.type.startswith(("message.", "conversation.")) else ""
    )
    return f"/chats/{quote(str(conversation))}" if conversation else ""
