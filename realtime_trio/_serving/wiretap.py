"""Transports that report what they carry, and recordings made of that.

Owns the tap alone; the file format is in `realtime_trio.recording`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._protocol.wire_record import Source, WireRecord
from realtime_trio._runtime.hub import EventHub
from realtime_trio._transport.contract import NORMAL_CLOSURE, Close, Transport
from realtime_trio.recording import open_recording

_CAPACITY: Final = 65_536
"""Records that may wait for the disk; with more the recording has a gap, and says so."""


class Wiretap:
    """A transport that hands everything on and reports it; see `Transport` for its methods.

    Args:
        transport: The transport that does the work.
        role: The side this end is on.
        note: Called as `note(source, message)` with every message: a received one when it is taken,
            a sent one when sending begins.
    """

    def __init__(
        self,
        transport: Transport,
        role: Role,
        note: Callable[[Source, str | bytes], None],
    ) -> None:
        self._transport = transport
        self._ours: Source = "client" if role is Role.CLIENT else "server"
        self._theirs: Source = "server" if role is Role.CLIENT else "client"
        self._note = note

    @property
    def closed(self) -> Close | None:
        """As `Transport.closed`."""
        return self._transport.closed

    async def receive(self) -> tuple[str | bytes, ...]:
        """As `Transport.receive`."""
        batch = await self._transport.receive()
        for message in batch:
            self._note(self._theirs, message)
        return batch

    async def send(self, message: str | bytes) -> None:
        """As `Transport.send`."""
        # Before it is sent, so that an answer cannot be noted before what it answers.
        self._note(self._ours, message)
        await self._transport.send(message)

    def send_nowait(self, message: str | bytes) -> bool:
        """As `Transport.send_nowait`."""
        # Afterwards, since only what is sent is noted; nothing can come in between.
        if not self._transport.send_nowait(message):
            return False
        self._note(self._ours, message)
        return True

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """As `Transport.aclose`."""
        await self._transport.aclose(code, reason)


def wire_codecs(kind: SessionKind, dialect: Dialect = Dialect.GA) -> dict[Source, Codec]:
    """The codecs that read what each side of a connection has written."""
    return {
        "client": Codec(Role.SERVER, dialect, kind=kind),
        "server": Codec(Role.CLIENT, dialect, kind=kind),
    }


def recorder_of(
    take: Callable[[WireRecord], None], kind: SessionKind, dialect: Dialect = Dialect.GA
) -> Callable[[Source, str | bytes], None]:
    """What a `Wiretap` is to call, so that somebody gets a record of every message.

    Args:
        take: Gets the records.
        kind: What the session is for.
        dialect: What is spoken.
    """
    codecs = wire_codecs(kind, dialect)

    def note(source: Source, message: str | bytes) -> None:
        take(
            WireRecord.of_message(
                trio.current_time(),
                source,
                codecs[source].decode(message),
                message,
                dialect=dialect,
                wall_time=time.time(),
            )
        )

    return note


@asynccontextmanager
async def open_wiretap(
    transport: Transport,
    path: str | os.PathLike[str],
    *,
    kind: SessionKind,
    dialect: Dialect = Dialect.GA,
    role: Role = Role.SERVER,
) -> AsyncIterator[Transport]:
    """Record a connection while the block runs.

    Args:
        transport: The end that is used.
        path: The file, which is made, and never replaced.
        kind: What the session is for.
        dialect: What is spoken.
        role: The side that this end is on.

    Yields:
        The transport to use instead.

    Raises:
        OSError: As for `open_recording`.
    """
    hub: EventHub[WireRecord] = EventHub(capacity=_CAPACITY)
    note = recorder_of(hub.publish, kind, dialect)
    # The disk is in a task of its own behind the hub, so that it never slows down the connection.
    with hub.subscribe() as wire:
        async with open_recording(wire, path):
            try:
                yield Wiretap(transport, role, note)
            finally:
                hub.close()
