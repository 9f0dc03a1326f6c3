"""The simulated server speaks up when the user says nothing for too long."""

from __future__ import annotations

import numpy as np
import pytest
from detected_turns import (
    INTERRUPTED,
    RATE,
    STORY,
    TURN,
    Speaker,
    silence,
    spoken,
    tone,
    without_deltas,
)
from service_client import of_type, only, types

from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemInputAudioTranscriptionCompleted,
    InputAudioBufferCommitted,
    InputAudioBufferTimeoutTriggered,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    SemanticVad,
    ServerVad,
    Transcription,
    TurnDetection,
)
from realtime_trio.simulator import Reply

IDLE = ServerVad(idle_timeout_ms=6000)


HELLO = Reply.speech("Hello?", np.zeros(2 * 24_000, np.int16))
"""Said at once, and played for two seconds."""


def test_a_user_who_says_nothing_is_asked_again() -> None:
    client = Speaker(HELLO, Reply.text("Are you there?"), detection=IDLE)
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
    client = Speaker(HELLO, HELLO, HELLO, detection=IDLE)
    client.send(ResponseCreate())
    assert client.wait(7.9) == []
    # Two seconds of speech, and six of silence.
    assert client.server.next_due == pytest.approx(8.0)
    events = client.wait(0.2)
    triggered = only(events, InputAudioBufferTimeoutTriggered)
    assert (triggered.audio_start_ms, triggered.audio_end_ms) == (0, 0)
    assert client.heard(triggered.item_id) == b""
    assert client.wait(7.8) == []
    assert len(of_type(client.wait(0.2), InputAudioBufferTimeoutTriggered)) == 1


def test_waiting_begins_when_the_answer_was_said_to_the_end() -> None:
    client = Speaker(STORY, detection=IDLE)
    client.send(ResponseCreate())
    (done,) = of_type(client.wait(14.7), ResponseDone)
    assert done.response.status == "completed"
    assert len(of_type(client.wait(0.2), InputAudioBufferTimeoutTriggered)) == 1


def test_silence_uses_up_no_transcript() -> None:
    client = Speaker(
        HELLO, detection=IDLE, transcription=Transcription(model="whisper-1"), transcripts=["Yes."]
    )
    client.send(ResponseCreate())
    assert only(client.wait(9), ConversationItemInputAudioTranscriptionCompleted).transcript == ""
    assert (
        only(client.append(spoken()), ConversationItemInputAudioTranscriptionCompleted).transcript
        == "Yes."
    )


def test_who_speaks_in_time_is_not_asked() -> None:
    client = Speaker(HELLO, STORY, detection=IDLE)
    client.send(ResponseCreate())
    client.wait(7.9)
    client.append(tone(100))
    assert client.wait(100) == []


def test_who_interrupts_is_not_waited_for() -> None:
    client = Speaker(STORY, detection=IDLE)
    client.send(ResponseCreate())
    client.wait(2.5)
    assert types(client.append(tone(100))) == INTERRUPTED
    assert client.wait(100) == []


def test_who_speaks_when_an_answer_ends_is_not_waited_for() -> None:
    client = Speaker(STORY, detection=ServerVad(idle_timeout_ms=6000, interrupt_response=False))
    client.send(ResponseCreate())
    client.wait(2.5)
    client.append(tone(100))
    assert only(client.wait(100), ResponseDone).response.status == "completed"


def test_another_response_begins_the_wait_anew() -> None:
    client = Speaker(HELLO, HELLO, detection=IDLE)
    client.send(ResponseCreate())
    client.wait(5.0)
    client.send(ResponseCreate())
    assert client.wait(7.9) == []
    assert len(of_type(client.wait(0.2), InputAudioBufferTimeoutTriggered)) == 1


def test_out_of_band_responses_have_nothing_to_do_with_it() -> None:
    client = Speaker(HELLO, HELLO, detection=IDLE)
    client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    assert client.wait(100) == []


@pytest.mark.parametrize(
    "change",
    [None, ServerVad(idle_timeout_ms=None), ServerVad(idle_timeout_ms=20_000), SemanticVad()],
)
def test_who_changes_his_mind_is_not_waited_for(change: TurnDetection | None) -> None:
    client = Speaker(HELLO, detection=IDLE)
    client.send(ResponseCreate())
    client.update(turn_detection=change)
    assert client.wait(100) == []


def test_another_setting_does_not_end_the_wait() -> None:
    client = Speaker(HELLO, detection=IDLE)
    client.send(ResponseCreate())
    client.update(turn_detection=ServerVad(threshold=0.6))
    assert len(of_type(client.wait(8.1), InputAudioBufferTimeoutTriggered)) == 1


@pytest.mark.parametrize(
    ("create", "interrupt", "answers"), [(False, True, 1), (True, False, 1), (False, False, 0)]
)
def test_the_model_speaks_up_unless_it_never_may(
    create: bool, interrupt: bool, answers: int
) -> None:
    client = Speaker(
        HELLO,
        detection=ServerVad(
            idle_timeout_ms=6000, create_response=create, interrupt_response=interrupt
        ),
    )
    client.send(ResponseCreate())
    events = client.wait(8.1)
    assert types(events)[:4] == ["input_audio_buffer.timeout_triggered", *TURN[2:]]
    assert len(of_type(events, ResponseDone)) == answers
