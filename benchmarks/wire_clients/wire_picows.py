"""picows and our codec: a WebSocket in C, and a callback per event.

It has no `async for`: what is measured ends in the callback, so that it is a bound and not a rival.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from driving import AsyncioLoop, Samples, See, obey
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from realtime_trio.connection import Codec
from realtime_trio.events import (
    Event,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    ServerEvent,
)

_codec = Codec()


def _nothing(_event: Event) -> None:
    """What is done with an event that nobody waits for."""


class PicowsWire(WSListener):
    """A connection of picows."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: WSTransport
        self.greeted = asyncio.Event()
        self._ended = asyncio.Event()
        self._handle = self._greet

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._handle(_codec.decode(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def _greet(self, event: Event) -> None:
        self._handle = self._watch
        self.greeted.set()

    def _watch(self, event: Event) -> None:
        if isinstance(event, InputAudioBufferCleared):
            self._ended.set()

    async def begin(self) -> None:
        await self._send(InputAudioBufferClear())

    async def drain(self) -> None:
        self._handle = self._watch
        await self._ended.wait()

    async def listen(self, see: See) -> None:
        def watch(event: Event) -> None:
            assert isinstance(event, ServerEvent)
            assert event.event_id is not None
            see(event.event_id)

        self._handle = watch
        await asyncio.get_running_loop().create_future()

    async def append(self, samples: Samples) -> None:
        await self._send(InputAudioBufferAppend(audio=samples))

    async def _send(self, event: InputAudioBufferAppend | InputAudioBufferClear) -> None:
        self.transport.send(WSMsgType.TEXT, _codec.encode(event).encode())
        await asyncio.sleep(0)


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[PicowsWire]:
    wire = PicowsWire()
    await ws_connect(lambda: wire, url)
    await wire.greeted.wait()
    yield wire
    wire.transport.send_close()
    await wire.transport.wait_disconnected()


if __name__ == "__main__":
    obey(AsyncioLoop(), open_wire)
