"""Rows as files that spreadsheets open: CSV and XLSX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

Cell = str | int | float | bool | None
_WIDTH_MAX = 60


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Answer rows as CSV (RFC 4180); texts that a spreadsheet would run are quoted with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([harmless(value) for value in row])
    return text.getvalue()


def xlsx_bytes(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Answer rows as one sheet of a workbook with a filterable head; no text becomes a formula."""
    import xlsxwriter  # pyright: ignore[reportMissingTypeStubs] - and late: only an export needs it

    file = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    made: Any = xlsxwriter.Workbook(file, options)
    with made as book:
        sheet = book.add_worksheet(title[:31])
        bold = book.add_format({"bold": True})
        widths = [len(name) for name in columns]
        sheet.write_row(0, 0, columns, bold)
        count = 0
        for count, row in enumerate(rows, 1):
            for place, value in enumerate(row):
                sheet.write(count, place, "" if value is None else value)
                widths[place] = max(widths[place], min(_WIDTH_MAX, len(str(value or ""))))
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, count, len(columns) - 1)
        for place, width in enumerate(widths):
            sheet.set_column(place, place, width + 2)
    return file.getvalue()


def harmless(value: Cell) -> Cell:
    """Keep a spreadsheet from running what somebody put into a text."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") and not value[1:].isdigit():
        return f"'{value}"
    return "" if value is None else value
