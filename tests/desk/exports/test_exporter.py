"""Records go to every destination with a state of its own; what fails is tried again, nothing is doubled."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import insert, select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.desk.catalogs.catalogs import Catalogs, Item, Wanted, history, list_entries
from atalaia.desk.exports.columns import COLUMNS
from atalaia.desk.exports.destinations import Files, Line, Sent
from atalaia.desk.exports.exporter import (
    AGAIN_MS,
    NOT_SET_UP,
    UNSAID,
    Exported,
    Exporter,
    again,
    exports_of,
)
from atalaia.desk.installations.fold import mark_pending
from atalaia.desk.installations.queries import Wanted as InstallationsWanted
from atalaia.desk.installations.queries import list_installations
from atalaia.ids import CountedIds
from atalaia.store.installation_tables import installations
from atalaia.store.tables import events
from tests.store.bases import Base, base, shared, sqlite

__all__ = ["base", "shared", "sqlite"]
SIDES = {"UP": "CIMA", "BACK": "TRASEIRA"}


class Moody:
    """A destination that fails as often as it is told."""

    name = "list"

    def __init__(self, fails: int = 0) -> None:
        self.fails, self.got = fails, list[str]()

    async def send(self, lines: Sequence[Line]) -> Sequence[Sent]:
        self.fails -= 1
        if self.fails >= 0:
            raise ConnectionError("The list is away.")
        self.got += [line.root for line in lines]
        return [Sent(line.root, "row 7") for line in lines]


async def saved(exporter: Exporter, root: str, **more: Any) -> None:
    """Put down a saved installation for every destination."""
    now = to_ms(exporter.ambient.clock.now())
    form = {
        "gsensor": {"label_pos": "UP", "harness_pos": "BACK"},
        "cor": "Branco",
        "technician": {"nick": "ANA"},
    }
    record = {"cadastro": form, "can": {"snapshot": {"header": {"ignition": "1"}}}, "ts": ""}
    row: dict[str, Any] = {
        "root": root, "token": f"tok_{root}", "connection": "c1", "service": "INSTALL", "client": "310273",
        "client_name": "Jequitibá", "plate": "TST1A23", "serial": "920003010", "technician": "ANA",
        "vehicle": "2900108", "label": "UP", "harness": "BACK", "scheme": "", "comment": "=1+1",
        "form": orjson.dumps(form).decode(), "state": "COMPLETED", "approved_by": "", "override": False,
        "override_reason": "", "record": orjson.dumps(record).decode(), "saved_ms": now, "by": "ana",
        "created_ms": now, "changed_ms": now, **more,
    }  # fmt: skip

    def write(tx: Any) -> None:
        tx.execute(insert(installations).values(row))
        for one in exporter.destinations:
            mark_pending(tx, root, one.name, now)

    await exporter.store.write(write)


async def exporter_of(base: Base, clock: HeldClock, *destinations: Any) -> Exporter:
    ambient = Ambient(clock, CountedIds(), Random(1))
    zone = ZoneInfo("America/Sao_Paulo")
    return Exporter(await base.open(), ambient, destinations, zone, lambda _: SIDES)


async def states(exporter: Exporter, root: str) -> dict[str, Exported]:
    return {one.destination: one for one in await exporter.store.read(lambda tx: exports_of(tx, root))}


def read(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        return list(csv.reader(text))


async def test_a_record_is_written_once_with_portuguese_labels(base: Base, clock: HeldClock, tmp_path: Path):
    files = Files(tmp_path / "exports")
    exporter = await exporter_of(base, clock, files)
    await saved(exporter, "a")
    await exporter.send(files)
    await exporter.store.write(lambda tx: again(tx, exporter.ambient, "a", "file", by="ana"))
    await saved(exporter, "b", plate="TST2B34")
    await exporter.send(files)

    [file] = (tmp_path / "exports").glob("*.csv")
    head, first, second = read(file)
    assert tuple(head) == COLUMNS
    told = dict(zip(head, first, strict=True))
    assert (told["Serviço"], told["Etiqueta"], told["Chicote"]) == ("Instalação", "CIMA", "TRASEIRA")
    assert told["CAN"] == "IGN:1 | KEY:"
    assert told["Comentário"] == "'=1+1"
    assert second[2] == "TST2B34"
    assert file.with_suffix(".xlsx").read_bytes()[:2] == b"PK"
    one = (await states(exporter, "a"))["file"]
    assert (one.state, one.attempts, one.place) == ("done", 2, file.name)


async def test_each_destination_has_its_own_state_and_a_failed_one_is_tried_again(
    sqlite: Base, clock: HeldClock, tmp_path: Path
):
    files, moody = Files(tmp_path / "exports"), Moody(fails=1)
    exporter = await exporter_of(sqlite, clock, files, moody)
    await saved(exporter, "a")
    for one in (files, moody):
        await exporter.send(one)

    known = await states(exporter, "a")
    assert (known["file"].state, known["list"].state) == ("done", "failed")
    assert known["list"].error == "The list is away."
    assert await exporter.send(moody) == 0

    await clock.run_for(AGAIN_MS / 1000 + 1)
    await exporter.send(moody)

    assert (await states(exporter, "a"))["list"].state == "done"
    assert (await states(exporter, "a"))["list"].attempts == 2
    assert moody.got == ["a"]


async def alarms(exporter: Exporter) -> list[str]:
    query = select(events.c.type).where(events.c.type.like("alert.%")).order_by(events.c.seq)
    return list(await exporter.store.read(lambda tx: list(tx.scalars(query))))


async def test_a_record_that_fails_again_raises_an_alert_which_ends_when_it_arrives(
    sqlite: Base, clock: HeldClock
):
    moody = Moody(fails=3)
    exporter = await exporter_of(sqlite, clock, moody)
    await saved(exporter, "a")
    seen: list[list[str]] = []
    for _ in range(4):
        await exporter.send(moody)
        seen.append(await alarms(exporter))
        await clock.run_for(AGAIN_MS / 1000 + 1)

    raised, resolved = "alert.raised", "alert.resolved"
    assert seen == [[], [raised], [raised, raised], [raised, raised, resolved]]


async def test_what_a_destination_does_not_name_is_sent_again(sqlite: Base, clock: HeldClock):
    class Silent(Moody):
        async def send(self, lines: Sequence[Line]) -> Sequence[Sent]:
            return []

    exporter = await exporter_of(sqlite, clock, Silent())
    await saved(exporter, "a")
    await exporter.send(exporter.destinations[0])

    one = (await states(exporter, "a"))["list"]
    assert (one.state, one.error) == ("failed", UNSAID)


async def test_a_new_destination_gets_what_was_saved_before_and_one_that_is_gone_is_off_until_it_is_back(
    base: Base, clock: HeldClock, tmp_path: Path
):
    moody, files = Moody(), Files(tmp_path / "exports")
    first = await exporter_of(base, clock, moody)
    await saved(first, "a")
    await saved(first, "unsaved", saved_ms=None)
    second = replace(first, destinations=[files])
    await second.adopt()
    await second.send(files)
    known = await states(second, "a")
    assert (known["file"].state, known["list"].state, known["list"].error) == ("done", "off", NOT_SET_UP)
    assert "file" not in await states(second, "unsaved")

    both = replace(first, destinations=[files, moody])
    await both.adopt()
    await both.adopt()
    await both.send(moody)
    known = await states(both, "a")
    assert (known["list"].state, known["file"].attempts) == ("done", 1)


async def test_a_folder_that_cannot_be_written_is_told_and_costs_nothing(
    sqlite: Base, clock: HeldClock, tmp_path: Path
):
    (tmp_path / "exports").write_text("a file where the folder should be")
    files = Files(tmp_path / "exports")
    exporter = await exporter_of(sqlite, clock, files)
    await saved(exporter, "a")
    await exporter.send(files)

    one = (await states(exporter, "a"))["file"]
    assert one.state == "failed"
    assert "cannot be written" in one.error


async def test_catalogs_and_lists_are_kept_the_same_on_both_databases(base: Base, clock: HeldClock):
    exporter = await exporter_of(base, clock)
    store, catalogs = exporter.store, Catalogs(exporter.ambient)
    await saved(exporter, "a")
    await saved(exporter, "b", plate="TST2B34")
    items = [Item(str(n), f"Client {n}", {"id": str(n)}, str(n)) for n in range(600)]
    counts = await store.write(lambda tx: catalogs.put(tx, "clients", items, by="x", source="file"))
    await store.write(lambda tx: catalogs.undo_batch(tx, counts.batch, by="x"))
    await store.write(lambda tx: catalogs.put(tx, "clients", items[:3], by="x", source="file"))

    found = await store.read(lambda tx: list_entries(tx, "clients", Wanted("client 2")))
    assert [one.key for one in found] == ["2"]
    assert len(await store.read(lambda tx: history(tx, "clients", "2"))) == 3
    rows = await store.read(lambda tx: list_installations(tx, InstallationsWanted(words="tst2")))
    assert [seen.installation.root for seen in rows] == ["b"]
