"""The recordings that Asterisk wrote lately: size and what the header says. Blocking: run in a thread."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HEADER_BYTES = 44
BYTES_PER_SECOND = 16_000  # 8 kHz, 16 bit, mono
FILES_MAX = 3000
LOOKED_AT_MAX = 200_000
# A day's folder is left out only when it ended well before what we ask for, whatever zone Asterisk lives in.
DAYS_OF_GRACE = 2

Wav = dict[str, Any]


def list_wavs(folder: Path, since_s: float) -> dict[str, Wav]:
    """Answer the WAV files below `folder` that changed after `since_s` (Unix seconds), newest first.

    Shape: {"2026/11/20/name.wav": {"bytes": 48364, "mtime": 1795207917.98, "seconds": 3.02,
        "header_data_bytes": 48320}}. At most `FILES_MAX`. `header_data_bytes` 0 = not closed (yet).
    Errors: `OSError` when the folder cannot be read.
    """
    found = sorted(_changed(folder, since_s), key=lambda one: one[1].st_mtime, reverse=True)
    return {name: _describe(folder / name, stat) for name, stat in found[:FILES_MAX]}


def unfinished(wavs: dict[str, Wav], living: Collection[str], now_s: float) -> list[str]:
    """Answer the files that are still being closed: header says 0, lately written, and no living call's.

    living: base names of recordings of channels that exist. Asterisk may need up to 2 s after a call's end.
    """
    return [
        name
        for name, wav in wavs.items()
        if wav.get("header_data_bytes") == 0
        and wav["bytes"] > HEADER_BYTES
        and now_s - wav["mtime"] < 5
        and name.rpartition("/")[2] not in living
    ]


def _changed(folder: Path, since_s: float) -> Iterator[tuple[str, os.stat_result]]:
    looked_at = 0
    for place, folders, files in os.walk(folder, onerror=_raise):
        relative = Path(place).relative_to(folder)
        folders[:] = [one for one in folders if not _long_gone(relative / one, since_s)]
        for name in files:
            looked_at += 1
            if looked_at > LOOKED_AT_MAX:
                return
            if not name.lower().endswith(".wav"):
                continue
            try:
                stat = (Path(place) / name).stat()
            except OSError:  # uploaded and removed meanwhile
                continue
            if stat.st_mtime >= since_s:
                yield (relative / name).as_posix(), stat


def _raise(error: OSError) -> None:
    raise error


def _long_gone(relative: Path, since_s: float) -> bool:
    """Answer whether a folder YYYY, YYYY/MM or YYYY/MM/DD holds only days before `since_s`."""
    parts = relative.parts
    if not 1 <= len(parts) <= 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return False
    year, month, day = (int(part) for part in (*parts, *("12", "28")[len(parts) - 1 :]))
    try:
        last = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return False
    grace = DAYS_OF_GRACE if len(parts) == 3 else DAYS_OF_GRACE + 3  # a month may have 31 days
    return last + timedelta(days=grace) < datetime.fromtimestamp(since_s, UTC)


def _describe(path: Path, stat: os.stat_result) -> Wav:
    wav: Wav = {
        "bytes": stat.st_size,
        "mtime": round(stat.st_mtime, 3),
        "seconds": round(max(0, stat.st_size - HEADER_BYTES) / BYTES_PER_SECOND, 3),
    }
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except OSError:
        return wav
    if len(head) == HEADER_BYTES and head[:4] == b"RIFF":
        wav["header_data_bytes"] = struct.unpack("<I", head[40:44])[0]
    return wav
