"""The transport without a network: two ends in one process, for tests."""

from __future__ import annotations

import math

import trio

from realtime_trio._transport.contract import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    Close,
    check_close_code,
)
from realtime_trio._transport.inbox import Inbox
from realtime_trio.errors import ConnectionLost


class MemoryTransport:
    """One end of `memory_transport_pair`; see `Transport` for its methods.

    It has no closing handshake and no timeouts: both ends agree at once.
    """

    def __init__(self, capacity: float) -> None:
        self._inbox = Inbox(capacity)
        self._closed: Close | None = None
        self._peer = self  # until `memory_transport_pair` has made the other end

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open."""
        return self._closed

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived; `()` after the end.

        Cancel-safe: nothing is lost.
        """
        return await self._inbox.take()

    async def send(self, message: str | bytes) -> None:
        """Put one message into the peer's inbox; wait while that is full.

        A send that is cancelled while it waits drops the connection, as a half-written frame does
        on a network.

        Raises:
            ConnectionLost: The connection has ended.
        """
        # Cancelled on entry, it has sent nothing, and the connection stays: see `Transport.send`.
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._peer._inbox.is_full:
            try:
                await self._peer._inbox.wait_for_room()
            except trio.Cancelled:
                self.abort("a send was cancelled half way")
                raise
        if self._closed is not None:
            raise ConnectionLost(self._closed.code, self._closed.reason)
        self._peer._inbox.add(message, 1)
        # The message has arrived, so this must not look as if it had been cancelled.
        await trio.lowlevel.cancel_shielded_checkpoint()

    def send_nowait(self, message: str | bytes) -> bool:
        """Put one message into the peer's inbox if there is room; False if there is none.

        False, too, once the connection has ended.
        """
        if self._closed is not None or self._peer._inbox.is_full:
            return False
        self._peer._inbox.add(message, 1)
        return True

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close both ends; the peer drains what it was sent and then sees this code and reason.

        Idempotent, never cancelled.

        Raises:
            LocalProtocolError: The code may not appear on the wire.
        """
        check_close_code(code)
        self._end(Close(code, reason))
        await trio.lowlevel.cancel_shielded_checkpoint()

    def abort(self, reason: str = "connection dropped") -> None:
        """Drop the connection as a network failure would.  Idempotent.

        Both ends see `Close(1006, reason)`, after draining.
        """
        self._end(Close(ABNORMAL_CLOSURE, reason))

    def _end(self, close: Close) -> None:
        # Both ends at once: there is no network on which a close frame could be under way.
        if self._closed is None:
            for end in (self, self._peer):
                end._closed = close
                end._inbox.end()


def memory_transport_pair(*, capacity: float = math.inf) -> tuple[MemoryTransport, MemoryTransport]:
    """Make two transports that are connected to each other.

    There is no network, no thread and no timeout, so that tests can run under an autojump clock.

    Args:
        capacity: How many messages may wait at either end before the other end's `send` waits; at
            least 1.
    """
    left, right = MemoryTransport(capacity), MemoryTransport(capacity)
    left._peer, right._peer = right, left
    return left, right
