"""Kinds of jobs that are imported when somebody asks: a hub without such a connection spares their memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

from atalaia.jobs.model import JobKind


class LateKinds(Sequence[JobKind]):
    """What a connector declares. load: imports and answers the kinds; there is at least one."""

    def __init__(self, load: Callable[[], Sequence[JobKind]]) -> None:
        self._load = load

    @cached_property
    def _all(self) -> Sequence[JobKind]:
        return self._load()

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> JobKind: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[JobKind]: ...
    def __getitem__(self, index: int | slice) -> JobKind | Sequence[JobKind]:
        return self._all[index]


class Kinds(Mapping[str, JobKind]):
    """Every kind by its full name, `<connector>.<kind>`. declared: by connector.

    To ask for one imports that connector's kinds, to look at all imports all. `connectors`, and whether there
    is any, is known without.
    """

    def __init__(self, declared: Mapping[str, Sequence[JobKind]]) -> None:
        self._declared = {name: kinds for name, kinds in declared.items() if kinds}

    @property
    def connectors(self) -> frozenset[str]:
        """Answer the names of the connectors that declare any."""
        return frozenset(self._declared)

    def __bool__(self) -> bool:
        return bool(self._declared)

    def __getitem__(self, name: str) -> JobKind:
        connector, _, rest = name.partition(".")
        for kind in self._declared.get(connector, ()):
            if kind.name == rest:
                return kind
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (f"{name}.{kind.name}" for name, kinds in self._declared.items() for kind in kinds)

    def __len__(self) -> int:
        return sum(len(kinds) for kinds in self._declared.values())
