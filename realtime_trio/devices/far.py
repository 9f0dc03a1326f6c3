"""What a loudspeaker was given, beside what a microphone has heard in the same time.

Owns how far the one may be behind the other.  Pure.

Theory of operation.  Both devices take and give samples in blocks of their own, at times of their
own, so some of what was played waits.  Where a reader was held up it waits longer, and that evens
out; what never became less in a while is lag, by a reader that began late or by clocks that drift,
and is dropped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class FarQueue:
    """Samples of a loudspeaker, for one reader.

    Args:
        lag: Samples that may wait all the time.
        window: Samples that are read before it is decided whether more do.
    """

    def __init__(self, lag: int, window: int) -> None:
        self._lag = lag
        self._window = window
        self._waiting = np.empty(0, np.int16)
        self._least: int | None = None
        """The fewest that waited in this window; None before anything was read."""
        self._read = 0

    def put(self, samples: NDArray[np.int16]) -> None:
        """Append what was played, shape (n,), int16."""
        self._waiting = np.concatenate((self._waiting, samples))

    def take(self, count: int) -> NDArray[np.int16]:
        """Take what was played while so many samples were recorded.

        Returns:
            Shape (count,), int16; silence where nothing was played.
        """
        if self._least is None:  # only now there is a reader
            self._waiting = self._waiting[max(0, len(self._waiting) - count - self._lag) :]
            self._least = len(self._waiting)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._least = min(self._least, len(self._waiting))
        self._read += count
        if self._read >= self._window:
            self._waiting = self._waiting[max(0, self._least - self._lag) :]
            self._least, self._read = len(self._waiting), 0
        return np.concatenate((taken, np.zeros(count - len(taken), np.int16)))
