"""Recordings of what a server hears and says, made at its end of the wire."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

import trio

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.hub import EventHub
from realtime_trio._transport.contract import NORMAL_CLOSURE, Close, Transport
from realtime_trio.recording import WireRecord, open_recording

_CAPACITY: Final = 65_536
"""Records that may wait for the disk; then the recording has a gap, and says so."""


class _Wiretap:
    """A transport that publishes what it carries; see `Transport` for its methods."""

    def __init__(
        self, transport: Transport, hub: EventHub[WireRecord], kind: SessionKind, dialect: Dialect
    ) -> None:
        self._transport = transport
        self._hub = hub
        self._codecs = {
            "client": Codec(Role.SERVER, dialect, kind=kind),
            "server": Codec(Role.CLIENT, dialect, kind=kind),
        }

    @property
    def closed(self) -> Close | None:
        return self._transport.closed

    async def receive(self) -> tuple[str | bytes, ...]:
        batch = await self._transport.receive()
        for message in batch:
            self._note("client", message)
        return batch

    async def send(self, message: str | bytes) -> None:
        self._note("server", message)
        await self._transport.send(message)

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        await self._transport.aclose(code, reason)

    def _note(self, source: Literal["client", "server"], message: str | bytes) -> None:
        self._hub.publish(
            WireRecord(trio.current_time(), source, self._codecs[source].decode(message))
        )


@asynccontextmanager
async def open_wiretap(
    transport: Transport,
    path: str | os.PathLike[str],
    *,
    kind: SessionKind,
    dialect: Dialect = Dialect.GA,
) -> AsyncIterator[Transport]:
    """Record a connection at the server's end, while the block runs.

    Args:
        transport: The server's.
        path: The file; replaced if it exists.
        kind: What the session is for.
        dialect: What is spoken; what is written is always today's.

    Yields:
        The transport to use instead.

    Raises:
        OSError: As for `open_recording`.
    """
    hub: EventHub[WireRecord] = EventHub(capacity=_CAPACITY)
    with hub.subscribe() as wire:
        async with open_recording(wire, path):
            try:
                yield _Wiretap(transport, hub, kind, dialect)
            finally:
                hub.close()
