"""When the user begins and ends to speak, told from the loudness of the samples.

Owns the decision alone: where on the axis of all audio a turn begins and ends.  Knows nothing of
items, commits and responses, nor of the clock; it holds no audio but what does not fill a frame
yet.

Theory of operation.  Audio is cut into frames of 10 ms, on a grid that does not depend on how it is
cut into appends.  The power of a frame is its variance, so that a constant offset is silence; it is
computed in integers that a double holds exactly, so that the same samples always give the same
events.  A frame is loud if its power lies above a limit, the higher of two:

- the level of the `threshold`, from -60 dBFS at 0 by way of -40 dBFS at 0.5 to -20 dBFS at 1, where
  0 dBFS is a full-scale square wave;
- 9 dB above the noise floor, which is the quietest frame of the last ten whole seconds.  Speech
  pauses for a frame much more often than that; what does not, however loud, is background: the hum
  of a fan is taken for speech for eleven seconds at most, and then no more until it stops.  In the
  first ten seconds nothing is known about the noise, and the threshold counts alone.

Loud frames are sound once there are five of them on end; what is shorter is a click, which neither
begins a turn nor prolongs one (30 ms touch four frames at most, wherever they lie).  A turn begins
with the first sound and ends with the first quiet frame that is `silence_duration_ms` away from the
last sound.

The service decides with models instead: by what speech sounds like and, in semantic turn detection,
by what is said.  Here music and the bark of a dog are speech, and semantic turn detection is a
longer silence: a quarter of the time which the service waits at most, that is 0.5, 1 or 2 s for
high, medium and low eagerness.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from realtime_trio.audio.pcm import as_pcm16
from realtime_trio.events import SemanticVad, ServerVad

_FRAMES_PER_SECOND = 100
_SOUND = 5
"""Loud frames on end that are sound and not a click."""
_MARGIN = 10 ** (9 / 10)
"""Power of what is heard above noise, relative to it: 9 dB."""
_NOISE_SECONDS = 10

# The service's defaults.  Its guide says 500 ms of silence; the live wire says 200.
_THRESHOLD = 0.5
_PREFIX_PADDING_MS = 300
_SILENCE_DURATION_MS = 200
_SEMANTIC_SILENCE_MS = {"low": 2000, "medium": 1000, "auto": 1000, "high": 500}


@frozen(kw_only=True)
class SpeechStarted:
    """The user began to speak."""

    audio_start_ms: int
    """Where the turn begins, padding included, in milliseconds of all audio ever appended."""


@frozen(kw_only=True)
class SpeechStopped:
    """The user has finished."""

    audio_end_ms: int
    """Where the turn ends, the silence behind it included, in milliseconds of all audio ever
    appended."""


class TurnDetector:
    """Finds the user's turns in a stream of audio.

    Starts and stops alternate, beginning with a start, unless `empty` ends a turn.  Their times
    never go back: a turn does not reach into the one before it, since that audio has left the
    buffer.

    Args:
        settings: What to go by; what is None there has the service's default (threshold 0.5,
            padding 300 ms, silence 200 ms, medium eagerness).  Semantic turn detection uses the
            default threshold and padding.
        rate: Hz, a multiple of 100: 24000, or 8000 for decoded G.711.
        start: Samples that were appended before, at this rate.  No turn reaches back behind them.
    """

    def __init__(self, settings: ServerVad | SemanticVad, *, rate: int, start: int = 0) -> None:
        threshold, padding_ms = _THRESHOLD, _PREFIX_PADDING_MS
        if isinstance(settings, SemanticVad):
            silence_ms = _SEMANTIC_SILENCE_MS[settings.eagerness or "auto"]
        else:
            threshold = threshold if settings.threshold is None else settings.threshold
            padding_ms = (
                padding_ms if settings.prefix_padding_ms is None else settings.prefix_padding_ms
            )
            silence_ms = (
                _SILENCE_DURATION_MS
                if settings.silence_duration_ms is None
                else settings.silence_duration_ms
            )
        self._rate = rate
        self._frame = rate // _FRAMES_PER_SECOND
        self._padding = padding_ms * rate // 1000
        self._silence = silence_ms * rate // 1000
        self._level = _level(threshold) * (self._frame * 32768.0) ** 2
        self._noise = _NoiseFloor()
        self._rest = np.zeros(0, np.int16)
        """Samples that do not fill a frame."""
        # Positions in samples of all audio ever appended.
        self._position = start
        """End of the last whole frame."""
        self._first = start
        """Where the present turn begins; between turns, the first sample that the next may have."""
        self._heard = start
        """End of the last sound."""
        self._run = 0
        """Loud frames on end."""
        self._speaking = False

    @property
    def is_speaking(self) -> bool:
        """Whether a turn has begun and not ended."""
        return self._speaking

    @property
    def keep_from_ms(self) -> int:
        """How many milliseconds at the beginning of all audio need not be kept.

        No turn, present or future, reaches back into them.
        """
        first = self._first if self._speaking else self._turn_start
        return first * 1000 // self._rate

    def append(self, samples: NDArray[np.int16]) -> tuple[SpeechStarted | SpeechStopped, ...]:
        """Listen on.

        How a stream is cut into appends makes no difference, but that a frame which is not full yet
        has to wait for its rest.

        Args:
            samples: Shape (n,), int16, mono, at the rate of the detector.  Not kept.

        Returns:
            What was noticed, in order; nothing for most appends.

        Raises:
            LocalProtocolError: The array has another dtype or shape; nothing was heard.
        """
        samples = as_pcm16(samples)
        if self._rest.size:
            samples = np.concatenate((self._rest, samples))
        count = len(samples) // self._frame
        # A copy, because a view would keep the whole append alive.
        self._rest = samples[count * self._frame :].copy()
        frames = samples[: count * self._frame].reshape(count, self._frame)
        events: list[SpeechStarted | SpeechStopped] = []
        # No more than a second at once: the noise floor changes from one to the next, and large
        # appends need little memory.
        while count:
            step = min(count, self._noise.frames_left)
            powers = _powers(frames[:step])
            limit = max(self._level, self._noise.power * _MARGIN)
            self._listen((powers > limit).tolist(), events)
            self._noise.update(powers)
            frames = frames[step:]
            count -= step
        return tuple(events)

    def empty(self, *, turn_goes_on: bool = False) -> None:
        """Take note that the client committed or cleared the buffer.

        No turn reaches back behind this point any more.

        Args:
            turn_goes_on: The present turn, if any, stays open, and its rest ends with a stop.
                Otherwise it is over without a stop, and if the user speaks on, a new turn starts
                here.
        """
        # What does not fill a frame yet has left the buffer, too.
        self._first = self._position + len(self._rest)
        if not turn_goes_on:
            self._speaking = False
            self._run = 0

    @property
    def _turn_start(self) -> int:
        """Where a turn begins of which the present run of loud frames is the first sound."""
        return max(self._first, self._position - self._run * self._frame - self._padding)

    def _listen(self, loud: list[bool], events: list[SpeechStarted | SpeechStopped]) -> None:
        for is_loud in loud:
            self._position += self._frame
            if is_loud:
                self._run += 1
                if self._run >= _SOUND:
                    self._heard = self._position
                    if not self._speaking:
                        self._speaking = True
                        self._first = self._turn_start
                        # Rounded up, so that the turn does not begin before its first sample.
                        events.append(
                            SpeechStarted(audio_start_ms=-(-self._first * 1000 // self._rate))
                        )
            else:
                self._run = 0
                if self._speaking and self._position - self._heard >= self._silence:
                    self._speaking = False
                    self._first = self._position
                    events.append(SpeechStopped(audio_end_ms=self._position * 1000 // self._rate))


class _NoiseFloor:
    """The quietest frame of the last whole seconds."""

    def __init__(self) -> None:
        # Zeros until ten seconds are full: a floor that is too low hears noise as speech for a
        # while, and one that is too high would be deaf to the first words.
        self._minima = deque([0.0] * _NOISE_SECONDS, maxlen=_NOISE_SECONDS)
        self._quietest = np.inf
        self.power = 0.0
        """Power of the noise; nothing for the first seconds."""
        self.frames_left = _FRAMES_PER_SECOND
        """Frames to the end of the present second."""

    def update(self, powers: NDArray[np.float64]) -> None:
        """Take note of frames, at least one and at most `frames_left`."""
        self._quietest = min(self._quietest, float(powers.min()))
        self.frames_left -= len(powers)
        if not self.frames_left:
            self._minima.append(self._quietest)
            self.power = min(self._minima)
            self._quietest = np.inf
            self.frames_left = _FRAMES_PER_SECOND


def _level(threshold: float) -> float:
    """Mean square, relative to full scale, from which on a frame is loud.

    The service does not say what its threshold measures.  Here it covers the 40 dB in which speech
    lies, so that raising it always means that less is speech.
    """
    return float(10 ** ((-60 + 40 * threshold) / 10))


def _powers(frames: NDArray[np.int16]) -> NDArray[np.float64]:
    """Variance of each frame, times the square of its length.

    That is an integer, below 2**53 for frames of up to 2800 samples, so a double holds it exactly.
    """
    values = frames.astype(np.float64)
    sums = np.add.reduce(values, axis=1)
    squares = np.add.reduce(values * values, axis=1)
    powers: NDArray[np.float64] = squares * frames.shape[1] - sums * sums
    return powers
