"""What a loudspeaker was given, beside what a microphone has heard in the same time.

Owns how far the one may be behind the other.  Pure.

Theory of operation.  Both devices take and give samples in blocks of their own, at times of their
own, so some of what was played waits; and more where the reader of the microphone was held up, as
much as waits there.  Whatever waits beyond that is of a time before, by a reader that began late or
by clocks that drift, and is dropped: what is told late would be heard before it is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class FarQueue:
    """Samples of a loudspeaker, for one reader.

    Args:
        lag: Samples that may wait all the time.
    """

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._waiting = np.empty(0, np.int16)

    def put(self, samples: NDArray[np.int16]) -> None:
        """Append what was played, shape (n,), int16."""
        self._waiting = np.concatenate((self._waiting, samples))

    def take(self, count: int, later: int = 0) -> NDArray[np.int16]:
        """Take what was played while so many samples were recorded.

        Args:
            count: How many.
            later: How many have been recorded after those, and wait to be read.

        Returns:
            Shape (count,), int16; silence where nothing was played.
        """
        start = max(0, len(self._waiting) - count - later - self._lag)
        taken = self._waiting[start : start + count]
        self._waiting = self._waiting[start + count :]
        return np.concatenate((taken, np.zeros(count - len(taken), np.int16)))
