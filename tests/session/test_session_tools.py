"""Tools at work in a session: results and errors, and what the model is told of them."""

from __future__ import annotations

import asyncio
import datetime
import logging
import math

import numpy as np
import pytest
import trio
from attrs import frozen
from simulated import buffered
from tool_sessions import (
    MANUAL,
    calls,
    error,
    look,
    open_tools,
    outcomes,
    outputs,
    start_turn,
    told,
    wait,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ToolContext, tool
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallProgress,
    ToolCallStarted,
)
from realtime_trio.errors import (
    SessionClosed,
)
from realtime_trio.events import (
    Event,
    FunctionTool,
)
from realtime_trio.simulator import Call, Reply
from realtime_trio.tools import AnyTool

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
    "no exception": (asyncio.CancelledError("enough"), "enough"),
    "no exception without words": (asyncio.CancelledError(), "CancelledError"),
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
    tools = [tool(failing, name="fail")]
    async with open_tools(tools, calls("fail"), tool_errors="full") as session:
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


# --- trouble --------------------------------------------------------------------------------------


async def test_tools_may_ask_the_model(autojump_clock: MockClock) -> None:
    async def consult(context: ToolContext) -> str | None:
        return (await context.session.ask("And what do you think?")).text

    async with open_tools([consult], calls("consult"), Reply.text("I think so.")) as session:
        wire = session.wire()
        await session.ask("What do you think?")
        assert outputs(wire) == [("call_1", "I think so.")]


async def test_a_cancellation_of_somebody_elses_loop_is_an_error_of_the_tool(
    mock_clock: MockClock,
) -> None:
    def consult() -> None:
        raise asyncio.CancelledError

    async with open_tools([consult], calls("consult")) as session:
        wire = session.wire()
        await session.ask("Try!")
        assert outputs(wire) == [("call_1", error("the tool failed with CancelledError"))]


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
