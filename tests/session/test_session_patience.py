"""A reply to tools waits for the user to finish speaking, but not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from peers import Server, created, memory_server
from simulated import speech
from tool_sessions import serve_calls
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.idleness import LONGEST_SPEECH_S, SILENT_MICROPHONE_S
from realtime_trio.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    FunctionCall,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    RealtimeSession,
    ResponseCreate,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionUpdated,
)

DETECTING = RealtimeSession(
    id="sess_1", audio=SessionAudio(input=SessionAudioInput(turn_detection=ServerVad()))
)


@asynccontextmanager
async def open_withholding(*, audio_ms: int) -> AsyncIterator[tuple[Session, Server]]:
    """A session whose user has begun to speak while the model waited for the output of a call."""
    near, server = memory_server()
    await server.say(created())
    async with open_session(transport=near) as session:
        await server.say(SessionUpdated(event_id="e", session=DETECTING))
        await serve_calls(server, FunctionCall(name="look", arguments="{}", call_id="call_1"))
        await server.say(
            InputAudioBufferSpeechStarted(event_id="e", audio_start_ms=0, item_id="item_1")
        )
        await wait_all_tasks_blocked()
        if audio_ms:
            await session.append_audio(speech(audio_ms))
            await server.hear(InputAudioBufferAppend)
        await session.send_tool_output("call_1", "{}")
        create = await server.hear(ConversationItemCreate)
        await server.say(ConversationItemAdded(event_id="e", item=create.item))
        await wait_all_tasks_blocked()
        yield session, server


async def wait_for_the_reply(server: Server) -> float:
    """How long it is withheld, in seconds."""
    start = trio.current_time()
    await server.hear(ResponseCreate)
    return trio.current_time() - start


async def test_a_microphone_that_was_muted_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with open_withholding(audio_ms=500) as (_, server):
        with trio.fail_after(LONGEST_SPEECH_S / 2):
            assert await wait_for_the_reply(server) == SILENT_MICROPHONE_S


async def test_speech_that_does_not_end_is_waited_for_up_to_a_limit(
    autojump_clock: MockClock,
) -> None:
    async def speak(session: Session) -> None:
        while True:
            await trio.sleep(1)
            await session.append_audio(speech(1000))

    async with open_withholding(audio_ms=500) as (session, server), trio.open_nursery() as nursery:
        nursery.start_soon(speak, session)
        start = trio.current_time()
        while not isinstance(await server.hear(ClientEvent), ResponseCreate):
            pass
        assert trio.current_time() - start == LONGEST_SPEECH_S
        nursery.cancel_scope.cancel()


async def test_audio_that_goes_another_way_is_waited_for_up_to_the_limit(
    autojump_clock: MockClock,
) -> None:
    async with open_withholding(audio_ms=0) as (_, server):
        assert await wait_for_the_reply(server) == LONGEST_SPEECH_S


async def test_a_reply_that_is_no_longer_withheld_ends_the_waiting(
    autojump_clock: MockClock,
) -> None:
    async with open_withholding(audio_ms=500) as (_, server):
        await server.say(InputAudioBufferCleared(event_id="e"))
        assert await wait_for_the_reply(server) == 0
        with trio.move_on_after(10) as scope:
            await server.hear(ResponseCreate)
        assert scope.cancelled_caught
