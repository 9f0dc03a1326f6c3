"""What is sent to one side of a relay: in order, at once where the network takes it, and bounded.

Owns what waits for the network.  Whoever reads from the other side waits until there is room again,
and so does, in the end, whoever sends there.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final

import trio

from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._transport.contract import Transport
from realtime_trio.errors import ConnectionLost

ROOM: Final = 2**16
"""Characters that may wait, besides what the transport has taken; a message more, if there was room
for it."""


class Pipe:
    """The way to one side.

    Args:
        transport: Where it ends.
        services: Runs a task while the network does not keep up.
    """

    def __init__(self, transport: Transport, services: ServiceNursery) -> None:
        self._transport = transport
        self._services = services
        self._waiting: deque[str] = deque()
        self._size = 0
        self._is_writing = False
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def has_room(self) -> bool:
        """Whether what waits is so little that more may come."""
        return self._size < ROOM

    def post(self, text: str) -> None:
        """Send a message; never waits, whatever there is room for.

        Once the connection has ended, nothing happens.
        """
        if not self._is_writing and self._transport.send_nowait(text):
            return
        self._waiting.append(text)
        self._size += len(text)
        if not self._is_writing:
            self._is_writing = True
            self._services.start_soon(self._write)

    async def wait_for_room(self) -> None:
        """Wait until there is room.  Cancel-safe."""
        await trio.lowlevel.checkpoint()
        while not self.has_room:
            await self._changed.park()

    async def wait_written(self) -> None:
        """Wait until nothing waits any more, or the connection has ended.  Cancel-safe."""
        await trio.lowlevel.checkpoint()
        while self._is_writing:
            await self._changed.park()

    async def _write(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            # The end of a connection is noticed by whoever reads from it.
            with suppress(ConnectionLost):
                while self._waiting:
                    await self._transport.send(self._waiting[0])
                    self._size -= len(self._waiting.popleft())
                    self._changed.unpark_all()
        finally:
            self._waiting.clear()
            self._size = 0
            self._is_writing = False
            self._changed.unpark_all()
