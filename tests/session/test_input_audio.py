"""The user's audio on its way to the server, in a session that does nothing else with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import trio
from numpy.typing import NDArray
from peers import Server, failure, memory_server, open_pair as open_voice_pair
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.input_audio import split_audio
from realtime_trio._session.transcription import Transcriber, open_transcription_session
from realtime_trio._state.costs import Usage
from realtime_trio._state.utility_events import ItemUpdated
from realtime_trio.audio import PCM_RATE, AudioData, alaw_encode, mulaw_encode
from realtime_trio.errors import LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorEvent,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputText,
    RealtimeSession,
    ResponseCreate,
    ResponseOutputItemAdded,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TranscriptionSession,
    UserMessage,
)

MANUAL = SessionAudioInput()
DETECTING = SessionAudioInput(turn_detection=ServerVad())
SECOND = np.arange(PCM_RATE, dtype=np.int16)


@asynccontextmanager
async def open_pair(
    settings: SessionAudioInput | None = MANUAL,
) -> AsyncIterator[tuple[Transcriber, Server]]:
    """A session whose server reports these settings, and the server."""
    near, server = memory_server()
    config = TranscriptionSession(
        id="sess_1", audio=None if settings is None else SessionAudio(input=settings)
    )
    await server.say(
        SessionCreated(event_id="event_1", session=config),
        SessionUpdated(event_id="event_2", session=config),
    )

    async def answer_update() -> None:
        await server.hear(SessionUpdate)
        await server.say(SessionUpdated(event_id="event_3", session=config))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_update)
            async with open_transcription_session(transport=near) as session:
                yield session, server


@pytest.mark.parametrize(
    ("size", "chunk_ms", "sizes"),
    [
        (0, None, []),
        (48, None, [48]),
        (2**20 + 2, None, [2**20, 2]),
        (4800, 40, [1920, 1920, 960]),
        (96, 1, [48, 48]),
        (96, np.int64(1), [48, 48]),
    ],
)
def test_audio_is_cut_into_pieces_for_one_event_each(
    size: int, chunk_ms: int | None, sizes: list[int]
) -> None:
    audio = bytes(index % 251 for index in range(size))
    pieces = list(split_audio(audio, AudioFormat.pcm(), chunk_ms))
    assert [len(piece) for piece in pieces] == sizes
    assert b"".join(piece.data for piece in pieces) == audio


def test_what_is_no_audio_cannot_be_cut() -> None:
    with pytest.raises(LocalProtocolError):
        list(split_audio("Hello", AudioFormat.pcm(), None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chunk_ms", "error"),
    [(0, LocalProtocolError), (-20, LocalProtocolError), (1.5, TypeError), ("20", TypeError)],
)
def test_a_piece_has_a_length(chunk_ms: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^chunk_ms must be "):
        list(split_audio(bytes(96), AudioFormat.pcm(), chunk_ms))


@pytest.mark.parametrize(
    ("audio_format", "encode"),
    [(AudioFormat.pcmu(), mulaw_encode), (AudioFormat.pcma(), alaw_encode)],
)
def test_samples_are_encoded_for_telephony_and_bytes_are_encoded_already(
    audio_format: AudioFormat, encode: Callable[[NDArray[np.int16]], bytes]
) -> None:
    samples = (np.sin(np.arange(800)) * 8000).astype(np.int16)
    assert b"".join(piece.data for piece in split_audio(samples, audio_format, 20)) == encode(
        samples
    )
    assert [len(piece) for piece in split_audio(encode(samples), audio_format, 20)] == [160] * 5
    assert list(split_audio(b"abc", audio_format, None)) == [AudioData(b"abc")]


@pytest.mark.parametrize(
    ("settings", "bytes_per_ms"),
    [
        (None, 48),
        (MANUAL, 48),
        (SessionAudioInput(format=AudioFormat(type="audio/pcm")), 48),
        (SessionAudioInput(format=AudioFormat(type="audio/pcm", rate=16000)), 32),
        (SessionAudioInput(format=AudioFormat(type="audio/pcmu")), 8),
    ],
)
async def test_appended_audio_is_cut_by_the_sessions_format(
    settings: SessionAudioInput | None, bytes_per_ms: int, autojump_clock: MockClock
) -> None:
    async with open_pair(settings) as (session, server):
        await session.append_audio(bytes(50 * bytes_per_ms), chunk_ms=20)
        heard = [await server.hear(InputAudioBufferAppend) for _ in range(3)]
        assert [len(event.audio.data) for event in heard] == [
            20 * bytes_per_ms,
            20 * bytes_per_ms,
            10 * bytes_per_ms,
        ]


async def test_appended_audio_arrives_as_it_is_and_nothing_is_sent_for_none(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        with assert_checkpoints():
            await session.append_audio(b"")
        await session.append_audio(SECOND)
        assert session.conversation.pending_input_ms == 1000
        np.testing.assert_array_equal(
            (await server.hear(InputAudioBufferAppend)).audio.samples, SECOND
        )


async def test_samples_are_companded_in_events_of_ones_own_and_bytes_are_taken_as_they_are(
    autojump_clock: MockClock,
) -> None:
    telephony = SessionAudioInput(format=AudioFormat.pcmu())
    samples = (np.sin(np.arange(800)) * 8000).astype(np.int16)
    async with open_pair(telephony) as (session, server):
        await session.send(InputAudioBufferAppend(audio=samples))
        await session.send(InputAudioBufferAppend(audio=mulaw_encode(samples)))
        for _ in range(2):
            heard = await server.hear(InputAudioBufferAppend)
            assert heard.audio.data == mulaw_encode(samples)


async def test_samples_in_a_message_are_companded_and_what_is_no_audio_stays(
    autojump_clock: MockClock,
) -> None:
    telephony = SessionAudioInput(format=AudioFormat.pcmu())
    samples = (np.sin(np.arange(800)) * 8000).astype(np.int16)
    parts = (InputText("Listen:"), InputAudio(samples), InputAudio(transcript="lost"))
    async with open_voice_pair() as (session, server):
        await server.say(
            SessionUpdated(
                event_id="event_1",
                session=RealtimeSession(id="sess_1", audio=SessionAudio(input=telephony)),
            )
        )
        await wait_all_tasks_blocked()
        await session.send(ConversationItemCreate(item=UserMessage(content=parts)))
        item = (await server.hear(ConversationItemCreate)).item
        assert isinstance(item, UserMessage)
        text, audio, lost = item.content
        assert (text, lost) == (parts[0], parts[2])
        assert isinstance(audio, InputAudio)
        assert audio.audio is not None
        assert audio.audio.data == mulaw_encode(samples)


async def test_what_is_no_audio_is_not_appended(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(LocalProtocolError):
            await session.append_audio("Hello")  # type: ignore[arg-type]  # as a user may
    assert await server.hear_the_rest() == []


async def test_a_commit_returns_the_message_that_the_server_made(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:

        async def serve() -> None:
            await server.hear(InputAudioBufferAppend)
            await server.hear(InputAudioBufferCommit)
            await server.say(InputAudioBufferCommitted(event_id="event_4", item_id="item_1"))

        nursery.start_soon(serve)
        await session.append_audio(SECOND[:2400])  # 100 ms
        assert await session.commit_audio() == "item_1"
        assert session.conversation.pending_input_ms == 0


async def test_less_than_the_service_takes_is_not_committed(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(LocalProtocolError, match="cannot commit 0 ms"):
            await session.commit_audio()
        await session.append_audio(SECOND[:2399])
        with pytest.raises(
            LocalProtocolError, match="cannot commit 99 ms of audio: at least 100 ms"
        ):
            await session.commit_audio()
        await server.hear(InputAudioBufferAppend)
    assert await server.hear_the_rest() == []


async def test_a_commit_after_turn_detection_has_committed_is_no_error(
    autojump_clock: MockClock,
) -> None:
    async with open_pair(DETECTING) as (session, server), trio.open_nursery() as nursery:
        errors = session.events(ErrorEvent)

        async def serve() -> None:
            commit = await server.hear(InputAudioBufferCommit)
            await server.say(
                failure(
                    "buffer too small", code="input_audio_buffer_commit_empty", of=commit.event_id
                )
            )

        nursery.start_soon(serve)
        assert await session.commit_audio() is None
        assert errors.pending == 0


@pytest.mark.parametrize(
    ("settings", "code"), [(DETECTING, "server_error"), (MANUAL, "input_audio_buffer_commit_empty")]
)
async def test_any_other_refused_commit_is_an_error(
    settings: SessionAudioInput, code: str, autojump_clock: MockClock
) -> None:
    async with open_pair(settings) as (session, server), trio.open_nursery() as nursery:

        async def serve() -> None:
            await server.hear(InputAudioBufferAppend)
            commit = await server.hear(InputAudioBufferCommit)
            await server.say(failure("no", code=code, of=commit.event_id))

        nursery.start_soon(serve)
        errors = session.events(ErrorEvent)
        await session.append_audio(SECOND)
        with pytest.raises(ServerError) as caught:
            await session.commit_audio()
        assert caught.value.code == (await errors.receive()).error.code == code


async def test_cleared_audio_is_not_pending(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:

        async def serve() -> None:
            await server.hear(InputAudioBufferAppend)
            await server.hear(InputAudioBufferClear)
            await server.say(InputAudioBufferCleared(event_id="event_4"))

        nursery.start_soon(serve)
        await session.append_audio(SECOND)
        await session.clear_audio()
        assert session.conversation.pending_input_ms == 0


async def test_after_the_end_nothing_can_be_said(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, _):
        await session.append_audio(SECOND)
    with pytest.raises(SessionClosed):
        await session.append_audio(SECOND)
    with pytest.raises(SessionClosed):
        await session.commit_audio()
    with pytest.raises(SessionClosed):
        await session.clear_audio()


# In a voice session: what asks for a response commits first


async def test_pending_audio_is_committed_before_a_response_is_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with open_voice_pair() as (session, server):
        with assert_checkpoints():
            await session.respond()  # nothing is pending yet
        await server.hear(ResponseCreate)
        await session.append_audio(SECOND)
        await session.respond()
        await server.hear(InputAudioBufferAppend)
        await server.hear(InputAudioBufferCommit)
        assert session.usage == Usage()


async def test_what_was_growing_at_the_end_is_told_to_be_incomplete(
    autojump_clock: MockClock,
) -> None:
    async with open_voice_pair() as (session, server):
        updates = session.events(ItemUpdated)
        item = AssistantMessage(content=(), id="item_1", status="in_progress")
        await server.say(
            ResponseOutputItemAdded(
                event_id="event_1", response_id="resp_1", output_index=0, item=item
            ),
            ConversationItemAdded(event_id="event_2", item=item),
        )
        await wait_all_tasks_blocked()
        assert updates.pending == 0
    [kept] = session.conversation.items
    assert kept.status == "incomplete"
    assert [event async for event in updates] == [ItemUpdated(item=kept)]
