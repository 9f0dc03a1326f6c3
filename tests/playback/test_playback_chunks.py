"""One item in chunks: where it begins, where it ends, and what waits."""

from __future__ import annotations

import numpy as np
from conversation_events import assistant, output_done, sound, speech
from hypothesis import given, strategies as st
from numpy.testing import assert_array_equal
from played_talk import PlayedTalk

from realtime_trio.playback import Playback
from realtime_trio.playback.chunks import ItemChunks


def test_chunks_are_whole_until_the_item_is() -> None:
    talk = PlayedTalk()
    talk.begin()
    chunks = ItemChunks(talk.playback, 480)
    assert (chunks.take(), chunks.is_over) == (None, False)
    talk.hear(speech(sound(30)))
    assert_array_equal(chunks.take(), sound(20))
    assert (chunks.take(), chunks.is_over, talk.playback.queued) == (None, False, 240)
    talk.hear(output_done(assistant("item_1", status="completed")))
    assert_array_equal(chunks.take(), sound(10, 20))
    assert (chunks.take(), chunks.is_over) == (None, True)


def test_a_chunk_that_has_just_arrived_does_not_wait_for_more() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(20)))
    assert_array_equal(ItemChunks(talk.playback, 480).take(), sound(20))


def test_it_is_over_when_all_has_come_and_was_taken_and_not_before() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(20)))
    chunks = ItemChunks(talk.playback, 240)
    chunks.take()
    chunks.take()
    assert (talk.playback.queued, chunks.is_over) == (0, False)
    talk.hear(speech(sound(20)), output_done(assistant("item_1", status="completed")))
    assert (talk.playback.queued, chunks.is_over) == (480, False)
    chunks.take()
    chunks.take()
    assert (talk.playback.queued, chunks.is_over) == (0, True)


def test_the_next_item_is_for_somebody_else() -> None:
    playback = Playback()
    playback.append(sound(30), "item_1")
    playback.append(sound(5, 30), "item_1", content_index=1)
    playback.append(sound(5, 35), "item_2")
    chunks = ItemChunks(playback, 480)
    assert_array_equal(chunks.take(), sound(20))
    assert_array_equal(chunks.take(), sound(15, 20))
    assert (chunks.take(), chunks.is_over) == (None, True)
    assert playback.queued == 5 * 24


def test_an_interruption_ends_it() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    chunks = ItemChunks(talk.playback, 480)
    chunks.take()
    talk.interrupt()
    assert (chunks.take(), chunks.is_over) == (None, True)


def test_so_it_does_where_something_else_is_playing_already() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    chunks = ItemChunks(talk.playback, 480)
    chunks.take()
    talk.interrupt()
    talk.begin("item_2", "resp_2")
    talk.hear(speech(sound(100), "item_2", "resp_2"))
    assert (chunks.take(), chunks.is_over) == (None, True)


def test_before_it_has_begun_there_is_nothing_to_interrupt() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    chunks = ItemChunks(talk.playback, 480)
    talk.interrupt()
    assert (chunks.take(), chunks.is_over) == (None, False)
    talk.begin("item_2", "resp_2")
    talk.hear(speech(sound(20), "item_2", "resp_2"))
    assert_array_equal(chunks.take(), sound(20))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 300)), max_size=20), st.integers(1, 500)
)
def test_nothing_is_lost(pieces: list[tuple[int, int]], size: int) -> None:
    playback = Playback()
    said: list[int] = []
    for number, count in sorted(pieces):
        samples = np.arange(len(said), len(said) + count).astype(np.int16)
        playback.append(samples, f"item_{number}")
        said += samples.tolist()
    for number in (1, 2, 3):
        playback.finish(f"item_{number}")
    taken: list[int] = []
    while playback.queued:
        chunks = ItemChunks(playback, size)
        while not chunks.is_over:
            chunk = chunks.take()
            assert chunk is not None
            assert 0 < len(chunk) <= size
            taken += chunk.tolist()
    assert taken == said
