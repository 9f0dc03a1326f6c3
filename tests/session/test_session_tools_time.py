"""How long tools may take, how many run at once, and functions that block a thread."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable
from typing import Any

import pytest
import trio
from peers import tasks
from simulated import buffered, sent
from tool_sessions import (
    calls,
    error,
    look,
    messages_of,
    open_tools,
    outcomes,
    outputs,
    outputs_of,
    start_turn,
    wait,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ToolContext, tool
from realtime_trio._state.utility_events import (
    ToolCallFinished,
    ToolCallProgress,
    ToolCallStarted,
)
from realtime_trio.errors import (
    LocalProtocolError,
)
from realtime_trio.events import (
    FunctionTool,
)
from realtime_trio.simulator import Call, Reply

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
    with pytest.raises(LocalProtocolError, match=f"{name} must be (more than 0|a whole number)"):
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


@pytest.mark.parametrize("many", [1.0, math.inf])
async def test_as_many_run_as_any_whole_number_says(many: Any, mock_clock: MockClock) -> None:
    """Also if it is a float: so a number from a file of settings may come."""

    def block() -> str:
        return "in a thread"

    async with open_tools([block], calls("block"), tool_concurrency=many) as session:
        wire = session.wire()
        await session.ask("Block!")
        assert outputs(wire) == [("call_1", "in a thread")]


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


# --- trouble --------------------------------------------------------------------------------------


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
