"""realtime_trio's `open_connection`, by its documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from driving import Samples, See, obey
from trio_loop import TrioLoop

from realtime_trio import Connection, open_connection
from realtime_trio.events import (
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    SessionCreated,
)


class ConnectionWire:
    """A bare connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def begin(self) -> None:
        await self._connection.send(InputAudioBufferClear())

    async def drain(self) -> None:
        async for event in self._connection:
            if isinstance(event, InputAudioBufferCleared):
                return

    async def listen(self, see: See) -> None:
        async for event in self._connection:
            assert event.event_id is not None
            see(event.event_id)

    async def append(self, samples: Samples) -> None:
        await self._connection.send(InputAudioBufferAppend(audio=samples))


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[ConnectionWire]:
    async with open_connection(url=url, api_key="-") as connection:
        assert isinstance(await connection.receive(), SessionCreated)
        yield ConnectionWire(connection)


if __name__ == "__main__":
    obey(TrioLoop(), open_wire)
