"""A session in which nothing happens hangs up, and one in which something does stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from bills import began, done
from limited_sessions import open_limited, open_simulated_within
from peers import Server
from trio.testing import MockClock

from realtime_trio._session.idle_watch import LOOK_AGAIN_S
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import ToolCallRequested
from realtime_trio.errors import SessionClosed
from realtime_trio.events import (
    ConversationItemCreate,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    RateLimitsUpdated,
    ResponseCreate,
    ServerVad,
)
from realtime_trio.money import HangingUp
from realtime_trio.playback import Playback
from realtime_trio.simulator import Pacing, Reply
from realtime_trio.tools import tool

IDLE = 10.0
Step = Callable[[Session, Server], Awaitable[object]]


async def hung_up_after(session: Session) -> float:
    """Seconds from now to the end of the session."""
    start = trio.current_time()
    async for event in session.events(HangingUp):
        assert event == HangingUp(reason="idle")
    assert session.closed is not None
    assert session.closed.is_clean
    return trio.current_time() - start


async def test_a_session_in_which_nothing_happens_hangs_up(autojump_clock: MockClock) -> None:
    async with open_limited(idle_timeout=IDLE) as (session, _):
        assert await hung_up_after(session) == pytest.approx(IDLE)
        with pytest.raises(SessionClosed):
            await session.respond()


async def test_without_a_limit_it_stays(autojump_clock: MockClock) -> None:
    async with open_limited() as (session, _):
        await trio.sleep(500)
        assert session.closed is None


async def send_a_message(session: Session, server: Server) -> None:
    await session.send_message("Hello!", respond=False)


async def begin_to_respond(session: Session, server: Server) -> None:
    with session.events(RateLimitsUpdated) as marks:
        await server.say(began("r"), RateLimitsUpdated(event_id="e", rate_limits=()))
        await marks.receive()


async def respond(session: Session, server: Server) -> None:
    await begin_to_respond(session, server)
    await trio.sleep(3 * IDLE)  # while a response is active nothing is idle
    await server.say(done("r"))


async def speak(session: Session, server: Server) -> None:
    await server.say(InputAudioBufferSpeechStarted(event_id="e", item_id="i", audio_start_ms=0))
    for _ in range(3):
        await trio.sleep(4)
        await session.append_audio(bytes(4800))
    await server.say(InputAudioBufferSpeechStopped(event_id="e", item_id="i", audio_end_ms=9))


async def commit(session: Session, server: Server) -> None:
    await server.say(InputAudioBufferCommitted(event_id="e", item_id="i"))


async def append_audio(session: Session, server: Server) -> None:
    await session.append_audio(bytes(4800))


@pytest.mark.parametrize("step", [send_a_message, respond, speak, commit, append_audio])
async def test_the_time_counts_from_what_happened_last(
    step: Step, autojump_clock: MockClock
) -> None:
    async with open_limited(idle_timeout=IDLE) as (session, server):
        await trio.sleep(IDLE - 1)
        await step(session, server)
        assert await hung_up_after(session) == pytest.approx(IDLE)


async def test_while_turns_are_detected_a_silent_microphone_does_not_count(
    autojump_clock: MockClock,
) -> None:
    detection = ServerVad()
    async with open_limited(idle_timeout=IDLE, detection=detection) as (session, _):
        start = trio.current_time()
        with suppress(SessionClosed):
            while True:
                await session.append_audio(bytes(4800))
                await trio.sleep(0.1)
        assert trio.current_time() - start == pytest.approx(IDLE, abs=0.2)


async def test_a_microphone_that_is_muted_in_the_middle_of_a_word_does_not_keep_it_open(
    autojump_clock: MockClock,
) -> None:
    async with open_limited(idle_timeout=IDLE, detection=ServerVad()) as (session, server):
        await session.append_audio(bytes(4800))
        await server.say(InputAudioBufferSpeechStarted(event_id="e", item_id="i", audio_start_ms=0))
        assert await hung_up_after(session) == pytest.approx(5 + IDLE)


async def test_a_response_that_is_asked_for_keeps_it_open(autojump_clock: MockClock) -> None:
    async with open_limited(idle_timeout=IDLE) as (session, server):
        await session.respond()
        await server.hear(ResponseCreate)
        await trio.sleep(100)
        assert session.closed is None


async def test_an_open_turn_of_the_user_keeps_it_open(autojump_clock: MockClock) -> None:
    async with open_limited(idle_timeout=IDLE) as (session, _):
        with pytest.raises(Exception, match="that is all"):  # noqa: PT012
            async with session.user_turn():
                await trio.sleep(100)
                assert session.closed is None
                raise Exception("that is all")
        assert await hung_up_after(session) == pytest.approx(IDLE)


async def test_a_tool_at_work_keeps_it_open(autojump_clock: MockClock) -> None:
    @tool
    async def look_up() -> str:
        """Look something up, slowly."""
        await trio.sleep(50)
        return "found"

    async with open_simulated_within(
        Reply.call("look_up"), Reply.text("Found."), idle_timeout=IDLE, tools=(look_up,)
    ) as session:
        assert (await session.ask("Look it up.", output_modalities=["text"])).text == "Found."


async def test_a_call_that_the_application_answers_for_keeps_it_open(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated_within(Reply.call("look_up"), idle_timeout=IDLE) as session:
        answer = await _call(session)
        await trio.sleep(100)
        assert session.closed is None
        await session.send_tool_output(answer, "found", respond=False)
        assert await hung_up_after(session) == pytest.approx(IDLE)


async def _call(session: Session) -> str:
    from_model = session.events(ToolCallRequested)
    await session.send_message("Look it up.")
    return str((await from_model.receive()).call.call_id)


async def test_speech_that_is_still_to_be_heard_keeps_it_open(autojump_clock: MockClock) -> None:
    fast = Pacing(audio_speed=1000)
    async with open_simulated_within(
        Reply.text("word " * 40), idle_timeout=IDLE, pacing=fast
    ) as session:
        answer = await session.ask("Tell me a story.")
        seconds = len(answer.audio) / 24_000
        assert seconds > IDLE
        assert await hung_up_after(session) == pytest.approx(seconds + IDLE, abs=0.5)


async def test_with_a_playback_it_is_what_the_sink_has_played(autojump_clock: MockClock) -> None:
    playback = Playback()
    async with open_simulated_within(
        Reply.text("word " * 40), idle_timeout=IDLE, playback=playback
    ) as session:
        await session.ask("Tell me a story.")
        await trio.sleep(100)  # the sink has not begun
        assert session.closed is None
        playback.take(playback.queued)
        assert await hung_up_after(session) == pytest.approx(IDLE, abs=LOOK_AGAIN_S + 0.01)


async def test_leaving_earlier_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with open_limited(idle_timeout=IDLE) as (session, server):
        await session.send_message("Bye.", respond=False)
        await server.hear(ConversationItemCreate)
    assert trio.current_time() < IDLE
