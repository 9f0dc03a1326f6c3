"""The simulated server hears turns: what it says of them, and what it makes of their audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detected_turns import (
    RATE,
    STORY,
    TURN,
    Speaker,
    silence,
    spoken,
    tone,
)
from hypothesis import given, settings, strategies as st
from service_client import of_type, only, types

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.audio import alaw_encode, mulaw_encode, read_wav, resample
from realtime_trio.events import (
    AudioFormat,
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ErrorEvent,
    Event,
    InputAudio,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    Transcription,
    TranscriptionSessionConfig,
    TurnDetection,
    UserMessage,
)
from realtime_trio.simulator import Reply

QUESTION = Path(__file__).parents[2] / "examples" / "question.wav"


# --- a turn ---------------------------------------------------------------------------------------


def test_a_turn_is_reported_committed_and_answered() -> None:
    client = Speaker(Reply.text("Sunny."))
    stream = spoken(1000, after=500)
    events = client.append(stream)
    assert types(events[:6]) == [*TURN, "response.created"]
    started, stopped, committed, added, done = events[:5]
    assert isinstance(started, InputAudioBufferSpeechStarted)
    assert isinstance(stopped, InputAudioBufferSpeechStopped)
    assert isinstance(committed, InputAudioBufferCommitted)
    assert isinstance(added, ConversationItemAdded)
    assert isinstance(done, ConversationItemDone)
    assert started.item_id == stopped.item_id == committed.item_id == added.item.id == done.item.id
    assert (started.audio_start_ms, stopped.audio_end_ms) == (200, 1700)
    assert committed.previous_item_id is added.previous_item_id is None
    assert added.item == UserMessage(id=started.item_id, status="completed", content=[InputAudio()])
    assert client.heard(started.item_id) == stream[200 * RATE : 1700 * RATE].tobytes()
    response = only(events, ResponseDone).response
    assert (response.status, response.metadata) == ("completed", None)
    assert "Sunny." in str(response.output)


def test_the_next_turn_goes_on_where_the_first_one_ended() -> None:
    client = Speaker()
    first = client.append(spoken())
    second = client.append(spoken(after=100))
    assert only(first, InputAudioBufferSpeechStopped).audio_end_ms == 700
    assert only(second, InputAudioBufferSpeechStarted).audio_start_ms == 700
    answer = of_type(first, ConversationItemAdded)[1]
    assert only(second, InputAudioBufferCommitted).previous_item_id == answer.item.id


def test_how_audio_is_cut_into_appends_makes_no_difference() -> None:
    stream = np.concatenate((spoken(500, after=500), spoken(700, after=1000)))
    whole = Speaker(Reply.text("One."), Reply.text("Two."))
    pieces = Speaker(Reply.text("One."), Reply.text("Two."))
    assert whole.append(stream) == pieces.append(*np.array_split(stream, 99))


def test_things_happen_when_the_audio_arrives_that_shows_them() -> None:
    client = Speaker()
    client.stream(silence(1000))
    client.stream(tone(40))
    (started,) = client.stream(tone(20))
    assert isinstance(started, InputAudioBufferSpeechStarted)
    assert client.now == pytest.approx(1.06)
    assert client.wait(10) == []
    assert client.stream(silence(180)) == []
    assert types(client.stream(silence(20)))[0] == "input_audio_buffer.speech_stopped"


def test_a_recorded_question_is_a_turn() -> None:
    events = Speaker(detection=ServerVad(silence_duration_ms=600)).append(
        read_wav(QUESTION), silence(700)
    )
    assert types(events)[:5] == TURN
    assert len(of_type(events, ResponseDone)) == 1


@pytest.mark.parametrize(
    "detection", [ServerVad(create_response=False), SemanticVad(create_response=False)]
)
def test_a_response_comes_by_itself_only_if_that_is_wanted(detection: TurnDetection) -> None:
    client = Speaker(detection=detection)
    assert types(client.append(spoken(), silence(3000))) == TURN
    assert types(client.send(ResponseCreate()))[0] == "response.created"


@pytest.mark.parametrize(("eagerness", "wait_ms"), [("high", 500), ("auto", 1000), ("low", 2000)])
def test_semantic_detection_waits_as_long_as_it_is_eager(eagerness: Any, wait_ms: int) -> None:
    client = Speaker(detection=SemanticVad(eagerness=eagerness))
    assert types(client.append(tone(500), silence(wait_ms - 20))) == TURN[:1]
    assert types(client.append(silence(20)))[:5] == [*TURN[1:], "response.created"]


def test_without_turn_detection_nothing_is_noticed() -> None:
    client = Speaker()
    client.update(turn_detection=None)
    assert client.append(spoken()) == []
    assert types(client.send(InputAudioBufferCommit())) == TURN[2:]


def test_what_is_silent_is_no_turn() -> None:
    assert Speaker().append(silence(2000), np.full(48_000, 1000, np.int16)) == []


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_turns_are_heard_on_the_telephone(law: str) -> None:
    client = Speaker()
    client.update(input_format=AudioFormat(type=f"audio/{law}"))
    narrow = resample(spoken(1000, after=500), 24_000, 8_000)
    data = mulaw_encode(narrow) if law == "pcmu" else alaw_encode(narrow)
    events = client.append(*(data[start : start + 160] for start in range(0, len(data), 160)))
    assert types(events[:5]) == TURN
    end_ms = only(events, InputAudioBufferSpeechStopped).audio_end_ms
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 200
    assert end_ms == pytest.approx(1700, abs=20)
    assert (
        client.heard(only(events, InputAudioBufferCommitted).item_id) == data[200 * 8 : end_ms * 8]
    )


def test_appends_may_end_within_a_sample() -> None:
    client = Speaker()
    data = spoken().tobytes()
    events = client.append(*(data[start : start + 101] for start in range(0, len(data), 101)))
    assert client.heard(only(events, InputAudioBufferCommitted).item_id) == data[: 700 * RATE * 2]


def test_turns_are_transcribed_beside_the_answer() -> None:
    client = Speaker(
        Reply.text("Sunny."),
        transcription=Transcription(model="gpt-4o-transcribe"),
        transcripts=["What is the weather?"],
    )
    events = client.append(spoken())
    completed = only(events, ConversationItemInputAudioTranscriptionCompleted)
    assert completed.transcript == "What is the weather?"
    assert completed.item_id == only(events, InputAudioBufferCommitted).item_id
    assert only(events, ResponseDone).response.status == "completed"


def test_a_transcription_session_hears_turns_and_answers_none() -> None:
    client = Speaker(
        kind=SessionKind.TRANSCRIPTION,
        transcription=Transcription(model="whisper-1"),
        transcripts=["One.", "Two."],
    )
    events = client.append(spoken(), spoken())
    transcript = "conversation.item.input_audio_transcription"
    assert types(events) == [*TURN, f"{transcript}.delta", f"{transcript}.completed"] * 2


def test_streaming_transcription_models_have_no_turns() -> None:
    client = Speaker(kind=SessionKind.TRANSCRIPTION)
    transcription = Transcription(model="gpt-realtime-whisper")
    (error,) = client.send(
        SessionUpdate(session=TranscriptionSessionConfig.of(transcription=transcription))
    )
    assert isinstance(error, ErrorEvent)
    assert error.error.message == "Turn detection is not supported for this transcription model."
    client.update(transcription=transcription, turn_detection=None)


# --- commits and clears by hand -------------------------------------------------------------------


def test_a_commit_while_the_user_speaks_takes_the_turn_and_its_id_and_there_is_no_stop() -> None:
    client = Speaker()
    started = only(client.append(silence(1000), tone(500)), InputAudioBufferSpeechStarted)
    events = client.send(InputAudioBufferCommit())
    assert types(events) == TURN[2:]
    item_id = only(events, InputAudioBufferCommitted).item_id
    assert item_id == started.item_id
    assert client.heard(item_id) == np.concatenate((silence(300), tone(500))).tobytes()
    assert client.append(silence(1000)) == []


def test_who_speaks_on_after_a_commit_begins_another_turn() -> None:
    client = Speaker()
    first = only(client.append(tone(500)), InputAudioBufferSpeechStarted).item_id
    client.send(InputAudioBufferCommit())
    events = client.append(spoken(200))
    assert types(events[:5]) == TURN
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 500
    assert only(events, InputAudioBufferCommitted).item_id != first


def test_a_commit_right_after_the_turn_finds_nothing() -> None:
    client = Speaker()
    client.append(tone(500), silence(200))
    (error,) = client.send(InputAudioBufferCommit(event_id="mine"))
    assert isinstance(error, ErrorEvent)
    assert (error.error.code, error.error.event_id) == ("input_audio_buffer_commit_empty", "mine")


def test_cleared_speech_is_no_turn() -> None:
    client = Speaker()
    first = only(client.append(tone(500)), InputAudioBufferSpeechStarted).item_id
    assert types(client.send(InputAudioBufferClear())) == ["input_audio_buffer.cleared"]
    assert client.append(silence(1000)) == []
    events = client.append(spoken(200))
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 1200
    assert only(events, InputAudioBufferSpeechStarted).item_id != first
    client.append(silence(500))
    assert only(client.send(InputAudioBufferCommit()), InputAudioBufferCommitted).item_id != first


def test_silence_can_be_committed_by_hand() -> None:
    client = Speaker()
    client.append(silence(1500))
    item_id = only(client.send(InputAudioBufferCommit()), InputAudioBufferCommitted).item_id
    assert client.heard(item_id) == silence(1500).tobytes()


def test_of_a_long_silence_only_the_end_is_kept() -> None:
    client = Speaker()
    for second in range(100):
        assert client.append(np.full(1000 * RATE, second, np.int16)) == []
    kept = client.heard(
        only(client.send(InputAudioBufferCommit()), InputAudioBufferCommitted).item_id
    )
    assert 10_000 <= len(kept) / 2 / RATE <= 11_000
    assert np.frombuffer(kept, np.int16)[-1] == 99
    assert only(client.append(tone(100)), InputAudioBufferSpeechStarted).audio_start_ms == 100_000


# --- updates in the middle ------------------------------------------------------------------------


def test_an_update_of_something_else_does_not_disturb_a_turn() -> None:
    client = Speaker()
    client.append(tone(500))
    client.update(instructions="Be brief.", turn_detection=ServerVad(create_response=False))
    assert types(client.append(silence(300))) == TURN[1:]


def test_other_ways_to_detect_turns_begin_after_the_present_one() -> None:
    client = Speaker(detection=ServerVad(create_response=False))
    client.append(tone(500))
    client.update(turn_detection=ServerVad(silence_duration_ms=1000))
    assert types(client.append(silence(300))) == TURN[1:]
    assert types(client.append(spoken(500, after=500))) == TURN[:1]
    assert types(client.append(silence(700))) == TURN[1:]


def test_a_commit_by_hand_ends_the_present_turn_for_new_settings_too() -> None:
    client = Speaker(detection=ServerVad(create_response=False))
    client.append(tone(500))
    client.update(turn_detection=ServerVad(silence_duration_ms=1000))
    client.send(InputAudioBufferCommit())
    assert types(client.append(spoken())) == TURN[:1]


def test_turning_detection_off_leaves_the_turn_to_the_client() -> None:
    client = Speaker()
    first = only(client.append(tone(500)), InputAudioBufferSpeechStarted).item_id
    client.update(turn_detection=None)
    assert client.append(silence(1000)) == []
    item_id = only(client.send(InputAudioBufferCommit()), InputAudioBufferCommitted).item_id
    assert client.heard(item_id) == np.concatenate((tone(500), silence(1000))).tobytes()
    assert item_id != first
    client.append(silence(1000))
    client.update(turn_detection=ServerVad(create_response=False))
    events = client.append(spoken())
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 2500
    assert types(events) == TURN


def test_audio_of_another_format_is_not_joined_to_what_is_there() -> None:
    client = Speaker(detection=ServerVad(create_response=False))
    client.append(tone(500))
    client.update(input_format=AudioFormat.pcmu())
    assert types(client.send(InputAudioBufferCommit())) == ["error"]
    events = client.append(mulaw_encode(resample(spoken(500, after=500), 24_000, 8_000)))
    assert types(events) == TURN
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 700


# --- whatever a client does -----------------------------------------------------------------------


STEPS = st.one_of(
    st.tuples(st.just("sound"), st.integers(1, 900)),
    st.tuples(st.just("silence"), st.integers(1, 900)),
    st.sampled_from(
        [
            InputAudioBufferCommit(),
            InputAudioBufferClear(),
            ResponseCreate(),
            ResponseCancel(),
            *(
                SessionUpdate(session=SessionConfig.of(turn_detection=detection))
                for detection in (
                    None,
                    ServerVad(idle_timeout_ms=5000),
                    ServerVad(silence_duration_ms=0, prefix_padding_ms=0),
                    ServerVad(interrupt_response=False),
                    SemanticVad(create_response=False),
                )
            ),
        ]
    ),
    st.sampled_from([0.1, 1.0, 8.0]),
)


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=25))
def test_every_piece_of_audio_is_in_one_item_at_most_and_turns_keep_their_order(
    steps: list[Any],
) -> None:
    client = Speaker(*[Reply.text("Yes."), STORY] * 10)
    events: list[Event] = []
    appended = 0
    for step in steps:
        match step:
            case float():
                events += client.wait(step)
            case ("sound" | "silence") as kind, ms:
                samples = tone(ms) if kind == "sound" else silence(ms)
                appended += len(samples)
                events += client.append(samples)
            case _:
                events += client.send(step)
    speaking: str | None = None
    position = 0
    committed: list[str] = []
    for event in events:
        match event:
            case InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=start):
                assert item_id not in committed
                assert position <= start
                speaking, position = item_id, start
            case InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=end):
                assert item_id == speaking
                assert position <= end <= appended / RATE
                position = end
            case InputAudioBufferCommitted(item_id=item_id):
                assert item_id not in committed
                committed.append(item_id)
                speaking = None
            case InputAudioBufferCleared():
                speaking = None
    assert sum(len(client.heard(item_id)) for item_id in committed) <= appended * 2
    created = [event.response.id for event in of_type(events, ResponseCreated)]
    done = [event.response.id for event in of_type(events, ResponseDone)]
    assert done == created[: len(done)]
