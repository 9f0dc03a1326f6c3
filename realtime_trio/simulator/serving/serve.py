"""The shells around the simulated service: on any transport, on a real port, and in memory.

Owns tasks, clocks and sockets.  Who gets in is decided in `admission`; everything else is the
business of what is driven, a `Simulation`.
"""

from __future__ import annotations

import logging
import os
import secrets
import ssl
import string
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from types import NoneType
from typing import Final

import attrs
import trio

from realtime_trio._legible import legible
from realtime_trio._misuse import check_kind, check_number, kind_of, to_tuple
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._serving.http import HttpRequest, HttpResponse, RequestHead
from realtime_trio._serving.requests import SUBPROTOCOL, key_of, path_of
from realtime_trio._serving.visitors import Visitors
from realtime_trio._serving.websocket_server import (
    Accept,
    HandshakeRequest,
    Reject,
    UrlStatus,
    serve_websocket,
)
from realtime_trio._serving.wiretap import open_wiretap
from realtime_trio._transport.contract import Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import ConversationCreated, ConversationInfo, ErrorEvent
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.script.script import LIFELIKE, Script
from realtime_trio.simulator.service.server import MAX_INPUT_AUDIO, SimulatedServer
from realtime_trio.simulator.service.translator import SimulatedTranslator
from realtime_trio.simulator.serving.admission import KeyRing, TurnedAway, admit, is_served
from realtime_trio.simulator.serving.attended import Cast, run_server as run_server
from realtime_trio.simulator.serving.faults import FaultyTransport
from realtime_trio.simulator.serving.rest import RestApi, forbidden, not_found
from realtime_trio.simulator.serving.simulation import Configured, InBeta, Simulation as Simulation

_PATH = "/v1/realtime"
# 256 is not a multiple of 62, so some letters are likelier; ids need not be unpredictable.
_LETTERS = bytes((string.ascii_letters + string.digits).encode()[byte % 62] for byte in range(256))
"""A letter or digit for every byte."""

MAX_CONNECTIONS: Final = 100
"""Connections at once: more than tests and developers have, and few enough for any machine."""
_LONGEST_PATH = 200
"""Characters of a request in the log."""
_NO_SCRIPT = Script(pacing=LIFELIKE, transcription_delay=0.5)

_logger = logging.getLogger("realtime_trio.simulator")


Faults = Iterable[Fault] | Callable[[], Iterable[Fault]]
"""What goes wrong on every connection, or a function that says what goes wrong on the next one."""


@asynccontextmanager
async def open_simulator_transport(
    server: Simulation | Script, *, cast: Cast | None = None, faults: Faults = ()
) -> AsyncIterator[Transport]:
    """Open a connection to a simulated server in memory.

    There is no network and no waiting, and trio's autojump clock works with it.  Leaving the block
    closes the connection and ends the server.  A failing predicate of the script leaves the block
    as its exception.

    Args:
        server: A fresh server (`SimulatedTranslator(script)` for translation), or the script for
            one that holds a conversation.
        cast: Who answers, listens and speaks where the script leaves it open; for a script or a
            `SimulatedServer`.
        faults: What goes wrong, or a function that returns it.

    Yields:
        The client's end.
    """
    check_kind("cast", cast, Cast, NoneType, allowed="a Cast or None")
    served = SimulatedServer(server) if isinstance(server, Script) else server
    if isinstance(served, type) or not hasattr(served, "take_due"):
        raise TypeError(f"a server must be a Script or a Simulation, not {kind_of(served)}")
    codec = Codec(Role.SERVER, kind=served.kind)
    ours, theirs = memory_transport_pair()
    async with open_service_nursery() as nursery:
        nursery.start_soon(run_server, _faulty(theirs, _each_time(faults), codec), served, cast)
        try:
            yield ours
        finally:
            await ours.aclose()


async def serve_simulator(  # noqa: ASYNC128 - UrlStatus does it
    script: Script | Callable[[], Script] = _NO_SCRIPT,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    api_key: str | None = None,
    models: Iterable[str] | None = None,
    expires_after: float = 3600.0,
    cast: Cast | None = None,
    beta: bool = False,
    faults: Faults = (),
    record: str | os.PathLike[str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    origins: Iterable[str] = (),
    hosts: Iterable[str] = (),
    max_connections: int = MAX_CONNECTIONS,
    max_input_audio: int = MAX_INPUT_AUDIO,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the simulated Realtime API over WebSockets until cancelled.

    `await nursery.start(serve_simulator, ...)` returns its URL.

    Any path that ends in `/realtime` or, for translation, in `/realtime/translations` is served,
    everything else is answered with 404.  Like the service, it accepts every such WebSocket; then
    it turns away, with an `error` event and a close, clients that name no model in the URL, ask for
    the old beta protocol, or have a wrong key.  With `intent=transcription` in the URL the session
    only transcribes, and needs no model; a translation session refuses an intent.

    Over HTTP, on the same port, `POST /v1/realtime/client_secrets` and `POST
    /v1/realtime/translations/client_secrets` make keys for browsers, with which a session begins as
    it was configured there, and `GET /v1/models` lists the models.

    What happens on one connection does not affect the others.

    Without an `api_key`, web pages of other origins are refused with a 403, as are requests for a
    host that is neither `host` nor a name of the loopback: any page in a browser of this machine
    could use the server otherwise.  Whoever shows a key, or a client secret, is let in from
    anywhere.

    Args:
        script: What the model says and understands, from the beginning for every connection; or a
            function that returns the script of the next connection.  By default the simulator
            answers for itself, at a lifelike pace.
        host: Address to bind.
        port: Port to bind, 0 for any free one.
        api_key: The only key that lets clients in, apart from the client secrets made with it.
            None lets in every client, except with a client secret that has expired.
        models: The models that are listed and served; None lists those of today and serves any.
        expires_after: Seconds until a session ends.
        cast: Who answers, listens and speaks where the script leaves it open, for example
            `Cast(OfflineAgent())`.
        beta: Speak the beta protocol with clients that ask for it, instead of turning them away as
            the service does today.
        faults: What goes wrong on every connection; or a function that returns what goes wrong on
            the next one.
        record: A directory in which every session is recorded, in a file of its own; see
            `open_recording`.  It is made if it does not exist.
        ssl_context: Serve `wss://` and `https://` with this certificate.
        origins: Web pages that may use the server without a key, e.g. `["http://localhost:5173"]`;
            `["*"]` for all.
        hosts: Names under which clients, or the relays and proxies in front of it, reach the server
            without a key, besides `host`; `["*"]` for all.
        max_connections: How many connections there may be at once; further ones get a 503.
        max_input_audio: Bytes of audio that a client may append without committing or clearing it.
            More is refused with an `error`.
        task_status: For `nursery.start`: the base URL, e.g. `ws://127.0.0.1:8123/v1/realtime`.

    Raises:
        OSError: The address cannot be bound.
        LocalProtocolError: An option makes no sense.
        TypeError: An option is of another kind.
    """
    if not (isinstance(script, Script) or callable(script)):
        raise TypeError(f"script must be a Script or a function, not {kind_of(script)}")
    check_kind("cast", cast, Cast, NoneType, allowed="a Cast or None")
    check_kind("api_key", api_key, str, NoneType, allowed="a str or None")
    # It would let in nobody, since an empty key is the same as none.
    if api_key == "":
        raise LocalProtocolError("api_key is empty; None lets in every client")
    check_number(
        "expires_after", expires_after, lambda number: number > 0, allowed="more than 0 seconds"
    )
    for name, limit in (("max_connections", max_connections), ("max_input_audio", max_input_audio)):
        check_number(name, limit, lambda number: number >= 1, allowed="1 or more")
    visitors = Visitors(host, origins=origins, hosts=hosts)
    make_faults = _each_time(faults)
    # Read once: from here on trio's clock counts, which does not jump when somebody sets the time.
    epoch = time.time() - trio.current_time()
    known = None if models is None else to_tuple("models", models)
    keys = KeyRing(api_key)
    folder, numbers = None if record is None else Path(record), count(1)
    if folder is not None:
        await trio.to_thread.run_sync(partial(folder.mkdir, parents=True, exist_ok=True))
    rest = RestApi(keys, models=known, new_id=_random_id, created_at=epoch + trio.current_time())

    async def serve_client(transport: Transport, request: HandshakeRequest) -> None:
        admission = admit(request, keys, epoch + trio.current_time(), models=known, beta=beta)
        if isinstance(admission, TurnedAway):
            codec = Codec(Role.SERVER, kind=admission.kind)
            await transport.send(
                codec.encode(ErrorEvent(event_id=_random_id("event_"), error=admission.error))
            )
            await transport.aclose(admission.close.code, admission.close.reason)
            return
        codec = Codec(Role.SERVER, admission.dialect, kind=admission.kind)
        make = (
            SimulatedTranslator
            if admission.kind is SessionKind.TRANSLATION
            else partial(SimulatedServer, kind=admission.kind, max_input_audio=max_input_audio)
        )
        served = make(
            script if isinstance(script, Script) else script(),
            model=admission.model,
            new_id=_random_id,
            expires_after=expires_after,
            epoch=epoch,
        )
        shown: Simulation = served
        # The dialect outermost: it decides about what is sent, including the greeting below it.
        if admission.update is not None:
            shown = Configured(shown, admission.update)
        if admission.dialect is Dialect.BETA:
            shown = InBeta(shown, _opening(served))
        faulty = _faulty(transport, make_faults, codec)
        if folder is None:
            await run_server(faulty, served, cast, facade=shown, codec=codec)
            return
        # Numbered, because two sessions may begin in the same second, those of another server in
        # the same folder included.
        named = (folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{number}.jsonl" for number in numbers)
        path = next(path for path in named if not path.exists())
        async with open_wiretap(
            faulty, path, kind=admission.kind, dialect=admission.dialect
        ) as tapped:
            await run_server(tapped, served, cast, facade=shown, codec=codec)

    async def answer(request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        start = trio.current_time()
        response = rest.answer(request, epoch + start)
        path = legible(path_of(request), _LONGEST_PATH)
        _logger.debug("%s %s: %d", legible(request.method, _LONGEST_PATH), path, response.status)
        # The service sends these headers, and some clients log them.
        measured = (
            ("x-request-id", f"req_{secrets.token_hex(16)}"),
            ("openai-processing-ms", f"{1000 * (trio.current_time() - start):.0f}"),
        )
        return attrs.evolve(response, headers=(*response.headers, *measured))

    def look(request: RequestHead) -> HttpResponse | None:
        # A page does not know the key, so one that shows it was given it.
        if not keys.is_open or keys.knows(key_of(request), epoch + trio.current_time()):
            return None
        objection = visitors.objection(request)
        if objection is None:
            return None
        _logger.warning("refused a client: %s", objection)
        return forbidden(objection)

    await serve_websocket(
        serve_client,
        host,
        port,
        admit=_accept,
        http=answer,
        gate=look,
        max_clients=max_connections,
        ssl_context=ssl_context,
        task_status=UrlStatus(task_status, _PATH, is_secure=ssl_context is not None),
    )


def _each_time(faults: Faults) -> Callable[[], Iterable[Fault]]:
    """A function that says what goes wrong on the next connection."""
    if callable(faults):
        return faults
    # An iterator would be empty on the second connection.
    given = to_tuple("faults", faults)
    return lambda: given


def _faulty(
    transport: Transport, make_faults: Callable[[], Iterable[Fault]], codec: Codec
) -> Transport:
    faults = tuple(make_faults())
    for fault in faults:
        check_kind("each of faults", fault, Fault, allowed="a Fault")
    return FaultyTransport(transport, faults, codec) if faults else transport


def _opening(server: SimulatedServer | SimulatedTranslator) -> ConversationCreated | None:
    """What a beta server says after its greeting, None if it is not there for a conversation."""
    if not isinstance(server, SimulatedServer) or server.kind is not SessionKind.REALTIME:
        return None
    conversation = ConversationInfo(id=server.conversation_id, object="realtime.conversation")
    return ConversationCreated(event_id=_random_id("event_"), conversation=conversation)


def _accept(request: HandshakeRequest) -> Accept | Reject:
    if not is_served(request):
        refused = not_found("GET", request)
        return Reject(status=refused.status, headers=refused.headers, body=refused.body)
    return Accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in request.subprotocols else None)


def _random_id(prefix: str) -> str:
    return (
        prefix + secrets.token_bytes(16 if prefix == "call_" else 21).translate(_LETTERS).decode()
    )
