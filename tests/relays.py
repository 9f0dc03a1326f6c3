"""Relays for tests: in memory with a service that says what it is told, and on a port.

A guest of a relay in memory is a transport; one on a port connects as a browser or a program does.
"""

from __future__ import annotations

import importlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from realtime_trio._transport.contract import Transport
from realtime_trio._transport.memory import MemoryTransport, memory_transport_pair
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio.relay import (
    AuditRecord,
    Authorize,
    Grant,
    Service,
    relay,
    serve_relay,
    service_at,
)
from realtime_trio.simulator import Script, serve_simulator

Json = dict[str, Any]

KEY = "sk-of-the-relay"
"""The key of the service, which no guest may ever see."""

CREATED = {
    "type": "session.created",
    "event_id": "event_1",
    "session": {
        "type": "realtime",
        "id": "sess_1",
        "object": "realtime.session",
        "model": "gpt-realtime",
        "instructions": "a secret",
        "tools": [],
    },
}


class Audits:
    """Takes records, and waits for them."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[AuditRecord](100)

    def __call__(self, record: AuditRecord) -> None:
        self._send.send_nowait(record)

    async def next(self) -> AuditRecord:
        """The record of the next session that is over."""
        with trio.fail_after(20):
            return await self._receive.receive()


class Talker:
    """One end of a connection, for messages that a test writes by hand."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._arrived: list[str | bytes] = []

    async def say(self, *messages: Json | str) -> None:
        await trio.lowlevel.checkpoint()
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            await self.transport.send(text)

    async def hear_text(self) -> str:
        """The next message as it is."""
        await trio.lowlevel.checkpoint()
        while not self._arrived:
            batch = await self.transport.receive()
            assert batch, f"it is over: {self.transport.closed}"
            self._arrived.extend(batch)
        message = self._arrived.pop(0)
        assert isinstance(message, str)
        return message

    async def hear(self, wire_type: str = "") -> Json:
        """The next event, which must be of this type."""
        event: Json = json.loads(await self.hear_text())
        assert not wire_type or event["type"] == wire_type, event
        return event

    async def hear_error(self) -> Json:
        error: Json = (await self.hear("error"))["error"]
        return error

    async def hear_the_rest(self) -> list[Json]:
        """All events up to the end."""
        while batch := await self.transport.receive():
            self._arrived.extend(batch)
        events = [json.loads(message) for message in self._arrived]
        self._arrived.clear()
        return events


class Relayed:
    """A session through a relay in memory: both ends, and what was written about it."""

    def __init__(self, guest: Talker, service: Talker, records: list[AuditRecord]) -> None:
        self.guest = guest
        self.service = service
        self._records = records

    @property
    def record(self) -> AuditRecord:
        [record] = self._records
        return record


def service_of(transport: MemoryTransport) -> Service:
    """A service that is on the other end of a transport."""

    @asynccontextmanager
    async def connect(_grant: Grant) -> AsyncIterator[Transport]:
        try:
            yield transport
        finally:
            with trio.CancelScope(shield=True):
                await transport.aclose()

    return connect


@asynccontextmanager
async def open_relayed(
    grant: Grant | None = None,
    *,
    greets: bool = True,
    drained: trio.Event | None = None,
    capacity: float = float("inf"),
) -> AsyncIterator[Relayed]:
    """A relay in memory, whose service has greeted the guest already, unless told otherwise."""
    guest, guest_end = memory_transport_pair(capacity=capacity)
    service_end, service = memory_transport_pair(capacity=capacity)
    records: list[AuditRecord] = []
    relayed = Relayed(Talker(guest), Talker(service), records)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                relay,
                guest_end,
                Grant() if grant is None else grant,
                service_of(service_end),
                peer="192.0.2.1",
                audit=records.append,
                drained=drained,
            )
        )
        if greets:
            await relayed.service.say(CREATED)
            await relayed.guest.hear("session.created")
        yield relayed
        await guest.aclose()


@asynccontextmanager
async def relay_at_port(
    authorize: Authorize | Grant | None = None,
    *,
    script: Script | None = None,
    service: Service | None = None,
    audit: Callable[[AuditRecord], None] = lambda _: None,
    limit: float = 20,
    **options: Any,
) -> AsyncIterator[str]:
    """The URL of a relay in front of a simulator, which must not be needed for long."""
    with trio.fail_after(limit):
        async with trio.open_nursery() as nursery:
            if service is None:
                url: str = await nursery.start(
                    partial(serve_simulator, script or Script(), api_key=KEY)
                )
                service = service_at(url, api_key=KEY)
            options.setdefault(
                "settings", WebSocketSettings(close_timeout=0.5, max_message_size=2**20)
            )
            yield await nursery.start(
                partial(
                    serve_relay,
                    Grant(sessions=float("inf")) if authorize is None else authorize,
                    service=service,
                    audit=audit,
                    **options,
                )
            )
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def hypercorn(
    app: Any,
    *,
    shutdown_trigger: Callable[[], Awaitable[None]] | None = None,
    tls: tuple[Path, Path] | None = None,
    limit: float = 20,
    **options: Any,
) -> AsyncIterator[str]:
    """Hypercorn with its trio worker, at a free port, which must not be needed for long.

    Args:
        app: What is served.
        shutdown_trigger: Returns when it should stop; else it does at the end of the block.
        tls: Files with a chain of certificates and the private key.
        limit: Seconds.
        **options: Of its `Config`.
    """
    pytest.importorskip("hypercorn", reason="the extra web is not installed")
    config_module: Any = importlib.import_module("hypercorn.config")
    trio_module: Any = importlib.import_module("hypercorn.trio")

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    config = config_module.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None
    if tls is not None:
        config.certfile, config.keyfile = map(str, tls)
    for name, value in options.items():
        setattr(config, name, value)
    with trio.fail_after(limit):
        async with trio.open_nursery() as nursery:
            serve = partial(trio_module.serve, shutdown_trigger=shutdown_trigger)
            await nursery.start(serve, app, config)
            yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}"
            nursery.cancel_scope.cancel()


def granting(grant: Grant) -> Authorize:
    """Lets everybody in."""

    async def authorize(_request: object) -> Grant:
        await trio.lowlevel.checkpoint()
        return grant

    return authorize
