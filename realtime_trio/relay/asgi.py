"""A relay as an ASGI application, to be mounted in Starlette, FastAPI or Quart-Trio.

Owns the translation between ASGI and what the core of the relay knows: requests and transports.  It
runs where the server runs ASGI applications on trio, such as Hypercorn with its trio worker.

Theory of operation.  The server has read the handshake and writes the frames.  What arrives is
awaited by whoever receives, one message at a time, so that the server stops reading when nobody
does.  A sending waits in the server, where it may not be cancellable: Hypercorn shields it, and a
client that never reads holds it up for as long as it likes.  So a task of its own hands messages to
the server, one at a time, and nobody else waits for it for longer than a goodbye takes.  If it
hangs, then the session is over all the same, its connection with the service too, and only the
server still has the socket.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import trio

from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._serving.http import HttpResponse
from realtime_trio._serving.requests import path_of
from realtime_trio._serving.visitors import ANY, Visitors
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    Close,
    check_close_code,
)
from realtime_trio._transport.settings import CLOSE_TIMEOUT
from realtime_trio.connection import check_runs_in_trio
from realtime_trio.errors import ConnectionLost, LocalProtocolError
from realtime_trio.relay.access import Authorize, refusal
from realtime_trio.relay.audit import Audit, log_audit
from realtime_trio.relay.service import Service
from realtime_trio.relay.sessions import (
    GRACE_S,
    HEALTH,
    MAX_SESSIONS,
    RelayedSessions,
    sessions_of,
)

# Starlette's are mutable mappings, and Hypercorn's are typed dicts: nothing else fits both.
Scope: TypeAlias = Any
Event: TypeAlias = Any
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_DENIAL: Final = "websocket.http.response"
"""The extension by which a server lets an application answer a handshake with HTTP."""
_LONGEST_REASON: Final = 123
"""Bytes of UTF-8 in a close frame."""

_logger = logging.getLogger("realtime_trio.relay")


class RelayApp:
    """A relay as an ASGI application.  Made by `relay_app`."""

    def __init__(self, sessions: RelayedSessions, visitors: Visitors) -> None:
        self._sessions = sessions
        self._visitors = visitors

    # An object and not a function: frameworks pass functions something else than ASGI.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        check_runs_in_trio()
        match scope["type"]:
            case "websocket":
                await self._serve(scope, receive, send)
            case "http":
                is_health = path_of(_request(scope)).endswith(HEALTH)
                nothing = refusal(404, "not_found", "here are WebSockets")
                answer = self._sessions.health() if is_health else nothing
                await _answer(send, answer, "http.response")
            case "lifespan":
                await self._live(receive, send)
            case other:
                # ASGI wants an exception for what an application does not know.
                raise LocalProtocolError(
                    f"a relay does not serve ASGI connections of the type {other!r}; "
                    "it knows websocket, http and lifespan"
                )

    async def drain(self) -> None:
        """Let nobody in any more, and return when all sessions are over.

        They have `grace` seconds; those that go on for longer end with 1001.  For a server that is
        told when to stop: Hypercorn cuts off what goes on when its `shutdown_trigger` returns, so
        wait for this in there.

        Cancellation: nobody is let in any more, and the sessions go on.
        """
        await self._sessions.drain()

    async def _live(self, receive: Receive, send: Send) -> None:
        """Say that there is nothing to prepare, and drain when the server stops.

        Only an application that is not mounted gets here, or one that is by Hypercorn's
        `DispatcherMiddleware`.
        """
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self.drain()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        await receive()  # "websocket.connect"
        objection = self._visitors.objection(request)
        if objection is not None:
            _logger.warning("refused a guest: %s", objection)
            await _refuse(scope, send, refusal(403, "forbidden", objection))
            return
        guest = await self._sessions.admit(request)
        if isinstance(guest, HttpResponse):
            await _refuse(scope, send, guest)
            return
        async with _open_transport(receive, send) as transport:
            try:
                await send({"type": "websocket.accept", "subprotocol": guest.subprotocol})
                await guest.serve(transport)
            finally:
                # Before what follows, which takes as long as the server and the guest do.
                guest.leave()
            await transport.linger()


def relay_app(
    authorize: Authorize,
    *,
    service: Service | Endpoint | str | None = None,
    origins: Iterable[str] = (),
    max_sessions: int = MAX_SESSIONS,
    max_sessions_per_address: float = math.inf,
    audit: Audit = log_audit,
    record: str | os.PathLike[str] | None = None,
    grace: float = GRACE_S,
) -> RelayApp:
    """Make an ASGI application of a relay, to be mounted in one of yours.

    Mounted at `/v1`, it is found by clients of the service whose base URL is `https://you/v1`.
    Every WebSocket that it gets is a session.  `GET /v1/healthz` says 200, or 503 while the relay
    is stopping, and all else is answered with 404.  Pings, the size of messages, and how long a
    guest may take to say what it wants, are for the server: see its settings.

    When the server says that it stops (ASGI's lifespan, which an application that is mounted does
    not get), the relay drains; in any case a session that is cancelled ends with 1001.
    `RelayApp.drain` is for your own call.

    Args:
        authorize: Says what a guest may do, or raises `AccessDenied`, before its WebSocket is
            accepted; what else it raises goes to the server, which answers with 500.
        service: As for `serve_relay`.
        origins: As for `serve_relay`.
        max_sessions: As for `serve_relay`.
        max_sessions_per_address: As for `serve_relay`.
        audit: As for `serve_relay`.
        record: A folder in which every session is recorded, as the service saw it; it is made with
            the first session if it does not exist.
        grace: Seconds that sessions get while the relay stops; then they end with 1001.

    Raises:
        LocalProtocolError, TypeError: An argument makes no sense.
    """
    if not callable(authorize):
        raise TypeError("authorize must be an async function that returns a Grant")
    sessions = sessions_of(
        authorize,
        service,
        max_sessions=max_sessions,
        max_sessions_per_address=max_sessions_per_address,
        audit=audit,
        record=record,
        grace=grace,
    )
    return RelayApp(sessions, Visitors("", origins=origins, hosts=(ANY,)))


def _request(scope: Scope) -> HandshakeRequest:
    query = scope.get("query_string", b"")
    # Starlette's mounts leave the whole path here, others what is below them and the rest in
    # `root_path`; only the end of it counts.
    path = scope["path"]
    root = scope.get("root_path", "")
    if root and not path.startswith(root):
        path = root + path
    return HandshakeRequest(
        path=path + (f"?{query.decode('latin-1')}" if query else ""),
        headers=tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in scope["headers"]
        ),
        subprotocols=tuple(scope.get("subprotocols") or ()),
        peer=tuple(scope.get("client") or ("", 0)),
    )


async def _refuse(scope: Scope, send: Send, response: HttpResponse) -> None:
    if _DENIAL in scope.get("extensions", {}):
        await _answer(send, response, _DENIAL)
    else:
        # The server answers with 403, and whatever we know better is lost.
        await send({"type": "websocket.close", "code": NORMAL_CLOSURE})


async def _answer(send: Send, response: HttpResponse, kind: str) -> None:
    headers = [
        *((name.encode(), value.encode("latin-1")) for name, value in response.headers),
        (b"content-length", b"%d" % len(response.body)),
    ]
    await send({"type": f"{kind}.start", "status": response.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": response.body, "more_body": False})


class _AsgiTransport:
    """A `Transport` over an ASGI connection; see there for its methods."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed: Close | None = None
        self._receiving = trio.CancelScope()
        self._writing = trio.CancelScope(shield=True)
        """Shielded because a goodbye is said when all else is cancelled; it ends in time anyway."""
        self._unsent: Event | None = None
        """The message that the server is taking, or that it has not begun to take."""
        self._goodbye: Event | None = None
        self._has_left = False
        """Whether the server has said that the client is gone."""
        self._changed = trio.lowlevel.ParkingLot()
        self._has_written = trio.Event()

    @property
    def closed(self) -> Close | None:
        return self._closed

    async def receive(self) -> tuple[str | bytes, ...]:
        await trio.lowlevel.checkpoint_if_cancelled()
        # Whoever closes ends the waiting, too.
        with trio.CancelScope() as self._receiving:
            if self._closed is not None:
                self._receiving.cancel()
            event = await self._receive()
            if event["type"] == "websocket.receive":
                text, data = event.get("text"), event.get("bytes")
                return (data or b"" if text is None else text,)
            self._has_left = True
            self._writing.cancel()
            self._end(Close(event.get("code", ABNORMAL_CLOSURE), event.get("reason") or ""))
        return ()

    async def send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint()
        while not self.send_nowait(message):
            if self._closed is not None:
                raise ConnectionLost(self._closed.code, self._closed.reason)
            await self._changed.park()

    def send_nowait(self, message: str | bytes) -> bool:
        if self._closed is not None or self._unsent is not None:
            return False
        key = "text" if isinstance(message, str) else "bytes"
        self._unsent = {"type": "websocket.send", key: message}
        self._changed.unpark_all()
        return True

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        check_close_code(code)
        if self._closed is None:
            said = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
            self._goodbye = {"type": "websocket.close", "code": code, "reason": said}
            self._writing.deadline = trio.current_time() + CLOSE_TIMEOUT
            self._end(Close(code, reason))
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self._has_written.wait()

    async def write(self) -> None:
        """Hand to the server what is sent, until the goodbye, or until the connection is lost."""
        await trio.lowlevel.cancel_shielded_checkpoint()
        try:
            with self._writing:
                while self._goodbye is None or self._unsent is not None:
                    if self._unsent is None:
                        await self._changed.park()
                        continue
                    await self._send(self._unsent)
                    self._unsent = None
                    self._changed.unpark_all()
                await self._send(self._goodbye)
        # Servers raise what they like once the client has gone.
        except Exception:
            _logger.debug("a guest could not be told something", exc_info=True)
            self._end(Close(ABNORMAL_CLOSURE, "the client has gone"))
        finally:
            self._has_written.set()

    async def linger(self) -> None:
        """Take what still comes until the client is gone, or silent for as long as a goodbye takes.

        Hypercorn reads on after our goodbye, and waits for ever for an application that has
        returned to take what a client goes on sending; that connection it would never close.
        """
        await trio.lowlevel.checkpoint()
        while not self._has_left:
            with trio.move_on_after(CLOSE_TIMEOUT) as silence:
                self._has_left = (await self._receive())["type"] == "websocket.disconnect"
            if silence.cancelled_caught:
                return

    def abandon(self) -> None:
        """Write nothing more, unless the goodbye is being said."""
        if self._goodbye is None:
            self._writing.cancel()

    def _end(self, close: Close) -> None:
        if self._closed is None:
            self._closed = close
            self._receiving.cancel()
            self._changed.unpark_all()


@asynccontextmanager
async def _open_transport(receive: Receive, send: Send) -> AsyncIterator[_AsgiTransport]:
    """A transport with the task that writes for it; leaving waits until the server has let go."""
    transport = _AsgiTransport(receive, send)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.write)
        try:
            yield transport
        finally:
            transport.abandon()
