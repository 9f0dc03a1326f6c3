"""Talking: messages, the user's audio, push to talk, responses and interruptions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import trio
from peers import CancelAt, failure, open_pair, tasks
from simulated import SLOW, buffered, only, open_simulated, records, sent, speech, types_sent
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.input_audio import MAX_APPEND_BYTES
from realtime_trio._session.responses import Answer
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    ItemCompleted,
    TextDelta,
    ToolCallRequested,
    TranscriptDelta,
)
from realtime_trio.audio import AudioData, AudioLike
from realtime_trio.errors import LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ConversationItemCreate,
    ConversationItemTruncate,
    ErrorEvent,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputImage,
    InputText,
    MessageContent,
    OutputText,
    RealtimeSession,
    Response,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputItemAdded,
    ResponseUsage,
    ServerEvent,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionUpdate,
    SessionUpdated,
    UserMessage,
)
from realtime_trio.simulator import Call, Reply

PIXEL = InputImage("data:image/png;base64,iVBORw0KGgo=")
SAMPLES = np.arange(2400, dtype=np.int16)


ALREADY_ACTIVE = "conversation_already_has_active_response"


def begun(create: ResponseCreate | None, response_id: str = "resp_1") -> Response:
    metadata = (
        create.response.metadata if create is not None and create.response is not None else None
    )
    return Response(id=response_id, conversation_id="conv_1", metadata=metadata)


# Messages


async def test_a_message_is_an_item_and_a_response_and_nothing_else(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Hello yourself.")) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        item_id = await session.send_message("Hello!")
        assert (await done.receive()).response.status == "completed"
        assert types_sent(wire) == ["conversation.item.create", "response.create"]
        user, assistant = session.conversation.items
        assert (user.id, user.text, user.status) == (item_id, "Hello!", "completed")
        assert assistant.transcript == "Hello yourself."


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("words", [InputText("words")]),
        ("", [InputText("")]),
        (PIXEL, [PIXEL]),
        (
            ["What is this?", PIXEL, InputText("Say!")],
            [InputText("What is this?"), PIXEL, InputText("Say!")],
        ),
        ((part for part in ("a", "b")), [InputText("a"), InputText("b")]),
        (SAMPLES, [InputAudio(AudioData(SAMPLES))]),
        (SAMPLES[100:200], [InputAudio(AudioData(SAMPLES[100:200].copy()))]),
        (
            np.array([0.5, -1.0], np.float32),
            [InputAudio(AudioData(np.array([16383, -32768], np.int16)))],
        ),
        (SAMPLES.tobytes(), [InputAudio(AudioData(SAMPLES))]),
        (memoryview(SAMPLES.tobytes()), [InputAudio(AudioData(SAMPLES))]),
        (AudioData(SAMPLES), [InputAudio(AudioData(SAMPLES))]),
        (
            [InputAudio(AudioData(SAMPLES)), "and?"],
            [InputAudio(AudioData(SAMPLES)), InputText("and?")],
        ),
    ],
    ids=[
        "text",
        "empty",
        "part",
        "several",
        "generator",
        "int16",
        "view",
        "float32",
        "bytes",
        "memoryview",
        "audio",
        "audio and text",
    ],
)
async def test_a_message_can_be_text_audio_parts_or_several(
    content: MessageContent, parts: list[object], autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        item_id = await session.send_message(content, respond=False)
        create = await server.hear(ConversationItemCreate)
        assert create.item == UserMessage(id=item_id, content=parts)  # type: ignore[arg-type]  # a table of several kinds
        assert create.previous_item_id is None
    assert await server.hear_the_rest() == []


@pytest.mark.parametrize(
    "content",
    [5, object(), [5], [b"bytes in a list"], OutputText("not the user"), UserMessage.text("whole")],
)
async def test_what_is_no_message_is_refused_and_nothing_is_sent(
    content: MessageContent, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(LocalProtocolError):
            await session.send_message(content)
        with pytest.raises(LocalProtocolError):
            await session.ask(content)
    assert await server.hear_the_rest() == []


async def test_a_message_can_be_put_at_the_front(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        second = await session.send_message("second", respond=False)
        first = await session.send_message("first", respond=False, previous_item_id="root")
        completed = session.events(ItemCompleted)
        while len(session.conversation.items) < 2:
            await completed.receive()
        assert [item.id for item in session.conversation.items] == [first, second]


async def test_settings_of_a_message_are_for_its_response_alone(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.text("Written."), Reply.text("Spoken.")) as session:
        done = session.events(ResponseDone)
        await session.send_message("Write!", output_modalities=("text",), max_output_tokens=100)
        await session.send_message("Speak!")
        written, spoken = [(await done.receive()).response for _ in range(2)]
        assert (written.output_modalities, written.max_output_tokens) == (("text",), 100)
        assert (spoken.output_modalities, spoken.max_output_tokens) == (("audio",), "inf")


async def test_settings_that_are_none_or_for_nothing_are_refused_and_nothing_is_sent(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(TypeError, match="unexpected keyword 'voize'"):
            await session.send_message("Hello!", voize="marin")  # type: ignore[call-arg]  # the point of the test
        with pytest.raises(LocalProtocolError, match="max_output_tokens"):
            await session.send_message("Hello!", max_output_tokens=1.5)  # type: ignore[arg-type]  # the point of the test
        with pytest.raises(TypeError, match="none is asked for"):
            await session.send_message("Hello!", respond=False, voice="marin")
        with pytest.raises(TypeError, match="either a ResponseConfig or keywords"):
            await session.respond(ResponseConfig(), voice="marin")
    assert await server.hear_the_rest() == []


async def test_pending_audio_is_committed_before_the_message_and_the_response(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.append_audio(speech(200))
        text_id = await session.send_message("and some text")
        await done.receive()
        assert types_sent(wire)[1:] == [
            "input_audio_buffer.append",
            "input_audio_buffer.commit",
            "conversation.item.create",
            "response.create",
        ]
        spoken, written, _ = session.conversation.items
        assert (len(spoken.audio), written.id, len(written.audio)) == (4800, text_id, 0)


async def test_under_turn_detection_nobody_commits_but_the_server(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.append_audio(speech(200))
        await session.send_message("words")
        await session.respond()
        for _ in range(2):
            await done.receive()
        assert "input_audio_buffer.commit" not in types_sent(wire)


# Audio


@pytest.mark.parametrize(
    "size", [0, 2, MAX_APPEND_BYTES, MAX_APPEND_BYTES + 2, 3 * MAX_APPEND_BYTES + 100]
)
async def test_audio_of_any_length_is_cut_to_events_of_a_reasonable_length(
    size: int, autojump_clock: MockClock
) -> None:
    audio = np.random.default_rng(1).integers(-(2**15), 2**15, size // 2, np.int16)
    async with open_pair() as (session, server):
        await session.append_audio(audio)
    pieces = [
        event.audio.data
        for event in await server.hear_the_rest()
        if isinstance(event, InputAudioBufferAppend)
    ]
    assert b"".join(pieces) == audio.tobytes()
    assert all(0 < len(piece) <= MAX_APPEND_BYTES for piece in pieces)


@pytest.mark.parametrize(
    ("encoding", "sizes"),
    [(AudioFormat.pcm(), [1920, 1920, 960]), (AudioFormat.pcmu(), [320] * 15)],
)
async def test_audio_can_be_sent_in_chunks_of_a_given_length(
    encoding: AudioFormat, sizes: list[int], autojump_clock: MockClock
) -> None:
    async with open_simulated(input_format=encoding, turn_detection=None) as session:
        wire = session.wire()
        await session.append_audio(bytes(4800), chunk_ms=40)
        await wait_all_tasks_blocked()
        assert [
            event.audio.nbytes for event in sent(wire) if isinstance(event, InputAudioBufferAppend)
        ] == sizes


@pytest.mark.parametrize("audio", ["text", 5, np.zeros((2, 2), np.int16), np.zeros(2, np.int32)])
async def test_what_is_no_audio_is_refused_and_nothing_is_sent(
    audio: AudioLike, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(LocalProtocolError):
            await session.append_audio(audio)
    assert await server.hear_the_rest() == []


async def test_committed_audio_is_a_user_message_that_holds_it(autojump_clock: MockClock) -> None:
    async with open_simulated(turn_detection=None) as session:
        completed = session.events(ItemCompleted)
        await session.append_audio(SAMPLES)
        item_id = await session.commit_audio()
        item = (await completed.receive()).item
        assert (item.id, item.role, item.status) == (item_id, "user", "completed")
        assert np.array_equal(item.audio, SAMPLES)
        assert session.conversation.pending_input_ms == 0


@pytest.mark.parametrize("milliseconds", [0, 1, 99])
async def test_less_than_100_ms_cannot_be_committed_and_nothing_is_sent(
    milliseconds: int, autojump_clock: MockClock
) -> None:
    async with open_simulated(turn_detection=None) as session:
        await session.append_audio(speech(milliseconds))
        wire = session.wire()
        with pytest.raises(
            LocalProtocolError,
            match=f"cannot commit {milliseconds} ms of audio: at least 100 ms must have been appended",
        ):
            await session.commit_audio()
        if milliseconds:
            for call in (
                session.respond(),
                session.send_message("words"),
                session.ask("words"),
                session.ask(),
            ):
                with pytest.raises(LocalProtocolError, match="cannot commit"):
                    await call
            with pytest.raises(LocalProtocolError, match="cannot commit"):
                async with session.open_response():
                    pytest.fail("not reached")
        await wait_all_tasks_blocked()
        assert [
            event
            for event in sent(wire)
            if not isinstance(event, InputAudioBufferAppend | SessionUpdate)
        ] == []
        await session.append_audio(speech(100 - milliseconds))
        assert await session.commit_audio() is not None


async def test_under_turn_detection_a_commit_that_comes_too_late_is_no_error(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session:
        wire, errors = session.wire(), session.events(ErrorEvent)
        assert await session.commit_audio() is None
        assert [
            record.event.error.code
            for record in records(wire)
            if isinstance(record.event, ErrorEvent)
        ] == ["input_audio_buffer_commit_empty"]
        assert errors.pending == 0


@pytest.mark.parametrize(
    ("detection", "code"),
    [(None, "input_audio_buffer_commit_empty"), (ServerVad(), "something_else")],
)
async def test_a_refused_commit_is_an_error_that_says_why(
    detection: ServerVad | None, code: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        config = RealtimeSession(
            audio=SessionAudio(input=SessionAudioInput(turn_detection=detection))
        )
        await server.say(SessionUpdated(event_id="event_1", session=config))
        await session.append_audio(speech(100))
        errors = session.events(ErrorEvent)

        async def refuse() -> None:
            await server.hear(InputAudioBufferAppend)
            commit = await server.hear(InputAudioBufferCommit)
            await server.say(failure("no", code=code, of=commit.event_id))

        nursery.start_soon(refuse)
        with pytest.raises(ServerError) as caught:
            await session.commit_audio()
        assert caught.value.code == code
        assert errors.pending == 1


async def test_cleared_audio_is_neither_pending_nor_committed_by_what_follows(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None) as session:
        wire = session.wire()
        await session.append_audio(speech(500))
        await session.clear_audio()
        assert session.conversation.pending_input_ms == 0
        await session.ask("words")
        assert "input_audio_buffer.commit" not in types_sent(wire)


async def test_tasks_that_ask_at_once_commit_the_audio_once(autojump_clock: MockClock) -> None:
    async with open_simulated(turn_detection=None) as session:
        wire, errors = session.wire(), session.events(ErrorEvent)
        await session.append_audio(speech(200))
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(session.ask)
        assert types_sent(wire).count("input_audio_buffer.commit") == 1
        assert errors.pending == 0


# Push to talk


async def test_a_user_turn_commits_what_was_said_and_asks_for_a_response(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("I heard you."), turn_detection=None) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        async with session.user_turn():
            for _ in range(5):
                await session.append_audio(speech(100))
        assert (await done.receive()).response.status == "completed"
        assert types_sent(wire)[-2:] == ["input_audio_buffer.commit", "response.create"]
        assert session.conversation.items[0].audio_ms == 500
        async with session.user_turn(respond=False):
            await session.append_audio(speech(100))
        await wait_all_tasks_blocked()
        assert types_sent(wire) == ["input_audio_buffer.append", "input_audio_buffer.commit"]


async def test_who_begins_to_talk_interrupts_the_model(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.text("A long story begins here.", pacing=SLOW), turn_detection=None
    ) as session:
        done = session.events(ResponseDone)
        await session.send_message("Tell me a story!")
        await session.wait_for(ResponseOutputAudioDelta)
        async with session.user_turn():
            assert (await done.receive()).response.status == "cancelled"
            await session.append_audio(speech(100))
        assert (await done.receive()).response.status == "completed"


async def test_who_only_listens_in_does_not_interrupt_the_model(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.text("A story.", pacing=SLOW), turn_detection=None) as session:
        done = session.events(ResponseDone)
        await session.send_message("Tell me a story!")
        await session.wait_for(ResponseCreated)
        async with session.user_turn(interrupt=False):
            await session.append_audio(speech(100))
        assert [(await done.receive()).response.status for _ in range(2)] == [
            "completed",
            "completed",
        ]


async def test_a_user_turn_that_fails_or_is_too_short_discards_the_audio(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None) as session:
        wire = session.wire()
        with suppress(ZeroDivisionError):
            async with session.user_turn():
                await session.append_audio(speech(500))
                raise ZeroDivisionError
        with trio.CancelScope() as scope:
            async with session.user_turn():
                await session.append_audio(speech(500))
                scope.cancel()
                await trio.sleep_forever()
        with pytest.raises(LocalProtocolError, match="cannot commit 50 ms"):
            async with session.user_turn():
                await session.append_audio(speech(50))
        await wait_all_tasks_blocked()
        assert types_sent(wire)[1:] == ["input_audio_buffer.append", "input_audio_buffer.clear"] * 3
        assert session.conversation.pending_input_ms == 0


async def test_push_to_talk_needs_turn_detection_to_be_off(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        with pytest.raises(LocalProtocolError, match="turn_detection=None"):
            async with session.user_turn():
                pytest.fail("not reached")


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
        assert types_sent(wire) == ["response.create", "conversation.item.create"]


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
        with pytest.raises(SessionClosed):
            await response.wait()


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


# Interrupting


async def spoken_item(session: Session) -> str:
    """Ask the model to speak, and wait until it has spoken for 600 ms."""
    deltas = session.events(ResponseOutputAudioDelta)
    await session.send_message("Speak!")
    for _ in range(3):
        delta = await deltas.receive()
    return delta.item_id


async def test_interrupting_cancels_and_cuts_to_what_was_heard(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech("Once upon a time.", speech(5000), pacing=SLOW)
    ) as session:
        item_id = await spoken_item(session)
        wire, done = session.wire(), session.events(ResponseDone)
        item = await session.cancel_response(item_id, 7201)
        assert item is session.conversation.get(item_id)
        assert (await done.receive()).response.status == "cancelled"
        await wait_all_tasks_blocked()
        events = [
            event
            for event in sent(wire)
            if isinstance(event, ResponseCancel | ConversationItemTruncate)
        ]
        assert [event.type for event in events] == ["response.cancel", "conversation.item.truncate"]
        truncate = only(ConversationItemTruncate, events)
        assert (truncate.item_id, truncate.content_index, truncate.audio_end_ms) == (
            item_id,
            0,
            300,
        )
        assert item is not None
        assert (item.audio_ms, item.heard_ms, item.transcript, item.is_interrupted) == (
            300,
            300,
            "",
            True,
        )


@pytest.mark.parametrize(
    ("samples", "milliseconds"),
    [(24001, 600), (14400, 600), (14399, 599), (23, 0), (0, 0), (-5, 0)],
    ids=str,
)
async def test_what_was_heard_is_whole_milliseconds_and_no_more_than_arrived(
    samples: int, milliseconds: int, autojump_clock: MockClock
) -> None:
    async with open_simulated(Reply.speech("Once upon a time.", speech(600))) as session:
        answer = await session.ask("Speak!")
        wire, errors = session.wire(), session.events(ErrorEvent)
        await session.cancel_response(answer.items[0].id, samples)
        await wait_all_tasks_blocked()
        assert [event.type for event in sent(wire)][-1] == "conversation.item.truncate"
        item = session.conversation.items[1]
        assert (item.audio_ms, item.heard_ms) == (milliseconds, milliseconds)
        assert errors.pending == 0


async def test_samples_of_telephony_count_at_its_own_rate(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech("Hello.", speech(600)), output_format=AudioFormat.pcma()
    ) as session:
        answer = await session.ask("Speak!")
        await session.cancel_response(answer.items[0].id, 8 * 250)
        await wait_all_tasks_blocked()
        assert session.conversation.items[1].heard_ms == 250


async def test_without_an_item_the_response_is_cancelled_and_nothing_is_cut(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Once upon a time.", pacing=SLOW)) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.send_message("Speak!")
        created_event = await session.wait_for(ResponseCreated)
        assert await session.cancel_response() is None
        assert (await done.receive()).response.status == "cancelled"
        cancel = only(ResponseCancel, sent(wire))
        assert cancel.response_id == created_event.response.id


async def test_where_nothing_is_active_nothing_is_cancelled(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.text("Once.", pacing=SLOW)) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.cancel_response()
        await session.respond()
        await session.wait_for(ResponseOutputItemAdded)
        await session.cancel_response()
        await session.cancel_response()
        await done.receive()
        await session.cancel_response()
        await wait_all_tasks_blocked()
        assert types_sent(wire) == ["response.create", "response.cancel"]


async def test_what_is_cancelled_before_it_began_is_cancelled_when_it_begins(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Once.", pacing=SLOW)) as session:
        wire = session.wire()
        async with session.open_response() as response:
            await session.cancel_response()
            assert (await response.wait()).status == "cancelled"
        assert types_sent(wire) == ["response.create", "response.cancel"]


@pytest.mark.parametrize(
    ("which", "problem"),
    [
        ("item_of_somebody_else", "there is no item 'item_of_somebody_else' in the conversation"),
        ("user", "is no assistant message"),
        ("function_call", "is no assistant message"),
        ("written", "has no audio that could be cut"),
    ],
)
async def test_what_cannot_be_cut_is_refused_before_anything_is_cancelled(
    which: str, problem: str, autojump_clock: MockClock
) -> None:
    reply = Reply.text("Let me look.").then(Reply.call("get_weather"))
    async with open_simulated(
        reply, Reply.text("Slow.", pacing=SLOW), output_modalities=("text",)
    ) as session:
        done = session.events(ResponseDone)
        await session.send_message("Hello!")
        await done.receive()
        user, written, call = session.conversation.items
        await session.respond()
        await session.wait_for(ResponseCreated)
        wire = session.wire()
        records(wire)
        ids = {"user": user.id, "written": written.id, "function_call": call.id}
        with pytest.raises(LocalProtocolError, match=problem):
            await session.cancel_response(ids.get(which, which), 100)
        assert (await done.receive()).response.status == "completed"
        assert sent(wire) == []


async def test_a_cancel_that_comes_too_late_is_nobodys_business(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        events, wire = session.events(), session.wire()
        await session.respond()
        create = await server.hear(ResponseCreate)
        response = begun(create)
        await server.say(ResponseCreated(event_id="event_1", response=response))
        await wait_all_tasks_blocked()
        await session.cancel_response()
        cancel = await server.hear(ResponseCancel)
        await server.say(
            ResponseDone(event_id="event_2", response=response),
            failure("Cancellation failed", code="response_cancel_not_active", of=cancel.event_id),
            failure("Cancellation failed", code="response_cancel_not_active", of="somebody else's"),
        )
        await wait_all_tasks_blocked()
        assert [
            event.error.event_id for event in buffered(events) if isinstance(event, ErrorEvent)
        ] == ["somebody else's"]
        assert [
            record.event.error.event_id
            for record in records(wire)
            if isinstance(record.event, ErrorEvent)
        ] == [
            cancel.event_id,
            "somebody else's",
        ]


async def test_a_create_that_lost_a_race_is_nobodys_business_and_is_repeated(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        events, wire = session.events(ErrorEvent), session.wire()
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await session.ask())

        nursery.start_soon(ask)
        create = await server.hear(ResponseCreate)
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(None, "resp_vad")),
            failure(
                "Conversation already has an active response",
                code=ALREADY_ACTIVE,
                of=create.event_id,
            ),
            ResponseDone(event_id="event_2", response=begun(None, "resp_vad")),
        )
        again = await server.hear(ResponseCreate)
        response = begun(again)
        await server.say(
            ResponseCreated(event_id="event_3", response=response),
            ResponseDone(event_id="event_4", response=response),
        )
        await wait_all_tasks_blocked()
        assert [answer.response.id for answer in answers] == ["resp_1"]
        assert events.pending == 0
        assert any(isinstance(record.event, ErrorEvent) for record in records(wire))


@pytest.mark.parametrize("how", ["ask", "follow"])
async def test_who_waits_for_a_response_that_somebody_else_cancelled_before_it_began_is_told(
    how: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        outcomes: list[str] = []

        async def follow() -> None:
            async with session.open_response() as response:
                await response.wait()

        async def wait() -> None:
            with pytest.raises(ServerError, match="the response was cancelled before it began"):
                await (session.ask() if how == "ask" else follow())
            outcomes.append("told")

        nursery.start_soon(wait)
        create = await server.hear(ResponseCreate)
        await session.cancel_response()
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(None, "resp_vad")),
            failure(
                "Conversation already has an active response",
                code=ALREADY_ACTIVE,
                of=create.event_id,
            ),
        )
        await wait_all_tasks_blocked()
        assert outcomes == ["told"]


async def test_a_withdrawn_request_that_is_refused_is_nobodys_business(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        errors = session.events(ErrorEvent)
        async with session.open_response():
            create = await server.hear(ResponseCreate)
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(None, "resp_vad")),
            failure(
                "Conversation already has an active response",
                code=ALREADY_ACTIVE,
                of=create.event_id,
            ),
        )
        await wait_all_tasks_blocked()
        assert errors.pending == 0


async def test_a_server_that_refuses_responses_out_of_band_beside_others_is_quoted(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        errors = session.events(ErrorEvent)

        async def refuse() -> None:
            create = await server.hear(ResponseCreate)
            await server.say(
                failure(
                    "Conversation already has an active response",
                    code=ALREADY_ACTIVE,
                    of=create.event_id,
                )
            )

        nursery.start_soon(refuse)
        with pytest.raises(ServerError, match="already has an active response"):
            await session.ask(conversation="none")
        assert errors.pending == 1
        nursery.start_soon(refuse)
        await session.respond(conversation="none")
        await wait_all_tasks_blocked()
        assert errors.pending == 2


async def test_a_response_that_turn_detection_interrupts_is_an_answer_that_says_so(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await session.ask())

        nursery.start_soon(ask)
        create = await server.hear(ResponseCreate)
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(create)),
            ResponseDone(
                event_id="event_2",
                response=Response(id="resp_1", status="cancelled", conversation_id="conv_1"),
            ),
        )
        await wait_all_tasks_blocked()
        assert [(answer.status, len(answer.audio)) for answer in answers] == [("cancelled", 0)]
    assert await server.hear_the_rest() == []


# Waiting and not waiting


async def test_everything_that_talks_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_simulated(turn_detection=None) as session:
        calls: list[Callable[[], Awaitable[object]]] = [
            partial(session.append_audio, b""),
            partial(session.append_audio, speech(200)),
            session.commit_audio,
            session.clear_audio,
            session.respond,
            session.ask,
            partial(session.ask, conversation="none"),
            partial(session.send_message, "words", respond=False),
            session.cancel_response,
        ]
        for call in calls:
            with assert_checkpoints():
                await call()
        async with session.open_response() as response:
            with assert_checkpoints():
                await response.wait()
            with assert_checkpoints():
                await response.wait()


async def test_what_is_cancelled_before_it_begins_sends_nothing(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        await session.append_audio(speech(200))
        calls: list[Callable[[], Awaitable[object]]] = [
            partial(session.append_audio, speech(200)),
            session.commit_audio,
            session.clear_audio,
            session.respond,
            session.ask,
            partial(session.ask, "words"),
            partial(session.ask, conversation="none"),
            partial(session.send_message, "words"),
        ]
        for call in calls:
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
            assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            scope.cancel()
            async with session.open_response():
                pytest.fail("not reached")
    assert [event.type for event in await server.hear_the_rest()] == ["input_audio_buffer.append"]


@pytest.mark.parametrize("kind", ["commit", "clear"])
async def test_an_answer_that_nobody_waits_for_any_more_is_not_taken_for_the_next(
    kind: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        done: list[object] = []
        await session.append_audio(speech(200))
        await server.hear(InputAudioBufferAppend)

        async def call() -> None:
            done.append(
                await (session.commit_audio() if kind == "commit" else session.clear_audio())
            )

        with trio.move_on_after(1):
            await call()
        await session.append_audio(speech(200))
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        answers: dict[str, list[ServerEvent]] = {
            "commit": [
                InputAudioBufferCommitted(event_id="event_1", item_id=f"item_{number}")
                for number in (1, 2)
            ],
            "clear": [InputAudioBufferCleared(event_id="event_1")] * 2,
        }
        await server.say(answers[kind][0])
        await wait_all_tasks_blocked()
        assert done == []
        await server.say(answers[kind][1])
        await wait_all_tasks_blocked()
        assert done == (["item_2"] if kind == "commit" else [None])


async def test_what_the_library_sends_itself_does_not_answer_for_what_is_awaited(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        cleared: list[str] = []
        with pytest.raises(ZeroDivisionError):
            async with session.user_turn():
                raise ZeroDivisionError

        async def clear() -> None:
            await session.clear_audio()
            cleared.append("cleared")

        nursery.start_soon(clear)
        await wait_all_tasks_blocked()
        await server.say(InputAudioBufferCleared(event_id="event_1"))
        await wait_all_tasks_blocked()
        assert cleared == []
        await server.say(InputAudioBufferCleared(event_id="event_2"))
        await wait_all_tasks_blocked()
        assert cleared == ["cleared"]


async def life_of_a_talk(scope: trio.CancelScope, canceller: CancelAt) -> bool:
    """Everything there is to talk with, with a cancellation somewhere; whether the end was reached."""
    before, start = tasks(), trio.current_time()
    is_done = False
    with scope:
        canceller.scope = scope
        replies = (
            Reply.text("One."),
            Reply.text("Two."),
            Reply.calls(Call("look", call_id="call_1")),
            Reply.text("Three."),
        )
        async with open_simulated(*replies, turn_detection=None) as session:
            await session.append_audio(speech(200))
            assert await session.commit_audio() is not None
            await session.clear_audio()
            async with session.user_turn(respond=False):
                await session.append_audio(speech(100))
            answer = await session.ask("Hello!")
            async with session.open_response() as response:
                async for _ in response:
                    pass
                await response.wait()
            await session.cancel_response(answer.items[0].id, 100)
            calls, done = session.events(ToolCallRequested), session.events(ResponseDone)
            await session.respond()
            call = (await calls.receive()).call
            await session.send_tool_output(str(call.call_id), "{}")
            for _ in range(2):
                await done.receive()
            item = await session.insert_item(UserMessage.text("Again!"))
            await session.retrieve_item(item.id)
            await session.delete_item(item.id)
            await session.update(instructions="Be brief.")
            await session.ask("Aside?", conversation="none")
        is_done = True
    canceller.scope = None
    assert tasks() <= before
    assert trio.current_time() == start
    return is_done


def test_a_talk_may_be_cancelled_at_every_single_step() -> None:
    for step in range(1, 5000):
        scope, canceller = trio.CancelScope(), CancelAt(step)
        is_done = trio.run(
            life_of_a_talk,
            scope,
            canceller,
            clock=MockClock(autojump_threshold=0),
            instruments=[canceller],
        )
        assert is_done != scope.cancelled_caught
        if canceller.steps_left > 0:
            assert is_done
            assert step > 100
            return
    pytest.fail("a talk takes more steps than that?")
