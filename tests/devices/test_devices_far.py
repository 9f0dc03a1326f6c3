"""What was played and what is recorded stay side by side."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio.devices.far import FarQueue


def counting(start: int, count: int) -> NDArray[np.int16]:
    return np.arange(start, start + count, dtype=np.int16)


def test_what_was_played_is_told_once_and_silence_where_nothing_was() -> None:
    far = FarQueue(lag=10, window=1000)
    assert far.take(3).tolist() == [0, 0, 0]
    far.put(counting(1, 5))
    assert far.take(3).tolist() == [1, 2, 3]
    assert far.take(3).tolist() == [4, 5, 0]


def test_a_reader_that_begins_late_gets_the_newest() -> None:
    far = FarQueue(lag=10, window=1000)
    far.put(counting(1, 100))
    assert far.take(20).tolist() == list(range(71, 91))
    assert far.take(20).tolist() == [*range(91, 101), *[0] * 10]


def test_a_reader_that_was_held_up_loses_nothing() -> None:
    far = FarQueue(lag=10, window=1000)
    far.put(counting(1, 20))
    far.take(20)
    far.put(counting(21, 500))  # while nobody read
    told = np.concatenate([far.take(20) for _ in range(25)])
    assert told.tolist() == list(range(21, 521))


def test_what_waits_all_the_time_is_dropped() -> None:
    far = FarQueue(lag=10, window=100)
    far.take(20)
    far.put(counting(1, 60))  # 40 more than are read, for good
    position = 61
    told = []
    for _ in range(12):
        told += far.take(20).tolist()
        far.put(counting(position, 20))
        position += 20
    assert told[-20:] == list(range(position - 50, position - 30))


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(0, 30), st.integers(1, 200))
def test_nothing_is_told_twice_or_out_of_order(sizes: list[int], lag: int, window: int) -> None:
    far, position, told = FarQueue(lag, window), 1, list[int]()
    for size in sizes:
        far.put(counting(position, size))
        position += size
        told += [value for value in far.take(20).tolist() if value]
    assert told == sorted(set(told))
