"""What was played and what is recorded stay side by side."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio.devices.far import FarQueue


def counting(start: int, count: int) -> NDArray[np.int16]:
    return np.arange(start, start + count, dtype=np.int16)


def test_what_was_played_is_told_once_and_silence_where_nothing_was() -> None:
    far = FarQueue(lag=10)
    assert far.take(3).tolist() == [0, 0, 0]
    far.put(counting(1, 5))
    assert far.take(3).tolist() == [1, 2, 3]
    assert far.take(3).tolist() == [4, 5, 0]


def test_a_reader_that_begins_late_gets_the_newest() -> None:
    far = FarQueue(lag=10)
    far.put(counting(1, 100))
    assert far.take(20).tolist() == list(range(71, 91))
    assert far.take(20).tolist() == [*range(91, 101), *[0] * 10]


def test_a_reader_that_was_held_up_loses_nothing() -> None:
    far = FarQueue(lag=10)
    far.put(counting(1, 500))  # while nobody read
    told = np.concatenate([far.take(20, 480 - 20 * number) for number in range(25)])
    assert told.tolist() == list(range(1, 501))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=40), st.integers(0, 30))
def test_nothing_is_told_twice_or_out_of_order_or_late(
    steps: list[tuple[int, int]], lag: int
) -> None:
    far, position, told = FarQueue(lag), 1, list[int]()
    for size, later in steps:
        far.put(counting(position, size))
        position += size
        taken = [value for value in far.take(20, later).tolist() if value]
        told += taken
        assert not taken or taken[0] >= position - 20 - later - lag
    assert told == sorted(set(told))
