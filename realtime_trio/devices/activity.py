"""Voice activity on this side: when somebody begins to speak, and when they have finished.

Owns turns of speech and what belongs to them.  How likely a few milliseconds are speech is for a
model to say: `EnergyModel` here, or a better one.  Pure: time is counted in samples.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from realtime_trio._misuse import check_number
from realtime_trio.audio.pcm import PCM_RATE
from realtime_trio.audio.resample import Resampler
from realtime_trio.devices.level import level_db
from realtime_trio.devices.preroll import PreRoll

_HYSTERESIS: Final = 0.15
"""How much less likely than the threshold speech may be without ending; Silero's own number."""
_EMPTY: Final[NDArray[np.int16]] = np.empty(0, np.int16)


class SpeechModel(Protocol):
    """Tells how likely it is that somebody speaks."""

    @property
    def rate(self) -> int:
        """Samples per second that it takes, 8000 to 192000."""

    @property
    def frame(self) -> int:
        """How many samples it takes at once."""

    def probability(self, samples: NDArray[np.int16]) -> float:
        """How likely it is that this is speech, 0 to 1.

        Args:
            samples: Shape (`frame`,), int16, at `rate`, right behind those before.
        """


class EnergyModel:
    """Takes everything for speech that is clearly louder than the noise of the room.

    It needs no package, and hears a door as well as a voice; see `SileroModel`.

    Args:
        rise_db: How many dB above the noise are speech as likely as not.
        quiet_db: What is never speech, in dB.
    """

    rate: Final = 16_000
    """Samples per second."""
    frame: Final = 320
    """Samples, 20 ms."""

    def __init__(self, *, rise_db: float = 12.0, quiet_db: float = -55.0) -> None:
        self._rise_db = rise_db
        self._quiet_db = quiet_db
        self._noise_db = quiet_db

    def probability(self, samples: NDArray[np.int16]) -> float:
        """How likely it is that this is speech, 0 to 1; see `SpeechModel`."""
        level = level_db(samples)
        above = level - max(self._noise_db, self._quiet_db) - self._rise_db
        # Down within a tenth of a second, since every voice has pauses; up by 3 dB in a second.
        self._noise_db += max(-5.0, min(0.06, level - self._noise_db))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, above))))


@frozen(kw_only=True)
class Activity:
    """What a chunk of audio has to do with speech."""

    audio: NDArray[np.int16]
    """What belongs to the speech, shape (n,), int16: nothing while nobody speaks, the chunk while
    somebody does, and when they have begun, also what came right before."""
    has_started: bool
    """Whether somebody has begun to speak."""
    has_ended: bool
    """Whether they have finished."""
    probability: float
    """How likely the end of the chunk is speech, 0 to 1."""


class VoiceActivity:
    """Cuts what a microphone hears into turns of speech.

        activity = VoiceActivity(speech_model())
        async for chunk in microphone:
            heard = activity.process(chunk)

    Args:
        model: Tells how likely a frame is speech.
        rate: Samples per second of the chunks, 8000 to 192000.
        threshold: How likely it has to be, 0 to 1.
        start_seconds: For how long, until somebody has begun to speak.
        end_seconds: How long a pause is the end.
        preroll_seconds: How much of what came before the beginning belongs to it: words begin
            softly.

    Raises:
        LocalProtocolError: A number is out of range.
    """

    def __init__(
        self,
        model: SpeechModel,
        rate: int = PCM_RATE,
        *,
        threshold: float = 0.5,
        start_seconds: float = 0.06,
        end_seconds: float = 0.5,
        preroll_seconds: float = 0.3,
    ) -> None:
        check_number("threshold", threshold, lambda n: 0 < n < 1, allowed="between 0 and 1")
        for name, seconds in (
            ("start_seconds", start_seconds),
            ("end_seconds", end_seconds),
            ("preroll_seconds", preroll_seconds),
        ):
            check_number(name, seconds, lambda n: n >= 0, allowed="0 s or more")
        self._model = model
        self._resampler = Resampler(rate, model.rate)
        self._threshold = threshold
        self._start = start_seconds * model.rate
        self._end = end_seconds * model.rate
        # It is known after a while only that somebody has begun.
        self._before = PreRoll(round((preroll_seconds + start_seconds) * rate))
        self._pending = _EMPTY
        self._run = 0
        """Samples for the model that speak against what `is_speech` says, one after the other."""
        self._probability = 0.0
        self._is_speech = False

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks."""
        return self._is_speech

    def process(self, chunk: NDArray[np.int16]) -> Activity:
        """Take the next chunk.

        Args:
            chunk: Shape (n,), int16, of any length.

        Raises:
            LocalProtocolError: An array of another dtype or shape.
        """
        self._pending = np.concatenate((self._pending, self._resampler.process(chunk)))
        was_speech, has_started, has_ended = self._is_speech, False, False
        frame = self._model.frame
        while len(self._pending) >= frame:
            if self._turns(self._pending[:frame]):
                has_started |= self._is_speech
                has_ended |= not self._is_speech
            self._pending = self._pending[frame:]
        self._before.put(chunk)
        if was_speech:
            audio = chunk
            self._before.clear()
        else:
            audio = self._before.take() if has_started else _EMPTY
        return Activity(
            audio=audio,
            has_started=has_started,
            has_ended=has_ended,
            probability=self._probability,
        )

    def _turns(self, frame: NDArray[np.int16]) -> bool:
        """Whether somebody has begun, or finished, with this frame."""
        self._probability = self._model.probability(frame)
        if self._is_speech:
            is_against = self._probability < self._threshold - _HYSTERESIS
            needed = self._end
        else:
            is_against = self._probability >= self._threshold
            needed = self._start
        self._run = self._run + len(frame) if is_against else 0
        if not is_against or self._run < needed:
            return False
        self._is_speech = not self._is_speech
        self._run = 0
        return True
