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
        self._places: dict[str, int] = {key: place for place, key in enumerate(self._now, 1)}
        self._next_place = len(self._now) + 1
        self._before: dict[str, tuple[JsonValue, int]] = {}

    @classmethod
    def load(cls, rows: Iterable[tuple[str, JsonValue, int]]) -> Memory:
        """Answer a memory from saved (key, value, place), in the order of their places."""
        memory = cls()
        for key, value, place in rows:
            memory._now[key] = value
            memory._places[key] = place
            memory._next_place = place + 1
        return memory

    def get(self, key: str) -> JsonValue | None:
        return self._now.get(key)

    def put(self, key: str, value: JsonValue) -> None:
        """Replace the value of `key`. None is the same as `delete`."""
        if value is None:
            self.delete(key)
            return
        self._note(key)
        if key not in self._now:
            self._places[key] = self._next_place
            self._next_place += 1
        self._now[key] = value

    def delete(self, key: str) -> None:
        if key in self._now:
            self._note(key)
            del self._now[key]
            del self._places[key]

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Answer the keys that begin with `prefix`, in the order in which they were first put."""
        return iter([key for key in self._now if key.startswith(prefix)])

    def mark(self) -> None:
        """Begin one event: `revert` goes back to here, `changed` counts from here."""
        self._before.clear()

    def changed(self) -> dict[str, tuple[JsonValue, int] | None]:
        """Answer what changed since `mark`: key to (value, place in the order), or None when deleted."""
        return {
            key: (self._now[key], self._places[key]) if key in self._now else None for key in self._before
        }

    def revert(self) -> None:
        """Take back every change since `mark`."""
        shuffled = False
        for key, (value, place) in self._before.items():
            if value is _ABSENT:
                self._now.pop(key, None)
                self._places.pop(key, None)
                continue
            shuffled = shuffled or self._places.get(key) != place
            self._now[key] = value
            self._places[key] = place
        self._before.clear()
        if shuffled:  # a deleted key came back: dicts would put it at the end
            self._now = {key: self._now[key] for key in sorted(self._now, key=self._places.__getitem__)}

    def _note(self, key: str) -> None:
        self._before.setdefault(key, (self._now.get(key, _ABSENT), self._places.get(key, 0)))


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
