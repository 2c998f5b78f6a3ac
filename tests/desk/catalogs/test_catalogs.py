"""Catalogs remember who changed what, and give it back."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from sqlalchemy import Connection, create_engine, select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connectors.traffilog.catalogs import Catalog, Command, Model, Scheme, Technician
from atalaia.connectors.traffilog.importing import item_from, models_of, put, put_rules, schemes_of
from atalaia.desk.catalogs.catalogs import (
    Catalogs,
    ChangedMeanwhile,
    Item,
    NoSuchEntry,
    all_entries,
    count_entries,
    get_entry,
    history,
)
from atalaia.ids import CountedIds
from atalaia.jobs.submit import WrongParams
from atalaia.store import installation_tables
from atalaia.store.tables import events, metadata

assert installation_tables.exports.metadata is metadata
ANA = Item("7", "ANA", {"id": "7", "nick": "ANA"})


@pytest.fixture
def tx() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


@pytest.fixture
def catalogs(clock: HeldClock) -> Catalogs:
    return Catalogs(Ambient(clock, CountedIds(), Random(1)))


def names(tx: Connection, catalog: str) -> list[str]:
    return [one.name for one in all_entries(tx, catalog)]


def test_a_change_keeps_before_and_after_and_can_be_taken_back(tx: Connection, catalogs: Catalogs):
    catalogs.put(tx, "technicians", [ANA], by="bruno", source="screen")
    changed = Item("7", "ANA M.", {"id": "7", "nick": "ANA M."})
    catalogs.put(tx, "technicians", [changed], by="carla", source="screen")
    newest, first = history(tx, "technicians", "7")
    assert (newest.by, newest.before, first.before) == ("carla", first.after, None)

    with pytest.raises(ChangedMeanwhile):
        catalogs.undo(tx, first.id, by="ana")
    catalogs.undo(tx, newest.id, by="ana")
    assert names(tx, "technicians") == ["ANA"]
    catalogs.undo(tx, history(tx, "technicians")[0].id, by="ana")
    assert names(tx, "technicians") == ["ANA M."]


def test_what_is_removed_comes_back(tx: Connection, catalogs: Catalogs):
    catalogs.put(tx, "technicians", [ANA], by="bruno", source="screen")
    catalogs.remove(tx, "technicians", "7", by="bruno")
    assert names(tx, "technicians") == []
    catalogs.undo(tx, history(tx, "technicians")[0].id, by="bruno")

    assert get_entry(tx, "technicians", "7") is not None
    with pytest.raises(NoSuchEntry):
        catalogs.remove(tx, "technicians", "8", by="bruno")


def test_what_changes_nothing_leaves_no_trace(tx: Connection, catalogs: Catalogs):
    catalogs.put(tx, "technicians", [ANA], by="bruno", source="a.json")
    again = catalogs.put(tx, "technicians", [ANA], by="bruno", source="a.json")

    assert (again.same, again.new, again.batch) == (1, 0, "")
    assert len(history(tx, "technicians")) == 1
    assert list(tx.scalars(select(events.c.type))) == ["catalog.changed"]


def test_an_import_is_one_batch_that_can_be_taken_back_as_a_whole(tx: Connection, catalogs: Catalogs):
    catalogs.put(tx, "clients", [Item("1", "OLD", {"id": "1", "name": "OLD"}, "1")], by="x", source="screen")
    files = Catalog(
        {"1": "NEW", "2": "B"},
        [Scheme("1", "9000", "Default", "active"), Scheme("1", "9001", "Other", "settings", "truck")],
        [Model("7547", "Iveco", "Stralis"), Model("7547", "", "", client_id="1")],
        [Command("LEFT", "FRONT", "(o2w,44,C6)", False, "in doubt")],
        [Technician("7", "ANA")],
    )
    found, _ = put(tx, catalogs, files, by="x", source="files")
    assert (found["clients"].new, found["clients"].changed, found["schemes"].new) == (1, 1, 2)
    assert [one.scheme_id for one in schemes_of(tx)] == ["9000", "9001"]
    assert [(one.id, one.model) for one in models_of(tx, "1")] == [("7547", "Stralis")]
    kept = get_entry(tx, "mounts", "LEFT|FRONT")
    assert kept is not None
    assert kept.value["sendable"] is False

    catalogs.undo_batch(tx, found["clients"].batch, by="y")

    assert names(tx, "clients") == ["OLD"]
    assert count_entries(tx) == {**dict.fromkeys(count_entries(tx), 0), "clients": 1}


def test_the_rules_fill_in_mounts_and_labels_and_leave_what_people_wrote(tx: Connection, catalogs: Catalogs):
    own = Item("UP", "TETO", {"side": "UP", "word": "TETO"})
    catalogs.put(tx, "labels", [own], by="x", source="screen")
    put_rules(tx, catalogs, by="x")

    assert "TETO" in names(tx, "labels")
    assert count_entries(tx)["labels"] == 6
    assert count_entries(tx)["mounts"] == 23
    assert get_entry(tx, "mounts", "LEFT|FRONT") is None


@pytest.mark.parametrize(
    ("catalog", "given", "field"),
    [
        ("clients", {"id": "abc", "name": "X"}, "id"),
        ("clients", {"id": "1", "name": ""}, "name"),
        ("schemes", {"client_id": "1", "scheme_id": "2", "source": "guess"}, "source"),
        ("mounts", {"label": "LEFT", "harness": "FRONT"}, "harness"),
        ("mounts", {"label": "UP", "harness": "DOWN"}, "harness"),
        ("labels", {"side": "TOP", "word": "X"}, "side"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_by_the_field(catalog: str, given: dict[str, str], field: str):
    with pytest.raises(WrongParams) as refused:
        item_from(catalog, given)
    assert field in [one["field"] for one in refused.value.fields]
