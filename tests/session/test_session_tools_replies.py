"""When the model replies to the outputs of its calls, and what interrupts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio
from peers import Server
from simulated import SLOW, buffered, records, sent
from tool_sessions import (
    MANUAL,
    _in_short,
    call_of,
    calls,
    error,
    look,
    look_if_allowed,
    open_served,
    open_tools,
    outcomes,
    outputs,
    outputs_of,
    parsed,
    serve_calls,
    start_turn,
    told,
    wait,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ToolContext, tool
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallProgress,
    ToolCallRequested,
    ToolCallStarted,
)
from realtime_trio.errors import (
    LocalProtocolError,
)
from realtime_trio.events import (
    InputAudioBufferSpeechStarted,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Call, Reply
from realtime_trio.tools import AnyTool
from realtime_trio.tools.registry import OnInterrupt

# --- tools ----------------------------------------------------------------------------------------


@tool(name="stop", on_interrupt="cancel")
async def wait_in_vain() -> str:
    """Take all the time there is."""
    await trio.sleep_forever()


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
    """A session in which two tools run: one that wants to be interrupted, and one that does not."""
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


# --- trouble --------------------------------------------------------------------------------------


async def test_leaving_asks_for_no_reply_even_if_other_calls_are_answered_already(
    autojump_clock: MockClock,
) -> None:
    async with open_served([look, wait]) as (_, server):
        await serve_calls(server, call_of("look", "call_1"), call_of("wait", "call_2"))
        await wait_all_tasks_blocked()
    heard = await server.hear_the_rest()
    assert [call_id for call_id, _ in outputs_of(heard)] == ["call_1", "call_2"]
    assert "response.create" not in {event.type for event in heard}


# --- a turn that nobody waits for any more --------------------------------------------------------


@pytest.mark.parametrize(("policy", "outcome"), [("cancel", "cancelled"), ("keep", "completed")])
async def test_who_stops_asking_in_a_round_of_tools_stops_the_turn(
    policy: OnInterrupt, outcome: str, autojump_clock: MockClock
) -> None:
    @tool(on_interrupt=policy)
    async def work() -> None:
        """Take half a minute."""
        await trio.sleep(30)

    async with open_tools([work], calls("work"), Reply.text("Done.")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        with trio.move_on_after(10):
            await session.ask("Work!")
        assert (await finished.receive()).outcome == outcome
        await trio.sleep(1000)
        assert told(wire)[-1] == "output of call_1"
        assert session.conversation.items[-1].type == "function_call_output"
        # The session goes on, and the next answer has read the output.
        assert (await session.ask("And now?")).text == "Done."
