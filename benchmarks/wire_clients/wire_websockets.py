"""`websockets` by hand, and our codec: what asyncio can do without a library for the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from driving import AsyncioLoop, Samples, See, obey
from websockets.asyncio.client import ClientConnection, connect

from realtime_trio.connection import Codec
from realtime_trio.events import (
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    ServerEvent,
)

_codec = Codec()


class WebsocketsWire:
    """A connection of `websockets`."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def begin(self) -> None:
        await self._websocket.send(_codec.encode(InputAudioBufferClear()))

    async def drain(self) -> None:
        async for message in self._websocket:
            if isinstance(_codec.decode(message), InputAudioBufferCleared):
                return

    async def listen(self, see: See) -> None:
        async for message in self._websocket:
            event = _codec.decode(message)
            assert isinstance(event, ServerEvent)
            assert event.event_id is not None
            see(event.event_id)

    async def append(self, samples: Samples) -> None:
        await self._websocket.send(_codec.encode(InputAudioBufferAppend(audio=samples)))


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[WebsocketsWire]:
    async with connect(url, max_size=None, compression=None) as websocket:
        await websocket.recv()
        yield WebsocketsWire(websocket)


if __name__ == "__main__":
    obey(AsyncioLoop(), open_wire)
