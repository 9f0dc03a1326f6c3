"""A ring of samples between two threads."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given, strategies as st

from realtime_trio.devices.ring import SampleRing


def samples(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.array(values, np.int16)


def test_what_is_put_is_taken_in_order() -> None:
    ring = SampleRing(8)
    assert ring.put(samples(1, 2, 3)) == 3
    assert ring.take(2).tolist() == [1, 2]
    assert ring.take(9).tolist() == [3]
    assert ring.take(9).tolist() == []


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    ring = SampleRing(4)
    assert ring.put(samples(1, 2, 3)) == 3
    assert ring.put(samples(4, 5, 6)) == 1
    assert ring.dropped == 2
    assert ring.take(9).tolist() == [1, 2, 3, 4]


def test_what_was_taken_does_not_change_when_its_room_is_used_again() -> None:
    ring = SampleRing(2)
    ring.put(samples(1, 2))
    taken = ring.take(2)
    ring.put(samples(3, 4))
    assert taken.tolist() == [1, 2]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))), st.integers(1, 9))
def test_nothing_but_what_was_dropped_is_lost(steps: list[tuple[int, int]], room: int) -> None:
    ring = SampleRing(room)
    written, expected, taken = 0, [], []
    for put, take in steps:
        values = list(range(written, written + put))
        written += put
        expected += values[: ring.put(samples(*values))]
        taken += ring.take(take).tolist()
    assert taken + ring.take(room).tolist() == expected
    assert ring.dropped == written - len(expected)


def test_two_threads_lose_nothing_and_repeat_nothing() -> None:
    ring = SampleRing(64)
    count = 2_000
    taken: list[int] = []

    def write() -> None:
        values = np.arange(count, dtype=np.int16)
        position = 0
        while position < count:
            position += ring.put(values[position : position + min(7, 64 - ring.count)])

    writer = threading.Thread(target=write)
    writer.start()
    while len(taken) < count:
        taken += ring.take(11).tolist()
    writer.join()
    assert taken == list(range(count))
    assert ring.dropped == 0
