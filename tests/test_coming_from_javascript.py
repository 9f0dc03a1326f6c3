"""Every difference that docs/coming-from-javascript.md promises, seen on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import (
    AudioDelta,
    ConnectionFailed,
    ConversationItemCreate,
    ErrorEvent,
    Event,
    EventStream,
    FunctionTool,
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    LocalProtocolError,
    ResponseCreate,
    ResponseDone,
    ServerError,
    ServerVad,
    Session,
    SessionClosed,
    ToolCallFinished,
    ToolCallRequested,
    ToolCallStarted,
    ToolDefinitionError,
    ToolError,
    UserMessage,
    generate_id,
    open_session,
    tool,
)
from realtime_trio.audio import PCM_RATE, AudioData, pcm16_from_float
from realtime_trio.events import (
    ConversationItemDelete,
    ConversationItemTruncate,
    FunctionCallOutput,
    InputAudioBufferCommit,
    ResponseCancel,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import LIFELIKE, Call, Pacing, Reply, Script, open_simulator_transport

SECOND = np.ones(PCM_RATE, np.int16)
LONG = "It was a dark and stormy night, and nobody slept."


@asynccontextmanager
async def simulated(*replies: Reply, **settings: Any) -> AsyncIterator[Session]:
    with trio.fail_after(60):
        async with (
            open_simulator_transport(Script(replies)) as transport,
            open_session(transport=transport, **settings) as session,
        ):
            yield session


async def taken(wire: EventStream[WireRecord]) -> list[Event]:
    """What went over the wire until nothing more happens."""
    await wait_all_tasks_blocked()
    return [wire.receive_nowait().event for _ in range(wire.pending)]


async def sent(wire: EventStream[WireRecord]) -> list[Event]:
    await wait_all_tasks_blocked()
    records = [wire.receive_nowait() for _ in range(wire.pending)]
    return [record.event for record in records if record.source == "client"]


async def test_a_configuration_follows_the_greeting_and_is_awaited(
    autojump_clock: MockClock,
) -> None:
    async with simulated(instructions="Be brief.") as session:
        assert [type(event) for event in await taken(session.wire())] == [
            SessionCreated,
            SessionUpdate,
            SessionUpdated,
        ]


async def test_a_setting_that_the_service_does_not_like_is_an_exception_of_opening(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(ConnectionFailed, match=r"session\.audio\.output\.speed"):
        async with simulated(speed=9.0):
            pytest.fail("not reached")


async def test_nothing_is_configured_that_was_not_asked_for(autojump_clock: MockClock) -> None:
    async with simulated() as session:
        assert [type(event) for event in await taken(session.wire())] == [SessionCreated]
        assert session.config.audio is not None
        assert session.config.audio.input is not None
        assert isinstance(session.config.audio.input.turn_detection, ServerVad)


async def test_an_update_sends_only_what_differs(autojump_clock: MockClock) -> None:
    async with simulated(instructions="Be brief.") as session:
        wire = session.wire()
        await sent(wire)
        await session.update(instructions="Be brief.", voice="marin")
        [update] = await sent(wire)
        assert isinstance(update, SessionUpdate)
        assert not getattr(update.session, "instructions", None)
        await session.update(instructions="Be brief.", voice="marin")
        assert await sent(wire) == []


async def test_a_tool_survives_updates_of_something_else_and_goes_when_it_is_off_the_list(
    autojump_clock: MockClock,
) -> None:
    weather, time = FunctionTool(name="get_weather"), FunctionTool(name="get_time")
    async with simulated(tools=[weather, time]) as session:
        assert (await session.update(instructions="Be brief.")).tools == (weather, time)
        assert (await session.update(tools=[time])).tools == (time,)


async def test_the_voice_may_be_repeated_and_not_changed_after_the_model_has_spoken(
    autojump_clock: MockClock,
) -> None:
    async with simulated(voice="marin") as session:
        await session.ask("How are you?")
        await session.update(voice="marin")
        with pytest.raises(LocalProtocolError, match="voice"):
            await session.update(voice="cedar")


async def test_there_is_one_output_modality_and_no_temperature(autojump_clock: MockClock) -> None:
    async with simulated() as session:
        with pytest.raises(ServerError, match="modalities"):
            await session.update(output_modalities=["text", "audio"])
        with pytest.raises(TypeError, match="temperature"):
            await session.update(temperature=0.8)  # type: ignore[call-arg]  # the point of the test


async def test_audio_that_waits_is_committed_before_a_message_that_was_sent_after_it(
    autojump_clock: MockClock,
) -> None:
    async with simulated(turn_detection=None) as session:
        wire = session.wire()
        await sent(wire)
        await session.append_audio(SECOND)
        await session.send_message("And this is written.")
        assert [type(event) for event in await sent(wire)][1:] == [
            InputAudioBufferCommit,
            ConversationItemCreate,
            ResponseCreate,
        ]
        spoken, written, _ = session.conversation.items
        assert (spoken.audio_ms, written.audio_ms, written.text) == (
            1000,
            0,
            "And this is written.",
        )


async def test_turn_detection_commits_by_itself(autojump_clock: MockClock) -> None:
    async with simulated() as session:
        wire = session.wire()
        await session.append_audio(SECOND)
        await session.respond()
        assert InputAudioBufferCommit not in map(type, await sent(wire))


async def test_an_event_keeps_the_id_that_it_brings(autojump_clock: MockClock) -> None:
    async with simulated() as session:
        with session.events(ErrorEvent) as errors:
            assert (
                await session.send(ConversationItemDelete(item_id="item_unknown", event_id="mine"))
                == "mine"
            )
            assert (await errors.receive()).error.event_id == "mine"
        # What mypy would refuse is the point of the test.
        with pytest.raises(TypeError):
            ConversationItemDelete(item_id="item", type="response.create")  # type: ignore[call-arg]
        with pytest.raises(LocalProtocolError):
            await session.send_raw(["no", "object"])  # type: ignore[arg-type]


async def test_cancelling_refuses_what_cannot_be_cut_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    async with simulated(output_modalities=["text"]) as session:
        await session.ask("How are you?")
        wire = session.wire()
        await sent(wire)
        question, answer = session.conversation.items
        for item_id in ("item_unknown", question.id, answer.id):
            with pytest.raises(LocalProtocolError, match=item_id):
                await session.cancel_response(item_id, 100)
        assert await session.cancel_response() is None
        assert await sent(wire) == []


async def test_cancelling_comes_before_truncating_and_what_follows_is_dropped(
    autojump_clock: MockClock,
) -> None:
    async with simulated(Reply.text(LONG, pacing=LIFELIKE)) as session:
        samples = 0
        with session.events(ItemUpdated) as updates:
            await session.send_message("Tell me a story.")
            while samples < PCM_RATE + 1:
                match await updates.receive():
                    case ItemUpdated(item=item, delta=AudioDelta(more)):
                        samples += len(more)
        wire = session.wire()
        await sent(wire)
        with session.events(ResponseDone) as done:
            assert await session.cancel_response(item.id, PCM_RATE + 1) is item
            await done.receive()
        [cancel, truncate] = await sent(wire)
        assert isinstance(cancel, ResponseCancel)
        assert isinstance(truncate, ConversationItemTruncate)
        assert truncate.audio_end_ms == 1000
        assert (item.status, item.heard_ms, item.transcript) == ("incomplete", 1000, "")


async def test_nothing_is_cut_or_cancelled_that_was_heard_whole(
    autojump_clock: MockClock,
) -> None:
    async with simulated() as session:
        await session.ask("How are you?")
        wire = session.wire()
        await sent(wire)
        item = session.conversation.items[-1]
        milliseconds = item.audio_ms
        await session.cancel_response(item.id, 10**9)
        assert await sent(wire) == []
        assert item.audio_ms == milliseconds


async def test_a_response_that_is_asked_for_too_early_waits_for_its_turn(
    autojump_clock: MockClock,
) -> None:
    async with simulated(Reply.text("One.", pacing=LIFELIKE), Reply.text("Two.")) as session:
        with session.events(ResponseDone, ErrorEvent) as events:
            await session.send_message("One?")
            await session.send_message("Two?")
            ended = [await events.receive(), await events.receive()]
        assert [type(event) for event in ended] == [ResponseDone, ResponseDone]
    assert [item.transcript for item in session.conversation.items if item.role == "assistant"] == [
        "One.",
        "Two.",
    ]


async def test_updated_comes_before_appended_and_completed_last(autojump_clock: MockClock) -> None:
    async with simulated(Reply.call("get_weather", city="Paris"), tools=[get_weather]) as session:
        with session.events(
            ItemAppended,
            ItemUpdated,
            ItemCompleted,
            ToolCallRequested,
            ToolCallStarted,
            ToolCallFinished,
        ) as events:
            await session.send_message("What is the weather in Paris?")
            await wait_all_tasks_blocked()
            told = [events.receive_nowait() for _ in range(events.pending)]
    kinds = [type(event).__name__ for event in told]
    finished = kinds.index("ToolCallFinished")
    assert kinds[:3] == ["ItemAppended", "ItemCompleted", "ItemAppended"]
    assert kinds[finished - 3 : finished] == [
        "ItemCompleted",
        "ToolCallRequested",
        "ToolCallStarted",
    ]
    assert set(kinds[3 : finished - 3]) == {"ItemUpdated"}


# Tools


@tool
async def get_weather(city: str) -> dict[str, str | int]:
    """Look up what the weather is like in a city."""
    await trio.lowlevel.checkpoint()
    return {"city": city, "degrees": 21}


@tool
async def stroll() -> None:
    """Take a walk."""
    await trio.sleep(30)


@tool
async def fail() -> str:
    """Do what cannot be done."""
    await trio.lowlevel.checkpoint()
    raise ToolError("it cannot be done")


def outputs_of(session: Session) -> list[str | None]:
    return [
        item.output for item in session.conversation.items if item.type == "function_call_output"
    ]


async def test_a_tool_that_is_added_or_removed_is_known_to_the_server_by_then(
    autojump_clock: MockClock,
) -> None:
    async with simulated(tools=[stroll]) as session:
        before = session.config.tools
        await session.add_tool(get_weather)
        with_weather = session.config.tools
        await session.remove_tool("stroll")
        assert [before, with_weather, session.config.tools] == [
            (stroll.definition,),
            (stroll.definition, get_weather.definition),
            (get_weather.definition,),
        ]
        assert session.tools == (get_weather,)


async def test_functions_survive_a_list_of_definitions(autojump_clock: MockClock) -> None:
    async with simulated(tools=[get_weather, FunctionTool(name="get_time")]) as session:
        config = await session.update(tools=[FunctionTool(name="get_date")])
        assert config.tools == (get_weather.definition, FunctionTool(name="get_date"))
        assert session.tools == (get_weather, FunctionTool(name="get_date"))


async def test_what_is_no_tool_or_has_no_name_or_one_that_is_taken_is_refused_and_nothing_sent(
    autojump_clock: MockClock,
) -> None:
    async with simulated(tools=[get_weather]) as session:
        wire = session.wire()
        await sent(wire)
        with pytest.raises(ToolDefinitionError, match="not a tool"):
            await session.add_tool("get_weather")  # type: ignore[arg-type]  # the point of the test
        with pytest.raises(TypeError, match="name"):
            FunctionTool()  # type: ignore[call-arg]  # the point of the test
        with pytest.raises(LocalProtocolError, match="already"):
            await session.add_tool(get_weather)
        with pytest.raises(LocalProtocolError, match="already"):
            await session.update(tools=[FunctionTool(name="get_weather")])
        with pytest.raises(LocalProtocolError, match="no tool named 'get_time'"):
            await session.remove_tool("get_time")
        assert await sent(wire) == []


@pytest.mark.parametrize(
    ("call", "output"),
    [
        (Call("get_weather", {"city": "Paris"}), '{"city":"Paris","degrees":21}'),
        (Call("greet"), "Hello."),
        (Call("stroll"), "null"),
        (Call("fail"), '{"error":"it cannot be done"}'),
        (Call("get_weather", {"city": 7}), '{"error":"city: expected a string, got 7"}'),
        (
            Call("get_time"),
            """{"error":"there is no tool named 'get_time'; """
            """there are: get_weather, stroll, fail, greet"}""",
        ),
    ],
    ids=["json", "text", "nothing", "failing", "misfit", "unknown"],
)
async def test_every_call_has_an_output(call: Call, output: str, autojump_clock: MockClock) -> None:
    async def greet() -> str:
        await trio.lowlevel.checkpoint()
        return "Hello."

    async with simulated(
        Reply.calls(call), Reply.text("I see."), tools=[get_weather, stroll, fail, greet]
    ) as session:
        assert (await session.ask("Please.")).transcript == "I see."
    assert outputs_of(session) == [output]


async def test_several_calls_get_one_reply_which_leaves_alone_what_is_being_said(
    autojump_clock: MockClock,
) -> None:
    reply = Reply.calls(Call("stroll"), Call("get_weather", {"city": "Paris"}), Call("fail"))
    async with simulated(
        reply, Reply.text("I see."), tools=[get_weather, stroll, fail], turn_detection=None
    ) as session:
        wire = session.wire()
        with session.events(ToolCallStarted) as started:
            await session.send_message("What is it like?")
            await started.receive()
            await session.append_audio(SECOND)
        with session.events(ResponseDone) as done:
            answers = [await done.receive(), await done.receive()]
        assert [answer.response.status for answer in answers] == ["completed", "completed"]
        kinds = [type(event) for event in await sent(wire)]
    assert kinds.count(ResponseCreate) == session.usage.responses == 2
    assert kinds[-4:] == [ConversationItemCreate] * 3 + [ResponseCreate]
    assert InputAudioBufferCommit not in kinds


async def test_a_call_that_was_cut_short_is_not_run_and_not_answered(
    autojump_clock: MockClock,
) -> None:
    slowly = Pacing(tokens_per_second=1)
    reply = Reply.calls(Call("get_weather", {"city": "Llanfairpwllgwyngyll"}), pacing=slowly)
    async with simulated(reply, tools=[get_weather]) as session:
        with session.events(
            ItemUpdated, ResponseDone, ToolCallRequested, ToolCallFinished
        ) as events:
            await session.send_message("What is the weather like?")
            assert isinstance(await events.receive(), ItemUpdated)
            await session.cancel_response()
            while not isinstance(event := await events.receive(), ResponseDone):
                assert isinstance(event, ItemUpdated)
            assert event.response.status == "cancelled"
            await trio.sleep(10)
            assert events.pending == 0
    assert outputs_of(session) == []


async def test_nothing_comes_after_the_end_but_the_answer_to_what_still_ran(
    autojump_clock: MockClock,
) -> None:
    async with simulated(Reply.call("stroll"), tools=[stroll]) as session:
        wire = session.wire()
        with session.events(ToolCallStarted) as started:
            await session.send_message("Take a walk.")
            await started.receive()
        await sent(wire)
    [answer] = await sent(wire)
    assert isinstance(answer, ConversationItemCreate)
    assert isinstance(answer.item, FunctionCallOutput)
    assert answer.item.output == '{"error":"the session is ending"}'


async def test_a_call_of_a_definition_is_answered_by_hand(autojump_clock: MockClock) -> None:
    async with simulated(
        Reply.call("get_time"), Reply.text("It is noon."), tools=[FunctionTool(name="get_time")]
    ) as session:
        with session.events(ToolCallRequested, ResponseDone) as events:
            await session.send_message("What time is it?")
            request = await events.receive()
            assert isinstance(request, ToolCallRequested)
            await session.send_tool_output(str(request.call.call_id), "12:00")
            await events.receive()
            await events.receive()
    assert session.conversation.items[-1].transcript == "It is noon."


# Afterwards


async def test_a_stream_that_is_opened_because_of_an_event_does_not_see_it_again(
    autojump_clock: MockClock,
) -> None:
    async with simulated() as session:
        with session.events(ItemAppended) as appended:
            await session.send_message("How are you?")
            question = await appended.receive()
            with session.events(ItemAppended) as later:
                assert (await later.receive()).item is not question.item


async def test_the_conversation_can_be_read_after_the_block(autojump_clock: MockClock) -> None:
    async with simulated(Reply.text("Fine.")) as session:
        await session.ask("How are you?")
    assert [item.text or item.transcript for item in session.conversation.items] == [
        "How are you?",
        "Fine.",
    ]
    with pytest.raises(SessionClosed):
        await session.send_message("Hello?")
    with pytest.raises(SessionClosed):
        await session.wait_for(ItemAppended)


async def test_nothing_is_told_as_new_once_a_response_was_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with simulated(Reply.text(LONG, pacing=LIFELIKE)) as session:
        with session.events(ItemUpdated) as updates:
            await session.send_message("Tell me a story.")
            item = (await updates.receive()).item
            await session.cancel_response()
            for _ in range(updates.pending):  # what had come before
                updates.receive_nowait()
            await trio.sleep(10)
            assert {updates.receive_nowait().delta for _ in range(updates.pending)} <= {None}
        assert (item.status, item.is_interrupted) == ("incomplete", True)


def test_audio_is_converted_as_the_reference_client_converts_it() -> None:
    converted = pcm16_from_float(np.array([1, -1, 0.5, -0.5, np.nan, 2], np.float32))
    assert converted.tolist() == [32767, -32768, 16383, -16384, 0, 32767]
    assert AudioData(np.zeros(100, np.int16)[:10]).nbytes == 20
    assert AudioData.from_base64(AudioData(converted).base64).samples.tolist() == converted.tolist()


def test_an_id_is_as_long_as_there_and_has_no_letters_that_look_alike() -> None:
    made = generate_id("evt_")
    assert len(made) == 21
    assert made.startswith("evt_")
    assert not set(made[4:]) & set("0OIl_")
    assert len(generate_id("evt_", 10)) == 10


async def test_a_message_is_found_by_the_id_that_it_brings(autojump_clock: MockClock) -> None:
    async with simulated() as session:
        item = await session.insert_item(UserMessage.text("Hello.", id="item_mine"))
        assert session.conversation.get("item_mine") is item
