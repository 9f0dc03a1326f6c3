"""The other side of a connection, for tests.

There is an honest server that a test can speak through; those of `websocket_peers` are dishonest.
A test states what it expects and when; nothing answers by itself.
"""

from __future__ import annotations

import math
import os
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from types import TracebackType
from typing import Generic, Self, TypeVar, Unpack

import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._runtime.hub import EventStream
from realtime_trio._serving.websocket_server import (
    Accept,
    HandshakeRequest,
    Reject,
    serve_websocket,
)
from realtime_trio._session.base import OUTBOX_CAPACITY
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio._transport.contract import Transport
from realtime_trio._transport.memory import MemoryTransport, memory_transport_pair
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio.errors import ServerError, SessionClosed
from realtime_trio.events import (
    ConversationItemDelete,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferCommitted,
    RealtimeSession,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)

E = TypeVar("E", bound=Event)
X = TypeVar("X", bound=BaseException)

_codec = Codec(Role.SERVER, strict=True)


# What a server says


def created(instructions: str = "as you like") -> SessionCreated:
    return SessionCreated(
        event_id="event_created",
        session=RealtimeSession(id="sess_1", model="gpt-realtime", instructions=instructions),
    )


def updated(instructions: str) -> SessionUpdated:
    return SessionUpdated(
        event_id="event_updated",
        session=RealtimeSession(id="sess_1", model="gpt-realtime", instructions=instructions),
    )


def failure(
    message: str, *, code: str | None = None, param: str | None = None, of: str | None = None
) -> ErrorEvent:
    detail = ErrorDetail(
        type="invalid_request_error", message=message, code=code, param=param, event_id=of
    )
    return ErrorEvent(event_id="event_error", error=detail)


def committed(number: int) -> InputAudioBufferCommitted:
    return InputAudioBufferCommitted(event_id=f"event_{number}", item_id=f"item_{number}")


class Server:
    """One connection as its server sees it.

    `say` and `hear` are for typed events, the transport is for everything else.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._heard: deque[str | bytes] = deque()

    async def say(self, *said: ServerEvent) -> None:
        await trio.lowlevel.checkpoint()
        for event in said:
            await self.transport.send(_codec.encode(event))

    async def hear(self, kind: type[E]) -> E:
        """The next event from the client, which must be of this class."""
        await trio.lowlevel.checkpoint()
        if not self._heard:
            self._heard.extend(await self.transport.receive())
            assert self._heard, f"the client has gone: {self.transport.closed}"
        event = _codec.decode(self._heard.popleft())
        assert isinstance(event, kind), f"expected {kind.__name__}, got {event}"
        return event

    def drop(self, reason: str = "connection dropped") -> None:
        """Break the connection as a network does; in memory only."""
        assert isinstance(self.transport, MemoryTransport)
        self.transport.abort(reason)

    async def hear_the_rest(self) -> list[Event]:
        """Everything from the client up to the end."""
        while batch := await self.transport.receive():
            self._heard.extend(batch)
        events = [_codec.decode(message) for message in self._heard]
        self._heard.clear()
        return events


# What a client says, and the answers it waits for


def delete(number: int) -> ConversationItemDelete:
    return ConversationItemDelete(item_id=str(number))


def deleted(events: list[Event]) -> list[int]:
    return [int(event.item_id) for event in events if isinstance(event, ConversationItemDelete)]


def instructions_of(update: SessionUpdate) -> str:
    assert isinstance(update.session, SessionConfig)
    assert isinstance(update.session.instructions, str)
    return update.session.instructions


class Updates:
    """Several updates under way, and what became of each."""

    def __init__(self, session: Session, nursery: trio.Nursery) -> None:
        self.session = session
        self.nursery = nursery
        self.outcomes: dict[str, str | None] = {}

    async def start(self, name: str, scope: trio.CancelScope | None = None) -> None:
        self.nursery.start_soon(self._run, name, scope or trio.CancelScope())
        await wait_all_tasks_blocked()

    async def _run(self, name: str, scope: trio.CancelScope) -> None:
        await trio.lowlevel.checkpoint()
        with scope:
            try:
                self.outcomes[name] = (await self.session.update(instructions=name)).instructions
            except (ServerError, SessionClosed) as error:
                self.outcomes[name] = type(error).__name__


# Sessions in memory


def memory_server(*, capacity: float = math.inf) -> tuple[MemoryTransport, Server]:
    """A transport for a client, and the server at its other end."""
    near, far = memory_transport_pair(capacity=capacity)
    return near, Server(far)


def counted_ids() -> Callable[[str], str]:
    numbers = count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


@asynccontextmanager
async def open_pair(
    *, network: float = math.inf, **options: Unpack[SessionOptions]
) -> AsyncIterator[tuple[Session, Server]]:
    """A session that is ready, and its server.

    `network` is how many messages may be under way before a send waits.
    """
    near, server = memory_server(capacity=network)
    await server.say(created())
    with trio.fail_after(60):
        async with open_session(transport=near, new_id=counted_ids(), **options) as session:
            yield session, server


async def fill(session: Session) -> int:
    """Send until the next send would wait, given a network of one message; return how many."""
    under_way = OUTBOX_CAPACITY + 2  # one in the server's inbox, one in the sender's hand
    for number in range(under_way):
        await session.send(delete(number))
    await wait_all_tasks_blocked()
    return under_way


async def drain(stream: EventStream[Event]) -> list[Event]:
    await trio.lowlevel.checkpoint()
    with trio.fail_after(5):
        return [event async for event in stream]


# Honest servers on a real socket


def _let_everybody_in(_request: HandshakeRequest) -> Accept:
    return Accept()


@asynccontextmanager
async def open_server(
    script: Callable[[Server], Awaitable[None]],
    *,
    admit: Callable[[HandshakeRequest], Accept | Reject] = _let_everybody_in,
    ssl_context: ssl.SSLContext | None = None,
    limit: float = 5,
) -> AsyncIterator[str]:
    """Run a script for every client that connects to the URL.

    What goes wrong in a script leaves the block, which has a time limit.
    """
    errors: list[Exception] = []

    async def handle(transport: Transport, _request: HandshakeRequest) -> None:
        await trio.lowlevel.checkpoint()
        try:
            await script(Server(transport))
        except AssertionError as error:
            errors.append(error)

    serve = partial(
        serve_websocket,
        admit=admit,
        ssl_context=ssl_context,
        settings=WebSocketSettings(close_timeout=0.2),
    )
    with trio.fail_after(limit):
        async with trio.open_nursery() as nursery:
            _, port = await nursery.start(serve, handle, "127.0.0.1", 0)
            yield f"{'ws' if ssl_context is None else 'wss'}://127.0.0.1:{port}"
            nursery.cancel_scope.cancel()
    for error in errors:
        raise error


# What may happen, and what may be left behind


class CancelAt(trio.abc.Instrument):
    """Cancels a scope after the n-th step that any task has made since it has a scope."""

    def __init__(self, step: int) -> None:
        self.steps_left = step
        self.scope: trio.CancelScope | None = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.scope is not None:
            self.steps_left -= 1
            if self.steps_left == 0:
                self.scope.cancel()


@contextmanager
def steps_of(name: str) -> Iterator[list[trio.lowlevel.Task]]:
    """Record every time a task whose name ends so is resumed."""
    steps: list[trio.lowlevel.Task] = []

    class Recorder(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            if task.name.endswith(name):
                steps.append(task)

    recorder = Recorder()
    trio.lowlevel.add_instrument(recorder)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(recorder)


def cancel_at_every_step(
    life: Callable[[trio.CancelScope, CancelAt], Awaitable[bool]],
    *,
    at_least: int,
    clock: Callable[[], trio.abc.Clock] | None = None,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Run a life again and again, cancelled one step later each time, until it ends by itself.

    Args:
        life: Gives the canceller its scope when there is something to cancel, and says whether it
            got to its end.
        at_least: How many steps it takes at the least, or the test would show nothing.
        clock: Makes the clock of each life.
        then: Called after each life, for what is to be checked outside of it.
    """
    for step in range(1, 5000):
        scope, canceller = trio.CancelScope(), CancelAt(step)
        is_done = trio.run(
            life, scope, canceller, clock=clock() if clock else None, instruments=[canceller]
        )
        then()
        assert is_done != scope.cancelled_caught
        if canceller.steps_left > 0:
            assert is_done
            assert step > at_least
            return
    raise AssertionError("it takes more steps than that?")


def tasks() -> set[trio.lowlevel.Task]:
    """Every task that exists now."""
    root = trio.lowlevel.current_root_task()
    found, unvisited = set(), [root] if root is not None else []
    while unvisited:
        task = unvisited.pop()
        found.add(task)
        unvisited += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


def sockets() -> set[str]:
    """The sockets of this process, where the system tells."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # the one that listed the directory
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


# What may leave


class Leaves(Generic[X]):
    """Expects one bare exception of exactly this class to leave the block.

    Everything else leaves as it is.
    """

    value: X

    def __init__(self, kind: type[X], match: str = "") -> None:
        self._kind = kind
        self._match = match

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        assert error is not None, f"expected {self._kind.__name__}"
        if type(error) is not self._kind:
            return False
        assert re.search(self._match, str(error))
        self.value = error
        return True
