"""A voice made of sines, to hear, to buffer and to interrupt where real speech is not needed.

A stand-in for speech, and nothing more: it has the rhythm and loudness of a spoken sentence, pauses
at the full stops, and rises and falls, but no word of it can be understood.  The same text always
sounds the same.

Theory of operation.  Every character takes its share of time.  Vowels sound fully and set two
formants, consonants are short and soft, spaces and punctuation are silent.  A voiced source is a
sum of harmonics of a gliding pitch, each as loud as its distance to the nearest formant makes it.
All tracks are steps per character, smoothed, so that syllables run into each other without clicks.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE

_CHARACTER = PCM_RATE * 70 // 1000
"""Samples per character at normal speed: about 14 characters a second, as in calm reading."""
_SMOOTHING = PCM_RATE // 50
"""Samples over which one character blends into the next, 20 ms."""
_HARMONICS = 14
"""At the highest pitch they reach 3.4 kHz, about what a telephone carries."""
_BANDWIDTH = 160.0
"""Hz on either side of a formant at which a harmonic has half the gain."""
_PEAK = 9000.0
"""Loudest sample; leaves 11 dB of room, and lies 30 dB above what energy detectors take for
silence."""

_FORMANTS = {
    "a": (800, 1200),
    "e": (500, 1900),
    "i": (320, 2300),
    "o": (480, 900),
    "u": (340, 800),
    "y": (320, 2000),
}
_NEUTRAL = (500, 1500)
_PAUSES = {".": 4.0, "!": 4.0, "?": 4.0, ":": 3.0, ";": 3.0, ",": 2.5, "\n": 4.0}
"""Silent characters that last longer than one, in characters."""


def synthesize_speech(text: str, *, voice: str = "alloy", speed: float = 1.0) -> NDArray[np.int16]:
    """Turn text into something that sounds like a sentence, at 12 to 15 characters a second.

    Not intelligible: see the module.  Deterministic.

    Args:
        text: Anything; an empty text gives no samples.
        voice: Any name; the name sets the pitch, between 95 and 210 Hz.
        speed: 1 is normal, 2 is twice as fast.

    Returns:
        Read-only int16 samples of shape (n,) at 24 kHz, mono.
    """
    return _synthesize(text, voice, speed)


@functools.lru_cache(maxsize=32)
def _synthesize(text: str, voice: str, speed: float) -> NDArray[np.int16]:
    samples = (
        np.zeros(0, np.int16)
        if not text
        else _render(text, 95.0 + sum(voice.encode()) * 37 % 116, speed)
    )
    # The cache gives the same array to everybody.
    samples.flags.writeable = False
    return samples


def _render(text: str, pitch: float, speed: float) -> NDArray[np.int16]:
    characters = text.lower()
    durations = np.array([_PAUSES.get(c, 1.0) for c in characters]) * (_CHARACTER / speed)
    ends = np.round(np.cumsum(durations)).astype(np.int64)
    lengths = ends - np.concatenate(([0], ends[:-1]))
    loudness = np.array([_loudness(c) for c in characters])
    formants = np.array([_FORMANTS.get(c, _NEUTRAL) for c in characters], np.float64)
    # A melody that falls over the sentence and steps with the letters: a lone sine would sound like
    # a test tone.
    steps = np.array([ord(c) % 7 - 3 for c in characters]) * 0.02
    fall = np.linspace(0.1, -0.12, len(characters))
    frequency = _track(pitch * (1.0 + fall + steps), lengths)
    phase = np.cumsum(frequency) * (2.0 * np.pi / PCM_RATE)
    first, second = _track(formants[:, 0], lengths), _track(formants[:, 1], lengths)

    voiced = np.zeros(len(phase))
    for harmonic in range(1, _HARMONICS + 1):
        hertz = harmonic * frequency
        gain = (
            1.0 / (1.0 + ((hertz - first) / _BANDWIDTH) ** 2)
            + 0.5 / (1.0 + ((hertz - second) / _BANDWIDTH) ** 2)
            + 0.1 / harmonic
        )
        voiced += gain * np.sin(harmonic * phase)
    voiced *= _track(loudness, lengths)
    # Punctuation alone is silent, and silence cannot be made louder.
    loudest = np.abs(voiced).max()
    samples: NDArray[np.int16] = (voiced * (_PEAK / max(loudest, 1e-9))).astype(np.int16)
    return samples


def _loudness(character: str) -> float:
    if not character.isalnum():
        return 0.0
    # Digits and other scripts sound like vowels: there is nothing to tell them apart by.
    return 1.0 if character in _FORMANTS or character.isdigit() or not character.isascii() else 0.35


def _track(values: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """One value per character -> one per sample, smoothed by a moving average."""
    steps = np.repeat(values, lengths)
    padded = np.pad(steps, (_SMOOTHING // 2, _SMOOTHING - _SMOOTHING // 2), mode="edge")
    sums = np.cumsum(padded)
    smooth: NDArray[np.float64] = (sums[_SMOOTHING:] - sums[:-_SMOOTHING]) / _SMOOTHING
    return smooth
