"""A relay on a port of its own: what else is served there, and who may come at all.

Owns the shell around the sessions, which are in `sessions`.  Sockets and handshakes are in
`_serving`.
"""

from __future__ import annotations

import logging
import math
import os
import ssl
from collections.abc import Iterable
from typing import Final

import attrs
import trio

from realtime_trio._misuse import to_tuple
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.exposure import is_loopback
from realtime_trio._protocol.kinds import kind_at
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._serving.http import HttpRequest, HttpResponse, RequestHead
from realtime_trio._serving.requests import path_of, query_of
from realtime_trio._serving.visitors import ANY, Visitors
from realtime_trio._serving.websocket_server import (
    Accept,
    HandshakeRequest,
    Reject,
    UrlStatus,
    serve_websocket,
)
from realtime_trio._transport.contract import Transport
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio.errors import LocalProtocolError
from realtime_trio.relay.access import Authorize, refusal
from realtime_trio.relay.audit import Audit, log_audit
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.recorded import make_folder
from realtime_trio.relay.routes import Route, find_route
from realtime_trio.relay.service import Service
from realtime_trio.relay.sessions import (
    GRACE_S,
    HEALTH,
    MAX_SESSIONS,
    RelayedSessions,
    sessions_of,
)

_MORE_CONNECTIONS: Final = 256
"""Connections besides those with sessions: handshakes, and requests for pages."""
_PATH: Final = "/v1/realtime"
GUEST_SETTINGS: Final = WebSocketSettings(connect_timeout=5.0, max_message_size=2**20)
"""How patient a relay is with guests, and how much it accepts: half of the default patience, for
whoever is slow on purpose, and as much as the default `Limits.message_size`."""

_logger = logging.getLogger("realtime_trio.relay")


async def serve_relay(  # noqa: ASYNC128 - UrlStatus does it
    authorize: Authorize | Grant,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    service: Service | Endpoint | str | None = None,
    origins: Iterable[str] = (),
    hosts: Iterable[str] | None = None,
    max_sessions: int = MAX_SESSIONS,
    max_sessions_per_address: float = math.inf,
    routes: Iterable[Route] = (),
    audit: Audit = log_audit,
    record: str | os.PathLike[str] | None = None,
    drain: trio.Event | None = None,
    grace: float = GRACE_S,
    ssl_context: ssl.SSLContext | None = None,
    settings: WebSocketSettings = GUEST_SETTINGS,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Relay guests to the service, each as far as its grant allows, until cancelled or drained.

    `await nursery.start(serve_relay, ...)` returns its URL, which clients of the service take as
    theirs: any path that ends in `/realtime` or `/realtime/translations` is one for sessions.
    `GET /healthz` says 200, or 503 while the relay is stopping.  Everything else is answered with
    404, unless one of the `routes` serves it: a console of yours may live on the same port with
    `routes=[Route("/console/*", http=answer), Route("/watch", websocket=watch)]`.

    Web pages are let in if they come from the same origin, or from one of `origins`.

    What happens in one session does not affect the others.

    Args:
        authorize: Says what a guest may do, or raises `AccessDenied`, before its WebSocket is
            accepted and within `settings.connect_timeout`; what else it raises is logged and
            answered with 500.  A `Grant` lets in everybody who can connect, and so is only taken
            where that is this machine.
        host: Address to bind.
        port: Port to bind, 0 for any free one.
        service: The service behind the relay: see `service_at`, which is applied to a URL or an
            `Endpoint`, and finds OpenAI's own where there is none.
        origins: Web pages that are let in besides those of the relay's own origin, e.g.
            `["https://app.example"]`; `["*"]` for all.
        hosts: Names under which guests reach the relay, besides `host`.  All of them by default if
            there is an `authorize`; else only those that no page can have chosen.
        max_sessions: Sessions at once; one more gets a 429.
        max_sessions_per_address: The same from one IP address.  Behind a proxy there is only one.
        routes: What else is served on this port.
        audit: Called with a record of every session, once, when it is over.
        record: A folder in which every session is recorded, as the service saw it; it is made if it
            does not exist.
        drain: Once this is set, nobody is let in any more, and it returns when all sessions are
            over.
        grace: Seconds that they get for that; then they end with 1001.
        ssl_context: Serve `wss://` with this certificate.
        settings: How patient it is with guests.
        task_status: For `nursery.start`: the URL, e.g. `ws://127.0.0.1:8123/v1/realtime`.

    Raises:
        OSError: The address cannot be bound.
        LocalProtocolError, TypeError: An argument makes no sense, or everybody would be let in from
            other machines.

    Cancellation: all sessions end with 1001.
    """
    if isinstance(authorize, Grant):
        if not is_loopback(host):
            raise LocalProtocolError(
                f"a relay at {host} without authorization would let in everybody who reaches it; "
                "pass an async function that returns a Grant, or bind 127.0.0.1"
            )
    elif not callable(authorize):
        raise TypeError("authorize must be an async function or a Grant")
    known_hosts = hosts if hosts is not None else () if isinstance(authorize, Grant) else (ANY,)
    visitors = Visitors(host, origins=origins, hosts=known_hosts)
    sessions = sessions_of(
        authorize,
        service,
        max_sessions=max_sessions,
        max_sessions_per_address=max_sessions_per_address,
        audit=audit,
        record=record,
        grace=grace,
    )
    shell = _Shell(sessions, to_tuple("routes", routes))
    if record is not None:
        # At once, because a folder that cannot be made should be known before a guest comes.
        await make_folder(record)

    def look(request: RequestHead) -> HttpResponse | None:
        objection = visitors.objection(request)
        if objection is None:
            return None
        _logger.warning("refused a guest: %s", objection)
        return refusal(403, "forbidden", objection)

    until_drained = trio.CancelScope()

    async def stop(drain: trio.Event) -> None:
        await drain.wait()
        await sessions.drain()
        until_drained.cancel()

    async with open_service_nursery() as services:
        if drain is not None:
            services.start_soon(stop, drain)
        with until_drained:
            await serve_websocket(
                shell.serve_nobody,
                host,
                port,
                admit=shell.admit,
                http=shell.answer,
                gate=look,
                max_clients=max_sessions + _MORE_CONNECTIONS,
                ssl_context=ssl_context,
                settings=settings,
                task_status=UrlStatus(task_status, _PATH, is_secure=ssl_context is not None),
            )


@attrs.frozen(eq=False)
class _Shell:
    """What the relay does with requests."""

    sessions: RelayedSessions
    routes: tuple[Route, ...]

    async def admit(self, request: HandshakeRequest) -> Accept | Reject:
        """Decide about a WebSocket."""
        await trio.lowlevel.checkpoint()
        if kind_at(path_of(request), query_of(request).get("intent")) is None:
            return await self._admit_to_route(request)
        guest = await self.sessions.admit(request)
        if isinstance(guest, HttpResponse):
            return _rejection(guest)
        return Accept(subprotocol=guest.subprotocol, serve=guest.serve, leave=guest.leave)

    async def _admit_to_route(self, request: HandshakeRequest) -> Accept | Reject:
        await trio.lowlevel.checkpoint()
        route = find_route(self.routes, request)
        if route is None or route.websocket is None:
            return _rejection(_not_found())
        answer = Accept() if route.admit is None else route.admit(request)
        if not isinstance(answer, Accept | Reject):
            answer = await answer
        if isinstance(answer, Reject) or answer.serve is not None:
            return answer
        handler = route.websocket

        async def serve(transport: Transport) -> None:
            await handler(transport, request)

        return attrs.evolve(answer, serve=serve)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a request that is not for a WebSocket."""
        await trio.lowlevel.checkpoint()
        if path_of(request) == HEALTH:
            return self.sessions.health()
        route = find_route(self.routes, request)
        if route is None or route.http is None:
            return _not_found()
        return await route.http(request)

    async def serve_nobody(self, _: Transport, request: HandshakeRequest) -> None:
        """Whoever is let in has somebody who serves."""
        raise AssertionError(f"nobody serves {path_of(request)}")


def _not_found() -> HttpResponse:
    return refusal(404, "not_found", "there is nothing at this path")


def _rejection(response: HttpResponse) -> Reject:
    return Reject(status=response.status, headers=response.headers, body=response.body)
