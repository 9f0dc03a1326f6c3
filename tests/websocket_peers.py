"""WebSocket peers by hand, for what no honest library would do, and other helpers of its tests."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing

from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Transport

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

Script = Callable[[trio.SocketStream], Awaitable[None]]


def frame(opcode: int, payload: bytes, *, size: int | None = None) -> bytes:
    """One whole frame of a server, or one that announces `size` bytes and then has fewer."""
    size = len(payload) if size is None else size
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 2**16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


class Reader:
    """Reads a client's handshake and frames off a stream."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._data = b""

    async def request(self) -> bytes:
        """The HTTP request of the handshake."""
        await trio.lowlevel.checkpoint()
        while b"\r\n\r\n" not in self._data:
            await self._read()
        head, self._data = self._data.split(b"\r\n\r\n", 1)
        return head

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame; those of a client are masked."""
        opcode, length = await self._take(2)
        length &= 0x7F
        if length >= 126:
            length = int.from_bytes(await self._take(2 if length == 126 else 8))
        mask, masked = await self._take(4), await self._take(length)
        return opcode & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))

    async def _take(self, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while len(self._data) < size:
            await self._read()
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    async def _read(self) -> None:
        data = await self._stream.receive_some()
        assert data, "the client hung up"
        self._data += data


async def accept_upgrade(stream: trio.abc.Stream, rest: bytes = b"") -> Reader:
    """Read the client's handshake and accept it; `rest` goes out together with the answer."""
    reader = Reader(stream)
    request = await reader.request()
    [key] = [
        line.partition(b":")[2].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    ]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    await stream.send_all(head + rest)
    return reader


async def read_to_the_end(stream: trio.abc.Stream) -> bytes:
    await trio.lowlevel.checkpoint()
    data = b""
    try:
        async for chunk in stream:
            data += chunk
    except trio.BrokenResourceError:
        data += b"<reset>"
    return data


def reset(stream: trio.SocketStream) -> None:
    """Drop a connection as a crash does: the client's TCP gets an RST."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@asynccontextmanager
async def limited_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks end with the block, which must not take longer than 5 seconds."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 5
        yield nursery
        nursery.cancel_scope.cancel()
    assert trio.current_time() < nursery.cancel_scope.deadline, "too slow"


@asynccontextmanager
async def listening(script: Script) -> AsyncIterator[int]:
    """Run a script on the stream of every client that connects to the port.

    The scripts end with the block, which must not take longer than 5 seconds.
    """

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await script(stream)

    async with limited_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, handle, listeners)
        yield listeners[0].socket.getsockname()[1]


@asynccontextmanager
async def open_tcp_server(script: Script) -> AsyncIterator[str]:
    """The same at a URL."""
    async with listening(script) as port:
        yield f"ws://127.0.0.1:{port}"


@asynccontextmanager
async def open_peer(script: Script) -> AsyncIterator[str]:
    """Run a script for one client.

    Leaving waits for the end of the script, which proves that the client's socket is closed.
    """
    finished = trio.Event()

    async def finish(stream: trio.SocketStream) -> None:
        await script(stream)
        finished.set()

    async with open_tcp_server(finish) as url:
        yield f"{url}/v1"
        await finished.wait()


async def receive_all(transport: Transport) -> list[str | bytes]:
    messages: list[str | bytes] = []
    while True:
        with trio.fail_after(5):
            batch = await transport.receive()
        if not batch:
            return messages
        messages.extend(batch)


async def echo(transport: Transport, _request: HandshakeRequest) -> None:
    await trio.lowlevel.checkpoint()
    for message in await transport.receive():
        await transport.send(message)
    await receive_all(transport)
