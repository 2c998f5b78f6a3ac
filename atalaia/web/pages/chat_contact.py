"""Who somebody in a conversation is: identities, what ties them together, where they were seen, merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atalaia.desk.chats.contacts import Alias, Contact, Merge
from atalaia.desk.chats.evidence import STRONGEST
from atalaia.desk.chats.links import Link
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.chats import phone_text

# What says that two identities are one person. Source: contract WhatsApp, section 6, rule 2.
EVIDENCE = {
    "shown_number": N_("the page shows the number"),
    "quoted_reply": N_("it answered what was written to the number"),
    "same_message": N_("one message carries both"),
    "asked": N_("the upstream's own table says so"),
    "person": N_("a person said so"),
}
KINDS = {
    "number": (N_("Number"), "phone"),
    "hidden": (N_("Hidden identity"), "fingerprint"),
    "other": (N_("Identity"), "user"),
}


@dataclass(frozen=True)
class Known:
    """One identity. seen: on which channels; links: what ties it to a number, the latest first."""

    chat: str
    seen: tuple[Alias, ...]
    links: tuple[Link, ...]

    @property
    def kind(self) -> str:
        return {"c.us": "number", "lid": "hidden"}.get(self.chat.partition("@")[2], "other")

    @property
    def title(self) -> str:
        """What it is called: a number as people write it; of a hidden identity only that it is one."""
        own = phone_text(self.chat.partition("@")[0]) if self.kind == "number" else ""
        return own or gettext(KINDS[self.kind][0])

    @property
    def icon(self) -> str:
        return KINDS[self.kind][1]

    @property
    def pinned(self) -> bool:
        """Whether a person took it out of another contact."""
        return any(one.pinned for one in self.seen)


def identities_of(contact: Contact) -> list[Known]:
    """Answer a contact's identities, numbers first, each with all channels on which it was seen."""
    chats = sorted({one.chat for one in contact.aliases}, key=lambda chat: (not chat.endswith("@c.us"), chat))
    return [
        Known(
            chat,
            tuple(one for one in contact.aliases if one.chat == chat),
            tuple(one for one in contact.links if one.alias == chat),
        )
        for chat in chats
    ]


def evidence_word(word: str) -> str:
    """Answer what ties an identity to a number, in words."""
    return gettext(EVIDENCE[word]) if word in EVIDENCE else word.replace("_", " ")


def moved_by(merge: Merge) -> str:
    """Answer the identities that a merge moved, and that leave again when it is undone."""
    return ", ".join(sorted({phone_text(_number(chat)) or chat for _, chat in merge.aliases}))


def _number(chat: str) -> str:
    user, _, server = chat.partition("@")
    return user if server == "c.us" else ""


def helpers() -> Mapping[str, Any]:
    """Answer what the panel's template needs to name things."""
    return {
        "identities": identities_of, "evidence": evidence_word, "moved": moved_by,
        "strongest": int(STRONGEST),
    }  # fmt: skip
