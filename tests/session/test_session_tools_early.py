"""Tools that respond before they are done, and calls whose output is given elsewhere."""

from __future__ import annotations

import attrs
import pytest
import trio
from simulated import buffered, sent
from tool_sessions import (
    MANUAL,
    call_of,
    calls,
    early,
    look,
    look_if_allowed,
    messages_of,
    open_served,
    open_tools,
    outcomes,
    outputs,
    outputs_of,
    serve_calls,
    start_turn,
    told,
    wait,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ToolContext
from realtime_trio._state.utility_events import (
    ToolCallFinished,
    ToolCallProgress,
    ToolCallRequested,
    ToolCallStarted,
    ToolOutcome,
)
from realtime_trio.errors import (
    LocalProtocolError,
    ToolError,
)
from realtime_trio.events import (
    ConversationItemCreate,
    FunctionCall,
    InputAudioBufferSpeechStarted,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionUpdated,
)
from realtime_trio.simulator import Call, Reply
from realtime_trio.tools import ToolResultError

# --- early answers --------------------------------------------------------------------------------


LATE: dict[str, tuple[object, ToolOutcome, str | None]] = {
    "a result": ({"pages": 2}, "completed", '{"pages":2}'),
    "nothing": (None, "completed", None),
    "an error": (ToolError("out of paper"), "failed", '{"error":"out of paper"}'),
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

    async with open_tools([insist], calls("insist"), tool_errors="full") as session:
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


# --- trouble --------------------------------------------------------------------------------------


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
