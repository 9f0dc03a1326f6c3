"""A sink on a thread of its own, as a sound card has one."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from realtime_trio.events import ConversationItemDelete, ConversationItemTruncate
from realtime_trio.playback import Playback

ANSWERS = 60


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_a_thread_that_plays_agrees_with_one_that_speaks_and_interrupts() -> None:
    playback = Playback()
    stopped = 0
    """The last answer that was interrupted: nothing of it may be played any more."""
    played: Counter[int] = Counter()
    late: list[int] = []
    is_over, has_filled = threading.Event(), threading.Event()

    def callback() -> None:
        out = np.empty(64, np.int16)
        while not is_over.is_set():
            before = stopped
            out[:] = -1
            filled = playback.fill(out)
            values, counts = np.unique(out[:filled], return_counts=True)
            played.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            late.extend(value for value in values.tolist() if value <= before)
            has_filled.set()

    thread = threading.Thread(target=callback)
    thread.start()
    cuts = {}
    for answer in range(1, ANSWERS + 1):
        for _ in range(20):
            assert playback.append(np.full(50, answer, np.int16), f"item_{answer}")
        for _ in range(2 * (answer % 2)):  # the first may have been filled before
            has_filled.clear()
            assert has_filled.wait(5)
        (cuts[answer],) = playback.interrupt().events
        stopped = answer
        assert not playback.append(np.full(50, answer, np.int16), f"item_{answer}")
    is_over.set()
    thread.join()
    assert late == []
    for answer, event in cuts.items():
        ms = played[answer] // 24
        assert ms or not answer % 2
        if ms:
            assert event == ConversationItemTruncate(
                item_id=f"item_{answer}", content_index=0, audio_end_ms=ms
            )
        else:
            assert event == ConversationItemDelete(item_id=f"item_{answer}")


@pytest.mark.usefixtures("restless")
def test_nothing_is_lost_and_nothing_is_heard_twice() -> None:
    playback = Playback(tracking="reported")
    said = np.arange(20_000).astype(np.int16)
    taken: list[int] = []

    def callback() -> None:
        while len(taken) < len(said):
            samples = playback.take(97)
            playback.played(len(samples))
            taken.extend(samples.tolist())

    thread = threading.Thread(target=callback)
    thread.start()
    for number, chunk in enumerate(np.split(said, 400)):
        playback.append(chunk, f"item_{number // 100}")
        assert playback.unheard <= len(said)
        assert playback.playing is not None
    thread.join()
    assert taken == said.tolist()
    assert [part.heard_ms for part in playback.parts] == [5000 // 24] * 4
