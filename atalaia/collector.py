"""Python's garbage collector in a process that keeps much for long: a hub with thousands of sessions."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time

GARBAGE_MOST = 50_000  # new objects before the collector looks at them; by default 700
THOROUGH_S = 3600.0


def spare_the_collector() -> None:
    """Have the garbage collector look at what events leave behind, and not at the program again each time.

    Modules, tables and routes are 170,000 objects that stay, and a full pass over them holds the event loop
    for a tenth of a second. What the start needed and nobody needs any more goes back to the system first.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    gc.freeze()
    gc.set_threshold(GARBAGE_MOST)
    gc.callbacks.append(KeepAside())


class KeepAside:
    """After each full pass, has the collector leave alone what it found to stay: thousands of sessions, too.

    What of that is garbage later is found once an hour, by a pass over all.
    """

    def __init__(self) -> None:
        self._thorough_s = time.monotonic()

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] != 2:
            return
        if phase == "stop":
            gc.freeze()
        elif time.monotonic() - self._thorough_s >= THOROUGH_S:
            self._thorough_s = time.monotonic()
            gc.unfreeze()
