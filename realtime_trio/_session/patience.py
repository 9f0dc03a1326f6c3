"""How long a reply to tools waits for the user to finish speaking.

Owns the clock.  That there is something to wait for is decided in `_state.turns`: turn detection
has heard speech begin, and is going to answer it.  A microphone that is muted in the middle of a
word never lets it hear the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from realtime_trio import _elsewhere
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._state.turns.machine import Turns

if TYPE_CHECKING:
    from realtime_trio._state import idleness
else:
    idleness = _elsewhere.module("realtime_trio._state.idleness")


class Patience:
    """The waiting of one session.

    Args:
        turns: Says whether a reply is withheld, and is told when to stop that.
        services: Runs the clock.
        stop_waiting: Called when the user is not waited for any longer.
    """

    def __init__(
        self, turns: Turns, services: ServiceNursery, stop_waiting: Callable[[], None]
    ) -> None:
        self._turns = turns
        self._services = services
        self._stop_waiting = stop_waiting
        self._is_watching = False
        self._last_audio: float | None = None

    def heard_audio(self) -> None:
        """Note that audio of the user was sent."""
        self._last_audio = trio.current_time()

    def look(self) -> None:
        """See to it that a reply which is withheld now is not withheld for ever."""
        if self._turns.is_withholding and not self._is_watching:
            self._is_watching = True
            self._services.start_soon(self._watch)

    async def _watch(self) -> None:
        limit = trio.current_time() + idleness.LONGEST_SPEECH_S
        await trio.lowlevel.checkpoint()
        try:
            while self._turns.is_withholding:
                # After that the reply interrupts whoever speaks.
                deadline = limit
                # Where the audio reaches the service on another way, nobody here sees it stop.
                if self._last_audio is not None:
                    deadline = min(limit, self._last_audio + idleness.SILENT_MICROPHONE_S)
                if deadline <= trio.current_time():
                    self._stop_waiting()
                    return
                await trio.sleep_until(deadline)
        finally:
            self._is_watching = False
