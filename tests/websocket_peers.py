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

from realtime_trio._transport.contract import Transport
from realtime_trio.simulator.serving.websocket_server import (
    HandshakeRequest,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

Script = Callable[[trio.SocketStream], Awaitable[None]]


# A WebSocket peer by hand, for what no honest library would do.


def frame(opcode: int, payload: bytes, *, size: int | None = None) -> bytes:
    """One whole frame of up to 125 bytes, or one that announces `size` bytes and then has fewer."""
    return struct.pack("!BB", 0x80 | opcode, len(payload) if size is None else size) + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


async def read_request(stream: trio.abc.Stream) -> bytes:
    await trio.lowlevel.checkpoint()
    request = b""
    while b"\r\n\r\n" not in request:
        data = await stream.receive_some()
        assert data, "the client hung up"
        request += data
    return request


async def answer_upgrade(stream: trio.abc.Stream, rest: bytes = b"") -> None:
    request = await read_request(stream)
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
async def open_peer(script: Script) -> AsyncIterator[str]:
    """Run a script for one client.

    Leaving waits for the end of the script, which proves that the client's socket is closed.
    """
    finished = trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await script(stream)
        finished.set()

    async with limited_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, handle, listeners)
        yield f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
        await finished.wait()


def count_tasks(root: trio.lowlevel.Task | None = None) -> int:
    root = root or trio.lowlevel.current_root_task()
    assert root is not None
    return 1 + sum(
        count_tasks(task) for nursery in root.child_nurseries for task in nursery.child_tasks
    )


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
