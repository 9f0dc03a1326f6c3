"""HTTP as a server sees it: requests and responses as values, and one exchange per connection.

Owns h11, and what a peer is told that does not speak HTTP or sends too much.  Knows neither
WebSockets nor what is asked for.  After an exchange the connection is over: a WebSocket server is
asked too rarely for keeping it to pay.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import attrs
import h11
import trio

from realtime_trio._transport.headers import encode_headers
from realtime_trio.errors import ConnectionFailed

MAX_BODY_SIZE: Final = 2**20
"""Bytes in the body of a request; a session's instructions and tools fit many times over."""


_logger = logging.getLogger("realtime_trio.serving")


def _path_without_query(path: str) -> str:
    return repr(path.partition("?")[0])


@attrs.frozen(kw_only=True)
class RequestHead:
    """What every request has.  Its repr hides query and headers, which may hold a key."""

    path: str = attrs.field(repr=_path_without_query)
    """Path and query as sent, e.g. `/v1/realtime?model=x`."""
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    """Names in lower case, in the order sent."""
    peer: tuple[str, int]
    """IP address and port of the client."""

    def header(self, name: str) -> str | None:
        """The value of the first header of this name, in upper or lower case, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)


@attrs.frozen(kw_only=True)
class HttpRequest(RequestHead):
    """A request that is not for a WebSocket."""

    method: str
    """`GET`, `POST`, ..."""
    body: bytes = attrs.field(default=b"", repr=False)
    """At most `MAX_BODY_SIZE` bytes."""


@attrs.frozen(kw_only=True)
class HttpResponse:
    """What a request is answered with."""

    status: int
    """200-599."""
    headers: tuple[tuple[str, str], ...] = ()
    """More headers; content-length and connection are added."""
    body: bytes = b""


HttpHandler = Callable[[HttpRequest], Awaitable[HttpResponse]]
Gate = Callable[[RequestHead], HttpResponse | None]
"""Looks at a request before anything else and returns how it is refused, None to let it pass."""


def pass_all(_: RequestHead) -> HttpResponse | None:
    """The gate that is always open."""
    return None


async def answer_request(
    stream: trio.abc.Stream,
    handler: HttpHandler,
    peer: tuple[str, int],
    gate: Gate = pass_all,
) -> bytes | None:
    """Answer the first request on a connection, unless it asks for a WebSocket.

    If the handler raises, that is logged and the client gets a 500.  A body over the limit is
    answered with a 413, and a request that is not HTTP with a 400.

    Args:
        stream: Nothing has been read from it.
        handler: Says what to answer.
        peer: Who asks.
        gate: Asked first, about requests for a WebSocket too, and before a body is read.

    Returns:
        What was read, if the request asks for a WebSocket, which is not answered here.  None if it
        was answered, and the connection is to be closed.

    Raises:
        ConnectionFailed: The client has gone.

    Cancellation: the connection is over then.
    """
    exchange = _Exchange(stream)
    try:
        try:
            head = await exchange.next_event()
            assert isinstance(head, h11.Request), "a server's first event is a request"
            refusal = gate(_head(head, peer))
            if refusal is not None:
                await exchange.respond(refusal, without_body=head.method == b"HEAD")
                return None
            if _asks_for_websocket(head):
                return exchange.received
            body = await exchange.read_body()
        except h11.RemoteProtocolError as error:
            # h11 knows whether this is a 400, or a 431 or 501.
            await exchange.respond(HttpResponse(status=error.error_status_hint))
        else:
            response = (
                HttpResponse(status=413)
                if body is None
                else await _ask(handler, _request(head, body, peer))
            )
            await exchange.respond(response, without_body=head.method == b"HEAD")
    except trio.BrokenResourceError:
        raise ConnectionFailed("the client has gone before it was answered") from None
    return None


def _asks_for_websocket(head: h11.Request) -> bool:
    return any(name == b"upgrade" and b"websocket" in value.lower() for name, value in head.headers)


def _head(head: h11.Request, peer: tuple[str, int]) -> RequestHead:
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers
    )
    return RequestHead(path=head.target.decode("latin-1"), headers=headers, peer=peer)


def _request(head: h11.Request, body: bytes, peer: tuple[str, int]) -> HttpRequest:
    common = _head(head, peer)
    return HttpRequest(
        method=head.method.decode("ascii"),
        path=common.path,
        headers=common.headers,
        body=body,
        peer=peer,
    )


async def _ask(handler: HttpHandler, request: HttpRequest) -> HttpResponse:
    await trio.lowlevel.checkpoint()
    try:
        response = await handler(request)
        # Checked here, where a mistake in them is still the handler's and can be answered.
        encode_headers(response.headers)
    except Exception:
        _logger.exception("a request could not be answered")
        return HttpResponse(status=500)
    return response


class _Exchange:
    """One request and its response."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._connection = h11.Connection(h11.SERVER)
        self._received = bytearray()
        self._is_in_head = True

    @property
    def received(self) -> bytes:
        """What came up to the end of the head, and what came in the same piece."""
        return bytes(self._received)

    async def next_event(self) -> h11.Event:
        """The next part of the request.

        Raises:
            h11.RemoteProtocolError: It is not HTTP.
        """
        await trio.lowlevel.checkpoint()
        while not isinstance(event := self._connection.next_event(), h11.Event):
            # curl waits a second for this before it sends a longer body.
            if self._connection.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            data = await self._stream.receive_some()
            # Hanging up in the middle of a request is treated like a connection that broke.
            if not data:
                raise trio.BrokenResourceError
            # The head is kept for trio-websocket, which wants to read the request itself.
            if self._is_in_head:
                self._received += data
            self._connection.receive_data(bytes(data))
        self._is_in_head = False
        return event

    async def read_body(self) -> bytes | None:
        """The body; None if it is too long.

        Raises:
            h11.RemoteProtocolError: It breaks the rules of HTTP.
        """
        body = bytearray()
        await trio.lowlevel.checkpoint()
        while isinstance(part := await self.next_event(), h11.Data):
            body += part.data
            # Without reading the rest: the connection is closed after the answer in any case.
            if len(body) > MAX_BODY_SIZE:
                return None
        return bytes(body)

    async def respond(self, response: HttpResponse, *, without_body: bool = False) -> None:
        """Send the response."""
        headers = [
            *encode_headers(response.headers),
            (b"content-length", b"%d" % len(response.body)),
            (b"connection", b"close"),
        ]
        # Statuses without a name are legal, and `HTTPStatus` raises for them.
        phrase = HTTPStatus(response.status).phrase if response.status in set(HTTPStatus) else ""
        head = h11.Response(status_code=response.status, headers=headers, reason=phrase)
        await self._send(
            head, *([] if without_body else [h11.Data(data=response.body)]), h11.EndOfMessage()
        )

    async def _send(self, *events: h11.Event) -> None:
        await self._stream.send_all(
            b"".join(self._connection.send(event) or b"" for event in events)
        )
