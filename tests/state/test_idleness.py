"""Since when nothing has happened."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from strategies import any_client_event, any_server_event

from realtime_trio._state.idleness import LONGEST_SPEECH_S, SILENT_MICROPHONE_S, Idleness
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    ClientEvent,
    ErrorDetail,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    RateLimitsUpdated,
    Response,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)

APPEND = InputAudioBufferAppend(audio=AudioData(b"\0\0"))
STARTED = InputAudioBufferSpeechStarted(event_id="e", item_id="i", audio_start_ms=0)
STOPPED = InputAudioBufferSpeechStopped(event_id="e", item_id="i", audio_end_ms=1)


def test_it_is_idle_from_the_beginning() -> None:
    assert Idleness(3.0).since(10.0) == 3.0


@pytest.mark.parametrize(
    "event",
    [
        ErrorEvent(event_id="e", error=ErrorDetail(type="t", message="m")),
        InputAudioBufferCleared(event_id="e"),
        InputAudioBufferCommitted(event_id="e", item_id="i"),
        ResponseCreated(event_id="e", response=Response()),
        ResponseDone(event_id="e", response=Response()),
        STOPPED,
    ],
)
def test_what_the_server_says_of_turns_and_responses_is_something(event: ServerEvent) -> None:
    idle = Idleness(0.0)
    idle.apply(event, 5.0)
    assert idle.since(9.0) == 5.0


def test_what_it_says_of_the_account_is_nothing() -> None:
    idle = Idleness(0.0)
    idle.apply(RateLimitsUpdated(event_id="e", rate_limits=()), 5.0)
    assert idle.since(9.0) == 0.0


def test_what_is_sent_is_something_but_for_audio_that_the_server_listens_to() -> None:
    idle = Idleness(0.0)
    idle.sent(APPEND, 1.0, is_detecting=True)
    assert idle.since(9.0) == 0.0
    idle.sent(APPEND, 2.0, is_detecting=False)
    assert idle.since(9.0) == 2.0
    idle.sent(InputAudioBufferCommit(), 3.0, is_detecting=True)
    assert idle.since(9.0) == 3.0


def test_while_the_user_speaks_it_is_not_idle() -> None:
    idle = Idleness(0.0)
    idle.apply(STARTED, 1.0)
    idle.sent(APPEND, 4.0, is_detecting=True)
    assert idle.since(4.5) == 4.5
    idle.apply(STOPPED, 6.0)
    assert idle.since(9.0) == 6.0


def test_without_audio_the_user_does_not_speak() -> None:
    idle = Idleness(0.0)
    idle.sent(APPEND, 0.5, is_detecting=True)
    idle.apply(STARTED, 1.0)
    assert idle.since(100.0) == 1.0 + SILENT_MICROPHONE_S
    idle.sent(APPEND, 3.0, is_detecting=True)
    assert idle.since(100.0) == 3.0 + SILENT_MICROPHONE_S


def test_nobody_speaks_for_ever() -> None:
    idle = Idleness(0.0)
    idle.apply(STARTED, 1.0)  # the audio reaches the service on another way
    assert idle.since(1000.0) == 1.0 + LONGEST_SPEECH_S


@given(
    st.lists(
        st.tuples(st.floats(0, 50), any_server_event() | any_client_event(), st.booleans()),
        max_size=12,
    )
)
def test_it_never_goes_back_and_is_never_ahead(
    steps: list[tuple[float, ServerEvent | ClientEvent, bool]],
) -> None:
    now, idle = 0.0, Idleness(0.0)
    last = idle.since(now)
    for pause, event, is_detecting in steps:
        now += pause
        if isinstance(event, ServerEvent):
            idle.apply(event, now)
        else:
            idle.sent(event, now, is_detecting=is_detecting)
        assert last <= idle.since(now) <= now
        last = idle.since(now)
