"""What else is served on the port of a relay: pages, and other WebSockets.

Pure.  Owns which route a request is for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from attrs import field, frozen

from realtime_trio._misuse import check_kind
from realtime_trio._serving.http import HttpHandler, RequestHead
from realtime_trio._serving.requests import path_of
from realtime_trio._serving.websocket_server import Admit, HandshakeRequest
from realtime_trio._transport.contract import Transport
from realtime_trio.errors import LocalProtocolError

SocketHandler = Callable[[Transport, HandshakeRequest], Awaitable[None]]
"""Serves one WebSocket; when it returns, the connection is closed."""


def _path(_: object, __: object, value: str) -> None:
    check_kind("path", value, str, allowed="a str")
    if not value.startswith("/") or "*" in value.removesuffix("/*"):
        raise LocalProtocolError(
            f"{value!r} is not the path of a route; use /page, or /pages/* for all below it"
        )


@frozen
class Route:
    """Serves a path of its own beside the sessions of a relay.

    Web pages of other origins are refused there as well, before a route is asked; who may use it
    otherwise is for the route.
    """

    path: str = field(validator=_path)
    """The path, such as `/console`; `/console/*` is every path below that, itself included, and
    `/*` all that nobody else serves.  A path counts before those with `*`, and of those the longest
    one that fits."""
    http: HttpHandler | None = field(default=None, kw_only=True)
    """Answers requests that are not for a WebSocket: `async (HttpRequest) -> HttpResponse`."""
    websocket: SocketHandler | None = field(default=None, kw_only=True)
    """Serves WebSockets: `async (transport, request) -> None`."""
    admit: Admit | None = field(default=None, kw_only=True)
    """Decides about a WebSocket before it is accepted; None lets everybody in."""

    def fits(self, path: str) -> bool:
        """Whether a path, without query and slashes at its end, is this route's."""
        if self.path.endswith("/*"):
            return f"{path}/".startswith(self.path[:-1])
        return path == self.path.rstrip("/")


def find_route(routes: Iterable[Route], request: RequestHead) -> Route | None:
    """The route for a request, None if there is none."""
    path = path_of(request)
    fitting = [route for route in routes if route.fits(path)]
    return max(
        fitting, key=lambda route: (not route.path.endswith("*"), len(route.path)), default=None
    )
