"""Clients of a simulator on a real port, for tests: they send events and read the answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import h11
import trio

from realtime_trio._protocol.codec import Codec
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.events import (
    ClientEvent,
    ErrorEvent,
    Event,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
)
from realtime_trio.simulator import (
    Script,
    serve_simulator,
)

CODEC = Codec(strict=True)
TRANSLATION = Codec(kind=SessionKind.TRANSLATION, strict=True)
TEXT = SessionUpdate(session=SessionConfig(output_modalities=("text",)))


async def send(transport: Transport, *events: ClientEvent) -> None:
    await trio.lowlevel.checkpoint()
    for event in events:
        await transport.send(CODEC.encode(event))


async def receive_until(
    transport: Transport, last: type[Event], codec: Codec = CODEC
) -> list[Event]:
    """Everything up to an event of this type, or to the end."""
    events: list[Event] = []
    with trio.fail_after(5):
        await trio.lowlevel.checkpoint()
        while not any(isinstance(event, last) for event in events):
            batch = await transport.receive()
            if not batch:
                break
            events += [codec.decode(message) for message in batch]
    return events


@asynccontextmanager
async def serving(
    script: Script | Callable[[], Script] | None = None, **options: Any
) -> AsyncIterator[str]:
    """The URL of a simulator on a real port."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            given: dict[str, Any] = {} if script is None else {"script": script}
            url: str = await nursery.start(partial(serve_simulator, **given, **options))
            yield url
            nursery.cancel_scope.cancel()


async def turned_away(url: str, **options: Any) -> tuple[ErrorEvent, Close | None]:
    """Connect where one is not wanted; return what one is told, and how it ends."""
    async with open_websocket(url, **options) as transport:
        (event,) = await receive_until(transport, SessionCreated)
        assert isinstance(event, ErrorEvent)
        return event, transport.closed


async def ask(
    url: str, method: str, path: str, body: object = None, *, key: str | None = None, **more: str
) -> tuple[int, dict[str, str], Any]:
    """Ask over HTTP where the WebSockets are; return status, headers and the JSON of the answer.

    Keywords are more headers, or `host` in place of the one of the URL.
    """
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    content = b"" if body is None else json.dumps(body).encode()
    headers = [("content-length", str(len(content))), *({"host": address.netloc} | more).items()]
    if key is not None:
        headers.append(("authorization", f"Bearer {key}"))
    client = h11.Connection(h11.CLIENT)
    answer = b""
    with trio.fail_after(5):
        async with await trio.open_tcp_stream(address.hostname, address.port) as stream:
            request = client.send(h11.Request(method=method, target=path, headers=headers))
            await stream.send_all((request or b"") + (client.send(h11.Data(data=content)) or b""))
            client.send(h11.EndOfMessage())
            async for data in stream:
                client.receive_data(bytes(data))
    client.receive_data(b"")
    head = client.next_event()
    assert isinstance(head, h11.Response)
    while isinstance(part := client.next_event(), h11.Data):
        answer += part.data
    return (
        head.status_code,
        {name.decode(): value.decode() for name, value in head.headers},
        json.loads(answer),
    )
