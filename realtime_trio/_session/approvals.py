"""Calls on MCP servers that wait for somebody to say yes or no.

Owns the ids of those that wait, and a clock for each.  The service runs these calls, and would wait
for a decision forever.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio.errors import LocalProtocolError


class HostedApprovals:
    """The decisions that calls on MCP servers wait for.

    Args:
        services: Runs the clocks.
        timeout: Seconds a decision may take.
        expire: Called with the id of a request when its time is over.
    """

    def __init__(
        self, services: ServiceNursery, timeout: float, expire: Callable[[str], None]
    ) -> None:
        self._services = services
        self._timeout = timeout
        self._expire = expire
        self._waiting: dict[str, trio.CancelScope] = {}
        self._is_closed = False

    def wait_for(self, request_id: str) -> None:
        """Note that a decision is needed, and see to it that it is not waited for forever."""
        if not self._is_closed and request_id not in self._waiting:
            clock = self._waiting[request_id] = trio.CancelScope()
            self._services.start_soon(self._watch, request_id, clock)

    def take(self, request_id: str) -> None:
        """Note that it is being decided.

        Raises:
            LocalProtocolError: None of this id waits.
        """
        if request_id not in self._waiting:
            raise LocalProtocolError(f"no call {request_id!r} waits for approval")
        self._waiting.pop(request_id).cancel()

    def dismiss(self, request_id: str) -> None:
        """Note that nobody is asked any more: it was decided by an event, or is deleted."""
        if request_id in self._waiting:
            self.take(request_id)

    def forget(self) -> None:
        """The server that asked is gone: nobody waits for a decision."""
        for request_id in [*self._waiting]:
            self.take(request_id)

    def close(self) -> None:
        """Nobody decides any more.  Idempotent."""
        self._is_closed = True
        self.forget()

    async def _watch(self, request_id: str, clock: trio.CancelScope) -> None:  # noqa: ASYNC910
        with clock:
            await trio.sleep(self._timeout)
            self.take(request_id)
            self._expire(request_id)
