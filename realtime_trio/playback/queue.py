"""What waits to be played: samples in the order in which they arrived, each of some part.

Owns the order and the copying.  What was played, and of what it is, is for others to note.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define

from realtime_trio import _elsewhere
from realtime_trio.audio.track import SMALL
from realtime_trio.playback.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")


@define(eq=False)
class Run:
    """Samples of one part that follow each other: how many of them, and where they matter, what."""

    part: Part
    """What they are of."""
    count: int
    """How many."""


@define(eq=False)
class _Chunk:
    part: Part
    samples: NDArray[np.int16]


class SampleQueue:
    """Samples that wait for the sink."""

    def __init__(self) -> None:
        self.count: int = 0
        """How many there are."""
        self._chunks: deque[_Chunk] = deque()

    @property
    def head(self) -> Part | None:
        """The part of the first sample, None if there is none."""
        return self._chunks[0].part if self._chunks else None

    def append(self, part: Part, samples: NDArray[np.int16]) -> None:
        """Put samples behind all others.

        Args:
            part: What they are of.
            samples: Shape (n,), int16; kept as they are, so they must not change.
        """
        if not len(samples):
            return
        self.count += len(samples)
        last = self._chunks[-1] if self._chunks else None
        if last is not None and last.part is part and len(last.samples) < SMALL:
            # An array takes a hundred bytes, so that many of a few samples would outweigh these.
            last.samples = np.concatenate([last.samples, samples])
        else:
            self._chunks.append(_Chunk(part, samples))

    def leading(self, most: int) -> int:
        """How many of the first samples are of one item; no more than `most` are counted."""
        count = 0
        for chunk in self._chunks:
            if count >= most or chunk.part.item_id != self._chunks[0].part.item_id:
                break
            count += len(chunk.samples)
        return min(count, most)

    def take_into(self, out: NDArray[np.int16]) -> list[Run]:
        """Move as many samples as there are, and as fit, to the beginning of `out`.

        Args:
            out: Shape (n,), int16.

        Returns:
            What they are of, in order.
        """
        runs: list[Run] = []
        filled, room = 0, len(out)
        while self._chunks and filled < room:
            chunk = self._chunks[0]
            count = min(len(chunk.samples), room - filled)
            out[filled : filled + count] = chunk.samples[:count]
            filled += count
            if count < len(chunk.samples):
                chunk.samples = chunk.samples[count:]
            else:
                self._chunks.popleft()
            runs.append(Run(chunk.part, count))
        self.count -= filled
        return runs

    def drop(self, is_unwanted: Callable[[Part], bool]) -> None:
        """Take out everything that is of some parts."""
        self._chunks = deque(chunk for chunk in self._chunks if not is_unwanted(chunk.part))
        self.count = sum(len(chunk.samples) for chunk in self._chunks)
