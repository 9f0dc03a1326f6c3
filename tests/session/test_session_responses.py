"""Asking for responses, waiting for their answers and following them piece by piece."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np
import pytest
import trio
from peers import open_pair
from simulated import SLOW, only, open_simulated, sent, speech, types_sent
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.voice import Session
from realtime_trio._state.conversation.audio import Retention
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    ItemUpdated,
    TextDelta,
    ToolCallRequested,
    TranscriptDelta,
)
from realtime_trio.errors import LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ConversationItemCreate,
    ErrorDetail,
    ErrorEvent,
    Response,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseUsage,
    UserMessage,
)
from realtime_trio.simulator import Reply

SAMPLES = np.arange(2400, dtype=np.int16)

# Responses


async def test_a_response_that_is_asked_for_early_waits_for_its_turn(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(
        Reply.text("One.", pacing=SLOW), Reply.text("Two."), Reply.text("Three.")
    ) as session:
        events = session.events(ResponseCreated, ResponseDone, ErrorEvent)
        for _ in range(3):
            await session.respond()
        got = [await events.receive() for _ in range(6)]
        assert [event.type for event in got] == ["response.created", "response.done"] * 3
        assert [item.transcript for item in session.conversation.items] == [
            "One.",
            "Two.",
            "Three.",
        ]


@pytest.mark.parametrize("nested", [False, True])
async def test_settings_of_a_response_can_be_nested_or_flat(
    nested: bool, autojump_clock: MockClock
) -> None:
    async with open_simulated() as session:
        wire, done = session.wire(), session.events(ResponseDone)
        config = ResponseConfig(instructions="Be brief.", metadata={"topic": "tests"})
        if nested:
            await session.respond(config)
        else:
            await session.respond(instructions="Be brief.", metadata={"topic": "tests"})
        response = (await done.receive()).response
        create = only(ResponseCreate, sent(wire))
        assert create.response is not None
        assert create.response.instructions == "Be brief."
        assert response.metadata == {"topic": "tests", "client_event_id": create.event_id}


async def test_a_response_out_of_band_reads_its_input_runs_beside_others_and_leaves_no_trace(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Slowly.", pacing=SLOW), turn_detection=None) as session:
        await session.send_message("Speak!")
        await session.wait_for(ResponseCreated)
        await session.append_audio(
            speech(50)
        )  # too little to be committed, and nothing that this response should commit
        answer = await session.ask(
            conversation="none",
            input=[UserMessage.text("aside")],
            output_modalities=("text",),
            metadata={"n": "1"},
        )
        assert (answer.text, answer.status) == ("You said: aside", "completed")
        assert answer.response.conversation_id is None
        assert answer.response.metadata is not None
        assert answer.response.metadata["n"] == "1"
        await session.wait_for(ResponseDone)
        assert [item.text or item.transcript for item in session.conversation.items] == [
            "Speak!",
            "Slowly.",
        ]


async def test_nothing_can_be_asked_for_or_said_after_the_end(autojump_clock: MockClock) -> None:
    async with open_simulated(turn_detection=None) as session:
        pass
    calls: list[Callable[[], Awaitable[object]]] = [
        session.respond,
        session.ask,
        partial(session.ask, "words"),
        partial(session.ask, conversation="none"),
        partial(session.send_message, "words"),
        partial(session.append_audio, speech(100)),
        session.clear_audio,
        partial(session.delete_item, "item_1"),
        partial(session.send_tool_output, "call_1", "{}"),
    ]
    for call in calls:
        with assert_checkpoints(), pytest.raises(SessionClosed):
            await call()
    with assert_checkpoints(), pytest.raises(SessionClosed):
        async with session.open_response():
            pytest.fail("not reached")
    with assert_checkpoints():
        await session.cancel_response()


# Asking


async def test_an_answer_has_its_words_its_speech_and_what_it_cost(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.speech("Good morning.", SAMPLES)) as session:
        answer = await session.ask("Say good morning!")
        assert (answer.status, answer.text, answer.transcript) == (
            "completed",
            "Good morning.",
            "Good morning.",
        )
        assert np.array_equal(answer.audio, SAMPLES)
        assert isinstance(answer.usage, ResponseUsage)
        assert answer.usage.output_tokens > 0
        [message] = answer.items
        assert isinstance(message, AssistantMessage)
        assert answer.calls == ()
        assert "array" not in repr(answer)


async def test_a_written_answer_has_text_and_no_speech(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.text("Good morning."), output_modalities=("text",)) as session:
        answer = await session.ask("Write good morning!")
        assert (answer.text, answer.transcript, len(answer.audio)) == ("Good morning.", "", 0)


async def test_without_words_of_its_own_a_question_is_about_what_is_there(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None, output_modalities=("text",)) as session:
        await session.send_message("Hello!", respond=False)
        assert (await session.ask()).text == "You said: Hello!"
        await session.append_audio(speech(1500))
        assert "1.5 seconds of audio" in (await session.ask()).text


async def test_the_answer_is_the_last_one_after_all_rounds_of_tools(
    autojump_clock: MockClock,
) -> None:
    script = (
        Reply.call("get_weather", city="Paris"),
        Reply.call("get_weather", city="Rome"),
        Reply.text("Sunny in both."),
    )
    async with (
        open_simulated(*script, output_modalities=("text",)) as session,
        trio.open_nursery() as nursery,
    ):

        async def answer_calls() -> None:
            async for event in session.events(ToolCallRequested):
                await session.send_tool_output(str(event.call.call_id), '{"sky": "clear"}')

        nursery.start_soon(answer_calls)
        assert (await session.ask("How is the weather?")).text == "Sunny in both."
        assert [item.type for item in session.conversation.items] == [
            "message",
            *["function_call", "function_call_output"] * 2,
            "message",
        ]
        nursery.cancel_scope.cancel()


async def test_a_response_that_fails_is_an_answer_that_says_so(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.fail("insufficient_quota", "You are out of money.")) as session:
        answer = await session.ask("Hello!")
        assert (answer.status, answer.text) == ("failed", "")
        assert answer.response.status_details is not None
        assert answer.response.status_details.error is not None
        assert answer.response.status_details.error.code == "insufficient_quota"


@pytest.mark.parametrize("aside", [False, True])
async def test_a_response_that_is_refused_is_an_error(
    aside: bool, autojump_clock: MockClock
) -> None:
    async with open_simulated() as session:
        errors = session.events(ErrorEvent)
        with pytest.raises(ServerError) as caught:
            await session.ask("Hello!", voice="nobody", conversation="none" if aside else "auto")
        assert (caught.value.code, caught.value.param) == (
            "invalid_value",
            "response.audio.output.voice",
        )
        assert errors.pending == 1
        assert (await session.ask("Hello again!")).status == "completed"


@pytest.mark.parametrize("aside", [False, True])
async def test_speech_out_of_band_is_in_its_answer_too(
    aside: bool, autojump_clock: MockClock
) -> None:
    async with open_simulated(Reply.speech("Aside.", SAMPLES)) as session:
        answer = (
            await session.ask(conversation="none")
            if aside
            else await session.ask("Hello!", conversation="none")
        )
        assert np.array_equal(answer.audio, SAMPLES)
        assert len(session.conversation.items) == (not aside)


async def test_who_stops_waiting_for_an_answer_stops_the_response(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("A very long story.", pacing=SLOW)) as session:
        done = session.events(ResponseDone)
        with trio.move_on_after(1.2) as scope:
            await session.ask("Tell me a story!")
        assert scope.cancelled_caught
        assert (await done.receive()).response.status == "cancelled"
        assert (await session.ask("And now?")).status == "completed"


async def test_who_stops_waiting_before_it_is_his_turn_withdraws_the_question(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("One two three.", pacing=SLOW)) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.respond()
        with trio.move_on_after(1):
            await session.ask("And now?")
        assert (await done.receive()).response.status == "completed"
        await wait_all_tasks_blocked()
        assert types_sent(wire) == ["response.create"]
        assert session.conversation.items[-1].role == "assistant"


async def test_questions_of_several_tasks_are_answered_each_by_its_own_answer(
    autojump_clock: MockClock,
) -> None:
    answers: dict[str, str] = {}

    async def ask(session: Session, question: str) -> None:
        answers[question] = (await session.ask(question)).text

    async with open_simulated(output_modalities=("text",)) as session:
        async with trio.open_nursery() as nursery:
            for name in "abcde":
                nursery.start_soon(ask, session, name)
        spoken = [item.text for item in session.conversation.items]
    assert answers == {name: f"You said: {name}" for name in "abcde"}
    assert spoken == [text for pair in zip(spoken[::2], spoken[1::2], strict=True) for text in pair]
    assert [f"You said: {said}" for said in spoken[::2]] == spoken[1::2]


async def test_a_message_waits_for_its_turn_together_with_the_request_for_its_response(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("One two three.", pacing=SLOW)) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.send_message("First.")
        item_id = await session.send_message("Second.")
        await session.wait_for(ResponseCreated)
        assert types_sent(wire) == ["conversation.item.create", "response.create"]
        await done.receive()
        await done.receive()
        assert types_sent(wire) == ["conversation.item.create", "response.create"]
        assert session.conversation.items[2].id == item_id


def refusal(event_id: str | None, code: str) -> ErrorEvent:
    detail = ErrorDetail(type="invalid_request_error", code=code, message="no", event_id=event_id)
    return ErrorEvent(event_id="e", error=detail)


async def test_a_message_that_is_refused_is_not_answered(autojump_clock: MockClock) -> None:
    async def ask(session: Session) -> None:
        with pytest.raises(ServerError, match="too long"):
            await session.ask("Hello!")

    async with trio.open_nursery() as nursery, open_pair() as (session, server):
        nursery.start_soon(ask, session)
        message = await server.hear(ConversationItemCreate)
        create = await server.hear(ResponseCreate)
        assert create.response is not None
        begun = Response(id="resp_1", conversation_id="conv_1", metadata=create.response.metadata)
        await server.say(
            refusal(message.event_id, "too long"), ResponseCreated(event_id="e", response=begun)
        )
        assert (await server.hear(ResponseCancel)).response_id == "resp_1"


async def test_nothing_is_kept_of_a_message_that_was_withdrawn_before_it_was_sent(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("One two.", pacing=SLOW)) as session:
        await session.respond()
        with trio.move_on_after(1) as scope:
            await session.ask("And then?")
        assert scope.cancelled_caught
        assert session._book._messages == {}


async def test_a_request_that_comes_too_early_does_not_say_its_message_twice(
    autojump_clock: MockClock,
) -> None:
    over = Response(id="resp_0", conversation_id="conv_1", status="completed")
    async with open_pair() as (session, server):
        await session.send_message("Hello!")
        await server.hear(ConversationItemCreate)
        create = await server.hear(ResponseCreate)
        await server.say(
            refusal(create.event_id, "conversation_already_has_active_response"),
            ResponseDone(event_id="e", response=over),
        )
        await server.hear(ResponseCreate)  # and no message before it


@pytest.mark.parametrize("aside", [False, True])
async def test_an_answer_that_never_comes_ends_with_the_session(
    aside: bool, autojump_clock: MockClock
) -> None:
    async def ask(session: Session) -> None:
        with pytest.raises(SessionClosed, match="the session ended before the response did"):
            await session.ask(conversation="none" if aside else "auto")

    async with trio.open_nursery() as nursery, open_pair() as (session, server):
        nursery.start_soon(ask, session)
        await server.hear(ResponseCreate)


# Following


async def test_a_response_can_be_followed_piece_by_piece(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech("One two.", speech(400), pacing=SLOW)) as session:
        async with session.open_response() as response:
            assert (response.id, response.is_done) == (None, False)
            pieces = [piece async for piece in response]
            assert response.is_done
            assert response.id is not None
            assert response.id.startswith("resp_")
            answer = await response.wait()
        assert (
            "".join(piece.text for piece in pieces if isinstance(piece, TranscriptDelta))
            == "One two."
        )
        assert np.array_equal(
            np.concatenate([piece.samples for piece in pieces if isinstance(piece, AudioDelta)]),
            speech(400),
        )
        assert (answer.text, answer.status, answer.response.id) == (
            "One two.",
            "completed",
            response.id,
        )
        assert np.array_equal(answer.audio, speech(400))
        assert [piece async for piece in response] == []


async def test_waiting_skips_what_was_not_read(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech("One two.", speech(400))) as session:
        async with session.open_response(output_modalities=("audio",)) as response:
            async for piece in response:
                assert piece == TranscriptDelta("One")
                break
            answer = await response.wait()
        assert np.array_equal(answer.audio, speech(400))


async def test_a_written_response_and_a_call_are_followed_too(autojump_clock: MockClock) -> None:
    reply = Reply.text("Let me look.").then(Reply.call("get_weather", city="Paris"))
    async with (
        open_simulated(reply, output_modalities=("text",)) as session,
        session.open_response() as response,
    ):
        pieces = [piece async for piece in response]
        assert (
            "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
            == "Let me look."
        )
        assert (
            "".join(piece.text for piece in pieces if isinstance(piece, ArgumentsDelta))
            == '{"city":"Paris"}'
        )
        [call] = (await response.wait()).calls
        assert (call.name, call.arguments) == ("get_weather", '{"city":"Paris"}')


@pytest.mark.parametrize("whose", ["session", "response"])
async def test_followed_telephony_is_decoded(whose: str, autojump_clock: MockClock) -> None:
    formats = {"session": AudioFormat.pcm(), "response": AudioFormat.pcm()} | {
        whose: AudioFormat.pcmu()
    }
    async with (
        open_simulated(
            Reply.speech("Hello.", speech(400)), output_format=formats["session"]
        ) as session,
        session.open_response(output_format=formats["response"])
        if whose == "response"
        else session.open_response() as response,
    ):
        answer = await response.wait()
        assert answer.audio.dtype == np.int16
        assert len(answer.audio) == 3200
        assert abs(int(np.median(answer.audio)) - 1000) < 50


async def test_a_followed_response_that_is_left_early_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("A very long story.", pacing=SLOW)) as session:
        done = session.events(ResponseDone)
        async with session.open_response() as response:
            async for _ in response:
                break
        assert (await done.receive()).response.status == "cancelled"
        with pytest.raises(LocalProtocolError, match="left before the response had ended"):
            await response.wait()


async def test_a_followed_response_that_was_over_can_be_read_after_its_block(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.speech("One two.", speech(400))) as session:
        async with session.open_response() as response:
            await session.wait_for(ResponseDone)
        answer = await response.wait()
        assert answer.text == "One two."
        assert len(answer.audio) == 24 * 400


async def test_what_arrives_after_a_cancel_is_not_part_of_a_followed_response(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.speech("One two.", speech(4000), pacing=SLOW)) as session:
        async with session.open_response() as response:
            heard = 0
            async for piece in response:
                if isinstance(piece, AudioDelta):
                    heard = len(piece.samples)
                    break
            [item] = session.conversation.items
            await session.cancel_response(item.id, 1200)
            answer = await response.wait()
        assert answer.status == "cancelled"
        assert len(answer.audio) == heard > 0


@pytest.mark.parametrize(
    ("retention", "samples", "is_whole"), [("all", 9600, True), ("none", 0, False)]
)
async def test_an_answer_says_whether_its_audio_is_all_that_was_spoken(
    retention: Retention, samples: int, is_whole: bool, autojump_clock: MockClock
) -> None:
    async with open_simulated(
        Reply.speech("One two.", speech(400)), retention=retention
    ) as session:
        answer = await session.ask("Speak!")
    assert (len(answer.audio), answer.is_audio_whole) == (samples, is_whole)


async def test_what_was_being_said_when_the_session_ended_is_incomplete(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("A long story.", pacing=SLOW)) as session:
        updates = session.events(ItemUpdated)
        await session.send_message("Speak!")
        await updates.receive()
        [_, item] = session.conversation.items
        was = item.status
    assert (was, item.status, item.is_interrupted) == ("in_progress", "incomplete", True)
    told = [event async for event in updates]
    assert told[-1] == ItemUpdated(item=item)


async def test_a_followed_response_that_is_left_before_its_turn_is_withdrawn(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("One two.", pacing=SLOW)) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.respond()
        async with session.open_response() as response:
            await trio.sleep(1)
            assert (response.id, response.is_done) == (None, False)
        assert (await done.receive()).response.status == "completed"
        await wait_all_tasks_blocked()
        assert types_sent(wire) == ["response.create"]


async def test_a_followed_response_that_is_over_is_not_cancelled(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        wire = session.wire()
        async with session.open_response() as response:
            await session.wait_for(ResponseDone)
            assert response.is_done
        await wait_all_tasks_blocked()
        assert types_sent(wire) == ["response.create"]


async def test_a_followed_response_that_fails_ends_and_says_why(autojump_clock: MockClock) -> None:
    reply = Reply.text("Well,").then(Reply.fail("server_error", "Oops."))
    async with (
        open_simulated(reply, output_modalities=("text",)) as session,
        session.open_response() as response,
    ):
        assert [piece async for piece in response] == [TextDelta("Well"), TextDelta(",")]
        answer = await response.wait()
        assert (answer.status, answer.text) == ("failed", "Well,")


async def test_a_followed_response_that_is_refused_is_an_error_every_time(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session, session.open_response(voice="nobody") as response:
        for call in (response.__anext__, response.wait, response.wait):
            with pytest.raises(ServerError, match="nobody"):
                await call()
        assert response.is_done


async def test_followed_responses_do_not_mix(autojump_clock: MockClock) -> None:
    async with (
        open_simulated(
            Reply.text("red green blue", pacing=SLOW), output_modalities=("text",)
        ) as session,
        session.open_response(metadata={"which": "one"}) as one,
        session.open_response(conversation="none", input=[UserMessage.text("aside")]) as other,
    ):
        assert (await other.wait()).text == "You said: aside"
        assert not one.is_done
        answer = await one.wait()
        assert answer.text == "red green blue"
        assert answer.response.metadata is not None
        assert answer.response.metadata["which"] == "one"


async def test_a_followed_response_ends_with_the_session(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server), session.open_response() as response:
        await server.hear(ResponseCreate)
        await server.transport.aclose()
        for call in (response.wait, response.__anext__):
            with pytest.raises(SessionClosed):
                await call()
