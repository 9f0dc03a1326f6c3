"""From one publisher to any number of independent, bounded, resumable streams.

Owns the buffers of all streams that a session's events go to.  What an event means is nothing to
it: a type to filter by is all that it looks at, and its size is what the publisher says.

Theory of operation.  `publish` is synchronous and never waits, so that the task that reads the
connection is never held up by a consumer.  Every stream has a buffer of its own (tee, not split).
A buffer that reaches its bound, in events or in bytes, only counts further events until its
consumer has taken everything out; the consumer then gets `SlowConsumer` in the place of the gap,
and the buffer takes events again.  Nothing is lost silently, and nothing from behind a gap is
delivered before it.

Bytes are counted of large messages only: those that are longer than their *share*, which is the
bound in bytes divided by the bound in events.  Any other takes up its share, whatever its size, so
that the bound in bytes is one in events as well: `limit`.  It changes only with large messages, and
nearly every event costs two comparisons and no arithmetic.

The hub holds buffers and users hold streams, so a stream that nobody references any more can be
noticed and its buffer dropped.  That may happen inside any line of any thread, so it only sets
flags; the next `publish` or `subscribe` cleans up.  There is no channel and no task between the
two: an event costs an append and a pop, and a burst of events wakes a waiting consumer once.
"""

from __future__ import annotations

import weakref
from collections import Counter, deque
from collections.abc import Iterable
from types import TracebackType
from typing import Generic, NoReturn, Self, SupportsIndex, TypeAlias, TypeVar, overload

import trio
from trio.lowlevel import (
    Abort,
    Task,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from realtime_trio._misuse import check_kind
from realtime_trio.errors import SessionClosed, SlowConsumer

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

DEFAULT_CAPACITY = 8192
"""Events a stream buffers.  The longest spoken answer of 4096 tokens is about 200 s of audio, which
the service sends faster than it can be played: 2000 audio deltas of 100 ms and as many pieces of
transcript, each with the update derived from it."""

DEFAULT_ROOM = 128 * 2**20
"""Bytes of messages after which a buffer takes no further event: two of the longest that are
accepted.  The longest spoken answer is 13 MB of base64, so that the number of events is the bound
for everything but extremes."""

DEFAULT_BACKLOG = 1024
"""Events kept for the first subscriber: enough for the opening exchange and an answer of some 20
seconds that come before anybody listens."""

EVENTS_IN_A_ROW = 256
"""Events a stream delivers from its buffer before it lets other tasks run.

Every task that can run does so once in a pass of the scheduler, the one that publishes and the one
that consumes alike.  So a consumer that does nothing but take what comes never falls behind, at any
speed, as long as it gets more events in a row than are published in one.  The receive loop hands
out 32 messages, and few of them cause more than four events."""


_Entry: TypeAlias = tuple[E, int, int]
"""An event, its size, and the number of the event that it is or follows from."""


class EventHub(Generic[E]):
    """Hands every published event to every stream that asked for its type.

    Events published before the first subscription are kept for it: all that match its types are
    delivered to the first stream, and the others are discarded at that moment, or when
    `forget_kept` says that nobody means them any more.  From then on nothing is kept for later
    subscribers.

    All methods are synchronous and belong to the thread of the trio loop.

    Args:
        capacity: Default bound of a stream's buffer, in events; at least 1.
        backlog: How many events are kept for the first subscription.  Beyond it events are counted
            and reported to the first stream as `SlowConsumer`, as far as they match its types.
            With 0 nothing is kept or reported: a stream begins where it was subscribed.
        room: Bytes of messages in a buffer, and of what is kept, after which no further event is
            taken; at least 1.  The last one may exceed it, so that every event has a chance.  In a
            buffer every message counts as `room / capacity` bytes at least.

    Raises:
        ValueError: `capacity` or `backlog` is out of range.
    """

    def __init__(
        self,
        *,
        capacity: int = DEFAULT_CAPACITY,
        backlog: int = DEFAULT_BACKLOG,
        room: int = DEFAULT_ROOM,
    ) -> None:
        if backlog < 0:
            raise ValueError(f"backlog must be 0 or more events, not {backlog}")
        check_capacity(capacity)
        self._capacity = capacity
        self._backlog = backlog
        self._room = room
        self._kept: list[_Entry[E]] | None = [] if backlog else None
        self._kept_size = 0
        self._kept_out: Counter[type] = Counter()
        self._is_keeping = True
        self._buffers: list[_Buffer[E]] = []
        self.is_idle = not backlog
        """Whether what is published now gets nowhere, and is missed by nobody.  Not a property:
        it is asked about every message."""
        self._routes: dict[type, tuple[_Buffer[E], ...]] = {}
        self._cause = 0
        self._has_abandoned = False
        self._closed = False
        self._error: Exception | None = None

    @property
    def stream_count(self) -> int:
        """How many streams are subscribed: neither closed nor abandoned, and the hub is open."""
        self._drop_abandoned()
        return len(self._buffers)

    @property
    def is_heard(self) -> bool:
        """Whether what is published now may get anywhere: to a stream, or into what is kept.

        Where it costs something to make an event, it need not be made otherwise: see `pass_over`.
        """
        return (self._kept is not None and self._is_keeping) or bool(self._buffers)

    def wants(self, kind: type[E]) -> bool:
        """Whether an event of this class that is published now may get anywhere.

        As `is_heard`, for those who make many events that only some streams ask for.
        """
        if self._kept is not None:
            return True
        route = self._routes.get(kind)
        if route is None:
            route = self._routes[kind] = self._route_of(kind)
        return bool(route)

    def publish(self, event: E, size: int = 0, *, follows: bool = False) -> None:
        """Append an event to every stream that asked for its type, and wake the tasks there.

        Never blocks and never raises; takes time proportional to the number of interested streams.
        After `close` it does nothing.

        Args:
            event: The event.
            size: Bytes of the message that it holds on to, about.
            follows: Whether it follows from the event before, and shares its message: a stream that
                gets both has room for it once.
        """
        if not follows:
            self._cause += 1
        if self._has_abandoned:
            self._drop_abandoned()
        # Which streams want an event depends on its class alone, so it is worked out once a class.
        kind = type(event)
        route = self._routes.get(kind)
        if route is None:
            route = self._route_of(kind)
            # No route is remembered while events are kept: every event has to come by here.
            if self._kept is None:
                self._routes[kind] = route
            else:
                self._keep(self._kept, (event, size, self._cause))
        for buffer in route:
            # The ordinary case in place: nearly every event is one.
            if size <= buffer.share and len(buffer.events) < buffer.limit:
                buffer.events.append(event)
            else:
                buffer.put(event, size, self._cause)
            if buffer.sleeper is not None:
                buffer.wake()

    @overload
    def subscribe(self, *, capacity: int | None = None, kept: bool = True) -> EventStream[E]: ...
    @overload
    def subscribe(
        self, a: type[A], /, *, capacity: int | None = None, kept: bool = True
    ) -> EventStream[A]: ...
    @overload
    def subscribe(
        self, a: type[A], b: type[B], /, *, capacity: int | None = None, kept: bool = True
    ) -> EventStream[A | B]: ...
    @overload
    def subscribe(
        self,
        a: type[A],
        b: type[B],
        c: type[C],
        /,
        *,
        capacity: int | None = None,
        kept: bool = True,
    ) -> EventStream[A | B | C]: ...
    @overload
    def subscribe(
        self,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        /,
        *,
        capacity: int | None = None,
        kept: bool = True,
    ) -> EventStream[A | B | C | D]: ...
    @overload
    def subscribe(
        self, *types: type[E], capacity: int | None = None, kept: bool = True
    ) -> EventStream[E]: ...

    def subscribe(
        self, *types: type, capacity: int | None = None, kept: bool = True
    ) -> EventStream[object]:
        """Open a stream of what is published from now on.

        The first subscription also gets the events that were kept for it.  After `close` the stream
        has ended already, but still delivers what was kept if nobody had subscribed before.

        Args:
            types: Only instances of these types, or of their subclasses, are delivered; everything
                if none is given.
            capacity: Bound of this stream's buffer in events, at least 1; the hub's default if
                None.  Kept events are delivered beyond it.  The bound in bytes is that of the hub.
            kept: Take what was kept.  False leaves it for the next subscription, and begins at the
                call in any case.

        Raises:
            TypeError: One of `types` is not a class, or `capacity` is not a whole number.
            ValueError: `capacity` is out of range.
        """
        for kind in types:
            if not isinstance(kind, type):
                raise TypeError(f"a stream is narrowed by classes of events, not by {kind!r}")
        if self._has_abandoned:
            self._drop_abandoned()
        if capacity is not None:
            check_capacity(capacity)
        buffer: _Buffer[E] = _Buffer(
            types, self._capacity if capacity is None else capacity, self._room
        )
        if self._kept is not None and kept:
            buffer.take_over(
                entry for entry in self._kept if not types or isinstance(entry[0], types)
            )
            buffer.miss(
                sum(
                    count
                    for kind, count in self._kept_out.items()
                    if not types or issubclass(kind, types)
                )
            )
            self._kept = None
            self._kept_out.clear()
        if self._closed:
            # After what was kept: even the first stream of a dead session says what had come.
            buffer.end(self._error)
        else:
            self._buffers.append(buffer)
            self.is_idle = False
            self._routes.clear()
        return EventStream(self, buffer)

    def overhear(self, *types: type[E], capacity: int | None = None) -> EventStream[E]:
        """Open a stream for an onlooker: it gets what is kept, too, and takes it from nobody.

        Otherwise, and in its arguments, it is like `subscribe`.
        """
        kept, kept_out = self._kept, self._kept_out.copy()
        stream = self.subscribe(*types, capacity=capacity)
        self._kept, self._kept_out = kept, kept_out
        # A route that was remembered would lead past what is kept.
        self._routes.clear()
        return stream

    def pass_over(self, kind: type[E]) -> None:
        """Take note of an event that was not made, because the hub is not heard.

        If the first subscription still has something to get, this is a gap in it.
        """
        if self._kept is not None and not self._closed:
            self._kept_out[kind] += 1

    def stop_keeping(self) -> None:
        """Keep what is kept for the first subscription, and from now on count the rest as a gap.

        Idempotent; nothing happens once there was a subscription.
        """
        self._is_keeping = False

    def forget_kept(self) -> None:
        """Let go of what was kept: from now on every stream begins where it is subscribed.

        Idempotent; nothing happens once there was a subscription.
        """
        if self._kept is not None:
            self._kept = None
            self.is_idle = not self._buffers
            self._kept_out.clear()
            self._routes.clear()

    def close(self, error: Exception | None = None) -> None:
        """End all streams: each delivers what it has buffered, then ends or raises `error`.

        Every later receive raises `error` again.  Idempotent; the first error stands.
        """
        if self._closed:
            return
        self._closed = True
        self._error = error
        for buffer in self._buffers:
            buffer.end(error)
        self._buffers = []
        self.is_idle = True
        self._routes.clear()

    def _route_of(self, kind: type) -> tuple[_Buffer[E], ...]:
        return tuple(
            buffer for buffer in self._buffers if not buffer.types or issubclass(kind, buffer.types)
        )

    def _keep(self, kept: list[_Entry[E]], entry: _Entry[E]) -> None:
        if self._closed:
            return
        event, size, cause = entry
        # As in a buffer: a message counts once, and after a gap nothing is added.
        is_shared = bool(kept) and kept[-1][2] == cause
        is_full = len(kept) >= self._backlog or (self._kept_size >= self._room and not is_shared)
        if is_full or self._kept_out or not self._is_keeping:
            self._kept_out[type(event)] += 1
        else:
            self._kept_size += 0 if is_shared else size
            kept.append(entry)

    def _abandon(self, buffer: _Buffer[E]) -> None:
        # Called when a stream is closed or garbage-collected, so possibly inside any line of any
        # thread: it only sets flags, and the next `publish` or `subscribe` cleans up.
        buffer.discard()
        self._has_abandoned = True

    def _drop_abandoned(self) -> None:
        self._has_abandoned = False
        self._buffers = [buffer for buffer in self._buffers if not buffer.ended]
        self.is_idle = self._kept is None and not self._buffers
        self._routes.clear()


class EventStream(Generic[E_co]):
    """One independent view of a hub's events: iterate it, or `receive` from it.

    Made by `EventHub.subscribe`, and active from that moment.  `break` out of `async for` and
    iterate again: it resumes where it was.  One task at a time may receive; the streams themselves
    are independent of each other.

    A stream that falls behind by more than its capacity first delivers what it has buffered, then
    raises `SlowConsumer` once with the number of events it missed, then goes on with what is
    published from there on.

    `close` it, leave a `with` block over it, or drop the last reference to it to unsubscribe.
    """

    def __init__(self, hub: EventHub[E_co], buffer: _Buffer[E_co]) -> None:
        self._buffer = buffer
        self._reading = False
        self._left = EVENTS_IN_A_ROW - 1
        """Events until others have to have a turn; none while a task is receiving, so that a second
        one never takes the short way."""
        # Refers to the hub and the buffer but not to the stream, which could never be freed else.
        self._unsubscribe = weakref.finalize(self, hub._abandon, buffer)
        # At exit nobody is left to be unsubscribed from, and trio is gone.
        self._unsubscribe.atexit = False

    @property
    def pending(self) -> int:
        """How many events are buffered."""
        return len(self._buffer.events)

    def peek(self) -> E_co | None:
        """The next event, which stays where it is; None if none is buffered."""
        events = self._buffer.events
        return events[0] if events else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E_co:
        """Wait for the next event; like `receive`, but the end of the stream ends the iteration."""
        buffer = self._buffer
        events = buffer.events
        if events and self._left:
            # Raises when cancelled, before an event is taken, and lets nobody else run.
            self._left -= 1
            await checkpoint_if_cancelled()
            event = events.popleft()
            if buffer.large:
                buffer.make_room(event)
            return event
        if self._reading:
            self._refuse()
        self._reading, self._left = True, 0
        try:
            if events or buffer.dropped or buffer.ended:
                await checkpoint()
            else:
                buffer.sleeper = current_task()
                await wait_task_rescheduled(buffer.forget_sleeper)
        finally:
            self._reading, self._left = False, EVENTS_IN_A_ROW - 1
        # There is something to take: nobody else could while `_reading` was set, and the end of a
        # stream is something too.
        return buffer.take()

    async def receive(self) -> E_co:
        """Wait for the next event and return it.

        Every call is a checkpoint for cancellation.  With events in the buffer only every 256th
        call lets other tasks run.

        Cancel-safe: no event is lost.

        Raises:
            SlowConsumer: Events were missed at this place of the stream.  Call again to continue
                after the gap.
            SessionClosed: The stream was closed, or the hub was and everything has been delivered.
            Exception: The hub was closed with this error and everything has been delivered.
            trio.BusyResourceError: Another task is receiving from this stream.
        """
        # In terms of `__anext__`, and not the other way round: `async for` is the common way, and
        # so it costs one coroutine instead of two.
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise SessionClosed("this event stream has ended") from None

    def receive_nowait(self) -> E_co:
        """Return the next event if there is one in the buffer.

        Raises:
            trio.WouldBlock: There is none, and the stream has not ended.
            SlowConsumer, SessionClosed, Exception, trio.BusyResourceError: As for `receive`.
        """
        if self._reading:
            self._refuse()
        buffer = self._buffer
        if not (buffer.events or buffer.dropped or buffer.ended):
            raise trio.WouldBlock
        try:
            return buffer.take()
        except StopAsyncIteration:
            raise SessionClosed("this event stream has ended") from None

    def close(self) -> None:
        """Unsubscribe and discard what is buffered.  Idempotent.

        The iteration ends, also for a task that is waiting.
        """
        self._unsubscribe()
        # Not done by the line above: the garbage collector calls that too, from any thread.
        self._buffer.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _refuse(self) -> NoReturn:
        raise trio.BusyResourceError(
            "another task is receiving from this event stream; give each task a stream of its own"
        )


class _Buffer(Generic[E]):
    """What one stream has yet to deliver: events, then a gap of `dropped` events, then the end."""

    __slots__ = (
        "capacity",
        "cause",
        "dropped",
        "ended",
        "error",
        "events",
        "large",
        "limit",
        "room",
        "share",
        "size",
        "sleeper",
        "types",
    )

    def __init__(self, types: tuple[type, ...], capacity: int, room: int) -> None:
        self.types = types
        self.capacity = capacity
        self.limit = capacity
        """How many events it may hold with what it has: fewer beside large messages, and none when
        it is full of bytes or after a gap."""
        self.room = room
        self.share = room // capacity
        """Bytes of the longest message that is not large, and what one counts as."""
        self.events: deque[E] = deque()
        self.large: deque[tuple[E, int]] | None = None
        """Those of the events that brought large messages, with their sizes; None if none does."""
        self.size = 0
        """Bytes of the large messages."""
        self.cause = 0
        """The number of the last event that brought a large message."""
        self.dropped = 0
        self.ended = False
        self.error: Exception | None = None
        self.sleeper: Task | None = None

    def put(self, event: E, size: int, cause: int) -> None:
        """Take an event if there is room, whatever it is; else note that it is missed."""
        # What follows from an event shares its message, for which there was room.
        limit = self.capacity if cause == self.cause else self.limit
        # After a gap nothing is added before it has been reported, or the order would be wrong.
        if self.dropped or len(self.events) >= limit:
            self.miss(1)
        else:
            self.add(event, size, cause)

    def add(self, event: E, size: int, cause: int) -> None:
        """Take an event."""
        self.events.append(event)
        if size > self.share and cause != self.cause:
            self.cause = cause
            if self.large is None:
                self.large = deque()
            self.large.append((event, size))
            self.size += size
            self.set_limit()

    def set_limit(self) -> None:
        """Reckon with the large messages that there are now."""
        left = self.room - self.size
        if left <= 0 or self.dropped:
            self.limit = 0
        elif self.large and self.share:
            # The last one may exceed it: hence rounded up.
            self.limit = min(self.capacity, len(self.large) - -left // self.share)
        else:
            self.limit = self.capacity

    def take_over(self, entries: Iterable[_Entry[E]]) -> None:
        """Begin with what was kept, which is bounded already."""
        for entry in entries:
            self.add(*entry)

    def miss(self, count: int) -> None:
        """Note that so many events are missing behind those that are here."""
        self.dropped += count
        self.set_limit()

    def make_room(self, event: E) -> None:
        """Note that an event has been taken out, while there are large messages."""
        assert self.large is not None, "there are large messages"
        if self.large[0][0] is event:
            self.size -= self.large.popleft()[1]
            self.large = self.large or None
            self.set_limit()

    def take(self) -> E:
        """Return the next event, or raise what comes behind the last one: the gap, then the end."""
        if self.events:
            event = self.events.popleft()
            if self.large:
                self.make_room(event)
            return event
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            self.set_limit()
            raise SlowConsumer(dropped)
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    def forget_sleeper(self, _: object) -> Abort:
        """Let the task that sleeps here be cancelled."""
        self.sleeper = None
        return Abort.SUCCEEDED

    def wake(self) -> None:
        if self.sleeper is not None:
            sleeper, self.sleeper = self.sleeper, None
            reschedule(sleeper)

    def end(self, error: Exception | None) -> None:
        self.ended = True
        self.error = error
        self.wake()

    def discard(self) -> None:
        self.ended = True
        # A stream that was closed on purpose just ends, whatever happened to its hub.
        self.error = None
        self.dropped = 0
        self.events.clear()
        self.large = None
        self.size = 0


def check_capacity(capacity: int) -> None:
    """Refuse a bound that would hold nothing.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is less than 1.
    """
    check_kind("capacity", capacity, SupportsIndex, allowed="a whole number of events")
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1 event, not {capacity}")
