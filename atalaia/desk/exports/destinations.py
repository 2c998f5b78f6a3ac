"""Where records of installations go: what a destination is, and files in the data folder."""

from __future__ import annotations

import asyncio
import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from atalaia.desk.exports.columns import COLUMNS, Cell
from atalaia.desk.sheets import csv_text, xlsx_bytes

FOLDER = "exports"  # of the data folder


@dataclass(frozen=True, slots=True)
class Line:
    """One record on its way. month: `2026-11`, of the day it was saved. cells: as `COLUMNS`."""

    root: str
    month: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one record. place: where it is now; error: a sentence, "" when it is there."""

    root: str
    place: str = ""
    error: str = ""


class Destination(Protocol):
    """Takes records. Sending one again puts it in the place of what was sent before: find it by `cells[0]`.

    Batches come one after the other, from one worker alone. What no `Sent` names counts as failed and comes
    again. How to write one: docs/how-to/add-an-export.md.
    """

    @property
    def name(self) -> str:
        """A stable word; the state of each record is kept under it."""
        ...

    async def send(self, lines: Sequence[Line]) -> Sequence[Sent]:
        """Send records; answer what became of each. What it raises counts as the error of all of them."""
        ...


@dataclass(frozen=True)
class Files:
    """One CSV and one XLSX a month in a folder; a record is found again by its first cell and replaced."""

    folder: Path
    name: str = "file"

    async def send(self, lines: Sequence[Line]) -> Sequence[Sent]:
        """Write the months that these records belong to."""
        return await asyncio.to_thread(self._send, lines)

    def _send(self, lines: Sequence[Line]) -> list[Sent]:
        sent: list[Sent] = []
        for month in sorted({line.month for line in lines}):
            mine = [line for line in lines if line.month == month]
            file = self.folder / f"instalacoes-{month}.csv"
            try:
                self._write(file, mine)
            except OSError as error:
                told = f"{file.name} cannot be written: {error.strerror or error}."
                sent += [Sent(line.root, error=told) for line in mine]
            else:
                sent += [Sent(line.root, file.name) for line in mine]
        return sent

    def _write(self, file: Path, lines: Sequence[Line]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = {row[0]: row for row in _read(file)}
        for line in lines:
            rows[str(line.cells[0])] = ["" if cell is None else cell for cell in line.cells]
        whole = list(rows.values())
        _replace(file, ("\ufeff" + csv_text(COLUMNS, whole)).encode())  # spreadsheets need the mark for UTF-8
        _replace(file.with_suffix(".xlsx"), xlsx_bytes("Instalações", COLUMNS, whole))


def _read(file: Path) -> list[list[Cell]]:
    if not file.exists():
        return []
    with file.open(encoding="utf-8-sig", newline="") as text:
        return [list(row) for row in list(csv.reader(text))[1:] if len(row) == len(COLUMNS)]


def _replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    new = file.with_suffix(f"{file.suffix}.new")
    with new.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)
