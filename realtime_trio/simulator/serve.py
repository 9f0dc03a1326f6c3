"""The shells around the simulated service: on any transport, on a real port, and in memory.

Owns tasks, clocks, sockets and who gets in; everything else is the business of what is driven, a `Simulation`.
"""

from __future__ import annotations

import logging
import math
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import trio
from attrs import frozen

from realtime_trio._nursery import open_service_nursery
from realtime_trio._websocket import Accept, HandshakeRequest, Reject, serve_websocket
from realtime_trio.codec import Codec, Role, SessionKind
from realtime_trio.errors import ConnectionLost
from realtime_trio.events import ErrorDetail, ErrorEvent, Event, ServerEvent, UnknownEvent
from realtime_trio.simulator.script import LIFELIKE, Script
from realtime_trio.simulator.server import SimulatedServer
from realtime_trio.simulator.translator import SimulatedTranslator
from realtime_trio.transport import Close, Transport, memory_transport_pair

_PATH = "/v1/realtime"
_TRANSLATIONS = "/realtime/translations"
_SUBPROTOCOL = "realtime"
_KEY_PREFIX = "openai-insecure-api-key."
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
_BAD_KEY = 3000
_BAD_REQUEST = 4000
_EXAMPLES = {
    SessionKind.REALTIME: "/realtime?model=gpt-realtime",
    SessionKind.TRANSLATION: f"{_TRANSLATIONS}?model=gpt-realtime-translate",
}
_ALPHABET = string.ascii_letters + string.digits

_NO_SCRIPT = Script(pacing=LIFELIKE, transcription_delay=0.5)

_logger = logging.getLogger("realtime_trio.simulator")


class Simulation(Protocol):
    """What can be driven: the server's side of one connection, whatever it is for.

    `SimulatedServer` and `SimulatedTranslator` are, and so is anything of your own that wraps them or takes their place.
    """

    @property
    def kind(self) -> SessionKind:
        """What the session is for; it decides which events there are."""
        ...

    @property
    def close(self) -> Close | None:
        """How it wants the connection closed, once it does and everything due has been taken."""
        ...

    @property
    def next_due(self) -> float | None:
        """When to call `take_due` again if nothing arrives until then; None if there will be nothing to take."""
        ...

    def connect(self, now: float) -> None:
        """Greet the client; called once, before everything else."""
        ...

    def receive(self, event: Event, now: float) -> None:
        """Take what the client sent: a client event, or an `UnknownEvent`."""
        ...

    def take_due(self, now: float) -> Sequence[ServerEvent]:
        """Everything to be sent by now, in order; each event is returned once."""
        ...


async def run_server(transport: Transport, server: Simulation, *, codec: Codec | None = None) -> None:
    """Let a server serve the client at the other end of a transport, until either closes.

    Runs on trio's clock.  Returns when the client has gone, cleanly or not, and closes the transport when the server wants to; otherwise
    the transport is left to its owner.

    Args:
        transport: Connected, and used by nobody else.
        server: A fresh one; this calls its `connect`.
        codec: For other dialects than today's; its role is that of a server, and its kind that of the session.

    Cancellation: safe; the connection is over then if a message was half sent.
    """
    codec = codec or Codec(Role.SERVER, kind=server.kind)
    await trio.lowlevel.checkpoint()
    server.connect(trio.current_time())
    while True:
        try:
            for due in server.take_due(trio.current_time()):
                _logger.debug("sent %s", due.type)
                await transport.send(codec.encode(due))
        except ConnectionLost:
            return
        if server.close is not None:
            await transport.aclose(server.close.code, server.close.reason)
            return
        deadline = math.inf if server.next_due is None else server.next_due
        with trio.move_on_at(deadline):
            batch = await transport.receive()
            if not batch:
                return
            for message in batch:
                event = _decode(codec, message)
                _logger.debug("received %s", event.type or "something that is no event")
                server.receive(event, trio.current_time())


def _decode(codec: Codec, message: str | bytes) -> Event:
    if isinstance(message, bytes):  # the service speaks text only, even if the bytes would read as JSON
        return UnknownEvent(raw=message, problem="binary frame")
    return codec.decode(message)


@asynccontextmanager
async def open_simulator_transport(server: Simulation | Script) -> AsyncIterator[Transport]:
    """Open a connection to a simulated server in memory: no network, no waiting, and happy with an autojump clock.

    Leaving the block closes the connection and ends the server.  A failing predicate of the script leaves the block as its exception.

    Args:
        server: A fresh server (`SimulatedTranslator(script)` for translation), or the script for one that holds a conversation.

    Yields:
        The client's end.
    """
    served = SimulatedServer(server) if isinstance(server, Script) else server
    ours, theirs = memory_transport_pair()
    async with open_service_nursery() as nursery:
        nursery.start_soon(run_server, theirs, served)
        try:
            yield ours
        finally:
            await ours.aclose()


async def serve_simulator(
    script: Script | Callable[[], Script] = _NO_SCRIPT,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    api_key: str | None = None,
    expires_after: float = 3600.0,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the simulated Realtime API over WebSockets until cancelled; `await nursery.start(serve_simulator, ...)` returns its URL.

    Any path that ends in `/realtime` or, for translation, in `/realtime/translations` is served, everything else is answered with 404.  As
    the service does, it accepts every such WebSocket and turns away afterwards, with an `error` event and a close, who names no model in
    the URL, asks for the old beta protocol, or has a wrong key.
    With `intent=transcription` in the URL the session only transcribes, and needs no model; a translation session refuses an intent.

    Args:
        script: What the model says and understands; every connection starts it from the beginning.  Or a function that is asked for one
            for every connection.  By default the simulator answers for itself, at a lifelike pace.
        host: Address to bind.
        port: Port to bind, 0 for any free one.
        api_key: The only key that is let in; None lets in anybody.
        expires_after: Seconds until a session ends.
        task_status: For `nursery.start`: the base URL, e.g. `ws://127.0.0.1:8123/v1/realtime`.

    Raises:
        OSError: The address cannot be bound.
    """

    async def serve_client(transport: Transport, request: HandshakeRequest) -> None:
        query = _query(request)
        kind = _kind(request, query)
        refusal = _refusal(request, kind, query, api_key)
        if refusal is not None:
            error, close = refusal
            await transport.send(Codec(Role.SERVER, kind=kind).encode(ErrorEvent(event_id=_random_id("event_"), error=error)))
            await transport.aclose(close.code, close.reason)
            return
        make = SimulatedTranslator if kind is SessionKind.TRANSLATION else partial(SimulatedServer, kind=kind)
        server = make(
            script if isinstance(script, Script) else script(),
            model=query.get("model", ""),
            new_id=_random_id,
            expires_after=expires_after,
            epoch=time.time() - trio.current_time(),
        )
        await run_server(transport, server)

    def announce(address: tuple[str, int]) -> None:
        name, bound = address
        task_status.started(f"ws://{f'[{name}]' if ':' in name else name}:{bound}{_PATH}")

    await serve_websocket(serve_client, host, port, admit=_admit, task_status=_Announcement(announce))


@frozen
class _Announcement:
    """A task status that hands the value on."""

    _announce: Callable[[tuple[str, int]], None]

    def started(self, value: tuple[str, int] | None = None) -> None:
        assert value is not None
        self._announce(value)


def _admit(request: HandshakeRequest) -> Accept | Reject:
    if not _path(request).endswith(("/realtime", _TRANSLATIONS)):
        return Reject(status=404, body=b"The simulator serves /v1/realtime and /v1/realtime/translations.")
    return Accept(subprotocol=_SUBPROTOCOL if _SUBPROTOCOL in request.subprotocols else None)


def _path(request: HandshakeRequest) -> str:
    return urlsplit(request.path).path.rstrip("/")


def _kind(request: HandshakeRequest, query: Mapping[str, str]) -> SessionKind:
    if _path(request).endswith(_TRANSLATIONS):
        return SessionKind.TRANSLATION
    return SessionKind.TRANSCRIPTION if query.get("intent") == "transcription" else SessionKind.REALTIME


def _query(request: HandshakeRequest) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(request.path).query).items()}


def _refusal(
    request: HandshakeRequest, kind: SessionKind, query: Mapping[str, str], api_key: str | None
) -> tuple[ErrorDetail, Close] | None:
    """Why a client is turned away, and how; None if it is let in."""
    if api_key is not None:
        key = _key_of(request)
        if key is None:
            return _turn_away(_BAD_KEY, None, "Missing bearer or basic authentication in header")
        if not secrets.compare_digest(key.encode(), api_key.encode()):
            return _turn_away(_BAD_KEY, "invalid_api_key", "Incorrect API key provided.")
    if request.header("openai-beta") is not None or _BETA_SUBPROTOCOL in request.subprotocols:
        return _turn_away(_BAD_REQUEST, "beta_api_shape_disabled", "The beta API shape is disabled; use the GA API without OpenAI-Beta.")
    if kind is SessionKind.TRANSLATION and "intent" in query:
        return _turn_away(_BAD_REQUEST, "invalid_intent", "You must not provide an intent parameter for translation sessions.")
    if "model" not in query and kind is not SessionKind.TRANSCRIPTION:
        example = f"wss://api.openai.com/v1{_EXAMPLES[kind]}"
        return _turn_away(_BAD_REQUEST, "missing_model", f"You must provide a model parameter, for example {example}")
    return None


def _turn_away(close_code: int, code: str | None, message: str) -> tuple[ErrorDetail, Close]:
    kind = "invalid_request_error"
    return ErrorDetail(type=kind, code=code, message=message), Close(close_code, kind if code is None else f"{kind}.{code}")


def _key_of(request: HandshakeRequest) -> str | None:
    scheme, _, key = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    offered = (name.removeprefix(_KEY_PREFIX) for name in request.subprotocols if name.startswith(_KEY_PREFIX))
    return request.header("api-key") or next(offered, None)


def _random_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(16 if prefix == "call_" else 21))
