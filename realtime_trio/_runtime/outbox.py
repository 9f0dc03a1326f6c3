"""What waits to be written to the socket, in the order in which it was sent.

Owns the one queue between all tasks that send and the one that writes.  There are two lanes into it
and one order: users first `wait_for_room` and then `post`; the library's own reflexes only `post`,
since a reflex that waited for the network would deadlock the receiver.

Theory of operation.  A free slot is given away when a waiting task is woken, and not when that task
runs: until then the slot is *promised*.  Without that, a task that finds room and does not have to
wait would overtake those that waited, and the bound would be exceeded by as many as were woken.  A
task that has waited therefore gives the promise back before anything else, and then posts without a
checkpoint in between.  There is one promise at a time, since tasks that are woken together run in
any order; and while somebody waits, there is no room for anybody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

import trio

from realtime_trio.errors import SessionClosed

T = TypeVar("T")


class Outbox(Generic[T]):
    """A FIFO with a bound for users and none for reflexes.

    Args:
        capacity: How many entries may wait before `wait_for_room` does.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # A list, since it has few entries and mostly none: an empty deque takes 760 bytes.
        self._entries: list[T] = []
        self._is_closed = False
        self._is_paused = False
        self._is_in_hand = False
        """Whether the taker has an entry that has not been dealt with."""
        self._promised = 0
        """Slots that belong to tasks which have been woken and have not run yet."""
        self._waiters = trio.lowlevel.ParkingLot()
        self._taker = trio.lowlevel.ParkingLot()
        self._idle = trio.lowlevel.ParkingLot()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be enqueued any more."""
        return self._is_closed

    @property
    def waits(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._entries)

    @property
    def is_idle(self) -> bool:
        """Whether an entry that comes now would be the next one to be dealt with.

        It may then be dealt with at once, by whoever has it: nothing is in here or in hand, nobody
        comes before, and nobody has asked for a pause.
        """
        return not (
            self._entries
            or self._is_in_hand
            or self._promised
            or self._is_paused
            or self._is_closed
        )

    async def wait_for_room(self) -> None:
        """Wait for a free slot, or for the end.  First come, first served.

        The slot is the caller's until its next checkpoint.

        Cancel-safe: no slot is taken.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._is_closed and not self._has_room:
            await self._waiters.park()
            # The slot was promised to us; `post` takes it in earnest, before the next one runs.
            self._promised -= 1
            self._promise(besides=1)
        if self._is_closed:
            # A failure may have closed this and cancelled the caller, too.  Then the caller is told
            # of the cancellation, and not of its consequence, the closed queue.
            await trio.lowlevel.checkpoint()

    def post(self, entry: T) -> None:
        """Enqueue at once, whatever the capacity.

        Raises:
            SessionClosed: The outbox is closed; nothing was enqueued.
        """
        if self._is_closed:
            raise SessionClosed("the session has ended; nothing can be sent any more")
        self._entries.append(entry)
        self._taker.unpark()

    async def take(self) -> T | None:
        """Wait for the oldest entry; None once the outbox is closed and empty.

        Calling it again says that the previous entry has been dealt with.

        Cancel-safe: nothing was taken.
        """
        if self._is_in_hand:
            self._is_in_hand = False
            if self._is_paused:
                self._idle.unpark_all()
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._is_paused or not self._entries:
            if not self._entries:
                self._idle.unpark_all()
                if self._is_closed:
                    return None
            await self._taker.park()
        entry = self._entries.pop(0)
        self._is_in_hand = True
        # Reflexes may have filled the slot that has just become free; then nobody is woken.
        self._promise()
        return entry

    def pause(self) -> None:
        """Hand out no more entries until `resume`.  Idempotent.

        What is sent meanwhile waits in its order, and users wait once the outbox is full.  An entry
        that was taken before stays with its taker.
        """
        self._is_paused = True

    def resume(self) -> None:
        """Hand out entries again.  Idempotent."""
        self._is_paused = False
        self._taker.unpark()

    async def wait_put_down(self) -> None:
        """Wait until the taker has nothing in hand, which while paused stays so."""
        while self._is_in_hand:
            await self._idle.park()
        await trio.lowlevel.checkpoint()

    def refill(self, entries: Iterable[T]) -> None:
        """Put these in the place of everything that waits, whatever the capacity, even if closed.

        For whoever has kept what was enqueued, and knows better what is to be written now.  What is
        in hand stays with its taker.
        """
        self._entries = [*entries]
        self._promise()
        self._taker.unpark()

    def close(self) -> None:
        """Take no more entries; what is enqueued can still be taken.  Idempotent.

        Those who wait for room are woken, and get `SessionClosed` when they post.
        """
        self._is_closed = True
        # Each of them gives a promise back when it runs, so each is given one here, room or not.
        self._promised += len(self._waiters.unpark_all())
        self._taker.unpark_all()

    def discard(self) -> None:
        """Close, and drop what will never be written.  Idempotent."""
        self.close()
        self._entries.clear()
        self._is_in_hand = False
        self._idle.unpark_all()

    async def wait_drained(self) -> None:
        """Wait until everything that was enqueued has been dealt with, or is discarded."""
        # In hand counts, too: the last entry leaves the queue before it is written.
        while self._entries or self._is_in_hand:
            await self._idle.park()
        await trio.lowlevel.checkpoint()

    def _promise(self, *, besides: int = 0) -> None:
        """Wake whoever has waited longest, if there is a slot besides those that will be taken.

        One at a time: several that are woken together would run in any order.
        """
        if not self._promised and len(self._entries) + besides < self._capacity:
            self._promised = len(self._waiters.unpark())

    @property
    def _has_room(self) -> bool:
        # Where somebody waits, or was promised a slot, there is none for those who come later: they
        # get theirs in their turn.
        return len(self._entries) < self._capacity and not self._promised and not self._waiters
