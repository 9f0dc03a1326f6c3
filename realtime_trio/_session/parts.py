"""What a session is made of, in one place for all kinds: each layer takes of it what it needs.

Owns the list, and what is left out where an opener says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field, frozen

from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.link import Link
from realtime_trio._state.conversation.audio import Retention
from realtime_trio._state.costs import Costs

if TYPE_CHECKING:
    # What most sessions do not have, and what is not loaded then.
    from realtime_trio._session.limits import Limits
    from realtime_trio._state.prices import Prices
    from realtime_trio.playback.playback import Playback


@frozen(kw_only=True, eq=False)
class SessionParts:
    """What one session is made of."""

    link: Link
    """Its first link."""
    services: ServiceNursery
    """Runs its tasks."""
    capacity: int | None
    """Events that a stream may fall behind; None for the default of the hub."""
    new_id: Callable[[str], str]
    """Makes the ids of client events and items, from a prefix."""
    retention: Retention = "none"
    """Which audio to keep."""
    costs: Costs = field(factory=Costs)
    """Counts what it takes."""
    prices: Prices | None = None
    """What that costs; None for the list that is installed."""
    playback: Playback | None = None
    """Has the model's speech until it is heard."""
    limits: Limits | None = None
    """How long it may go on; None if it may for ever."""
