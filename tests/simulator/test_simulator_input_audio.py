"""The simulated server's input audio buffer, committed and cleared by hand.

Turns that the server detects are in `test_simulator_vad`.
"""

from __future__ import annotations

import pytest
from service_client import Client, audio, types

from realtime_trio.events import (
    AudioFormat,
    ConversationItemAdded,
    ConversationItemDone,
    Event,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    SessionConfig,
    SessionUpdate,
    UserMessage,
)


def test_committed_audio_becomes_a_user_message() -> None:
    client = Client()
    assert (
        client.send(
            InputAudioBufferAppend(audio=audio(60)), InputAudioBufferAppend(audio=audio(60))
        )
        == []
    )
    committed, added, done = client.send(InputAudioBufferCommit())
    assert isinstance(committed, InputAudioBufferCommitted)
    assert isinstance(added, ConversationItemAdded)
    assert isinstance(done, ConversationItemDone)
    assert committed.previous_item_id is added.previous_item_id is None
    assert (
        added.item
        == done.item
        == UserMessage(id=committed.item_id, status="completed", content=[InputAudio()])
    )
    assert client.item(committed.item_id).content == (InputAudio(audio(120)),)
    assert client.refused(InputAudioBufferCommit()).code == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize(("milliseconds", "shown"), [(0, "0.00ms"), (99.5, "99.50ms")])
def test_less_than_100_ms_cannot_be_committed(milliseconds: float, shown: str) -> None:
    client = Client()
    client.send(InputAudioBufferAppend(audio=audio(milliseconds)))
    error = client.refused(InputAudioBufferCommit())
    assert error.code == "input_audio_buffer_commit_empty"
    assert error.message == (
        "Error committing input audio buffer: buffer too small. "
        f"Expected at least 100ms of audio, but buffer only has {shown} of audio."
    )
    client.send(InputAudioBufferAppend(audio=audio(100)))
    assert types(client.send(InputAudioBufferCommit()))[0] == "input_audio_buffer.committed"


def test_100_ms_of_g711_are_800_bytes() -> None:
    client = Client()
    client.send(
        SessionUpdate(session=SessionConfig.of(input_format=AudioFormat.pcmu())),
        InputAudioBufferAppend(audio=bytes(799)),
    )
    assert "99.88ms" in client.refused(InputAudioBufferCommit()).message
    client.send(InputAudioBufferAppend(audio=b"\xff"))
    assert types(client.send(InputAudioBufferCommit()))[0] == "input_audio_buffer.committed"


def test_cleared_audio_is_gone() -> None:
    client = Client()
    assert types(
        client.send(InputAudioBufferAppend(audio=audio(200)), InputAudioBufferClear())
    ) == ["input_audio_buffer.cleared"]
    assert client.refused(InputAudioBufferCommit()).code == "input_audio_buffer_commit_empty"


def test_an_append_may_not_be_too_long() -> None:
    client = Client()
    client.send(SessionUpdate(session=SessionConfig.of(turn_detection=None)))
    error = client.refused(InputAudioBufferAppend(audio=bytes(15 * 2**20 + 1), event_id="mine"))
    assert (error.code, error.param, error.event_id) == ("string_above_max_length", "audio", "mine")
    assert client.refused(InputAudioBufferCommit()).code == "input_audio_buffer_commit_empty"
    assert client.send(InputAudioBufferAppend(audio=bytes(15 * 2**20))) == []


@pytest.mark.parametrize("empty", [InputAudioBufferCommit, InputAudioBufferClear])
def test_no_more_audio_may_wait_than_fits(empty: type[Event]) -> None:
    client = Client(max_input_audio=48_000)
    client.send(SessionUpdate(session=SessionConfig.of(turn_detection=None)))
    client.send(InputAudioBufferAppend(audio=audio(600)))
    error = client.refused(InputAudioBufferAppend(audio=audio(401), event_id="mine"))
    assert (error.code, error.event_id) == ("input_audio_buffer_full", "mine")
    assert "at most 48000 bytes" in error.message
    # What was refused is not there, and what fits still does.
    assert client.send(InputAudioBufferAppend(audio=audio(400))) == []
    client.send(empty())
    assert client.send(InputAudioBufferAppend(audio=audio(1000))) == []


def test_audio_that_turn_detection_lets_go_does_not_count() -> None:
    client = Client(max_input_audio=12 * 48_000)
    for _ in range(60):
        assert client.send(InputAudioBufferAppend(audio=bytes(48_000))) == []
