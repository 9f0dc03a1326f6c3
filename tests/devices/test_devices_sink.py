"""What a sound card is given of a playback, and what of it was heard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from played_talk import PlayedTalk

from realtime_trio.devices.level import SILENCE_DB
from realtime_trio.devices.sink import PlaybackSink
from realtime_trio.events import ConversationItemTruncate
from realtime_trio.playback import Playback

FADE = 480
LOUD = 8000


def steady(count: int) -> NDArray[np.int16]:
    return np.full(count, LOUD, np.int16)


def opened(latency: int = 0) -> tuple[Playback, PlaybackSink]:
    playback = Playback(tracking="reported")
    return playback, PlaybackSink(playback, latency=latency, fade=FADE)


def block(sink: PlaybackSink, count: int = 240) -> NDArray[np.int16]:
    out = np.full(count, 77, np.int16)
    sink.fill(out)
    return out


def heard(playback: Playback, item_id: str = "item") -> float:
    return playback.heard_ms(item_id)


def test_silence_is_played_until_there_is_something() -> None:
    playback, sink = opened()
    assert not block(sink).any()
    assert sink.level == SILENCE_DB
    playback.append(steady(240), "item")
    assert (block(sink) == LOUD).all()
    assert round(sink.level) == -12
    assert not block(sink).any()


def test_a_block_was_heard_when_the_next_one_is_asked_for() -> None:
    playback, sink = opened()
    playback.append(steady(2400), "item")
    block(sink)
    assert heard(playback) == 0
    block(sink)
    assert heard(playback) == 10


def test_the_latency_of_the_device_is_waited_for() -> None:
    playback, sink = opened(latency=360)
    playback.append(steady(240), "item")
    assert [(block(sink), heard(playback))[1] for _ in range(4)] == [0, 0, 5, 10]
    assert not playback.is_audible


def test_what_is_interrupted_fades_out_and_counts_as_unheard() -> None:
    playback, sink = opened()
    playback.append(steady(24_000), "item")
    for _ in range(3):
        block(sink)
    playback.interrupt()
    last = np.concatenate((block(sink), block(sink), block(sink)))
    assert last[0] == LOUD
    assert (np.diff(last[:FADE].astype(int)) <= 0).all()
    assert not last[FADE - 1 :].any()
    assert heard(playback) == 20


def test_something_new_is_heard_behind_the_fade_and_counted_by_itself() -> None:
    playback, sink = opened(latency=240)
    playback.append(steady(24_000), "old")
    block(sink), block(sink)
    playback.interrupt()
    playback.append(steady(480), "new")
    sound = np.concatenate([block(sink) for _ in range(5)])
    assert (sound[FADE : FADE + 480] == LOUD).all()
    assert not sound[FADE + 480 :].any()
    assert heard(playback, "old") == 0
    assert heard(playback, "new") == 10
    block(sink)
    assert heard(playback, "new") == 20


@pytest.mark.parametrize("size", [240, 600])
def test_an_interruption_between_two_glances_is_noticed_one_block_later(size: int) -> None:
    playback, sink = opened(latency=480)

    class Late(PlaybackSink):
        """Is overtaken after it has looked and before it takes."""

        def _report(self) -> None:
            playback.interrupt()
            playback.append(steady(2400), "new")
            super()._report()

    playback.append(steady(2400), "old")
    block(sink), block(sink)
    sink.__class__ = Late
    block(sink, size)
    sink.__class__ = PlaybackSink
    for _ in range(3):
        block(sink)
    assert heard(playback, "old") == 0
    assert heard(playback, "new") <= 10


def test_an_item_that_pauses_is_counted_and_one_that_ends_is_not() -> None:
    talk = PlayedTalk(tracking="reported")
    sink = PlaybackSink(talk.playback, latency=0, fade=FADE)
    talk.playback.append(steady(300), "item")
    block(sink), block(sink), block(sink)
    assert sink.gaps == 1
    talk.playback.append(steady(300), "item")
    talk.playback.finish("item")
    block(sink), block(sink), block(sink)
    assert sink.gaps == 1
    block(sink)
    assert talk.playback.heard_ms("item") == 25


def test_an_interruption_without_fade_is_silence_at_once() -> None:
    playback = Playback(tracking="reported")
    sink = PlaybackSink(playback, latency=0, fade=0)
    playback.append(steady(2400), "item")
    block(sink)
    cuts = playback.interrupt().cuts
    assert not block(sink).any()
    assert not any(isinstance(cut, ConversationItemTruncate) for cut in cuts)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 900)),
            st.tuples(st.just("block"), st.integers(1, 900)),
            st.tuples(st.just("interrupt"), st.just(0)),
        ),
        max_size=40,
    ),
    st.integers(0, 700),
)
def test_what_is_due_is_the_same_for_both_sides(steps: list[tuple[str, int]], latency: int) -> None:
    """Every item is heard up to what was reported, whatever was interrupted when."""
    playback, sink = opened(latency)
    for number, (what, count) in enumerate(steps):
        if what == "append":
            playback.append(steady(count), f"item_{number}")
        elif what == "interrupt":
            playback.interrupt()
        else:
            before = playback.unheard
            block(sink, count)
            assert playback.unheard <= before
            assert sink._due == playback.unheard - playback.queued
            assert sink._due == len(sink._held) + sum(span.count for span in sink._spans)
    # With time, all that was not interrupted is heard.
    for _ in range(80):
        block(sink, 900)
    assert playback.unheard == 0
