"""What may still be audible: which item a player would be playing now, as far as one can tell.

Owns an estimate, since nobody here sees the player: audio is played as soon as it arrives, one item
after the other.  It costs nothing per delta: an item knows how long it is.  Pure: it is told the
time.
"""

from __future__ import annotations

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
    start: float
    """When its first audio arrived."""
    until: float
    """When its last audio had arrived at the latest; before that it cannot have been played."""


class Audible:
    """The estimate for one conversation."""

    def __init__(self) -> None:
        self._stretches: list[_Stretch] = []
        self.latest: ConversationItem | None = None
        """The item whose audio arrives."""

    def begin(self, item: ConversationItem, now: float) -> None:
        """Note that audio of another item has begun to arrive.

        Args:
            item: The model's message.
            now: The time, in seconds of any clock that does not go back.
        """
        self.latest = item
        del self._stretches[: 1 - _REMEMBERED]
        self._stretches.append(_Stretch(item, now, now))

    def end(self, now: float) -> None:
        """Note that a response is over: no more of the latest item arrives."""
        if self.latest is not None:
            self.latest = None
            self._stretches[-1].until = now

    def at(self, now: float) -> ConversationItem | None:
        """The item that may be audible, None if none is.

        It is the first that has not been played to its end, or of which more is to come, or else
        the last one, if it can still be coming out of a late loudspeaker.
        """
        end = now
        for number, stretch in enumerate(self._stretches):
            start = stretch.start if number == 0 else max(stretch.start, end)
            end = max(start + stretch.item.audio_ms / 1000, stretch.until)
            if stretch.item._is_growing or now < end:
                return stretch.item
        return self._stretches[-1].item if self._stretches and now < end + PLAYER_LAG_S else None

    @property
    def until(self) -> float | None:
        """When a player without a lag will have played all of it, None if there is nothing."""
        end: float | None = None
        for stretch in self._stretches:
            start = stretch.start if end is None else max(stretch.start, end)
            end = max(start + stretch.item.audio_ms / 1000, stretch.until)
        return end

    def silence(self) -> None:
        """Note that whatever was being played is not played any more."""
        self._stretches.clear()
        self.latest = None
