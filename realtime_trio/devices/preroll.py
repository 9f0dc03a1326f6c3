"""What was heard right before somebody was known to speak: words begin softly, and keys come late.

Owns how much of it is kept.  Pure.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray


class PreRoll:
    """Keeps the last moments of audio.

    Args:
        count: How many samples at least, as soon as there are so many; 0 or more.  Whole chunks are
            kept, so it is up to a chunk more.
    """

    def __init__(self, count: int) -> None:
        self._least = count
        self._chunks: deque[NDArray[np.int16]] = deque()
        self._count = 0

    def put(self, chunk: NDArray[np.int16]) -> None:
        """Append a chunk, shape (n,), int16, and forget what is too old."""
        self._chunks.append(chunk)
        self._count += len(chunk)
        # The last one stays, even if it is longer.
        while len(self._chunks) > 1 and self._count - len(self._chunks[0]) >= self._least:
            self._count -= len(self._chunks.popleft())

    def take(self) -> NDArray[np.int16]:
        """Take everything: shape (n,), int16."""
        kept = np.concatenate((*self._chunks, np.empty(0, np.int16)))
        self.clear()
        return kept

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._count = 0
