"""Identifiers: in order of time, and the same again where they must be."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from atalaia.ids import CountedIds, SystemIds, derived_uuid7


def test_the_systems_ids_are_uuid7_all_different_and_in_order():
    ids = SystemIds()
    many = [ids.new() for _ in range(2_000)]
    assert len(set(many)) == 2_000
    assert many == sorted(many)
    assert {UUID(one).version for one in many} == {7}


@given(st.integers(0, 2**48 - 1), st.text(st.characters()))
def test_a_derived_id_is_a_uuid7_of_its_time_and_seed(unix_ms: int, seed: str):
    one = UUID(derived_uuid7(unix_ms, seed))
    assert one.version == 7
    assert one.variant == "specified in RFC 4122"
    assert one.int >> 80 == unix_ms
    assert str(one) == derived_uuid7(unix_ms, seed)


def test_another_seed_or_time_is_another_id():
    many = {derived_uuid7(ms, f"call:{n}") for ms in (1, 2) for n in range(1_000)}
    assert len(many) == 2_000


def test_counted_ids_come_again_in_the_same_order():
    one, other = CountedIds(), CountedIds()
    assert [one.new() for _ in range(5)] == [other.new() for _ in range(5)]
    assert one.new() != one.new()
