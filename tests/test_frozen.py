"""Frozen classes that share their methods behave like those for which attrs writes them."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from realtime_trio._frozen import frozen
from realtime_trio.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    TRANSLATION_SERVER_EVENTS,
    Event,
    ServerVad,
)

EVENTS = sorted(
    {*CLIENT_EVENTS, *SERVER_EVENTS, *TRANSLATION_CLIENT_EVENTS, *TRANSLATION_SERVER_EVENTS},
    key=lambda cls: cls.__name__,
)


def classes_by(decorate: Any) -> tuple[Any, ...]:
    """A class with fields of all kinds, one with a single field, and one with none."""

    @decorate
    class Mixed:
        x: object
        y: object = attrs.field(default=0, repr=False)
        z: object = attrs.field(default=0, eq=False)

    @decorate
    class One:
        x: object

    @decorate
    class Empty:
        pass

    return Mixed, One, Empty


OURS, THEIRS = classes_by(frozen), classes_by(attrs.frozen)
values = st.sampled_from([0, 1, True, 1.0, "", "a", None, math.nan, (1, 2), (1, 2.0)])


@given(left=st.tuples(values, values, values), right=st.tuples(values, values, values))
def test_values_are_compared_hashed_and_shown_as_by_attrs(
    left: tuple[object, ...], right: tuple[object, ...]
) -> None:
    for ours, theirs in zip(OURS, THEIRS, strict=True):
        arity = len(attrs.fields(ours))
        mine = [ours(*each[:arity]) for each in (left, right)]
        others = [theirs(*each[:arity]) for each in (left, right)]
        assert (mine[0] == mine[1]) is (others[0] == others[1])
        assert (mine[0] != mine[1]) is (others[0] != others[1])
        assert (mine[0] == mine[0]) is (others[0] == others[0])
        if mine[0] == mine[1]:
            assert hash(mine[0]) == hash(mine[1])
        assert [repr(each) for each in mine] == [repr(each) for each in others]


def test_values_of_different_classes_differ() -> None:
    (_, one, _), (_, another, _) = OURS, classes_by(frozen)
    assert one(1) != another(1)
    assert one(1) != 1
    assert len({one(1), another(1), one(1)}) == 2


def test_what_cannot_be_hashed_makes_a_value_that_cannot() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(OURS[1]([]))


def test_what_a_class_defines_itself_stays() -> None:
    @frozen(kw_only=True)
    class Loud:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "LOUD"

    assert (Loud(x=1) == Loud(x=2), hash(Loud(x=1)), repr(Loud(x=1))) == (True, 7, "LOUD")


def test_a_class_that_cannot_be_hashed_stays_so() -> None:
    @frozen
    class Fickle:
        def __eq__(self, other: object) -> bool:
            return True

    with pytest.raises(TypeError, match="unhashable"):
        hash(Fickle())


@pytest.mark.parametrize("cls", EVENTS)
def test_events_stay_frozen_classes_with_slots(cls: type[Event]) -> None:
    made: Any = object.__new__(cls)
    assert not hasattr(made, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.type = "another"


def test_values_can_be_copied_pickled_and_evolved() -> None:
    vad = ServerVad(threshold=0.5)
    assert copy.deepcopy(vad) == vad
    assert pickle.loads(pickle.dumps(vad)) == vad
    assert attrs.evolve(vad, threshold=0.25) == ServerVad(threshold=0.25)
    assert vad != ServerVad(threshold=0.25)
