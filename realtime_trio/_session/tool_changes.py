"""Changing the tools of a session: the server is told of the whole list, and keeps the last word.

Owns the changes that are under way, one at a time.  The functions are in place from when the update
is queued, because the model may call them before the acknowledgement has been looked at, and are
taken back if the server has refused it, whether anybody still waits for that or not.
"""

from __future__ import annotations

import trio

from realtime_trio._state.acknowledgements import Pending
from realtime_trio._state.offered_tools import OfferedTools
from realtime_trio.errors import ServerError
from realtime_trio.tools.registry import ToolRegistry


class ToolChanges:
    """The changes of the tools of one session.

    Args:
        offered: The tools that are changed.
    """

    def __init__(self, offered: OfferedTools) -> None:
        self._offered = offered
        self._lock: trio.Lock | None = None
        self._under_way: dict[Pending, ToolRegistry] = {}

    @property
    def one_at_a_time(self) -> trio.Lock:
        """Held from looking at the present tools until the server has taken the new ones."""
        # Most sessions keep the tools that they began with.
        self._lock = self._lock or trio.Lock()
        return self._lock

    def offer(self, tools: ToolRegistry, pending: Pending) -> None:
        """The update with these tools has just been queued."""
        self._under_way[pending] = tools
        self._offered.offer(tools)

    def settled(self, pending: Pending) -> None:
        """The server has answered a client event, or never will; most have nothing to do with this.

        If the session has ended the tools stay: it takes no more calls.
        """
        if (tools := self._under_way.pop(pending, None)) is not None:
            is_refused = isinstance(pending.error, ServerError)
            self._offered.settle(tools, is_refused=is_refused)
