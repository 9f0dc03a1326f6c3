"""Hanging up when nothing happens.

Owns the clock.  Since when nothing has happened is known in `_state.idleness`; what is under way,
by whoever asks for this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import trio

from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._state.idleness import Idleness
from realtime_trio._state.reactions import Reactions
from realtime_trio.events import Event, ServerEvent

LOOK_AGAIN_S: Final = 0.25
"""How often a playback is asked whether all was heard, when nothing else happens: a sink that takes
samples on a thread of its own tells nobody."""


class IdleWatch:
    """The watch over one session.

    Args:
        timeout: Seconds in which nothing happens.
        services: Runs the clock.
        is_busy: Says whether a response or a tool is under way; its end is noted in `idleness`.
        is_heard: Says whether a playback is still audible.
        audible_until: Says when the model's speech ends, by an estimate; None if there is none.
        hang_up: Called once, when the time is over.
    """

    reactions: ClassVar[Reactions[Idleness, None]] = Idleness.reactions
    """What says that something happens."""

    def __init__(
        self,
        timeout: float,
        services: ServiceNursery,
        *,
        is_busy: Callable[[], bool],
        is_heard: Callable[[], bool],
        audible_until: Callable[[], float | None],
        hang_up: Callable[[], None],
    ) -> None:
        self.idleness = Idleness(trio.current_time())
        self._timeout = timeout
        self._services = services
        self._is_busy = is_busy
        self._is_heard = is_heard
        self._audible_until = audible_until
        self._hang_up = hang_up

    def begin(self) -> None:
        """Count from here on."""
        self.idleness.note(trio.current_time())
        self._services.start_soon(self._watch)

    def apply(self, event: ServerEvent) -> None:
        """Take note of a server event."""
        self.idleness.apply(event, trio.current_time())

    def sent(self, event: Event, *, is_detecting: bool) -> None:
        """Take note of what is sent; see `Idleness.sent`."""
        self.idleness.sent(event, trio.current_time(), is_detecting=is_detecting)

    async def _watch(self) -> None:
        await trio.lowlevel.checkpoint()
        while (wake := self._next_look()) is not None:  # noqa: ASYNC110 - it is about time
            await trio.sleep_until(wake)
        self._hang_up()

    def _next_look(self) -> float | None:
        """When to look again at the latest; None if the time is over."""
        now = trio.current_time()
        if self._is_busy():
            # Its end is noted, and the time counts from there: not before this.
            return now + self._timeout
        if self._is_heard():
            self.idleness.note(now)
            return now + min(self._timeout, LOOK_AGAIN_S)
        since = max(self.idleness.since(now), self._audible_until() or 0.0)
        wake = since + self._timeout
        return wake if wake > now else None
