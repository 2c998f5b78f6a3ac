"""An interpreter's memory: values, order, and going back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atalaia.reactions.interpreter import Memory


def test_keys_come_in_the_order_in_which_they_were_first_put():
    memory = Memory({"b": 1, "a": 2})
    memory.put("c", 3)
    memory.put("b", 9)
    memory.delete("a")
    memory.put("a", 4)
    assert list(memory.keys()) == ["b", "c", "a"]
    assert list(memory.keys("c")) == ["c"]
    assert [memory.get(key) for key in "bcax"] == [9, 3, 4, None]


def test_keys_may_change_while_they_are_walked():
    memory = Memory({"a": 1, "b": 2})
    for key in memory.keys():  # noqa: SIM118
        memory.delete(key)
    assert list(memory.keys()) == []


def test_putting_nothing_is_deleting():
    memory = Memory({"a": 1})
    memory.put("a", None)
    memory.put("b", None)
    assert list(memory.keys()) == []


def test_what_changed_since_the_mark_is_told_with_its_place():
    memory = Memory.load([("a", 1, 5), ("b", 2, 9)])
    memory.mark()
    memory.put("b", 3)
    memory.put("c", 4)
    memory.delete("a")
    memory.put("d", 5)
    memory.delete("d")
    assert memory.changed() == {"b": (3, 9), "c": (4, 10), "a": None, "d": None}
    memory.mark()
    assert memory.changed() == {}


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcde"), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.sampled_from("abcde"), st.just(0)),
        st.tuples(st.sampled_from(["mark", "revert", "reload"]), st.just(""), st.just(0)),
    ),
    max_size=60,
)


@given(OPS)
def test_memory_goes_back_to_the_mark_and_survives_saving_in_any_order_of_things(ops):
    memory, model, marked = Memory(), {}, {}
    saved: dict[str, tuple[int, int]] = {}

    def keep() -> None:
        for key, change in memory.changed().items():
            if change is None:
                saved.pop(key, None)
            else:
                saved[key] = change

    for op, key, value in ops:
        if op == "put":
            memory.put(key, value)
            model[key] = value
        elif op == "delete":
            memory.delete(key)
            model.pop(key, None)
        elif op == "revert":
            memory.revert()
            model = dict(marked)
        else:
            keep()
            if op == "reload":
                rows = sorted((place, key, value) for key, (value, place) in saved.items())
                memory = Memory.load((key, value, place) for place, key, value in rows)
            memory.mark()
            marked = dict(model)
        assert [(key, memory.get(key)) for key in memory.keys()] == list(model.items())  # noqa: SIM118
