"""A session: the room that sees everyone.

Owns the tasks between an application and the service: one that receives, one that sends, and nothing that a user's code could hold up.
Refuses to parse, to keep buffers or to know sockets: it only introduces the other rooms to each other.

Theory of operation.  The receive loop awaits nothing but the transport.  For every message, without a checkpoint in between, the event is
decoded, settles whatever request it answers, and is published; whoever holds it sees all of its consequences.  Everybody else only puts
text into the outbox, which one task writes, so that no cancellation can tear a frame.  When the connection ends badly the receive loop
records the failure, which cancels the block and leaves it bare; a clean close only ends the streams.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal, TypeVar, Unpack, overload

import trio
from attrs import evolve, frozen

from realtime_trio._nursery import ServiceNursery, open_service_nursery
from realtime_trio.codec import Codec, Role, SessionKind
from realtime_trio.connection import CLOSE_TIMEOUT, CONNECT_TIMEOUT, ConnectOptions, check_options, decode, open_transport, resolve_endpoint
from realtime_trio.endpoint import Endpoint
from realtime_trio.errors import ConnectionFailed, ConnectionLost, ServerError, SessionClosed
from realtime_trio.events import (
    ClientEvent,
    ErrorEvent,
    Event,
    RealtimeSession,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionSettings,
    SessionUpdate,
    SessionUpdated,
)
from realtime_trio.hub import EventHub, EventStream
from realtime_trio.outbox import Outbox
from realtime_trio.replies import Replies, Request
from realtime_trio.transport import Close, Transport

A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)
D = TypeVar("D", bound=Event)
E = TypeVar("E", bound=Event)

OUTBOX_CAPACITY: Final = 256
"""Client events that may wait to be written: 25 s of audio in 100 ms pieces, far more than a network that is worth talking over needs."""
WIRE_BACKLOG: Final = 64
"""Wire records kept for the first `wire()`: the opening exchange."""

_ID_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_logger = logging.getLogger("realtime_trio")


class SessionOptions(ConnectOptions, SessionSettings, total=False):
    """Every keyword of `open_session`: how to connect, and how the session shall be."""


@frozen
class WireRecord:
    """One event on the wire, in either direction."""

    time: float
    """When it was received or was about to be written, in seconds of `trio.current_time()`."""
    source: Literal["client", "server"]
    """Who sent it."""
    event: Event
    """What was sent."""


def generate_id(prefix: str, length: int = 21) -> str:
    """Make an id as the service's own clients do: the prefix, filled up to `length` characters that cannot be mistaken for each other."""
    return prefix + "".join(random.choices(_ID_ALPHABET, k=length - len(prefix)))


class Session:
    """A conversation with the service.  Made by `open_session`; usable from any number of tasks."""

    def __init__(
        self, transport: Transport, codec: Codec, services: ServiceNursery, *, capacity: int | None, new_id: Callable[[str], str]
    ) -> None:
        self._transport = transport
        self._codec = codec
        self._echo_codec = Codec(Role.SERVER, codec.dialect, kind=codec.kind)
        self._services = services
        self._new_id = new_id
        self._hub: EventHub[Event] = EventHub() if capacity is None else EventHub(capacity=capacity)
        self._wire: EventHub[WireRecord] = EventHub(backlog=WIRE_BACKLOG)
        self._outbox: Outbox[tuple[Event, str]] = Outbox(OUTBOX_CAPACITY)
        self._replies = Replies()
        self._config: RealtimeSession | None = None
        self._admission_error: ErrorEvent | None = None
        self._created = trio.Event()
        self._is_configuring = False
        self._leaving = False

    # --- looking ------------------------------------------------------------------------------------------------------------------

    @property
    def config(self) -> RealtimeSession:
        """The effective configuration, as the server last reported it."""
        assert self._config is not None, "a session is handed out only after session.created"
        return self._config

    @property
    def closed(self) -> Close | None:
        """How the connection ended, None while it is open.  Readable after the block."""
        return self._transport.closed

    @overload
    def events(self, *, capacity: int | None = None) -> EventStream[Event]: ...
    @overload
    def events(self, a: type[A], /, *, capacity: int | None = None) -> EventStream[A]: ...
    @overload
    def events(self, a: type[A], b: type[B], /, *, capacity: int | None = None) -> EventStream[A | B]: ...
    @overload
    def events(self, a: type[A], b: type[B], c: type[C], /, *, capacity: int | None = None) -> EventStream[A | B | C]: ...
    @overload
    def events(self, a: type[A], b: type[B], c: type[C], d: type[D], /, *, capacity: int | None = None) -> EventStream[A | B | C | D]: ...
    @overload
    def events(self, *types: type[E], capacity: int | None = None) -> EventStream[E]: ...

    def events(self, *types: type[Event], capacity: int | None = None) -> EventStream[Any]:
        """Open a stream of events.  It is subscribed at the call and independent of all others; `break` and iterate again to resume.

        What came before the first subscription is kept for it, so that nothing of the session's beginning is missed.  When the session ends
        the stream delivers what it has and then ends.

        Args:
            types: Only instances of these classes (`ServerEvent` for everything from the wire); all events if none is given.
            capacity: Events the stream may fall behind before it misses some and says so with `SlowConsumer`.
        """
        return self._hub.subscribe(*types, capacity=capacity)

    def wire(self, *, capacity: int | None = None) -> EventStream[WireRecord]:
        """Open a stream of everything on the wire, in both directions, for logs and recordings.  Otherwise like `events`."""
        return self._wire.subscribe(capacity=capacity)

    @overload
    async def wait_for(self, a: type[A], /) -> A: ...
    @overload
    async def wait_for(self, a: type[A], b: type[B], /) -> A | B: ...
    @overload
    async def wait_for(self, *types: type[E]) -> E: ...

    async def wait_for(self, *types: type[Event]) -> Event:
        """Wait for the next event of one of these classes that arrives after the call.

        For one event after another, or to act between subscribing and waiting, open a stream: `with session.events(Type) as stream`.

        Cancel-safe.

        Raises:
            SessionClosed: The session ended first.
        """
        with self._hub.subscribe(*types, kept=False) as stream:
            return await stream.receive()

    # --- sending ------------------------------------------------------------------------------------------------------------------

    async def send(self, event: ClientEvent) -> str:
        """Queue one event; it is written whole and in order, even if the caller is cancelled right after.

        Waits while the queue is full, which is how a slow network slows you down.

        Cancel-safe: nothing was sent.

        Returns:
            The event's id, made up if it had none; an `ErrorEvent` about it carries the same.

        Raises:
            LocalProtocolError: The event does not fit the protocol; nothing was sent.
            SessionClosed: The session has ended; nothing was sent.
        """
        event, event_id = self._named(event)
        await self._queue(event, self._codec.encode(event), _nobody_waits)
        return event_id

    async def send_raw(self, payload: Mapping[str, object] | str) -> None:
        """Queue one message that is not checked, for what this version of the library does not know.  Otherwise like `send`.

        Args:
            payload: A JSON object, or the text of a message as it is.
        """
        text = self._codec.encode_raw(payload)
        await self._queue(self._echo_codec.decode(text), text, _nobody_waits)

    async def update(self, config: SessionConfig | None = None, **settings: Unpack[SessionSettings]) -> RealtimeSession:
        """Change the configuration and wait until the server has taken it.

        Only what is given changes; None clears where the setting allows it.

        Args:
            config: The change as the protocol nests it; or
            **settings: the change as flat keywords: `update(voice="marin", turn_detection=None)`.

        Returns:
            The whole effective configuration.

        Raises:
            ServerError: The server refused, and then changed nothing; `param` says what was wrong.
            LocalProtocolError: The change does not fit the protocol; nothing was sent.
            SessionClosed: The session ended before the answer came.

        Cancellation: before the change was queued nothing was sent; afterwards it takes effect all the same.
        """
        if config is None:
            check_options(settings, SessionSettings)
            config = SessionConfig.of(**settings)
        elif settings:
            raise TypeError("update() takes either a SessionConfig or keywords, not both")
        answer = await self._request(SessionUpdate(session=config))
        assert isinstance(answer, SessionUpdated)
        return answer.session if isinstance(answer.session, RealtimeSession) else self.config

    async def _request(self, event: ClientEvent) -> ServerEvent:
        """Send an event and wait for the server event that acknowledges it."""
        event, _ = self._named(event)
        settled = trio.Event()
        request = await self._queue(event, self._codec.encode(event), settled.set)
        assert request is not None, "only events that are acknowledged are requests"
        await settled.wait()
        if request.error is not None:
            raise request.error
        assert request.answer is not None
        return request.answer

    async def _queue(self, event: Event, text: str, on_settled: Callable[[], None]) -> Request | None:
        """Note that the event will be answered, whether somebody waits for that or not, and queue it."""
        request = self._replies.expect(event, on_settled)
        try:
            await self._outbox.put((event, text))
        except BaseException:
            if request is not None:
                self._replies.withdraw(request)
            raise
        return request

    def _named(self, event: ClientEvent) -> tuple[ClientEvent, str]:
        if event.event_id:
            return event, event.event_id
        event_id = self._new_id("evt_")
        return evolve(event, event_id=event_id), event_id

    # --- serving ------------------------------------------------------------------------------------------------------------------

    async def _receive_loop(self) -> None:
        while batch := await self._transport.receive():
            for message in batch:
                self._dispatch(decode(self._codec, message))
        self._ended()

    def _dispatch(self, event: ServerEvent) -> None:
        """Let every room see one server event.  No checkpoint in here: nobody may see half of its consequences."""
        self._replies.settle(event)
        match event:
            case SessionCreated(session=RealtimeSession() as config):
                self._config = config
                self._created.set()
            case SessionUpdated(session=config):
                self._is_configuring = False
                if isinstance(config, RealtimeSession):
                    self._config = config
            case ErrorEvent() if not self._is_ready:
                self._admission_error = event
            case _:
                pass
        self._wire.publish(WireRecord(trio.current_time(), "server", event))
        self._hub.publish(event)

    async def _send_loop(self) -> None:
        # The receive loop sees the end of the connection too, and knows what it means.  Until it has closed the outbox nobody is told to
        # stop: whoever is sending would get a SessionClosed of their own instead of the ConnectionLost.
        try:
            while (entry := await self._outbox.take()) is not None:
                event, text = entry
                if self._transport.closed is not None:
                    continue
                self._wire.publish(WireRecord(trio.current_time(), "client", event))
                if _logger.isEnabledFor(logging.DEBUG):
                    _logger.debug("sending %s (%d characters)", event.type, len(text))
                with suppress(ConnectionLost):
                    await self._transport.send(text)
        finally:
            self._outbox.discard()

    @property
    def _is_ready(self) -> bool:
        """Decided by what the server said before it said something else, and not by who runs first when it said it all at once."""
        return self._created.is_set() and not self._is_configuring

    def _ended(self) -> None:
        """The connection is over, whoever ended it."""
        close = self._transport.closed
        assert close is not None
        if not self._is_ready:
            self._services.fail(self._refusal(f"the service closed the connection: {close.code} {close.reason}".rstrip()))
        elif not close.is_clean and not self._leaving:
            self._services.fail(ConnectionLost(close.code, close.reason))
        self._close()

    def _refusal(self, otherwise: str) -> ConnectionFailed:
        """Why there is no session, in the service's own words if it said something."""
        if self._admission_error is None:
            return ConnectionFailed(otherwise)
        error = self._admission_error.error
        return ConnectionFailed(f"the service refused the session: {error.message}", code=error.code or error.type)

    async def _become_ready(self, config: SessionConfig, deadline: float) -> None:
        self._is_configuring = config != SessionConfig()
        with trio.move_on_at(deadline):
            await self._created.wait()
            if self._is_configuring:
                try:
                    await self.update(config)
                except ServerError as error:
                    raise ConnectionFailed(f"the service refused the configuration: {error}", code=error.code) from error
            return
        waited_for = "take the configuration" if self._created.is_set() else "begin the session"
        raise self._refusal(f"the service accepted the connection but did not {waited_for} in time")

    async def _drain(self) -> None:
        """Write what was sent, then say goodbye."""
        self._outbox.close()
        await self._outbox.wait_drained()
        self._leaving = True
        await self._transport.aclose()

    def _close(self) -> None:
        """Settle everybody who waits.  Idempotent."""
        self._outbox.close()
        self._replies.close(SessionClosed("the session ended before the server answered"))
        self._hub.close()
        self._wire.close()


def _nobody_waits() -> None: ...


@asynccontextmanager
async def open_session(
    model: str | None = None,
    *,
    url: str | Endpoint | None = None,
    transport: Transport | None = None,
    capacity: int | None = None,
    new_id: Callable[[str], str] = generate_id,
    **options: Unpack[SessionOptions],
) -> AsyncIterator[Session]:
    """Open a voice session: ready when the block is entered, closed and gone when it is left.

    Args:
        model: Model to talk to; `gpt-realtime` when neither this nor the endpoint names one.
        url: The service: a URL, an `Endpoint` such as `azure(...)`, or None for `OPENAI_BASE_URL` and then OpenAI's own.
        transport: A connected transport to use instead of connecting, for tests and tunnels; the block closes it.
        capacity: Events a stream may fall behind, unless it is opened with a bound of its own.
        new_id: Makes the ids of client events: called with a prefix.
        **options: How to connect, see `ConnectOptions`, and how the session shall be, see `SessionConfig.of`.

    Raises:
        ConnectionFailed: There was no session within `connect_timeout`: unreachable, refused, a wrong key, an unknown model, or a
            configuration the server does not accept.
        ConnectionLost: The connection ended in the middle of the block in any other way than a clean close.  It leaves bare, not in a
            group; an exception of the block wins over it and gets a note.
        LocalProtocolError, TypeError: An argument is unusable; nothing was sent.

    Leaving in the normal way first writes what was sent, within `close_timeout`; leaving by an exception or a cancellation does not.
    """
    check_options(options, SessionOptions)
    settings: Any = {name: value for name, value in options.items() if name in SessionSettings.__annotations__}
    connecting: Any = {name: value for name, value in options.items() if name in ConnectOptions.__annotations__}
    config = SessionConfig.of(**settings)
    endpoint = Endpoint() if transport is not None else resolve_endpoint(url, connecting)
    codec = Codec(Role.CLIENT, options.get("dialect", endpoint.dialect), strict=options.get("strict", False))
    if config != SessionConfig():
        codec.encode(SessionUpdate(session=config))  # an unusable setting is found here, before anything is sent
    timeout = options.get("connect_timeout", CONNECT_TIMEOUT)
    deadline = trio.current_time() + timeout
    opening = _own(transport) if transport is not None else open_transport(endpoint, SessionKind.REALTIME, model, connecting)
    async with opening as connected, open_service_nursery() as services:
        session = Session(connected, codec, services, capacity=capacity, new_id=new_id)
        services.start_soon(session._receive_loop)
        services.start_soon(session._send_loop)
        try:
            await session._become_ready(config, deadline)
            yield session
            with trio.move_on_after(options.get("close_timeout", CLOSE_TIMEOUT), shield=True):
                await session._drain()
        finally:
            session._close()


@asynccontextmanager
async def _own(transport: Transport) -> AsyncIterator[Transport]:
    """Close somebody else's transport at the end of the block."""
    try:
        yield transport
    finally:
        with trio.CancelScope(shield=True):  # bounded by the transport's own close timeout
            await transport.aclose()
