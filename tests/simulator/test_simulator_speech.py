"""The synthetic voice: as long as a spoken sentence, audible, gentle, and always the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from realtime_trio.simulator import synthesize_speech

SENTENCE = (
    "The weather in Paris is sunny, with a light breeze from the west. "
    "Shall I read you the news as well?"
)


def test_the_same_text_always_sounds_the_same_and_another_one_does_not() -> None:
    assert np.array_equal(synthesize_speech(SENTENCE), synthesize_speech("".join(SENTENCE)))
    assert not np.array_equal(synthesize_speech("yes"), synthesize_speech("not"))


def test_no_text_is_no_sound() -> None:
    samples = synthesize_speech("")
    assert samples.shape == (0,)
    assert samples.dtype == np.int16


def test_a_sentence_takes_as_long_as_reading_it_aloud() -> None:
    seconds = len(synthesize_speech(SENTENCE)) / 24_000
    assert 11 <= len(SENTENCE) / seconds <= 15


def test_speed_changes_the_length() -> None:
    slow, fast = (len(synthesize_speech(SENTENCE, speed=speed)) for speed in (0.5, 1.5))
    assert slow == pytest.approx(3 * fast, rel=0.001)


def test_it_is_audible_but_never_near_clipping() -> None:
    samples = synthesize_speech(SENTENCE)
    assert 8_000 <= np.abs(samples.astype(int)).max() <= 10_000
    assert np.sqrt(np.mean(samples.astype(float) ** 2)) > 500


def test_it_has_no_clicks() -> None:
    steps = np.abs(np.diff(synthesize_speech(SENTENCE).astype(int)))
    assert steps.max() < 6_000


def test_punctuation_is_a_pause() -> None:
    samples = synthesize_speech("ah. ah")
    middle = len(samples) // 2
    assert np.abs(samples[middle - 1200 : middle + 1200]).max() < 100
    assert not synthesize_speech("...").any()


def test_voices_differ_in_pitch() -> None:
    assert not np.array_equal(
        synthesize_speech("hello", voice="alloy"), synthesize_speech("hello", voice="cedar")
    )


def test_nobody_can_spoil_it_for_the_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        synthesize_speech("hello")[0] = 1


@given(st.text(max_size=40), st.floats(0.25, 1.5))
def test_any_text_can_be_spoken(text: str, speed: float) -> None:
    samples = synthesize_speech(text, speed=speed)
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    assert (len(samples) > 0) == (text != "")
