"""A console on a port: which request gets what.

Owns the addresses.  What is shown is the business of a `Source`; who may see it is decided in
`access`.  A simulator may have its own clients on the same port, as if the console were not there.
"""

from __future__ import annotations

import logging
import secrets
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

import trio
from attrs import frozen

from realtime_trio._serving.http import HttpRequest, HttpResponse, RequestHead
from realtime_trio._serving.requests import SUBPROTOCOL, path_of
from realtime_trio._serving.visitors import Visitors
from realtime_trio._serving.websocket_server import (
    Accept,
    HandshakeRequest,
    Reject,
    serve_websocket,
)
from realtime_trio._transport.contract import Transport
from realtime_trio.console.access import Token, json_response, problem_response, response
from realtime_trio.console.page_files import INDEX, PageFile, page_files
from realtime_trio.console.sources import Source
from realtime_trio.simulator.serving.reception import Reception
from realtime_trio.simulator.serving.serve import MAX_CONNECTIONS

DEFAULT_PORT: Final = 8766
"""Port of a console: the next one after that of the simulator."""
INSPECT: Final = "/inspect"
"""Where a page sees what goes on."""
REALTIME: Final = "/v1/realtime"
"""Where a page is a client."""
PAGE: Final = "console"
"""The parameter of a URL that says which page it is."""
_LONGEST_PAGE: Final = 64
_SETUP: Final = "/setup.json"
_ICON: Final = "/favicon.ico"

_logger = logging.getLogger("realtime_trio.console")


class Site:
    """What a console answers.

    Args:
        source: What it shows.
        token: What opens it.
        visitors: Which names and pages it answers to.
        files: The files of the page.
        beside: A simulator that has clients of its own on the same port.
    """

    def __init__(
        self,
        source: Source,
        token: Token,
        visitors: Visitors,
        files: Mapping[str, PageFile],
        beside: Reception | None = None,
    ) -> None:
        self._source = source
        self._token = token
        self._visitors = visitors
        self._files = files
        self._beside = beside

    def look(self, request: RequestHead) -> HttpResponse | None:
        """How a request is refused before anything else, None to let it pass."""
        if self._beside is not None and not self._is_ours(request):
            return self._beside.look(request)
        # Also of those who show the token: no page of another name was ever given it.
        objection = self._visitors.objection(request)
        if objection is None:
            return None
        _logger.warning("refused a browser: %s", objection)
        return problem_response(403, objection)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer what is not for a WebSocket."""
        await trio.lowlevel.checkpoint()
        path = path_of(request)
        if not self._is_ours(request) and self._beside is not None:
            return await self._beside.answer(request)
        if request.method not in ("GET", "HEAD"):
            return problem_response(405, "only GET is allowed here", (("allow", "GET, HEAD"),))
        if path == _SETUP:
            if not self._token.is_shown_by(request):
                return _without_token()
            # In a thread, for the sake of the price list.
            page = secrets.token_urlsafe(12)
            return json_response(await trio.to_thread.run_sync(self._source.setup, page))
        # Browsers ask for it by themselves, and complain in their console if it is not there.
        if path == _ICON:
            return response(204, b"", "image/x-icon")
        name = INDEX if path == "" else path.removeprefix("/page/")
        file = self._files.get(name) if path == "" or path.startswith("/page/") else None
        if file is None:
            return problem_response(404, "there is nothing here")
        return response(200, file.data, file.content_type)

    def admit(self, request: HandshakeRequest) -> Accept | Reject:
        """Decide about a WebSocket."""
        if not self._is_ours(request):
            if self._beside is not None:
                return self._beside.accept(request)
            return _rejected(_NO_SOCKET)
        path = path_of(request)
        if path != INSPECT and not (path == REALTIME and self._source.talks):
            return _rejected(_NO_SOCKET)
        if not self._token.is_shown_by(request):
            return _rejected(_without_token())
        return Accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in request.subprotocols else None)

    async def serve_client(self, transport: Transport, request: HandshakeRequest) -> None:
        """Serve one WebSocket until either side closes."""
        page = _page_of(request)
        if path_of(request) == INSPECT:
            await self._source.show(transport, page)
        elif not self._is_ours(request):
            assert self._beside is not None, "others were not admitted"
            await self._beside.serve_client(transport, request)
        else:
            await self._source.talk(transport, request, page)

    def _is_ours(self, request: RequestHead) -> bool:
        """Whether a request is for the console, and not for a simulator beside it."""
        path = path_of(request)
        if path in ("", INSPECT, _SETUP, _ICON) or path.startswith("/page/"):
            return True
        return path == REALTIME and _page_of(request) != ""


_NO_SOCKET: Final = problem_response(404, "there is no WebSocket here")


def _page_of(request: RequestHead) -> str:
    values = parse_qs(urlsplit(request.path).query).get(PAGE, [""])
    return values[-1][:_LONGEST_PAGE]


def _without_token() -> HttpResponse:
    return problem_response(
        401,
        "this needs the token of the console, which is in the address that the console has printed",
        (("www-authenticate", "Bearer"),),
    )


def _rejected(answer: HttpResponse) -> Reject:
    return Reject(status=answer.status, headers=answer.headers, body=answer.body)


@frozen
class Address:
    """Where a console is."""

    base: str
    """Scheme, host and port, without a slash at the end."""
    token: Token
    """What opens it."""

    @property
    def url(self) -> str:
        """The address to open in a browser.  Whoever knows it may use the console."""
        return f"{self.base}/#{self.token.text}"


@frozen
class Announced:
    """A task status that hands the address on, for those who start a console without a nursery."""

    _take: Callable[[Address], None]

    def started(self, value: Address | None = None) -> None:
        """Hand it on."""
        assert value is not None
        self._take(value)


@frozen
class _AddressStatus:
    """A task status that is told where the server listens, and tells another one the address."""

    _status: trio.TaskStatus[Address]
    _scheme: str
    _token: Token

    def started(self, value: tuple[str, int] | None = None) -> None:
        assert value is not None, "serve_websocket says where it listens"
        host, port = value
        name = f"[{host}]" if ":" in host else host
        self._status.started(Address(f"{self._scheme}://{name}:{port}", self._token))


async def serve_console(  # noqa: ASYNC128 - _AddressStatus does it
    source: Source,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    token: Token | None = None,
    hosts: Iterable[str] = (),
    beside: Reception | None = None,
    max_connections: int = MAX_CONNECTIONS,
    ssl_context: ssl.SSLContext | None = None,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a console until cancelled.

    `await nursery.start(serve_console, source, ...)` returns its `Address`.

    Args:
        source: What it shows.
        host: Address to bind.  One beyond the loopback lets others on the network see the page, and
            what the token opens goes there unencrypted without an `ssl_context`.
        port: Port to bind, 0 for any free one.
        token: What opens it; by default a new one.
        hosts: Names under which it is reached besides `host` and those of the loopback.
        beside: A simulator that has clients of its own on the same port.
        max_connections: How many connections there may be at once; further ones get a 503.
        ssl_context: Serve `https` with this certificate.
        task_status: For `nursery.start`.

    Raises:
        OSError: The address cannot be bound.
        LocalProtocolError: One of `hosts` is not a name.
    """
    token = Token() if token is None else token
    visitors = Visitors(host, hosts=hosts)
    files = await trio.to_thread.run_sync(page_files)
    site = Site(source, token, visitors, files, beside)
    scheme = "http" if ssl_context is None else "https"

    await serve_websocket(
        site.serve_client,
        host,
        port,
        admit=site.admit,
        http=site.answer,
        gate=site.look,
        max_clients=max_connections,
        ssl_context=ssl_context,
        task_status=_AddressStatus(task_status, scheme, token),
    )
