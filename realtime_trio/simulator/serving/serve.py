"""The shells around the simulated service: on any transport, on a real port, and in memory.

Owns tasks, clocks and sockets.  Who gets in is decided in `admission`; everything else is the
business of what is driven, a `Simulation`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Final

import trio

from realtime_trio._misuse import check_kind, check_number, kind_of
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._serving.visitors import Visitors
from realtime_trio._serving.websocket_server import UrlStatus, serve_websocket
from realtime_trio._transport.contract import Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import LocalProtocolError
from realtime_trio.recording import Recording
from realtime_trio.simulator.script.script import LIFELIKE, Script
from realtime_trio.simulator.service.server import MAX_INPUT_AUDIO, SimulatedServer
from realtime_trio.simulator.serving.attended import Cast, run_server as run_server
from realtime_trio.simulator.serving.onlooker import Onlooker
from realtime_trio.simulator.serving.reception import (
    Faults as Faults,
    Reception,
    each_time,
    faulty,
)
from realtime_trio.simulator.serving.simulation import Simulation as Simulation

_PATH = "/v1/realtime"

MAX_CONNECTIONS: Final = 100
"""Connections at once: more than tests and developers have, and few enough for any machine."""
_NO_SCRIPT = Script(pacing=LIFELIKE, transcription_delay=0.5)


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
        nursery.start_soon(run_server, faulty(theirs, each_time(faults), codec), served, cast)
        try:
            yield ours
        finally:
            await ours.aclose()


async def make_reception(
    script: Script | Callable[[], Script] = _NO_SCRIPT,
    host: str = "127.0.0.1",
    *,
    api_key: str | None = None,
    models: Iterable[str] | None = None,
    expires_after: float = 3600.0,
    cast: Cast | None = None,
    beta: bool = False,
    faults: Faults = (),
    record: str | os.PathLike[str] | None = None,
    origins: Iterable[str] = (),
    hosts: Iterable[str] = (),
    max_input_audio: int = MAX_INPUT_AUDIO,
    replay: Recording | None = None,
    onlooker: Onlooker | None = None,
) -> Reception:
    """Make a simulator without a port, for a server that has something else on it as well.

    Everything is as for `serve_simulator`, whose arguments these are.
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
    check_number(
        "max_input_audio", max_input_audio, lambda number: number >= 1, allowed="1 or more"
    )
    check_kind("replay", replay, Recording, NoneType, allowed="a Recording or None")
    visitors = Visitors(host, origins=origins, hosts=hosts)
    folder = None if record is None else Path(record)
    if folder is not None:
        await trio.to_thread.run_sync(partial(folder.mkdir, parents=True, exist_ok=True))
    await trio.lowlevel.checkpoint()
    return Reception(
        script,
        visitors,
        api_key=api_key,
        models=models,
        expires_after=expires_after,
        cast=cast,
        beta=beta,
        faults=faults,
        folder=folder,
        replay=replay,
        max_input_audio=max_input_audio,
        onlooker=onlooker,
    )


async def serve_simulator(  # noqa: ASYNC128 - `serve_reception` calls it
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
    replay: Recording | None = None,
    onlooker: Onlooker | None = None,
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
        replay: A recording to play to every client, from its beginning, instead of a script.
        onlooker: Is told what happens on every connection.
        task_status: For `nursery.start`: the base URL, e.g. `ws://127.0.0.1:8123/v1/realtime`.

    Raises:
        OSError: The address cannot be bound.
        LocalProtocolError: An option makes no sense.
        TypeError: An option is of another kind.
    """
    check_number(
        "max_connections", max_connections, lambda number: number >= 1, allowed="1 or more"
    )
    reception = await make_reception(
        script,
        host,
        api_key=api_key,
        models=models,
        expires_after=expires_after,
        cast=cast,
        beta=beta,
        faults=faults,
        record=record,
        origins=origins,
        hosts=hosts,
        max_input_audio=max_input_audio,
        replay=replay,
        onlooker=onlooker,
    )

    await serve_reception(
        reception,
        host,
        port,
        ssl_context=ssl_context,
        max_connections=max_connections,
        task_status=task_status,
    )


async def serve_reception(  # noqa: ASYNC128 - UrlStatus does it
    reception: Reception,
    host: str,
    port: int,
    *,
    ssl_context: ssl.SSLContext | None,
    max_connections: int,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a simulator until cancelled; the arguments are those of `serve_simulator`."""
    await serve_websocket(
        reception.serve_client,
        host,
        port,
        admit=reception.accept,
        http=reception.answer,
        gate=reception.look,
        max_clients=max_connections,
        ssl_context=ssl_context,
        task_status=UrlStatus(task_status, _PATH, is_secure=ssl_context is not None),
    )
