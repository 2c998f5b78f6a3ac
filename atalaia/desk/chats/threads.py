"""Which chats are one conversation: contacts, their merges, and the threads that follow from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atalaia.desk.chats.reading import dumped, fit, loaded, thread_id
from atalaia.desk.chats.shelf import Row, Shelf
from atalaia.events.model import Event
from atalaia.ids import derived_uuid7
from atalaia.store.chat_tables import chat_aliases, chat_contacts, chat_merges, chat_threads
from atalaia.store.search import words_of

NEW, OPEN, PENDING, CLOSED, IGNORED = "new", "open", "pending", "closed", "ignored"
STATUSES = (NEW, OPEN, PENDING, CLOSED, IGNORED)
ACTIVE = (NEW, OPEN, PENDING)


class Threads:
    """Keeps aliases, contacts and threads of one batch in step."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._touched: set[str] = set()

    # Contacts.

    def contact(self, identity: str) -> Row:
        """Answer a contact's row, a fresh one if it is not known."""
        return self._shelf.get(chat_contacts, identity) or {
            "id": identity, "merged_into": "", "parted": False, "name": "", "name_ms": None, "company": "",
            "person": "", "merge": "", "words": "", "changed_seq": 0,
        }  # fmt: skip

    def root(self, identity: str) -> str:
        """Answer the contact that stands for this one."""
        seen = {identity}
        while (into := self.contact(identity)["merged_into"]) and into not in seen:
            identity = into
            seen.add(into)
        return identity

    def named(self, event: Event, identity: str, name: str) -> None:
        """Take in what a contact calls himself; the latest of his own words counts, not of ours."""
        row = self.contact(identity)
        if event.seq <= row["changed_seq"]:
            return
        if name and event.occurred_ms >= (row["name_ms"] or 0):
            row = row | {"name": name, "name_ms": event.occurred_ms}
        self._keep(row, event)

    def merge(self, event: Event, gone: str, target: str, *, alias: list[str], **told: Any) -> None:
        """Put one contact into another, and keep what is needed to take it out again.

        alias: [channel, chat] that tied them, or []. told: id, evidence and by of the merge. What a person
        has parted only a person puts together again.
        """
        row = self.contact(gone)
        if event.seq <= row["changed_seq"] or (row["parted"] and not told["by"]):
            return
        if row["merged_into"]:
            self._extend(event, row, alias)
            return
        if self.root(target) == gone:
            return
        moved = [[one["channel"], one["chat"]] for one in self._aliases_below(gone)]
        if alias and alias not in moved:
            moved.append(alias)
        self._shelf.put(
            chat_merges,
            fit(chat_merges, {
                "id": told["id"], "gone": gone, "target": target, "evidence": told["evidence"],
                "by": told["by"], "aliases": dumped(moved), "at_ms": event.occurred_ms, "undone_ms": None,
                "undone_by": "", "changed_seq": event.seq,
            }),
        )  # fmt: skip
        self._keep(row | {"merged_into": target, "parted": False, "merge": told["id"]}, event)
        self.named(event, target, "" if self.contact(target)["name"] else row["name"])
        self._follow(event, gone)

    def part(self, event: Event, apart: str, aliases: Iterable[list[str]], merge: str, by: str) -> None:
        """Make these identities a contact of their own, for good unless a person says otherwise."""
        row = self.contact(apart)
        if event.seq <= row["changed_seq"]:
            return
        known = self._shelf.get(chat_merges, merge) if merge else None
        if known is not None:
            undone = {"undone_ms": event.occurred_ms, "undone_by": by[:120], "changed_seq": event.seq}
            self._shelf.put(chat_merges, known | undone)
        self._keep(row | {"merged_into": "", "parted": True, "merge": ""}, event)
        for channel, chat in aliases:
            alias = self._shelf.get(chat_aliases, channel, chat)
            if alias is not None and event.seq > alias["changed_seq"]:
                self._place(event, alias | {"contact": apart, "pinned": True})
        self._follow(event, apart)

    def _extend(self, event: Event, row: Row, alias: list[str]) -> None:
        """Note one more identity that the same merge moved, seen on another channel."""
        known = self._shelf.get(chat_merges, row["merge"])
        if known is None or not alias:
            return
        moved: list[list[str]] = loaded(known["aliases"], list)
        if alias not in moved:
            changed = {"aliases": dumped([*moved, alias]), "changed_seq": event.seq}
            self._shelf.put(chat_merges, known | changed)
        self._keep(row, event)

    def link(self, event: Event, contact: str, company: str, person: str) -> None:
        """Take in which company and person a contact is, as somebody here said."""
        row = self.contact(self.root(contact))
        if row["id"] and event.seq > row["changed_seq"]:
            self._keep(row | {"company": company, "person": person}, event)

    def _keep(self, row: Row, event: Event) -> None:
        words = words_of(row["name"], row["company"], row["person"])
        self._shelf.put(chat_contacts, fit(chat_contacts, row | {"words": words, "changed_seq": event.seq}))

    # Identities.

    def alias(self, event: Event, channel: str, chat: str, contact: str, **told: Any) -> Row:
        """Take in an identity as a fact tells it; answer its row.

        told: is_group, phone, evidence; empty ones take nothing away.
        """
        chat = chat[:120]
        row: Row | None = self._shelf.get(chat_aliases, channel, chat)
        if row is None:
            owner = contact or derived_uuid7(0, f"chat:{channel}:{chat}")
            row = {
                "channel": channel, "chat": chat, "contact": owner, "pinned": False, "is_group": False,
                "phone": "", "evidence": "", "evidence_ms": None, "thread": "", "last_ms": None,
                "last_message": "", "last_from_me": False, "changed_seq": 0,
            }  # fmt: skip
        if event.seq < row["changed_seq"]:
            return row
        known = {name: value for name, value in told.items() if value}
        if "evidence" in known:
            known["evidence_ms"] = event.occurred_ms
        if contact and not row["pinned"]:
            known["contact"] = contact
        return self._place(event, row | known)

    def spoken(self, event: Event, alias: Row, message: Row, *, news: bool) -> None:
        """Move a chat up by a message, and say what the message means for its conversation.

        news: it is something to read that was not there before this event.
        """
        later = message["sent_ms"] >= (alias["last_ms"] or 0)
        if later:
            last = {"last_ms": message["sent_ms"], "last_message": message["id"]}
            alias = alias | last | {"last_from_me": message["from_me"]}
            self._shelf.put(chat_aliases, alias | {"changed_seq": max(event.seq, alias["changed_seq"])})
        self._touched.add(alias["thread"])
        thread = self.thread(alias)
        if event.seq <= thread["changed_seq"]:
            return
        answers = message["from_me"] and thread["status"] == NEW
        again = not message["from_me"] and thread["reopens"] and thread["status"] in (CLOSED, IGNORED)
        if news and (answers or again):
            thread = thread | {"status": OPEN, "status_ms": event.occurred_ms, "status_by": ""}
        self._shelf.put(chat_threads, thread | {"changed_seq": event.seq})

    def _place(self, event: Event, row: Row) -> Row:
        """Write an identity into the conversation of whoever it belongs to now."""
        if self._shelf.get(chat_contacts, row["contact"]) is None:
            self._shelf.put(chat_contacts, fit(chat_contacts, self.contact(row["contact"])))
        root = self.root(row["contact"])
        before, now = row["thread"], thread_id(row["channel"], root)
        row = fit(chat_aliases, row | {"thread": now, "changed_seq": event.seq})
        self._shelf.put(chat_aliases, row)
        if before and before != now:
            self._carry(event, before, row)
        return row

    def _aliases_below(self, contact: str) -> list[Row]:
        """Answer the identities of a contact and of all that were merged into it."""
        names, wave = {contact}, [contact]
        while wave:
            below = self._shelf.find(chat_contacts, chat_contacts.c.merged_into.in_(wave))
            wave = [row["id"] for row in below if row["id"] not in names]
            names.update(wave)
        return self._shelf.find(chat_aliases, chat_aliases.c.contact.in_(sorted(names)))

    def _follow(self, event: Event, contact: str) -> None:
        for row in self._aliases_below(contact):
            self._place(event, row)

    # Threads.

    def thread(self, alias: Row) -> Row:
        """Answer the conversation that a chat is shown in, a fresh one if there is none."""
        return self._shelf.get(chat_threads, alias["thread"]) or {
            "id": alias["thread"], "channel": alias["channel"], "contact": self.root(alias["contact"]),
            "is_group": alias["is_group"], "last_ms": None, "last_message": "", "last_from_me": False,
            "status": NEW, "status_ms": alias["last_ms"] or 0, "status_by": "", "reopens": True,
            "assigned": "", "assigned_name": "", "labels": "", "changed_seq": 0,
        }  # fmt: skip

    def act(self, event: Event, identity: str, **changed: Any) -> None:
        """Take in what a person did to a conversation."""
        row = self._shelf.get(chat_threads, identity)
        if row is not None and event.seq > row["changed_seq"]:
            self._shelf.put(chat_threads, fit(chat_threads, row | changed | {"changed_seq": event.seq}))

    def _carry(self, event: Event, before: str, alias: Row) -> None:
        """Let nothing that waited get lost when chats change their conversation."""
        self._touched.update((before, alias["thread"]))
        old = self._shelf.get(chat_threads, before)
        if old is None:
            return  # only an author in groups until now
        known = self._shelf.get(chat_threads, alias["thread"])
        new = known or self.thread(alias)
        if known is None or (old["status"] in ACTIVE and new["status"] not in ACTIVE):
            new = new | {name: old[name] for name in ("status", "status_ms", "status_by", "reopens")}
        if not new["assigned"]:
            new = new | {name: old[name] for name in ("assigned", "assigned_name")}
        labels = {*loaded(new["labels"], list), *loaded(old["labels"], list)}
        seen = {"labels": dumped(sorted(labels)), "changed_seq": event.seq}
        self._shelf.put(chat_threads, new | seen)
        self._shelf.put(chat_threads, old | {"changed_seq": event.seq})

    def settle(self) -> None:
        """Say of each touched conversation which message is its last, from the chats that are in it now."""
        if not self._touched:
            return
        wanted = sorted(self._touched)
        self._shelf.preload(chat_threads, [(one,) for one in wanted])
        chats: dict[str, Row] = {}
        for start in range(0, len(wanted), 200):
            some = chat_aliases.c.thread.in_(wanted[start : start + 200])
            for row in self._shelf.find(chat_aliases, some & chat_aliases.c.last_ms.is_not(None)):
                best = chats.get(row["thread"])
                if best is None or (row["last_ms"], row["chat"]) > (best["last_ms"], best["chat"]):
                    chats[row["thread"]] = row
        for one in wanted:
            thread, last = self._shelf.get(chat_threads, one), chats.get(one)
            if thread is not None:
                names = ("last_ms", "last_message", "last_from_me")
                shown = (
                    {name: last[name] for name in names}
                    if last
                    else dict(zip(names, (None, "", False), strict=True))
                )
                self._shelf.put(chat_threads, thread | shown)
        self._touched.clear()
