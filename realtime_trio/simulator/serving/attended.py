"""The shell around a simulated server: it runs one on a transport, with a cast that it can ask.

Owns the tasks of one connection, and how the work on a question ends: by itself, by failing, or
because the answer is not wanted any more.  What is asked, and what becomes of the answers, is
decided in `service.server`.

Theory of operation.  One task receives, one sends, and every open question has a task of its own.
All of them call the server, which never waits.  A task that has changed something rings the bell
for the sender, which sends whatever is due, in the server's order.  After every change the desk
looks after the questions: new ones get a task, those that are not wanted any more are cancelled,
and agents that were ahead of what is said may go on.  What agents, ears and voices raise ends one
answer and nothing else.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import attrs
import trio
from attrs import field, frozen

from realtime_trio._legible import legible
from realtime_trio._misuse import kind_of
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._runtime.nursery import ServiceNursery, open_service_nursery
from realtime_trio._transport.contract import Transport
from realtime_trio.errors import ConnectionLost, RealtimeError
from realtime_trio.simulator.roles import Agent, Ears, Piece, Say, Voice
from realtime_trio.simulator.script.script import Failure
from realtime_trio.simulator.service.questions import AnswerWanted, TranscriptWanted
from realtime_trio.simulator.service.server import SimulatedServer
from realtime_trio.simulator.service.strictness import read_message
from realtime_trio.simulator.serving.simulation import Simulation

_MOST_AT_ONCE: Final = 16
"""Questions of one connection that are worked on at the same time.  There must be a limit, since
clients can ask for any number of responses out of band."""
_LONGEST_EXPLANATION: Final = 500
"""Characters of an exception that the client is told."""

_LONGEST_TYPE: Final = 100
"""Characters of an event's type in the log: the client may send any."""

EVENTS_LOGGER: Final = "realtime_trio.simulator.events"
"""The log of every event, which may be too much where the rest is not."""
_logger = logging.getLogger("realtime_trio.simulator")
_events_logger = logging.getLogger(EVENTS_LOGGER)


def _with_method(method: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        # A class has the method, too, and then lacks the object to call it on.
        if value is not None and (isinstance(value, type) or not hasattr(value, method)):
            raise TypeError(
                f"{attribute.name} must be an object with a method {method}, not {kind_of(value)}"
            )

    return check


@frozen
class Cast:
    """Who answers, listens and speaks where a script leaves it open.

    One cast serves any number of connections.
    """

    agent: Agent | None = field(default=None, validator=_with_method("answer"))
    """Answers the turns for which the script has no reply; None leaves that to the simulator's own
    few words."""
    ears: Ears | None = field(default=None, validator=_with_method("transcribe"), kw_only=True)
    """Tell what the user says in audio for which the script has no transcript."""
    voice: Voice | None = field(default=None, validator=_with_method("speak"), kw_only=True)
    """Speaks what the agent says without audio; None leaves that to the synthetic voice."""


async def run_server(
    transport: Transport,
    server: Simulation,
    cast: Cast | None = None,
    *,
    facade: Simulation | None = None,
    codec: Codec | None = None,
) -> None:
    """Let a server serve the client at the other end of a transport, until either closes.

    Runs on trio's clock.  Returns when the client has gone, cleanly or not, and closes the
    transport when the server wants to; otherwise the transport is left to its owner.  When it
    returns or raises, no agent, ears or voice is at work any more.

    Args:
        transport: Connected, and not used by anything else.
        server: A fresh one; this calls its `connect`.
        cast: Whom a `SimulatedServer` can ask for what its script does not say.  Other servers do
            not ask.
        facade: What is put around the server, if anything; it is what the client sees.
        codec: For other dialects than today's; its role is that of a server, and its kind that of
            the session.

    Raises:
        LocalProtocolError: A predicate of the script failed.

    Cancellation: safe; the connection is over then if a message was half sent.
    """
    shown = server if facade is None else facade
    codec = codec or Codec(Role.SERVER, kind=server.kind)
    bell = _Bell()
    async with open_service_nursery() as nursery:
        desk: _Desk | None = None
        if cast is not None and isinstance(server, SimulatedServer):
            # Before `connect`, with which a facade may configure the session, and so ask at once.
            server.has_agent, server.has_ears = cast.agent is not None, cast.ears is not None
            desk = _Desk(server, cast, nursery, bell)
        shown.connect(trio.current_time())
        with trio.CancelScope() as conversation:
            nursery.start_soon(_receive_loop, transport, shown, codec, desk, bell, conversation)
            # The sender is the body of the block, so that what it raises leaves as it is: a task of
            # ours that fails is an InternalError, and a predicate of the user's is not ours.
            await _send_loop(transport, shown, codec, desk, bell)


async def _receive_loop(
    transport: Transport,
    server: Simulation,
    codec: Codec,
    desk: _Desk | None,
    bell: _Bell,
    conversation: trio.CancelScope,
) -> None:
    with bell.failing():
        while batch := await transport.receive():
            due = server.next_due
            for message in batch:
                event = read_message(codec, message)
                _events_logger.debug(
                    "received %s",
                    legible(event.type, _LONGEST_TYPE) or "something that is not an event",
                )
                server.receive(event, trio.current_time())
            if desk is not None:
                desk.attend()
            # Most of what arrives is audio, to which there is nothing to say: let the sender sleep.
            if server.next_due != due or server.close is not None:
                bell.ring()
        # The sender may sleep until something is due, or wait for a client that reads no more.
        conversation.cancel()


async def _send_loop(
    transport: Transport, server: Simulation, codec: Codec, desk: _Desk | None, bell: _Bell
) -> None:
    await trio.lowlevel.checkpoint()
    while True:
        events = server.take_due(trio.current_time())
        # Time alone may raise questions, as when a turn ends by silence.
        if desk is not None:
            desk.attend()
        try:
            for due in events:
                _events_logger.debug("sent %s", due.type)
                await transport.send(codec.encode(due))
        except ConnectionLost:
            return
        if server.close is not None:
            await transport.aclose(server.close.code, server.close.reason)
            return
        await bell.wait(math.inf if server.next_due is None else server.next_due)


class _Bell:
    """Tells the sender that there may be something to send, or that the server has failed."""

    def __init__(self) -> None:
        self._rung = trio.Event()
        self._failure: Exception | None = None

    def ring(self) -> None:
        """Wake the sender, now or as soon as it waits."""
        self._rung.set()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let the sender raise what the block raises, as soon as it has nothing in hand.

        Raised by a task beside the sender, a failure would cancel the sender in the middle of a
        message.  That breaks the connection for good, and the client would see this instead of the
        close 1011 that tells of a failure.
        """
        try:
            yield
        except Exception as error:
            self._failure = self._failure or error
            self._rung.set()

    async def wait(self, deadline: float) -> None:
        """Wait until it has rung since the last time, or for the deadline.

        Raises:
            Exception: What a block of `failing` has raised.
        """
        with trio.move_on_at(deadline):
            await self._rung.wait()
        # Without an await since then, so no ring gets lost between the two events.
        self._rung = trio.Event()
        if self._failure is not None:
            raise self._failure


class _Desk:
    """The open questions of one server, and the tasks that work on them."""

    def __init__(
        self, server: SimulatedServer, cast: Cast, nursery: ServiceNursery, bell: _Bell
    ) -> None:
        self._server = server
        self._cast = cast
        self._nursery = nursery
        self._bell = bell
        self._open: dict[str, trio.CancelScope] = {}
        self._limiter = trio.CapacityLimiter(_MOST_AT_ONCE)
        self._ahead = trio.lowlevel.ParkingLot()
        """The tasks of agents that are ahead of what is said."""

    def attend(self) -> None:
        """Look after the questions: begin the new ones, cancel those that are not wanted any more.

        Agents that were ahead of what is said look again whether they may go on.
        """
        for question in self._server.take_questions():
            # Made here and not by the task, which may be cancelled before it has begun.
            self._open[question.id] = scope = trio.CancelScope()
            if isinstance(question, AnswerWanted):
                self._nursery.start_soon(self._answer, question, scope)
            else:
                self._nursery.start_soon(self._listen, question, scope)
        for question_id, scope in self._open.items():
            if not self._server.is_wanted(question_id):
                scope.cancel()
        self._ahead.unpark_all()

    def _finish(self, question_id: str) -> None:
        del self._open[question_id]
        self.attend()
        self._bell.ring()

    async def _answer(self, question: AnswerWanted, scope: trio.CancelScope) -> None:
        agent = self._cast.agent
        assert agent is not None, "the server only asks if there is one"
        failure: Failure | None = None
        await trio.lowlevel.checkpoint()
        try:
            # The limiter inside the scope, so that a question can be dropped while it queues; and
            # the stack innermost, so that an agent is closed before the next one begins.
            with scope:
                async with self._limiter, AsyncExitStack() as stack:
                    pieces = agent.answer(question.turn)
                    # Generators have it, other iterators need not.
                    close = getattr(pieces, "aclose", None)
                    if close is not None:
                        stack.push_async_callback(close)
                    async for piece in pieces:
                        await self._say(question, piece)
        # The agent is the user's code and may raise anything, also in a group with Cancelled; with
        # `except*` the Cancelled goes on.
        except* Exception as errors:
            failure = _failure("the agent", errors, "server_error")
        with self._bell.failing():
            if failure is None:
                self._server.answer_ends(question.id, trio.current_time())
            else:
                self._server.answer_fails(question.id, failure, trio.current_time())
            self._finish(question.id)

    async def _say(self, question: AnswerWanted, piece: Piece) -> None:
        voice = self._cast.voice
        if (
            voice is not None
            and isinstance(piece, Say)
            and piece.audio is None
            and question.turn.modality == "audio"
        ):
            text = piece.text.strip()
            piece = attrs.evolve(piece, audio=await voice.speak(text) if text else b"")
        self._server.say(question.id, piece, trio.current_time())
        self._bell.ring()
        # An agent that never waits must not keep the other tasks from running.
        await trio.lowlevel.checkpoint()
        # In a loop, because `attend` wakes all that wait, whomever the change concerns.
        while not self._server.is_keeping_up(question.id):
            await self._ahead.park()

    async def _listen(self, question: TranscriptWanted, scope: trio.CancelScope) -> None:
        ears = self._cast.ears
        assert ears is not None, "the server only asks if there are any"
        words: str | None = None
        failure: Failure | None = None
        await trio.lowlevel.checkpoint()
        try:
            with scope:
                async with self._limiter:
                    words = await ears.transcribe(question.samples)
        # The ears are the user's code too.
        except* Exception as errors:
            failure = _failure("the ears", errors, "transcription_error")
        # Words may decide which reply is given, so this is where its predicate may fail.
        with self._bell.failing():
            if failure is None:
                self._server.transcription_ends(question.id, words, trio.current_time())
            else:
                self._server.transcription_fails(question.id, failure, trio.current_time())
            self._finish(question.id)


def _failure(whose: str, errors: ExceptionGroup[Exception], kind: str) -> Failure:
    """What the client is told of an exception; the log gets the whole exception."""
    error: Exception = errors
    # The client's event has room for one error, and `except*` made a group even of that.
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    _logger.warning("%s failed with %s", whose, type(error).__name__, exc_info=errors)
    code = getattr(error, "code", None)
    # Our own messages are complete sentences; others mean little without the name of their class.
    told = (
        str(error)
        if isinstance(error, RealtimeError)
        else f"{whose} failed with {type(error).__name__}: {error}"
    )
    return Failure(code if isinstance(code, str) else None, told[:_LONGEST_EXPLANATION], kind)
