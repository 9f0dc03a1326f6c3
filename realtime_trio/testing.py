"""The test kit: simulated sessions, transports that remember, and assertions.

    async def test_agent_reports_the_weather(autojump_clock):
        script = Script([Reply.call("get_weather", city="Paris"), Reply.text("It is sunny.")])
        async with open_simulated_session(script) as (session, server):
            ...
            assert_conversation(
                session,
                [
                    ("user", "How is the weather in Paris?"),
                    ("call", "get_weather", {"city": "Paris"}),
                    ("output", ...),
                    ("assistant", "It is sunny."),
                ],
            )

The names that tests need most are here; everything else of the simulator is in
`realtime_trio.simulator`.

Owns nothing of the protocol.  Failures are `AssertionError`s that say what was there and what was
expected, line by line.
"""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import EllipsisType
from typing import Any, TypeAlias, Unpack

import trio

from realtime_trio._order import (
    Recorded as Recorded,
    Violation as Violation,
    assert_order as assert_order,
    check_order as check_order,
)
from realtime_trio._protocol.codec import Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.json_text import parse_json
from realtime_trio._protocol.kinds import DEFAULT_MODEL, SessionKind
from realtime_trio._protocol.wire_record import Source, WireRecord
from realtime_trio._serving.wiretap import Wiretap, wire_codecs
from realtime_trio._session.input_audio import InputAudioSession
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.conversation.audio import Retention
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.conversation.size import HistoryLimit
from realtime_trio._transport.contract import Transport
from realtime_trio.connection import check_runs_in_trio
from realtime_trio.events import Event, JsonObject
from realtime_trio.history import ConversationStore
from realtime_trio.money import Budget, Prices
from realtime_trio.playback import Playback
from realtime_trio.recording import (
    Recording as Recording,
    open_recording as open_recording,
    read_recording as read_recording,
)
from realtime_trio.simulator.replay import ReplayServer as ReplayServer
from realtime_trio.simulator.script.fault import Fault as Fault
from realtime_trio.simulator.script.script import Reply as Reply, Script as Script
from realtime_trio.simulator.service.server import SimulatedServer
from realtime_trio.simulator.serving.attended import Cast as Cast
from realtime_trio.simulator.serving.serve import Faults, Simulation, open_simulator_transport
from realtime_trio.tools.failures import ToolErrors
from realtime_trio.tools.registry import AnyTool

ExpectedItem: TypeAlias = Sequence[str | Mapping[str, object] | EllipsisType | None]
"""One item of a conversation as a test expects it; see `assert_conversation`."""


class SimulationOptions(SessionOptions, total=False):
    """Every keyword of `open_session` but those that say where the service is.

    A session with `reconnect` needs a service that can be reached again: `SimulatedService`.
    """

    tools: Iterable[AnyTool] | None
    tool_concurrency: int
    tool_timeout: float
    approval_timeout: float
    tool_errors: ToolErrors
    tool_output_limit: int | None
    record: str | os.PathLike[str] | None
    history: Iterable[JsonObject]
    history_limit: HistoryLimit
    store: ConversationStore | None
    retention: Retention
    playback: Playback | None
    prices: Prices | None
    budget: Budget | None
    idle_timeout: float | None
    capacity: int | None
    new_id: Callable[[str], str]


@asynccontextmanager
async def open_simulated_session(
    script: Script | Simulation | None = None,
    *,
    model: str = DEFAULT_MODEL,
    cast: Cast | None = None,
    faults: Faults = (),
    **options: Unpack[SimulationOptions],
) -> AsyncIterator[tuple[Session, Simulation]]:
    """Open a session with a simulated service in memory.

    It needs no network and no key, and under an autojump clock it takes no time.  Messages that do
    not fit the protocol are errors here (`strict=True`), unless the options say otherwise.

    Args:
        script: What the model says, or a server of your own such as a `ReplayServer`; with None the
            simulator answers for itself.
        model: The model that the simulator claims to be.
        cast: The agent that answers where the script does not say what, e.g.
            `Cast(OfflineAgent())`.
        faults: What goes wrong, e.g. `[Fault.drop("response.done")]`.
        **options: As for `open_session`.  `new_id=sequential_ids()` makes the same ids in every
            run.

    Yields:
        The session, and the server that it is connected to.
    """
    check_runs_in_trio()
    server = _served(script, model)
    # A program in production should survive what it cannot decode; a test should know of it.
    options.setdefault("strict", True)
    async with (
        open_simulator_transport(server, cast=cast, faults=faults) as transport,
        open_session(transport=transport, **options) as session,
    ):
        yield session, server


def _served(script: Script | Simulation | None, model: str) -> Simulation:
    if script is None or isinstance(script, Script):
        return SimulatedServer(script or Script(), model=model)
    return script


class RecordingTransport(Wiretap):
    """A transport that passes everything on and remembers it, for tests that look at the wire.

    It keeps everything as long as it exists, so it is for tests.  For long calls there is
    `open_recording`.

    Args:
        transport: The transport that does the work; it belongs to this one from now on.
        role: The side that this end is on.
        kind: Kind of the session, for decoding.
        dialect: What is spoken, for decoding.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        role: Role = Role.CLIENT,
        kind: SessionKind = SessionKind.REALTIME,
        dialect: Dialect = Dialect.GA,
    ) -> None:
        super().__init__(transport, role, self._keep)
        self._dialect = dialect
        self._codecs = wire_codecs(kind, dialect)
        self._messages: list[tuple[float, float, Source, str | bytes]] = []
        self._records: list[WireRecord] = []

    def _keep(self, source: Source, message: str | bytes) -> None:
        self._messages.append((trio.current_time(), time.time(), source, message))

    @property
    def messages(self) -> tuple[str | bytes, ...]:
        """Every message in both directions as it was on the wire.

        A received message is among them once it has been taken, a sent one once sending began.
        """
        return tuple(message for *_, message in self._messages)

    @property
    def records(self) -> tuple[WireRecord, ...]:
        """The same, decoded: for `assert_order` and `Recording.of`."""
        # Only what has come since the last time: tests ask again and again.
        for at, wall_time, source, message in self._messages[len(self._records) :]:
            event = self._codecs[source].decode(message)
            self._records.append(
                WireRecord.of_message(
                    at, source, event, message, dialect=self._dialect, wall_time=wall_time
                )
            )
        return tuple(self._records)

    @property
    def sent(self) -> tuple[Event, ...]:
        """What this end sent."""
        return tuple(record.event for record in self.records if record.source == self._ours)

    @property
    def received(self) -> tuple[Event, ...]:
        """What this end received."""
        return tuple(record.event for record in self.records if record.source == self._theirs)


def assert_conversation(
    talk: InputAudioSession[Any] | Conversation | Iterable[ConversationItem],
    expected: Iterable[ExpectedItem],
) -> None:
    """Fail unless a conversation consists of exactly these items, in this order.

    An expected item is one of::

        ("user", "hello")                  its text, or what was said
        ("assistant", "hi")                the same; so is "system"
        ("call", "get_weather", {"x": 1})  a function call; its arguments as a mapping, or as text
        ("output", "21 degrees")           the output of a function: a text, or a mapping for JSON
        ("mcp_call",)                      any other item, by its type

    `...` stands for anything, and what is left out at the end is not compared: `("assistant", ...)`
    is `("assistant",)`.  None stands for no words, as of speech that was not transcribed.

    Args:
        talk: A session, its conversation, or some of its items.
        expected: The items.

    Raises:
        AssertionError: The items are not these; the message shows the difference.
    """
    conversation = talk.conversation if isinstance(talk, InputAudioSession) else talk
    items = conversation.items if isinstance(conversation, Conversation) else conversation
    there = [_line_of(item) for item in items]
    wanted = [tuple(line) for line in expected]
    if len(there) == len(wanted) and all(map(_fits, there, wanted)):
        return
    # What fits is shown as it was expected, so that only differences differ.
    shown = [next((wish for wish in wanted if _fits(line, wish)), line) for line in there]
    difference = difflib.ndiff([_shown(line) for line in wanted], [_shown(line) for line in shown])
    lines = [line for line in difference if not line.startswith("?")]
    raise AssertionError(
        "\n".join(["the conversation is another one (-: expected, +: there)", *lines])
    )


_Line: TypeAlias = tuple[object, ...]


def _line_of(item: ConversationItem) -> _Line:
    match item.type:
        case "message":
            # Both, as a message may mix them; the words of speech arrive with blanks around them.
            return item.role, " ".join(filter(None, (item.text, item.transcript.strip()))) or None
        case "function_call":
            return "call", item.name, item.arguments
        case "function_call_output":
            return "output", item.output
    return (item.type,)


def _fits(line: _Line, wish: _Line) -> bool:
    return len(wish) <= len(line) and all(map(_is_meant, line, wish))


def _is_meant(value: object, wish: object) -> bool:
    if isinstance(wish, Mapping) and isinstance(value, str):
        # Arguments and outputs are JSON as text; the wish is what is in it.
        try:
            value = parse_json(value)
        except ValueError:
            return False
    return wish is ... or value == wish


def _shown(line: _Line) -> str:
    kind, *rest = line or ("nothing",)
    return f"{kind}: {', '.join('...' if value is ... else repr(value) for value in rest)}"
