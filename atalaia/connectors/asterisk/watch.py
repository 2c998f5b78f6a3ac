"""The configuration, read at the start of a session and again whenever it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from atalaia.clock import Clock
from atalaia.connectors.asterisk.alarms import Alarm
from atalaia.connectors.asterisk.directory import Directory, Problem
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.connectors.asterisk.sources import read_directory
from atalaia.errors import ConfigError, Unavailable

# Looking at four file times costs nothing, works on every file system, and needs no second mechanism.
FILES_EVERY_S = 2.0
DATABASE_EVERY_S = 30.0

Stamp = tuple[tuple[str, int, int], ...]


class Book:
    """Who lives on this Asterisk, as last read without trouble."""

    def __init__(self, settings: AsteriskSettings, clock: Clock) -> None:
        self.directory: Directory | None = None
        self.trouble = ""
        self._sources = settings.sources
        self._rules = settings.rules
        self._clock = clock
        self._stamp: Stamp | None = None
        self._read_at = 0.0

    async def read(self) -> bool:
        """Read everything; answer whether `directory` is another one now.

        What cannot be read at all (a database away, a file gone that was there) leaves the directory as it
        was, because forgetting all clients would be worse than old news; `trouble` then says so.
        """
        before = await asyncio.to_thread(self._sources.stamp)
        self._read_at = self._clock.monotonic()
        try:
            found = await asyncio.to_thread(read_directory, self._sources, self._rules)
        except (ConfigError, Unavailable) as error:
            self._stamp, self.trouble = before, f"The configuration was not read: {error}"
            return False
        # A file that is being written is read again with the next look, because its time differs then.
        self._stamp = before
        missing = _missing(found)
        if self.directory is not None and missing and missing != _missing(self.directory):
            self.trouble = f"The configuration was kept as it was: {missing[0]}"
            return False
        self.trouble = ""
        changed = found != self.directory
        self.directory = found
        return changed

    async def follow(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Call `changed` after each reading that follows a change, until cancelled."""
        while True:
            await self._clock.sleep(FILES_EVERY_S)
            if await self._is_due():
                before = self.trouble
                if await self.read() or self.trouble != before:
                    await changed()

    async def _is_due(self) -> bool:
        if self._sources.database_url and self._clock.monotonic() - self._read_at >= DATABASE_EVERY_S:
            return True
        return await asyncio.to_thread(self._sources.stamp) != self._stamp

    def alarm(self) -> Alarm | None:
        """Answer what keeps all of the configuration from being read; `lines_alarm` tells of bad lines."""
        if not self.trouble:
            return None
        todo = "Make the configuration readable again; until then the last reading counts."
        return Alarm(self.trouble, todo)


def _missing(directory: Directory) -> list[Problem]:
    return [
        one for one in directory.problems if one.level == "error" and one.line == 0 and one.kind == "the file"
    ]


def lines_alarm(directory: Directory) -> Alarm | None:
    """Answer the alarm for lines and rows that were skipped; each is named by file and line."""
    skipped = [str(one) for one in directory.problems if one.level == "error"]
    if not skipped:
        return None
    more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
    return Alarm(
        f"The configuration is read without what is wrong in it: {skipped[0]}{more}",
        "Correct the lines; they are read again by themselves.",
        {"problems": skipped[:50], "count": len(skipped)},
    )


def unknown_to_asterisk(directory: Directory, endpoints: list[str]) -> list[str]:
    """Answer the configured endpoints of which ARI knows nothing: it sends no event for them.

    endpoints: resources of `GET /endpoints`. IA extensions live in the dialplan and need no endpoint.
    """
    known = set(endpoints)
    listed = (one.number for one in directory.endpoints.values() if one.type not in ("ia", "ring-group"))
    return sorted(number for number in listed if number not in known)


def unknown_alarm(unknown: list[str]) -> Alarm | None:
    """Answer the alarm for endpoints that ARI does not know."""
    if not unknown:
        return None
    first = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
    return Alarm(
        f"Asterisk sends nothing about {len(unknown)} configured endpoint(s): {first}",
        "Reload PJSIP on Asterisk (module reload res_pjsip.so), or take them out of the configuration.",
        {"endpoints": unknown[:100], "count": len(unknown)},
    )
