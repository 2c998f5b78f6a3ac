"""Rows as files that spreadsheets open, to download: CSV and XLSX."""

from __future__ import annotations

from fastapi.responses import Response

from atalaia.desk.sheets import Cell, csv_text, harmless, xlsx_bytes

__all__ = ["CSV", "XLSX", "Cell", "attachment", "csv_text", "harmless", "xlsx_bytes"]

CSV, XLSX = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def attachment(content: str | bytes, media: str, name: str) -> Response:
    """Answer a file to keep."""
    plain = "".join(char if char.isalnum() or char in "-_." else "-" for char in name)
    headers = {"Content-Disposition": f'attachment; filename="{plain}"', "Cache-Control": "no-store"}
    return Response(content, media_type=media, headers=headers)
