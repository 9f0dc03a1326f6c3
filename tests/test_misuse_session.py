"""What a session is asked for that it cannot mean: refused with a sentence, and nothing is sent."""

from __future__ import annotations

import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import open_simulated, types_sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import AudioFormat, NoiseReduction, ServerVad, Transcription

Do = Callable[[Any], Any]
QUESTION = Path(__file__).parent.parent / "examples" / "question.wav"
SECOND = np.zeros(24_000, np.int16)


@asynccontextmanager
async def nothing_is_sent(**options: Any) -> AsyncIterator[Any]:
    """A session, untyped, in which nothing may be sent."""
    async with open_simulated(**options) as session:
        wire = session.wire()
        types_sent(wire)  # the opening
        yield session
        assert types_sent(wire) == []


AUDIO: dict[str, tuple[Do, type[Exception], str]] = {
    "a text": (lambda s: s.append_audio("question.wav"), LocalProtocolError, "cannot take str as"),
    "a path": (lambda s: s.append_audio(QUESTION), LocalProtocolError, "cannot take PosixPath as"),
    "a list": (lambda s: s.append_audio([1, 2]), LocalProtocolError, "cannot take list as audio"),
    "a file's bytes": (
        lambda s: s.append_audio(QUESTION.read_bytes()),
        LocalProtocolError,
        "a whole WAV file, RIFF header and all, .*read_wav",
    ),
    "a file's bytes as a message": (
        lambda s: s.send_message(QUESTION.read_bytes()),
        LocalProtocolError,
        "a whole WAV file, RIFF header and all, .*read_wav",
    ),
    "a file's bytes as a question": (
        lambda s: s.ask(QUESTION.read_bytes()),
        LocalProtocolError,
        "a whole WAV file, RIFF header and all, .*read_wav",
    ),
    "floats on the scale of 16 bit": (
        lambda s: s.append_audio(SECOND + 20000.0),
        LocalProtocolError,
        r"samples in \[-1, 1\], got one of 20000",
    ),
    "stereo": (
        lambda s: s.append_audio(np.zeros((5, 2), np.int16)),
        LocalProtocolError,
        r"an array of shape \(5, 2\) and dtype int16",
    ),
    "pieces of no length": (
        lambda s: s.append_audio(SECOND, chunk_ms=0),
        LocalProtocolError,
        "chunk_ms must be at least 1 millisecond, not 0",
    ),
    "pieces of half a millisecond": (
        lambda s: s.append_audio(SECOND, chunk_ms=0.5),
        TypeError,
        "chunk_ms must be a whole number of milliseconds, not float",
    ),
}


@pytest.mark.parametrize("case", AUDIO)
async def test_what_is_not_audio_is_not_sent(autojump_clock: MockClock, case: str) -> None:
    do, error, said = AUDIO[case]
    async with nothing_is_sent() as session:
        with pytest.raises(error, match=said):
            await do(session)


async def test_an_array_of_the_standard_library_is_audio(autojump_clock: MockClock) -> None:
    async with open_simulated(turn_detection=None) as session:
        async with session.user_turn(respond=False):
            await session.append_audio(array.array("h", bytes(9600)))
        await session.send_message(array.array("h", bytes(4800)))
        await wait_all_tasks_blocked()
        assert [item.audio_ms for item in session.conversation.items[:2]] == [200, 100]


async def test_settings_of_audio_may_be_words(autojump_clock: MockClock) -> None:
    async with open_simulated(
        turn_detection="semantic_vad",
        transcription="gpt-4o-transcribe",
        input_format="g711_ulaw",
        output_format="pcm16",
        noise_reduction="near_field",
        output_modalities="text",
    ) as session:
        await session.update(turn_detection="server_vad")
        assert session.config.output_modalities == ("text",)
        assert session.config.audio is not None
        given, taken = session.config.audio.input, session.config.audio.output
        assert given is not None
        assert taken is not None
        assert isinstance(given.turn_detection, ServerVad)
        assert given.transcription == Transcription(model="gpt-4o-transcribe")
        assert (given.format, taken.format) == (AudioFormat.pcmu(), AudioFormat.pcm())
        assert given.noise_reduction == NoiseReduction(type="near_field")
        updated = await session.update(turn_detection="none", transcription=None)
        assert updated.audio is not None
        assert updated.audio.input is not None
        assert updated.audio.input.turn_detection is None
        assert updated.audio.input.transcription is None


WORDS: dict[str, tuple[Do, type[Exception], str]] = {
    "a detection": (
        lambda s: s.update(turn_detection="vad"),
        LocalProtocolError,
        "turn detection must be 'server_vad', 'semantic_vad' or 'none', not 'vad'",
    ),
    "a format": (
        lambda s: s.update(input_format="mp3"),
        LocalProtocolError,
        "an audio format must be 'pcm', .*, not 'mp3'",
    ),
    "a format of a response": (
        lambda s: s.respond(output_format="mp3"),
        LocalProtocolError,
        "an audio format must be 'pcm', .*, not 'mp3'",
    ),
    "a modality": (
        lambda s: s.update(output_modalities="video"),
        LocalProtocolError,
        "expected one of 'text', 'audio', got 'video'",
    ),
}


@pytest.mark.parametrize("case", WORDS)
async def test_a_word_that_is_not_known_is_not_sent(autojump_clock: MockClock, case: str) -> None:
    do, error, said = WORDS[case]
    async with nothing_is_sent() as session:
        with pytest.raises(error, match=said):
            await do(session)
