"""Browsers as a console sees them, for tests: requests over HTTP, and the WebSockets of a page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import h11
import trio

from realtime_trio._transport.contract import Transport
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.console.serving import Address, serve_console
from realtime_trio.console.sources import Source

TOKEN = "openai-insecure-api-key."


@asynccontextmanager
async def serving(source: Source, **options: Any) -> AsyncIterator[Address]:
    """A console on a real port."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            address: Address = await nursery.start(
                partial(serve_console, source, port=0, **options)
            )
            yield address
            nursery.cancel_scope.cancel()


async def get(
    base: str, path: str, *, method: str = "GET", token: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; a base is scheme, host and port."""
    parts = urlsplit(base)
    assert parts.hostname is not None
    assert parts.port is not None
    sent = {"host": parts.netloc, **{name.replace("_", "-"): v for name, v in headers.items()}}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    client = h11.Connection(h11.CLIENT)
    stream = await trio.open_tcp_stream(parts.hostname, parts.port)
    async with stream:
        request = h11.Request(method=method, target=path, headers=list(sent.items()))
        await stream.send_all(client.send(request) or b"")
        await stream.send_all(client.send(h11.EndOfMessage()) or b"")
        body = b""
        head: h11.Response | None = None
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
    assert head is not None
    return head.status_code, {name.decode(): value.decode() for name, value in head.headers}, body


async def setup(address: Address) -> dict[str, Any]:
    """What a page is told when it is opened."""
    status, _, body = await get(address.base, "/setup.json", token=address.token.text)
    assert status == 200
    answer = json.loads(body)
    assert isinstance(answer, dict)
    return answer


class Page:
    """One WebSocket of a page, with messages as values."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.got: list[dict[str, Any]] = []
        """Everything that was received, in order."""
        self._waiting: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any] | None:
        """The next message, None at the end."""
        with trio.fail_after(10):
            await trio.lowlevel.checkpoint()
            while not self._waiting:
                batch = await self.transport.receive()
                if not batch:
                    return None
                self._waiting += [json.loads(message) for message in batch]
        message = self._waiting.pop(0)
        self.got.append(message)
        return message

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message of which this is true."""
        await trio.lowlevel.checkpoint()
        while (message := await self.receive()) is not None:
            if condition(message):
                return message
        raise AssertionError(f"the connection ended first: {self.transport.closed}")

    async def had(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The same, or one that has come already."""
        await trio.lowlevel.checkpoint()
        for message in self.got:
            if condition(message):
                return message
        return await self.until(condition)

    async def until_kind(self, kind: str) -> dict[str, Any]:
        """The next message of this kind."""
        return await self.until(lambda message: message["kind"] == kind)

    async def until_type(self, wire_type: str) -> dict[str, Any]:
        """The next record of this type, or event of the service."""
        return await self.until(
            lambda message: wire_type in (message.get("event", {}).get("type"), message.get("type"))
        )

    async def say(self, message: Mapping[str, object]) -> None:
        """Send a message."""
        await self.transport.send(json.dumps(message))

    async def ask(self, kind: str, number: int = 1, **members: object) -> dict[str, Any]:
        """Ask for something, and return the answer."""
        await self.say({"kind": kind, "id": number, **members})
        return await self.until(lambda message: message.get("id") == number)


@asynccontextmanager
async def opened(address: Address, url: str, *, token: str | None = None) -> AsyncIterator[Page]:
    """A WebSocket of a page, at one of the two addresses of its setup."""
    base = address.base.replace("http", "ws", 1)
    shown = address.token.text if token is None else token
    async with open_websocket(
        f"{base}{url}",
        headers=[("Origin", address.base)],
        subprotocols=["realtime", f"{TOKEN}{shown}"],
    ) as transport:
        yield Page(transport)
