"""A whole hub: a removal that is asked for ends as a saved record and as a line of the month's file."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atalaia import serve
from atalaia.ambient import Ambient
from atalaia.clock import ScaledClock, to_ms
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.connectors.traffilog.installing import Known, start_of
from atalaia.connectors.traffilog.portal import client
from atalaia.desk.exports import destinations_of
from atalaia.desk.exports.columns import Cell
from atalaia.desk.exports.destinations import Line, Sent
from atalaia.desk.exports.exporter import exports_of
from atalaia.desk.installations import queries
from atalaia.desk.installations.actions import Installations
from atalaia.settings import Settings
from tests.connectors.traffilog.live.installing import PORTAL_PASSWORD, PORTAL_USER, form
from tests.connectors.traffilog.live.rig import make_simulator, settings_for
from tests.connectors.traffilog.portal.bench import USED, USED_PLATE, USED_SERIAL
from tests.jobs.yard import CONNECTION

FASTER = 20


class Sheet:
    """A destination of its own, as docs/how-to/add-an-export.md has it written."""

    name = "sheet"

    def __init__(self) -> None:
        self.rows: dict[str, Sequence[Cell]] = {}

    async def send(self, lines: Sequence[Line]) -> Sequence[Sent]:
        self.rows.update({str(line.cells[0]): line.cells for line in lines})
        return [Sent(line.root, place="the sheet") for line in lines]


async def test_a_removal_ends_as_a_record_and_a_line_of_the_file(tmp_path: Path):
    client.forget_all()
    clock = ScaledClock(FASTER, datetime(2026, 11, 26, 12, tzinfo=UTC))
    sim: Any = make_simulator(clock)  # pyright: ignore[reportArgumentType] - any clock does
    await sim.start()
    settings = settings_for(
        sim, portal_url=sim.portal_url, portal_start_url=sim.portal_bootstrap_url, portal_user=PORTAL_USER,
        portal_password=PORTAL_PASSWORD, root_group="330020", portal_within_s=600, portal_login_within_s=600,
    )  # fmt: skip
    connectors = {"traffilog": replace(CONNECTOR, run_session=None)}
    given, sheet = Settings.model_validate({"data_dir": tmp_path}), Sheet()
    try:
        async with serve.running(
            given, connectors, ambient=Ambient(clock=clock), destinations=[*destinations_of(given), sheet]
        ) as hub:
            now = to_ms(clock.now())
            await hub.store.write(
                lambda tx: hub.registry.create(tx, CONNECTION, "traffilog", "T", settings, now)
            )
            asked = start_of(
                form(service="UNINSTALL", plate=USED_PLATE, serial=USED_SERIAL, client_id=""), Known()
            )
            acts = Installations(hub.orders)
            done = await hub.store.write(lambda tx: acts.start(tx, asked, by="ana"))
            root = done.seen.installation.root
            await asyncio.wait_for(_exported(hub, root), 60)
            seen = await hub.store.read(lambda tx: queries.get(tx, root))
    finally:
        await sim.stop()

    assert seen is not None
    assert (seen.standing.word, seen.installation.state) == ("COMPLETED", "COMPLETED")
    assert sim.ledger.count("deactivation", USED) == 1
    [file] = (tmp_path / "exports").glob("*.csv")
    with file.open(encoding="utf-8-sig", newline="") as text:
        [_, line] = list(csv.reader(text))
    assert (line[2], line[6], line[14]) == (USED_PLATE, "Retirada", root)
    [cells] = sheet.rows.values()
    assert (cells[2], cells[6], cells[14]) == (USED_PLATE, "Retirada", root)


async def _exported(hub: serve.Hub, root: str) -> None:
    """Wait, by the log's and the exporter's own pace, until the record is at both destinations."""
    while True:
        known = await hub.store.read(lambda tx: exports_of(tx, root))
        if [one.state for one in known] == ["done", "done"]:
            return
        await hub.ambient.clock.sleep(1)
