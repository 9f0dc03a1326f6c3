"""The raw end of a WebSocket: every frame by hand, as a server or as a client, plain or over TLS.

Owns frames that no library would write, and the connection of such an end with a transport of ours.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import cache

import attrs
import trio
from certificates import tls_contexts
from websocket_peers import CLOSE, PONG, accept_upgrade

from realtime_trio._serving.websocket_server import HandshakeRequest, serve_websocket
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.websocket import WebSocketTransport
from realtime_trio._transport.websocket_client import open_websocket

FIN = 0x80
CONTINUATION = 0
LIMIT_S = 30
"""Seconds after which something hangs; a machine may be slow."""
_KEY = b"\x01\x80\xfe\x33"
_REQUEST = (
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

cached_tls_contexts = cache(tls_contexts)


@attrs.frozen
class Frame:
    """A frame, good or bad."""

    first: int
    """FIN, the reserved bits and the opcode."""
    payload: bytes = b""

    @property
    def opcode(self) -> int:
        return self.first & 0x0F

    def encode(self, *, masks: bool) -> bytes:
        size = len(self.payload)
        flag = 0x80 if masks else 0
        if size < 126:
            head = struct.pack("!BB", self.first, flag | size)
        elif size < 2**16:
            head = struct.pack("!BBH", self.first, flag | 126, size)
        else:
            head = struct.pack("!BBQ", self.first, flag | 127, size)
        return head + _KEY + _xor(self.payload, _KEY) if masks else head + self.payload


def whole(opcode: int, payload: bytes = b"") -> Frame:
    return Frame(FIN | opcode, payload)


def close(code: int, reason: bytes = b"") -> Frame:
    return whole(CLOSE, struct.pack("!H", code) + reason)


def fragments(opcode: int, *payloads: bytes) -> list[Frame]:
    """One message in as many frames as there are payloads."""
    last = len(payloads) - 1
    return [
        Frame((FIN if index == last else 0) | (CONTINUATION if index else opcode), payload)
        for index, payload in enumerate(payloads)
    ]


def pieces(payload: bytes, size: int) -> list[bytes]:
    return [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]


def _xor(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(size)


class RawPeer:
    """The other end of a transport, which does nothing by itself.

    Args:
        stream: The connection, behind the handshake.
        masks: Whether it is the client, which masks its frames.
        early: What came together with the handshake.
    """

    def __init__(self, stream: trio.abc.Stream, *, masks: bool, early: bytes = b"") -> None:
        self.stream = stream
        self.masks = masks
        self.read_size: int | None = None
        """Bytes to read at once, at the most; None leaves that to trio."""
        self._data = bytearray(early)
        self._sending = trio.Lock()

    def encode(self, frames: Iterable[Frame]) -> bytes:
        return b"".join(frame.encode(masks=self.masks) for frame in frames)

    async def send(self, data: bytes, chop: int | None = None) -> None:
        """Send bytes, by so many at once; what cannot be sent any more is not.  Any task."""
        async with self._sending:
            with suppress(trio.BrokenResourceError):
                for piece in pieces(data, chop or len(data) or 1):
                    await self.stream.send_all(piece)

    async def hang_up(self) -> None:
        """Say no more, without a goodbye of any kind, and go on reading."""
        stream = self.stream
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        assert isinstance(stream, trio.SocketStream)
        await stream.send_eof()

    async def frame(self) -> Frame | None:
        """The next frame of the transport; None at the end.  Half a frame is no end."""
        await trio.lowlevel.checkpoint()
        while (size := self._size()) is None:
            try:
                data = await self.stream.receive_some(self.read_size)
            except trio.BrokenResourceError:
                data = b""
                self._data.clear()  # a reset may come in the middle
            if not data:
                assert not self._data, "half a frame at the end"
                return None
            self._data += data
        start, end = size
        first, payload = self._data[0], bytes(self._data[start:end])
        if not self.masks:
            payload = _xor(payload, bytes(self._data[start - 4 : start]))
        del self._data[:end]
        return Frame(first, payload)

    def _size(self) -> tuple[int, int] | None:
        """Where the payload of the next frame begins and ends, if it is there."""
        data = self._data
        if len(data) < 2:
            return None
        assert bool(data[1] & 0x80) is not self.masks, "clients mask, and servers do not"
        length, start = data[1] & 0x7F, 2
        if length >= 126:
            start += 2 if length == 126 else 8
            if len(data) < start:
                return None
            length = int.from_bytes(data[2:start])
        start += 0 if self.masks else 4
        return (start, start + length) if len(data) >= start + length else None

    async def frames(self, data: int = 0, pongs: int = 0) -> list[Frame]:
        """The frames up to so many messages and pongs, or up to the end."""
        seen: list[Frame] = []
        await trio.lowlevel.checkpoint()
        while data > 0 or pongs > 0:
            if (frame := await self.frame()) is None:
                break
            seen.append(frame)
            if frame.opcode == PONG:
                pongs -= 1
            elif frame.opcode < CLOSE:
                data -= 1
        return seen

    async def rest(self) -> list[Frame]:
        """The frames up to the end."""
        seen: list[Frame] = []
        await trio.lowlevel.checkpoint()
        while (frame := await self.frame()) is not None:
            seen.append(frame)
        return seen


@asynccontextmanager
async def open_raw(
    side: str, *, secure: bool = False, settings: WebSocketSettings | None = None
) -> AsyncIterator[tuple[WebSocketTransport, RawPeer]]:
    """A transport, which is a "client" or a "server", and the raw end that it is connected to."""
    settings = settings or WebSocketSettings()
    context, trusting = cached_tls_contexts() if secure else (None, None)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            async with _open_raw(nursery, side, settings, context, trusting) as ends:
                yield ends
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def _open_raw(
    nursery: trio.Nursery,
    side: str,
    settings: WebSocketSettings,
    context: ssl.SSLContext | None,
    trusting: ssl.SSLContext | None,
) -> AsyncIterator[tuple[WebSocketTransport, RawPeer]]:
    scheme = "ws" if context is None else "wss"
    if side == "client":
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        peers, taken = trio.open_memory_channel[RawPeer](1)

        @nursery.start_soon
        async def accept() -> None:
            stream: trio.abc.Stream = await listener.accept()
            if context is not None:
                stream = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            await accept_upgrade(stream)
            peers.send_nowait(RawPeer(stream, masks=False))

        port = listener.socket.getsockname()[1]
        async with (
            listener,
            open_websocket(
                f"{scheme}://127.0.0.1:{port}/", ssl_context=trusting, settings=settings
            ) as client,
        ):
            peer = await taken.receive()
            try:
                yield client, peer
            finally:
                await trio.aclose_forcefully(peer.stream)
    else:
        accepted, admitted = trio.open_memory_channel[WebSocketTransport](1)

        async def handler(transport: object, _request: HandshakeRequest) -> None:
            assert isinstance(transport, WebSocketTransport)
            accepted.send_nowait(transport)
            await trio.sleep_forever()

        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                handler,
                "127.0.0.1",
                0,
                ssl_context=context,
                settings=settings,
                task_status=task_status,
            )
        )
        stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
        if trusting is not None:
            stream = trio.SSLStream(
                stream,
                trusting,
                server_hostname="127.0.0.1",
                https_compatible=True,
            )
        await stream.send_all(_REQUEST)
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        peer = RawPeer(stream, masks=True, early=head.partition(b"\r\n\r\n")[2])
        server = await admitted.receive()
        try:
            yield server, peer
        finally:
            await trio.aclose_forcefully(stream)
