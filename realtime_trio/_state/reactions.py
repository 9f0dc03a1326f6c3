"""Which events concern a machine, and what it does with each of them: one table per machine.

Owns the look-up by class.  Everything a machine does with the server's events stands in its table,
so that a session can ask once for each class of events whom it concerns; most events are deltas,
and concern nearly nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeAlias, TypeVar

from realtime_trio.events import Event

M = TypeVar("M")
R = TypeVar("R")

TakeNote: TypeAlias = Callable[[Any], tuple[Event, ...] | None]
"""Takes note of an event; what it returns follows from the event and is published."""
Room: TypeAlias = Callable[[type[Event]], TakeNote | None]
"""Says of a class of events who takes note of them; None if they do not concern the room."""


class Reactions(dict[type[Event], Callable[[M, Any], R] | None]):
    """From the class of an event to the method that takes it; None if it does not concern anybody.

    A class that is not in the table goes by the nearest one that it is derived from.
    """

    # Called once per class: a dictionary remembers what was missing.
    def __missing__(self, kind: type[Event]) -> Callable[[M, Any], R] | None:
        known = (self.get(base) for base in kind.__mro__)
        react = self[kind] = next((react for react in known if react is not None), None)
        return react

    def of(self, machine: M) -> Room:
        """The room in which a machine takes every event by the method that is in its table."""

        def find(kind: type[Event]) -> TakeNote | None:
            react = self[kind]
            return None if react is None else MethodType(react, machine)

        return find

    def through(self, take_note: TakeNote) -> Room:
        """The room of the same events, where this takes note of them for the machine."""
        return lambda kind: None if self[kind] is None else take_note


class Concerned(dict[type[Event], tuple[TakeNote, ...]]):
    """From the class of an event to all who take note of it, in order.

    Args:
        rooms: Says where they are.  Asked for every class of events when the first one comes, and
            not at once for all: they take 2 KiB, and most sessions wait most of the time.
    """

    def __init__(self, rooms: Callable[[], tuple[Room, ...]]) -> None:
        super().__init__()
        self._rooms = rooms

    def tell(self, event: Event) -> tuple[Event, ...]:
        """Let all whom it concerns take note of an event; return what follows from it."""
        derived: tuple[Event, ...] = ()
        for take_note in self[type(event)]:
            derived += take_note(event) or ()
        return derived

    # Called once per class, as that of `Reactions`.
    def __missing__(self, kind: type[Event]) -> tuple[TakeNote, ...]:
        found = (room(kind) for room in self._rooms())
        concerned = self[kind] = tuple(take_note for take_note in found if take_note is not None)
        return concerned
