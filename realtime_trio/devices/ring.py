"""A ring of samples between one thread that records and another one that reads.

Owns the hand-over without a lock: the writer alone moves the end, the reader alone the beginning,
and each moves it after the samples are where they belong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SampleRing:
    """Samples on their way from one thread to another.  Neither ever waits.

    Args:
        capacity: How many samples fit, 1 or more.
    """

    def __init__(self, capacity: int) -> None:
        self._samples = np.zeros(capacity, np.int16)
        self._written = 0
        self._read = 0
        self.dropped: int = 0
        """Samples for which there was no room."""

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self._written - self._read

    def put(self, samples: NDArray[np.int16]) -> int:
        """Append samples; what does not fit is dropped, since the reader may hold what is older.

        Args:
            samples: Shape (n,), int16; copied.

        Returns:
            How many fitted.
        """
        fitting = min(len(samples), len(self._samples) - self.count)
        self._copy(self._written, samples[:fitting])
        self._written += fitting
        self.dropped += len(samples) - fitting
        return fitting

    def take(self, count: int) -> NDArray[np.int16]:
        """Take the oldest samples: shape (n,), int16, n being at most `count`."""
        count = min(count, self.count)
        start = self._read % len(self._samples)
        first = self._samples[start : start + count]
        # `concatenate` copies, so that the room may be used again.
        taken = np.concatenate((first, self._samples[: count - len(first)]))
        self._read += count
        return taken

    def _copy(self, position: int, samples: NDArray[np.int16]) -> None:
        start = position % len(self._samples)
        first = samples[: len(self._samples) - start]
        self._samples[start : start + len(first)] = first
        self._samples[: len(samples) - len(first)] = samples[len(first) :]
