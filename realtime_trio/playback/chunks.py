"""The samples of one item, in chunks of one size: what a stream of audio is made of.

Owns where an item begins and ends.  Waiting for more is for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_trio import _elsewhere
from realtime_trio.playback.part import Part
from realtime_trio.playback.playback import Playback

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")


class ItemChunks:
    """Takes the item that comes next from a playback, and nothing of the one after it.

    Args:
        playback: Where it is taken from.
        size: Samples in a chunk, 1 or more; only the last one of the item may be shorter.
    """

    def __init__(self, playback: Playback, size: int) -> None:
        self._playback = playback
        self._size = size
        self._part: Part | None = None
        """The last part that anything was taken of."""

    def take(self) -> NDArray[np.int16] | None:
        """Take the next chunk.

        Returns:
            Shape (n,), int16; None as long as it has not arrived, and in the end: see `is_over`.
        """
        playback = self._playback
        with playback._lock:
            head = playback._queue.head
            if head is None or (self._part is not None and head.item_id != self._part.item_id):
                return None
            count = playback._queue.leading(self._size)
            # Less than a chunk is the rest of the item if another one follows, or none ever will.
            is_rest = count < playback._queue.count or head.is_final
            if count < self._size and not is_rest:
                return None
            self._part = head
            out = np.empty(count, np.int16)
            playback._take_into(out)
            return out

    @property
    def is_over(self) -> bool:
        """Whether the item was taken to its end, or silenced."""
        part = self._part
        if part is None:
            return False
        with self._playback._lock:
            head = self._playback._queue.head
            is_taken = head is None or head.item_id != part.item_id
            return part.is_silenced or (part.is_final and is_taken)
