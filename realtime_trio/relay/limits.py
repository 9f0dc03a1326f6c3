"""How much a guest of a relay may use: the limits, and the arithmetic of paces.

Pure: times are seconds of any clock that does not jump, and are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from attrs import Attribute, define, field, frozen

from realtime_trio._misuse import check_number

_MINUTE: Final = 60.0


def _number(
    fits: Callable[[float], bool], allowed: str
) -> Callable[[object, Attribute[Any], object], None]:
    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        check_number(attribute.name, value, fits, allowed=allowed)

    return check


_POSITIVE: Final = _number(
    lambda number: number > 0, "more than 0; math.inf, where there should be no limit"
)
_AT_LEAST_ONE: Final = _number(
    lambda number: number >= 1, "1 or more; math.inf, where there should be no limit"
)


@frozen(kw_only=True)
class Limits:
    """How much one session through a relay may use; `math.inf` is no limit.

    Tokens and money are for a `Budget`.

    A guest that goes beyond a pace gets an `error` event, and what it sent is not passed on; beyond
    any of the others, the session ends.

    Raises:
        TypeError: A limit is not a number.
        LocalProtocolError: A limit is not more than 0.
    """

    seconds: float = field(default=3600.0, validator=_POSITIVE)
    """Length of the session.  OpenAI's service ends it after an hour in any case."""
    idle_seconds: float = field(default=300.0, validator=_POSITIVE)
    """Seconds in which nobody says anything.  A microphone that stays open says nothing by itself:
    turn detection has to hear speech, or the model to answer."""
    audio_ahead: float = field(default=15.0, validator=_POSITIVE)
    """Seconds of audio by which a guest may be ahead of real time: enough for a question from a
    file, and for what a network held up."""
    events_per_minute: float = field(default=6000.0, validator=_AT_LEAST_ONE)
    """Events from the guest: twice as many as a microphone sends that is cut in 20 ms."""
    responses_per_minute: float = field(default=30.0, validator=_AT_LEAST_ONE)
    """Responses, those included that turn detection begins; one too many is cancelled."""
    refusals_per_minute: float = field(default=60.0, validator=_AT_LEAST_ONE)
    """Events that were refused, until the guest is taken for hostile or broken and is closed."""
    message_size: float = field(default=2**20, validator=_AT_LEAST_ONE)
    """Characters of one message: an image as base64, or 15 seconds of audio.  A longer one is
    closed with 1009."""


@define(eq=False)
class Pace:
    """So many a minute, all at once if there were none before.

    Theory of operation.  What was used drains away steadily, and never below nothing; there is room
    for as much as drains in a minute.
    """

    per_minute: float
    """How many."""
    used: float = 0.0
    """How much had not drained away at `since`."""
    since: float = 0.0
    """When that was."""

    def has_room(self, now: float) -> bool:
        """Whether there is room for one."""
        return self._used_at(now) + 1 <= self.per_minute

    def take(self, now: float) -> bool:
        """Use one, if there is room."""
        used = self._used_at(now)
        if used + 1 > self.per_minute:
            return False
        self.used, self.since = used + 1, max(now, self.since)
        return True

    def _used_at(self, now: float) -> float:
        # Without a limit nothing ever counts, and infinity times nothing is not a number.
        if self.per_minute == math.inf:
            return 0.0
        return max(0.0, self.used - max(0.0, now - self.since) * self.per_minute / _MINUTE)


@define(eq=False)
class Lead:
    """By how many seconds of audio somebody is ahead of real time, and how many may be.

    Audio that comes late does not count against anybody: silence may be left out.
    """

    most: float
    """Seconds."""
    heard_until: float = -math.inf
    """When all audio so far will have been played, if it is played as it comes."""

    def take(self, seconds: float, now: float) -> bool:
        """Use some seconds of audio, unless that would be too far ahead."""
        end = max(self.heard_until, now) + seconds
        if end - now > self.most:
            return False
        self.heard_until = end
        return True
