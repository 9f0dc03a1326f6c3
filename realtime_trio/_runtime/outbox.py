"""What waits to be written to the socket, in the order it was sent.

Owns the one queue between everybody who sends and the task that writes.  There are two lanes into
it and one order: `put` is the user's and waits for a free slot, `post` is the library's own and
never waits, since a reflex that waits for the network would deadlock the receiver.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import trio

from realtime_trio.errors import SessionClosed

T = TypeVar("T")


class Outbox(Generic[T]):
    """A FIFO with a bound for users and none for reflexes.

    Args:
        capacity: How many entries may wait before `put` does.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: deque[T] = deque()
        self._closed = False
        self._in_hand = False
        self._promised = 0
        self._putters = trio.lowlevel.ParkingLot()
        self._taker = trio.lowlevel.ParkingLot()
        self._idle = trio.lowlevel.ParkingLot()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be enqueued any more."""
        return self._closed

    async def put(self, entry: T) -> None:
        """Wait for a free slot and enqueue.  Who came first is first.

        Cancel-safe: nothing was enqueued.

        Raises:
            SessionClosed: The outbox is closed, or was while this waited; nothing was enqueued.
        """
        await self.wait_for_room()
        self.post(entry)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_for_room(self) -> None:
        """Wait for a free slot, or for the end; the slot is the caller's until its next checkpoint.  Who came first is first."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._closed and not self._has_room:
            await self._putters.park()
            # from waking up to running the slot was ours, or somebody who came later would have
            # taken it
            self._promised -= 1
        if self._closed:
            # whoever was cancelled by the failure that closed this is told that, and not the
            # consequence
            await trio.lowlevel.checkpoint()

    def post(self, entry: T) -> None:
        """Enqueue at once, whatever the capacity.

        Raises:
            SessionClosed: The outbox is closed; nothing was enqueued.
        """
        if self._closed:
            raise SessionClosed("the session has ended; nothing can be sent any more")
        self._entries.append(entry)
        self._taker.unpark()

    async def take(self) -> T | None:
        """Wait for the oldest entry; None once the outbox is closed and empty.

        Calling it again says that the previous entry has been dealt with.
        """
        self._in_hand = False
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._entries:
            self._idle.unpark_all()
            if self._closed:
                return None
            await self._taker.park()
        entry = self._entries.popleft()
        self._in_hand = True
        if self._has_room:
            self._promised += len(self._putters.unpark())
        return entry

    def close(self) -> None:
        """Take no more entries; those who wait in `put` get `SessionClosed`, what is enqueued can still be taken.  Idempotent."""
        self._closed = True
        self._promised += len(self._putters.unpark_all())
        self._taker.unpark_all()

    def discard(self) -> None:
        """Close, and forget what nobody will write any more.  Idempotent."""
        self.close()
        self._entries.clear()
        self._in_hand = False
        self._idle.unpark_all()

    async def wait_drained(self) -> None:
        """Wait until everything that was enqueued has been dealt with."""
        while self._entries or self._in_hand:
            await self._idle.park()
        await trio.lowlevel.checkpoint()

    @property
    def _has_room(self) -> bool:
        return len(self._entries) + self._promised < self._capacity
