"""Where a conversation may be parted without parting a round of tools."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from realtime_trio._state.conversation.parting import boundaries


@pytest.mark.parametrize(
    ("rounds", "found"),
    [
        ("", [0]),
        ("--", [0, 1, 2]),
        ("-aa-", [0, 1, 3, 4]),
        ("aabb", [0, 2, 4]),
        ("abab-", [0, 4, 5]),
        ("abba", [0, 4]),
        ("a-a", [0, 3]),
    ],
)
def test_a_round_is_never_parted(rounds: str, found: list[int]) -> None:
    assert [*boundaries([None if each == "-" else each for each in rounds])] == found


def test_behind_a_round_that_goes_on_there_is_no_boundary() -> None:
    assert [*boundaries([None, "a", None, "b", "b"], {"a"})] == [0, 1]
    assert [*boundaries([None, "a", "a"], {"b"})] == [0, 1, 3]


@given(st.lists(st.sampled_from([None, "a", "b", "c"])), st.sets(st.sampled_from("abc")))
def test_what_is_before_a_boundary_and_what_is_behind_have_no_round_in_common(
    rounds: list[str | None], unfinished: set[str]
) -> None:
    found = [*boundaries(rounds, unfinished)]
    for position in range(len(rounds) + 1):
        before, behind = {*rounds[:position]} - {None}, {*rounds[position:]} | unfinished
        assert (position in found) == before.isdisjoint(behind)
