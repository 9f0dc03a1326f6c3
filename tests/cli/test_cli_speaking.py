"""The user's side of a talk: who finds the turns, and what is sent of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray
from simulated import open_simulated, sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import Session
from realtime_trio._runtime.hub import EventStream
from realtime_trio.audio import PCM_RATE
from realtime_trio.cli.speaking import Speaking, Turns
from realtime_trio.devices import EnergyModel
from realtime_trio.events import (
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCreate,
    ResponseDone,
)
from realtime_trio.playback import Playback
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Reply

CHUNK = PCM_RATE // 50
SILENCE = np.zeros(CHUNK, np.int16)
STORY = np.full(PCM_RATE * 5, 7, np.int16)


def chunks(seconds: float, level: int) -> list[NDArray[np.int16]]:
    """A sound that is loud enough to be speech, or a level that tells one chunk from another."""
    wave = np.repeat(np.array([level, -level], np.int16), PCM_RATE // 1000)  # 500 Hz
    return [np.resize(wave, CHUNK) for _ in range(round(seconds * 50))]


async def hear(speaking: Speaking, heard: Iterable[NDArray[np.int16]]) -> None:
    for chunk in heard:
        await speaking.hear(chunk)
    await wait_all_tasks_blocked()


def told(wire: EventStream[WireRecord]) -> tuple[NDArray[np.int16], list[str]]:
    """The audio that was sent, and in what order which events were."""
    events = sent(wire)
    audio = [event.audio.samples for event in events if isinstance(event, InputAudioBufferAppend)]
    names = [
        type(event).__name__
        for event in events
        if not isinstance(event, InputAudioBufferAppend)
        or not isinstance(events[events.index(event) - 1], InputAudioBufferAppend)
    ]
    return np.concatenate((*audio, np.empty(0, np.int16))), names


@asynccontextmanager
async def talking(
    turns: Turns, *replies: Reply, is_quick: bool = False
) -> AsyncIterator[tuple[Speaking, Session, Playback, EventStream[WireRecord]]]:
    playback = Playback()
    async with open_simulated(
        *replies,
        playback=playback,
        **({} if turns == "service" else {"turn_detection": None}),  # type: ignore[arg-type]
    ) as session:
        speaking = Speaking(session, PCM_RATE, playback, EnergyModel(), turns, is_quick=is_quick)
        wire = session.wire()
        sent(wire)  # the configuration
        yield speaking, session, playback, wire


async def test_the_service_gets_everything(autojump_clock: MockClock) -> None:
    async with talking("service") as (speaking, _, __, wire):
        await hear(speaking, [SILENCE] * 10 + chunks(0.2, 9000))
        assert len(told(wire)[0]) == 20 * CHUNK


async def test_whoever_is_quick_interrupts_before_the_service_notices(
    autojump_clock: MockClock,
) -> None:
    async with talking("service", Reply.speech("A story.", STORY), is_quick=True) as talk:
        speaking, session, playback, wire = talk
        await hear(speaking, [SILENCE] * 50)  # the room
        with session.events(ResponseDone) as done:
            await session.respond()
            await done.receive()
        playback.take(PCM_RATE)
        await hear(speaking, chunks(0.12, 9000))
        assert playback.queued == 0
        assert any(isinstance(event, ConversationItemTruncate) for event in sent(wire))


async def test_this_machine_sends_turns_and_no_silence(autojump_clock: MockClock) -> None:
    async with talking("here", Reply.text("Yes.")) as (speaking, session, _, wire):
        with session.events(ResponseDone) as done:
            await hear(speaking, [SILENCE] * 100)
            assert told(wire)[1] == []
            assert not speaking.is_on
            states = []
            for heard in (chunks(1, 9000), [SILENCE] * 100):
                await hear(speaking, heard)
                states.append(speaking.is_on)
            assert states == [True, False]
            await done.receive()
        audio, names = told(wire)
        loud = np.flatnonzero(audio)
        assert (loud[0] > 0, loud[-1] - loud[0] + 1) == (True, PCM_RATE)
        # What came right before belongs to it, and the pause by which it is known to be over.
        assert PCM_RATE * 1.6 < len(audio) < PCM_RATE * 2.1
        assert names == ["InputAudioBufferAppend", "InputAudioBufferCommit", "ResponseCreate"]


async def test_speech_that_is_found_here_interrupts(autojump_clock: MockClock) -> None:
    async with talking("here", Reply.speech("A story.", STORY)) as talk:
        speaking, session, playback, _ = talk
        await hear(speaking, [SILENCE] * 50)
        with session.events(ResponseDone) as done:
            await session.respond()
            await done.receive()
        assert playback.queued
        await hear(speaking, chunks(0.2, 9000))
        assert playback.queued == 0


async def test_a_key_begins_and_ends_a_turn_with_what_came_right_before(
    autojump_clock: MockClock,
) -> None:
    async with talking("key", Reply.speech("A story.", STORY)) as talk:
        speaking, session, playback, wire = talk
        await hear(speaking, [*chunks(1, 1), *chunks(1, 2)])
        was_on = speaking.is_on
        await speaking.press()
        assert (was_on, speaking.is_on) == (False, True)
        await hear(speaking, chunks(0.5, 3))
        with session.events(ResponseDone) as done:
            await speaking.press()
            await hear(speaking, chunks(1, 4))
            await done.receive()
        audio, names = told(wire)
        # 0.3 s before the key.
        assert audio[::CHUNK].tolist() == [2] * 15 + [3] * 25
        assert names == ["InputAudioBufferAppend", "InputAudioBufferCommit", "ResponseCreate"]
        assert playback.is_audible
        await speaking.press()
        await hear(speaking, chunks(0.1, 5))
        assert not playback.is_audible


async def test_a_key_that_was_pressed_by_mistake_says_nothing(autojump_clock: MockClock) -> None:
    async with talking("key") as (speaking, _, __, wire):
        await speaking.press()
        await hear(speaking, chunks(0.06, 3))
        await speaking.press()
        await hear(speaking, chunks(0.1, 4))
        events = sent(wire)
        assert any(isinstance(event, InputAudioBufferClear) for event in events)
        assert not any(
            isinstance(event, InputAudioBufferCommit | ResponseCreate) for event in events
        )


async def test_otherwise_the_key_interrupts(autojump_clock: MockClock) -> None:
    async with talking("service", Reply.speech("A story.", STORY)) as talk:
        speaking, session, playback, _ = talk
        with session.events(ResponseDone) as done:
            await session.respond()
            await done.receive()
        await speaking.press()
        assert not playback.is_audible
