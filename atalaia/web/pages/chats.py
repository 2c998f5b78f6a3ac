"""The inbox: conversations with the latest message first, and how they and their messages are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.clock import from_ms
from atalaia.connections.queries import list_connections
from atalaia.connections.queries import names as connection_names
from atalaia.desk.chats import queries
from atalaia.desk.chats.first import without_thread
from atalaia.desk.chats.outbox import Request as Asked
from atalaia.desk.chats.outbox import unsent
from atalaia.desk.chats.queries import NOBODY, UNREAD_MAX, Message, Thread, ThreadFilter
from atalaia.desk.chats.sniffing import SHOWN
from atalaia.desk.chats.threads import ACTIVE, NEW, STATUSES
from atalaia.web import i18n, render
from atalaia.web.access import who_of
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, position, screens, show
from atalaia.web.parts import Parts, parts_of
from atalaia.web.said import said
from atalaia.web.wire import page_of

routes = screens("chats:read")

Text = Annotated[str, Query(max_length=120)]
# Groups of statuses that the list offers.
GROUPS: dict[str, tuple[str, ...]] = {
    "active": ACTIVE,
    "new": ("new",),
    "open": ("open",),
    "pending": ("pending",),
    "closed": ("closed",),
    "ignored": ("ignored",),
}
GROUP_WORDS = {
    "active": N_("To do"),
    "new": N_("New ones"),
    "open": N_("Open ones"),
    "pending": N_("Waiting ones"),
    "closed": N_("Closed ones"),
    "ignored": N_("Ignored ones"),
}
WHOSE = {"mine": N_("Mine"), NOBODY: N_("Nobody's"), "": N_("Everybody's")}
# What a message is when it has no text of its own.
TYPES = {
    "image": (N_("Photo"), "photo"),
    "video": (N_("Video"), "video"),
    "ptv": (N_("Video"), "video"),
    "audio": (N_("Audio"), "microphone"),
    "ptt": (N_("Voice message"), "microphone"),
    "sticker": (N_("Sticker"), "mood-smile"),
    "document": (N_("Document"), "file-text"),
    "location": (N_("Location"), "map-pin"),
    "vcard": (N_("Contact card"), "user"),
    "multi_vcard": (N_("Contact cards"), "users"),
    "poll_creation": (N_("Poll"), "chart-bar"),
    "call_log": (N_("Call"), "phone"),
}
# Levels of receipts: sign, tone and word. Source: contract WhatsApp, section 3.3.
TICKS = (
    ("clock", "idle", N_("Not sent yet")),
    ("check", "idle", N_("Sent")),
    ("checks", "idle", N_("Delivered to the device")),
    ("checks", "info", N_("Read")),
    ("checks", "info", N_("Played")),
)
FAILED_TICKS = {
    -2: N_("Failed: it expired"),
    -3: N_("Failed: it is gone"),
    -4: N_("Failed: too big"),
    -5: N_("Failed: it could not be uploaded"),
    -6: N_("Failed: inactive"),
    -7: N_("Failed: the other side is too old"),
}


@dataclass
class Listed:
    """One page of conversations. counts: by status, over all. channels: those that there are.

    unsent: conversations with something of ours that failed or is uncertain.
    alone: first messages that are in no conversation, on the first page of what is not searched for.
    """

    threads: list[Thread]
    following: str | None
    counts: dict[str, int]
    labels: list[str]
    names: dict[str, str]
    unsent: frozenset[str] = frozenset()
    alone: list[Asked] = field(default_factory=list[Asked])
    channels: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def label_choices(self) -> list[tuple[str, str]]:
        return [(one, one) for one in self.labels]


@routes.get("/chats")
async def list_page(
    request: Request, q: Text = "", state: Text = "active", whose: Text = "", channel: Text = "",
    label: Text = "", unread: Text = "", cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer the inbox; the filter of the last time is remembered."""
    if again := render.recall(request, "chats"):
        return again
    parts, reader = parts_of(request), who_of(request).id
    wanted = ThreadFilter(
        channel=channel,
        statuses=statuses_of(state),
        assigned={"mine": reader, NOBODY: NOBODY}.get(whose, ""),
        label=label,
        words=q.strip(),
        unread_only=unread == "1",
    )
    before = position(cursor, int, str)
    found = await look(request, lambda tx: read_list(tx, parts, wanted, reader, before))
    asked = {"q": q, "state": state, "whose": whose, "channel": channel, "label": label, "unread": unread}
    return show(
        request, "chats/list.html", part, remember="chats", found=found, asked=asked, first=before is None,
        groups=groups_of(found.counts, state), whose=WHOSE, h=helpers(parts, found.names),
    )  # fmt: skip


def statuses_of(word: str) -> tuple[str, ...]:
    """Answer the statuses behind a word of the filter; `all` and what is no word restrict nothing."""
    return GROUPS.get(word, ())


def groups_of(counts: Mapping[str, int], here: str) -> list[dict[str, Any]]:
    """Answer the groups with how many conversations are in each, the chosen one marked."""
    return [
        {
            "key": key,
            "word": GROUP_WORDS[key],
            "n": sum(counts.get(one, 0) for one in statuses),
            "here": key == here,
        }
        for key, statuses in GROUPS.items()
    ]


def read_list(
    tx: Connection, parts: Parts, wanted: ThreadFilter, reader: str, before: tuple[int, str] | None
) -> Listed:
    """Read one page of conversations and what the filter may choose from."""
    rows = queries.list_threads(tx, wanted, reader, before=before, limit=ROWS + 1)
    threads, following = page_of(rows, ROWS, "last_ms", "id")
    return Listed(
        threads=threads,
        following=following,
        counts=queries.count_by_status(tx, wanted.channel),
        labels=queries.labels_in_use(tx),
        names=connection_names(tx),
        unsent=unsent(tx, [one.id for one in threads]),
        alone=without_thread(tx, wanted.channel) if before is None and _is_plain(wanted) else [],
        channels=channels_of(tx, parts),
    )


def _is_plain(wanted: ThreadFilter) -> bool:
    """Answer whether nobody looks for something that a message without a conversation does not have."""
    restricts = wanted.words or wanted.assigned or wanted.label or wanted.unread_only
    return not restricts and (not wanted.statuses or NEW in wanted.statuses)


def channels_of(tx: Connection, parts: Parts) -> list[tuple[str, str]]:
    """Answer the connections that bring conversations, as (id, name)."""
    worlds = {name for name, one in parts.connectors.items() if one.world == "chats"}
    return [(one.id, one.name) for one in list_connections(tx, with_planes=False) if one.connector in worlds]


def title_of(one: Thread) -> str:
    """Answer what a conversation is called: never a hidden identity when there is anything better."""
    if one.is_group:
        return one.name or gettext("Group %(id)s") % {"id": one.chat.partition("@")[0][-6:]}
    return one.person or one.name or phone_text(one.phone) or gettext("Number not known")


def phone_text(phone: str) -> str:
    """Answer a number as people write it; "" for none."""
    if not phone:
        return ""
    if phone.startswith("55") and len(phone) in (12, 13):
        return f"+55 {phone[2:4]} {phone[4:-4]}-{phone[-4:]}"
    return f"+{phone}"


def receiver_of(one: Asked) -> str:
    """Answer to whom something is sent of which there is no conversation."""
    wid, _, server = one.chat.partition("@")
    if server == "g.us":
        return gettext("Group %(id)s") % {"id": wid[-6:]}
    return (phone_text(wid) if server == "c.us" else "") or gettext("Number not known")


def type_word(word: str) -> str:
    """Answer what a message without a text is."""
    known = TYPES.get(word)
    return gettext(known[0]) if known else word.replace("_", " ")


def type_icon(word: str) -> str:
    """Answer the sign of such a message."""
    return TYPES[word][1] if word in TYPES else "message"


def preview_of(one: Thread) -> str:
    """Answer the latest message in one line."""
    if one.last_kind == "ciphertext":
        return gettext("Not readable yet")
    if one.last_revoked:
        return gettext("Deleted: %(text)s") % {"text": one.last_text} if one.last_text else gettext("Deleted")
    return one.last_text or type_word(one.last_type)


def tick_of(ack: int | None) -> tuple[str, str, str]:
    """Answer the sign of how far a message of ours came: icon, tone and word."""
    if ack is None:
        return ("check", "idle", gettext("No receipt yet"))
    if ack < 0:
        return ("alert-circle", "bad", gettext(FAILED_TICKS.get(ack, N_("Failed"))))
    icon, tone, word = TICKS[min(ack, len(TICKS) - 1)]
    return (icon, tone, gettext(word))


def author_of(one: Message) -> str:
    """Answer who wrote a message, for a group."""
    wid, _, server = one.author.partition("@")
    return one.author_name or (phone_text(wid) if server == "c.us" else "") or gettext("Number not known")


def days_of(found: list[Message]) -> list[tuple[int, list[Message]]]:
    """Part messages, oldest first, by the day of the view being drawn; answers (first moment, messages)."""
    days: list[tuple[int, list[Message]]] = []
    last = ""
    zone = i18n.view().zone
    for one in found:
        day = from_ms(one.sent_ms).astimezone(zone).date().isoformat()
        if day != last:
            days.append((one.sent_ms, []))
            last = day
        days[-1][1].append(one)
    return days


def sign_of(status: str) -> str:
    """Answer the name under which `states.SIGNS` knows a conversation's status."""
    return f"chat_{status}" if status in STATUSES else "unknown"


def unread_text(count: int) -> str:
    """Answer a number of unread messages, as far as they are counted."""
    return f"{UNREAD_MAX - 1}+" if count >= UNREAD_MAX else str(count)


# How far a message came that is not in the conversation yet: icon, tone and word.
SENDING = {
    "queued": ("clock", "info", N_("on its way")),
    "sent": ("check", "idle", N_("sent")),
    "acked": ("checks", "idle", N_("on the device")),
    "read": ("checks", "info", N_("read")),
    "failed": ("alert-circle", "bad", N_("not sent")),
    "uncertain": ("help-circle", "ask", N_("perhaps sent")),
}
SENT_AS = {"image": "image", "voice": "ptt", "document": "document"}


def state_of(state: str) -> tuple[str, str, str]:
    """Answer the sign of how far a message came that somebody asked to be sent: icon, tone and word."""
    icon, tone, word = SENDING[state]
    return icon, tone, gettext(word)


def sent_as_word(kind: str) -> str:
    """Answer what a file is sent as, in a word."""
    return type_word(SENT_AS.get(kind, kind))


def helpers(parts: Parts, names: Mapping[str, str]) -> dict[str, Any]:
    """Answer what the templates of conversations need to name things."""

    def channel(identity: str) -> str:
        return names.get(identity, identity)

    return {
        "title": title_of, "phone": phone_text, "preview": preview_of, "tick": tick_of, "sign": sign_of,
        "author": author_of, "days": days_of, "type": type_word, "unread": unread_text, "channel": channel,
        "icon": type_icon, "text": parts.redactor.text, "state": state_of, "said": said, "shown": SHOWN,
        "sent_as": sent_as_word, "receiver": receiver_of,
    }  # fmt: skip
