"""The live tests of the JavaScript reference client, against the simulator on a real port.

The first half asks of a session what its tests ask of the client, on a server (a key in a header)
and in a browser (a key among the subprotocols).  The second half pins what is different here
because there it is a mistake, as far as that shows in a whole session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest
import trio
from peers import drain, failure, open_pair
from simulated import (
    SLOW,
    buffered,
    open_simulated,
    records,
    sent,
    simulator_at_port,
    speech,
    types_sent,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.ids import generate_id
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import (
    Interrupted,
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    ToolCallRequested,
    UtilityEvent,
)
from realtime_trio.audio import AudioData
from realtime_trio.audio.wav import read_wav
from realtime_trio.errors import ConnectionFailed
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorEvent,
    Event,
    FunctionCall,
    InputAudio,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputText,
    RealtimeSession,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ServerEvent,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionUpdated,
    Transcription,
    UnknownObject,
    UserContent,
    UserMessage,
)
from realtime_trio.simulator import Call, Reply, Script

KEY = "sk-simulated"
QUESTION = Path(__file__).parent.parent / "examples" / "question.wav"
SAN_FRANCISCO = Reply.text("The Golden Gate Bridge is in San Francisco.")
TORONTO = Reply.text("You asked for the population of Toronto.")

on_server_and_in_browser = pytest.mark.parametrize(
    "auth", ["bearer", "subprotocol"], ids=["server", "browser"]
)


@asynccontextmanager
async def open_service(*replies: Reply) -> AsyncIterator[str]:
    """A service that wants a key, at the URL that this yields."""
    script = Script(replies, transcripts=["What is the population of Toronto?"])
    async with simulator_at_port(script, api_key=KEY) as url:
        yield url


@asynccontextmanager
async def open_live(*replies: Reply, **options: Unpack[SessionOptions]) -> AsyncIterator[Session]:
    """A session over a WebSocket with such a service."""
    options.setdefault("turn_detection", None)
    options.setdefault("proxy", None)
    options.setdefault("api_key", KEY)
    async with open_service(*replies) as url, open_session(url=url, **options) as session:
        yield session


# What is asked of the client, live


@pytest.mark.usefixtures("no_service_in_environment")
def test_a_session_can_be_prepared_without_a_key_and_without_a_network() -> None:
    open_session()
    open_session(url="wss://example.invalid/v1", api_key=KEY)


@pytest.mark.socket
@pytest.mark.usefixtures("no_service_in_environment")
@on_server_and_in_browser
@pytest.mark.parametrize(
    ("key", "complaint"), [(None, "Missing bearer"), ("sk-wrong", "Incorrect API key provided")]
)
async def test_without_the_right_key_the_service_is_quoted_within_a_second(
    key: str | None, complaint: str, auth: Any
) -> None:
    async with open_service() as url:
        with trio.fail_after(1), pytest.raises(ConnectionFailed, match=complaint):
            async with open_session(url=url, api_key=key, auth=auth, proxy=None):
                pytest.fail("not reached")


@pytest.mark.socket
@on_server_and_in_browser
async def test_with_the_right_key_it_is_connected_until_it_is_left(auth: Any) -> None:
    async with open_live(auth=auth) as session:
        before = session.closed
        assert session.config.id.startswith("sess_")
    after = session.closed
    assert before is None
    assert after is not None
    assert after.is_clean


@pytest.mark.socket
@on_server_and_in_browser
async def test_beginning_is_a_greeting_and_a_configuration_and_nothing_else(auth: Any) -> None:
    async with open_live(auth=auth, instructions="Be brief.") as session:
        began = [(record.source, record.event.type) for record in records(session.wire())]
        assert began == [
            ("server", "session.created"),
            ("client", "session.update"),
            ("server", "session.updated"),
        ]


@pytest.mark.socket
@on_server_and_in_browser
async def test_sending_a_text_adds_an_item_and_a_request_and_nothing_else(auth: Any) -> None:
    async with open_live(SAN_FRANCISCO, auth=auth) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        sent(wire)
        await session.send_message("Where is the Golden Gate Bridge?")
        await done.receive()
        assert types_sent(wire) == ["conversation.item.create", "response.create"]


@pytest.mark.socket
@on_server_and_in_browser
async def test_the_first_item_is_the_users_complete_and_as_written(auth: Any) -> None:
    async with open_live(SAN_FRANCISCO, auth=auth) as session:
        appended = session.events(ItemAppended)
        await session.send_message("Where is the Golden Gate Bridge?")
        item = (await appended.receive()).item
        assert (item.type, item.role, item.status) == ("message", "user", "completed")
        assert item.text == "Where is the Golden Gate Bridge?"


@pytest.mark.socket
@on_server_and_in_browser
async def test_the_second_item_is_the_models_in_progress_and_empty(auth: Any) -> None:
    async with open_live(SAN_FRANCISCO, auth=auth) as session:
        appended, added = session.events(ItemAppended), session.events(ConversationItemAdded)
        await session.send_message("Where is the Golden Gate Bridge?")
        for _ in range(2):
            item, then = (await appended.receive()).item, (await added.receive()).item
        assert (item.id, item.type, item.role) == (then.id, "message", "assistant")
        # What the server said then; the item itself may have grown meanwhile.
        assert isinstance(then, AssistantMessage)
        assert (then.status, then.content) == ("in_progress", ())


@pytest.mark.socket
@on_server_and_in_browser
async def test_the_completed_answer_has_a_transcript(auth: Any) -> None:
    async with open_live(SAN_FRANCISCO, auth=auth) as session:
        done = session.events(ItemCompleted)
        await session.send_message("Where is the Golden Gate Bridge?")
        user, assistant = (await done.receive()).item, (await done.receive()).item
        assert (user.role, assistant.role) == ("user", "assistant")
        assert "san francisco" in assistant.transcript.lower()


def test_a_recording_survives_base64() -> None:
    recording = read_wav(QUESTION)
    assert np.array_equal(AudioData.from_base64(AudioData(recording).base64).samples, recording)
    floats = recording.astype(np.float32) / 32768
    assert np.abs(AudioData(floats).samples.astype(int) - recording).max() <= 1


@pytest.mark.socket
async def test_recorded_speech_is_a_message_without_text_and_is_answered() -> None:
    recording = read_wav(QUESTION)
    async with open_live(TORONTO) as session:
        done = session.events(ItemCompleted)
        await session.send_message(recording)
        user, assistant = (await done.receive()).item, (await done.receive()).item
        assert (user.role, user.text) == ("user", "")
        assert "toronto" in assistant.transcript.lower()
    async with open_live(TORONTO) as session:
        await session.send_message(
            [InputAudio(AudioData(recording.astype(np.float32) / 32768))], respond=False
        )
        assert (await session.ask()).status == "completed"


@pytest.mark.socket
async def test_appended_speech_is_a_message_with_a_transcript_and_is_answered() -> None:
    async with open_live(TORONTO, transcription=Transcription()) as session:
        done = session.events(ItemCompleted)
        await session.append_audio(read_wav(QUESTION), chunk_ms=100)
        await session.respond()
        user, assistant = (await done.receive()).item, (await done.receive()).item
        assert "toronto" in user.transcript.lower()
        assert "toronto" in assistant.transcript.lower()
        assert np.array_equal(user.audio, read_wav(QUESTION))


# Waiting and listening


async def test_waiting_again_and_again_gives_the_next_event_every_time(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        got: list[str] = []

        async def wait() -> None:
            got.extend(
                [(await session.wait_for(InputAudioBufferCommitted)).item_id for _ in range(3)]
            )

        nursery.start_soon(wait)
        for number in range(3):
            await wait_all_tasks_blocked()
            await server.say(
                InputAudioBufferCommitted(event_id="event_1", item_id=f"item_{number}")
            )
    assert got == ["item_0", "item_1", "item_2"]


async def test_an_interruption_can_be_waited_for(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        got: list[Interrupted] = []

        async def wait() -> None:
            got.append(await session.wait_for(Interrupted))

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await server.say(
            InputAudioBufferSpeechStarted(event_id="event_1", audio_start_ms=500, item_id="item_1")
        )
        await wait_all_tasks_blocked()
        assert [(event.item, event.audio_start_ms) for event in got] == [(None, 500)]


async def test_who_stops_waiting_leaves_nothing_behind_and_waits_no_longer_than_he_said(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, _):
        start = trio.current_time()
        before = session._hub.stream_count
        with trio.move_on_after(5):
            await session.wait_for(ItemAppended)
        assert trio.current_time() - start == 5
        assert session._hub.stream_count == before


async def test_a_consumer_that_fails_hinders_nobody_else(autojump_clock: MockClock) -> None:
    async with open_simulated(SAN_FRANCISCO) as session:
        everything, wire = session.events(), session.wire()
        buffered(everything)

        async def stumble(stream: EventStream[Any]) -> None:
            await trio.lowlevel.checkpoint()
            with suppress(ZeroDivisionError):
                async for _ in stream:
                    raise ZeroDivisionError

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stumble, session.wire())
            nursery.start_soon(stumble, session.events(ServerEvent))
            await session.ask("Where?")
        assert types_sent(wire) == ["conversation.item.create", "response.create"]
        assert {ConversationItemAdded, ItemAppended, ItemCompleted, ResponseDone} <= {
            type(event) for event in buffered(everything)
        }


async def test_every_server_event_is_followed_by_what_it_means_in_one_order(
    autojump_clock: MockClock,
) -> None:
    reply = Reply.text("Let me look.").then(
        Reply.calls(Call("look", {"at": "it"}, call_id="call_1"))
    )
    async with open_simulated(reply, output_modalities=("text",)) as session:
        stream, done = session.events(), session.events(ResponseDone)
        buffered(stream)
        await session.send_message("Look!")
        await done.receive()
        rank = {ItemUpdated: 0, ItemAppended: 1, ItemCompleted: 2, ToolCallRequested: 3}
        seen: list[tuple[str, list[type[Event]]]] = []
        for event in buffered(stream):
            if isinstance(event, UtilityEvent):
                seen[-1][1].append(type(event))
            else:
                seen.append((event.type, []))
        assert all(derived == sorted(derived, key=rank.__getitem__) for _, derived in seen)
        meant = [
            (name.removeprefix("response."), [kind.__name__ for kind in derived])
            for name, derived in seen
            if derived
        ]
        assert meant == [
            ("conversation.item.added", ["ItemAppended", "ItemCompleted"]),
            ("conversation.item.added", ["ItemAppended"]),
            *[("output_text.delta", ["ItemUpdated"])] * 4,
            ("conversation.item.done", ["ItemCompleted"]),
            ("conversation.item.added", ["ItemAppended"]),
            *[("function_call_arguments.delta", ["ItemUpdated"])] * 9,
            ("conversation.item.done", ["ItemCompleted"]),
            ("output_item.done", ["ToolCallRequested"]),
        ]


async def test_who_holds_an_event_finds_the_conversation_up_to_date(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("One two three."), output_modalities=("text",)) as session:
        deltas, words = session.events(ResponseOutputTextDelta), ""
        await session.send_message("Count!")
        while words != "One two three.":
            delta = await deltas.receive()
            words += delta.delta
            item = session.conversation.get(delta.item_id)
            assert item is not None
            assert item.text.startswith(words)


# Sessions and their settings


async def test_what_was_appended_in_one_session_is_not_committed_in_the_next(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None) as session:
        await session.append_audio(speech(500))
    async with open_simulated(turn_detection=None) as session:
        wire = session.wire()
        await session.ask("Hello!")
        assert "input_audio_buffer.commit" not in types_sent(wire)


async def test_what_the_server_says_after_the_end_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(
        Reply.text("A very long story.", pacing=SLOW), output_modalities=("text",)
    ) as session:
        stream = session.events(ResponseOutputTextDelta)
        await session.send_message("Tell me a story!")
        await stream.receive()
    before = session.conversation.items[-1].text
    assert before != ""
    assert await drain(stream) == []
    await trio.sleep(60)
    assert session.conversation.items[-1].text == before


async def test_turn_detection_has_the_servers_usual_numbers_unless_it_says_otherwise(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None) as session:
        await session.update(turn_detection=ServerVad())
        assert session.config.audio is not None
        assert session.config.audio.input is not None
        detection = session.config.audio.input.turn_detection
        assert isinstance(detection, ServerVad)
        assert (
            detection.threshold,
            detection.prefix_padding_ms,
            detection.silence_duration_ms,
        ) == (0.5, 300, 200)


async def test_turn_detection_of_type_none_is_none(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        detection = UnknownObject("none", {"type": "none"})
        config = RealtimeSession(
            audio=SessionAudio(input=SessionAudioInput(turn_detection=detection))
        )
        await server.say(SessionUpdated(event_id="event_1", session=config))
        await wait_all_tasks_blocked()
        await session.append_audio(speech(200))
        await session.respond()
    assert [event.type for event in await server.hear_the_rest()] == [
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "response.create",
    ]


async def test_what_is_given_to_a_message_stays_as_it_was(autojump_clock: MockClock) -> None:
    samples = speech(200)
    content: list[str | UserContent] = ["Listen:", InputAudio(AudioData(samples))]
    async with open_pair() as (session, server):
        await session.send_message(content, respond=False)
        await session.send_message(samples, respond=False)
        assert np.array_equal(samples, speech(200))
        samples[:] = 0
        assert content == ["Listen:", InputAudio(AudioData(speech(200)))]
        first, second = [(await server.hear(ConversationItemCreate)).item for _ in range(2)]
        heard = InputAudio(AudioData(speech(200)))
        assert isinstance(first, UserMessage)
        assert isinstance(second, UserMessage)
        assert (first.content, second.content) == ((InputText("Listen:"), heard), (heard,))


# Audio and where it belongs


async def test_audio_belongs_to_the_message_that_was_made_of_it_and_not_to_the_next_one(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(turn_detection=None) as session:
        await session.append_audio(speech(300))
        await session.send_message("a text", respond=False, previous_item_id="root")
        await session.append_audio(speech(200))
        await session.ask()
        assert [(item.text, item.audio_ms) for item in session.conversation.items[:3]] == [
            ("a text", 0),
            ("", 300),
            ("", 200),
        ]


async def test_the_final_arguments_of_a_call_count_when_there_were_no_deltas(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        requested = session.events(ToolCallRequested)
        call = FunctionCall(
            id="item_1", name="look", arguments='{"at":"it"}', call_id="call_1", status="completed"
        )
        await server.say(
            ResponseCreated(
                event_id="event_1", response=Response(id="resp_1", conversation_id="conv_1")
            ),
            ConversationItemAdded(
                event_id="event_2",
                item=FunctionCall(id="item_1", name="look", arguments="", call_id="call_1"),
            ),
            ResponseOutputItemDone(
                event_id="event_3", response_id="resp_1", output_index=0, item=call
            ),
        )
        event = await requested.receive()
        assert (event.call.name, event.call.arguments, event.item.arguments) == (
            "look",
            '{"at":"it"}',
            '{"at":"it"}',
        )


async def test_an_item_that_is_added_twice_is_appended_once(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        appended = session.events(ItemAppended, ItemCompleted)
        item = UserMessage.text("Hello!", id="item_1")
        await server.say(*[ConversationItemAdded(event_id="event_1", item=item)] * 2)
        await wait_all_tasks_blocked()
        events = buffered(appended)
        assert [type(event) for event in events] == [ItemAppended, ItemCompleted]
        assert all(event.item is session.conversation.get("item_1") for event in events)


async def test_an_error_that_nobody_asked_for_is_an_event(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        await server.say(failure("something went wrong", code="server_error"))
        assert (await session.events(ErrorEvent).receive()).error.message == "something went wrong"


async def test_the_end_of_a_response_says_how_it_ended_and_what_it_cost(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(SAN_FRANCISCO) as session:
        done = session.events(ResponseDone)
        await session.send_message("Where?", max_output_tokens=5)
        response = (await done.receive()).response
        assert response.status == "incomplete"
        assert response.status_details is not None
        assert response.status_details.reason == "max_output_tokens"
        assert response.usage is not None
        item = session.conversation.items[-1]
        assert (item.status, item.is_complete) == ("incomplete", False)


def test_ids_hold_no_characters_that_look_like_others() -> None:
    characters = {
        character for _ in range(1000) for character in generate_id("item_").removeprefix("item_")
    }
    assert characters == set("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
    assert len(generate_id("", 30)) == 30
