"""The two kinds of event in the one log, before and after they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal["heard", "fact"]


@dataclass(frozen=True, slots=True)
class Heard:
    """The upstream's word, on its way into the log.

    type: `<connector>.<the upstream's own name>`, e.g. `asterisk.ChannelDestroyed`.
    key: what the event is about; order is kept per key. `""` when the connection itself is meant.
    body: JSON text exactly as it came. What is not JSON is kept as `{"raw": text}` or `{"raw_base64": text}`.
    dedupe: the upstream's id or a declared hash; None = never a duplicate.
    late: told by a catch-up after a gap, not live.
    """

    type: str
    key: str
    occurred_ms: int
    body: str
    dedupe: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """Our word, on its way into the log; consumers subscribe to these.

    type: `thing.happened`. key: the subject, e.g. a call's guid. data: JSON-able.
    dedupe: makes folding the log again harmless; give one whenever the fact follows from heard events.
    """

    type: str
    key: str
    occurred_ms: int
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    dedupe: str | None = None
    cause_seq: int | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the log, heard or fact, as readers get it. Times in Unix milliseconds."""

    seq: int
    id: str
    family: Family
    type: str
    key: str
    connection: str
    occurred_ms: int
    recorded_ms: int
    cause_seq: int | None
    late: bool
    body: str


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of one event handed to `append`: where it is; seq 0 = only counted or dropped."""

    seq: int
    duplicate: bool = False
