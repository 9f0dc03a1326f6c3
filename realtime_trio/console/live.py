"""A console with a service behind it: pages are clients, and see what is wrong on the way.

Owns the pages that are there, each with its connections to the service.

Theory of operation.  A page has two WebSockets that belong together by its name: one on which it is
a client, and one by which it is told what a client cannot know.  Either may come first, and the
first may come and go many times.  A page is remembered for as long as one of them is open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

import trio

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind, kind_at
from realtime_trio._protocol.wire_record import Source as Side, WireRecord
from realtime_trio._serving.requests import path_of
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._serving.wiretap import recorder_of
from realtime_trio._transport.contract import Transport
from realtime_trio.console.board import Board, Look
from realtime_trio.console.line import BrowserLine
from realtime_trio.console.marks import OrderMarks
from realtime_trio.console.messages import (
    client_events,
    connection_told,
    marks_told,
    state_told,
)
from realtime_trio.console.price_list import prices_told
from realtime_trio.console.script_material import ScriptMaterial
from realtime_trio.console.serving import INSPECT, PAGE, REALTIME
from realtime_trio.console.sources import OnlyShown
from realtime_trio.console.visit import serve_visit
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import JsonObject
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.serving.faults import FaultyTransport

ServeClient: TypeAlias = Callable[[Transport, HandshakeRequest], Awaitable[None]]
"""Serves one client until either side closes: a simulator, or the way to a service."""

MOST_PAGES: Final = 64
"""Pages at once: far more than a person has open."""
_TRY_AGAIN: Final = 1013
_KEPT: Final = 2**20
"""Characters of marks that are kept for a page whose other WebSocket comes later."""
_AT_ONCE: Final = frozenset({"drop", "reset", "close", "error"})
"""Faults that need no event to strike."""
_VOICES: Final = (
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "marin",
    "sage",
    "shimmer",
    "verse",
)


class LivePage(OnlyShown):
    """One page, and its connections to the service.

    Args:
        is_simulated: Whether things can be made to go wrong.
    """

    def __init__(self, *, is_simulated: bool) -> None:
        super().__init__("a page that is a client itself, and sends on its own connection")
        self.codec = Codec(Role.SERVER)
        """What a client may send, on the last connection."""
        self._is_simulated = is_simulated
        self._connections = 0
        self._open = 0
        self._marks = OrderMarks(from_start=True)
        self._line: FaultyTransport | None = None
        self._material = ScriptMaterial()
        self._board = Board(self._state(), _KEPT)

    def look(self) -> Look:
        """What is wrong on its connections."""
        return self._board.look()

    def script(self) -> str:
        """What the service has said on the last connection, as the text of a script file."""
        return self._material.write()

    async def fault(self, fault: Fault) -> None:
        """Let something go wrong on the connection: at once, or when an event is about to be sent.

        Raises:
            LocalProtocolError: There is no connection, or it leads to no simulator.
            ConnectionLost: The connection has ended meanwhile.
        """
        if not self._is_simulated:
            raise LocalProtocolError(
                "nothing can be made to go wrong here: this is no simulator, but a service"
            )
        if self._line is None:
            raise LocalProtocolError("nothing can be made to go wrong: there is no connection")
        if fault.on is None and fault.kind in _AT_ONCE:
            await self._line.strike(fault)
        else:
            self._line.add(fault)
        await trio.lowlevel.checkpoint()

    async def talk(
        self, transport: Transport, request: HandshakeRequest, serve: ServeClient
    ) -> None:
        """Connect the page to the service, until either side closes."""
        kind = _kind_of(request)
        self._connections += 1
        watch = _Watch(self._connections, self._board.tell)
        # A page connects again when it has lost the connection: then this is the one that counts.
        self._marks, self._material = watch.marks, ScriptMaterial()
        self.codec = Codec(Role.SERVER, kind=kind)

        def note(record: WireRecord) -> None:
            watch.note(record)
            material.add(record)
            self._tell_state()

        material = self._material
        line = FaultyTransport(
            BrowserLine(transport, recorder_of(note, kind)), (), Codec(Role.SERVER, kind=kind)
        )
        self._line = line
        self._open += 1
        self._tell_state()
        try:
            await serve(line, request)
        finally:
            self._open -= 1
            if self._line is line:
                self._line = None
            watch.end()
            self._tell_state()

    def _state(self) -> str:
        return state_told(
            is_open=self._open > 0, may_act=False, why_unwatched=self._marks.why_unwatched
        )

    def _tell_state(self) -> None:
        self._board.tell_state(self._state())


class _Watch:
    """Looks at the messages of one connection."""

    def __init__(self, number: int, tell: Callable[[str], None]) -> None:
        self.marks = OrderMarks(from_start=True)
        self._number = number
        self._tell = tell
        self._passed: dict[Side, int] = {"client": 0, "server": 0}
        tell(connection_told(number, is_open=True))

    def note(self, record: WireRecord) -> None:
        number = self._passed[record.source]
        self._passed[record.source] += 1
        if violations := self.marks.judge(record):
            event_id = getattr(record.event, "event_id", None) or None
            self._tell(marks_told(self._number, record.source, number, event_id, violations))

    def end(self) -> None:
        self._tell(connection_told(self._number, is_open=False))


def _kind_of(request: HandshakeRequest) -> SessionKind:
    intent = parse_qs(urlsplit(request.path).query).get("intent", [None])[-1]
    return kind_at(path_of(request), intent) or SessionKind.REALTIME


class LiveSource:
    """Pages that talk with a service.

    Args:
        serve: Serves a page that is a client.
        models: The models to choose from, the first one to begin with.
        is_simulated: Whether it is a simulator, which can be made to fail.
    """

    talks: Final = True
    """Pages are clients here."""

    def __init__(self, serve: ServeClient, *, models: tuple[str, ...], is_simulated: bool) -> None:
        self._serve = serve
        self._models = models
        self._is_simulated = is_simulated
        self._pages: dict[str, tuple[LivePage, int]] = {}
        """The pages, and how many WebSockets each has open."""

    def setup(self, page: str) -> JsonObject:
        """What a page is told when it is opened."""
        return {
            "source": "live",
            "title": self._models[0],
            "kind": SessionKind.REALTIME.value,
            "models": list(self._models),
            "voices": list(_VOICES),
            "simulator": self._is_simulated,
            "may_act": True,
            "client_events": client_events(Codec(Role.SERVER)),
            "realtime_url": f"{REALTIME}?model={self._models[0]}&{PAGE}={page}",
            "inspect_url": f"{INSPECT}?{PAGE}={page}",
            "prices": prices_told(self._models),
        }

    async def show(self, transport: Transport, page: str) -> None:
        """Serve the WebSocket by which a page sees what a client cannot know."""
        with self._use(page) as used:
            if used is None:
                await _turn_away(transport)
            else:
                await serve_visit(transport, used)

    async def talk(self, transport: Transport, request: HandshakeRequest, page: str) -> None:
        """Serve the WebSocket on which a page is a client."""
        with self._use(page) as used:
            if used is None:
                await _turn_away(transport)
            else:
                await used.talk(transport, request, self._serve)

    @contextmanager
    def _use(self, name: str) -> Iterator[LivePage | None]:
        """The page of this name while one of its WebSockets is open; None if there are too many."""
        if name not in self._pages and len(self._pages) >= MOST_PAGES:
            yield None
            return
        page, count = self._pages.get(name) or (LivePage(is_simulated=self._is_simulated), 0)
        self._pages[name] = page, count + 1
        try:
            yield page
        finally:
            page, count = self._pages.pop(name)
            if count > 1:
                self._pages[name] = page, count - 1


async def _turn_away(transport: Transport) -> None:
    await transport.aclose(_TRY_AGAIN, "too many pages are open")
