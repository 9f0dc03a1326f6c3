"""The simulated server hears turns: what it says of them, what it makes of them, and how they interrupt it.

Where turns begin and end is `test_simulator_turn_detection`'s business.  Everything the server says
goes through a strict codec and, if there is one, is held against a schema of the protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import trio
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from schema import check_message
from simulated import buffered, open_simulated
from trio.testing import MockClock

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._state.utility_events import Interrupted
from realtime_trio.audio import alaw_encode, mulaw_encode, read_wav, resample
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ClientEvent,
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ErrorEvent,
    Event,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    OutputAudio,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseStatusDetails,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    Transcription,
    TranscriptionSessionConfig,
    TurnDetection,
    UserMessage,
)
from realtime_trio.simulator import Pacing, Reply, Script, SimulatedServer

E = TypeVar("E", bound=Event)
Samples = NDArray[np.int16]

RATE = 24
"""Samples in a millisecond."""
SLOW = Pacing(time_to_first_event=1.0, tokens_per_second=1.0, audio_speed=1.0)
STORY = Reply.speech("Once upon a time.", np.arange(4 * 24_000, dtype=np.int16), pacing=SLOW)
"""Four seconds of speech, at its own speed, after a second."""
QUESTION = Path(__file__).parents[2] / "examples" / "question.wav"

TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]
INTERRUPTED = [
    "input_audio_buffer.speech_started",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]


def tone(ms: int, hertz: int = 300) -> Samples:
    sine: Samples = (8000 * np.sin(np.arange(ms * RATE) * (2 * np.pi * hertz / 24_000))).astype(
        np.int16
    )
    return sine


def silence(ms: int) -> Samples:
    return np.zeros(ms * RATE, np.int16)


def spoken(ms: int = 500, after: int = 0) -> Samples:
    """Speech of so many milliseconds, silence of so many more before it, and enough behind it to end the turn."""
    return np.concatenate((silence(after), tone(ms), silence(300)))


class Client:
    """A client that checks what it gets."""

    def __init__(
        self,
        *replies: Reply,
        kind: SessionKind = SessionKind.REALTIME,
        detection: TurnDetection | None = None,
        transcription: Transcription | None = None,
        transcripts: Iterable[str | None] = (),
    ) -> None:
        self.server = SimulatedServer(Script(replies, transcripts=transcripts), kind=kind)
        self.now = 0.0
        self._theirs = Codec(Role.SERVER, kind=kind)
        self._ours = Codec(Role.CLIENT, kind=kind, strict=True)
        self.server.connect(self.now)
        self.take()
        if detection is not None:
            self.update(turn_detection=detection)
        if transcription is not None:
            self.update(transcription=transcription)

    def take(self, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        events: list[Event] = []
        for event in self.server.take_due(self.now):
            text = self._theirs.encode(event)
            check_message(text, self.server.kind)
            received = self._ours.decode(text)
            assert type(received) is type(event)
            events.append(received)
        return events

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass; whatever is due is taken when it is due, as a shell does it."""
        until = self.now + seconds
        events: list[Event] = []
        while (due := self.server.next_due) is not None and due <= until:
            events += self.take(due)
        return events + self.take(until)

    def send(self, *events: ClientEvent, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        for event in events:
            self.server.receive(self._theirs.decode(self._ours.encode(event)), self.now)
        return self.take()

    def append(self, *pieces: Samples | bytes) -> list[Event]:
        """Append audio, all at once."""
        return self.send(*(InputAudioBufferAppend(audio=piece) for piece in pieces))

    def stream(self, samples: Samples, ms: int = 20) -> list[Event]:
        """Append audio as a microphone delivers it."""
        events: list[Event] = []
        for start in range(0, len(samples), ms * RATE):
            events += self.wait(ms / 1000) + self.append(samples[start : start + ms * RATE])
        return events

    def update(self, **changes: Any) -> None:
        config = (
            TranscriptionSessionConfig
            if self.server.kind is SessionKind.TRANSCRIPTION
            else SessionConfig
        )
        assert types(self.send(SessionUpdate(session=config.of(**changes)))) == ["session.updated"]

    def heard(self, item_id: str) -> bytes:
        """The audio of one of the user's items."""
        (retrieved,) = self.send(ConversationItemRetrieve(item_id=item_id))
        assert isinstance(retrieved, ConversationItemRetrieved)
        assert isinstance(retrieved.item, UserMessage)
        (part,) = retrieved.item.content
        assert isinstance(part, InputAudio)
        assert part.audio is not None
        return part.audio.data


def of_type(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def only(events: Sequence[Event], kind: type[E]) -> E:
    (event,) = of_type(events, kind)
    return event


def types(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events]


def without_deltas(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events if not event.type.endswith("delta")]


# --- a turn ---------------------------------------------------------------------------------------


def test_a_turn_is_reported_committed_and_answered() -> None:
    client = Client(Reply.text("Sunny."))
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
    client = Client()
    first = client.append(spoken())
    second = client.append(spoken(after=100))
    assert only(first, InputAudioBufferSpeechStopped).audio_end_ms == 700
    assert only(second, InputAudioBufferSpeechStarted).audio_start_ms == 700
    answer = of_type(first, ConversationItemAdded)[1]
    assert only(second, InputAudioBufferCommitted).previous_item_id == answer.item.id


def test_how_audio_is_cut_into_appends_makes_no_difference() -> None:
    stream = np.concatenate((spoken(500, after=500), spoken(700, after=1000)))
    whole = Client(Reply.text("One."), Reply.text("Two."))
    pieces = Client(Reply.text("One."), Reply.text("Two."))
    assert whole.append(stream) == pieces.append(*np.array_split(stream, 99))


def test_things_happen_when_the_audio_arrives_that_shows_them() -> None:
    client = Client()
    client.stream(silence(1000))
    client.stream(tone(40))
    (started,) = client.stream(tone(20))
    assert isinstance(started, InputAudioBufferSpeechStarted)
    assert client.now == pytest.approx(1.06)
    assert client.wait(10) == []
    assert client.stream(silence(180)) == []
    assert types(client.stream(silence(20)))[0] == "input_audio_buffer.speech_stopped"


def test_a_recorded_question_is_a_turn() -> None:
    events = Client(detection=ServerVad(silence_duration_ms=600)).append(
        read_wav(QUESTION), silence(700)
    )
    assert types(events)[:5] == TURN
    assert len(of_type(events, ResponseDone)) == 1


@pytest.mark.parametrize(
    "detection", [ServerVad(create_response=False), SemanticVad(create_response=False)]
)
def test_a_response_comes_by_itself_only_if_that_is_wanted(detection: TurnDetection) -> None:
    client = Client(detection=detection)
    assert types(client.append(spoken(), silence(3000))) == TURN
    assert types(client.send(ResponseCreate()))[0] == "response.created"


@pytest.mark.parametrize(("eagerness", "wait_ms"), [("high", 500), ("auto", 1000), ("low", 2000)])
def test_semantic_detection_waits_as_long_as_it_is_eager(eagerness: Any, wait_ms: int) -> None:
    client = Client(detection=SemanticVad(eagerness=eagerness))
    assert types(client.append(tone(500), silence(wait_ms - 20))) == TURN[:1]
    assert types(client.append(silence(20)))[:5] == [*TURN[1:], "response.created"]


def test_without_turn_detection_nothing_is_noticed() -> None:
    client = Client()
    client.update(turn_detection=None)
    assert client.append(spoken()) == []
    assert types(client.send(InputAudioBufferCommit())) == TURN[2:]


def test_what_is_silent_is_no_turn() -> None:
    assert Client().append(silence(2000), np.full(48_000, 1000, np.int16)) == []


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_turns_are_heard_on_the_telephone(law: str) -> None:
    client = Client()
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
    client = Client()
    data = spoken().tobytes()
    events = client.append(*(data[start : start + 101] for start in range(0, len(data), 101)))
    assert client.heard(only(events, InputAudioBufferCommitted).item_id) == data[: 700 * RATE * 2]


def test_turns_are_transcribed_beside_the_answer() -> None:
    client = Client(
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
    client = Client(
        kind=SessionKind.TRANSCRIPTION,
        transcription=Transcription(model="whisper-1"),
        transcripts=["One.", "Two."],
    )
    events = client.append(spoken(), spoken())
    transcript = "conversation.item.input_audio_transcription"
    assert types(events) == [*TURN, f"{transcript}.delta", f"{transcript}.completed"] * 2


def test_streaming_transcription_models_have_no_turns() -> None:
    client = Client(kind=SessionKind.TRANSCRIPTION)
    transcription = Transcription(model="gpt-realtime-whisper")
    (error,) = client.send(
        SessionUpdate(session=TranscriptionSessionConfig.of(transcription=transcription))
    )
    assert isinstance(error, ErrorEvent)
    assert error.error.message == "Turn detection is not supported for this transcription model."
    client.update(transcription=transcription, turn_detection=None)


# --- interruption ---------------------------------------------------------------------------------


def test_who_speaks_interrupts_the_answer() -> None:
    client = Client(STORY, Reply.text("All right."))
    client.send(ResponseCreate())
    before = client.wait(2.5)
    heard = b"".join(delta.delta.data for delta in of_type(before, ResponseOutputAudioDelta))
    events = client.append(tone(100))
    assert types(events) == INTERRUPTED
    response = only(events, ResponseDone).response
    assert response.status == "cancelled"
    assert response.status_details == ResponseStatusDetails(
        type="cancelled", reason="turn_detected"
    )
    item_id = str(response.output[0].id)
    # What was said stays until the client says how much of it was heard.
    (retrieved,) = client.send(ConversationItemRetrieve(item_id=item_id))
    assert isinstance(retrieved, ConversationItemRetrieved)
    assert isinstance(retrieved.item, AssistantMessage)
    (part,) = retrieved.item.content
    assert isinstance(part, OutputAudio)
    assert part.audio is not None
    assert part.audio.data == heard
    assert types(
        client.send(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=500))
    ) == ["conversation.item.truncated"]
    answered = client.append(silence(300))
    assert types(answered)[:5] == [*TURN[1:], "response.created"]
    assert only(answered, InputAudioBufferCommitted).previous_item_id == item_id
    assert "All right." in str(only(answered, ResponseDone).response.output)


def test_an_answer_that_was_cancelled_already_is_not_cancelled_again() -> None:
    client = Client(STORY)
    client.send(ResponseCreate())
    client.wait(2.5)
    client.send(ResponseCancel())
    assert types(client.append(tone(100))) == TURN[:1]


def test_out_of_band_responses_are_not_interrupted() -> None:
    client = Client(STORY, STORY)
    aside = only(
        client.send(ResponseCreate(response=ResponseConfig(conversation="none"))), ResponseCreated
    ).response.id
    client.send(ResponseCreate())
    client.wait(2.5)
    assert only(client.append(tone(100)), ResponseDone).response.id != aside
    done = only(client.wait(60), ResponseDone).response
    assert (done.id, done.status) == (aside, "completed")


def test_an_answer_that_may_not_be_interrupted_goes_on_and_keeps_the_next_one_from_beginning() -> (
    None
):
    client = Client(STORY, detection=ServerVad(interrupt_response=False))
    running = only(client.send(ResponseCreate()), ResponseCreated).response.id
    client.wait(2.5)
    events = client.append(spoken())
    assert types(events) == [*TURN, "error"]
    error = only(events, ErrorEvent).error
    assert (error.code, error.event_id) == ("conversation_already_has_active_response", None)
    assert running in error.message
    done = only(client.wait(60), ResponseDone).response
    assert (done.id, done.status) == (running, "completed")


def test_turn_detection_can_do_nothing_but_report_and_commit() -> None:
    client = Client(STORY, detection=ServerVad(interrupt_response=False, create_response=False))
    client.send(ResponseCreate())
    client.wait(2.5)
    assert types(client.append(spoken())) == TURN
    assert only(client.wait(60), ResponseDone).response.status == "completed"


def test_an_answer_can_be_interrupted_again_and_again() -> None:
    client = Client(STORY, STORY)
    client.append(spoken())
    client.wait(2.0)
    events = client.append(spoken())
    assert [response.response.status for response in of_type(events, ResponseDone)] == ["cancelled"]
    assert types(events)[-2:] == ["conversation.item.done", "response.created"]


def test_answers_that_take_no_time_are_not_interrupted_by_what_follows_in_the_same_append() -> None:
    client = Client(Reply.text("One."), Reply.text("Two."))
    events = client.append(np.concatenate((spoken(), spoken())))
    assert [event.response.status for event in of_type(events, ResponseDone)] == [
        "completed",
        "completed",
    ]


# --- commits and clears by hand -------------------------------------------------------------------


def test_a_commit_while_the_user_speaks_takes_the_turn_and_its_id_and_there_is_no_stop() -> None:
    client = Client()
    started = only(client.append(silence(1000), tone(500)), InputAudioBufferSpeechStarted)
    events = client.send(InputAudioBufferCommit())
    assert types(events) == TURN[2:]
    item_id = only(events, InputAudioBufferCommitted).item_id
    assert item_id == started.item_id
    assert client.heard(item_id) == np.concatenate((silence(300), tone(500))).tobytes()
    assert client.append(silence(1000)) == []


def test_who_speaks_on_after_a_commit_begins_another_turn() -> None:
    client = Client()
    first = only(client.append(tone(500)), InputAudioBufferSpeechStarted).item_id
    client.send(InputAudioBufferCommit())
    events = client.append(spoken(200))
    assert types(events[:5]) == TURN
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 500
    assert only(events, InputAudioBufferCommitted).item_id != first


def test_a_commit_right_after_the_turn_finds_nothing() -> None:
    client = Client()
    client.append(tone(500), silence(200))
    (error,) = client.send(InputAudioBufferCommit(event_id="mine"))
    assert isinstance(error, ErrorEvent)
    assert (error.error.code, error.error.event_id) == ("input_audio_buffer_commit_empty", "mine")


def test_cleared_speech_is_no_turn() -> None:
    client = Client()
    first = only(client.append(tone(500)), InputAudioBufferSpeechStarted).item_id
    assert types(client.send(InputAudioBufferClear())) == ["input_audio_buffer.cleared"]
    assert client.append(silence(1000)) == []
    events = client.append(spoken(200))
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 1200
    assert only(events, InputAudioBufferSpeechStarted).item_id != first
    client.append(silence(500))
    assert only(client.send(InputAudioBufferCommit()), InputAudioBufferCommitted).item_id != first


def test_silence_can_be_committed_by_hand() -> None:
    client = Client()
    client.append(silence(1500))
    item_id = only(client.send(InputAudioBufferCommit()), InputAudioBufferCommitted).item_id
    assert client.heard(item_id) == silence(1500).tobytes()


def test_of_a_long_silence_only_the_end_is_kept() -> None:
    client = Client()
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
    client = Client()
    client.append(tone(500))
    client.update(instructions="Be brief.", turn_detection=ServerVad(create_response=False))
    assert types(client.append(silence(300))) == TURN[1:]


def test_other_ways_to_detect_turns_begin_after_the_present_one() -> None:
    client = Client(detection=ServerVad(create_response=False))
    client.append(tone(500))
    client.update(turn_detection=ServerVad(silence_duration_ms=1000))
    assert types(client.append(silence(300))) == TURN[1:]
    assert types(client.append(spoken(500, after=500))) == TURN[:1]
    assert types(client.append(silence(700))) == TURN[1:]


def test_a_commit_by_hand_ends_the_present_turn_for_new_settings_too() -> None:
    client = Client(detection=ServerVad(create_response=False))
    client.append(tone(500))
    client.update(turn_detection=ServerVad(silence_duration_ms=1000))
    client.send(InputAudioBufferCommit())
    assert types(client.append(spoken())) == TURN[:1]


def test_turning_detection_off_leaves_the_turn_to_the_client() -> None:
    client = Client()
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
    client = Client(detection=ServerVad(create_response=False))
    client.append(tone(500))
    client.update(input_format=AudioFormat.pcmu())
    assert types(client.send(InputAudioBufferCommit())) == ["error"]
    events = client.append(mulaw_encode(resample(spoken(500, after=500), 24_000, 8_000)))
    assert types(events) == TURN
    assert only(events, InputAudioBufferSpeechStarted).audio_start_ms == 700


# --- silence --------------------------------------------------------------------------------------

IDLE = ServerVad(idle_timeout_ms=6000)
HELLO = Reply.speech("Hello?", np.zeros(2 * 24_000, np.int16))
"""Said at once, and played for two seconds."""


def test_a_user_who_says_nothing_is_asked_again() -> None:
    client = Client(HELLO, Reply.text("Are you there?"), detection=IDLE)
    client.stream(silence(1000))
    client.send(ResponseCreate())
    client.stream(silence(7980))
    events = client.stream(silence(40))
    assert without_deltas(events)[:6] == [
        "input_audio_buffer.timeout_triggered",
        *TURN[2:],
        "response.created",
        "response.output_item.added",
    ]
    triggered, committed = (
        only(events, InputAudioBufferTimeoutTriggered),
        only(events, InputAudioBufferCommitted),
    )
    assert (
        triggered.item_id == committed.item_id == of_type(events, ConversationItemAdded)[0].item.id
    )
    assert triggered.audio_start_ms == pytest.approx(3000, abs=20)
    assert triggered.audio_end_ms == pytest.approx(9000, abs=20)
    assert (
        len(client.heard(triggered.item_id))
        == (triggered.audio_end_ms - triggered.audio_start_ms) * RATE * 2
    )
    response = only(events, ResponseDone).response
    assert (response.metadata, response.status) == (None, "completed")
    assert "Are you there?" in str(response.output)


def test_a_user_who_sends_nothing_is_asked_again_too_and_again() -> None:
    client = Client(HELLO, HELLO, HELLO, detection=IDLE)
    client.send(ResponseCreate())
    assert client.wait(7.9) == []
    events = client.wait(0.2)
    triggered = only(events, InputAudioBufferTimeoutTriggered)
    assert (triggered.audio_start_ms, triggered.audio_end_ms) == (0, 0)
    assert client.heard(triggered.item_id) == b""
    assert client.wait(7.8) == []
    assert len(of_type(client.wait(0.2), InputAudioBufferTimeoutTriggered)) == 1


def test_waiting_begins_when_the_answer_was_said_to_the_end() -> None:
    client = Client(STORY, detection=IDLE)
    client.send(ResponseCreate())
    (done,) = of_type(client.wait(14.7), ResponseDone)
    assert done.response.status == "completed"
    assert len(of_type(client.wait(0.2), InputAudioBufferTimeoutTriggered)) == 1


def test_silence_uses_up_no_transcript() -> None:
    client = Client(
        HELLO, detection=IDLE, transcription=Transcription(model="whisper-1"), transcripts=["Yes."]
    )
    client.send(ResponseCreate())
    assert only(client.wait(9), ConversationItemInputAudioTranscriptionCompleted).transcript == ""
    assert (
        only(client.append(spoken()), ConversationItemInputAudioTranscriptionCompleted).transcript
        == "Yes."
    )


def test_who_speaks_in_time_is_not_asked() -> None:
    client = Client(HELLO, STORY, detection=IDLE)
    client.send(ResponseCreate())
    client.wait(7.9)
    client.append(tone(100))
    assert client.wait(100) == []


def test_who_interrupts_is_not_waited_for() -> None:
    client = Client(STORY, detection=IDLE)
    client.send(ResponseCreate())
    client.wait(2.5)
    assert types(client.append(tone(100))) == INTERRUPTED
    assert client.wait(100) == []


def test_who_speaks_when_an_answer_ends_is_not_waited_for() -> None:
    client = Client(STORY, detection=ServerVad(idle_timeout_ms=6000, interrupt_response=False))
    client.send(ResponseCreate())
    client.wait(2.5)
    client.append(tone(100))
    assert only(client.wait(100), ResponseDone).response.status == "completed"


def test_another_response_begins_the_wait_anew() -> None:
    client = Client(HELLO, HELLO, detection=IDLE)
    client.send(ResponseCreate())
    client.wait(5.0)
    client.send(ResponseCreate())
    assert client.wait(7.9) == []
    assert len(of_type(client.wait(0.2), InputAudioBufferTimeoutTriggered)) == 1


def test_out_of_band_responses_have_nothing_to_do_with_it() -> None:
    client = Client(HELLO, HELLO, detection=IDLE)
    client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    assert client.wait(100) == []


@pytest.mark.parametrize(
    "change",
    [None, ServerVad(idle_timeout_ms=None), ServerVad(idle_timeout_ms=20_000), SemanticVad()],
)
def test_who_changes_his_mind_is_not_waited_for(change: TurnDetection | None) -> None:
    client = Client(HELLO, detection=IDLE)
    client.send(ResponseCreate())
    client.update(turn_detection=change)
    assert client.wait(100) == []


def test_another_setting_does_not_end_the_wait() -> None:
    client = Client(HELLO, detection=IDLE)
    client.send(ResponseCreate())
    client.update(turn_detection=ServerVad(threshold=0.6))
    assert len(of_type(client.wait(8.1), InputAudioBufferTimeoutTriggered)) == 1


@pytest.mark.parametrize(
    ("create", "interrupt", "answers"), [(False, True, 1), (True, False, 1), (False, False, 0)]
)
def test_the_model_speaks_up_unless_it_never_may(
    create: bool, interrupt: bool, answers: int
) -> None:
    client = Client(
        HELLO,
        detection=ServerVad(
            idle_timeout_ms=6000, create_response=create, interrupt_response=interrupt
        ),
    )
    client.send(ResponseCreate())
    events = client.wait(8.1)
    assert types(events)[:4] == ["input_audio_buffer.timeout_triggered", *TURN[2:]]
    assert len(of_type(events, ResponseDone)) == answers


# --- our own client -------------------------------------------------------------------------------


async def test_our_own_client_speaks_and_interrupts(autojump_clock: MockClock) -> None:
    voice = Pacing(audio_speed=1.0)
    async with open_simulated(
        Reply.text("Once upon a time, long ago.", pacing=voice), Reply.text("All right.")
    ) as session:
        events = session.events(ResponseDone, Interrupted)
        answers: list[Event] = []
        for start in range(
            0, 8000, 100
        ):  # a question, a pause in which the answer begins, and a word in the middle of it
            loud = start < 1000 or 1800 <= start < 2500
            await session.append_audio(tone(100) if loud else silence(100))
            await trio.sleep(0.1)
        answers += buffered(events)
        assert [type(event) for event in answers] == [
            Interrupted,
            Interrupted,
            ResponseDone,
            ResponseDone,
        ]
        assert [event.response.status for event in of_type(answers, ResponseDone)] == [
            "cancelled",
            "completed",
        ]
        question, _, word, answer = session.conversation.items
        assert (question.audio_ms, word.audio_ms) == (
            1200,
            1200,
        )  # padding and the pause behind included
        assert answer.transcript == "All right."


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
    client = Client(*[Reply.text("Yes."), STORY] * 10)
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
