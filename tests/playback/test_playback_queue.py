"""Samples that wait: their order, of what they are, and how much room they take."""

from __future__ import annotations

import tracemalloc

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from realtime_trio.audio.track import AudioTrack
from realtime_trio.playback.part import Part
from realtime_trio.playback.queue import SampleQueue


def part(item_id: str) -> Part:
    return Part(
        item_id=item_id,
        content_index=0,
        response_id=None,
        sink_rate=24_000,
        track=AudioTrack(keep=False),
    )


def ramp(count: int, start: int = 0) -> NDArray[np.int16]:
    return np.arange(start, start + count, dtype=np.int16)


A, B = part("item_a"), part("item_b")


def taken(queue: SampleQueue, count: int) -> tuple[list[int], list[tuple[Part, int]]]:
    out = np.full(count, -1, np.int16)
    runs = [(run.part, run.count) for run in queue.take_into(out)]
    return out.tolist(), runs


def test_samples_come_in_the_order_in_which_they_were_put() -> None:
    queue = SampleQueue()
    queue.append(A, ramp(200))
    queue.append(B, ramp(3, 200))
    queue.append(A, ramp(3, 203))
    assert (queue.count, queue.head) == (206, A)
    assert taken(queue, 150) == (list(range(150)), [(A, 150)])
    assert taken(queue, 53) == (list(range(150, 203)), [(A, 50), (B, 3)])
    assert taken(queue, 5) == ([203, 204, 205, -1, -1], [(A, 3)])
    assert (queue.count, queue.head) == (0, None)


def test_nothing_takes_no_place() -> None:
    queue = SampleQueue()
    queue.append(A, ramp(0))
    assert (queue.count, queue.head) == (0, None)
    queue.append(A, ramp(2))
    assert taken(queue, 0) == ([], [])
    assert queue.count == 2


def test_fragments_are_joined() -> None:
    queue = SampleQueue()
    tracemalloc.start()
    for index in range(10_000):
        queue.append(A, ramp(1, index))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken(queue, 10_000)[0] == list(range(10_000))
    assert used < 100_000  # 20,000 of it samples


def test_fragments_of_different_parts_are_not_joined() -> None:
    queue = SampleQueue()
    queue.append(A, ramp(1))
    queue.append(B, ramp(1, 1))
    assert taken(queue, 2) == ([0, 1], [(A, 1), (B, 1)])


def test_an_item_can_be_taken_out_of_the_middle() -> None:
    queue = SampleQueue()
    queue.append(A, ramp(3))
    queue.append(B, ramp(3, 10))
    queue.append(A, ramp(3, 20))
    queue.drop(lambda part: part.item_id == "item_b")
    assert queue.count == 6
    assert taken(queue, 6)[0] == [0, 1, 2, 20, 21, 22]


def test_the_first_item_can_be_measured() -> None:
    queue = SampleQueue()
    assert queue.leading(10) == 0
    queue.append(A, ramp(200))
    queue.append(part("item_a"), ramp(5))  # another part of it
    queue.append(B, ramp(5))
    assert [queue.leading(most) for most in (0, 199, 201, 999)] == [0, 199, 201, 205]


def test_everything_can_be_taken_out() -> None:
    queue = SampleQueue()
    queue.append(A, ramp(3))
    queue.drop(lambda _: True)
    assert (queue.count, queue.head) == (0, None)
    out = np.zeros(3, np.int16)
    assert queue.take_into(out) == []
    assert_array_equal(out, [0, 0, 0])
