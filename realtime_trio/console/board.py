"""Where those who look at a session find what has been told of it, and are told the rest.

Owns the ring of what is kept for browsers that come later, and the hub from which each of them gets
what is new.  What the texts say is nothing to it.

Theory of operation.  A text is made once, whoever looks.  It goes into the ring, which forgets its
oldest texts when it is full, and into the hub, in which every browser has a bounded buffer of its
own; one that does not keep up is told how many it has missed.  Whoever looks gets ring and stream
in one step, so that nothing is told twice or falls between the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from realtime_trio._runtime.hub import EventHub, EventStream
from realtime_trio.console.messages import dropped_told

KEPT_SIZE: Final = 64 * 2**20
"""Characters kept for those who come later: about a quarter of an hour of speech on both sides."""
MOST_KEPT: Final = 20_000
"""Texts kept, however short: twice what the page holds."""
_BEHIND: Final = 4096
"""Texts that a browser may fall behind: 40 s at a hundred a second."""
_BEHIND_SIZE: Final = 32 * 2**20
"""The same in characters."""


@frozen
class Look:
    """What somebody gets who looks."""

    past: Iterable[str]
    """How things stand, and then what was told before, the oldest first."""
    stream: EventStream[str]
    """What is told from now on; it ends when nothing more will come."""


class Board:
    """What is told of one session.

    Args:
        state: How things stand.
        room: Characters that are kept for those who come later.
    """

    def __init__(self, state: str, room: int = KEPT_SIZE) -> None:
        self._state = state
        self._ring = _Ring(room)
        self._hub: EventHub[str] = EventHub(capacity=_BEHIND, backlog=0, room=_BEHIND_SIZE)

    def look(self) -> Look:
        """What was told so far, and a stream of the rest; close the stream in the end."""
        return Look((self._state, *self._ring.texts()), self._hub.subscribe())

    def tell(self, text: str) -> None:
        """Tell everybody."""
        self._ring.add(text)
        self._hub.publish(text, size=len(text))

    def tell_state(self, state: str) -> None:
        """Tell how things stand, if that is new."""
        # Not kept among the rest: whoever comes later is told how things stand then.
        if state != self._state:
            self._state = state
            self._hub.publish(state, size=len(state))

    def close(self) -> None:
        """Nothing more will be told.  Idempotent; those who come later get what is kept."""
        self._hub.close()


class _Ring:
    """The last texts, bounded in number and size."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._texts: deque[str] = deque()
        self._size = 0
        self._dropped = 0

    def add(self, text: str) -> None:
        self._texts.append(text)
        self._size += len(text)
        # The last one stays in any case.
        while (self._size > self._room and len(self._texts) > 1) or len(self._texts) > MOST_KEPT:
            self._size -= len(self._texts.popleft())
            self._dropped += 1

    def texts(self) -> tuple[str, ...]:
        gap = (dropped_told(self._dropped),) if self._dropped else ()
        return (*gap, *self._texts)
