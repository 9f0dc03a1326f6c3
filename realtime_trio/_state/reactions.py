"""Which events concern a machine, and what it does with each of them: one table per machine.

Owns the look-up by class.  Everything a machine does with the server's events stands in its table,
so that a session can ask once for each class of events whom it concerns; most events are deltas,
and concern nearly nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from realtime_trio.events import Event

M = TypeVar("M")
R = TypeVar("R")


class Reactions(dict[type[Event], Callable[[M, Any], R] | None]):
    """From the class of an event to the method that takes it; None if it does not concern anybody.

    A class that is not in the table goes by the nearest one that it is derived from.
    """

    # Called once per class: a dictionary remembers what was missing.
    def __missing__(self, kind: type[Event]) -> Callable[[M, Any], R] | None:
        known = (self.get(base) for base in kind.__mro__)
        react = self[kind] = next((react for react in known if react is not None), None)
        return react
