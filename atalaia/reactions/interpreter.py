"""What a connector's interpreter is: a pure fold from heard events to facts with a small memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from atalaia.events.model import Event, Fact

JsonValue = Any


class Memory:
    """Small durable key-value store of one interpreter for one connection.

    Values are JSON-able and never changed in place: `put` replaces. The runner saves what changed in
    the transaction that appends the facts, and takes back the changes of an event that failed.
    """

    def __init__(self, saved: dict[str, JsonValue] | None = None) -> None:
        self._now: dict[str, JsonValue] = dict(saved or {})
        self._before: dict[str, JsonValue] = {}
        self._dirty: set[str] = set()

    def get(self, key: str) -> JsonValue | None:
        return self._now.get(key)

    def put(self, key: str, value: JsonValue) -> None:
        self._note(key)
        self._now[key] = value

    def delete(self, key: str) -> None:
        if key in self._now:
            self._note(key)
            del self._now[key]

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Answer the keys that begin with `prefix`, in the order in which they were first put."""
        return iter([key for key in self._now if key.startswith(prefix)])

    def mark(self) -> None:
        """Begin one event: `revert` goes back to here."""
        self._before.clear()

    def revert(self) -> None:
        """Take back every change since `mark`."""
        for key, value in self._before.items():
            if value is _ABSENT:
                self._now.pop(key, None)
            else:
                self._now[key] = value
        self._before.clear()

    def take_changes(self) -> dict[str, JsonValue | None]:
        """Answer what changed since the last call; None stands for a deleted key."""
        changes = {key: self._now.get(key) for key in self._dirty}
        self._dirty.clear()
        return changes

    def _note(self, key: str) -> None:
        self._before.setdefault(key, self._now.get(key, _ABSENT))
        self._dirty.add(key)


_ABSENT = object()


class Interpreter(Protocol):
    """Understands the heard events of one connection, in order of the log."""

    def take(self, event: Event) -> Iterable[Fact]:
        """Answer the facts that follow. All state lives in the memory handed over at creation.

        Errors: `Unreadable` (or any other exception) parks the event; the memory is then as before.
        """
        ...


@dataclass(frozen=True)
class Interpretation:
    """A named interpreter that a connector declares; `make(connection_id, memory)` creates one.

    types: heard types it wants (prefix `x.` with `*` allowed), so that the runner reads no others.
    """

    name: str
    types: tuple[str, ...]
    make: Callable[[str, Memory], Interpreter]
