"""Translation sessions: speech goes in, the same comes out in another language."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Unpack, get_type_hints

import numpy as np
import pytest
import trio
from peers import Leaves, counted_ids, failure, memory_server
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._session.base import OUTBOX_CAPACITY
from realtime_trio._session.translation import (
    TranslationSettings,
    Translator,
    open_translation_session,
)
from realtime_trio._transport.memory import MemoryTransport
from realtime_trio.audio import PCM_RATE
from realtime_trio.connection import ConnectOptions
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    ServerError,
    SessionClosed,
)
from realtime_trio.events import (
    ErrorEvent,
    Event,
    NoiseReduction,
    ServerEvent,
    Transcription,
    TranslationAudio,
    TranslationAudioOutput,
    TranslationSession,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionConfig,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionInputTranscriptDelta,
    TranslationSessionOutputAudioDelta,
    TranslationSessionOutputTranscriptDelta,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
)
from realtime_trio.simulator import (
    Pacing,
    Script,
    SimulatedTranslator,
    open_simulator_transport,
    serve_simulator,
    synthesize_speech,
)

SECOND = np.zeros(PCM_RATE, np.int16)
PHRASES = [("Good morning.", "Buenos días."), ("How are you?", "¿Qué tal?")]
SOURCE, TRANSLATION = "Good morning. How are you?", "Buenos días. ¿Qué tal?"
WHISPER = Transcription(model="gpt-realtime-whisper")

_codec = Codec(Role.SERVER, kind=SessionKind.TRANSLATION, strict=True)


@asynccontextmanager
async def open_simulated(
    script: Script, transcription: Transcription | None = None, **options: Unpack[ConnectOptions]
) -> AsyncIterator[Translator]:
    """A session with a simulated interpreter, in memory."""
    with trio.fail_after(60):
        async with (
            open_simulator_transport(SimulatedTranslator(script)) as transport,
            open_translation_session(
                language="es",
                transcription=transcription,
                transport=transport,
                new_id=counted_ids(),
                **options,
            ) as session,
        ):
            yield session


def session_in(language: str) -> TranslationSession:
    return TranslationSession(
        id="sess_1",
        expires_at=0,
        model="m",
        audio=TranslationAudio(output=TranslationAudioOutput(language=language)),
    )


CREATED = TranslationSessionCreated(event_id="event_1", session=session_in(""))
UPDATED = TranslationSessionUpdated(event_id="event_2", session=session_in("es"))
CLOSED = TranslationSessionClosed(event_id="event_3")


async def say(transport: MemoryTransport, *said: ServerEvent) -> None:
    await trio.lowlevel.checkpoint()
    for event in said:
        await transport.send(_codec.encode(event))


class Interpreter:
    """A server that does nothing by itself but to take the first configuration."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.heard: list[Event] = []
        self._waiting: list[Event] = []

    async def hear(self) -> Event:
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            batch = await self.transport.receive()
            assert batch, f"the client has gone: {self.transport.closed}"
            self._waiting += map(_codec.decode, batch)
        self.heard.append(self._waiting.pop(0))
        return self.heard[-1]

    async def hear_the_rest(self) -> list[Event]:
        while batch := await self.transport.receive():
            self._waiting += map(_codec.decode, batch)
        return self._waiting


@asynccontextmanager
async def open_interpreter(
    script: Callable[[Interpreter], Awaitable[None]],
) -> AsyncIterator[tuple[MemoryTransport, Interpreter]]:
    """The client's end of a connection to a server that takes a configuration and plays this."""
    near, server = memory_server()
    assert isinstance(server.transport, MemoryTransport)
    interpreter = Interpreter(server.transport)

    async def interpret() -> None:
        await say(interpreter.transport, CREATED)
        assert isinstance(await interpreter.hear(), TranslationSessionUpdate)
        await say(interpreter.transport, UPDATED)
        await script(interpreter)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interpret)
            yield near, interpreter


@asynccontextmanager
async def open_pair(
    script: Callable[[Interpreter], Awaitable[None]], **options: Unpack[ConnectOptions]
) -> AsyncIterator[tuple[Translator, Interpreter]]:
    """A session that is ready, and its server."""
    async with (
        open_interpreter(script) as (near, interpreter),
        open_translation_session(language="es", transport=near, **options) as session,
    ):
        yield session, interpreter


async def be_silent(_: Interpreter) -> None:
    await trio.lowlevel.checkpoint()


# Becoming ready


@pytest.mark.parametrize(
    ("transcription", "noise_reduction"),
    [(None, None), (WHISPER, None), (None, NoiseReduction(type="near_field"))],
)
async def test_a_session_is_configured_before_it_is_ready(
    transcription: Transcription | None,
    noise_reduction: NoiseReduction | None,
    autojump_clock: MockClock,
) -> None:
    async with (
        open_simulator_transport(SimulatedTranslator(Script())) as transport,
        open_translation_session(
            language="fr",
            transcription=transcription,
            noise_reduction=noise_reduction,
            transport=transport,
        ) as session,
    ):
        audio = session.config.audio
        assert audio.output is not None
        assert audio.output.language == "fr"
        assert audio.input is not None
        assert (audio.input.transcription, audio.input.noise_reduction) == (
            transcription,
            noise_reduction,
        )


async def test_a_language_nobody_speaks_is_a_refused_session(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(SimulatedTranslator(Script())) as transport:
        with pytest.raises(ConnectionFailed, match="refused the configuration") as caught:
            async with open_translation_session(language="klingon", transport=transport):
                pytest.fail("not reached")
    assert caught.value.code == "invalid_value"


async def test_a_misspelt_keyword_is_refused_as_python_refuses_it(
    autojump_clock: MockClock,
) -> None:
    near, _ = memory_server()
    with pytest.raises(TypeError, match="'voice'"):
        async with open_translation_session(language="es", transport=near, voice="marin"):  # type: ignore[call-arg]
            pytest.fail("not reached")


# Translating


@pytest.mark.parametrize(
    ("argument", "error", "problem"),
    [
        ({"transport": 5}, TypeError, "transport must be a Transport, .* or None, not int"),
        ({"new_id": 5}, TypeError, "new_id must be a function"),
        ({"capacity": 0}, ValueError, "capacity"),
    ],
)
async def test_what_no_session_can_be_opened_with_is_refused_before_anything_is_sent(
    argument: dict[str, Any], error: type[Exception], problem: str, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    options: Any = {"transport": near, "language": "es"} | argument
    with pytest.raises(error, match=problem):
        async with open_translation_session(**options):
            pytest.fail("not reached")
    assert near.closed is None
    await server.transport.aclose()


async def test_what_is_said_comes_back_in_the_other_language(autojump_clock: MockClock) -> None:
    async with open_simulated(Script(translations=PHRASES), WHISPER) as session:
        audio = session.events(TranslationSessionOutputAudioDelta)
        texts = session.events(
            TranslationSessionOutputTranscriptDelta, TranslationSessionInputTranscriptDelta
        )
        await session.append_audio(np.zeros(10 * PCM_RATE, np.int16), chunk_ms=200)
        await session.finish()
        spoken = np.concatenate([event.delta.samples async for event in audio])
        said = [event async for event in texts]
    np.testing.assert_array_equal(
        spoken, np.concatenate([synthesize_speech(translated) for _, translated in PHRASES])
    )
    assert (
        "".join(
            event.delta
            for event in said
            if isinstance(event, TranslationSessionOutputTranscriptDelta)
        )
        == TRANSLATION
    )
    assert (
        "".join(
            event.delta
            for event in said
            if isinstance(event, TranslationSessionInputTranscriptDelta)
        )
        == SOURCE
    )
    assert (session.transcript, session.source_transcript) == (TRANSLATION, SOURCE)


async def test_the_original_is_not_transcribed_unless_asked_for(autojump_clock: MockClock) -> None:
    async with open_simulated(Script(translations=PHRASES)) as session:
        assert (session.transcript, session.source_transcript) == ("", "")
        await session.append_audio(SECOND)
        await session.finish()
        assert session.source_transcript == ""
        assert TRANSLATION.startswith(session.transcript)
        assert session.transcript


async def test_appended_audio_is_cut_and_arrives_as_it_is(autojump_clock: MockClock) -> None:
    samples = np.arange(12_000, dtype=np.int16)

    async def check(interpreter: Interpreter) -> None:
        pieces = [await interpreter.hear() for _ in range(3)]
        received = [
            piece.audio.samples
            for piece in pieces
            if isinstance(piece, TranslationSessionInputAudioBufferAppend)
        ]
        assert [len(piece) for piece in received] == [4800, 4800, 2400]
        np.testing.assert_array_equal(np.concatenate(received), samples)

    async with open_pair(check) as (session, _):
        with assert_checkpoints():
            await session.append_audio(samples, chunk_ms=200)
        with assert_checkpoints():
            await session.append_audio(b"")
        with pytest.raises(LocalProtocolError):
            await session.append_audio("Hello")  # type: ignore[arg-type]  # as a user may


# Updating


async def test_an_update_returns_the_whole_configuration(autojump_clock: MockClock) -> None:
    async with open_simulated(Script(), WHISPER) as session:
        config = await session.update(language="de")
        assert config == session.config
        assert config.audio.output == TranslationAudioOutput(language="de")
        assert config.audio.input is not None
        assert config.audio.input.transcription == WHISPER
        config = await session.update(TranslationSessionConfig.of(transcription=None))
        assert config.audio.input is not None
        assert config.audio.input.transcription is None


async def test_an_update_takes_a_configuration_or_keywords_and_no_misspelt_ones(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Script()) as session:
        with pytest.raises(TypeError, match="not both"):
            await session.update(TranslationSessionConfig(), language="de")
        with pytest.raises(TypeError, match=r"'lang' \(did you mean 'language'\?\)"):
            await session.update(lang="de")  # type: ignore[call-arg]  # as a user may
        with pytest.raises(TypeError, match=r"takes a TranslationSessionConfig .*, not dict$"):
            await session.update({"language": "de"})  # type: ignore[arg-type]  # as a user may


def test_every_setting_can_be_given_by_keyword() -> None:
    assert set(get_type_hints(TranslationSettings)) == set(
        get_type_hints(TranslationSessionConfig.of)
    ) - {"return"}


async def test_a_refused_update_says_why_and_the_session_goes_on(autojump_clock: MockClock) -> None:
    async with open_simulated(Script()) as session:
        with pytest.raises(ServerError) as caught:
            await session.update(language="klingon")
        assert caught.value.param == "session.audio.output.language"
        assert session.config.audio.output == TranslationAudioOutput(language="es")


# Finishing


async def test_finishing_waits_for_what_is_still_being_translated(
    autojump_clock: MockClock,
) -> None:
    script = Script(translations=PHRASES, pacing=Pacing(time_to_first_event=5, audio_speed=1))
    async with open_simulated(script) as session:
        await session.append_audio(SECOND)
        await session.finish()
        assert trio.current_time() > 5
        assert session.transcript.startswith("Buenos días.")
        await session.finish()  # and again
    assert session.closed is not None
    assert session.closed.is_clean


async def test_leaving_waits_for_the_translation_too(autojump_clock: MockClock) -> None:
    script = Script(translations=PHRASES, pacing=Pacing(time_to_first_event=1))
    async with open_simulated(script) as session:
        await session.append_audio(SECOND)
        texts = session.events(TranslationSessionOutputTranscriptDelta)
        start = trio.current_time()
    assert trio.current_time() - start == 1
    assert "".join([event.delta async for event in texts]) == session.transcript != ""


async def test_leaving_does_not_wait_beyond_the_close_timeout(autojump_clock: MockClock) -> None:
    async with open_pair(be_silent, close_timeout=3) as (session, interpreter):
        await session.append_audio(SECOND)
        start = trio.current_time()
    assert trio.current_time() - start == 3
    append, close = await interpreter.hear_the_rest()
    assert isinstance(append, TranslationSessionInputAudioBufferAppend)
    assert isinstance(close, TranslationSessionClose)


async def test_leaving_by_an_exception_waits_for_nothing(autojump_clock: MockClock) -> None:
    async with open_interpreter(be_silent) as (near, interpreter):
        with Leaves(ZeroDivisionError):
            async with open_translation_session(language="es", transport=near):
                raise ZeroDivisionError
    assert trio.current_time() == 0
    assert await interpreter.hear_the_rest() == []


async def test_leaving_by_a_cancellation_waits_for_nothing(autojump_clock: MockClock) -> None:
    with trio.CancelScope() as scope:
        async with open_pair(be_silent) as (_, interpreter):
            scope.cancel()
            await trio.sleep_forever()
    assert trio.current_time() == 0
    assert await interpreter.hear_the_rest() == []


async def test_several_tasks_finish_at_once_and_the_session_is_closed_once(
    autojump_clock: MockClock,
) -> None:
    async def answer(interpreter: Interpreter) -> None:
        await interpreter.hear()
        await wait_all_tasks_blocked()
        await say(interpreter.transport, CLOSED)

    async with open_pair(answer) as (session, interpreter), trio.open_nursery() as nursery:
        nursery.start_soon(session.finish)
        nursery.start_soon(session.finish)
    assert await interpreter.hear_the_rest() == []
    assert isinstance(interpreter.heard[-1], TranslationSessionClose)


async def test_finishing_goes_behind_everything_that_was_appended(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Script(translations=PHRASES)) as session:
        await session.append_audio(np.zeros(PCM_RATE, np.int16), chunk_ms=2)
        assert OUTBOX_CAPACITY < 1000 // 2
        await session.finish()
        errors = session.events(ErrorEvent)
    assert [error async for error in errors] == []


async def test_no_audio_follows_the_end(autojump_clock: MockClock) -> None:
    async with open_pair(be_silent, close_timeout=0) as (session, interpreter):
        with trio.move_on_after(1):
            await session.finish()
        with pytest.raises(LocalProtocolError, match="being closed"):
            await session.append_audio(SECOND)
    [close] = await interpreter.hear_the_rest()
    assert isinstance(close, TranslationSessionClose)


async def test_a_close_that_was_sent_by_hand_is_not_sent_again(autojump_clock: MockClock) -> None:
    async with open_simulated(Script(translations=PHRASES)) as session:
        errors = session.events(ErrorEvent)
        await session.send(TranslationSessionClose())
        await session.finish()
    assert [error async for error in errors] == []


async def test_a_refused_close_is_an_error_and_can_be_tried_again(
    autojump_clock: MockClock,
) -> None:
    async def refuse_once(interpreter: Interpreter) -> None:
        close = await interpreter.hear()
        assert isinstance(close, TranslationSessionClose)
        await say(
            interpreter.transport,
            failure("of something else", of="evt_else"),
            failure("of nothing"),
            failure("not now", code="busy", of=close.event_id),
        )
        assert isinstance(await interpreter.hear(), TranslationSessionInputAudioBufferAppend)
        assert isinstance(await interpreter.hear(), TranslationSessionClose)
        await say(interpreter.transport, CLOSED)

    async with open_pair(refuse_once) as (session, _):
        with pytest.raises(ServerError, match="not now") as caught:
            await session.finish()
        assert caught.value.code == "busy"
        await session.append_audio(SECOND)
        await session.finish()


async def test_a_close_without_an_id_is_refused_by_nothing(autojump_clock: MockClock) -> None:
    async def complain(interpreter: Interpreter) -> None:
        await interpreter.hear()
        await say(interpreter.transport, failure("of nothing"), CLOSED)

    async with open_pair(complain) as (session, _):
        await session.send_raw({"type": "session.close"})
        await session.finish()


async def test_a_connection_that_closes_before_everything_is_said_is_told(
    autojump_clock: MockClock,
) -> None:
    async def hang_up(interpreter: Interpreter) -> None:
        await interpreter.hear()
        await interpreter.transport.aclose()

    async with open_pair(hang_up) as (session, _):
        for _ in range(2):
            with pytest.raises(SessionClosed, match="before everything was translated"):
                await session.finish()


async def test_who_waits_for_the_end_of_a_close_without_an_id_is_told_that_it_will_not_come(
    autojump_clock: MockClock,
) -> None:
    gone = trio.Event()

    async def hang_up(interpreter: Interpreter) -> None:
        await interpreter.hear()
        await gone.wait()
        await interpreter.transport.aclose()

    async with open_pair(hang_up) as (session, _), trio.open_nursery() as nursery:
        # No answer names it, so it is not among those that are expected.
        await session.send_raw({"type": "session.close"})

        @nursery.start_soon
        async def finish() -> None:
            with pytest.raises(SessionClosed, match="before everything was translated"):
                await session.finish()

        await wait_all_tasks_blocked()
        gone.set()


async def test_a_connection_lost_before_everything_is_said_is_lost(
    autojump_clock: MockClock,
) -> None:
    async def drop(interpreter: Interpreter) -> None:
        await interpreter.hear()
        interpreter.transport.abort("gone")

    async with open_interpreter(drop) as (near, _):
        with Leaves(ConnectionLost, "gone"):
            async with open_translation_session(language="es", transport=near) as session:
                await session.finish()


async def test_a_session_that_ended_without_a_close_cannot_be_finished(
    autojump_clock: MockClock,
) -> None:
    async def hang_up(interpreter: Interpreter) -> None:
        await interpreter.transport.aclose()

    async with open_pair(hang_up) as (session, _):
        await wait_all_tasks_blocked()
        with pytest.raises(SessionClosed):
            await session.finish()
        with pytest.raises(SessionClosed):
            await session.append_audio(SECOND)


@pytest.mark.parametrize("way", ["clean", "abrupt"])
async def test_once_everything_is_said_no_end_of_the_connection_is_a_failure(
    way: str, autojump_clock: MockClock
) -> None:
    async def close(interpreter: Interpreter) -> None:
        await interpreter.hear()
        await say(interpreter.transport, CLOSED)
        if way == "clean":
            await interpreter.transport.aclose()
        else:
            interpreter.transport.abort("gone")

    async with open_pair(close) as (session, _):
        await session.finish()
        await wait_all_tasks_blocked()
        assert session.closed is not None
        assert session.closed.is_clean == (way == "clean")


async def test_a_server_may_end_the_session_by_itself(autojump_clock: MockClock) -> None:
    async def close(interpreter: Interpreter) -> None:
        await say(interpreter.transport, CLOSED)

    async with open_pair(close) as (session, interpreter):
        await session.wait_for(TranslationSessionClosed)
        await session.finish()
        with pytest.raises(LocalProtocolError, match="being closed"):
            await session.append_audio(SECOND)
    assert await interpreter.hear_the_rest() == []


# Over a WebSocket


@pytest.mark.socket
async def test_a_session_over_a_websocket_goes_to_the_translations() -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_simulator, Script(translations=PHRASES))
            async with open_translation_session(language="es", url=url) as session:
                assert session.config.model == "gpt-realtime-translate"
                await session.append_audio(np.zeros(10 * PCM_RATE, np.int16), chunk_ms=200)
                await session.finish()
                assert session.transcript == TRANSLATION
            assert session.closed is not None
            assert session.closed.is_clean
            nursery.cancel_scope.cancel()
