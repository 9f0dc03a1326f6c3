"""The exchange between an application and the service: what sessions of every kind have in common.

Owns the tasks of a session, one that receives and one that sends, and introduces the other rooms to
each other: transport, codec, hub, outbox and the open requests.  What the events mean is for the
kinds of session that build on it.

Theory of operation.  The receive loop awaits nothing but the transport.  For every message, without
a checkpoint in between, the event is decoded, settles whatever request it answers, is understood,
and is published with what follows from it; whoever holds it sees all of its consequences.
Everybody else only puts text into the outbox, which one task writes, so that no cancellation can
tear a frame.  When the connection ends badly the receive loop records the failure, which cancels
the block and leaves it bare; a clean close only ends the streams.
"""

from __future__ import annotations

import logging
import os
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any, Final, TypeVar, overload

import trio
from attrs import evolve

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.hub import EventHub, EventStream
from realtime_trio._runtime.nursery import ServiceNursery, open_service_nursery
from realtime_trio._runtime.outbox import Outbox
from realtime_trio._state.acknowledgements import Replies, Request
from realtime_trio._transport.contract import GOING_AWAY, NORMAL_CLOSURE, Close, Transport
from realtime_trio.connection import (
    ConnectOptions,
    decode,
    open_transport,
    resolve_endpoint,
    websocket_settings,
)
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    RemoteProtocolError,
    ServerError,
    SessionClosed,
)
from realtime_trio.events import ClientEvent, ErrorEvent, Event, ServerEvent
from realtime_trio.recording import WireRecord, open_recording

A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)
D = TypeVar("D", bound=Event)
E = TypeVar("E", bound=Event)
X = TypeVar("X", bound="Exchange")

OUTBOX_CAPACITY: Final = 256
"""Client events that may wait to be written: 25 s of audio in 100 ms pieces, far more than a
network that is worth talking over needs."""
WIRE_BACKLOG: Final = 64
"""Wire records kept for the first `wire()`: the opening exchange."""

_ID_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_logger = logging.getLogger("realtime_trio")


def generate_id(prefix: str, length: int = 21) -> str:
    """Make an id as the service's own clients do: the prefix, filled up to `length` characters that cannot be mistaken for each other."""
    return prefix + "".join(random.choices(_ID_ALPHABET, k=length - len(prefix)))


class Exchange(ABC):
    """Base of every kind of session.  Usable from any number of tasks."""

    def __init__(
        self,
        transport: Transport,
        codec: Codec,
        services: ServiceNursery,
        *,
        capacity: int | None,
        new_id: Callable[[str], str],
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
        self._admission_error: ErrorEvent | None = None
        self._created = trio.Event()
        self._is_configuring = False
        self._leaving = False

    # --- looking ----------------------------------------------------------------------------------

    @property
    def closed(self) -> Close | None:
        """How the connection ended, None while it is open.  Readable after the block."""
        return self._transport.closed

    @overload
    def events(self, *, capacity: int | None = None) -> EventStream[Event]: ...
    @overload
    def events(self, a: type[A], /, *, capacity: int | None = None) -> EventStream[A]: ...
    @overload
    def events(
        self, a: type[A], b: type[B], /, *, capacity: int | None = None
    ) -> EventStream[A | B]: ...
    @overload
    def events(
        self, a: type[A], b: type[B], c: type[C], /, *, capacity: int | None = None
    ) -> EventStream[A | B | C]: ...
    @overload
    def events(
        self, a: type[A], b: type[B], c: type[C], d: type[D], /, *, capacity: int | None = None
    ) -> EventStream[A | B | C | D]: ...
    @overload
    def events(self, *types: type[E], capacity: int | None = None) -> EventStream[E]: ...

    def events(self, *types: type[Event], capacity: int | None = None) -> EventStream[Any]:
        """Open a stream of events.  It is subscribed at the call and independent of all others; `break` and iterate again to resume.

        Every server event is followed by the utility events it caused.  What came before the first
        subscription is kept for it, so that nothing of the session's beginning is missed.  When the
        session ends the stream delivers what it has and then ends.

        Args:
            types: Only instances of these classes (`ServerEvent` for everything from the wire); all
                events if none is given.
            capacity: Events the stream may fall behind before it misses some and says so with
                `SlowConsumer`.
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

        For one event after another, or to act between subscribing and waiting, open a stream: `with
        session.events(Type) as stream`.

        Cancel-safe.

        Raises:
            SessionClosed: The session ended first.
        """
        with self._hub.subscribe(*types, kept=False) as stream:
            return await stream.receive()

    # --- sending ----------------------------------------------------------------------------------

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
        named = self._named(event)
        await self._queue(named, self._codec.encode(named), _nobody_waits)
        assert named.event_id is not None
        return named.event_id

    async def send_raw(self, payload: Mapping[str, object] | str) -> None:
        """Queue one message that is not checked, for what this version of the library does not know.  Otherwise like `send`.

        Args:
            payload: A JSON object, or the text of a message as it is.
        """
        text = self._codec.encode_raw(payload)
        await self._queue(self._echo_codec.decode(text), text, _nobody_waits)

    async def _request(self, event: ClientEvent) -> ServerEvent:
        """Send an event and wait for the server event that acknowledges it."""
        return await self._answer(*await self._ask(event))

    async def _ask(self, event: ClientEvent) -> tuple[Request, trio.Event]:
        """Send an event that will be acknowledged; `_answer` waits for that."""
        named = self._named(event)
        settled = trio.Event()
        request = await self._queue(named, self._codec.encode(named), settled.set)
        assert request is not None, "only events that are acknowledged are requests"
        return request, settled

    async def _answer(self, request: Request, settled: trio.Event) -> ServerEvent:
        await settled.wait()
        if request.error is not None:
            raise request.error
        assert request.answer is not None
        return request.answer

    async def _queue(
        self, event: Event, text: str, on_settled: Callable[[], None]
    ) -> Request | None:
        """Note that the event will be answered, whether somebody waits for that or not, and queue it."""
        await self._outbox.wait_for_room()
        self._enqueue(event, text)
        request = self._replies.expect(event, on_settled)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return request

    def _enqueue(self, event: Event, text: str) -> None:
        self._outbox.post((event, text))
        self._note_sent(event)

    def _post(self, event: ClientEvent) -> None:
        """Queue an event of the library's own at once.  After the end of the session it is nobody's business any more."""
        with suppress(SessionClosed):
            self._enqueue(event, self._codec.encode(event))
            self._replies.expect(event, _nobody_waits)

    def _named(self, event: ClientEvent) -> ClientEvent:
        return event if event.event_id else evolve(event, event_id=self._new_id("evt_"))

    # --- what a kind of session adds --------------------------------------------------------------

    @abstractmethod
    def _understand(self, event: ServerEvent) -> Iterable[Event]:
        """Take note of a server event, and return the events that follow from it.

        Sets `_created` when the session begins, and clears `_is_configuring` when the server has
        taken a configuration.
        """

    def _is_benign(self, event: ServerEvent) -> bool:
        """Whether this is a refusal that concerns nobody: then it is on the wire, and not among the events."""
        return False

    def _react(self, event: Event) -> None:  # noqa: B027 - a hook, not a duty
        """Act on an event that followed from a server event, now that it has been published."""

    def _leave(self) -> None:  # noqa: B027 - a hook, not a duty
        """The block is being left in the normal way: say what is still to be said."""

    def _note_sent(self, event: Event) -> None:  # noqa: B027 - a hook, not a duty
        """Take note of a client event that has been queued, in the order of the queue."""

    def _over(self) -> None:  # noqa: B027 - a hook, not a duty
        """The session has ended: settle what waits."""

    # --- serving ----------------------------------------------------------------------------------

    async def _receive_loop(self) -> None:
        while batch := await self._transport.receive():
            for message in batch:
                self._dispatch(decode(self._codec, message))
        self._ended()

    def _dispatch(self, event: ServerEvent) -> None:
        """Let every room see one server event.  No checkpoint in here: nobody may see half of its consequences."""
        if isinstance(event, ErrorEvent) and not self._is_ready:
            self._admission_error = event
        self._replies.settle(event)
        derived = self._understand(event)
        self._wire.publish(WireRecord(trio.current_time(), "server", event))
        if not self._is_benign(event):
            self._hub.publish(event)
        for consequence in derived:
            self._hub.publish(consequence)
            self._react(consequence)

    async def _send_loop(self) -> None:
        # The receive loop sees the end of the connection too, and knows what it means.  Until it
        # has closed the outbox nobody is told to stop: whoever is sending would get a SessionClosed
        # of their own instead of the ConnectionLost.
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
            self._services.fail(
                self._refusal(
                    f"the service closed the connection: {close.code} {close.reason}".rstrip()
                )
            )
        elif not close.is_clean and not self._leaving:
            self._services.fail(ConnectionLost(close.code, close.reason))
        self._close()

    def _refusal(self, otherwise: str) -> ConnectionFailed:
        """Why there is no session, in the service's own words if it said something."""
        if self._admission_error is None:
            return ConnectionFailed(otherwise)
        error = self._admission_error.error
        return ConnectionFailed(
            f"the service refused the session: {error.message}", code=error.code or error.type
        )

    async def _become_ready(self, configure: ClientEvent | None, deadline: float) -> None:
        self._is_configuring = configure is not None
        with trio.move_on_at(deadline):
            await self._created.wait()
            if configure is not None:
                try:
                    await self._request(configure)
                except ServerError as error:
                    raise ConnectionFailed(
                        f"the service refused the configuration: {error}", code=error.code
                    ) from error
                except (
                    RemoteProtocolError
                ):  # it has answered, in words of a later version; the log has them
                    self._is_configuring = False
            return
        waited_for = "take the configuration" if self._created.is_set() else "begin the session"
        raise self._refusal(f"the service accepted the connection but did not {waited_for} in time")

    async def _drain(self) -> None:
        """Write what was sent, then say goodbye."""
        self._leave()
        self._outbox.close()
        await self._outbox.wait_drained()
        self._leaving = True
        await self._transport.aclose()

    def _close(self) -> None:
        """Settle everybody who waits.  Idempotent."""
        self._outbox.close()
        self._replies.close(SessionClosed("the session ended before the server answered"))
        self._over()
        self._hub.close()
        self._wire.close()


def _nobody_waits() -> None: ...


@asynccontextmanager
async def open_exchange(
    make: Callable[[Transport, Codec, ServiceNursery], X],
    kind: SessionKind,
    configure: ClientEvent | None,
    *,
    model: str | None,
    url: str | Endpoint | None,
    transport: Transport | None,
    record: str | os.PathLike[str] | None,
    options: ConnectOptions,
) -> AsyncIterator[X]:
    """Run a session of any kind: ready when the block is entered, closed and gone when it is left.

    Args:
        make: Makes the session from transport, codec and nursery.
        kind: Its kind.
        configure: The update to be acknowledged before it is ready, if any.
        model: As for `open_session`.
        url: As for `open_session`.
        transport: As for `open_session`.
        record: As for `open_session`.
        options: How to connect.
    """
    endpoint = Endpoint() if transport is not None else resolve_endpoint(url, options)
    codec = Codec(
        Role.CLIENT,
        options.get("dialect", endpoint.dialect),
        kind=kind,
        strict=options.get("strict", False),
    )
    if configure is not None:
        codec.encode(configure)  # an unusable setting is found here, before anything is sent
    settings = websocket_settings(options)
    deadline = trio.current_time() + settings.connect_timeout
    opening: AbstractAsyncContextManager[Transport]
    opening = (
        _own(transport) if transport is not None else open_transport(endpoint, kind, model, options)
    )
    async with opening as connected, open_service_nursery() as services:
        session = make(connected, codec, services)
        recording = nullcontext() if record is None else open_recording(session.wire(), record)
        async with recording:
            services.start_soon(session._receive_loop)
            services.start_soon(session._send_loop)
            try:
                await session._become_ready(configure, deadline)
                yield session
                with trio.move_on_after(settings.close_timeout, shield=True):
                    await session._drain()
            finally:
                session._close()


@asynccontextmanager
async def _own(transport: Transport) -> AsyncIterator[Transport]:
    """Close somebody else's transport at the end of the block."""
    code = GOING_AWAY
    try:
        yield transport
        code = NORMAL_CLOSURE
    finally:
        with trio.CancelScope(shield=True):  # bounded by the transport's own close timeout
            await transport.aclose(code)
