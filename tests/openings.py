"""Sessions and bare connections alike, and servers for both that greet them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from peers import Server, created
from websocket_peers import PING, PONG, TEXT, Reader, accept_upgrade, frame

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.connection import Connection, open_connection
from realtime_trio.events import Event, InputAudioBufferCommit, ServerEvent

Opened = Session | Connection
Open = Callable[..., AbstractAsyncContextManager[Opened]]
both = pytest.mark.parametrize("open_", [open_session, open_connection])


_codec = Codec(Role.SERVER, strict=True)


def event_frame(event: ServerEvent) -> bytes:
    return frame(TEXT, _codec.encode(event).encode())


def events_of(opened: Opened) -> Any:
    return opened if isinstance(opened, Connection) else opened.events()


async def consume(events: Any) -> list[Event]:
    """All events up to the end."""
    await trio.lowlevel.checkpoint()
    return [event async for event in events]


async def greet(server: Server) -> None:
    """Begin the session, and wait until the client says that it has seen that."""
    await server.say(created())
    await server.hear(InputAudioBufferCommit)


async def start(opened: Opened) -> Any:
    """Let the server go on, and return the events from the first on."""
    events = events_of(opened)
    await opened.send(InputAudioBufferCommit())
    return events


async def greet_by_hand(stream: trio.SocketStream) -> Reader:
    reader = await accept_upgrade(stream)
    await stream.send_all(event_frame(created()))
    opcode, _ = await frame_between_pings(stream, reader)
    assert opcode == TEXT
    return reader


async def frame_between_pings(stream: trio.SocketStream, reader: Reader) -> tuple[int, bytes]:
    """The next frame that is not the client's keep-alive, which is answered."""
    while True:
        opcode, payload = await reader.frame()
        if opcode != PING:
            return opcode, payload
        await stream.send_all(frame(PONG, payload))


async def greet_and_listen(server: Server) -> None:
    await server.say(created())
    await server.hear_the_rest()
