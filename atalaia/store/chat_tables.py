"""The tables of conversations. Times are Unix milliseconds; JSON is kept as text.

Messages hang on a chat, which is one identity on one channel; a chat belongs to a contact, contacts may be
merged, and what is shown as one conversation is a thread: the chats of one channel whose contact is the
same. So merging and parting move chats, and no message is ever rewritten.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, event

from atalaia.store.search import create_search, drop_search
from atalaia.store.tables import metadata


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _of_chat() -> tuple[Column[str], Column[str]]:
    """Answer the columns that name a chat: an identity on a channel."""
    return (
        Column("channel", String(36), primary_key=True),  # the connection
        Column("chat", String(120), primary_key=True),  # as the upstream writes it
    )


# One row per identity on a channel: a person's number or hidden identity, or a group.
chat_aliases = Table(
    "chat_aliases",
    metadata,
    *_of_chat(),
    Column("contact", String(36), nullable=False),  # whose it is, before merges
    Column("pinned", Boolean, nullable=False),  # a person said so; nothing else moves it
    Column("is_group", Boolean, nullable=False),
    Column("phone", String(20), nullable=False),
    Column("evidence", String(20), nullable=False),  # what ties it to the number, "" when it is one
    _ms("evidence_ms", nullable=True),
    Column("thread", String(36), nullable=False),
    _ms("last_ms", nullable=True),  # of the latest message by its own time; NULL = no chat, only an author
    Column("last_message", String(36), nullable=False),
    Column("last_from_me", Boolean, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_chat_aliases_contact", "contact"),
    Index("ix_chat_aliases_thread", "thread"),
    Index("ix_chat_aliases_phone", "phone"),
)

chat_contacts = Table(
    "chat_contacts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("merged_into", String(36), nullable=False),  # the contact that it was merged into, "" = it stands
    Column("parted", Boolean, nullable=False),  # a person took it out; only a person merges it again
    Column("name", String(160), nullable=False),  # what the person calls himself; never identifies
    _ms("name_ms", nullable=True),
    Column("company", String(160), nullable=False),
    Column("person", String(160), nullable=False),
    Column("merge", String(36), nullable=False),  # the merge that put it there
    Column("words", Text, nullable=False),  # of all its names, for the search
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_chat_contacts_merged_into", "merged_into"),
)

# What was merged, by whom, and which identities moved with it, so that it can be undone.
chat_merges = Table(
    "chat_merges",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("gone", String(36), nullable=False),
    Column("target", String(36), nullable=False),
    Column("evidence", String(20), nullable=False),
    Column("by", String(120), nullable=False),  # "" = the evidence alone
    Column("aliases", Text, nullable=False),  # JSON: [[channel, chat], …]
    _ms("at_ms"),
    _ms("undone_ms", nullable=True),
    Column("undone_by", String(120), nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_chat_merges_target", "target"),
    Index("ix_chat_merges_gone", "gone"),
)

# status: new, open, pending, closed, ignored. last_ms NULL = nothing is shown in it (any more).
chat_threads = Table(
    "chat_threads",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("channel", String(36), nullable=False),
    Column("contact", String(36), nullable=False),  # the one that stands
    Column("is_group", Boolean, nullable=False),
    _ms("last_ms", nullable=True),
    Column("last_message", String(36), nullable=False),
    Column("last_from_me", Boolean, nullable=False),
    Column("status", String(10), nullable=False),
    _ms("status_ms"),
    Column("status_by", String(120), nullable=False),
    Column("reopens", Boolean, nullable=False),  # a new message opens it again
    Column("assigned", String(36), nullable=False),  # a person's id
    Column("assigned_name", String(120), nullable=False),
    Column("labels", Text, nullable=False),  # JSON: sorted
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_chat_threads_last", "last_ms", "id"),
    Index("ix_chat_threads_channel", "channel", "last_ms"),
    Index("ix_chat_threads_contact", "contact"),
)

# kind: unknown (only a receipt or a deletion is known), ciphertext, content, notice.
chat_messages = Table(
    "chat_messages",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("channel", String(36), nullable=False),
    Column("chat", String(120), nullable=False),  # "" while it is unknown
    Column("message", String(200), nullable=False),  # its identity in all its forms
    Column("key", String(160), nullable=False),
    Column("serialized", String(300), nullable=False),  # as the upstream wants it called
    Column("from_me", Boolean, nullable=False),
    Column("kind", String(12), nullable=False),
    Column("type", String(40), nullable=False),  # the upstream's own word
    Column("author", String(120), nullable=False),
    Column("author_name", String(160), nullable=False),
    Column("text", Text, nullable=False),
    Column("media", Text, nullable=False),  # JSON, "" = none
    Column("quoted", String(160), nullable=False),  # a key
    Column("more", Text, nullable=False),  # JSON
    _ms("sent_ms"),
    _ms("heard_ms"),  # when it came into the log
    _ms("edited_ms", nullable=True),
    _ms("revoked_ms", nullable=True),
    Column("history", Text, nullable=False),  # JSON: what it said before, [[until_ms, text], …]
    Column("ack", Integer),  # the highest level; a negative one only while there is no other
    Column("recovered", Boolean, nullable=False),
    Column("words", Text, nullable=False),  # for the search: without accents, see `search.words_of`
    Column("first_seq", BigInteger, nullable=False),
    Column("news_seq", BigInteger, nullable=False),  # when it became something to read
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_chat_messages_chat", "channel", "chat", "sent_ms"),
    Index("ix_chat_messages_news", "channel", "chat", "news_seq"),
    Index("ix_chat_messages_sent", "sent_ms"),
    Index("ix_chat_messages_channel", "channel", "sent_ms"),
    Index("ix_chat_messages_key", "channel", "key"),
    Index("ix_chat_messages_first", "first_seq", unique=True),
)
event.listen(chat_messages, "after_create", create_search)
event.listen(chat_messages, "before_drop", drop_search)

chat_reactions = Table(
    "chat_reactions",
    metadata,
    Column("message", String(36), primary_key=True),
    Column("by", String(120), primary_key=True),  # "me", an identity, or "" when nobody says
    Column("text", String(40), nullable=False),  # "" = taken back
    _ms("at_ms"),
    Column("changed_seq", BigInteger, nullable=False),
)

# How far each person has read each chat, in sequences of the log; unread is what came after.
chat_reads = Table(
    "chat_reads",
    metadata,
    Column("reader", String(36), primary_key=True),
    *_of_chat(),
    Column("upto_seq", BigInteger, nullable=False),
    _ms("at_ms"),
    Column("changed_seq", BigInteger, nullable=False),
)

chat_notes = Table(
    "chat_notes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("channel", String(36), nullable=False),
    Column("chat", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Column("by", String(120), nullable=False),
    _ms("at_ms"),
    _ms("removed_ms", nullable=True),
    Column("removed_by", String(120), nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Index("ix_chat_notes_chat", "channel", "chat"),
)

# --- not folded: what people are writing, and what they keep at hand -------------------------------

chat_drafts = Table(
    "chat_drafts",
    metadata,
    Column("writer", String(36), primary_key=True),
    *_of_chat(),
    Column("text", Text, nullable=False),
    _ms("changed_ms"),
)

chat_replies = Table(
    "chat_replies",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("shortcut", String(40), nullable=False),
    Column("text", Text, nullable=False),
    Column("by", String(120), nullable=False),
    _ms("changed_ms"),
    Index("ix_chat_replies_shortcut", "shortcut", unique=True),
)

# What people asked to send. state: queued, sent, failed, uncertain; receipts come from the message itself.
chat_outbox = Table(
    "chat_outbox",
    metadata,
    Column("id", String(36), primary_key=True),  # our own, stored before anything is sent
    Column("channel", String(36), nullable=False),
    Column("chat", String(120), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Column("state", String(10), nullable=False),
    Column("key", String(160), nullable=False),  # the upstream's, "" until it is known
    Column("said", Text, nullable=False),
    Column("by", String(120), nullable=False),
    Column("job", String(36), nullable=False),
    _ms("asked_ms"),
    _ms("changed_ms"),
    Index("ix_chat_outbox_chat", "channel", "chat", "asked_ms"),
    Index("ix_chat_outbox_state", "state"),
    Index("ix_chat_outbox_key", "channel", "key"),
    Index("ix_chat_outbox_job", "job"),
)

# The attachments of messages. state: waiting, fetched, failed, left (nobody asked for it yet), expired
# (retention took it; changed_ms says when).
chat_files = Table(
    "chat_files",
    metadata,
    Column("message", String(36), primary_key=True),
    Column("channel", String(36), nullable=False),
    Column("state", String(10), nullable=False),
    Column("job", String(36), nullable=False),  # the last try
    Column("tries", Integer, nullable=False),
    Column("file", String(64), nullable=False),  # SHA-256, "" until it has been here
    Column("mimetype", String(100), nullable=False),  # by its content, not by what the sender says
    Column("size_bytes", BigInteger),
    Column("said", Text, nullable=False),
    _ms("from_ms"),  # when the tries began
    _ms("next_ms", nullable=True),
    _ms("changed_ms"),
    Index("ix_chat_files_job", "job"),
    Index("ix_chat_files_file", "file"),
)
