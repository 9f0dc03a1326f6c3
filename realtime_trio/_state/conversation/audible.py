"""What may still be audible: which item a player would be playing now, as far as one can tell.

Owns an estimate, since nobody here sees the player: audio is played as soon as it arrives, without
pauses, one item after the other.  Pure: it is told the time.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from attrs import define

from realtime_trio._state.conversation.item import ConversationItem

PLAYER_LAG_S: Final = 1.0
"""How far a player may be behind the estimate: its own buffer, a network, a loudspeaker's start.
Too long only names an item that has just been heard whole, and cutting that changes nothing."""
_REMEMBERED: Final = 64
"""Items that may wait to be played: far more than anybody lets a model say at a stretch."""


@define(eq=False)
class _Stretch:
    """The audio of one item, as it is played."""

    item: ConversationItem
    end: float


class Audible:
    """The estimate for one conversation."""

    def __init__(self) -> None:
        self._stretches: deque[_Stretch] = deque(maxlen=_REMEMBERED)

    def add(self, item: ConversationItem, seconds: float, now: float) -> None:
        """Note that audio of an item has arrived.

        Args:
            item: The model's message.
            seconds: How long it takes to play.
            now: The time, in seconds of any clock that does not go back.
        """
        last = self._stretches[-1] if self._stretches else None
        end = (now if last is None else max(last.end, now)) + seconds
        if last is not None and last.item is item:
            last.end = end
        else:
            self._stretches.append(_Stretch(item, end))

    def at(self, now: float) -> ConversationItem | None:
        """The item that may be audible, None if none is.

        It is the first that has not been played to its end, or the last that can still be coming
        out of a late loudspeaker, or of which more is to come.
        """
        while len(self._stretches) > 1 and self._stretches[0].end <= now:
            self._stretches.popleft()
        if not self._stretches:
            return None
        first = self._stretches[0]
        is_audible = first.item._is_growing or first.end + PLAYER_LAG_S > now
        return first.item if is_audible else None

    def silence(self) -> None:
        """Note that whatever was being played is not played any more."""
        self._stretches.clear()
