"""Who is let in by a relay: what is asked of an application, and how a guest is refused.

Pure.  Owns the counting of sessions and the answers to those who do not get one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable

from attrs import define, field

from realtime_trio._protocol.json_text import write_json
from realtime_trio._protocol.kinds import kind_at
from realtime_trio._serving.http import HttpResponse
from realtime_trio._serving.requests import key_of, path_of, query_of
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio.relay.grant import Grant


class AccessDenied(Exception):  # noqa: N818 - it is an answer, and nobody need have made a mistake
    """Raise it in `authorize`: the guest is not let in, and gets this as an HTTP response.

    Args:
        message: For the guest, so without any secret.
        status: 401 (who are you?), 403 (not you), 404 (no such thing), 429 (not so often) or
            another from 400 up.
        code: For the guest's program.
    """

    def __init__(
        self, message: str = "access denied", *, status: int = 401, code: str = "access_denied"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


Authorize = Callable[[HandshakeRequest], Awaitable[Grant]]
"""Says what a guest may do, before its WebSocket is accepted; or raises `AccessDenied`."""


def token_of(request: HandshakeRequest, *, query: str | None = None) -> str:
    """The token that a guest shows: as `Authorization: Bearer`, or among the subprotocols.

    A browser cannot set headers on a WebSocket, so it offers the subprotocols `realtime` and
    `openai-insecure-api-key.TOKEN`, as with the service itself; `realtime` is the one that is
    selected.

    Args:
        request: The guest's.
        query: Name of a parameter of the URL in which the token may stand as well.  URLs end up in
            logs of proxies: good for single-use tokens alone.

    Raises:
        AccessDenied: There is none.
    """
    token = key_of(request) or (query_of(request).get(query) if query is not None else None)
    if not token:
        raise AccessDenied("a token is needed", code="token_missing")
    return token


def refusal(status: int, code: str, message: str) -> HttpResponse:
    """The response to a guest that is not let in."""
    content = {"error": {"message": message, "type": "invalid_request_error", "code": code}}
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    if status == 401:
        headers.append(("www-authenticate", "Bearer"))
    return HttpResponse(status=status, headers=tuple(headers), body=write_json(content).encode())


def check_kind_of_session(request: HandshakeRequest, grant: Grant) -> None:
    """Refuse a guest that asks for another kind of session than it may have.

    Raises:
        AccessDenied: It does.
    """
    asked = kind_at(path_of(request), query_of(request).get("intent"))
    # A path that says nothing is that of an application of yours.
    if asked not in (None, grant.kind):
        raise AccessDenied(
            f"the grant is for a {grant.kind.value} session", status=403, code="wrong_kind"
        )


@define(eq=False)
class Doors:
    """The sessions that there are, and whether there may be another one."""

    most: float = math.inf
    """Sessions at once."""
    most_per_address: float = math.inf
    """Sessions at once from one IP address."""
    is_closing: bool = False
    """Whether nobody is let in any more."""
    _by_who: Counter[str] = field(factory=Counter)
    _by_address: Counter[str] = field(factory=Counter)

    @property
    def inside(self) -> int:
        """Sessions that there are."""
        return self._by_who.total()

    def check_open(self) -> None:
        """Raise AccessDenied if nobody is let in any more."""
        if self.is_closing:
            raise AccessDenied("the relay is stopping", status=503, code="stopping")

    def enter(self, grant: Grant, address: str) -> None:
        """Count a session; every one that was counted has to `leave`.

        Raises:
            AccessDenied: There are too many already, or nobody is let in any more.
        """
        self.check_open()
        if self.inside >= self.most:
            raise AccessDenied("there are too many sessions", status=429, code="too_many_sessions")
        if self._by_address[address] >= self.most_per_address:
            raise AccessDenied(
                "there are too many sessions from this address",
                status=429,
                code="too_many_sessions_of_address",
            )
        if self._by_who[grant.who] >= grant.sessions:
            raise AccessDenied(
                f"allowed: {grant.sessions:g} at once",
                status=429,
                code="too_many_sessions_of_guest",
            )
        self._by_who[grant.who] += 1
        self._by_address[address] += 1

    def leave(self, grant: Grant, address: str) -> None:
        """Count a session no more."""
        for counter, name in ((self._by_who, grant.who), (self._by_address, address)):
            counter[name] -= 1
            # Nobody is remembered, or names would pile up.
            if counter[name] <= 0:
                del counter[name]
