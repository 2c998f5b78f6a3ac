"""What survives: lines of JSON in a file, written as things happen, read once at the start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO


class Journal:
    """An append-only list of JSON objects; without a path it remembers nothing.

    A last line that a kill cut in two is left out when reading, and ended before more is written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._file: TextIO | None = None

    def read(self) -> Iterator[dict[str, Any]]:
        if self.path is None or not self.path.is_file():
            return
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def add(self, op: str, **about: Any) -> None:
        """Write one line, and hand it to the operating system before going on."""
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
            if self._file.tell() and not self._whole():
                self._file.write("\n")
        self._file.write(json.dumps({"op": op, **about}, ensure_ascii=False) + "\n")
        self._file.flush()

    def _whole(self) -> bool:
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
