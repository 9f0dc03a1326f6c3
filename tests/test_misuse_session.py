"""What a session is asked for that it cannot mean: refused with a sentence, and nothing is sent."""

from __future__ import annotations

import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import open_simulated, simulator_at_port, types_sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.transcription import open_transcription_session
from realtime_trio._session.translation import open_translation_session
from realtime_trio._state.utility_events import AudioDelta, ToolCallRequested
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.connection import Codec, Connection
from realtime_trio.errors import LocalProtocolError, ToolDefinitionError
from realtime_trio.events import (
    AudioFormat,
    ErrorEvent,
    FunctionTool,
    NoiseReduction,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    ServerVad,
    SessionConfig,
    SystemMessage,
    Transcription,
    UserMessage,
)
from realtime_trio.simulator import Reply, Script

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


TEXT = UserMessage.text("Hello")
METHODS: dict[str, tuple[Do, type[Exception], str]] = {
    "send a dict": (
        lambda s: s.send({"type": "response.create"}),
        TypeError,
        r"^send\(\) takes an event such as ResponseCreate\(\), not dict; send_raw\(\) takes JSON",
    ),
    "send nothing": (lambda s: s.send(None), TypeError, "takes an event .*, not None"),
    "send a class": (
        lambda s: s.send(ResponseCreate),
        TypeError,
        "takes an event .*, not the class ResponseCreate",
    ),
    "send a server's event": (
        lambda s: s.send(ResponseDone(event_id="e", response=Response())),
        LocalProtocolError,
        "a client cannot send ResponseDone",
    ),
    "say after a number": (
        lambda s: s.send_message("Hello", previous_item_id=3),
        TypeError,
        "an item is named by its id or by itself, not by int",
    ),
    "interrupt a number": (lambda s: s.cancel_response(5), TypeError, "by itself, not by int"),
    "update with a dict": (
        lambda s: s.update({"voice": "marin"}),
        TypeError,
        r'^update\(\) takes a SessionConfig or keywords such as voice="marin", not dict$',
    ),
    "update with another configuration": (
        lambda s: s.update(ResponseConfig()),
        TypeError,
        "takes a SessionConfig or keywords .*, not ResponseConfig",
    ),
    "update with functions": (
        lambda s: s.update(tools=[print]),
        TypeError,
        r"update\(\) takes definitions of tools; set_tools\(\) and add_tool\(\) take functions",
    ),
    "update with one tool": (
        lambda s: s.update(tools=FunctionTool(name="look")),
        TypeError,
        "tools must be a list of tools, not FunctionTool",
    ),
    "respond with a dict": (
        lambda s: s.respond({"instructions": "Be brief."}),
        TypeError,
        "a response takes a ResponseConfig or keywords such as .*, not dict",
    ),
    "respond with another configuration": (
        lambda s: s.respond(SessionConfig()),
        TypeError,
        "a response takes a ResponseConfig or keywords .*, not SessionConfig",
    ),
    "say a dict": (
        lambda s: s.send_message({"type": "input_text", "text": "Hello"}),
        LocalProtocolError,
        "cannot send dict in a message; allowed: ",
    ),
    "ask a dict": (lambda s: s.ask({"text": "Hello"}), LocalProtocolError, "cannot send dict in"),
    "say a number": (lambda s: s.send_message(5), LocalProtocolError, "cannot send int in a"),
    "answer nothing": (
        lambda s: s.send_tool_output(None, "{}"),
        TypeError,
        "call must be a call, its item or its id, not None",
    ),
    "answer with a dict": (
        lambda s: s.send_tool_output("call_1", {"a": 1}),
        TypeError,
        "output must be a str, such as JSON, or a ToolOutput, not dict",
    ),
    "approve a number": (
        lambda s: s.approve(5),
        TypeError,
        "call must be a call, its item or its id, not int",
    ),
    "reject a number": (lambda s: s.reject(5), TypeError, "its item or its id, not int"),
    "cancel a number": (lambda s: s.cancel_call(5), TypeError, "its item or its id, not int"),
    "remove a function": (
        lambda s: s.remove_tool(print),
        TypeError,
        "name must be the name of a tool, not builtin_function_or_method",
    ),
    "set one tool": (
        lambda s: s.set_tools(FunctionTool(name="look")),
        TypeError,
        "tools must be a list of tools, not FunctionTool",
    ),
    "set a text": (lambda s: s.set_tools("look"), TypeError, "a list of tools, not str"),
    "add a dict": (
        lambda s: s.add_tool({"type": "function", "name": "look"}),
        ToolDefinitionError,
        "^dict is not a tool; allowed are functions, .*FunctionTool",
    ),
    "add nothing": (lambda s: s.add_tool(None), ToolDefinitionError, "^None is not a tool; "),
    "wait for numbers": (
        lambda s: s.wait_for(int),
        TypeError,
        r"^wait_for\(\) takes classes of events such as ResponseDone, not the class int$",
    ),
    "wait for a list": (lambda s: s.wait_for([ResponseDone]), TypeError, "of events .*, not list"),
}


@pytest.mark.parametrize("case", METHODS)
async def test_what_a_method_cannot_mean_is_not_sent(autojump_clock: MockClock, case: str) -> None:
    do, error, said = METHODS[case]
    async with nothing_is_sent(tools=[]) as session:
        with pytest.raises(error, match=said):
            await do(session)


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ((int,), "the class int"),
        ((ResponseDone, AudioDelta), "the class AudioDelta"),
        ((5,), "int"),
        (("ResponseDone",), "str"),
        (([ResponseDone],), "list"),
        ((ResponseDone | ErrorEvent,), "UnionType"),
    ],
)
async def test_a_stream_is_of_events(
    autojump_clock: MockClock, types: tuple[Any, ...], kind: str
) -> None:
    async with nothing_is_sent() as session:
        said = rf"^events\(\) takes classes of events such as ResponseDone, not {kind}$"
        with pytest.raises(TypeError, match=said):
            session.events(*types)


async def test_a_connection_sends_events_too(autojump_clock: MockClock) -> None:
    near, _ = memory_transport_pair()
    misused: Any = {"type": "response.create"}
    with pytest.raises(TypeError, match=r"takes an event .*, not dict"):
        await Connection(near, Codec()).send(misused)
    await near.aclose()


@pytest.mark.socket
@pytest.mark.parametrize(
    ("opening", "options", "said"),
    [
        (open_transcription_session, {}, "takes a TranscriptionSessionConfig or keywords .* dict"),
        (
            open_translation_session,
            {"language": "fr"},
            'takes a TranslationSessionConfig or keywords such as language="fr", not dict',
        ),
    ],
)
async def test_other_sessions_are_not_configured_with_a_dictionary_either(
    opening: Callable[..., Any], options: dict[str, object], said: str
) -> None:
    async with simulator_at_port(Script()) as url, opening(url=url, **options) as session:
        with pytest.raises(TypeError, match=said):
            await session.update({"language": "es"})


async def test_an_item_may_be_given_where_its_id_is_asked_for(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech("Hello!", SECOND)) as session:
        first = await session.insert_item(TEXT)
        second = await session.insert_item(SystemMessage.text("Be brief."), previous_item_id=first)
        assert session.conversation.items == (first, second)
        await session.send_message("Between.", respond=False, previous_item_id=first)
        await wait_all_tasks_blocked()
        assert [item.text for item in session.conversation.items] == [
            "Hello",
            "Between.",
            "Be brief.",
        ]
        assert await session.retrieve_item(second) is second
        await session.delete_item(second.snapshot)
        await session.ask()
        [*_, spoken] = session.conversation.items
        assert await session.truncate(spoken, 100.4) is spoken
        assert spoken.audio_ms == 100
        assert await session.cancel_response(spoken, 1200.5) is spoken
        await wait_all_tasks_blocked()
        assert spoken.audio_ms == 50


async def test_the_item_of_a_call_may_be_given_where_the_call_is_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.call("look"), Reply.text("Nothing.")) as session:
        calls = session.events(ToolCallRequested)
        await session.respond()
        requested = await calls.receive()
        await session.send_tool_output(requested.item, "{}")
        assert requested.item.call_id in {item.call_id for item in session.conversation.items}
