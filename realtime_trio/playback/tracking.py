"""How far a sink has played: three ways to know.

Owns the position up to which the samples that a sink has taken were heard.  Of what they are is not
known here.  Positions count samples from the first one that was taken; those that an interruption
silenced are passed over.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable


class Tracker:
    """What is taken is heard: for sinks that take samples as they play them."""

    def __init__(self) -> None:
        self._taken = 0

    def took(self, count: int) -> None:
        """Note that the sink has taken so many samples more."""
        self._taken += count

    def position(self) -> int:
        """How many samples were heard, or silenced.  It never goes back."""
        return self._taken

    def silence(self) -> None:
        """Note that what was taken and not heard will not be heard."""


class ReportTracker(Tracker):
    """What the sink reports is heard: by count, or by marks."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self._places: dict[str, int] = {}
        """Where the marks are that were not reached yet."""
        self._names: deque[str] = deque()
        """Their names, in order."""
        self._marked = 0
        self._marked_place = -1

    def position(self) -> int:
        """How many samples were heard, as far as it was reported, or silenced."""
        return self._position

    def played(self, count: int) -> None:
        """Note that so many samples more were played, of those that were taken."""
        self._position = min(self._position + count, self._taken)

    def mark(self) -> str:
        """Name the place behind the last sample that was taken."""
        # One name for one place: a sink that plays nothing must not fill the memory with marks.
        if self._marked_place != self._taken:
            self._marked += 1
            self._marked_place = self._taken
        name = f"mark_{self._marked}"
        if name not in self._places:
            self._places[name] = self._taken
            self._names.append(name)
        return name

    def reached(self, mark: str) -> None:
        """Note that the place of this name was reached; a name that is not awaited says nothing."""
        # Marks are reached in order, so those before it have been, whether that was said or not.
        while mark in self._places:
            self._position = max(self._position, self._places.pop(self._names.popleft()))

    def silence(self) -> None:
        """Pass over what was not reported; late reports of it say nothing."""
        self._position = self._taken
        self._places.clear()
        self._names.clear()


class ClockTracker(Tracker):
    """An estimate: what is taken is played at once, one sample after the other, in real time.

    Args:
        rate: Samples of the sink per second.
        clock: Tells the time in seconds; it does not go back.
    """

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        super().__init__()
        self._rate = rate
        self._clock = clock
        self._position = 0
        self._end = -math.inf
        """When the last sample that was taken has been played."""

    def took(self, count: int) -> None:
        """Note that the sink has taken so many samples more, and plays them next."""
        self._taken += count
        self._end = max(self._end, self._clock()) + count / self._rate

    def position(self) -> int:
        """How many samples should have been heard by now, or silenced."""
        # What is left to play is always the last of what was taken, so nothing else is remembered.
        left = round(max(0.0, self._end - self._clock()) * self._rate)
        self._position = max(self._position, self._taken - left)
        return self._position

    def silence(self) -> None:
        """Pass over what is still to be played."""
        self._position = self._taken
        self._end = self._clock()
