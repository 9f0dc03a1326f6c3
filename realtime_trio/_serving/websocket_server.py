"""The WebSocket transport on the side of a server: who is let in, and a task for every client.

Owns listening and the server's side of the handshake; how a connection lives from then on is the
business of `_transport.websocket`.
"""

from __future__ import annotations

import inspect
import logging
import math
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio
from trio_websocket import WebSocketConnection, wrap_server_stream

from realtime_trio._serving.http import (
    Gate,
    HttpHandler,
    HttpResponse,
    RequestHead,
    answer_request,
    pass_all,
)
from realtime_trio._transport.contract import Transport
from realtime_trio._transport.failed_handshake import AnsweredError
from realtime_trio._transport.headers import encode_headers
from realtime_trio._transport.line import Line
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.tap import Tap
from realtime_trio._transport.websocket import WebSocketTransport, run_websocket
from realtime_trio.errors import ConnectionFailed, ConnectionLost, LocalProtocolError

_DEFAULTS: Final = WebSocketSettings()
_INTERNAL_ERROR = 1011
_BUSY = 503
_server_logger = logging.getLogger("realtime_trio.serving")


@attrs.frozen(kw_only=True)
class HandshakeRequest(RequestHead):
    """What a client asked for when it connected.

    Its repr hides query, headers and subprotocols, which may hold a key.  Its headers come without
    host, sec-websocket-protocol and sec-websocket-extensions.
    """

    subprotocols: tuple[str, ...] = attrs.field(repr=False)
    """As offered, the preferred one first."""


@attrs.frozen(kw_only=True)
class Accept:
    """Let a client in."""

    subprotocol: str | None = None
    """One of those offered, or None."""
    headers: tuple[tuple[str, str], ...] = ()
    """More headers for the response."""
    serve: Callable[[Transport], Awaitable[None]] | None = None
    """Serves this client in place of the handler, and knows what was found out about it."""
    leave: Callable[[], None] | None = None
    """Called once, when the connection is over, even if its handshake did not come to an end: for
    what is counted from the admission on."""


@attrs.frozen(kw_only=True)
class Reject:
    """Refuse a client with an HTTP response."""

    status: int
    """300-599."""
    headers: tuple[tuple[str, str], ...] = ()
    """More headers for the response; content-length is added."""
    body: bytes = b""


@attrs.frozen
class UrlStatus:
    """A task status that is told the address, and tells another one the URL."""

    _status: trio.TaskStatus[str]
    _path: str
    is_secure: bool = attrs.field(kw_only=True)
    """Whether TLS is spoken there."""

    def started(self, value: tuple[str, int] | None = None) -> None:
        """Tell that the server listens."""
        assert value is not None, "serve_websocket says where it listens"
        host, port = value
        scheme = "wss" if self.is_secure else "ws"
        self._status.started(
            f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{self._path}"
        )


Admit = Callable[[HandshakeRequest], Accept | Reject | Awaitable[Accept | Reject]]
"""Decides about a client before its WebSocket is accepted; may be async."""


def _turn_away(_request: RequestHead) -> HttpResponse | None:
    return HttpResponse(status=_BUSY)


def _admit_everybody(_request: HandshakeRequest) -> Accept | Reject:
    return Accept()


async def serve_websocket(
    handler: Callable[[Transport, HandshakeRequest], Awaitable[None]],
    host: str,
    port: int,
    *,
    admit: Admit = _admit_everybody,
    http: HttpHandler | None = None,
    gate: Gate = pass_all,
    max_clients: float = math.inf,
    ssl_context: ssl.SSLContext | None = None,
    settings: WebSocketSettings = _DEFAULTS,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve WebSocket clients until cancelled.

    `await nursery.start(...)` returns the bound `(host, port)`.

    Every client gets a task.  When its handler returns, the connection is closed with 1000; when
    the handler raises, that is logged and the connection is closed with 1011, which does not affect
    other clients.  It is not a failure of the handler if it cannot send because the client has
    gone.  Only `KeyboardInterrupt` and `SystemExit` end the server.  Cancelling it closes every
    connection with 1001, within `close_timeout`.

    Args:
        handler: Called as `handler(transport, request)` once per accepted client.
        host: Address to bind; a name that stands for several addresses binds them all, and the
            first is returned.
        port: Port to bind, 0 for any free one.
        admit: Looks at the request before it is answered, within the client's `connect_timeout`.
            If it raises, that is logged and the client gets an HTTP 500.
        http: Answers the clients whose first request is not for a WebSocket, once each; see
            `answer_request`.  Without it they get a 400.
        gate: With `http`: looks at every request first, those for a WebSocket included.
        max_clients: How many connections there may be at once, those included that have not asked
            for anything yet.  Further clients get a 503.
        ssl_context: Serve `wss://` with this certificate.
        settings: How patient it is with its clients, and how much it accepts.  A client has
            `connect_timeout` for TLS and handshake, or for TLS, a whole request and its answer.
        task_status: For `nursery.start`.

    Raises:
        OSError: The address cannot be bound.
    """
    # Kept, because in the group that `serve_listeners` raises they can get lost: see below.
    interrupts: list[KeyboardInterrupt | SystemExit] = []

    connected = 0

    async def serve_client(stream: trio.SocketStream) -> None:
        nonlocal connected
        connected += 1
        try:
            await attend(stream, is_welcome=connected <= max_clients)
        except (KeyboardInterrupt, SystemExit) as interrupt:
            interrupts.append(interrupt)
            raise
        finally:
            connected -= 1

    async def attend(stream: trio.SocketStream, *, is_welcome: bool) -> None:
        await trio.lowlevel.checkpoint()
        try:
            peer = stream.socket.getpeername()[:2]
        # The client has gone already.
        except OSError:
            stream.socket.close()
            return
        requests: list[HandshakeRequest] = []
        answers: list[Accept | Reject] = []

        async def handshake(nursery: trio.Nursery, tap: Tap) -> WebSocketConnection:
            if ssl_context is not None:
                await tap.line.start_tls(ssl_context)
            if http is not None:
                # Its limit is for handshakes; a request may have a longer body, with its own limit.
                tap.opening = None
                opening = await answer_request(tap, http, peer, gate if is_welcome else _turn_away)
                if opening is None:
                    raise AnsweredError("answered over HTTP")
                tap.begin_frames(opening)
            proposal = await wrap_server_stream(
                nursery,
                tap,
                # The inbox of the transport is the queue; another would only hide how full it is.
                message_queue_size=0,
                max_message_size=settings.max_message_size,
                receive_buffer_size=settings.receive_buffer_size,
            )
            request = HandshakeRequest(
                path=proposal.path,
                headers=tuple(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in proposal.headers
                ),
                subprotocols=proposal.proposed_subprotocols,
                peer=peer,
            )
            requests.append(request)
            answer = await _decide(admit, request) if is_welcome else Reject(status=_BUSY)
            answers.append(answer)
            extra_headers = encode_headers(answer.headers)
            if isinstance(answer, Reject):
                await proposal.reject(answer.status, extra_headers=extra_headers, body=answer.body)
                # Leaves the handshake like an error, because there will be no WebSocket.
                raise AnsweredError(f"refused with HTTP {answer.status}", status=answer.status)
            return await proposal.accept(
                subprotocol=answer.subprotocol, extra_headers=extra_headers
            )

        transport = WebSocketTransport(Line(stream), settings, is_client=False)
        try:
            async with run_websocket(
                transport, handshake, trio.current_time(), f"client {peer[0]}:{peer[1]}"
            ):
                await _handle(handler, transport, requests[0], answers[0])
        except ConnectionFailed as error:
            _server_logger.debug("%s", error)
        finally:
            for answer in answers:
                _leave(answer)

    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        # The system's own words do not say which address it is about.
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise OSError(error.errno, f"cannot listen at {where}: {error.strerror}") from error
    address: tuple[str, int] = listeners[0].socket.getsockname()[:2]
    task_status.started(address)
    try:
        await trio.serve_listeners(serve_client, listeners)
    # When we are being cancelled trio has lost the interrupts: it closes every client's stream with
    # another checkpoint.
    finally:
        for interrupt in interrupts[:1]:
            raise interrupt


async def _decide(admit: Admit, request: HandshakeRequest) -> Accept | Reject:
    await trio.lowlevel.checkpoint()
    answer: Accept | Reject | None = None
    try:
        decision = admit(request)
        answer = await decision if inspect.isawaitable(decision) else decision
        # Both checks are for mistakes of `admit`, which the client is not to blame for.
        if (
            isinstance(answer, Accept)
            and answer.subprotocol is not None
            and answer.subprotocol not in request.subprotocols
        ):
            raise LocalProtocolError("the selected subprotocol was not offered by the client")
        encode_headers(answer.headers)
    except Exception:
        _server_logger.exception(
            "refusing a client because it could not be decided whether to admit it"
        )
        _leave(answer)
        return Reject(status=500)
    return answer


def _leave(answer: Accept | Reject | None) -> None:
    if isinstance(answer, Accept) and answer.leave is not None:
        answer.leave()


async def _handle(
    handler: Callable[[Transport, HandshakeRequest], Awaitable[None]],
    transport: WebSocketTransport,
    request: HandshakeRequest,
    answer: Accept | Reject,
) -> None:
    assert isinstance(answer, Accept), "who was rejected has no transport"
    try:
        if answer.serve is not None:
            await answer.serve(transport)
        else:
            await handler(transport, request)
    except Exception as error:
        # If another connection was lost, such as that of a relay, the handler has failed.
        if isinstance(error, ConnectionLost) and transport.closed is not None:
            _server_logger.debug("the client has gone: %s", error)
        else:
            _server_logger.exception("the handler of a connection failed; closing it")
        await transport.aclose(_INTERNAL_ERROR, "internal error")
