"""Full-text search over messages, alike on both databases: beginnings of words, without accents and case.

SQLite keeps an FTS5 index beside the table by triggers, PostgreSQL a GIN index over the same words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, Connection, column, func, literal_column, select, table, text

_WORD = re.compile(r"[^\W_]+")
WORDS_CHARS_MAX = 50_000
TERMS_MAX = 12

_SQLITE = (
    "create virtual table chat_search using fts5(words, content='chat_messages', "
    "content_rowid='first_seq', tokenize='unicode61')",
    "create trigger chat_search_added after insert on chat_messages begin "
    "insert into chat_search(rowid, words) values (new.first_seq, new.words); end",
    "create trigger chat_search_removed after delete on chat_messages begin "
    "insert into chat_search(chat_search, rowid, words) values ('delete', old.first_seq, old.words); end",
    "create trigger chat_search_changed after update of words on chat_messages "
    "when old.words <> new.words begin "
    "insert into chat_search(chat_search, rowid, words) values ('delete', old.first_seq, old.words); "
    "insert into chat_search(rowid, words) values (new.first_seq, new.words); end",
)
_POSTGRESQL = ("create index chat_search on chat_messages using gin (to_tsvector('simple', words))",)


def create_search(_: Any, tx: Connection, **__: Any) -> None:
    """Make the index; called when its table was made."""
    for statement in _POSTGRESQL if tx.dialect.name == "postgresql" else _SQLITE:
        tx.execute(text(statement))


def drop_search(_: Any, tx: Connection, **__: Any) -> None:
    """Drop the index; called before its table is dropped, with which PostgreSQL's and the triggers go."""
    if tx.dialect.name == "sqlite":
        tx.execute(text("drop table if exists chat_search"))


def is_search(name: str | None) -> bool:
    """Answer whether a table or index is part of the search: no migration is drawn from those."""
    return name is not None and name.startswith("chat_search")


def words_of(*texts: str) -> str:
    """Answer the words of these texts as they are searched: no accents, no case, a blank between them."""
    whole = "\n".join(texts)[:WORDS_CHARS_MAX]
    plain = "".join(one for one in unicodedata.normalize("NFKD", whole) if not unicodedata.combining(one))
    return " ".join(_WORD.findall(plain.casefold()))


def holds_words(tx: Connection, asked: str) -> ColumnElement[bool] | None:
    """Answer the condition that a message has words that begin so, all of them; None when none is asked.

    For a select from `chat_messages`.
    """
    terms = words_of(asked).split()[:TERMS_MAX]
    if not terms:
        return None
    if tx.dialect.name == "postgresql":
        wanted = " & ".join(f"{term}:*" for term in terms)
        return func.to_tsvector(literal_column("'simple'"), column("words")).bool_op("@@")(
            func.to_tsquery(literal_column("'simple'"), wanted)
        )
    matching = " ".join(f'"{term}"*' for term in terms)
    index = table("chat_search", column("rowid"), column("chat_search"))
    found = select(index.c.rowid).where(index.c.chat_search.match(matching))
    return column("first_seq").in_(found)
