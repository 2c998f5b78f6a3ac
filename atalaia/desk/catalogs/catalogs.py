"""Catalogs that people keep: every change with who, when, before and after; each can be undone.

A catalog is a bag of entries by key; what an entry holds is the connector's business (`importing.py` there).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from sqlalchemy import Connection, delete, func, insert, or_, select, tuple_

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import AtalaiaError
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.installation_tables import catalog_entries, catalog_history
from atalaia.store.store import serialise
from atalaia.store.upsert import upsert_many

PRODUCER = "catalogs"
CLIENTS, SCHEMES, MODELS, TECHNICIANS = "clients", "schemes", "models", "technicians"
MOUNTS, LABELS = "mounts", "labels"
CATALOGS = (CLIENTS, SCHEMES, MODELS, TECHNICIANS, MOUNTS, LABELS)
ALL_MAX = 50_000
HISTORY_MAX = 500
_STEP = 500

Value = Mapping[str, Any]


class NoSuchEntry(AtalaiaError):
    """There is no such entry, or no such change."""


class ChangedMeanwhile(AtalaiaError):
    """Somebody changed the entry since; nothing was changed now."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry to put. client: to whom it belongs, "" to nobody. name: to show, to sort, to find by."""

    key: str
    name: str
    value: Value
    client: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is now."""

    catalog: str
    key: str
    client: str
    name: str
    value: dict[str, Any]
    by: str
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change. before, after: the entry {"name", "client", "value"}, None where there was none.

    source: a file's name, or what was done. batch: what was changed together.
    """

    id: int
    catalog: str
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    by: str
    source: str
    batch: str
    at_ms: int


@dataclass
class Counts:
    """What came of putting entries. batch: under which it can be undone, "" when nothing changed."""

    new: int = 0
    changed: int = 0
    same: int = 0
    removed: int = 0
    batch: str = ""


@dataclass(frozen=True)
class Catalogs:
    """Changes catalogs; each change is a row of their history and part of a fact."""

    ambient: Ambient

    def put(
        self, tx: Connection, catalog: str, items: Sequence[Item], *, by: str, source: str, batch: str = ""
    ) -> Counts:
        """Put entries: new ones are added, others changed; those that are not named stay.

        A later item of the same key wins. Items that change nothing leave no trace.
        """
        serialise(tx)
        wanted = {item.key[:200]: item for item in items}
        known = _entries(tx, catalog, list(wanted))
        counts = Counts()
        changes: list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]] = []
        for key, item in wanted.items():
            after = _shape(item.name[:300], item.client[:40], item.value)
            before = _whole(known[key]) if key in known else None
            if before == after:
                counts.same += 1
                continue
            counts.new, counts.changed = counts.new + (before is None), counts.changed + (before is not None)
            changes.append((key, before, after))
        counts.batch = self._write(tx, catalog, changes, by, source, batch)
        return counts

    def remove(self, tx: Connection, catalog: str, key: str, *, by: str) -> Counts:
        """Take an entry out. Errors: `NoSuchEntry`."""
        serialise(tx)
        known = _entries(tx, catalog, [key])
        if key not in known:
            raise NoSuchEntry("There is no such entry.")
        batch = self._write(tx, catalog, [(key, _whole(known[key]), None)], by, "removed", "")
        return Counts(removed=1, batch=batch)

    def undo(self, tx: Connection, change: int, *, by: str) -> Counts:
        """Bring back what was before one change.

        Errors: `NoSuchEntry` for no such change; `ChangedMeanwhile` when the entry was changed after it.
        """
        return self._undo(tx, catalog_history.c.id == change, by)

    def undo_batch(self, tx: Connection, batch: str, *, by: str) -> Counts:
        """Bring back what was before all changes that were made together, all or nothing.

        Errors: as `undo`.
        """
        return self._undo(tx, catalog_history.c.batch == batch, by)

    def _undo(self, tx: Connection, which: Any, by: str) -> Counts:
        serialise(tx)
        found = [_change(row) for row in tx.execute(select(catalog_history).where(which))]
        if not found:
            raise NoSuchEntry("There is no such change.")
        back: dict[str, list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]]] = {}
        for catalog in {one.catalog for one in found}:
            mine = [one for one in found if one.catalog == catalog]
            known = _entries(tx, catalog, [one.key for one in mine])
            for one in mine:
                now = _whole(known[one.key]) if one.key in known else None
                if now != one.after:
                    raise ChangedMeanwhile(f"{one.key} was changed after that; undo the later change first.")
                back.setdefault(catalog, []).append((one.key, now, one.before))
        counts, batch = Counts(), ""
        for catalog, changes in back.items():
            batch = self._write(tx, catalog, changes, by, "undone", batch)
            counts.removed += sum(after is None for _, _, after in changes)
            counts.new += sum(before is None for _, before, _ in changes)
            counts.changed += sum(None not in (before, after) for _, before, after in changes)
        counts.batch = batch
        return counts

    def _write(
        self, tx: Connection, catalog: str,
        changes: Sequence[tuple[str, dict[str, Any] | None, dict[str, Any] | None]], by: str, source: str,
        batch: str,
    ) -> str:  # fmt: skip
        if not changes:
            return batch
        now, by = to_ms(self.ambient.clock.now()), by[:120]
        batch = batch or self.ambient.ids.new()
        rows = [
            {"catalog": catalog, "key": key, "client": after["client"], "name": after["name"],
             "value": _dump(after["value"]), "by": by, "changed_ms": now}
            for key, _, after in changes if after is not None
        ]  # fmt: skip
        upsert_many(tx, catalog_entries, rows, ("catalog", "key"))
        gone = [key for key, _, after in changes if after is None]
        for start in range(0, len(gone), _STEP):
            c = catalog_entries.c
            mine = (c.catalog == catalog, c.key.in_(gone[start : start + _STEP]))
            tx.execute(delete(catalog_entries).where(*mine))
        told = [
            {"catalog": catalog, "key": key, "before": _dump(before) if before else "",
             "after": _dump(after) if after else "", "by": by, "source": source[:200], "batch": batch,
             "at_ms": now}
            for key, before, after in changes
        ]  # fmt: skip
        for start in range(0, len(told), _STEP):
            tx.execute(insert(catalog_history), told[start : start + _STEP])
        one = {"key": changes[0][0], "before": changes[0][1], "after": changes[0][2]}
        data = {"count": len(changes), "batch": batch, "source": source[:200], "by": by}
        fact = Fact("catalog.changed", catalog, now, data | (one if len(changes) == 1 else {}))
        append_facts(tx, self.ambient, PRODUCER, [fact])
        return batch


@dataclass(frozen=True)
class Preview:
    """What putting would do. changed: the entry as it is, {"name", "client", "value"}, and its item."""

    new: list[Item] = field(default_factory=list[Item])
    changed: list[tuple[dict[str, Any], Item]] = field(default_factory=list[tuple[dict[str, Any], Item]])
    same: int = 0


def preview(tx: Connection, catalog: str, items: Sequence[Item]) -> Preview:
    """Answer what `Catalogs.put` would do with these items; nothing is written."""
    wanted = {item.key[:200]: item for item in items}
    known = _entries(tx, catalog, list(wanted))
    new = [item for key, item in wanted.items() if key not in known]
    changed = [
        (before, item)
        for key, item in wanted.items()
        if key in known
        and (before := _whole(known[key])) != _shape(item.name[:300], item.client[:40], item.value)
    ]
    return Preview(new, changed, len(wanted) - len(new) - len(changed))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries. Empty fields do not restrict. words: part of key or name."""

    words: str = ""
    client: str = ""
    keys: tuple[str, ...] = field(default_factory=tuple)


def list_entries(
    tx: Connection, catalog: str, wanted: Wanted | None = None, *,
    after: tuple[str, str] | None = None, limit: int = 100,
) -> list[Entry]:  # fmt: skip
    """Answer entries by name. after: (name, key) of the last one already known."""
    c = catalog_entries.c
    query = select(catalog_entries).where(c.catalog == catalog, *_conditions(wanted or Wanted()))
    if after is not None:
        query = query.where(tuple_(c.name, c.key) > after)
    return [_entry(row) for row in tx.execute(query.order_by(c.name, c.key).limit(limit))]


def all_entries(tx: Connection, catalog: str) -> list[Entry]:
    """Answer every entry of a catalog, by name."""
    return list_entries(tx, catalog, limit=ALL_MAX)


def get_entry(tx: Connection, catalog: str, key: str) -> Entry | None:
    """Answer one entry."""
    found = _entries(tx, catalog, [key])
    return found.get(key)


def count_entries(tx: Connection) -> dict[str, int]:
    """Answer how many entries each catalog has, all named."""
    query = select(catalog_entries.c.catalog, func.count()).group_by(catalog_entries.c.catalog)
    counted = {catalog: int(n) for catalog, n in tx.execute(query)}
    return {catalog: counted.get(catalog, 0) for catalog in CATALOGS}


def history(
    tx: Connection, catalog: str, key: str = "", *, before: int | None = None, limit: int = 50
) -> list[Change]:
    """Answer changes, the latest first; of one entry, or of the whole catalog."""
    c = catalog_history.c
    query = select(catalog_history).where(c.catalog == catalog)
    if key:
        query = query.where(c.key == key)
    if before is not None:
        query = query.where(c.id < before)
    return [_change(row) for row in tx.execute(query.order_by(c.id.desc()).limit(min(limit, HISTORY_MAX)))]


def _entries(tx: Connection, catalog: str, keys: Sequence[str]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for start in range(0, len(keys), _STEP):
        c = catalog_entries.c
        query = select(catalog_entries).where(c.catalog == catalog, c.key.in_(keys[start : start + _STEP]))
        found.update({row.key: _entry(row) for row in tx.execute(query)})
    return found


def _conditions(wanted: Wanted) -> Iterator[Any]:
    c = catalog_entries.c
    if wanted.words:
        places = (c.key, c.name)
        yield or_(*(place.icontains(wanted.words, autoescape=True) for place in places))
    if wanted.client:
        yield c.client == wanted.client
    if wanted.keys:
        yield c.key.in_(wanted.keys)


def _entry(row: Any) -> Entry:
    value = cast("dict[str, Any]", orjson.loads(row.value))
    return Entry(row.catalog, row.key, row.client, row.name, value, row.by, row.changed_ms)


def _change(row: Any) -> Change:
    before = orjson.loads(row.before) if row.before else None
    after = orjson.loads(row.after) if row.after else None
    return Change(row.id, row.catalog, row.key, before, after, row.by, row.source, row.batch, row.at_ms)


def _whole(entry: Entry) -> dict[str, Any]:
    return _shape(entry.name, entry.client, entry.value)


def _shape(name: str, client: str, value: Value) -> dict[str, Any]:
    return {"name": name, "client": client, "value": dict(value)}


def _dump(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
