"""Saved records on their way to files, spreadsheets, lists. A destination is one line below."""

from __future__ import annotations

from atalaia.desk.exports.destinations import FOLDER, Destination, Files
from atalaia.settings import Settings


def destinations_of(settings: Settings) -> tuple[Destination, ...]:
    """Answer where records go. One that is added gets every record that is saved already, too."""
    return (Files(settings.data_dir / FOLDER),)
