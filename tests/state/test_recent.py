"""Ids are remembered until there are too many newer ones."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given, strategies as st

from realtime_trio._state.recent import Recent


def test_the_oldest_id_is_forgotten_first() -> None:
    recent = Recent(2)
    for new_id in ("a", "b", "c"):
        recent.add(new_id)
    assert [each in recent for each in "abc"] == [False, True, True]


def test_an_id_that_is_added_again_is_the_newest() -> None:
    recent = Recent(2)
    for new_id in ("a", "b", "a", "c"):
        recent.add(new_id)
    assert [each in recent for each in "abc"] == [True, False, True]


def test_an_id_can_be_forgotten_on_purpose() -> None:
    recent = Recent(2)
    recent.add("a")
    recent.discard("a")
    recent.discard("never added")
    assert "a" not in recent


def test_nothing_that_is_not_an_id_is_in_it() -> None:
    assert None not in Recent(2)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(["add", "discard"]), st.sampled_from("abcdef"))),
)
def test_it_remembers_the_latest_of_what_was_added(
    capacity: int, steps: list[tuple[str, str]]
) -> None:
    recent, model = Recent(capacity), OrderedDict[str, None]()
    for step, each in steps:
        model.pop(each, None)
        if step == "add":
            recent.add(each)
            model[each] = None
        else:
            recent.discard(each)
        while len(model) > capacity:
            model.popitem(last=False)
        assert {each for each in "abcdef" if each in recent} == set(model)
