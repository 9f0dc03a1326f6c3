"""Sessions in G.711: samples are companded on whichever way they go to the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from simulated import open_simulated, sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.voice import Session
from realtime_trio.audio import AudioData, alaw_encode, mulaw_encode
from realtime_trio.events import (
    AudioFormat,
    ConversationItemCreate,
    InputAudio,
    InputAudioBufferAppend,
    UserMessage,
)
from realtime_trio.simulator import Reply

SECOND = (np.sin(np.arange(8000) / 8) * 8000).astype(np.int16)
Encode = Callable[[NDArray[np.int16]], bytes]


def as_it_is(samples: NDArray[np.int16]) -> bytes:
    return samples.tobytes()


FORMATS: dict[str, tuple[AudioFormat, Encode]] = {
    "pcm": (AudioFormat.pcm(), as_it_is),
    "pcmu": (AudioFormat.pcmu(), mulaw_encode),
    "pcma": (AudioFormat.pcma(), alaw_encode),
}


async def ask(session: Session) -> None:
    await session.ask(SECOND)


async def send_message(session: Session) -> None:
    await session.send_message(SECOND)


async def send_a_part(session: Session) -> None:
    await session.send_message(["Listen:", InputAudio(SECOND)])


async def insert(session: Session) -> None:
    await session.insert_item(UserMessage.audio(SECOND))


async def append(session: Session) -> None:
    await session.append_audio(AudioData(SECOND))


async def send(session: Session) -> None:
    await session.send(InputAudioBufferAppend(audio=AudioData(SECOND)))


def audio_of(events: list[object]) -> bytes:
    pieces = [event.audio.data for event in events if isinstance(event, InputAudioBufferAppend)]
    for event in events:
        if isinstance(event, ConversationItemCreate) and isinstance(event.item, UserMessage):
            parts = [part for part in event.item.content if isinstance(part, InputAudio)]
            pieces += [part.audio.data for part in parts if part.audio is not None]
    return b"".join(pieces)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("say", [ask, send_message, send_a_part, insert, append, send])
async def test_samples_arrive_in_the_sessions_format(
    name: str, say: Callable[[Session], Awaitable[None]], autojump_clock: MockClock
) -> None:
    audio_format, encode = FORMATS[name]
    async with open_simulated(
        Reply.text("Fine."), turn_detection=None, input_format=audio_format
    ) as session:
        wire = session.wire()
        await say(session)
        await wait_all_tasks_blocked()
        assert audio_of([*sent(wire)]) == encode(SECOND)


async def test_bytes_are_in_the_format_already(autojump_clock: MockClock) -> None:
    encoded = mulaw_encode(SECOND)
    async with open_simulated(
        Reply.text("Fine."), turn_detection=None, input_format=AudioFormat.pcmu()
    ) as session:
        wire = session.wire()
        await session.ask(encoded)
        assert audio_of([*sent(wire)]) == encoded


@pytest.mark.parametrize("name", FORMATS)
async def test_speech_sent_as_a_message_is_kept_as_it_sounds(
    name: str, autojump_clock: MockClock
) -> None:
    async with open_simulated(
        Reply.text("Fine."), turn_detection=None, input_format=FORMATS[name][0]
    ) as session:
        await session.ask(SECOND)
        [said, _] = session.conversation.items
        assert_allclose(said.audio, SECOND, atol=600)  # G.711 has 14 bits, for loud samples fewer
