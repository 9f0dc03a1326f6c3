"""A relay as an ASGI application, to be mounted in Starlette, FastAPI or Quart-Trio.

Owns the translation between ASGI and what the core of the relay knows: requests and transports.  It
runs where the server runs ASGI applications on trio, such as Hypercorn with its trio worker.

Theory of operation.  The server has read the handshake and writes the frames.  What arrives is
awaited by whoever receives, one message at a time, so that the server stops reading when nobody
does.  A sending waits in the server; nothing is known of how much it takes, so nothing is ever sent
without waiting (`send_nowait`), and the pipe of the relay runs a task for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import trio

from realtime_trio._legible import legible
from realtime_trio._misuse import check_number
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._serving.http import HttpResponse
from realtime_trio._serving.requests import SUBPROTOCOL
from realtime_trio._serving.visitors import ANY, Visitors
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    Close,
    check_close_code,
)
from realtime_trio.connection import check_runs_in_trio
from realtime_trio.errors import ConnectionLost
from realtime_trio.relay.access import (
    AccessDenied,
    Authorize,
    Doors,
    check_kind_of_session,
    refusal,
)
from realtime_trio.relay.audit import Audit, log_audit
from realtime_trio.relay.core import relay
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.serve import MAX_SESSIONS
from realtime_trio.relay.service import Service, service_at

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_DENIAL: Final = "websocket.http.response"
"""The extension by which a server lets an application answer a handshake with HTTP."""
_LONGEST_REASON: Final = 123
"""Bytes of UTF-8 in a close frame."""

_logger = logging.getLogger("realtime_trio.relay")


class RelayApp:
    """A relay as an ASGI application.  Made by `relay_app`."""

    def __init__(
        self,
        authorize: Authorize,
        service: Service,
        visitors: Visitors,
        doors: Doors,
        audit: Audit,
    ) -> None:
        self._authorize = authorize
        self._service = service
        self._visitors = visitors
        self._doors = doors
        self._audit = audit

    # An object and not a function: frameworks pass functions something else than ASGI.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        check_runs_in_trio()
        if scope["type"] == "http":
            await _answer(send, refusal(404, "not_found", "here are WebSockets"), "http.response")
            return
        if scope["type"] != "websocket":
            # Such as "lifespan", which an application that is mounted does not get.
            raise NotImplementedError(f"a relay has nothing to say to {scope['type']!r}")
        request = _request(scope)
        await receive()  # "websocket.connect"
        try:
            grant = await self._admit(request)
        except AccessDenied as denied:
            _logger.info("refused a guest: %s", legible(str(denied)))
            await _refuse(scope, send, refusal(denied.status, denied.code, str(denied)))
            return
        address = request.peer[0]
        try:
            chosen = SUBPROTOCOL if SUBPROTOCOL in request.subprotocols else None
            await send({"type": "websocket.accept", "subprotocol": chosen})
            guest = _AsgiTransport(receive, send)
            await relay(guest, grant, self._service, peer=address, audit=self._audit)
        finally:
            self._doors.leave(grant, address)

    async def _admit(self, request: HandshakeRequest) -> Grant:
        objection = self._visitors.objection(request)
        if objection is not None:
            raise AccessDenied(objection, status=403, code="forbidden")
        grant = await self._authorize(request)
        check_kind_of_session(request, grant)
        self._doors.enter(grant, request.peer[0])
        return grant


def relay_app(
    authorize: Authorize,
    *,
    service: Service | Endpoint | str | None = None,
    origins: Iterable[str] = (),
    max_sessions: int = MAX_SESSIONS,
    max_sessions_per_address: float = math.inf,
    audit: Audit = log_audit,
) -> RelayApp:
    """Make an ASGI application of a relay, to be mounted in one of yours.

    Mounted at `/v1`, it is found by clients of the service whose base URL is `https://you/v1`.
    Every WebSocket that it gets is a session.  Pings, and the size of messages, are for the server:
    see its settings.

    Args:
        authorize: As for `serve_relay`.
        service: As for `serve_relay`.
        origins: As for `serve_relay`.
        max_sessions: As for `serve_relay`.
        max_sessions_per_address: As for `serve_relay`.
        audit: As for `serve_relay`.

    Raises:
        LocalProtocolError, TypeError: An argument makes no sense.
    """
    if not callable(authorize):
        raise TypeError("authorize must be an async function that returns a Grant")
    check_number("max_sessions", max_sessions, lambda most: most >= 1, allowed="1 or more")
    return RelayApp(
        authorize,
        service if callable(service) else service_at(service),
        Visitors("", origins=origins, hosts=(ANY,)),
        Doors(max_sessions, max_sessions_per_address),
        audit,
    )


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
            self._end(Close(event.get("code", ABNORMAL_CLOSURE), event.get("reason") or ""))
        return ()

    async def send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed is not None:
            raise ConnectionLost(self._closed.code, self._closed.reason)
        key = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", key: message})
        except trio.Cancelled:
            self._end(Close(ABNORMAL_CLOSURE, "a send was cancelled half way"))
            raise
        except Exception as error:
            # Servers raise what they like once the client has gone.
            self._end(Close(ABNORMAL_CLOSURE, "the client has gone"))
            raise ConnectionLost(ABNORMAL_CLOSURE, "the client has gone") from error

    def send_nowait(self, message: str | bytes) -> bool:
        return False

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        check_close_code(code)
        await trio.lowlevel.checkpoint()
        if self._closed is None:
            self._end(Close(code, reason))
            said = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
            try:
                await self._send({"type": "websocket.close", "code": code, "reason": said})
            except Exception:
                _logger.debug("a goodbye could not be said", exc_info=True)

    def _end(self, close: Close) -> None:
        if self._closed is None:
            self._closed = close
            self._receiving.cancel()
