"""The transport that runs over a WebSocket, and connecting to a server.

Owns everything that trio-websocket needs around it to keep the promises of `Transport`: the
keep-alive, the inbox, the way a connection ends, and the wording of failed handshakes.  How a
server accepts connections is in `simulator.serving.websocket_server`; no other module imports
trio_websocket.  permessage-deflate is neither offered nor accepted: speech in base64 does not
shrink enough to pay for it.

Theory of operation.  One service task per connection (`WebSocketTransport.run`) outlives any
cancellation of its user and owns the stream: it ends only by itself or through `drop`, and closes
the socket last.  Inside it are trio-websocket's reader, the pump that moves messages into the
inbox, and the keep-alive.  Under trio-websocket lies a `Tap` that notices what trio-websocket
hides: its reader stops quietly when the stream ends and leaves the handshake waiting forever, and
an HTTP answer whose body ends with the connection, or never, is not reported.

There are three ways to end, and only the first change of `closed` counts: the peer closes or
vanishes (the pump notices), `aclose` asks for a farewell (the service task says it), or the
connection is given up (`drop`: there was no pong, or a send was cancelled half way).
"""

from __future__ import annotations

import logging
import math
import re
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Final, cast

import trio
from trio_websocket import (
    CloseReason,
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._transport.closing import closing
from realtime_trio._transport.contract import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    Close,
    check_close_code,
)
from realtime_trio._transport.dial import PROXY_FROM_ENVIRONMENT, open_stream, parse_url
from realtime_trio._transport.headers import TOKEN, encode_headers
from realtime_trio._transport.inbox import Inbox
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio.errors import ConnectionFailed, ConnectionLost, LocalProtocolError

_DEFAULTS: Final = WebSocketSettings()
_MAX_HANDSHAKE_SIZE = 2**20
_BODY_TIMEOUT: Final = 1.0
"""Seconds for the body of a refusal, whose status is known by then.  Usually it comes together with
the head; some gateways keep the connection open behind it."""
_LAST_WORDS_S: Final = 0.05
"""How long a close frame may take of which nobody waits for the answer: for a few scheduler passes,
not for a network."""

# The C struct linger, switched on with 0 seconds: closing then sends a reset.  Windows has shorts.
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_HTTP_RESPONSE = re.compile(rb"HTTP/1\.[01] (\d{3})\b.*?\r?\n\r?\n(.*)", re.DOTALL)
_HEAD_OF_REFUSAL = re.compile(rb"HTTP/1\.[01] (?!101)\d{3}\b.*?\r?\n\r?\n", re.DOTALL)

_transport_logger = logging.getLogger("realtime_trio.transport")

_Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Tap(trio.abc.Stream):
    """The stream under trio-websocket: remembers how it ended and what the peer said first."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self.ended = trio.Event()
        self.ending = ""
        self.opening: bytearray | None = bytearray()
        """What was received during the handshake; None stops the recording."""
        self._body_deadline = math.inf
        self._unread = bytearray()
        self.sent: trio.Event | None = None
        """Set by the next write."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            self._end(_breakage(error))
            raise
        if self.sent is not None:
            self.sent.set()

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._unread:
            await trio.lowlevel.checkpoint()
            returned = self._unread[:max_bytes]
            del self._unread[:max_bytes]
            return returned
        try:
            if self.opening is None:
                data = await self._stream.receive_some(max_bytes)
            else:
                data = await self._receive_opening(max_bytes)
        except trio.BrokenResourceError as error:
            self._end(_breakage(error))
            raise
        if not data:
            self._end("the peer hung up without a close frame")
        return data

    async def _receive_opening(self, max_bytes: int | None) -> bytes | bytearray:
        """Receive a part of the handshake.

        h11 would read an endless one forever; to it, too much or too late is the end of the stream.
        """
        data: bytes | bytearray = b""
        with trio.move_on_at(self._body_deadline):
            data = await self._stream.receive_some(max_bytes)
        # The handshake may have been finished meanwhile.
        if self.opening is not None:
            self.opening += data
            if len(self.opening) > _MAX_HANDSHAKE_SIZE:
                return b""
            if self._body_deadline == math.inf and _HEAD_OF_REFUSAL.match(self.opening):
                self._body_deadline = trio.current_time() + _BODY_TIMEOUT
        return data

    def unread(self, data: bytes) -> None:
        """Give back what was received, so that the next reader gets it."""
        self._unread += data

    def send_fin(self) -> None:
        """Tell the peer's TCP that nothing more will come, if the peer is still there."""
        with suppress(OSError):
            self._socket.shutdown(trio.socket.SHUT_WR)

    def reset_on_close(self) -> None:
        """Make closing the socket a reset, which tells the peer's TCP that something broke.

        Data that was not sent yet is lost.
        """
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    @property
    def _socket(self) -> trio.socket.SocketType:
        stream = (
            self._stream.transport_stream
            if isinstance(self._stream, trio.SSLStream)
            else self._stream
        )
        return stream.socket

    def close_socket(self) -> None:
        """Close the socket without waiting for anything, not even a checkpoint.  Idempotent."""
        self._socket.close()

    async def aclose(self) -> None:
        self._end("closed here")
        await self._stream.aclose()

    def _end(self, how: str) -> None:
        self.ending = self.ending or how
        self.ended.set()


def _breakage(error: trio.BrokenResourceError) -> str:
    return (
        f"the connection broke: {getattr(error.__cause__, 'strerror', None) or 'the peer is gone'}"
    )


_Handshake = Callable[[trio.Nursery, Tap], Awaitable[WebSocketConnection]]


class AnsweredError(ConnectionFailed):
    """There was no handshake because the client got another answer.

    The client should be able to read that before the socket is closed.
    """


class WebSocketTransport:
    """A `Transport` over a WebSocket; see there for its methods.

    It is made by `open_websocket` and `serve_websocket`.

    Received messages wait in an inbox for `receive`.  If nobody calls that and `max_message_size`
    bytes have piled up, reading stops: the peer cannot send any more, its pings stay unanswered,
    and its pongs are not seen, so that the keep-alive gives the connection up after `ping_timeout`.
    Until then, and as long as `receive` is called now and then, pings are answered in the
    background.
    """

    def __init__(self, stream: _Stream, settings: WebSocketSettings) -> None:
        self._tap = Tap(stream)
        self._settings = settings
        self._connection: WebSocketConnection | None = None
        self._inbox = Inbox(settings.max_message_size)
        self._closed: Close | None = None
        self._farewell: Close | None = None
        self._handshake_error: Exception | None = None
        self._scope = trio.CancelScope()
        self._opened = trio.Event()
        self._ending = trio.Event()
        self._pumped = trio.Event()
        self._said = trio.Event()
        self._done = trio.Event()

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open."""
        return self._closed

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server selected, or None."""
        return self._open_connection.subprotocol

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived; `()` after the end.

        Cancel-safe: nothing is lost.
        """
        return await self._inbox.take()

    async def send(self, message: str | bytes) -> None:
        """Send one message; return when it has been handed to the network.

        A cancelled send breaks the connection for good, unless it was cancelled on entry:
        trio-websocket does not notice a half-written frame and would put the next one behind it.

        Raises:
            ConnectionLost: The connection has ended.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed is None:
            try:
                await self._open_connection.send_message(message)
            except ConnectionClosed as ended:
                self._close_as(ended.reason)
            except (trio.Cancelled, KeyboardInterrupt):
                # Half a frame may have been written: nothing can be sent behind it any more.
                self._close(Close(ABNORMAL_CLOSURE, "a send was cancelled half way"))
                self.drop()
                raise
            else:
                return
        assert self._closed is not None
        raise ConnectionLost(self._closed.code, self._closed.reason)

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Do the closing handshake within the close timeout, then close the socket in any case.

        Idempotent.

        Cancellation: as `Transport` says.

        Raises:
            LocalProtocolError: The code may not appear on the wire.
        """
        check_close_code(code)
        if self._closed is None:
            self._closed = self._farewell = Close(code, reason)
            self._ending.set()
        self._inbox.end()
        try:
            with trio.move_on_after(self._settings.close_timeout):
                await self._done.wait()
        except trio.Cancelled:
            # The service task has yet to write the close frame, which takes a few microseconds
            # unless the peer has stopped reading.
            with trio.move_on_after(_LAST_WORDS_S, shield=True):
                await self._said.wait()
            await self._drop_and_wait()  # noqa: ASYNC102 - it is shielded inside
            raise
        await self._drop_and_wait()

    async def _drop_and_wait(self) -> None:
        self.drop()
        # Needs no limit: a service task that was dropped does not wait for anything.
        with trio.CancelScope(shield=True):
            await self._done.wait()

    def abort(self, reason: str = "connection dropped") -> None:
        """Drop the connection as a network failure would.  Idempotent.

        There is no close frame, and `closed` is `Close(1006, reason)`.

        Messages that were received before stay readable.  The socket is gone when `aclose` returns,
        or soon if nobody calls that.
        """
        if self._closed is None:
            self._close(Close(ABNORMAL_CLOSURE, reason))
            self._inbox.end()
            self.drop()

    def reset(self, reason: str = "connection reset") -> None:
        """Do as `abort` does, but with a TCP reset, like a peer that has crashed."""
        if self._closed is None:
            self._tap.reset_on_close()
            self.abort(reason)

    def drop(self) -> None:
        """End the service task, and with it the socket, without another word to the peer."""
        self._scope.cancel()

    async def wait_opened(self, peer: str) -> None:
        """Wait for the handshake.

        Raises:
            ConnectionFailed: There was no handshake; the message calls the other side `peer`.
        """
        await self._opened.wait()
        if self._connection is None:
            raise _handshake_failure(peer, self._handshake_error, bytes(self._tap.opening or b""))

    async def run(self, handshake: _Handshake) -> None:
        """Be the connection's service task, from the handshake to the closed socket.

        Nothing that the peer does makes it raise.
        """
        # Shielded from its user: only `drop`, by way of the scope inside, ends it early.
        try:
            with trio.CancelScope(shield=True):
                with self._scope:
                    try:
                        await self._serve(handshake)
                    except ExceptionGroup as group:
                        self._reader_failed(group)
                    if self._connection is not None or isinstance(
                        self._handshake_error, AnsweredError
                    ):
                        await self._linger()
                # The peer has had its time: TLS's own goodbye might wait for it once more.
                await trio.aclose_forcefully(self._tap)
        finally:
            # Again, for Ctrl-C may land anywhere above, also on the way to the first time.
            self._tap.close_socket()
            # Whatever has happened, nobody may be left waiting for it.
            self._close_as(None)
            self._inbox.end()
            self._opened.set()
            self._said.set()
            self._done.set()

    async def _serve(self, handshake: _Handshake) -> None:
        async with trio.open_nursery() as nursery:
            # If the stream ends during the handshake, the reader leaves that waiting forever.
            nursery.start_soon(self._watch_handshake, nursery.cancel_scope)
            self._connection = await handshake(nursery, self._tap)
            # The recording is for failed handshakes only, and would go on with every message.
            self._tap.opening = None
            self._opened.set()
            nursery.start_soon(self._pump_loop)
            if self._settings.ping_interval is not None:
                nursery.start_soon(self._keep_alive_loop, self._settings.ping_interval)
            await self._ending.wait()
            if self._farewell is not None:
                self._tap.sent = self._said
                await self._connection.aclose(self._farewell.code, self._farewell.reason or None)
                # Not by the write, if the peer's close frame came first.
                self._said.set()
            # If the peer's close frame came first, aclose() returned at once and the reader is
            # still answering.
            await self._pumped.wait()
            nursery.cancel_scope.cancel()

    def _reader_failed(self, group: ExceptionGroup[Exception]) -> None:
        """Note what ended trio-websocket's reader.

        That may be a rejected handshake, an answer that is not HTTP, a ping behind a close frame.
        """
        if self._connection is None:
            self._handshake_error = group.exceptions[0]
        else:
            _transport_logger.debug("the WebSocket reader failed", exc_info=group)
            self._close_as(self._connection.closed)

    async def _watch_handshake(self, cancel_scope: trio.CancelScope) -> None:
        await self._tap.ended.wait()
        if self._connection is None:
            cancel_scope.cancel()

    async def _pump_loop(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            while True:
                message = await self._open_connection.get_message()
                self._inbox.add(message, len(message))
                # Asked afterwards: a message that is there already cannot be refused.
                if self._inbox.is_full:
                    await self._inbox.wait_for_room()
        except ConnectionClosed as ended:
            self._close_as(ended.reason)
            self._inbox.end()
            self._ending.set()
            self._pumped.set()

    async def _keep_alive_loop(self, interval: float) -> None:
        timeout = self._settings.ping_timeout
        while True:
            await trio.sleep(interval)
            with trio.move_on_after(timeout) as patience:
                try:
                    await self._open_connection.ping()
                except ConnectionClosed:
                    # The peer's close frame is being answered, which may take as long as a pong.
                    await trio.sleep_forever()
            if patience.cancelled_caught:
                # If a close frame has come meanwhile, its code is the better explanation.
                self._close_as(
                    self._open_connection.closed
                    or CloseReason(ABNORMAL_CLOSURE, f"no pong within {timeout:g} s")
                )
                self.drop()

    async def _linger(self) -> None:
        """Read on until the peer hangs up.

        Closing a socket with unread data resets it, and may cost the peer our last words.
        """
        await trio.lowlevel.checkpoint()
        self._tap.send_fin()
        with (
            trio.move_on_after(self._settings.close_timeout),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            while await self._tap.receive_some():
                pass

    @property
    def _open_connection(self) -> WebSocketConnection:
        assert self._connection is not None, "nobody sees the transport before its handshake"
        return self._connection

    def _close(self, close: Close) -> None:
        if self._closed is None:
            self._closed = close

    def _close_as(self, reason: CloseReason | None) -> None:
        # trio-websocket gives no reason for a connection that broke; the tap has seen it.
        if reason is None or (reason.code == ABNORMAL_CLOSURE and not reason.reason):
            self._close(Close(ABNORMAL_CLOSURE, self._tap.ending or "the connection broke"))
        else:
            self._close(Close(int(reason.code), reason.reason or ""))


@asynccontextmanager
async def open_websocket(
    url: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    subprotocols: Iterable[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    proxy: str | None = PROXY_FROM_ENVIRONMENT,
    settings: WebSocketSettings = _DEFAULTS,
) -> AsyncIterator[WebSocketTransport]:
    """Connect to a WebSocket server; leaving the block closes the connection.

    The close code is 1000, or 1001 if the block raised.

    An exception of the block leaves unchanged, and the end of the connection never raises here:
    `closed` tells about it.  After the block no task and no socket is left; getting there takes
    `settings.close_timeout` at most.

    Args:
        url: `ws://` or `wss://`.  A user name and password in it become an Authorization header.
        headers: More headers for the handshake.
        subprotocols: Subprotocols to offer, the preferred one first;
            `WebSocketTransport.subprotocol` is the one that the server selected.
        ssl_context: For `wss://`; by default certificates are checked against the system's
            authorities.
        proxy: `http://` (CONNECT), `socks4://`, `socks4a://` or `socks5://`, with `user:password@`
            if need be; None connects directly.  By default `https_proxy` (for wss), `http_proxy`
            (for ws), `all_proxy` and `no_proxy` of the environment decide, except for loopback
            hosts.  Needs the extra `proxy`.
        settings: How patient it is and how much it accepts.

    Raises:
        ConnectionFailed: The connection could not be made, for whatever reason; `status` and `body`
            are the server's answer if it refused by HTTP.
        LocalProtocolError: An argument is unusable; nothing was sent.

    Cancellation: safe while connecting.
    """
    target = parse_url(url)
    if ssl_context is not None and target.scheme == "ws":
        raise LocalProtocolError("an SSL context was given for a ws:// URL; use wss://")
    offered = list(subprotocols)
    if not all(TOKEN.fullmatch(name) for name in offered):
        raise LocalProtocolError(
            "a subprotocol name may only have letters, digits and !#$%&'*+-.^_`|~"
        )
    extra_headers = encode_headers(headers)
    # A header that was given on purpose wins over the user name in the URL.
    if target.authorization is not None and all(
        name.lower() != b"authorization" for name, _ in extra_headers
    ):
        extra_headers.append((b"Authorization", target.authorization.encode("ascii")))

    async def handshake(nursery: trio.Nursery, tap: Tap) -> WebSocketConnection:
        return await wrap_client_stream(
            nursery,
            # Documented as "an arbitrary stream", annotated more narrowly.
            cast("trio.SocketStream", tap),
            target.host_header,
            target.path + target.query,
            subprotocols=offered,
            extra_headers=extra_headers,
            # The inbox is the queue; it is bounded by size, which a number of messages is not.
            message_queue_size=0,
            max_message_size=settings.max_message_size,
            receive_buffer_size=settings.receive_buffer_size,
        )

    # One time limit for TCP, proxy, TLS and the handshake together.
    start = trio.current_time()
    with _connect_limit(settings, start, str(target)):
        stream = await open_stream(target, ssl_context=ssl_context, proxy=proxy)
    async with run_websocket(stream, handshake, settings, start, str(target)) as transport:
        yield transport


@contextmanager
def _connect_limit(settings: WebSocketSettings, start: float, peer: str) -> Iterator[None]:
    try:
        with trio.fail_at(start + settings.connect_timeout):
            yield
    except trio.TooSlowError:
        raise ConnectionFailed(
            f"cannot connect to {peer}: no answer within {settings.connect_timeout:g} s"
        ) from None


@asynccontextmanager
async def run_websocket(
    stream: _Stream, handshake: _Handshake, settings: WebSocketSettings, start: float, peer: str
) -> AsyncIterator[WebSocketTransport]:
    """Run a transport on a connected stream, which it owns from here on."""
    async with open_service_nursery() as nursery:
        transport = WebSocketTransport(stream, settings)
        nursery.start_soon(transport.run, handshake)
        try:
            with _connect_limit(settings, start, peer):
                await transport.wait_opened(peer)
        except BaseException:
            # The service task is shielded, and the nursery would wait for it.
            transport.drop()
            raise
        async with closing(transport):
            yield transport


def _handshake_failure(peer: str, error: Exception | None, received: bytes) -> ConnectionFailed:
    if isinstance(error, ConnectionFailed):
        return error
    # The most telling one first: our own words, the server's answer, and what it was not.
    if isinstance(error, ConnectionRejected):
        return _rejection(peer, error.status_code, error.body or b"")
    if error is not None or (received and not received.startswith(b"HTTP/")):
        return ConnectionFailed(f"{peer} did not answer as a WebSocket server")
    # trio-websocket does not report a body that ends with the connection, and not by its announced
    # length; nor one that was cut off because it did not end.
    if response := _HTTP_RESPONSE.fullmatch(received):
        return _rejection(peer, int(response[1]), response[2])
    return ConnectionFailed(f"{peer} closed the connection during the WebSocket handshake")


def _rejection(peer: str, status: int, body: bytes) -> ConnectionFailed:
    phrase = f" {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else ""
    return ConnectionFailed(
        f"{peer} rejected the WebSocket handshake with HTTP {status}{phrase}",
        status=status,
        body=bytes(body),
    )
