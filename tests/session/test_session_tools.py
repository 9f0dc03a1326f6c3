"""Tools at work in a session: every call is answered exactly once, whatever happens to it."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Unpack

import attrs
import numpy as np
import pytest
import trio
from attrs import frozen
from peers import Leaves, Server, counted_ids, created, failure, memory_server, tasks
from simulated import SLOW, buffered, records, sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ToolContext, tool
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallProgress,
    ToolCallRequested,
    ToolCallStarted,
    ToolOutcome,
)
from realtime_trio._transport.contract import Close
from realtime_trio.errors import (
    ConnectionLost,
    LocalProtocolError,
    ServerError,
    SessionClosed,
    ToolDefinitionError,
)
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudioBufferSpeechStarted,
    McpApprovalRequest,
    McpApprovalResponse,
    McpListedTool,
    McpTool,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    SystemMessage,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Call, Reply, Script, open_simulator_transport
from realtime_trio.simulator.script.script import McpServer
from realtime_trio.tools import AnyTool, LocalTool, ToolResultError

# --- sessions -------------------------------------------------------------------------------------


class Options(SessionOptions, total=False):
    """What these tests say to `open_session`."""

    tool_concurrency: int
    tool_timeout: float
    approval_timeout: float


@asynccontextmanager
async def open_tools(
    tools: Iterable[AnyTool],
    *replies: Reply,
    mcp_servers: Iterable[McpServer] = (),
    **options: Unpack[Options],
) -> AsyncIterator[Session]:
    """A written session with these tools, and a simulator that gives these replies and then repeats what the last function returned."""
    options.setdefault("output_modalities", ("text",))
    options.setdefault("strict", True)
    with trio.fail_after(3600):
        async with (
            open_simulator_transport(Script(replies, mcp_servers=mcp_servers)) as transport,
            open_session(transport=transport, tools=tools, **options) as session,
        ):
            forget_the_opening(session)
            yield session


@asynccontextmanager
async def open_served(
    tools: Iterable[AnyTool], **options: Unpack[Options]
) -> AsyncIterator[tuple[Session, Server]]:
    """A session with these tools whose server is played by the test."""
    near, server = memory_server()
    await server.say(created())

    async def acknowledge() -> None:
        await server.say(accepted(await server.hear(SessionUpdate)))

    with trio.fail_after(3600):
        async with open_session(transport=near, new_id=counted_ids(), **options) as session:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acknowledge)
                await session.set_tools(tools)
            forget_the_opening(session)
            yield session, server


def forget_the_opening(session: Session) -> None:
    """The first who looks at the wire would see it."""
    session.wire().close()


def accepted(update: SessionUpdate, *, detection: ServerVad | None = None) -> SessionUpdated:
    """The server takes these tools."""
    assert isinstance(update.session, SessionConfig)
    assert isinstance(update.session.tools, tuple)
    audio = SessionAudio(input=SessionAudioInput(turn_detection=detection))
    session = RealtimeSession(
        id="sess_1", model="gpt-realtime", tools=update.session.tools, audio=audio
    )
    return SessionUpdated(event_id="event_updated", session=session)


def call_of(
    name: str,
    call_id: str = "call_1",
    *,
    arguments: str = "{}",
    status: str | None = "completed",
    item: str = "",
) -> FunctionCall:
    return FunctionCall(
        id=item or f"item_of_{call_id}",
        name=name,
        arguments=arguments,
        call_id=call_id,
        status=status,
    )


async def serve_calls(
    server: Server,
    *calls: FunctionCall | McpApprovalRequest,
    response_id: str = "resp_1",
    status: str = "completed",
) -> None:
    """A response that is nothing but calls."""
    await server.say(
        ResponseCreated(
            event_id="event_1", response=Response(id=response_id, conversation_id="conv_1")
        )
    )
    for index, call in enumerate(calls):
        await server.say(
            ResponseOutputItemAdded(
                event_id="event_2", response_id=response_id, output_index=index, item=call
            ),
            ConversationItemAdded(event_id="event_3", item=call),
            ResponseOutputItemDone(
                event_id="event_4", response_id=response_id, output_index=index, item=call
            ),
        )
    await server.say(
        ResponseDone(
            event_id="event_5",
            response=Response(id=response_id, conversation_id="conv_1", status=status),
        )
    )


async def start_turn(session: Session) -> None:
    """Let the simulator give its reply, up to where nobody has anything to do."""
    await session.respond()
    await wait_all_tasks_blocked()


# --- what was said --------------------------------------------------------------------------------


def outputs_of(events: Iterable[Event]) -> list[tuple[str, Any]]:
    """Call ids and outputs, read as JSON if they are, among what the client sent."""
    found = [event.item for event in events if isinstance(event, ConversationItemCreate)]
    return [
        (item.call_id, parsed(item.output))
        for item in found
        if isinstance(item, FunctionCallOutput)
    ]


def outputs(wire: EventStream[WireRecord]) -> list[tuple[str, Any]]:
    return outputs_of(sent(wire))


def messages_of(events: Iterable[Event]) -> list[str]:
    found = [event.item for event in events if isinstance(event, ConversationItemCreate)]
    return [
        str(getattr(item.content[0], "text", ""))
        for item in found
        if isinstance(item, SystemMessage)
    ]


def told(wire: EventStream[WireRecord]) -> list[str]:
    """What the client sent, in short: `create`, `output of call_1`, `message`, `update`."""
    return [words for event in sent(wire) if (words := _in_short(event))]


def _in_short(event: Event) -> str:
    match event:
        case ResponseCreate():
            return "create"
        case ConversationItemCreate(item=FunctionCallOutput(call_id=call_id)):
            return f"output of {call_id}"
        case ConversationItemCreate():
            return "message"
        case SessionUpdate():
            return "update"
    return event.type


def parsed(output: str) -> object:
    try:
        return json.loads(output)
    except ValueError:
        return output


def outcomes(stream: EventStream[ToolCallFinished]) -> dict[str | None, ToolOutcome]:
    """How the calls ended; each has done so once."""
    finished = buffered(stream)
    found = {event.call.call_id: event.outcome for event in finished}
    assert len(found) == len(finished)
    return found


def error(message: str) -> dict[str, str]:
    return {"error": message}


# --- tools ----------------------------------------------------------------------------------------


@tool
async def look(at: str = "the sky") -> str:
    """Look at something."""
    await trio.lowlevel.checkpoint()
    return f"{at} is there"


@tool
async def wait(seconds: float = 1e6) -> str:
    """Take some time."""
    await trio.sleep(seconds)
    return f"waited {seconds:g} s"


@tool(name="stop", on_interrupt="cancel")
async def wait_in_vain() -> str:
    """Take all the time there is."""
    await trio.sleep_forever()


@tool(name="ask_me", requires_approval=True)
async def look_if_allowed(at: str = "the safe") -> str:
    """Look at something that is private."""
    await trio.lowlevel.checkpoint()
    return f"{at} is open"


MANUAL = FunctionTool(
    name="manual", description="Done by hand.", parameters={"type": "object", "properties": {}}
)


def calls(*names: str) -> Reply:
    """One response that calls these tools; the calls are `call_1`, `call_2` and so on."""
    return Reply.calls(
        *(Call(name, call_id=f"call_{number}") for number, name in enumerate(names, 1))
    )


# --- results --------------------------------------------------------------------------------------


@frozen
class Weather:
    sky: str
    degrees: float


RESULTS: dict[str, tuple[object, str]] = {
    "a text": ("It is sunny.", "It is sunny."),
    "nothing": (None, "null"),
    "a number": (21, "21"),
    "a dictionary": ({"sky": "clear", "wind": [1, 2]}, '{"sky":"clear","wind":[1,2]}'),
    "an object": (Weather("clear", 21.5), '{"sky":"clear","degrees":21.5}'),
    "a scalar of numpy": (np.float32(0.5), "0.5"),
    "an array": (np.arange(3), "[0,1,2]"),
    "a date": (datetime.date(2025, 6, 1), '"2025-06-01"'),
    "letters": ("Äpfel 🍎", "Äpfel 🍎"),
}


@pytest.mark.parametrize("kind", RESULTS)
async def test_what_a_tool_returns_is_the_output_and_the_model_replies(
    kind: str, autojump_clock: MockClock
) -> None:
    result, output = RESULTS[kind]

    async def tell() -> object:
        await trio.lowlevel.checkpoint()
        return result

    async with open_tools([tell], Reply.calls(Call("tell", call_id="call_1"))) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        answer = await session.ask("Tell me.")
        assert answer.text == f"The function returned: {output}"
        [end] = buffered(finished)
        assert (end.call.call_id, end.output, end.outcome) == ("call_1", output, "completed")
        assert told(wire)[-2:] == ["output of call_1", "create"]
        assert session.open_calls == ()


@pytest.mark.parametrize(
    "result", [object(), math.nan, b"bytes", np.zeros(2000)], ids=["object", "nan", "bytes", "big"]
)
async def test_what_is_not_json_is_an_error_for_the_model(
    result: object, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async def tell() -> object:
        await trio.lowlevel.checkpoint()
        return result

    async with open_tools([tell], calls("tell")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Tell me.")
        [(_, output)] = outputs(wire)
        assert output["error"].startswith("the result is ")
        assert outcomes(finished) == {"call_1": "failed"}
        assert "tool tell: the result is" in caplog.text


async def test_the_answer_is_the_last_one_after_all_rounds_of_tools(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(
        [look, wait], calls("look", "wait"), Reply.calls(Call("look", call_id="call_3"))
    ) as session:
        wire = session.wire()
        answer = await session.ask("What is there?")
        assert answer.text == "The function returned: the sky is there"
        assert told(wire)[-6:] == [
            "create",
            "output of call_1",
            "output of call_2",
            "create",
            "output of call_3",
            "create",
        ]


async def test_a_tool_gets_the_arguments_as_its_function_takes_them(
    autojump_clock: MockClock,
) -> None:
    got: list[object] = []

    async def plan(day: datetime.date, weather: Weather, names: set[str]) -> None:
        await trio.lowlevel.checkpoint()
        got.extend((day, weather, names))

    arguments = {
        "day": "2025-06-01",
        "weather": {"sky": "clear", "degrees": 21},
        "names": ["Ann", "Bob"],
    }
    async with open_tools([plan], Reply.calls(Call("plan", arguments))) as session:
        await session.ask("Plan!")
    assert got == [datetime.date(2025, 6, 1), Weather("clear", 21.0), {"Ann", "Bob"}]


async def test_methods_of_an_object_are_tools(autojump_clock: MockClock) -> None:
    class Lights:
        def __init__(self) -> None:
            self.on: set[str] = set()

        @tool
        async def switch_on(self, room: str) -> list[str]:
            """Switch on the light in a room."""
            await trio.lowlevel.checkpoint()
            self.on.add(room)
            return sorted(self.on)

        async def switch_off(self, room: str) -> list[str]:
            await trio.lowlevel.checkpoint()
            self.on.discard(room)
            return sorted(self.on)

    lights = Lights()
    first = Reply.calls(Call("switch_on", {"room": "hall"}, "call_1"))
    second = Reply.calls(
        Call("switch_on", {"room": "attic"}, "call_2"),
        Call("switch_off", {"room": "hall"}, "call_3"),
    )
    async with open_tools(
        [lights.switch_on, lights.switch_off], first, second, tool_concurrency=1
    ) as session:
        wire = session.wire()
        await session.ask("Light!")
        assert outputs(wire) == [
            ("call_1", ["hall"]),
            ("call_2", ["attic", "hall"]),
            ("call_3", ["attic"]),
        ]


async def test_a_tool_is_told_about_its_call(autojump_clock: MockClock) -> None:
    seen: list[ToolContext] = []

    @tool(timeout=7)
    async def inspect(depth: int, context: ToolContext) -> None:
        seen.append(context)
        assert depth == 2
        await trio.sleep(3)

    async with open_tools(
        [inspect], Reply.calls(Call("inspect", '{"depth": 2}', "call_1"))
    ) as session:
        start = trio.current_time()
        await session.ask("Look inside.")
        [context] = seen
        assert context.session is session
        assert (context.call.name, context.call.call_id, context.call.arguments) == (
            "inspect",
            "call_1",
            '{"depth": 2}',
        )
        assert context.deadline == start + 7
        [definition] = session.config.tools or ()
        assert isinstance(definition, FunctionTool)
        assert definition.parameters is not None
        assert definition.parameters["required"] == ["depth"]
        assert "context" not in str(definition)


async def test_a_tool_may_use_the_session(autojump_clock: MockClock) -> None:
    async def hang_up(context: ToolContext) -> str:
        await context.session.update(instructions="Say goodbye.")
        await context.session.remove_tool("hang_up")
        return "done"

    async with open_tools([hang_up], calls("hang_up")) as session:
        assert (await session.ask("Bye.")).text == "The function returned: done"
        assert (session.config.instructions, session.tools) == ("Say goodbye.", ())


# --- errors ---------------------------------------------------------------------------------------


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class OddError(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # the point of the test


ERRORS: dict[str, tuple[BaseException, str]] = {
    "with a message": (ValueError("there is no such city"), "there is no such city"),
    "without one": (TimeoutError(), "TimeoutError"),
    "a key": (KeyError("Atlantis"), "'Atlantis'"),
    "a group": (
        ExceptionGroup(
            "all", [ValueError("one"), ExceptionGroup("", [KeyError(), OSError("two")])]
        ),
        "one; KeyError; two",
    ),
    "half a surrogate": (ValueError("bad \ud83d name"), "bad ? name"),
    "speechless": (SpeechlessError(), "SpeechlessError"),
    "of odd speech": (OddError(), "OddError"),
    "an exit": (SystemExit("enough"), "enough"),
    "an exit without words": (SystemExit(), "SystemExit"),
    "of the library": (SessionClosed("another session"), "another session"),
}


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("how", ["async", "sync"])
async def test_what_a_tool_raises_is_told_to_the_model_and_its_traceback_to_the_log(
    kind: str, how: str, caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    raised, message = ERRORS[kind]

    def fail_in_thread() -> None:
        raise raised

    async def fail_here() -> None:
        await trio.lowlevel.checkpoint()
        raise raised

    failing = fail_here if how == "async" else fail_in_thread
    async with open_tools([tool(failing, name="fail")], calls("fail")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Try!")
        assert outputs(wire) == [("call_1", error(message))]
        assert outcomes(finished) == {"call_1": "failed"}
    [record] = [record for record in caplog.records if record.name == "realtime_trio.tools"]
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "tool fail failed")
    assert f"in {failing.__name__}" in caplog.text


async def test_a_tool_that_nobody_knows_is_an_error_that_names_those_there_are(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([look, MANUAL], calls("divine")) as session:
        wire, finished, started = (
            session.wire(),
            session.events(ToolCallFinished),
            session.events(ToolCallStarted),
        )
        await session.ask("What will be?")
        assert outputs(wire) == [
            ("call_1", error("there is no tool named 'divine'; there are: look, manual"))
        ]
        assert outcomes(finished) == {"call_1": "unknown"}
        assert started.pending == 0


@pytest.mark.parametrize("tools", [[], [MANUAL]])
async def test_a_session_without_functions_leaves_all_calls_to_the_application(
    tools: list[AnyTool], autojump_clock: MockClock
) -> None:
    async with open_tools(tools, calls("divine")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        assert (told(wire), finished.pending) == (["create"], 0)
        await session.send_tool_output("call_1", "rain")


MISFITS = {
    "no json": ('{"at": ', "the arguments are not JSON: "),
    "no object": ("[1, 2]", "expected a JSON object"),
    "a wrong type": ('{"at": 5}', "at: expected a string, got 5"),
    "an unknown name": ('{"on": "x"}', "'on' is not expected; allowed: at"),
}


@pytest.mark.parametrize("kind", MISFITS)
async def test_what_does_not_fit_never_runs_the_function(
    kind: str, autojump_clock: MockClock
) -> None:
    arguments, problem = MISFITS[kind]

    @tool(requires_approval=True)
    async def peek(at: str = "") -> None:
        await trio.lowlevel.checkpoint()
        pytest.fail("not reached")

    async with open_tools([peek], Reply.calls(Call("peek", arguments, "call_1"))) as session:
        wire, started, approvals = (
            session.wire(),
            session.events(ToolCallStarted),
            session.events(ToolApprovalRequested),
        )
        finished = session.events(ToolCallFinished)
        await session.ask("Peek!")
        [(_, output)] = outputs(wire)
        assert output["error"].startswith(problem)
        assert (started.pending, approvals.pending) == (0, 0)
        [end] = buffered(finished)
        assert (end.outcome, end.duration) == ("invalid", 0.0)


# --- time -----------------------------------------------------------------------------------------


async def test_a_tool_has_the_time_of_the_session_or_its_own(autojump_clock: MockClock) -> None:
    tools = [
        wait,
        tool(wait.function, name="brief", timeout=5),
        tool(wait.function, name="patient", timeout=math.inf),
    ]
    script = Reply.calls(
        *(Call(name, {"seconds": 100}, call_id=name) for name in ("wait", "brief", "patient"))
    )
    async with open_tools(tools, script, tool_timeout=20) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Wait!")
        assert outputs(wire) == [
            ("brief", error("the tool did not finish within 5 s")),
            ("wait", error("the tool did not finish within 20 s")),
            ("patient", "waited 100 s"),
        ]
        ends = [(event.call.call_id, event.outcome, event.duration) for event in buffered(finished)]
        assert ends == [
            ("brief", "timed_out", 5),
            ("wait", "timed_out", 20),
            ("patient", "completed", 100),
        ]


async def test_the_deadline_of_a_tool_without_a_limit_is_infinite(
    autojump_clock: MockClock,
) -> None:
    seen: list[float] = []

    async def inspect(context: ToolContext) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(context.deadline)

    async with open_tools([inspect], calls("inspect"), tool_timeout=math.inf) as session:
        await session.ask("Look.")
    assert seen == [math.inf]


@pytest.mark.parametrize("name", ["tool_concurrency", "tool_timeout", "approval_timeout"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
async def test_limits_are_more_than_nothing(
    name: str, value: float, autojump_clock: MockClock
) -> None:
    limits: Any = {name: value}
    with pytest.raises(LocalProtocolError, match=f"{name} must be more than 0"):
        async with open_tools([look], **limits):
            pytest.fail("not reached")


async def test_time_starts_when_the_tool_does(autojump_clock: MockClock) -> None:
    script = Reply.calls(
        *(Call("wait", {"seconds": 8}, call_id=f"call_{number}") for number in range(3))
    )
    async with open_tools([wait], script, tool_concurrency=1, tool_timeout=10) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        start = trio.current_time()
        await session.ask("Wait!")
        assert outputs(wire) == [(f"call_{number}", "waited 8 s") for number in range(3)]
        assert [event.duration for event in buffered(finished)] == [8, 8, 8]
        assert trio.current_time() == start + 24


async def test_a_tool_that_fails_when_its_time_is_up_is_answered_once(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    @tool(timeout=5)
    async def fuss() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while tidying up")

    async with open_tools([fuss], calls("fuss")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Fuss!")
        assert outputs(wire) == [("call_1", error("the tool did not finish within 5 s"))]
        assert outcomes(finished) == {"call_1": "timed_out"}
    assert "while tidying up" in caplog.text


# --- functions that block -------------------------------------------------------------------------


async def test_a_function_that_blocks_runs_in_a_thread(mock_clock: MockClock) -> None:
    threads: list[threading.Thread] = []

    def block(for_whom: str) -> str:
        threads.append(threading.current_thread())
        return f"blocked for {for_whom}"

    async with open_tools([block], Reply.calls(Call("block", {"for_whom": "Ann"}))) as session:
        assert (await session.ask("Block!")).text == "The function returned: blocked for Ann"
    [thread] = threads
    assert thread is not threading.current_thread()


async def test_functions_that_block_have_threads_of_their_own(mock_clock: MockClock) -> None:
    general = trio.to_thread.current_default_thread_limiter()
    borrowed: list[float] = []

    def block() -> None:
        borrowed.append(trio.from_thread.run_sync(lambda: general.borrowed_tokens))

    async with open_tools([block], calls("block")) as session:
        await session.ask("Block!")
    assert borrowed == [0]


async def test_a_function_that_hangs_is_abandoned_when_its_time_is_up(
    mock_clock: MockClock,
) -> None:
    release = threading.Event()

    def hang() -> None:
        assert release.wait(60)

    async with open_tools([hang, look], calls("hang", "look")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        assert [call.name for call in session.open_calls] == ["hang"]
        mock_clock.jump(60)
        await wait_all_tasks_blocked()
        assert outputs(wire) == [
            ("call_2", "the sky is there"),
            ("call_1", error("the tool did not finish within 60 s")),
        ]
        assert outcomes(finished) == {"call_2": "completed", "call_1": "timed_out"}
        release.set()


async def test_leaving_does_not_wait_for_a_function_that_hangs(mock_clock: MockClock) -> None:
    release = threading.Event()

    def hang(context: ToolContext) -> None:
        assert release.wait(60)
        context.report("nobody listens any more")

    async with open_tools([hang], calls("hang")) as session:
        wire = session.wire()
        await start_turn(session)
    assert outputs(wire) == [("call_1", error("the session is ending"))]
    release.set()


async def test_a_function_may_return_something_to_be_awaited(mock_clock: MockClock) -> None:
    async def later(day: str) -> str:
        await trio.lowlevel.checkpoint()
        return f"on {day}"

    def plan(day: str) -> Awaitable[str]:
        return later(day)

    script = (
        Reply.calls(Call("plan", {"day": "Monday"}, "call_1")),
        Reply.calls(Call("plan_here", {"day": "Friday"}, "call_2")),
    )
    async with open_tools(
        [plan, tool(lambda day: later(day), definition=FunctionTool(name="plan_here"))], *script
    ) as session:
        wire = session.wire()
        await session.ask("Plan!")
        assert outputs(wire) == [("call_1", "on Monday"), ("call_2", "on Friday")]


async def test_a_function_that_blocks_reports_and_answers_from_its_thread(
    mock_clock: MockClock,
) -> None:
    refused: list[str] = []

    def build(context: ToolContext) -> str:
        context.report({"percent": 50})
        context.respond_early("begun")
        try:
            context.respond_early("again")
        except LocalProtocolError as problem:
            refused.append(str(problem))
        return "built"

    async with open_tools([build], calls("build")) as session:
        wire, progress, finished = (
            session.wire(),
            session.events(ToolCallProgress),
            session.events(ToolCallFinished),
        )
        await session.respond()
        await finished.receive()
        await wait_all_tasks_blocked()
        assert [(event.call.call_id, event.progress) for event in buffered(progress)] == [
            ("call_1", {"percent": 50})
        ]
        events = sent(wire)
        assert outputs_of(events) == [("call_1", "begun")]
        assert messages_of(events) == ["build (call call_1) has finished: built"]
    assert refused == ["call 'call_1' is answered already"]


# --- how many at once -----------------------------------------------------------------------------


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (3, 3), (8, 7)])
async def test_so_many_run_at_once_and_the_others_wait_and_are_answered(
    concurrency: int, most: int, autojump_clock: MockClock
) -> None:
    running, peaks = set[int](), list[int]()

    async def work(number: int) -> int:
        running.add(number)
        peaks.append(len(running))
        await trio.sleep(1)
        running.discard(number)
        return number

    script = Reply.calls(
        *(Call("work", {"number": number}, call_id=f"call_{number}") for number in range(7))
    )
    async with open_tools([work], script, tool_concurrency=concurrency) as session:
        wire, started = session.wire(), session.events(ToolCallStarted)
        await session.ask("Work!")
        assert started.pending == 7
        assert sorted(outputs(wire)) == [(f"call_{number}", number) for number in range(7)]
        assert (max(peaks), running) == (most, set())


async def test_functions_that_block_keep_to_the_limit_too(mock_clock: MockClock) -> None:
    lock, running, peaks = threading.Lock(), set[int](), list[int]()
    full = threading.Barrier(2)

    def work(number: int) -> int:
        with lock:
            running.add(number)
            peaks.append(len(running))
        full.wait(5)  # two at a time: with one at a time nobody would come
        with lock:
            running.discard(number)
        return number

    script = Reply.calls(
        *(Call("work", {"number": number}, call_id=f"call_{number}") for number in range(6))
    )
    async with open_tools([work], script, tool_concurrency=2) as session:
        wire = session.wire()
        await session.ask("Work!")
        assert sorted(outputs(wire)) == [(f"call_{number}", number) for number in range(6)]
    assert max(peaks) == 2


async def test_a_hundred_calls_leave_no_task_over(autojump_clock: MockClock) -> None:
    script = Reply.calls(*(Call("look", call_id=f"call_{number}") for number in range(100)))
    async with open_tools([look], script) as session:
        before = tasks()
        wire = session.wire(capacity=10_000)
        await session.ask("Look!")
        assert {call_id for call_id, _ in outputs(wire)} == {
            f"call_{number}" for number in range(100)
        }
        await wait_all_tasks_blocked()
        assert tasks() == before


# --- replies --------------------------------------------------------------------------------------


async def test_the_model_replies_once_after_all_outputs_of_a_response(
    autojump_clock: MockClock,
) -> None:
    script = Reply.calls(
        *(Call("wait", {"seconds": seconds}, call_id=f"call_{seconds}") for seconds in (3, 1, 2))
    )
    async with open_tools([wait], script) as session:
        wire = session.wire()
        await session.ask()
        assert told(wire)[-5:] == [
            "create",
            "output of call_1",
            "output of call_2",
            "output of call_3",
            "create",
        ]


async def test_tools_that_are_faster_than_the_response_wait_for_its_end(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(
        [look], Reply.text("Let me look at that for you.", pacing=SLOW).then(calls("look", "look"))
    ) as session:
        script = [record.event.type for record in await recorded(session)]
    assert script.index("response.done") < script.index(
        "response.create", script.index("response.create") + 1
    )
    assert script.count("response.create") == 2


async def test_a_tool_runs_while_the_response_still_streams(autojump_clock: MockClock) -> None:
    async with open_tools(
        [look], calls("look").then(Reply.text("I am looking at it.", pacing=SLOW))
    ) as session:
        script = [_in_short(record.event) for record in await recorded(session)]
    assert (
        script.index("output of call_1")
        < script.index("response.done")
        < script.index("create", script.index("create") + 1)
    )


async def recorded(session: Session) -> list[WireRecord]:
    wire = session.wire(capacity=10_000)
    await session.ask("Look!")
    return records(wire)


async def test_a_tool_may_want_no_reply(autojump_clock: MockClock) -> None:
    quiet = tool(look.function, name="quiet", respond=False)
    async with open_tools([quiet], calls("quiet")) as session:
        wire = session.wire()
        answer = await session.ask("Look!")
        await wait_all_tasks_blocked()
        assert [call.name for call in answer.calls] == ["quiet"]
        assert told(wire)[-2:] == ["create", "output of call_1"]


async def test_the_model_replies_if_one_of_the_tools_wants_it(autojump_clock: MockClock) -> None:
    quiet = tool(look.function, name="quiet", respond=False)
    async with open_tools([quiet, look], calls("quiet", "look", "quiet")) as session:
        wire = session.wire()
        await session.ask("Look!")
        first, *answers, last = told(wire)[-5:]
        assert (first, sorted(answers), last) == (
            "create",
            ["output of call_1", "output of call_2", "output of call_3"],
            "create",
        )


async def test_tools_tell_what_they_do_in_order(autojump_clock: MockClock) -> None:
    kinds = (
        ToolCallRequested,
        ToolCallStarted,
        ToolCallProgress,
        ToolCallFinished,
        ToolApprovalRequested,
    )

    @tool(name="report", requires_approval=True)
    async def report(context: ToolContext) -> None:
        context.report(1)
        await trio.lowlevel.checkpoint()

    async with open_tools(
        [look, report], calls("look", "report", "divine"), tool_concurrency=1
    ) as session:
        stream = session.events()
        await start_turn(session)
        await session.approve("call_2")
        await wait_all_tasks_blocked()
        events = [
            (str(getattr(event.call, "call_id", None)), type(event))
            for event in buffered(stream)
            if isinstance(event, kinds)
        ]
    by_call = {
        call_id: [kind for other, kind in events if other == call_id]
        for call_id in ("call_1", "call_2", "call_3")
    }
    assert by_call == {
        "call_1": [ToolCallRequested, ToolCallStarted, ToolCallFinished],
        "call_2": [
            ToolCallRequested,
            ToolApprovalRequested,
            ToolCallStarted,
            ToolCallProgress,
            ToolCallFinished,
        ],
        "call_3": [ToolCallRequested, ToolCallFinished],
    }


async def test_the_output_is_queued_before_the_end_is_told(autojump_clock: MockClock) -> None:
    async with open_tools([look], calls("look")) as session:
        wire = session.wire()
        await session.respond()
        await session.wait_for(ToolCallFinished)
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_1", "the sky is there")]


# --- interruptions --------------------------------------------------------------------------------


@asynccontextmanager
async def open_interruptible() -> AsyncIterator[
    tuple[Session, Server, EventStream[WireRecord], EventStream[ToolCallFinished]]
]:
    """A session whose server has called a tool that wishes to be stopped, and one that does not; both run."""
    async with open_served([tool(wait.function, name="keep"), wait_in_vain]) as (session, server):
        wire, finished, started = (
            session.wire(),
            session.events(ToolCallFinished),
            session.events(ToolCallStarted),
        )
        await serve_calls(
            server, call_of("keep", "call_1", arguments='{"seconds": 5}'), call_of("stop", "call_2")
        )
        await wait_all_tasks_blocked()
        assert started.pending == 2
        yield session, server, wire, finished


async def test_the_user_stops_the_tools_that_wish_to_be(autojump_clock: MockClock) -> None:
    async with open_interruptible() as (session, server, wire, finished):
        await server.say(
            InputAudioBufferSpeechStarted(event_id="event_6", audio_start_ms=0, item_id="item_user")
        )
        await wait_all_tasks_blocked()
        events = sent(wire)
        assert outputs_of(events) == [("call_2", error("the user interrupted"))]
        assert outcomes(finished) == {"call_2": "cancelled"}
        assert [call.call_id for call in session.open_calls] == ["call_1"]
        await trio.sleep(10)
        assert told(wire) == ["output of call_1", "create"]
        assert outcomes(finished) == {"call_1": "completed"}


async def test_who_cancels_the_response_stops_the_tools_that_wish_to_be(
    autojump_clock: MockClock,
) -> None:
    async with open_interruptible() as (session, _, wire, finished):
        await session.cancel_response()
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_2", error("the user interrupted"))]
        assert outcomes(finished) == {"call_2": "cancelled"}


@pytest.mark.parametrize("interrupt", [True, False])
async def test_who_begins_a_turn_stops_the_tools_that_wish_to_be(
    interrupt: bool, autojump_clock: MockClock
) -> None:
    async with open_tools([wait_in_vain], calls("stop"), turn_detection=None) as session:
        wire = session.wire()
        await start_turn(session)
        async with session.user_turn(interrupt=interrupt, respond=False):
            await wait_all_tasks_blocked()
            assert outputs(wire) == (
                [("call_1", error("the user interrupted"))] if interrupt else []
            )
            await session.append_audio(np.zeros(4800, np.int16))


async def test_the_model_does_not_reply_to_a_tool_that_was_interrupted(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([wait_in_vain], calls("stop")) as session:
        wire = session.wire()
        await start_turn(session)
        await session.cancel_response()
        await wait_all_tasks_blocked()
        assert told(wire)[-2:] == ["create", "output of call_1"]


async def test_an_interruption_reaches_calls_that_wait(autojump_clock: MockClock) -> None:
    asking = tool(look.function, name="ask_me", requires_approval=True, on_interrupt="cancel")
    tools: list[AnyTool] = [tool(wait.function, name="busy"), wait_in_vain, asking]
    async with open_tools(tools, calls("ask_me", "busy", "stop"), tool_concurrency=1) as session:
        wire, started = session.wire(), session.events(ToolCallStarted)
        await start_turn(session)
        await session.cancel_response()
        with pytest.raises(LocalProtocolError, match="no call 'call_1' waits for approval"):
            await session.approve("call_1")
        await trio.sleep(100)
        assert outputs(wire) == [
            ("call_1", error("the user interrupted")),
            ("call_3", error("the user interrupted")),
            ("call_2", error("the tool did not finish within 60 s")),
        ]
        assert [event.call.call_id for event in buffered(started)] == ["call_2"]


async def test_a_tool_that_tidies_up_is_answered_when_it_is_stopped(
    autojump_clock: MockClock,
) -> None:
    tidied: list[float] = []

    @tool
    async def tidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            tidied.append(trio.current_time())

    async with open_tools([tidy], calls("tidy")) as session:
        wire = session.wire()
        await start_turn(session)
        start = trio.current_time()
        await session.cancel_call("call_1")
        await wait_all_tasks_blocked()
        assert (outputs(wire), trio.current_time()) == (
            [("call_1", error("the call was cancelled"))],
            start,
        )
        await trio.sleep(10)
        assert tidied == [start + 5]
        assert outputs(wire) == []


# --- cancelling a call ----------------------------------------------------------------------------


async def test_a_call_can_be_cancelled_wherever_it_is(autojump_clock: MockClock) -> None:
    async with open_tools(
        [wait, look, look_if_allowed], calls("ask_me", "wait", "look"), tool_concurrency=1
    ) as session:
        wire, finished, started = (
            session.wire(),
            session.events(ToolCallFinished),
            session.events(ToolCallStarted),
        )
        await start_turn(session)
        waiting, running, queued = session.open_calls
        assert [call.name for call in (waiting, running, queued)] == ["ask_me", "wait", "look"]
        await session.cancel_call(queued)
        await session.cancel_call(str(waiting.call_id))
        assert [call.name for call in session.open_calls] == ["wait"]
        await session.cancel_call(running)
        assert len(session.open_calls) == 0
        await wait_all_tasks_blocked()
        assert told(wire)[-4:] == [
            "output of call_3",
            "output of call_1",
            "output of call_2",
            "create",
        ]
        ends = buffered(finished)
        assert [(event.outcome, parsed(event.output)) for event in ends] == [
            ("cancelled", error("the call was cancelled"))
        ] * 3
        assert [event.call.call_id for event in buffered(started)] == ["call_2"]
        with pytest.raises(LocalProtocolError, match="no tool is at work on a call 'call_2'"):
            await session.cancel_call(running)


async def test_a_cancelled_call_makes_room_for_the_next(autojump_clock: MockClock) -> None:
    async with open_tools([wait, look], calls("wait", "look"), tool_concurrency=1) as session:
        wire = session.wire()
        await start_turn(session)
        start = trio.current_time()
        await session.cancel_call("call_1")
        await wait_all_tasks_blocked()
        assert outputs(wire) == [
            ("call_1", error("the call was cancelled")),
            ("call_2", "the sky is there"),
        ]
        assert trio.current_time() == start


async def test_only_calls_that_are_open_can_be_cancelled(autojump_clock: MockClock) -> None:
    async with open_tools([MANUAL], calls("manual")) as session:
        await start_turn(session)
        for call_id in ("call_1", "call_x"):
            with pytest.raises(
                LocalProtocolError, match=f"no tool is at work on a call '{call_id}'"
            ):
                await session.cancel_call(call_id)


async def test_a_tool_may_cancel_its_own_call(autojump_clock: MockClock) -> None:
    async def give_up(context: ToolContext) -> None:
        await context.session.cancel_call(context.call)
        await trio.sleep_forever()

    async with open_tools([give_up], calls("give_up")) as session:
        wire = session.wire()
        await session.ask("Try!")
        assert outputs(wire) == [("call_1", error("the call was cancelled"))]


# --- approvals ------------------------------------------------------------------------------------


async def test_a_call_that_is_approved_runs(autojump_clock: MockClock) -> None:
    async with open_tools([look_if_allowed], calls("ask_me")) as session:
        wire, asked, started = (
            session.wire(),
            session.events(ToolApprovalRequested),
            session.events(ToolCallStarted),
        )
        await start_turn(session)
        [request] = buffered(asked)
        assert isinstance(request.call, FunctionCall)
        assert (request.call.name, request.call.call_id, started.pending) == ("ask_me", "call_1", 0)
        assert session.open_calls == (request.call,)
        await session.approve(request.call)
        await wait_all_tasks_blocked()
        assert (outputs(wire), started.pending) == ([("call_1", "the safe is open")], 1)


@pytest.mark.parametrize(
    ("reason", "words"), [(None, ""), ("it is private", ": it is private"), ("", "")]
)
async def test_a_call_that_is_rejected_does_not_run(
    reason: str | None, words: str, autojump_clock: MockClock
) -> None:
    async with open_tools([look_if_allowed], calls("ask_me")) as session:
        wire, finished, started = (
            session.wire(),
            session.events(ToolCallFinished),
            session.events(ToolCallStarted),
        )
        await start_turn(session)
        await session.reject("call_1", reason)
        await wait_all_tasks_blocked()
        assert outputs_of(events := sent(wire)) == [
            ("call_1", error("the call was not approved" + words))
        ]
        assert [event.type for event in events].count("response.create") == 2
        [end] = buffered(finished)
        assert (end.outcome, end.duration, started.pending) == ("rejected", 0.0, 0)


async def test_a_predicate_of_the_arguments_decides_who_is_asked(autojump_clock: MockClock) -> None:
    seen: list[Mapping[str, object]] = []

    def is_private(arguments: Mapping[str, Any]) -> bool:
        seen.append(arguments)
        return bool(arguments.get("at") == "the safe")

    peek = tool(look.function, name="peek", requires_approval=is_private)
    script = Reply.calls(
        Call("peek", {"at": "the safe"}, "call_1"),
        Call("peek", {"at": "the door"}, "call_2"),
        Call("peek", {}, "call_3"),
    )
    async with open_tools([peek], script) as session:
        wire, asked = session.wire(), session.events(ToolApprovalRequested)
        await start_turn(session)
        assert [event.call.arguments for event in buffered(asked)] == ['{"at":"the safe"}']
        assert outputs(wire) == [("call_2", "the door is there"), ("call_3", "the sky is there")]
        await session.approve("call_1")
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_1", "the safe is there")]
    assert seen == [{"at": "the safe"}, {"at": "the door"}, {"at": "the sky"}]


async def test_a_predicate_that_fails_fails_the_call(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    def is_private(arguments: Mapping[str, Any]) -> bool:
        raise LookupError("no rule for that")

    peek = tool(look.function, name="peek", requires_approval=is_private)
    async with open_tools([peek], calls("peek")) as session:
        wire, finished, started = (
            session.wire(),
            session.events(ToolCallFinished),
            session.events(ToolCallStarted),
        )
        await session.ask("Peek!")
        assert outputs(wire) == [("call_1", error("no rule for that"))]
        assert (outcomes(finished), started.pending) == ({"call_1": "failed"}, 0)
    assert "tool peek failed" in caplog.text
    assert "is_private" in caplog.text


async def test_an_approval_that_nobody_gives_times_out(autojump_clock: MockClock) -> None:
    async with open_tools([look_if_allowed], calls("ask_me"), approval_timeout=30) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        start = trio.current_time()
        await session.ask("Open!")
        assert trio.current_time() == start + 30
        assert outputs(wire) == [("call_1", error("nobody approved the call within 30 s"))]
        assert outcomes(finished) == {"call_1": "timed_out"}
        for decide in (session.approve, session.reject):
            with pytest.raises(LocalProtocolError, match="no call 'call_1' waits for approval"):
                await decide("call_1")


async def test_the_time_of_the_approval_is_not_the_tools(autojump_clock: MockClock) -> None:
    slow = tool(wait.function, name="slow", requires_approval=True, timeout=10)
    async with open_tools(
        [slow], Reply.calls(Call("slow", {"seconds": 8}, "call_1")), approval_timeout=100
    ) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        await trio.sleep(99)
        await session.approve("call_1")
        await trio.sleep(20)
        assert outputs(wire) == [("call_1", "waited 8 s")]
        assert [event.duration for event in buffered(finished)] == [8]


async def test_a_call_is_decided_once_and_only_if_it_waits(autojump_clock: MockClock) -> None:
    slow = tool(wait.function, name="slow", requires_approval=True)
    async with open_tools([slow, wait], calls("slow", "slow", "wait")) as session:
        wire = session.wire()
        await start_turn(session)
        await session.approve("call_1")
        await session.reject("call_2")
        for decide in (session.approve, session.reject):
            for call_id in ("call_1", "call_2", "call_3", "call_x"):
                with pytest.raises(
                    LocalProtocolError, match=f"no call '{call_id}' waits for approval"
                ):
                    await decide(call_id)
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_2", error("the call was not approved"))]


async def test_a_call_that_waits_for_approval_keeps_nobody_from_running(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(
        [look_if_allowed, look], calls("ask_me", "ask_me", "look", "look"), tool_concurrency=1
    ) as session:
        wire = session.wire()
        await start_turn(session)
        assert outputs(wire) == [("call_3", "the sky is there"), ("call_4", "the sky is there")]
        await session.approve("call_2")
        await session.approve("call_1")
        await wait_all_tasks_blocked()
        assert told(wire) == ["output of call_2", "output of call_1", "create"]


async def test_a_call_that_was_approved_waits_for_its_turn_and_can_be_cancelled_there(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(
        [look_if_allowed, wait], calls("ask_me", "wait"), tool_concurrency=1
    ) as session:
        wire, started = session.wire(), session.events(ToolCallStarted)
        await start_turn(session)
        await session.approve("call_1")
        await wait_all_tasks_blocked()
        assert [event.call.call_id for event in buffered(started)] == ["call_2"]
        await session.cancel_call("call_1")
        await session.cancel_call("call_2")
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_1", "call_2"]
        assert started.pending == 0


async def test_nothing_is_approved_after_the_end(autojump_clock: MockClock) -> None:
    async with open_served([look_if_allowed]) as (session, server):
        finished = session.events(ToolCallFinished)
        await serve_calls(server, call_of("ask_me"))
        await wait_all_tasks_blocked()
        await server.transport.aclose(1000)
        await wait_all_tasks_blocked()
        assert outcomes(finished) == {"call_1": "cancelled"}
        for decide in (session.approve, session.reject):
            with pytest.raises(SessionClosed):
                await decide("call_1")


# --- approvals of calls on MCP servers ------------------------------------------------------------

DOCS = McpServer("docs", [McpListedTool(name="search", input_schema={"type": "object"})])
DOCS_TOOL = McpTool(
    server_label="docs", server_url="https://docs.example/mcp", require_approval="always"
)


@asynccontextmanager
async def open_mcp(**options: Unpack[Options]) -> AsyncIterator[tuple[Session, McpApprovalRequest]]:
    """A session whose model wants to search, for which it needs approval."""
    async with open_tools(
        [DOCS_TOOL], Reply.mcp("docs", "search", output="Two pages."), mcp_servers=[DOCS], **options
    ) as session:
        await wait_all_tasks_blocked()
        with session.events(ToolApprovalRequested) as asked:
            await start_turn(session)
            [request] = buffered(asked)
        assert isinstance(request.call, McpApprovalRequest)
        yield session, request.call


def decisions(wire: EventStream[WireRecord]) -> list[tuple[bool, str | None]]:
    created = [event.item for event in sent(wire) if isinstance(event, ConversationItemCreate)]
    return [
        (item.approve, item.reason) for item in created if isinstance(item, McpApprovalResponse)
    ]


@pytest.mark.parametrize("by", ["call", "id"])
async def test_a_call_on_a_server_is_approved_once(by: str, autojump_clock: MockClock) -> None:
    async with open_mcp() as (session, request):
        wire = session.wire()
        await session.approve(request if by == "call" else str(request.id))
        with pytest.raises(LocalProtocolError, match="waits for approval"):
            await session.reject(request)
        await trio.sleep(1000)
        assert decisions(wire) == [(True, None)]


async def test_a_call_on_a_server_is_rejected_with_a_reason(autojump_clock: MockClock) -> None:
    async with open_mcp() as (session, request):
        wire = session.wire()
        await session.reject(request, "not now")
        await trio.sleep(1000)
        assert decisions(wire) == [(False, "not now")]


async def test_an_approval_for_a_call_on_a_server_times_out(autojump_clock: MockClock) -> None:
    async with open_mcp(approval_timeout=30) as (session, request):
        wire = session.wire()
        await trio.sleep(29)
        assert decisions(wire) == []
        await trio.sleep(2)
        assert decisions(wire) == [(False, "nobody approved the call within 30 s")]
        with pytest.raises(LocalProtocolError, match="waits for approval"):
            await session.approve(request)


async def test_leaving_waits_for_no_approval_of_a_call_on_a_server(
    autojump_clock: MockClock,
) -> None:
    start = trio.current_time()
    async with open_mcp() as (session, _):
        wire = session.wire()
    assert (decisions(wire), trio.current_time()) == ([], start)


# --- early answers --------------------------------------------------------------------------------


def early(
    result: object, *, respond_now: bool | None = None, **options: Any
) -> LocalTool[..., object]:
    """A tool that answers at once, works for a while, and then returns or raises something."""

    async def build(context: ToolContext) -> object:
        context.respond_early("I have begun", respond=respond_now)
        await trio.sleep(5)
        if isinstance(result, BaseException):
            raise result
        return result

    return tool(build, **options)


LATE: dict[str, tuple[object, ToolOutcome, str | None]] = {
    "a result": ({"pages": 2}, "completed", '{"pages":2}'),
    "nothing": (None, "completed", None),
    "an error": (ValueError("out of paper"), "failed", '{"error":"out of paper"}'),
    "what is no json": (object(), "failed", '{"error":"the result is of type object'),
}


@pytest.mark.parametrize("kind", LATE)
async def test_a_tool_may_answer_early_and_tell_the_rest_in_a_message(
    kind: str, autojump_clock: MockClock
) -> None:
    result, outcome, output = LATE[kind]
    async with open_tools([early(result)], calls("build")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Build!")
        assert finished.pending == 0
        assert [call.name for call in session.open_calls] == ["build"]
        events = sent(wire)
        assert outputs_of(events) == [("call_1", "I have begun")]
        await trio.sleep(10)
        [end] = buffered(finished)
        assert (end.outcome, end.duration) == (outcome, 5)
        assert end.output.startswith(output or "null")
        later = sent(wire)
        assert outputs_of(later) == []
        if output is None:
            assert later == []
        else:
            [message] = messages_of(later)
            assert message.startswith(f"build (call call_1) has finished: {output}")
            assert [event.type for event in later] == [
                "conversation.item.create",
                "response.create",
            ]


async def test_a_tool_that_answered_early_and_takes_too_long_is_told_in_a_message(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([early("never", timeout=3)], calls("build")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        await trio.sleep(10)
        events = sent(wire)
        assert outputs_of(events) == [("call_1", "I have begun")]
        assert messages_of(events) == [
            'build (call call_1) has finished: {"error":"the tool did not finish within 3 s"}'
        ]
        assert outcomes(finished) == {"call_1": "timed_out"}


async def test_a_tool_that_answered_early_and_is_cancelled_has_no_news(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([early("never")], calls("build")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        await session.cancel_call("call_1")
        await trio.sleep(10)
        assert told(wire)[-2:] == ["output of call_1", "create"]
        assert outcomes(finished) == {"call_1": "cancelled"}


@pytest.mark.parametrize("respond", [True, False])
async def test_a_tool_decides_whether_the_model_replies_to_its_early_answer(
    respond: bool, autojump_clock: MockClock
) -> None:
    async with open_tools([early(None, respond_now=respond)], calls("build")) as session:
        wire = session.wire()
        await start_turn(session)
        await trio.sleep(10)
        assert told(wire)[-1] == ("create" if respond else "output of call_1")


async def test_a_tool_that_wants_no_reply_gets_none_to_its_message(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([early("done", respond=False)], calls("build")) as session:
        wire = session.wire()
        await start_turn(session)
        await trio.sleep(10)
        assert told(wire)[-2:] == ["output of call_1", "message"]


async def test_answering_twice_is_an_error_of_the_tool(autojump_clock: MockClock) -> None:
    async def insist(context: ToolContext) -> None:
        await trio.lowlevel.checkpoint()
        context.respond_early("one")
        context.respond_early("two")

    async with open_tools([insist], calls("insist")) as session:
        wire = session.wire()
        await start_turn(session)
        events = sent(wire)
        assert outputs_of(events) == [("call_1", "one")]
        assert messages_of(events) == [
            'insist (call call_1) has finished: {"error":"call \'call_1\' is answered already"}'
        ]


async def test_an_early_answer_that_is_not_json_is_an_error_of_the_tool_which_may_try_again(
    autojump_clock: MockClock,
) -> None:
    async def insist(context: ToolContext) -> str:
        await trio.lowlevel.checkpoint()
        with pytest.raises(ToolResultError, match="not JSON"):
            context.respond_early(object())
        return "at last"

    async def give_up(context: ToolContext) -> None:
        await trio.lowlevel.checkpoint()
        context.respond_early(object())

    async with open_tools([insist, give_up], calls("insist", "give_up")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Insist!")
        first, (_, second) = outputs(wire)
        assert first == ("call_1", "at last")
        assert second["error"].startswith("the result is of type object")
        assert outcomes(finished) == {"call_1": "completed", "call_2": "failed"}


async def test_a_tool_reports_progress_and_the_model_is_not_told(autojump_clock: MockClock) -> None:
    kept: list[ToolContext] = []

    async def count(context: ToolContext) -> None:
        kept.append(context)
        for number in range(3):
            context.report(number)
            await trio.sleep(1)

    async with open_tools([count], calls("count")) as session:
        wire, progress = session.wire(), session.events(ToolCallProgress)
        await session.ask("Count!")
        kept[0].report("too late")
        with pytest.raises(LocalProtocolError, match="'call_1' is answered already"):
            kept[0].respond_early("too late")
        assert [(event.call.call_id, event.progress) for event in buffered(progress)] == [
            ("call_1", number) for number in range(3)
        ]
        assert outputs(wire) == [("call_1", None)]


# --- by hand --------------------------------------------------------------------------------------


async def test_a_definition_without_a_function_is_answered_by_hand(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([MANUAL, look], calls("manual", "look")) as session:
        wire, requested = session.wire(), session.events(ToolCallRequested)
        started, finished = session.events(ToolCallStarted), session.events(ToolCallFinished)
        await start_turn(session)
        assert [event.call.name for event in buffered(requested)] == ["manual", "look"]
        assert session.open_calls == ()
        assert told(wire)[-2:] == ["create", "output of call_2"]
        await session.send_tool_output("call_1", "by hand")
        await wait_all_tasks_blocked()
        assert told(wire) == ["output of call_1", "create"]
        assert [event.call.call_id for event in buffered(started)] == ["call_2"]
        assert outcomes(finished) == {"call_2": "completed"}


async def test_a_tool_that_only_the_server_knows_is_answered_by_hand(
    autojump_clock: MockClock,
) -> None:
    async with open_served([look]) as (session, server):
        wire = session.wire()
        elsewhere = RealtimeSession(
            id="sess_1", model="gpt-realtime", tools=(*(session.config.tools or ()), MANUAL)
        )
        await server.say(SessionUpdated(event_id="event_9", session=elsewhere))
        await serve_calls(server, call_of("manual", "call_1"), call_of("divine", "call_2"))
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_2"]
        await session.send_tool_output("call_1", "by hand")


async def test_a_tool_of_a_single_response_is_answered_by_hand(autojump_clock: MockClock) -> None:
    async with open_tools([look], calls("manual", "look")) as session:
        wire = session.wire()
        await session.respond(tools=[MANUAL])
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_2"]
        await session.send_tool_output("call_1", "by hand")
        await wait_all_tasks_blocked()
        assert told(wire) == ["output of call_1", "create"]


async def test_calls_of_a_response_out_of_band_are_in_its_answer_and_nobody_runs_them(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([look], calls("look", "divine")) as session:
        wire, requested, finished = (
            session.wire(),
            session.events(ToolCallRequested),
            session.events(ToolCallFinished),
        )
        answer = await session.ask("Look!", conversation="none")
        await wait_all_tasks_blocked()
        assert [call.name for call in answer.calls] == ["look", "divine"]
        assert (outputs(wire), requested.pending, finished.pending, session.open_calls) == (
            [],
            0,
            0,
            (),
        )


async def test_a_call_that_is_answered_by_hand_while_its_tool_runs_has_one_output(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([wait], Reply.calls(Call("wait", {"seconds": 5}, "call_1"))) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        await session.send_tool_output("call_1", "by hand")
        await trio.sleep(10)
        with pytest.raises(LocalProtocolError, match="answered already"):
            await session.send_tool_output("call_1", "again")
        assert outputs(wire) == [("call_1", "by hand")]
        assert list(outcomes(finished)) == ["call_1"]


async def test_a_call_that_was_inserted_is_nobodys_to_run(autojump_clock: MockClock) -> None:
    async with open_tools([look]) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.insert_item(FunctionCall(name="look", arguments="{}", call_id="call_1"))
        await wait_all_tasks_blocked()
        assert (outputs(wire), finished.pending) == ([], 0)
        await session.send_tool_output("call_1", "by hand")


# --- what servers do ------------------------------------------------------------------------------


async def test_a_call_that_is_made_twice_is_answered_once(autojump_clock: MockClock) -> None:
    async with open_tools(
        [look, wait], Reply.calls(Call("look", call_id="call_1"), Call("wait", call_id="call_1"))
    ) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Look twice!")
        assert told(wire)[-3:] == ["create", "output of call_1", "create"]
        assert outcomes(finished) == {"call_1": "completed"}


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_call_that_is_made_again_in_a_later_response_is_answered_once(
    is_open: bool, autojump_clock: MockClock
) -> None:
    script = (
        Reply.calls(Call("wait", {"seconds": 5}, "call_1")),
        Reply.calls(Call("wait", {"seconds": 7}, "call_1")),
    )
    async with open_tools([wait], *script) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.respond()
        await trio.sleep(1)
        if is_open:
            await session.respond()
        await trio.sleep(100)
        assert outputs(wire) == [("call_1", "waited 5 s")]
        assert outcomes(finished) == {"call_1": "completed"}
        assert session.open_calls == ()


async def test_an_item_that_is_told_twice_is_one_call(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        wire, requested = session.wire(), session.events(ToolCallRequested)
        await serve_calls(server, call_of("look"), call_of("look"))
        await wait_all_tasks_blocked()
        assert requested.pending == 1
        assert told(wire) == ["output of call_1", "create"]


@pytest.mark.parametrize("status", ["incomplete", "in_progress"])
async def test_a_call_that_was_cut_short_is_not_run(status: str, autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await serve_calls(
            server, call_of("look", arguments='{"at": "the', status=status), status="cancelled"
        )
        await wait_all_tasks_blocked()
        assert (told(wire), finished.pending, session.open_calls) == ([], 0, ())


async def test_a_call_that_is_whole_is_run_even_if_its_response_was_cut_short(
    autojump_clock: MockClock,
) -> None:
    async with open_served([look]) as (session, server):
        wire = session.wire()
        await serve_calls(server, call_of("look"), status="cancelled")
        await wait_all_tasks_blocked()
        assert told(wire) == ["output of call_1", "create"]


async def test_a_response_that_is_cancelled_in_the_middle_of_a_call_is_not_answered(
    autojump_clock: MockClock,
) -> None:
    reply = Reply.calls(
        Call("look", {"at": "a very long list of things to look at"}, "call_1"), pacing=SLOW
    )
    async with open_tools([look], calls("look").then(reply)) as session:
        wire = session.wire()
        await session.respond()
        await trio.sleep(4)
        await session.cancel_response()
        await trio.sleep(100)
        assert [event for event in told(wire) if event.startswith("output")] == ["output of call_1"]


async def test_outputs_that_the_server_refuses_do_not_hurt(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        errors = session.events(ErrorEvent)
        await serve_calls(server, call_of("look"))
        create = await server.hear(ConversationItemCreate)
        await server.say(failure("no such call", code="invalid_tool_call_id", of=create.event_id))
        await server.hear(ResponseCreate)
        await wait_all_tasks_blocked()
        assert errors.pending == 1
        assert session.open_calls == ()


# --- the end --------------------------------------------------------------------------------------


@asynccontextmanager
async def open_busy() -> AsyncIterator[
    tuple[Session, Server, EventStream[WireRecord], EventStream[ToolCallFinished]]
]:
    """A session with a call that runs, one that waits for its turn and one that waits for approval."""
    async with open_served([wait, look, look_if_allowed], tool_concurrency=1) as (session, server):
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await serve_calls(
            server,
            call_of("ask_me", "call_1"),
            call_of("wait", "call_2"),
            call_of("look", "call_3"),
        )
        await wait_all_tasks_blocked()
        assert len(session.open_calls) == 3
        yield session, server, wire, finished


THREE = {"call_1": "cancelled", "call_2": "cancelled", "call_3": "cancelled"}


async def test_leaving_answers_what_is_open_and_asks_for_nothing(autojump_clock: MockClock) -> None:
    before, start = tasks(), trio.current_time()
    async with open_busy() as (session, server, wire, finished):
        pass
    assert (tasks(), trio.current_time()) == (before, start)
    expected = [(f"call_{number}", error("the session is ending")) for number in (1, 2, 3)]
    assert outputs(wire) == expected
    heard = await server.hear_the_rest()
    assert outputs_of(heard) == expected
    assert "response.create" not in {event.type for event in heard}
    assert outcomes(finished) == THREE
    assert session.open_calls == ()
    assert session.closed == Close(1000)


async def test_leaving_settles_who_waits_for_an_answer_somewhere_else(
    autojump_clock: MockClock,
) -> None:
    settled: list[str | None] = []

    async def ask(session: Session) -> None:
        await trio.lowlevel.checkpoint()
        with suppress(SessionClosed):
            settled.append((await session.ask("Wait!")).status)
            return
        settled.append("closed")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, open_tools([wait], calls("wait")) as session:
            nursery.start_soon(ask, session)  # noqa: ASYNC111 - somewhere else is the point of the test
            await wait_all_tasks_blocked()
    assert len(settled) == 1


async def test_leaving_by_an_exception_stops_the_tools(autojump_clock: MockClock) -> None:
    before, start = tasks(), trio.current_time()
    with Leaves(ValueError, match="mine"):
        async with open_busy() as (session, server, wire, finished):
            raise ValueError("mine")
    assert (tasks(), trio.current_time()) == (before, start)
    assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())
    assert outputs_of(await server.hear_the_rest()) == []


async def test_leaving_by_a_cancellation_stops_the_tools(autojump_clock: MockClock) -> None:
    before, start = tasks(), trio.current_time()
    with trio.CancelScope() as scope:
        async with open_busy() as (session, _, wire, finished):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert (tasks(), trio.current_time()) == (before, start)
    assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())


async def test_a_server_that_closes_stops_the_tools_and_the_block_carries_on(
    autojump_clock: MockClock,
) -> None:
    async with open_busy() as (session, server, wire, finished):
        await server.transport.aclose(1000, "goodbye")
        await wait_all_tasks_blocked()
        assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())
        with pytest.raises(SessionClosed):
            await session.send_tool_output("call_1", "too late")


async def test_a_lost_connection_stops_the_tools(autojump_clock: MockClock) -> None:
    before = tasks()
    with Leaves(ConnectionLost):
        async with open_busy() as (session, server, wire, finished):
            server.drop()
            await trio.sleep_forever()
    assert tasks() == before
    assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())


async def test_a_tool_whose_answer_was_early_has_nothing_to_say_at_the_end(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([early("never")], calls("build")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
    assert told(wire)[-2:] == ["output of call_1", "create"]
    assert outcomes(finished) == {"call_1": "cancelled"}


async def test_a_call_that_comes_while_leaving_is_not_run(autojump_clock: MockClock) -> None:
    near, server = memory_server(capacity=1)
    await server.say(created())
    ran, heard = list[str](), list[Event]()

    async def run() -> None:
        await trio.lowlevel.checkpoint()
        ran.append("run")

    async def serve() -> None:
        await trio.sleep(1)
        await serve_calls(
            server,
            call_of("run"),
            McpApprovalRequest(id="item_2", server_label="docs", name="search", arguments="{}"),
        )
        heard.extend(await server.hear_the_rest())

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, open_session(transport=near) as session:
            finished = session.events(ToolCallFinished)
            nursery.start_soon(hear_update, server)
            await session.add_tool(run)
            for _ in range(3):
                await session.send_message(
                    "Hello!", respond=False
                )  # which the network cannot take yet
            nursery.start_soon(serve)
    assert (ran, outcomes(finished)) == ([], {"call_1": "cancelled"})
    assert {event.item.type for event in heard if isinstance(event, ConversationItemCreate)} == {
        "message"
    }


async def hear_update(server: Server) -> None:
    await server.say(accepted(await server.hear(SessionUpdate)))


async def test_tools_that_tidy_up_are_waited_for(autojump_clock: MockClock) -> None:
    tidied: list[str] = []

    async def tidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
            tidied.append("all")

    async with open_tools([tidy], calls("tidy")) as session:
        await start_turn(session)
    assert tidied == ["all"]


async def test_ctrl_c_in_a_tool_ends_the_session(autojump_clock: MockClock) -> None:
    async def interrupt() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    with Leaves(KeyboardInterrupt):
        async with open_served([interrupt]) as (_, server):
            await serve_calls(server, call_of("interrupt"))
            await trio.sleep_forever()


# --- changing the tools ---------------------------------------------------------------------------


def names(session: Session) -> tuple[list[str], list[str]]:
    """The tools as the session has them, and as the server has them."""
    here = [each.name for each in session.tools if isinstance(each, LocalTool | FunctionTool)]
    return here, [
        each.name for each in session.config.tools or () if isinstance(each, FunctionTool)
    ]


def updates_of(events: Iterable[Event]) -> list[list[str]]:
    """Which tools the client's updates named; they said nothing else."""
    found = []
    for event in events:
        assert isinstance(event, SessionUpdate)
        assert isinstance(event.session, SessionConfig)
        assert isinstance(event.session.tools, tuple)
        assert event.session == SessionConfig(tools=event.session.tools)
        found.append([each.name for each in event.session.tools if isinstance(each, FunctionTool)])
    return found


async def test_tools_are_added_removed_and_replaced_while_connected(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([look]) as session:
        wire = session.wire()
        await session.add_tool(wait)
        assert names(session) == (["look", "wait"], ["look", "wait"])
        await session.add_tool(MANUAL)
        assert names(session) == (["look", "wait", "manual"], ["look", "wait", "manual"])
        await session.remove_tool("look")
        assert names(session) == (["wait", "manual"], ["wait", "manual"])
        await session.set_tools([look, look_if_allowed])
        assert names(session) == (["look", "ask_me"], ["look", "ask_me"])
        await session.set_tools([])
        assert names(session) == ([], [])
        assert updates_of(sent(wire)) == [
            ["look", "wait"],
            ["look", "wait", "manual"],
            ["wait", "manual"],
            ["look", "ask_me"],
            [],
        ]


async def test_tools_that_the_server_has_already_are_not_sent(autojump_clock: MockClock) -> None:
    async def other(at: str = "the sky") -> str:
        """Look at something."""
        await trio.lowlevel.checkpoint()
        return f"{at} is gone"

    async with open_tools([look, MANUAL], calls("look")) as session:
        wire = session.wire()
        await session.set_tools([tool(other, name="look"), MANUAL])
        assert sent(wire) == []
        await session.ask("Look!")
        assert outputs(wire) == [("call_1", "the sky is gone")]


async def test_an_added_tool_is_there_when_the_server_has_taken_it(
    autojump_clock: MockClock,
) -> None:
    async with open_served([]) as (session, server), trio.open_nursery() as nursery:
        wire, added = session.wire(), trio.Event()

        async def add() -> None:
            await session.add_tool(look)
            added.set()

        nursery.start_soon(add)
        update = await server.hear(SessionUpdate)
        await wait_all_tasks_blocked()
        assert not added.is_set()
        await serve_calls(
            server, call_of("look")
        )  # the server takes the tool, uses it, and then says so
        await server.say(accepted(update))
        await added.wait()
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_1", "the sky is there")]


async def test_tools_that_the_server_refuses_are_taken_back(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        before = names(session)

        async def refuse() -> None:
            update = await server.hear(SessionUpdate)
            await server.say(
                failure(
                    "too many", code="too_many_tools", param="session.tools", of=update.event_id
                )
            )

        changes: list[Callable[[], Awaitable[object]]] = [
            lambda: session.add_tool(wait),
            lambda: session.remove_tool("look"),
            lambda: session.set_tools([wait, MANUAL]),
            lambda: session.update(tools=[MANUAL]),
        ]
        for change in changes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(refuse)
                with pytest.raises(ServerError, match="too many"):
                    await change()
            assert names(session) == before


async def test_names_that_clash_are_refused_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    class Lights:
        @tool
        def switch(self) -> None: ...

    twin = tool(wait.function, name="look")
    async with open_tools([look, MANUAL]) as session:
        wire = session.wire()
        with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
            await session.add_tool(twin)
        with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
            await session.set_tools([wait, look, twin])
        with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
            await session.update(tools=[FunctionTool(name="look")])
        with pytest.raises(
            LocalProtocolError, match="no tool named 'wait'; there are: 'look', 'manual'"
        ):
            await session.remove_tool("wait")
        with pytest.raises(LocalProtocolError, match="take it from an object"):
            await session.add_tool(Lights.switch)
        with pytest.raises(ToolDefinitionError, match="'at'"):
            await session.add_tool(lambda at: at)
        await wait_all_tasks_blocked()
        assert sent(wire) == []
        assert names(session) == (["look", "manual"], ["look", "manual"])


async def test_a_session_with_two_tools_of_one_name_is_refused(autojump_clock: MockClock) -> None:
    near, _ = memory_server()
    with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
        async with open_session(transport=near, tools=[look, FunctionTool(name="look")]):
            pytest.fail("not reached")


async def test_tools_survive_every_later_update(autojump_clock: MockClock) -> None:
    async with open_tools([look, MANUAL], calls("look")) as session:
        wire = session.wire()
        await session.update(instructions="Be brief.")
        await session.update(SessionConfig(instructions="Be very brief."))
        assert names(session) == (["look", "manual"], ["look", "manual"])
        other = FunctionTool(
            name="other",
            description="Something else.",
            parameters={"type": "object", "properties": {}},
        )
        await session.update(tools=[other])
        assert names(session) == (["look", "other"], ["look", "other"])
        await session.update(SessionConfig(tools=()))
        assert names(session) == (["look"], ["look"])
        await session.ask("Look!")
        assert outputs(wire) == [("call_1", "the sky is there")]


async def test_an_update_that_says_nothing_of_tools_sends_none(autojump_clock: MockClock) -> None:
    async with open_tools([look]) as session:
        wire = session.wire()
        await session.update(instructions="Be brief.")
        [update] = sent(wire)
        assert isinstance(update, SessionUpdate)
        assert update.session == SessionConfig(instructions="Be brief.")


async def test_tools_that_are_added_at_once_are_all_there(autojump_clock: MockClock) -> None:
    async with open_tools([]) as session:
        wire = session.wire()
        async with trio.open_nursery() as nursery:
            for each in (look, wait, MANUAL):
                nursery.start_soon(session.add_tool, each)
            nursery.start_soon(lambda: session.update(instructions="Be brief."))
        here, there = names(session)
        assert sorted(here) == ["look", "manual", "wait"]
        assert there == here
        assert session.config.instructions == "Be brief."
        configs = [event.session for event in sent(wire) if isinstance(event, SessionUpdate)]
        named = [
            config.tools
            for config in configs
            if isinstance(config, SessionConfig) and isinstance(config.tools, tuple)
        ]
        assert sorted(map(len, named)) == [1, 2, 3]


async def test_who_gives_up_waiting_for_his_turn_to_change_tools_has_done_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_served([]) as (session, server), trio.open_nursery() as nursery:
        nursery.start_soon(session.add_tool, look)
        update = await server.hear(SessionUpdate)
        with trio.move_on_after(1) as scope:
            await session.add_tool(wait)
        assert scope.cancelled_caught
        await server.say(accepted(update))
        await wait_all_tasks_blocked()
        assert names(session) == (["look"], ["look"])


async def test_a_tool_that_is_removed_answers_the_calls_it_has(autojump_clock: MockClock) -> None:
    slow = Reply.calls(
        Call("wait", {"seconds": 5}, "call_1"), Call("wait", {"seconds": 6}, "call_2")
    )
    async with open_tools(
        [wait, look], slow, Reply.calls(Call("wait", call_id="call_3")), tool_concurrency=1
    ) as session:
        wire = session.wire()
        await start_turn(session)
        await session.remove_tool("wait")
        await trio.sleep(100)
        assert outputs(wire) == [
            ("call_1", "waited 5 s"),
            ("call_2", "waited 6 s"),
            ("call_3", error("there is no tool named 'wait'; there are: look")),
        ]


async def test_tools_that_the_server_has_by_itself_stay_when_one_is_added(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    await server.say(
        SessionCreated(
            event_id="event_created", session=RealtimeSession(id="sess_1", tools=(MANUAL,))
        )
    )
    async with open_session(transport=near) as session, trio.open_nursery() as nursery:
        nursery.start_soon(session.add_tool, look)
        update = await server.hear(SessionUpdate)
        assert isinstance(update.session, SessionConfig)
        assert [getattr(tool, "name", None) for tool in update.session.tools or ()] == [
            MANUAL.name,
            "look",
        ]
        await server.say(accepted(update))


async def test_after_the_end_no_tools_are_changed(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        await server.transport.aclose(1000)
        await wait_all_tasks_blocked()
        for change in (
            session.add_tool(wait),
            session.remove_tool("look"),
            session.set_tools([]),
            session.set_tools([look]),
        ):
            with pytest.raises(SessionClosed):
                await change


# --- trouble --------------------------------------------------------------------------------------


async def test_a_tool_that_fails_with_others_of_its_own_while_the_block_is_left_is_no_bug_of_ours(
    autojump_clock: MockClock,
) -> None:
    async def fuss() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(2)
                raise ValueError("while tidying up")

    async with open_tools([fuss], calls("fuss")) as session:
        wire = session.wire()
        await start_turn(session)
    assert outputs(wire) == [("call_1", error("the session is ending"))]


async def test_a_tool_that_fails_with_others_of_its_own_adds_nothing_to_the_exception_of_the_block(
    autojump_clock: MockClock,
) -> None:
    async def fuss() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while tidying up")

    with Leaves(KeyError) as caught:
        async with open_tools([fuss], calls("fuss")) as session:
            await start_turn(session)
            raise KeyError("mine")
    assert not hasattr(caught.value, "__notes__")


async def test_an_exit_from_a_nursery_of_the_tool_is_an_error_like_a_bare_one(
    autojump_clock: MockClock,
) -> None:
    async def leave() -> None:
        await trio.lowlevel.checkpoint()
        raise SystemExit("enough")

    async def delegate() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            await trio.sleep_forever()

    async with open_tools([delegate], calls("delegate")) as session:
        wire = session.wire()
        await session.ask("Go!")
        assert outputs(wire) == [("call_1", error("enough"))]


async def test_a_predicate_that_exits_fails_the_call_like_a_tool_that_does(
    autojump_clock: MockClock,
) -> None:
    def is_private(arguments: Mapping[str, Any]) -> bool:
        raise SystemExit("enough")

    peek = tool(look.function, name="peek", requires_approval=is_private)
    async with open_tools([peek], calls("peek")) as session:
        wire = session.wire()
        await session.ask("Peek!")
        assert outputs(wire) == [("call_1", error("enough"))]


@pytest.mark.parametrize("others", [[], [wait]])
async def test_a_call_that_the_server_made_before_it_knew_that_the_tool_was_removed_is_answered(
    others: list[AnyTool], autojump_clock: MockClock
) -> None:
    async with open_served([look, *others]) as (session, server), trio.open_nursery() as nursery:
        wire = session.wire()
        nursery.start_soon(session.remove_tool, "look")
        update = await server.hear(SessionUpdate)
        await serve_calls(server, call_of("look"))
        await server.say(accepted(update))
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_1"]


async def test_leaving_asks_for_no_reply_even_if_other_calls_are_answered_already(
    autojump_clock: MockClock,
) -> None:
    async with open_served([look, wait]) as (_, server):
        await serve_calls(server, call_of("look", "call_1"), call_of("wait", "call_2"))
        await wait_all_tasks_blocked()
    heard = await server.hear_the_rest()
    assert [call_id for call_id, _ in outputs_of(heard)] == ["call_1", "call_2"]
    assert "response.create" not in {event.type for event in heard}


async def test_a_tool_whose_call_was_answered_by_hand_is_told_when_it_answers_early(
    autojump_clock: MockClock,
) -> None:
    refused: list[str] = []

    async def slow(context: ToolContext) -> str:
        await trio.sleep(5)
        try:
            context.respond_early("early")
        except LocalProtocolError as problem:
            refused.append(str(problem))
        return "done"

    async with open_tools([slow], calls("slow")) as session:
        wire = session.wire()
        await start_turn(session)
        await session.send_tool_output("call_1", "by hand")
        await trio.sleep(10)
        events = sent(wire)
        assert (outputs_of(events), messages_of(events)) == ([("call_1", "by hand")], [])
    assert refused == ["call 'call_1' is answered already"]


async def test_a_call_that_is_answered_by_hand_before_its_turn_is_not_run(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(
        [wait, look, look_if_allowed], calls("ask_me", "wait", "look"), tool_concurrency=1
    ) as session:
        started = session.events(ToolCallStarted)
        await start_turn(session)
        await session.send_tool_output("call_1", "by hand")
        await session.send_tool_output("call_3", "by hand")
        await trio.sleep(100)
        assert [event.call.call_id for event in buffered(started)] == ["call_2"]
        with pytest.raises(LocalProtocolError, match="waits for approval"):
            await session.approve("call_1")


async def test_tools_that_the_server_refuses_are_taken_back_even_if_nobody_waits_any_more(
    autojump_clock: MockClock,
) -> None:
    async with open_served([look]) as (session, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.add_tool, wait)
            update = await server.hear(SessionUpdate)
            nursery.cancel_scope.cancel()
        await server.say(
            failure("too many", code="too_many_tools", param="session.tools", of=update.event_id)
        )
        await wait_all_tasks_blocked()
        assert names(session) == (["look"], ["look"])


async def test_a_call_without_a_status_is_done_when_its_item_is(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        wire, requested = session.wire(), session.events(ToolCallRequested)
        await serve_calls(server, call_of("look", status=None))
        await wait_all_tasks_blocked()
        assert requested.pending == 1
        assert outputs(wire) == [("call_1", "the sky is there")]


async def test_the_model_is_told_in_time_even_if_the_tool_tidies_up(
    autojump_clock: MockClock,
) -> None:
    @tool(timeout=5)
    async def tidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(100)

    async with open_tools([tidy], calls("tidy")) as session:
        wire = session.wire()
        await start_turn(session)
        await trio.sleep(6)
        assert outputs(wire) == [("call_1", error("the tool did not finish within 5 s"))]


async def test_functions_that_hang_do_not_keep_later_ones_from_running(
    mock_clock: MockClock,
) -> None:
    release, done = threading.Event(), threading.Event()

    def hang() -> None:
        assert release.wait(60)

    try:
        script = calls("hang"), Reply.calls(Call("work", call_id="call_2"))
        async with open_tools(
            [hang, tool(done.set, name="work")], *script, tool_concurrency=1
        ) as session:
            await start_turn(session)
            mock_clock.jump(60)
            await session.wait_for(ToolCallFinished)
            await wait_all_tasks_blocked()
            assert await trio.to_thread.run_sync(done.wait, 0.5)
    finally:
        release.set()


async def test_the_message_of_a_tool_that_answered_early_waits_for_the_other_calls(
    autojump_clock: MockClock,
) -> None:
    async with open_served([early("done"), wait]) as (session, server):
        wire = session.wire()
        await serve_calls(
            server,
            call_of("build", "call_1"),
            call_of("wait", "call_2", arguments='{"seconds": 20}'),
        )
        await trio.sleep(10)
        assert told(wire) == ["output of call_1", "message"]
        await trio.sleep(20)
        assert told(wire) == ["output of call_2", "create"]


async def test_the_message_of_a_tool_that_answered_early_does_not_talk_over_the_user(
    autojump_clock: MockClock,
) -> None:
    async with open_served([early("done")]) as (session, server):
        detecting = attrs.evolve(
            session.config, audio=SessionAudio(input=SessionAudioInput(turn_detection=ServerVad()))
        )
        await server.say(SessionUpdated(event_id="event_9", session=detecting))
        await serve_calls(server, call_of("build", "call_1"))
        await server.hear(ConversationItemCreate)
        follow_up = await server.hear(ResponseCreate)
        assert follow_up.response is not None
        response = Response(
            id="resp_2",
            conversation_id="conv_1",
            metadata=follow_up.response.metadata,
            status="completed",
        )
        await server.say(
            ResponseCreated(event_id="event_7", response=response),
            ResponseDone(event_id="event_8", response=response),
        )
        await server.say(
            InputAudioBufferSpeechStarted(event_id="event_6", audio_start_ms=0, item_id="item_user")
        )
        wire = session.wire()
        await trio.sleep(10)
        assert told(wire)[-1] == "message"


async def test_an_approval_that_was_given_by_hand_is_not_taken_back(
    autojump_clock: MockClock,
) -> None:
    async with open_mcp(approval_timeout=30) as (session, request):
        wire, errors = session.wire(), session.events(ErrorEvent)
        await session.insert_item(
            McpApprovalResponse(approval_request_id=str(request.id), approve=True)
        )
        await trio.sleep(100)
        assert decisions(wire) == [(True, None)]
        assert errors.pending == 0


async def test_an_update_that_repeats_the_tools_sends_nothing(autojump_clock: MockClock) -> None:
    async with open_tools([MANUAL, look]) as session:
        wire = session.wire()
        await session.update(tools=[MANUAL])
        assert told(wire) == []


async def test_functions_are_no_definitions(autojump_clock: MockClock) -> None:
    async with open_tools([look]) as session:
        wire = session.wire()
        with pytest.raises(LocalProtocolError, match="tools"):
            await session.update(tools=[wait])  # type: ignore[list-item]  # the point of the test
        assert told(wire) == []


async def test_tools_may_ask_the_model(autojump_clock: MockClock) -> None:
    async def consult(context: ToolContext) -> str | None:
        return (await context.session.ask("And what do you think?")).text

    async with open_tools([consult], calls("consult"), Reply.text("I think so.")) as session:
        wire = session.wire()
        await session.ask("What do you think?")
        assert outputs(wire) == [("call_1", "I think so.")]


def test_a_predicate_of_approval_cannot_be_async() -> None:
    async def is_private(arguments: Mapping[str, Any]) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    with pytest.raises(ToolDefinitionError, match="requires_approval"):
        tool(look.function, name="peek", requires_approval=is_private)  # type: ignore[arg-type]  # the point of the test


async def test_a_cancellation_of_somebody_elses_loop_is_an_error_of_the_tool(
    mock_clock: MockClock,
) -> None:
    def consult() -> None:
        raise asyncio.CancelledError

    async with open_tools([consult], calls("consult")) as session:
        wire = session.wire()
        await session.ask("Try!")
        assert outputs(wire) == [("call_1", error("CancelledError"))]


async def test_a_context_that_is_used_in_another_loop_does_not_hurt_the_session(
    mock_clock: MockClock,
) -> None:
    def consult(context: ToolContext) -> None:
        async def report() -> None:
            await trio.lowlevel.checkpoint()
            context.report("begun")

        trio.run(report)

    async with (
        open_tools([consult], calls("consult", "consult")) as session,
        trio.open_nursery() as nursery,
    ):
        wire, told_of = session.wire(), list[Event]()

        async def listen() -> None:
            async for event in session.events(ToolCallProgress, ToolCallFinished):
                told_of.append(event)

        nursery.start_soon(listen)
        await session.ask("Try!")
        assert len(outputs(wire)) == 2
        await wait_all_tasks_blocked()
        assert len([event for event in told_of if isinstance(event, ToolCallFinished)]) == 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_first", [True, False])
async def test_tools_that_are_being_removed_are_known_whatever_else_is_updated_meanwhile(
    is_first: bool, autojump_clock: MockClock
) -> None:
    async with open_served([look, wait]) as (session, server), trio.open_nursery() as nursery:
        wire = session.wire()
        before = session.config
        removing, updating = (
            partial(session.remove_tool, "look"),
            partial(session.update, instructions="Be brief."),
        )
        for change in (removing, updating) if is_first else (updating, removing):
            nursery.start_soon(change)
            await wait_all_tasks_blocked()
        first, second = await server.hear(SessionUpdate), await server.hear(SessionUpdate)
        if not is_first:
            await server.say(
                SessionUpdated(
                    event_id="event_9", session=attrs.evolve(before, instructions="Be brief.")
                )
            )
        await serve_calls(server, call_of("look"))
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_1"]
        await server.say(
            accepted(first if is_first else second),
            SessionUpdated(event_id="event_10", session=session.config),
        )
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
