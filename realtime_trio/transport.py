"""Moving whole messages between two peers: what a transport promises, and the in-memory one.

Owns the contract every transport keeps (`Transport`, `Close`), the mailbox they share (`Inbox`) and `memory_transport_pair`, which keeps
the contract without a network.  The WebSocket that keeps it over one lives in `realtime_trio._websocket`.  A message is a `str` (a text
frame) or `bytes` (a binary frame); nothing here knows what is inside.
"""

from __future__ import annotations

import math
from typing import Protocol

import attrs
import trio

from realtime_trio.errors import ConnectionLost, LocalProtocolError

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
NO_STATUS_RECEIVED = 1005
ABNORMAL_CLOSURE = 1006
_NEVER_SENT = frozenset({1004, NO_STATUS_RECEIVED, ABNORMAL_CLOSURE, 1015})  # RFC 6455 section 7.4.1: not allowed in a close frame


@attrs.frozen
class Close:
    """How a connection ended."""

    code: int
    """WebSocket close code; 1006 means that no close frame was seen, 1005 that the peer's close frame had no code."""
    reason: str = ""
    """What the side that closed said, or our own words when nobody said anything."""

    @property
    def is_clean(self) -> bool:
        """Whether this was a goodbye: 1000, or a close frame without a code (1005).  Everything else is a failure."""
        return self.code in (NORMAL_CLOSURE, NO_STATUS_RECEIVED)


class Transport(Protocol):
    """A connection that carries whole messages, in order, both ways.

    One task receives, one task sends, any task may close.  Every transport of this library keeps exactly this contract.
    """

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open.

        It may be set while received messages still wait for `receive`, and never changes once set.  When this side closed first it is
        what was passed to `aclose`.
        """
        ...

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived, at least one.

        Returns `()` once the connection has ended, whoever ended it and however, and every message that came before has been returned;
        then `closed` says how.  It never raises for anything the peer does.

        Cancel-safe: nothing is lost.
        """
        ...

    async def send(self, message: str | bytes) -> None:
        """Send one message; return when it has been handed to the network.

        Waits while the peer does not keep up.  One task at a time.

        Cancelling is *not* safe: unless it was cancelled on entry, before anything was written, a cancelled send ends the connection
        for good as `Close(1006)`, because the peer may have half a frame.

        Raises:
            ConnectionLost: The connection has ended, cleanly or not; code and reason are those of `closed`.
        """
        ...

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye and free everything; return when no task and no socket is left.

        Messages received before stay readable, later ones are discarded.  A second call, or one after the connection has ended by
        itself, only waits for the end.  Never raises Cancelled: it is bounded by the transport's own close timeout, and works the same
        way in a cancelled scope.

        Args:
            code: Close code for the peer, 1000-1003, 1007-1014 or 3000-4999.
            reason: Text for the peer; what exceeds 123 bytes of UTF-8 is cut off on the wire.

        Raises:
            LocalProtocolError: The code may not appear on the wire.  Nothing was closed.
        """
        ...


def check_close_code(code: int) -> None:
    """Raise LocalProtocolError unless RFC 6455 allows this code in a close frame."""
    if not 1000 <= code <= 4999 or code in _NEVER_SENT:
        raise LocalProtocolError(f"close code {code} may not be sent; use 1000-1003, 1007-1014 or 3000-4999")


class Inbox:
    """Messages that have arrived and that nobody has taken yet.

    Args:
        limit: Total size from which on the inbox is full.  The filler is to respect that; `add` never refuses.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._messages: list[str | bytes] = []
        self._size = 0
        self._is_ended = False
        self._takers = trio.lowlevel.ParkingLot()
        self._fillers = trio.lowlevel.ParkingLot()

    @property
    def is_full(self) -> bool:
        """Whether the filler should wait.  Never after `end`."""
        return self._size >= self._limit and not self._is_ended

    def add(self, message: str | bytes, size: int) -> None:
        """Put one message in; after `end` it is discarded."""
        if not self._is_ended:
            self._messages.append(message)
            self._size += size
            self._takers.unpark_all()

    def end(self) -> None:
        """Nothing more will come: `take` drains and then returns `()`, `wait_for_room` returns."""
        self._is_ended = True
        self._takers.unpark_all()
        self._fillers.unpark_all()

    async def take(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return them all, or `()` after the end.  Cancel-safe: nothing is lost."""
        if self._messages or self._is_ended:
            await trio.lowlevel.checkpoint()
        else:
            await self._takers.park()  # a checkpoint, too; two would cost every message a round of the scheduler
            while not self._messages and not self._is_ended:
                await self._takers.park()
        batch = tuple(self._messages)
        self._messages.clear()
        self._size = 0
        self._fillers.unpark_all()
        return batch

    async def wait_for_room(self) -> None:
        """Wait until the inbox is not full."""
        await trio.lowlevel.checkpoint()
        while self.is_full:
            await self._fillers.park()


class MemoryTransport:
    """One end of `memory_transport_pair`; see `Transport` for its methods.

    It has no closing handshake and no timeouts: both ends agree at once.
    """

    def __init__(self, capacity: float) -> None:
        self._inbox = Inbox(capacity)
        self._closed: Close | None = None
        self._peer = self

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open."""
        return self._closed

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived; `()` after the end.  Cancel-safe: nothing is lost."""
        return await self._inbox.take()

    async def send(self, message: str | bytes) -> None:
        """Put one message into the peer's inbox, waiting while that is full.

        A send cancelled while it waits drops the connection like a half-written frame does on a network.

        Raises:
            ConnectionLost: The connection has ended.
        """
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
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close both ends; the peer drains what it was sent and then sees this code and reason.  Idempotent, never cancelled.

        Raises:
            LocalProtocolError: The code may not appear on the wire.
        """
        check_close_code(code)
        self._end(Close(code, reason))
        await trio.lowlevel.cancel_shielded_checkpoint()

    def abort(self, reason: str = "connection dropped") -> None:
        """Drop the connection as a network failure would: both ends see `Close(1006, reason)`, after draining.  Idempotent."""
        self._end(Close(ABNORMAL_CLOSURE, reason))

    def _end(self, close: Close) -> None:
        if self._closed is None:
            for end in (self, self._peer):
                end._closed = close
                end._inbox.end()


def memory_transport_pair(*, capacity: float = math.inf) -> tuple[MemoryTransport, MemoryTransport]:
    """Make two transports that are connected to each other, without network, threads or timeouts: made for tests under an autojump clock.

    Args:
        capacity: How many messages may wait at either end before the other end's `send` waits; at least 1.
    """
    left, right = MemoryTransport(capacity), MemoryTransport(capacity)
    left._peer, right._peer = right, left
    return left, right
