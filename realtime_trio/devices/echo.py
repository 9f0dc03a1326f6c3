"""What is done about the loudspeaker being heard by the microphone.

Owns the place where an echo canceller is plugged in, and the simplest thing that does: a gate that
lets nothing pass while the model speaks, unless somebody is clearly louder.  Pure: time is counted
in samples.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime_trio.audio.pcm import PCM_RATE
from realtime_trio.devices.level import SILENCE_DB, level_db

_HEADPHONES: Final = re.compile(r"head(phone|set)|ear(bud|phone|pod)|airpod", re.IGNORECASE)
_AUDIBLE_DB: Final = -60.0
"""Below this level a loudspeaker is silent."""
_DECAY_DB: Final = 120.0
"""How many dB an echo falls in a second at least, in a furnished room."""
_RAISING: Final = 0.5
"""Part of the way in which the estimate of the echo follows a louder one, with every chunk."""
_LOWERING: Final = 0.02
"""The same for a softer one: pauses of the speech are not the echo getting softer."""


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

    Args:
        rate: Samples per second of what it is given.
        rise_db: How much louder than the echo somebody has to be, in dB.
        rise_seconds: For how long.
        hold_seconds: How long it stays open after the last loud chunk.
        tail_seconds: How long the loudspeaker is still heard after it was given its last sound.
        learn_seconds: How long it listens to the echo before it opens for the first time.
    """

    def __init__(
        self,
        rate: int = PCM_RATE,
        *,
        rise_db: float = 10.0,
        rise_seconds: float = 0.06,
        hold_seconds: float = 0.6,
        tail_seconds: float = 0.25,
        learn_seconds: float = 0.2,
    ) -> None:
        self._rate = rate
        self._rise_db = rise_db
        self._rise = rise_seconds
        self._hold = hold_seconds
        self._tail = tail_seconds
        self._learning = learn_seconds
        self._audible_left = 0.0
        self._open_left = 0.0
        self._louder_for = 0.0
        self._far_db = SILENCE_DB
        self._coupling: float | None = None
        """Level of the echo less that of what is played, in dB; None before it was heard."""

    @property
    def is_open(self) -> bool:
        """Whether the last chunk has passed."""
        return self._audible_left <= 0 or self._open_left > 0

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16]) -> NDArray[np.int16]:
        """Let a chunk pass, or give silence for it; see `EchoControl`."""
        seconds = len(near) / self._rate
        far_db, near_db = level_db(far), level_db(near)
        self._far_db = max(far_db, self._far_db - _DECAY_DB * seconds)
        if far_db > _AUDIBLE_DB:
            self._audible_left = self._tail
        else:
            self._audible_left -= seconds
        if self._audible_left <= 0:
            self._open_left = self._louder_for = 0.0
            return near
        self._weigh(near_db - self._far_db, seconds)
        return near if self.is_open else np.zeros_like(near)

    def _weigh(self, coupling: float, seconds: float) -> None:
        """Decide whether this is an echo, by its level less that of what is played."""
        self._open_left -= seconds
        if self._coupling is None:
            self._coupling = coupling
        is_louder = self._learning <= 0 and coupling > self._coupling + self._rise_db
        self._learning -= seconds
        if is_louder:
            self._louder_for += seconds
            # Sums of floats: three chunks of 20 ms are not quite 60.
            if self._louder_for > self._rise - seconds / 2:
                self._open_left = self._hold
            return
        self._louder_for = 0.0
        if self._open_left <= 0:
            step = _RAISING if coupling > self._coupling else _LOWERING
            self._coupling += step * (coupling - self._coupling)


def is_headphones(name: str) -> bool:
    """Whether a device is worn on the ears, as far as its name says, so that there is no echo."""
    return _HEADPHONES.search(name) is not None
