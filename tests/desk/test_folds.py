"""However the facts are cut into batches and repeated, the tables end the same."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select

from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.calls.fold import Calls
from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.reading import thread_id
from atalaia.desk.endpoints.fold import Endpoints
from atalaia.desk.vehicles.fold import Vehicles
from atalaia.events.gaps import Gaps
from atalaia.events.model import Event
from atalaia.store import chat_tables, vehicle_tables
from atalaia.store.alert_tables import incident_members, incidents
from atalaia.store.tables import alerts, calls, endpoints, gaps, metadata

FOLDS = (Calls(), Endpoints(), Alerts(), Gaps(), Vehicles(), Chats())
TABLES = (
    calls, endpoints, alerts, gaps, vehicle_tables.vehicles, vehicle_tables.vehicle_values,
    vehicle_tables.vehicle_value_history, vehicle_tables.vehicle_modules, vehicle_tables.vehicle_snapshots,
    vehicle_tables.processes, chat_tables.chat_aliases, chat_tables.chat_contacts, chat_tables.chat_merges,
    chat_tables.chat_threads, chat_tables.chat_messages, chat_tables.chat_reactions, chat_tables.chat_reads,
    chat_tables.chat_notes, incidents, incident_members,
)  # fmt: skip

_numbers = st.integers(0, 2).map(str)
_texts = st.sampled_from(["", "a", "x" * 300, None, 7])
_facts = st.one_of(
    st.tuples(
        st.sampled_from(["call.opened", "call.answered", "call.ended"]),
        _numbers,
        st.fixed_dictionaries(
            {"origin": _texts, "client": _texts, "outcome": st.sampled_from(["closed", "unanswered"])}
        ),
    ),
    st.tuples(
        st.sampled_from(["endpoint.status_changed", "endpoint.address_seen"]),
        _numbers,
        st.fixed_dictionaries({"status": st.sampled_from(["online", "offline"]), "address": _texts}),
    ),
    st.tuples(
        st.sampled_from(["alert.raised", "alert.resolved"]),
        _numbers,
        st.fixed_dictionaries({"title": _texts}),
    ),
    st.tuples(st.just("gap.opened"), _numbers, st.just({"cause": "cut", "planes": ["socket"]})),
    st.tuples(
        st.just("gap.closed"), _numbers, st.fixed_dictionaries({"lost": st.sampled_from(["no", "unknown"])})
    ),
    st.tuples(
        st.sampled_from(["vehicle.snapshot_merged", "vehicle.parameters_seen"]),
        _numbers,
        st.fixed_dictionaries(
            {
                "header": st.fixed_dictionaries({"license_nmbr": _texts, "client_id": _texts}),
                "parameters": st.dictionaries(
                    st.sampled_from(["00002712", "00002717"]),
                    st.fixed_dictionaries(
                        {
                            "name": _texts,
                            "raw": _texts,
                            "value": st.sampled_from([None, 12.5, 7, "3.25", "on"]),
                            "seen_ms": st.sampled_from([None, 60_000, 65_000, 600_000]),
                        }
                    ),
                ),
                "modules": st.dictionaries(
                    st.sampled_from(["CAN/CAN0", "J1708"]),
                    st.fixed_dictionaries({"ok": st.booleans(), "error": _texts}),
                ),
            }
        ),
    ),
    st.tuples(
        st.just("vehicle.connection_changed"), _numbers, st.fixed_dictionaries({"connected": st.booleans()})
    ),
    st.tuples(
        st.sampled_from(["message.received", "message.sent", "message.revised", "message.noticed"]),
        _numbers,
        st.fixed_dictionaries(
            {
                "message": _texts,
                "kind": st.sampled_from(["content", "ciphertext", "revoked", "edit", "notice"]),
                "from_me": st.booleans(),
                "chat": _numbers,
                "contact": _numbers,
                "author": st.none()
                | st.fixed_dictionaries({"wid": _numbers, "contact": _numbers, "name": _texts}),
                "text": _texts,
                "occurred_at": st.sampled_from([None, 5, 9_000]),
                "ack": st.sampled_from([None, -1, 0, 3]),
            }
        ),
    ),
    st.tuples(
        st.sampled_from(["message.acked", "message.reacted"]),
        _numbers,
        st.fixed_dictionaries({"message": _texts, "ack": st.sampled_from([-1, 1, 3]), "text": _texts}),
    ),
    st.tuples(
        st.sampled_from(["contact.alias_learned", "contact.merged", "contact.parted"]),
        _numbers,
        st.fixed_dictionaries(
            {
                "alias": _numbers,
                "contact": _numbers,
                "merged": _numbers,
                "gone": _numbers,
                "apart": _numbers,
                "merge": st.sampled_from(["", "m1"]),
                "aliases": st.lists(st.tuples(st.just("c1"), _numbers), max_size=2),
            }
        ),
    ),
    st.tuples(
        st.sampled_from(
            [
                "conversation.assigned",
                "conversation.labelled",
                "conversation.status_changed",
                "conversation.noted",
                "conversation.note_removed",
                "conversation.linked",
                "conversation.read",
            ]
        ),
        _numbers.map(lambda contact: thread_id("c1", contact)),
        st.fixed_dictionaries(
            {
                "contact": _numbers,
                "person": _texts,
                "labels": st.lists(st.sampled_from(["a", "b"]), max_size=2),
                "status": st.sampled_from(["open", "closed", "ignored"]),
                "reopens": st.booleans(),
                "note": st.sampled_from(["n1", "n2"]),
                "chats": st.lists(st.tuples(st.just("c1"), _numbers), max_size=2),
                "upto": st.integers(0, 9),
            }
        ),
    ),
    st.tuples(
        st.sampled_from(["process.queued", "process.progressed", "process.ended", "process.confirmed"]),
        _numbers,
        st.fixed_dictionaries(
            {
                "vehicle_id": _texts,
                "percent": st.sampled_from([None, 0, 16.96, 100, 130]),
                "outcome": st.sampled_from(["confirmed", "unknown", "failed"]),
            }
        ),
    ),
)


def to_events(facts: Iterable[tuple[str, str, dict[str, Any]]]) -> list[Event]:
    return [
        Event(
            n, f"id{n}", "fact", kind, key, "c1", 1000 * n, 1000 * n, None, False, orjson.dumps(data).decode()
        )
        for n, (kind, key, data) in enumerate(facts, 1)
    ]


def fold(tx: Connection, events: list[Event]) -> None:
    for one in FOLDS:
        wanted = [event for event in events if event.type in one.types]
        if wanted:
            one.apply(tx, wanted)


def tables(tx: Connection) -> list[Any]:
    return [
        [tuple(row) for row in tx.execute(select(table).order_by(*table.primary_key.columns))]
        for table in TABLES
    ]


@given(st.lists(_facts, max_size=25), st.lists(st.integers(0, 25), max_size=6), st.data())
@settings(deadline=None)
def test_batches_and_repeats_change_nothing(facts: list[Any], cuts: list[int], data: st.DataObject) -> None:
    events = to_events(facts)
    engine = create_engine("sqlite://")
    with engine.connect() as tx:
        metadata.create_all(tx)
        for event in events:
            fold(tx, [event])
        one_by_one = tables(tx)
        for one in FOLDS:
            one.reset(tx)
        assert tables(tx) == [[] for _ in TABLES]
        edges = sorted({0, *(cut for cut in cuts if cut < len(events)), len(events)})
        for start, end in pairwise(edges):
            again = data.draw(st.integers(0, start))  # a crash folds a batch, or more, once again
            fold(tx, events[again:end])
        assert tables(tx) == one_by_one
    engine.dispose()
