"""What was heard right before: enough of it, and not more than that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from realtime_trio.devices import PreRoll


def counting(start: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.arange(start, start + count, dtype=np.int16)


def test_before_anything_was_heard_there_is_nothing() -> None:
    assert PreRoll(10).take().tolist() == []


def test_what_is_taken_is_not_kept() -> None:
    preroll = PreRoll(10)
    preroll.put(counting(0, 3))
    preroll.put(counting(3, 2))
    assert preroll.take().tolist() == [0, 1, 2, 3, 4]
    assert preroll.take().tolist() == []
    preroll.put(counting(5, 1))
    preroll.clear()
    assert preroll.take().tolist() == []


def test_what_was_forgotten_does_not_count() -> None:
    preroll = PreRoll(10)
    preroll.put(counting(0, 8))
    preroll.clear()
    for start in (0, 4, 8):
        preroll.put(counting(start, 4))
    assert preroll.take().tolist() == list(range(12))


@pytest.mark.parametrize("count", [0, 1])
def test_the_last_chunk_is_kept_whole(count: int) -> None:
    preroll = PreRoll(count)
    for start in (0, 4, 8):
        preroll.put(counting(start, 4))
    assert preroll.take().tolist() == [8, 9, 10, 11]


@given(st.integers(0, 40), st.lists(st.integers(1, 9), max_size=30))
def test_it_has_enough_and_at_most_a_chunk_more(count: int, sizes: list[int]) -> None:
    preroll, end = PreRoll(count), 0
    for size in sizes:
        preroll.put(counting(end, size))
        end += size
    kept = preroll.take()
    assert kept.tolist() == list(range(end - len(kept), end))
    assert len(kept) >= min(count, end)
    assert len(kept) < max(count, 1) + max(sizes, default=0)
