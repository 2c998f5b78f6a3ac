"""Whatever is repeated, swapped, cut or unknown: never a crash, never a state twice or backwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atalaia.connectors.asterisk import wire
from atalaia.connectors.asterisk.capture import KNOWN_EVENTS
from atalaia.connectors.asterisk.directory import Directory
from atalaia.connectors.asterisk.sources import Sources, read_directory
from atalaia.events.model import Fact, Heard
from tests.connectors.asterisk.folding import (
    OWN,
    RECORDINGS,
    T0,
    Fold,
    Stream,
    heard_in,
    stamp,
    states,
    world,
)
from tests.connectors.asterisk.test_calls import ringing, talking

CAPTURES = [*sorted(OWN.glob("*.jsonl.gz")), *sorted(RECORDINGS.glob("*.jsonl"))]
PATHS = [path for path in CAPTURES if path.stat().st_size < 200_000]
GOOD = (["open"], ["open", "oncall"], ["open", "oncall", "closed"], ["open", "unanswered"])
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ETC = RECORDINGS.parents[1] / "asterisk" / "etc"

_cache: dict[Path, list[Heard]] = {}


def captured(path: Path) -> list[Heard]:
    """Answer what a capture holds, without the variables that nothing depends on."""
    if path not in _cache:
        _cache[path] = [
            one
            for one in heard_in(path)
            if one.type != "asterisk.ChannelVarset" or wire.WANTED_VARIABLE.search(one.body)
        ]
    return _cache[path]


def directory() -> Directory:
    return read_directory(Sources(etc=ETC)) if ETC.is_dir() else world()


def told(facts: list[Fact]) -> list[tuple[Any, ...]]:
    """Answer the facts without what names their place in the log."""
    return [
        (one.type, one.key, one.occurred_ms, one.data, one.dedupe)
        for one in facts
        if one.type != "gap.closed"
    ]


def fold_all(events: list[Heard], *, restarts: frozenset[int] = frozenset()) -> Fold:
    fold = Fold(directory())
    for place, event in enumerate(events):
        if place in restarts:
            fold.restart()
        fold.take(event)
    return fold


@FEW
@given(st.sampled_from(PATHS), st.lists(st.floats(0, 1), max_size=3))
def test_folding_in_parts_with_a_saved_memory_is_folding_at_once(path: Path, cuts: list[float]) -> None:
    events = captured(path)
    restarts = frozenset(int(cut * len(events)) for cut in cuts)

    assert told(fold_all(events, restarts=restarts).facts) == told(fold_all(events).facts)


@FEW
@given(st.sampled_from(PATHS), st.data())
def test_repeated_events_change_nothing(path: Path, data: st.DataObject) -> None:
    events = captured(path)
    places = data.draw(st.sets(st.integers(0, len(events) - 1), max_size=20))
    later = data.draw(st.integers(0, 30))
    again = list(events)
    for place in sorted(places, reverse=True):
        if events[place].type.startswith("asterisk.Channel") or events[place].type == "asterisk.Dial":
            again.insert(min(place + 1 + later, _segment_end(events, place)), events[place])

    assert told(fold_all(again).facts) == told(fold_all(events).facts)


def _segment_end(events: list[Heard], place: int) -> int:
    """Answer where the connection of this event ends: nothing is repeated over a loss."""
    return next((at for at in range(place, len(events)) if events[at].type == wire.CONTROL), len(events))


@FEW
@given(st.sampled_from(PATHS), st.data())
def test_neighbours_in_another_order_never_send_a_state_twice_or_backwards(
    path: Path, data: st.DataObject
) -> None:
    events = list(captured(path))
    for place in data.draw(st.lists(st.integers(0, len(events) - 2), max_size=30)):
        if wire.CONTROL not in (events[place].type, events[place + 1].type):
            events[place], events[place + 1] = events[place + 1], events[place]
    fold = fold_all(events)

    assert all(states(facts) in GOOD for facts in fold.calls())
    assert len({fact.dedupe for fact in fold.facts}) == len(fold.facts)


@FEW
@given(st.sampled_from(PATHS), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_a_loss_anywhere_and_a_reading_never_doubles_a_state(
    path: Path, begin: float, end: float, restarted: bool
) -> None:
    events = [one for one in captured(path) if one.type not in {wire.CONTROL, wire.REST, wire.RECORDINGS}]
    first, last = sorted((int(begin * len(events)), int(end * len(events))))
    at_ms = events[min(last, len(events) - 1)].occurred_ms if events else T0
    stream = Stream(start_ms=at_ms)
    started_at = 0 if restarted else -1_000_000
    fold = Fold(directory())
    fold.take(
        stream.control("connected", -100_000), *stream.reading(-99_999, channels=[], started_at=-1_000_000)
    )
    fold.take(*events[:first], stream.control("disconnected", -1, code=1006), stream.control("connected", 0))
    fold.take(*stream.reading(1, channels=living(events[:last]), started_at=started_at), *events[last:])

    assert all(states(facts) in GOOD for facts in fold.calls())
    assert len({fact.dedupe for fact in fold.facts}) == len(fold.facts)
    if last == len(events):
        assert not list(fold.memory.keys("held:"))


def living(events: list[Heard]) -> list[dict[str, Any]]:
    """Answer the channels as `GET /channels` would after these events."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        body = orjson.loads(event.body)
        for key in ("channel", "caller", "peer"):
            if isinstance(body.get(key), dict) and "id" in body[key]:
                found[body[key]["id"]] = body[key]
        if event.type == "asterisk.ChannelDestroyed":
            found.pop(body["channel"]["id"], None)
    return list(found.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**12) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*sorted(KNOWN_EVENTS), "ChannelFlies"])
FIELDS = st.sampled_from(
    ["channel", "caller", "peer", "endpoint", "value", "variable", "digit", "cause", "contact_info"]
)


@settings(max_examples=300, deadline=None)
@given(NAMES, st.dictionaries(FIELDS, JSON, max_size=4), st.sampled_from([stamp(T0), "yesterday", None, 5]))
def test_any_json_under_a_known_name_is_folded_or_unreadable_but_never_a_crash(
    name: str, fields: dict[str, Any], when: object
) -> None:
    fold = Fold()
    frame = wire.heard(orjson.dumps({"type": name, "timestamp": when, **fields}), T0)
    try:
        fold.take(frame)
    except wire.Unreadable:
        fold.memory.revert()

    ringing(fold, Stream(), "1121001", "1121002", "1121002")
    assert [states(facts) for facts in fold.calls()] == [["open"]]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | JSON.map(orjson.dumps))
def test_any_frame_is_kept(raw: bytes) -> None:
    heard = wire.heard(raw, T0)

    assert heard.type.startswith("asterisk.")
    orjson.loads(heard.body)


PARTS = st.sampled_from(["path", "status", "body", "method", "control", "a.wav"])
PATHS_READ = st.sampled_from(
    ["/channels", "/bridges", "/asterisk/info", "/endpoints", "/channels/x/variable?variable=A"]
)
KINDS = st.sampled_from([wire.REST, wire.RECORDINGS, wire.CONTROL])


@settings(max_examples=200, deadline=None)
@given(KINDS, st.dictionaries(PARTS, JSON | st.just(200) | PATHS_READ | st.just("connected"), max_size=5))
def test_any_reading_is_folded_or_left(kind: str, body: dict[str, Any]) -> None:
    fold, stream = Fold(), Stream()
    talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.control("connected", 2000), Heard(kind, "", T0, orjson.dumps(body).decode()))
    fold.take(stream.control("snapshot", 3000))

    assert all(states(facts) in GOOD for facts in fold.calls())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_the_memory_is_empty_of_channels_when_all_is_over(path: Path) -> None:
    events = captured(path)
    fold = fold_all(events)
    alive = {one["id"] for one in living(events)}

    assert {key.removeprefix("leg:") for key in fold.memory.keys("leg:")} <= alive
    assert {key.removeprefix("call:") for key in fold.memory.keys("call:")} <= alive
