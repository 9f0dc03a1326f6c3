"""What trio-websocket takes for the network.

Owns how much of a connection trio-websocket gets to see, and remembers what it hides: its reader
stops quietly when the stream ends, and an HTTP answer whose body ends with the connection, or
never, is not reported.

Theory of operation.  During the handshake the tap passes everything on as it comes.  The blank line
behind the handshake is where frames begin, and there it stops: from then on trio-websocket gets
what it is *given*, which is what the lane of plain messages had no use for.  `release` opens the
tap again, for good: the connection is over, or its peer breaks the rules, and trio-websocket is to
find out by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

import trio

from realtime_trio._transport.line import Line

_MAX_HANDSHAKE_SIZE: Final = 2**20
_BODY_TIMEOUT: Final = 1.0
"""Seconds for the body of a refusal, whose status is known by then.  Usually it comes together with
the head; some gateways keep the connection open behind it."""
_MAX_GIVEN: Final = 2**16
"""Bytes that may wait for trio-websocket: many more than a peer that behaves has under way."""
_READ_SIZE: Final = 2**16

_HEAD_OF_REFUSAL = re.compile(rb"HTTP/1\.[01] (?!101)\d{3}\b")
_END_OF_HEAD = re.compile(rb"\n\r?\n")  # h11 understands bare line feeds, too


class Tap(trio.abc.Stream):
    """The stream under trio-websocket."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.ending = ""
        """How the connection ended, in our own words."""
        self.on_end: Callable[[], object] | None = None
        """Called when the connection has ended, if that is during the handshake."""
        self.opening: bytearray | None = bytearray()
        """What was received during the handshake; None stops the recording."""
        self.on_dealt: Callable[[], object] | None = None
        """Called whenever trio-websocket asks for more, having dealt with what it was given."""
        self.sent: trio.Event | None = None
        """Set by the next write."""
        self._body_deadline = math.inf
        self._is_open = True
        self._ahead = b""
        """What came behind the handshake, together with the end of it."""
        self._given = bytearray()
        self._takers = trio.lowlevel.ParkingLot()
        self._givers = trio.lowlevel.ParkingLot()

    # --- for the owner of the connection ----------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether trio-websocket reads the line itself."""
        return self._is_open

    def give(self, data: bytes) -> None:
        """Let trio-websocket read this next."""
        self._given += data
        self._takers.unpark_all()

    def release(self) -> None:
        """Let trio-websocket read the line itself, behind what it was given.  Idempotent."""
        self._is_open = True
        self._takers.unpark_all()
        self._givers.unpark_all()

    @property
    def is_full(self) -> bool:
        """Whether so much has been given that no more should be read.  Never once it is open."""
        return len(self._given) > _MAX_GIVEN and not self._is_open

    async def wait_taken(self) -> None:
        """Wait until it is not full."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self.is_full:
            await self._givers.park()

    def begin_frames(self, data: bytes) -> None:
        """Give the head of a request that was read already, and keep what came behind it."""
        self._given += self._head_of(data)
        self._takers.unpark_all()

    def take_ahead(self) -> bytes:
        """The frames that came together with the end of the handshake."""
        ahead, self._ahead = self._ahead, b""
        return ahead

    # --- for trio-websocket -----------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.line.write(data)
            await self.line.drain()
        except trio.BrokenResourceError as error:
            self._end(breakage(error))
            raise
        if self.sent is not None:
            self.sent.set()

    async def wait_send_all_might_not_block(self) -> None:
        await self.line.drain()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.on_dealt is not None:
            self.on_dealt()
        while not (self._given or self._is_open):
            await self._takers.park()
        if self._given:
            taken = self._given[:max_bytes]
            del self._given[:max_bytes]
            self._givers.unpark_all()
            return taken
        data = (
            await self._receive(max_bytes)
            if self.opening is None
            else await self._receive_opening(self.opening, max_bytes)
        )
        if not data:
            self._end("the peer hung up without a close frame")
        return data

    async def aclose(self) -> None:
        self._end("closed here")
        self.line.close()
        await trio.lowlevel.checkpoint()

    async def _receive(self, max_bytes: int | None) -> bytes:
        while True:  # noqa: ASYNC913 - waiting is one
            try:
                await self.line.wait_readable()
                data = self.line.read(max_bytes or _READ_SIZE)
            except trio.ClosedResourceError:
                if self.line.is_closed:
                    raise
            except trio.BrokenResourceError as error:
                self._end(breakage(error))
                raise
            else:
                if data is not None:
                    return data

    async def _receive_opening(self, opening: bytearray, max_bytes: int | None) -> bytes:
        """Receive a part of the handshake.

        h11 would read an endless one forever; to it, too much or too late is the end of the stream.
        """
        data = b""
        with trio.move_on_at(self._body_deadline):
            data = await self._receive(max_bytes)
        is_refused = _HEAD_OF_REFUSAL.match(opening + data[:16])
        if not is_refused and not _END_OF_HEAD.search(opening):
            data = self._head_of(data, opening)
        opening += data
        if len(opening) > _MAX_HANDSHAKE_SIZE:
            return b""
        if is_refused and self._body_deadline == math.inf and _END_OF_HEAD.search(opening):
            self._body_deadline = trio.current_time() + _BODY_TIMEOUT
        return data

    def _head_of(self, data: bytes, before: bytes | bytearray = b"") -> bytes:
        """Cut off what comes behind the head of a handshake; frames begin there."""
        if (end := _END_OF_HEAD.search(before + data)) is None:
            return data
        size = end.end() - len(before)
        self._ahead = data[size:]
        self._is_open = False
        return data[:size]

    def _end(self, how: str) -> None:
        self.ending = self.ending or how
        if self.on_end is not None:
            self.on_end()


def breakage(error: trio.BrokenResourceError | trio.ClosedResourceError) -> str:
    """How a connection broke, in the words of the system."""
    why = getattr(error.__cause__, "strerror", None)
    return f"the connection broke: {why or 'the peer is gone'}"
