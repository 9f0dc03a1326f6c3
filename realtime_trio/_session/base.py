"""What sessions of every kind have in common: events in, events out, and the waiting for answers.

Owns the streams, the queue of what is to be sent, and the client events that wait to be
acknowledged, and introduces them to the link that carries them.  What the events mean is for the
kinds of session that build on it.

Theory of operation.  The receive loop of the link awaits nothing but the transport.  For every
message, without a checkpoint in between, the event is decoded, settles whatever it acknowledges, is
understood, and is published with what follows from it; a task that holds it sees all of its
consequences.  Whoever sends writes at once, if nothing is ahead of it and the network takes the
whole message without waiting; otherwise the text goes into the outbox, which one task writes,
from when something is in it for the first time.  Either way nobody who could be cancelled waits
with half a frame written.  When the connection ends badly the receive loop records the failure,
which cancels the block and leaves it bare; a clean close only ends the streams.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, overload

import trio
from attrs import evolve

from realtime_trio._legible import legible
from realtime_trio._misuse import kind_of
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._protocol.codec import Codec, Role, check_event
from realtime_trio._protocol.kinds import KINDS, kind_opened_by
from realtime_trio._protocol.wire_record import Source, WireRecord
from realtime_trio._runtime.hub import EventHub, EventStream
from realtime_trio._runtime.outbox import Outbox
from realtime_trio._session.link import Link, Phase
from realtime_trio._session.parts import SessionParts
from realtime_trio._state.acknowledgements import Acknowledgements, Pending
from realtime_trio._state.reactions import Concerned, Reactions, Room
from realtime_trio._state.utility_events import UtilityEvent
from realtime_trio._transport.contract import Close
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    RemoteProtocolError,
    RequestTimeout,
    ServerError,
    SessionClosed,
)
from realtime_trio.events import (
    ClientEvent,
    ErrorEvent,
    Event,
    ServerEvent,
    SessionCreated,
    TranslationSessionCreated,
    UnknownEvent,
)

if TYPE_CHECKING:
    # Of sessions that have another link when one is lost; most have none, and do not load it.
    from realtime_trio._session.lasting.upkeep import Upkeep

A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)
D = TypeVar("D", bound=Event)
E = TypeVar("E", bound=Event)

OUTBOX_CAPACITY: Final = 256
"""Client events that may wait to be written: 25 s of audio in 100 ms pieces, far more than a
network that is worth talking over needs."""
SENT_IN_A_ROW: Final = 2**17
"""Characters that are sent until those who send let other tasks run.  To make and write
as many takes about half a millisecond."""
SENT_OVERHEAD: Final = 2**12
"""Characters that every event counts for besides its own: what it costs to send an empty one."""
WIRE_BACKLOG: Final = 64
"""Wire records kept for the first `wire()`: the opening exchange.  What comes once the session can
be used is not kept, or an hour later there would still be audio that nobody has asked for."""

_BEGINNINGS: Final = ("session.created", "transcription_session.created")
"""With what a service begins a session, in any kind and dialect."""


class BaseSession(ABC):
    """Base of every kind of session.  Usable from any number of tasks."""

    # What few sessions have, or none at first, is said here: an instance does not hold it then.
    _admission_error: ErrorEvent | None = None
    _chosen_model: ChosenModel | None = None
    """The model in the address, where it was made here."""
    _request_timeout = math.inf
    """Seconds to wait for the answer to a request."""
    _is_entered = False
    _is_writing = False
    """Whether a task writes what waits in the outbox.  Where the network takes everything at once
    there is nothing to write, and no such task, which would take 4 KiB."""
    _upkeep: Upkeep | None = None
    """What opens another link when this one is lost, or about to be."""

    def __init__(self, parts: SessionParts) -> None:
        self._link = parts.link
        self._services = parts.services
        self._new_id = parts.new_id
        self._hub: EventHub[Event] = (
            EventHub() if parts.capacity is None else EventHub(capacity=parts.capacity)
        )
        # Independent of the events: a log that falls behind costs the application nothing.
        self._wire: EventHub[WireRecord] = EventHub(backlog=WIRE_BACKLOG)
        self._outbox: Outbox[tuple[Event, str]] = Outbox(OUTBOX_CAPACITY)
        self._sent_in_a_row = 0
        self._concerned = Concerned(self._all_rooms)
        self._reflexes = Concerned(self._acting)
        self._acknowledgements = Acknowledgements(KINDS[parts.link.codec.kind].client_events)
        # Made by the first task that waits: most acknowledgements come before anybody does.
        self._waiting: dict[Pending, trio.Event] = {}

    # --- looking ----------------------------------------------------------------------------------

    @property
    def closed(self) -> Close | None:
        """How the connection ended, None while it is open.  Readable after the block.

        Of a session that reconnects it is the present connection.
        """
        return self._link.closed

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
        """Open a stream of events, which is subscribed at the call and independent of all others.

        `break` and iterate again to resume.  Every server event is followed by the utility events
        it caused.  When the session ends the stream delivers what it has and then ends.

        The first stream that is opened before anything was sent or waited for in the block gets the
        beginning of the session, `session.created` included.  Every other one begins where it is
        opened: open it before you ask for what it is to bring.

        Args:
            types: Only instances of these classes (`ServerEvent` for everything from the wire); all
                events if none is given.
            capacity: Events the stream may fall behind before it misses some and says so with
                `SlowConsumer`.  It does so, too, behind 128 MiB of messages, however few they are.

        Raises:
            TypeError: One of `types` is not a class of events, or `capacity` is not a number.
            ValueError: `capacity` is less than 1.
        """
        _check_classes("events", types)
        return self._hub.subscribe(*types, capacity=capacity)

    def wire(self, *, capacity: int | None = None) -> EventStream[WireRecord]:
        """Open a stream of everything on the wire, in both directions, for logs and recordings.

        Each record has the event and the message as it was.  Otherwise it is like `events`, but
        the beginning is what came before the session was ready: if anything has come since, a
        `SlowConsumer` tells how much of it the first stream has missed.

        Of a session that goes on over other connections there is one after the other.  What is said
        on the next one while the present one still holds comes when the session goes on with it,
        with the times at which it was said; if that comes to nothing it is not shown.
        """
        return self._wire.subscribe(capacity=capacity)

    def _overhear(self, *types: type[Event]) -> EventStream[Event]:
        """A stream of events for an onlooker, which takes the beginning from nobody."""
        return self._hub.overhear(*types)

    def _overhear_wire(self) -> EventStream[WireRecord]:
        """The same of everything on the wire."""
        return self._wire.overhear()

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
            TypeError: What is waited for is not a class of events.
            SessionClosed: The session ended first.
        """
        _check_classes("wait_for", types)
        with self._hub.subscribe(*types, kept=False) as stream:
            self._forget_beginning()
            return await stream.receive()

    # --- sending ----------------------------------------------------------------------------------

    async def send(self, event: ClientEvent) -> str:
        """Send one event; it is written whole and in order, even if the caller is cancelled then.

        If the network takes it at once, it is written before this returns; else it is queued.  It
        waits while the queue is full, which is how a slow network slows you down.  Every call is a
        checkpoint for cancellation; of those that need not wait only some let other tasks run, one
        for every 128 KiB that they send, where each event counts for 4 KiB more than it has.

        Cancel-safe: nothing was sent.

        Returns:
            The event's id, made up if it had none; an `ErrorEvent` about it carries the same.

        Raises:
            LocalProtocolError, TypeError: It is not an event, or does not fit the protocol; nothing
                was sent.
            SessionClosed: The session has ended; nothing was sent.
        """
        check_event(event)
        named = self._named(event)
        await self._queue(named, self._codec.encode(named))
        assert named.event_id is not None
        return named.event_id

    async def send_raw(self, payload: Mapping[str, object] | str) -> None:
        """Send one message unchecked, for what this version of the library does not know.

        Otherwise it is like `send`.

        Args:
            payload: A JSON object, or the text of a message as it is.

        Raises:
            LocalProtocolError: The object holds a value that JSON cannot express, or the text half
                of a surrogate pair; nothing was sent.
            SessionClosed: The session has ended; nothing was sent.
        """
        text = self._codec.encode_raw(payload)
        # Read as a server would, to be shown among what was sent.
        codec = Codec(Role.SERVER, self._codec.dialect, kind=self._codec.kind)
        await self._queue(codec.decode(text), text)

    async def _request(self, event: ClientEvent) -> ServerEvent:
        """Send an event and wait for what acknowledges it."""
        return await self._wait_for_ack(await self._send_request(event))

    async def _send_request(self, event: ClientEvent) -> Pending:
        """Send an event that will be acknowledged; `_wait_for_ack` waits for that."""
        named = self._named(event)
        pending = await self._queue(named, self._codec.encode(named))
        assert pending is not None, "only events that are acknowledged are requests"
        return pending

    async def _wait_for_ack(self, pending: Pending) -> ServerEvent:
        # The session may have ended, or the server answered, while the event was being queued.
        if pending.is_settled:
            await trio.lowlevel.checkpoint()
        else:
            with trio.move_on_after(self._request_timeout):
                await self._waiting.setdefault(pending, trio.Event()).wait()
        if not pending.is_settled:
            # It stays among those that are expected: a late answer must not be taken for that of
            # the next request.
            raise RequestTimeout(
                f"the server did not answer {pending.event.type} within {self._request_timeout:g} s"
            )
        if pending.error is not None:
            raise pending.error
        assert pending.acknowledgement is not None
        return pending.acknowledgement

    async def _queue(self, event: Event, text: str) -> Pending | None:
        """Send an event, and note that it will be acknowledged, whether anybody waits or not."""
        if self._outbox.is_idle:
            # There is nothing to wait for; and audio is sent often enough for that to be asked.
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await self._outbox.wait_for_room()
        pending = self._enqueue(event, text)
        # An event need not cost a round of the scheduler.  But a task that sends one after another
        # has to let others run, also the one that writes what waits in the outbox.
        if self._sent_in_a_row >= SENT_IN_A_ROW:
            self._sent_in_a_row = 0
            # Shielded, so that `Cancelled` always means that nothing was sent.
            await trio.lowlevel.cancel_shielded_checkpoint()
        return pending

    def _enqueue(self, event: Event, text: str) -> Pending | None:
        is_written = self._outbox.is_idle and self._link.send_nowait(event, text)
        if not is_written:
            self._outbox.post((event, text))
            self._begin_writing()
        self._forget_beginning()
        if is_written:
            # Behind the write, which might not have been possible.  There is no checkpoint in
            # between, so that no record shows the answer ahead of the question.
            self._note_written(event, text)
        self._sent_in_a_row += len(text) + SENT_OVERHEAD
        # Expected before anybody takes note: what follows from that may be sent, too, and comes
        # later in the order of acknowledgements.
        pending = self._acknowledgements.expect(event)
        if self._upkeep is not None:
            self._upkeep.continuity.log.sent(
                event,
                text,
                trio.current_time(),
                is_written=is_written,
                is_expected=pending is not None,
            )
        self._note_sent(event)
        return pending

    def _forget_beginning(self) -> None:
        """Something was sent or is waited for, so that a stream from now on means what comes now.

        What the library sends to set the session up does not count.
        """
        if self._is_entered:
            self._hub.forget_kept()
            self._wire.forget_kept()

    def _post(self, event: ClientEvent) -> None:
        """Queue an event of the library's own at once; after the end of the session, do nothing."""
        with suppress(SessionClosed):
            self._enqueue(event, self._codec.encode(event))

    def _named(self, event: ClientEvent) -> ClientEvent:
        return event if event.event_id else evolve(event, event_id=self._new_id("evt_"))

    @property
    def _codec(self) -> Codec:
        return self._link.codec

    def _check_open(self) -> None:
        if self._outbox.is_closed:
            raise SessionClosed("the session has ended; nothing can be sent any more")

    # --- what a kind of session adds --------------------------------------------------------------

    @abstractmethod
    def _rooms(self) -> tuple[Room, ...]:
        """Who takes note of server events, in this order; asked for every class of events.

        Somebody tells the link when the session begins, and when the server has taken a
        configuration.
        """
        # Settled first: what the machines do next may depend on what has been acknowledged.
        return (self._own.of(self), Acknowledgements.reactions.through(self._settle))

    def _all_rooms(self) -> tuple[Room, ...]:
        return (*self._rooms(), self._afterwards.of(self))

    def _acting(self) -> tuple[Room, ...]:
        """Who acts on what followed from server events, when it has been published."""
        return ()

    def _settled(self, pending: Pending) -> None:
        """Take note that the server has answered a client event, or never will."""
        if (waiting := self._waiting.pop(pending, None)) is not None:
            waiting.set()

    def _is_benign(self, event: ErrorEvent) -> bool:
        """Whether this refusal concerns nobody; it is kept out of the events, not off the wire."""
        return False

    def _leave(self) -> None:  # noqa: B027 - a hook, not a duty
        """The block is being left in the normal way: say what is still to be said."""

    def _note_sent(self, event: Event) -> None:  # noqa: B027 - a hook, not a duty
        """Take note of a client event that has been queued, in the order of the queue."""

    def _over(self) -> None:  # noqa: B027 - a hook, not a duty
        """The session has ended: settle what waits."""

    # --- serving ----------------------------------------------------------------------------------

    def _dispatch(self, event: ServerEvent, message: str | bytes) -> None:
        """Let every room see one server event, which was decoded from a message.

        No checkpoint in here: nobody may see half of its consequences.
        """
        # First, for what the machines answer may be on the wire before they return.
        if not self._wire.is_idle:
            self._record("server", event, message)
        self._take(event, message)

    def _take(self, event: ServerEvent, message: str | bytes) -> None:
        """The same with an event that is on record."""
        derived: tuple[Event, ...] = ()
        # Here and below what `tell` does, in place: this is the way of every event.
        for take_note in self._concerned[type(event)]:
            derived += take_note(event) or ()
        size = len(message)
        # The cause comes before its consequences, and all rooms have taken note of it by now.
        if not (isinstance(event, ErrorEvent) and self._is_benign(event)):
            self._hub.publish(event, size)
        for consequence in derived:
            self._hub.publish(consequence, size, follows=True)
            for act in self._reflexes[type(consequence)]:
                act(consequence)

    def _tell(self, event: UtilityEvent) -> None:
        """Publish an event that no server event has caused, and act on it."""
        self._hub.publish(event)
        self._reflexes.tell(event)

    def _on_error(self, event: ErrorEvent) -> None:
        if not self._link.is_ready:
            self._admission_error = event

    _own: ClassVar[Reactions[BaseSession, None]] = Reactions({ErrorEvent: _on_error})
    """What concerns sessions of every kind."""

    def _on_beginning(
        self, event: SessionCreated | TranslationSessionCreated | UnknownEvent
    ) -> None:
        if event.type in _BEGINNINGS and self._link.phase is Phase.CONNECTING:
            # There is no other beginning to wait for.
            self._services.fail(ConnectionFailed(self._misbegun(event)))

    _afterwards: ClassVar[Reactions[BaseSession, None]] = Reactions(
        {
            SessionCreated: _on_beginning,
            TranslationSessionCreated: _on_beginning,
            UnknownEvent: _on_beginning,
        }
    )
    """What is looked at once more, when all rooms have taken note of it."""

    def _settle(self, event: ServerEvent) -> None:
        if pending := self._acknowledgements.settle(event):
            self._settled(pending)

    async def _receive_loop(self) -> None:
        await self._link.receive_loop(self._dispatch)
        self._ended()

    def _begin_writing(self) -> None:
        """See to it that what waits is written, from now on and to the end."""
        # With more than one link to choose from, the upkeep does.
        if not self._is_writing and self._upkeep is None:
            self._is_writing = True
            self._services.start_soon(self._send_loop)

    async def _send_loop(self) -> None:
        try:
            await self._link.send_loop(self._outbox, self._note_written)
        finally:
            self._outbox.discard()

    def _note_written(self, event: Event, message: str) -> None:
        self._record("client", event, message)

    def _record(
        self,
        source: Source,
        event: Event,
        message: str | bytes,
        moment: tuple[float, float] | None = None,
    ) -> None:
        """Show a message on the wire: of now, or of a moment by trio's clock and by the world's."""
        # Most sessions are not recorded, and should not pay for it.
        if self._wire.is_heard:
            now, wall_time = moment or (trio.current_time(), time.time())
            self._wire.publish(
                WireRecord.of_message(
                    now,
                    source,
                    event,
                    message,
                    dialect=self._codec.dialect,
                    wall_time=wall_time,
                ),
                size=len(message),
            )
        else:
            self._wire.pass_over(WireRecord)

    def _put_in_place(self, link: Link) -> None:
        """The session goes on with this link."""
        self._link = link

    def _ended(self) -> None:
        """The connection is over, from either side."""
        close = self._link.closed
        assert close is not None
        # A clean close before the session is ready is a failure, too: there never was a session.
        if not self._link.is_ready:
            said = legible(close.reason)
            self._services.fail(
                self._refusal(f"the service closed the connection: {close.code} {said}".rstrip())
            )
        elif not close.is_clean and self._link.phase is not Phase.OVER:
            self._services.fail(ConnectionLost(close.code, close.reason))
        self._close()

    def _refusal(self, otherwise: str) -> ConnectionFailed:
        """Why there is no session, in the service's own words if it said something."""
        if self._admission_error is None:
            return ConnectionFailed(otherwise)
        error, chosen = self._admission_error.error, self._chosen_model
        advice = "" if chosen is None else chosen.advice(error.code, error.message)
        return ConnectionFailed(
            f"the service refused the session: {legible(error.message)}{advice}",
            code=error.code or error.type,
        )

    def _misbegun(self, event: ServerEvent) -> str:
        """Why this event, which begins a session, has not begun this one."""
        kind = self._link.codec.kind
        if (other := kind_opened_by(event)) is not None:
            why = f"as a {other.value} session, and not as a {kind.value} session"
        elif isinstance(event, UnknownEvent) and event.problem is not None:
            why = f"in words that cannot be read: {legible(event.problem)}"
        else:
            why = f"with {event.type}, which a {kind.value} session of this dialect does not have"
        return f"the service began the session {why}"

    async def _become_ready(self, configure: ClientEvent | None, deadline: float) -> None:
        with trio.move_on_at(deadline):
            await self._link.wait_begun()
            if configure is not None:
                try:
                    await self._request(configure)
                except ServerError as error:
                    why = f"the service refused the configuration: {error}"
                    raise ConnectionFailed(why, code=error.code) from error
                except RemoteProtocolError:
                    # It has answered, if in words of a later version: that is no reason to fail.
                    self._link.configured()
            return
        has_begun = self._link.phase > Phase.CONNECTING
        waited_for = "take the configuration" if has_begun else "begin the session"
        raise self._refusal(f"the service accepted the connection but did not {waited_for} in time")

    async def _drain(self) -> None:
        """Write what was sent, then say goodbye."""
        self._link.enter(Phase.LEAVING)
        # The tools' last outputs are posted before the outbox closes, and written with the rest.
        self._leave()
        self._outbox.close()
        await self._outbox.wait_drained()
        await self._link.aclose()

    def _close(self) -> None:
        """Settle everybody who waits.  Idempotent."""
        self._outbox.close()
        self._link.enter(Phase.OVER)
        for pending in self._acknowledgements.close():
            self._settled(pending)
        if self._upkeep is not None:
            self._upkeep.close()
        # Machines publish what they still have, so the hubs close last.
        self._over()
        self._hub.close()
        self._wire.close()


def _check_classes(method: str, types: tuple[object, ...]) -> None:
    for kind in types:
        # A stream of anything else would stay silent: a delta, for example, is part of an event.
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise TypeError(
                f"{method}() takes classes of events such as ResponseDone, not {kind_of(kind)}"
            )
