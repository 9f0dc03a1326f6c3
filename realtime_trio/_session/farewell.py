"""The end of a session that it makes itself: let it finish, say goodbye, close.

Owns the order of these, and their limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal

import trio

from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._state.utility_events import HangingUp
from realtime_trio.errors import BudgetExceeded, ServerError, SessionClosed

LONGEST_ANSWER_S: Final = 120.0
"""How long a response that is active is waited for."""
LONGEST_GOODBYE_S: Final = 30.0
"""How long a goodbye may take, from asking for it until it was heard."""
LOOK_AGAIN_S: Final = 0.25
"""How often a playback is asked whether all was heard."""


class Farewell:
    """The end of one session.  It happens once.

    Args:
        services: Runs it.
        tell: Publishes that it has begun.
        wait_quiet: Waits until no response is active.
        is_heard: Says whether a playback is still audible.
        drain: Writes what was sent, and closes.
        end: Ends the session, also where there was no connection that could be closed.
        limit: Seconds that closing may take.
    """

    def __init__(
        self,
        services: ServiceNursery,
        *,
        tell: Callable[[HangingUp], None],
        wait_quiet: Callable[[], Awaitable[None]],
        is_heard: Callable[[], bool],
        drain: Callable[[], Awaitable[None]],
        end: Callable[[], None],
        limit: float,
    ) -> None:
        self._services = services
        self._tell = tell
        self._wait_quiet = wait_quiet
        self._is_heard = is_heard
        self._drain = drain
        self._end = end
        self._limit = limit
        self._has_begun = False

    def begin(
        self,
        reason: Literal["budget", "idle"],
        say_goodbye: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """End the session, unless it is ending already.

        Args:
            reason: Why.
            say_goodbye: Asks for the last response and waits for its end.
        """
        if not self._has_begun:
            self._has_begun = True
            self._tell(HangingUp(reason=reason))
            self._services.start_soon(self._run, say_goodbye)

    async def _run(self, say_goodbye: Callable[[], Awaitable[object]] | None) -> None:
        # The server may be faster, and then there is nothing left to end.
        with trio.move_on_after(LONGEST_ANSWER_S), suppress(SessionClosed):
            await self._wait_quiet()
        with trio.move_on_after(LONGEST_GOODBYE_S):
            await trio.lowlevel.checkpoint()
            if say_goodbye is not None:
                # Without words if there are none to be had: the end is what counts.
                with suppress(ServerError, BudgetExceeded, SessionClosed):
                    await say_goodbye()
            while self._is_heard():  # noqa: ASYNC110 - a sink tells nobody that it has played
                await trio.sleep(LOOK_AGAIN_S)
        with trio.move_on_after(self._limit):
            await self._drain()
        self._end()
