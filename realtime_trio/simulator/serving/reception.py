"""What a simulator does with everybody who comes to its port, whoever listens there.

Owns one simulator: its keys, its models, its script, and who may look on.  Sockets belong to
`serving.serve`, or to a server of something else that has a simulator on its port as well.
"""

from __future__ import annotations

import logging
import secrets
import string
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import trio
from attrs import field, frozen

from realtime_trio._legible import legible
from realtime_trio._misuse import check_kind, to_tuple
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio._serving.http import HttpRequest, HttpResponse, RequestHead
from realtime_trio._serving.requests import SUBPROTOCOL, key_of, path_of
from realtime_trio._serving.visitors import Visitors
from realtime_trio._serving.websocket_server import Accept, HandshakeRequest, Reject
from realtime_trio._serving.wiretap import Wiretap, open_wiretap, recorder_of
from realtime_trio._transport.contract import Close, Transport
from realtime_trio.events import ConversationCreated, ConversationInfo, ErrorDetail, ErrorEvent
from realtime_trio.recording import Recording
from realtime_trio.simulator.replay import ReplayServer
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.script.script import Script
from realtime_trio.simulator.service.server import SimulatedServer
from realtime_trio.simulator.service.translator import SimulatedTranslator
from realtime_trio.simulator.serving.admission import (
    Admitted,
    KeyRing,
    TurnedAway,
    admit,
    is_served,
)
from realtime_trio.simulator.serving.attended import Cast, run_server
from realtime_trio.simulator.serving.faults import FaultyTransport
from realtime_trio.simulator.serving.onlooker import Onlooker
from realtime_trio.simulator.serving.rest import RestApi, forbidden, not_found
from realtime_trio.simulator.serving.simulation import Configured, InBeta, Simulation

# 256 is not a multiple of 62, so some letters are likelier; ids need not be unpredictable.
_LETTERS = bytes((string.ascii_letters + string.digits).encode()[byte % 62] for byte in range(256))
"""A letter or digit for every byte."""

_LONGEST_PATH: Final = 200
"""Characters of a request in the log."""
_BAD_REQUEST: Final = 4000

_logger = logging.getLogger("realtime_trio.simulator")


Faults: TypeAlias = Iterable[Fault] | Callable[[], Iterable[Fault]]
"""What goes wrong on every connection, or a function that says what goes wrong on the next one."""


class Reception:
    """A simulator without a port: what it says to everybody who comes.

    Made inside trio, whose clock it goes by.

    Args:
        script: As for `serve_simulator`.
        visitors: Whom it answers without a key.
        api_key: As for `serve_simulator`.
        models: As for `serve_simulator`.
        expires_after: As for `serve_simulator`.
        cast: As for `serve_simulator`.
        beta: As for `serve_simulator`.
        faults: As for `serve_simulator`.
        folder: Where every session is recorded; it exists.  None records nothing.
        replay: What is played to every client instead of a script.
        max_input_audio: As for `serve_simulator`.
        onlooker: Is told what happens.
    """

    def __init__(
        self,
        script: Script | Callable[[], Script],
        visitors: Visitors,
        *,
        api_key: str | None,
        models: Iterable[str] | None,
        expires_after: float,
        cast: Cast | None,
        beta: bool,
        faults: Faults,
        folder: Path | None,
        replay: Recording | None,
        max_input_audio: int,
        onlooker: Onlooker | None,
    ) -> None:
        # Read once: from here on trio's clock counts, which does not jump when somebody sets the
        # time.
        self._epoch = time.time() - trio.current_time()
        self._makers = _Makers(
            script=script,
            replay=replay,
            expires_after=expires_after,
            epoch=self._epoch,
            max_input_audio=max_input_audio,
        )
        self._visitors = visitors
        self._cast = cast
        self._beta = beta
        self._make_faults = each_time(faults)
        self._models = None if models is None else to_tuple("models", models)
        self._keys = KeyRing(api_key)
        self._folder, self._file_numbers = folder, count(1)
        self._onlooker, self._client_numbers = onlooker, count(1)
        self._rest = RestApi(
            self._keys, models=self._models, new_id=random_id, created_at=self._now()
        )

    def _now(self) -> float:
        return self._epoch + trio.current_time()

    def look(self, request: RequestHead) -> HttpResponse | None:
        """How a request is refused before anything else, None to let it pass."""
        # A page does not know the key, so one that shows it was given it.
        if not self._keys.is_open or self._keys.knows(key_of(request), self._now()):
            return None
        objection = self._visitors.objection(request)
        if objection is None:
            return None
        _logger.warning("refused a client: %s", objection)
        return forbidden(objection)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer what is not for a WebSocket."""
        await trio.lowlevel.checkpoint()
        start = trio.current_time()
        response = self._rest.answer(request, self._epoch + start)
        path = legible(path_of(request), _LONGEST_PATH)
        _logger.debug("%s %s: %d", legible(request.method, _LONGEST_PATH), path, response.status)
        # The service sends these headers, and some clients log them.
        measured = (
            ("x-request-id", f"req_{secrets.token_hex(16)}"),
            ("openai-processing-ms", f"{1000 * (trio.current_time() - start):.0f}"),
        )
        return attrs.evolve(response, headers=(*response.headers, *measured))

    @staticmethod
    def accept(request: HandshakeRequest) -> Accept | Reject:
        """Whether there is a WebSocket on this path."""
        if not is_served(request):
            refused = not_found("GET", request)
            return Reject(status=refused.status, headers=refused.headers, body=refused.body)
        return Accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in request.subprotocols else None)

    async def serve_client(
        self, transport: Transport, request: HandshakeRequest, *, is_known: bool = False
    ) -> None:
        """Serve one client until either side closes.

        Args:
            transport: Connected.  If it is a `FaultyTransport`, what goes wrong here is added to
                what goes wrong there.
            request: What the client asked for.
            is_known: Whether it was let in already, and needs no key.

        Raises:
            ConnectionLost: The client has gone before it was greeted or turned away.
        """
        keys = KeyRing() if is_known else self._keys
        admission = admit(request, keys, self._now(), models=self._models, beta=self._beta)
        if isinstance(admission, Admitted):
            admission = self._makers.objection(admission) or admission
        if self._onlooker is None:
            await self._attend(transport, admission)
            return
        number, onlooker = next(self._client_numbers), self._onlooker
        onlooker.connected(number, request, admission)
        try:
            await self._attend(transport, admission, partial(onlooker.passed, number))
        finally:
            onlooker.disconnected(number, transport.closed)

    async def _attend(
        self,
        transport: Transport,
        admission: Admitted | TurnedAway,
        note: Callable[[WireRecord], None] | None = None,
    ) -> None:
        dialect = admission.dialect if isinstance(admission, Admitted) else Dialect.GA
        codec = Codec(Role.SERVER, dialect, kind=admission.kind)
        if isinstance(admission, TurnedAway):
            seen = transport if note is None else watched(transport, codec, note)
            await seen.send(
                codec.encode(ErrorEvent(event_id=random_id("event_"), error=admission.error))
            )
            await seen.aclose(admission.close.code, admission.close.reason)
            return
        served = self._makers.server(admission)
        shown = served
        # The dialect outermost: it decides about what is sent, including the greeting below it.
        if admission.update is not None:
            shown = Configured(shown, admission.update)
        if dialect is Dialect.BETA:
            shown = InBeta(shown, _opening(served))
        used = faulty(transport, self._make_faults, codec)
        if note is not None:
            used = watched(used, codec, note)
        if self._folder is None:
            await run_server(used, served, self._cast, facade=shown, codec=codec)
            return
        async with open_wiretap(
            used, self._next_file(self._folder), kind=admission.kind, dialect=dialect
        ) as tapped:
            await run_server(tapped, served, self._cast, facade=shown, codec=codec)

    def _next_file(self, folder: Path) -> Path:
        # Numbered, because two sessions may begin in the same second, those of another server in
        # the same folder included.
        named = (
            folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{number}.jsonl"
            for number in self._file_numbers
        )
        return next(path for path in named if not path.exists())


@frozen(kw_only=True)
class _Makers:
    """Makes the server of each client."""

    script: Script | Callable[[], Script]
    replay: Recording | None = field(repr=False)
    expires_after: float
    epoch: float
    max_input_audio: int

    def objection(self, admission: Admitted) -> TurnedAway | None:
        """Why a client that is let in cannot have a session all the same, if it cannot."""
        if self.replay is None or self.replay.kind is admission.kind:
            return None
        return TurnedAway(
            kind=admission.kind,
            error=ErrorDetail(
                type="invalid_request_error",
                code="invalid_intent",
                message=f"This server replays a {self.replay.kind.value} session, "
                f"and not a {admission.kind.value} session.",
            ),
            close=Close(_BAD_REQUEST, "invalid_request_error.invalid_intent"),
        )

    def server(self, admission: Admitted) -> Simulation:
        """A fresh server."""
        if self.replay is not None:
            return ReplayServer(self.replay)
        make = (
            SimulatedTranslator
            if admission.kind is SessionKind.TRANSLATION
            else partial(SimulatedServer, kind=admission.kind, max_input_audio=self.max_input_audio)
        )
        return make(
            self.script if isinstance(self.script, Script) else self.script(),
            model=admission.model,
            new_id=random_id,
            expires_after=self.expires_after,
            epoch=self.epoch,
        )


def each_time(faults: Faults) -> Callable[[], Iterable[Fault]]:
    """A function that says what goes wrong on the next connection."""
    if callable(faults):
        return faults
    # An iterator would be empty on the second connection.
    given = to_tuple("faults", faults)
    return lambda: given


def faulty(
    transport: Transport, make_faults: Callable[[], Iterable[Fault]], codec: Codec
) -> Transport:
    """The transport with what goes wrong on it; as it is, if nothing does."""
    faults = tuple(make_faults())
    for fault in faults:
        check_kind("each of faults", fault, Fault, allowed="a Fault")
    if isinstance(transport, FaultyTransport):
        for fault in faults:
            transport.add(fault)
        return transport
    return FaultyTransport(transport, faults, codec) if faults else transport


def watched(transport: Transport, codec: Codec, note: Callable[[WireRecord], None]) -> Transport:
    """A server's transport whose messages are told to somebody.

    Args:
        transport: The transport.
        codec: That of the server.
        note: Is told.
    """
    return Wiretap(transport, Role.SERVER, recorder_of(note, codec.kind, codec.dialect))


def _opening(server: Simulation) -> ConversationCreated | None:
    """What a beta server says after its greeting, None if it is not there for a conversation."""
    if not isinstance(server, SimulatedServer) or server.kind is not SessionKind.REALTIME:
        return None
    conversation = ConversationInfo(id=server.conversation_id, object="realtime.conversation")
    return ConversationCreated(event_id=random_id("event_"), conversation=conversation)


def random_id(prefix: str) -> str:
    """Make an id as the service does."""
    return (
        prefix + secrets.token_bytes(16 if prefix == "call_" else 21).translate(_LETTERS).decode()
    )
