"""The sessions of one relay, whoever accepts their connections: who gets one, and how all end.

Owns what a server on a port of its own (`serve`) and an application in somebody else's (`asgi`)
have in common.  Both ask for every guest, serve the session if there is one, and say when its
connection is over.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import attrs
import trio

from realtime_trio._legible import legible
from realtime_trio._misuse import check_kind, check_number
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._serving.http import HttpResponse
from realtime_trio._serving.requests import SUBPROTOCOL
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Transport
from realtime_trio.relay.access import (
    AccessDenied,
    Authorize,
    Doors,
    check_kind_of_session,
    refusal,
)
from realtime_trio.relay.audit import Audit
from realtime_trio.relay.core import relay
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.recorded import recorded
from realtime_trio.relay.service import Service, service_at

MAX_SESSIONS: Final = 500
"""Sessions at once: what a core holds, and some."""
GRACE_S: Final = 30.0
"""Seconds for which sessions go on while the relay stops; as long as most supervisors wait."""
HEALTH: Final = "/healthz"
"""Path that says whether new guests are let in."""
_LAST_WORDS_S: Final = 5.0
"""Seconds for the goodbyes of all sessions."""

_logger = logging.getLogger("realtime_trio.relay")


@attrs.frozen(eq=False)
class RelayedSessions:
    """All sessions of a relay."""

    authorize: Authorize | Grant
    """Says what a guest may do; a `Grant` says it of everybody."""
    service: Service
    """What they are sessions with."""
    audit: Audit
    """Gets a record of each."""
    grace: float
    """Seconds that they get while the relay stops."""
    _doors: Doors
    _drained: trio.Event = attrs.field(factory=trio.Event, init=False)
    _left: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)

    def health(self) -> HttpResponse:
        """The response to whoever asks whether new guests are let in."""
        status, word = (503, "stopping") if self._doors.is_closing else (200, "ok")
        return HttpResponse(
            status=status,
            headers=(("content-type", "application/json"), ("cache-control", "no-store")),
            body=f'{{"status":"{word}"}}'.encode(),
        )

    async def admit(self, request: HandshakeRequest) -> Guest | HttpResponse:
        """Decide about a guest, before its WebSocket is accepted.

        A guest that is let in is counted from here on, until it leaves.

        Returns:
            The guest, or what one that is not let in is answered.

        Raises:
            Exception: What `authorize` raised, if that was not `AccessDenied`.
        """
        await trio.lowlevel.checkpoint()
        address = request.peer[0]
        try:
            # Before anybody is asked for anything: a relay that stops should not look up tokens.
            self._doors.check_open()
            grant = await self._grant(request)
            check_kind_of_session(request, grant)
            self._doors.enter(grant, address)
        except AccessDenied as denied:
            _logger.info("refused a guest: %s", legible(str(denied)))
            return refusal(denied.status, denied.code, str(denied))
        return Guest(self, grant, address, SUBPROTOCOL in request.subprotocols)

    async def _grant(self, request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        if isinstance(self.authorize, Grant):
            return self.authorize
        grant = await self.authorize(request)
        check_kind("what authorize returns", grant, Grant, allowed="a Grant")
        return grant

    async def serve(self, transport: Transport, grant: Grant, address: str) -> None:
        """Have one session, until both its connections are closed."""
        await relay(
            transport,
            grant,
            self.service,
            peer=address,
            audit=self.audit,
            drained=self._drained,
        )

    def leave(self, grant: Grant, address: str) -> None:
        """Count a session no more."""
        self._doors.leave(grant, address)
        self._left.unpark_all()

    async def drain(self) -> None:
        """Let nobody in any more, and wait for those who are inside.

        After `grace` seconds their sessions end with 1001.  May be called more than once.

        Cancellation: nobody is let in any more, and the sessions go on.
        """
        self._doors.is_closing = True
        with trio.move_on_after(self.grace):
            await self._wait_empty()
        self._drained.set()
        with trio.move_on_after(_LAST_WORDS_S):
            await self._wait_empty()

    async def _wait_empty(self) -> None:
        await trio.lowlevel.checkpoint()
        while self._doors.inside:
            await self._left.park()


@attrs.frozen(eq=False)
class Guest:
    """Somebody who has been let in, and is counted until it leaves."""

    _sessions: RelayedSessions
    _grant: Grant
    _address: str
    _offers_subprotocol: bool

    @property
    def subprotocol(self) -> str | None:
        """What is selected of the subprotocols that it offers."""
        return SUBPROTOCOL if self._offers_subprotocol else None

    async def serve(self, transport: Transport) -> None:
        """Have its session, until both connections are closed."""
        await self._sessions.serve(transport, self._grant, self._address)

    def leave(self) -> None:
        """Count it no more; to be called once, however its connection ended."""
        self._sessions.leave(self._grant, self._address)


def sessions_of(
    authorize: Authorize | Grant,
    service: Service | Endpoint | str | None,
    *,
    max_sessions: int,
    max_sessions_per_address: float,
    audit: Audit,
    record: str | os.PathLike[str] | None,
    grace: float,
) -> RelayedSessions:
    """Make the sessions of a relay, of the arguments of its public functions.

    Raises:
        LocalProtocolError, TypeError: An argument makes no sense.
    """
    for name, most in (("max_sessions", max_sessions), ("grace", grace)):
        check_number(name, most, lambda number: number >= 0, allowed="0 or more")
    behind = service if callable(service) else service_at(service)
    return RelayedSessions(
        authorize,
        behind if record is None else recorded(behind, Path(record)),
        audit,
        grace,
        Doors(max_sessions, max_sessions_per_address),
    )
