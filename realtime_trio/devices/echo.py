"""What is done about the loudspeaker being heard by the microphone.

Owns the place where an echo canceller is plugged in, and the simplest thing that does: a gate that
lets nothing pass while the model speaks, unless somebody is clearly louder.  Pure: time is counted
in samples.
"""

from __future__ import annotations

import math
import re
from collections import deque
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime_trio.audio.pcm import PCM_RATE
from realtime_trio.devices.level import SILENCE_DB, level_db

_HEADPHONES: Final = re.compile(r"head(phone|set)|ear(bud|phone|pod)|airpod", re.IGNORECASE)
_AUDIBLE_DB: Final = -60.0
"""Below this level a loudspeaker is silent."""
_RAISING: Final = 0.5
"""Part of the way in which the estimate of the echo follows a louder one, with every chunk."""
_LOWERING: Final = 1.0
"""The same for a softer one, per second: pauses of the speech are not the echo getting softer."""
_MISTAKE: Final = 1.0
"""Seconds after which whoever interrupts has silenced the loudspeaker; what then still passes is an
echo."""
_NOISE: Final = 2.0
"""Seconds of which the softest is the noise of the room: every voice pauses more often."""


class EchoControl(Protocol):
    """Takes out of what a microphone hears what a loudspeaker plays."""

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16]) -> NDArray[np.int16]:
        """Clean a chunk.

        Args:
            near: What the microphone heard: shape (n,), int16.
            far: What the loudspeaker was given in the same time, at the same rate: shape (n,),
                int16.  It is heard a little later, by the latencies of both devices.

        Returns:
            Shape (n,), int16.
        """


class EchoGate:
    """Half duplex: silence while the loudspeaker is audible, unless somebody is clearly louder.

    It learns how loud the echo is, compared with what is played, and opens when the microphone has
    been louder than that by `rise_db` for `rise_seconds`: a person who means to interrupt.  What
    was said until then is lost, and whoever speaks softly has to wait for the end.  It does not
    change a single sample of what it lets pass.

    Theory of operation.  The echo comes later than what it is of, by the latencies of both devices,
    which systems do not state truly.  So the microphone is compared with the loudest that was
    played within `tail_seconds`.  Compared so, the loudest echo of `learn_seconds` is the estimate;
    before it is known, an echo may be as loud as what is played.  Where what is played is soft, the
    noise of the room is louder than its echo, and is no person, either.

    Args:
        rate: Samples per second of what it is given.
        rise_db: How much louder than the echo somebody has to be, in dB.
        rise_seconds: For how long.
        hold_seconds: How long it stays open after the last loud chunk.
        tail_seconds: How long the loudspeaker is still heard after it was given its last sound.
        learn_seconds: How much of the echo it has to hear to know how loud it is.
    """

    def __init__(
        self,
        rate: int = PCM_RATE,
        *,
        rise_db: float = 8.0,
        rise_seconds: float = 0.06,
        hold_seconds: float = 0.6,
        tail_seconds: float = 0.5,
        learn_seconds: float = 1.0,
    ) -> None:
        self._rate = rate
        self._rise_db = rise_db
        self._rise = round(rise_seconds * rate)
        self._hold = round(hold_seconds * rate)
        self._mistake = round(_MISTAKE * rate)
        self._played = _Loudest(round(tail_seconds * rate))
        self._heard = _Loudest(round(learn_seconds * rate))
        self._silence = _Loudest(round(_NOISE * rate))
        """Of the levels with the opposite sign."""
        self._coupling = 0.0
        """Level of the echo less that of what is played, in dB."""
        self._louder_for = 0
        """Samples that were louder than the echo, one after the other."""
        self._open_for = 0
        """Samples that have passed, one after the other."""
        self._open_left = 0
        """Samples that will pass even if they are not loud."""
        self._is_audible = False

    @property
    def is_open(self) -> bool:
        """Whether the last chunk has passed."""
        return not self._is_audible or self._open_left > 0

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16]) -> NDArray[np.int16]:
        """Let a chunk pass, or give silence for it; see `EchoControl`."""
        level = level_db(near)
        self._played.add(level_db(far), len(near))
        self._silence.add(-level, len(near))
        self._is_audible = self._played.level > _AUDIBLE_DB
        if self._is_audible:
            self._weigh(level, len(near))
        else:
            self._heard.clear()
            self._louder_for = self._open_for = self._open_left = 0
        return near if self.is_open else np.zeros_like(near)

    def _weigh(self, level: float, count: int) -> None:
        """Decide whether this is an echo, by its level."""
        coupling = level - self._played.level
        noise = -self._silence.level - self._played.level
        is_louder = coupling > max(self._coupling, noise) + self._rise_db
        self._louder_for = self._louder_for + count if is_louder else 0
        self._open_left -= count
        if is_louder and self._louder_for >= self._rise:
            self._open_left = self._hold
        if self._open_left > 0:
            self._heard.add(coupling, count)
            self._open_for += count
            if self._open_for > self._mistake:
                self._coupling = self._heard.level
                self._open_left = 0
            return
        self._open_for = 0
        if not is_louder:
            self._learn(coupling, count)

    def _learn(self, coupling: float, count: int) -> None:
        self._heard.add(coupling, count)
        if coupling > self._coupling:
            self._coupling += _RAISING * (coupling - self._coupling)
        elif self._heard.is_full and self._heard.level < self._coupling:
            step = 1 - math.exp(-_LOWERING * count / self._rate)
            self._coupling += step * (self._heard.level - self._coupling)


class _Loudest:
    """The highest level of the last samples.

    Args:
        window: How many samples.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._position = 0
        self._start = 0
        self._levels: deque[tuple[int, float]] = deque()
        """With where each ended, and falling: whatever is followed by something louder is gone."""

    @property
    def level(self) -> float:
        """The highest level, in dB."""
        return self._levels[0][1] if self._levels else SILENCE_DB

    @property
    def is_full(self) -> bool:
        """Whether so many samples have come since it was cleared."""
        return self._position - self._start >= self._window

    def add(self, level: float, count: int) -> None:
        """Take the level of the next samples, and of how many."""
        self._position += count
        while self._levels and self._levels[-1][1] <= level:
            self._levels.pop()
        self._levels.append((self._position, level))
        while self._levels[0][0] <= self._position - self._window:
            self._levels.popleft()

    def clear(self) -> None:
        """Begin anew."""
        self._levels.clear()
        self._start = self._position


def is_headphones(name: str) -> bool:
    """Whether a device is worn on the ears, as far as its name says, so that there is no echo."""
    return _HEADPHONES.search(name) is not None
