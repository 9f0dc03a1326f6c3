"""Messages that have arrived and have not been taken yet: the mailbox that transports share.

Owns the waiting on either side of the mailbox.
"""

from __future__ import annotations

import trio


class Inbox:
    """Messages that have arrived and have not been taken yet.

    Args:
        limit: Total size at which the inbox counts as full.  The filler should respect that; `add`
            never refuses.
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

    @property
    def has_news(self) -> bool:
        """Whether `take` would not wait."""
        return bool(self._messages) or self._is_ended

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits in `take`."""
        return bool(self._takers)

    def add(self, message: str | bytes, size: int) -> None:
        """Put one message in; after `end` it is discarded."""
        if not self._is_ended:
            self._messages.append(message)
            self._size += size
            self._takers.unpark_all()

    def end(self) -> None:
        """Note that nothing more will come.

        `take` still returns what is there, and then `()`; `wait_for_room` returns.
        """
        self._is_ended = True
        self._takers.unpark_all()
        self._fillers.unpark_all()

    async def take(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return them all, or `()` after the end.

        Cancel-safe: nothing is lost.
        """
        if self._messages or self._is_ended:
            await trio.lowlevel.checkpoint()
        else:
            # A checkpoint, too; a second one would cost every message a round of the scheduler.
            # If somebody else was faster to take what came, this waits again.
            await self._takers.park()
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
