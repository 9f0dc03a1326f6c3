"""The synthetic voice: as long as a spoken sentence, audible, gentle, and always the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio.simulator import synthesize_speech

SENTENCE = (
    "The weather in Paris is sunny, with a light breeze from the west. "
    "Shall I read you the news as well?"
)


CHARACTER = 1680
"""Samples of a letter at normal speed."""


def hertz(samples: NDArray[np.int16]) -> float:
    """The pitch of a sound between 70 and 260 Hz: how often it repeats itself in a second."""
    spectrum = np.fft.rfft(samples.astype(float), 2 * len(samples))
    similarity = np.fft.irfft(np.abs(spectrum) ** 2)
    shortest, longest = 24_000 // 260, 24_000 // 70
    return float(24_000 / (shortest + np.argmax(similarity[shortest:longest])))


def loudness(letter: str) -> float:
    samples = synthesize_speech(f"a {letter} a")[2 * CHARACTER : 3 * CHARACTER]
    return float(np.abs(samples.astype(float)).mean())


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


@pytest.mark.parametrize(
    ("character", "letters"),
    [(".", 4), ("!", 4), ("?", 4), ("\n", 4), (":", 3), (";", 3), (",", 2.5), ("-", 1), (" ", 1)],
)
def test_a_pause_is_as_long_as_what_it_stands_for(character: str, letters: float) -> None:
    samples = synthesize_speech(f"a{character}a")
    assert len(samples) == round((2 + letters) * CHARACTER)


def test_vowels_are_louder_than_consonants_and_what_is_neither_sounds_like_a_vowel() -> None:
    vowels, consonants = ([loudness(letter) for letter in some] for some in ("aeiouyA", "bcdrst"))
    assert min(vowels) > 2 * max(consonants)
    assert min(loudness(letter) for letter in "7éあ") > 2 * max(consonants)


def test_every_voice_has_the_pitch_of_a_person() -> None:
    voices = ("alloy", "ash", "cedar", "coral", "marin", "somebody")
    pitches = [
        hertz(synthesize_speech("a" * 40, voice=voice)[20 * CHARACTER : 22 * CHARACTER])
        for voice in voices
    ]
    assert len({round(pitch) for pitch in pitches}) == len(voices)
    assert 95 < min(pitches) < max(pitches) < 225


def test_the_pitch_falls_over_a_sentence_and_steps_a_little_with_the_letters() -> None:
    sentence = synthesize_speech("a" * 40)
    first, last = hertz(sentence[: 2 * CHARACTER]), hertz(sentence[-2 * CHARACTER :])
    assert 1.15 * last < first < 1.3 * last
    letters = [hertz(synthesize_speech(letter * 40)[: 2 * CHARACTER]) for letter in "abcdefg"]
    assert len(set(letters)) > 4
    assert max(letters) < 1.15 * min(letters)


def test_it_sounds_as_it_always_has() -> None:
    """Also in the next version: what was recorded of it stays comparable."""
    samples = np.abs(synthesize_speech("a e i o u y 7 é b").astype(float))
    letters = [samples[start : start + CHARACTER].mean() for start in range(0, 28_560, 3360)]
    assert letters == pytest.approx(
        [1782.2, 1784.3, 2022.1, 1884.5, 2220.5, 2068.2, 2056.2, 2220.9, 802.1], abs=0.1
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
