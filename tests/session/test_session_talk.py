"""Talking: messages, the user's audio and push to talk."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import trio
from peers import failure, open_pair
from simulated import SLOW, open_simulated, records, sent, speech, types_sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.input_audio import MAX_APPEND_BYTES
from realtime_trio._state.utility_events import (
    ItemCompleted,
)
from realtime_trio.audio import AudioData, AudioLike
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    AudioFormat,
    ConversationItemCreate,
    ErrorEvent,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputImage,
    InputText,
    MessageContent,
    OutputText,
    RealtimeSession,
    ResponseConfig,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionUpdate,
    SessionUpdated,
    UserMessage,
)
from realtime_trio.simulator import Reply

SAMPLES = np.arange(2400, dtype=np.int16)

PIXEL = InputImage("data:image/png;base64,iVBORw0KGgo=")


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
        assert create.item == UserMessage(id=item_id, content=parts)  # type: ignore[arg-type]
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
            await session.send_message("Hello!", voize="marin")  # type: ignore[call-arg]
        with pytest.raises(LocalProtocolError, match="max_output_tokens"):
            await session.send_message("Hello!", max_output_tokens=1.5)  # type: ignore[arg-type]
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
            match=f"cannot commit {milliseconds} ms of audio: at least 100 ms must have been",
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


async def test_a_user_turn_in_a_user_turn_is_an_error(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.text("One."), turn_detection=None) as session:
        wire = session.wire()
        types_sent(wire)  # the opening
        async with session.user_turn(respond=False):
            await session.append_audio(speech(1000))
            with pytest.raises(LocalProtocolError, match=r"a user_turn\(\) is open already"):
                async with session.user_turn():
                    pytest.fail("not reached")
        assert types_sent(wire) == ["input_audio_buffer.append", "input_audio_buffer.commit"]


@pytest.mark.parametrize("error", [None, ValueError()])
async def test_after_a_user_turn_there_may_be_another_one(
    autojump_clock: MockClock, error: Exception | None
) -> None:
    async with open_simulated(turn_detection=None) as session:
        with suppress(ValueError):
            async with session.user_turn(respond=False):
                await session.append_audio(speech(1000))
                if error is not None:
                    raise error
        async with session.user_turn(respond=False):
            await session.append_audio(speech(1000))
        await wait_all_tasks_blocked()
        heard = [item.audio_ms for item in session.conversation.items]
        assert heard == ([1000, 1000] if error is None else [1000])


async def test_a_button_may_be_pressed_while_the_last_turn_is_being_taken(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None) as session, trio.open_nursery() as nursery:
        is_over = trio.Event()

        async def speak() -> None:
            async with session.user_turn(respond=False):
                await session.append_audio(speech(1000))
                is_over.set()

        nursery.start_soon(speak)
        await is_over.wait()
        await trio.lowlevel.checkpoint()
        async with session.user_turn(respond=False):
            await session.append_audio(speech(1000))


async def test_push_to_talk_needs_turn_detection_to_be_off(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        with pytest.raises(LocalProtocolError, match="turn_detection=None"):
            async with session.user_turn():
                pytest.fail("not reached")
