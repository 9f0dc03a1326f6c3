"""Transcription sessions: what is said comes back as captions, and nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Unpack, get_type_hints

import numpy as np
import pytest
import trio
from peers import counted_ids, created, failure, memory_server
from trio.testing import MockClock

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.transcription import (
    Transcriber,
    TranscriptionOptions,
    TranscriptionSettings,
    open_transcription_session,
)
from realtime_trio._state.captions import Caption
from realtime_trio._state.utility_events import InputTranscriptDelta, ItemAppended, ItemUpdated
from realtime_trio.audio import PCM_RATE
from realtime_trio.errors import ConnectionFailed, LocalProtocolError, ServerError
from realtime_trio.events import (
    AudioInputConfig,
    NoiseReduction,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    Transcription,
    TranscriptionAudioConfig,
    TranscriptionSession,
    TranscriptionSessionConfig,
)
from realtime_trio.money import ModelPrices
from realtime_trio.simulator import (
    Pacing,
    Script,
    SimulatedServer,
    open_simulator_transport,
    serve_simulator,
)

if TYPE_CHECKING:
    from typing import assert_type

SECOND = np.zeros(PCM_RATE, np.int16)


@asynccontextmanager
async def open_simulated(
    script: Script, **options: Unpack[TranscriptionOptions]
) -> AsyncIterator[Transcriber]:
    """A session with a simulated server, in memory; the client says when a piece of speech ends."""
    server = SimulatedServer(script, kind=SessionKind.TRANSCRIPTION)
    options.setdefault("turn_detection", None)
    with trio.fail_after(60):
        async with (
            open_simulator_transport(server) as transport,
            open_transcription_session(
                transport=transport, new_id=counted_ids(), **options
            ) as session,
        ):
            yield session


def session_with(transcription: Transcription | None = None) -> TranscriptionSession:
    return TranscriptionSession(
        id="sess_1", audio=SessionAudio(input=SessionAudioInput(transcription=transcription))
    )


async def speak(session: Transcriber) -> str:
    await session.append_audio(SECOND)
    item_id = await session.commit_audio()
    assert item_id is not None
    return item_id


async def finals(captions: EventStream[Caption], count: int) -> list[Caption]:
    await trio.lowlevel.checkpoint()
    found: list[Caption] = []
    while len(found) < count:
        caption = await captions.receive()
        if caption.is_final:
            found.append(caption)
    return found


# Becoming ready


@pytest.mark.parametrize(
    ("model", "options", "transcription"),
    [
        (None, {}, Transcription(model="gpt-4o-transcribe")),
        ("whisper-1", {}, Transcription(model="whisper-1")),
        (
            None,
            {"transcription": Transcription(model="whisper-1", language="de")},
            Transcription(model="whisper-1", language="de"),
        ),
        (None, {"transcription": None}, None),
    ],
)
async def test_a_session_asks_for_a_transcription_before_it_is_ready(
    model: str | None,
    options: TranscriptionOptions,
    transcription: Transcription | None,
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()

    async def serve() -> None:
        await server.say(SessionCreated(event_id="event_1", session=session_with()))
        update = await server.hear(SessionUpdate)
        assert update.event_id == "evt_1"
        assert update.session == TranscriptionSessionConfig(
            audio=TranscriptionAudioConfig(input=AudioInputConfig(transcription=transcription))
        )
        await server.say(SessionUpdated(event_id="event_2", session=session_with(transcription)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_transcription_session(
            model, transport=near, new_id=counted_ids(), **options
        ) as session:
            assert session.config == session_with(transcription)
    assert await server.hear_the_rest() == []


async def test_a_model_and_a_transcription_are_one_too_many(autojump_clock: MockClock) -> None:
    near, server = memory_server()
    with pytest.raises(TypeError, match="either a model or transcription"):
        async with open_transcription_session("whisper-1", transport=near, transcription=None):
            pytest.fail("not reached")
    assert near.closed is None
    await server.transport.aclose()


@pytest.mark.parametrize(
    ("argument", "error", "problem"),
    [
        ({"transport": 5}, TypeError, "transport must be a Transport, .* or None, not int"),
        ({"new_id": 5}, TypeError, "new_id must be a function"),
        ({"capacity": 0}, ValueError, "capacity"),
        ({"retention": "some"}, LocalProtocolError, "retention"),
    ],
)
async def test_what_no_session_can_be_opened_with_is_refused_before_anything_is_sent(
    argument: dict[str, Any], error: type[Exception], problem: str, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    with pytest.raises(error, match=problem):
        async with open_transcription_session(**{"transport": near} | argument):
            pytest.fail("not reached")
    assert near.closed is None
    await server.transport.aclose()


async def test_a_misspelt_keyword_is_refused_as_python_refuses_it(
    autojump_clock: MockClock,
) -> None:
    near, _ = memory_server()
    with pytest.raises(TypeError, match="'voice'"):
        async with open_transcription_session(transport=near, voice="marin"):  # type: ignore[call-arg]
            pytest.fail("not reached")


async def test_a_session_of_another_kind_is_no_beginning(autojump_clock: MockClock) -> None:
    near, server = memory_server()
    await server.say(created())
    with pytest.raises(ConnectionFailed, match="began the session as a realtime session"):
        async with open_transcription_session(transport=near):
            pytest.fail("not reached")


# Captions


async def test_captions_grow_and_end(autojump_clock: MockClock) -> None:
    async with open_simulated(Script(transcripts=["Good morning, all"])) as session:
        item = await speak(session)
        captions = session.captions()
        texts = []
        async for caption in captions:
            assert caption.item_id == item
            texts.append(caption.text)
            if caption.is_final:
                break
    assert texts[-1] == "Good morning, all"
    assert len(texts) > 2
    assert all("Good morning, all".startswith(text) for text in texts)
    if TYPE_CHECKING:
        assert_type(captions, EventStream[Caption])


async def test_captions_come_in_the_order_of_speech_and_tell_what_failed(
    autojump_clock: MockClock,
) -> None:
    script = Script(
        transcripts=["One, two, three and four", None, "Five"],
        transcription_delay=2,
        pacing=Pacing(tokens_per_second=2),
    )
    async with open_simulated(script) as session:
        items = [await speak(session) for _ in range(3)]
        captions = await finals(session.captions(), 3)
    assert [caption.item_id for caption in captions] == items
    assert [caption.text for caption in captions] == ["One, two, three and four", "", "Five"]
    assert [caption.error is not None for caption in captions] == [False, True, False]


async def test_the_conversation_holds_what_was_said_and_no_audio(autojump_clock: MockClock) -> None:
    async with open_simulated(Script(transcripts=["One", "Two"])) as session:
        captions = session.captions()
        items = [await speak(session), await speak(session)]
        await finals(captions, 2)
    assert [(item.id, item.role, item.transcript) for item in session.conversation.items] == [
        (items[0], "user", "One"),
        (items[1], "user", "Two"),
    ]
    assert [(item.audio_ms, len(item.audio)) for item in session.conversation.items] == [
        (1000, 0),
        (1000, 0),
    ]


async def test_audio_is_kept_if_asked_for(autojump_clock: MockClock) -> None:
    server = SimulatedServer(Script(), kind=SessionKind.TRANSCRIPTION)
    async with (
        open_simulator_transport(server) as transport,
        open_transcription_session(
            transport=transport, turn_detection=None, retention="all"
        ) as session,
    ):
        await session.append_audio(np.full(PCM_RATE, 7, np.int16))
        item = session.conversation.get(await session.commit_audio() or "")
        assert item is not None
        np.testing.assert_array_equal(item.audio, np.full(PCM_RATE, 7, np.int16))


async def test_items_and_their_transcripts_are_utility_events_too(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Script(transcripts=["Hello"])) as session:
        with session.events(ItemAppended, ItemUpdated, Caption) as events:
            await speak(session)
            seen = [await events.receive()]
            while not isinstance(seen[-1], Caption) or not seen[-1].is_final:
                seen.append(await events.receive())
    assert isinstance(seen[0], ItemAppended)
    assert [
        update.delta for update in seen if isinstance(update, ItemUpdated) and update.delta
    ] == [InputTranscriptDelta("Hello")]


async def test_the_session_adds_up_what_it_costs(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Script(transcripts=["One", "Two"]), transcription=Transcription(model="whisper-1")
    ) as session:
        captions = session.captions()
        await speak(session)
        await speak(session)
        await finals(captions, 2)
        assert session.usage.transcriptions == 2
        assert session.usage.transcription_seconds == 2.0


async def test_it_costs_what_the_price_list_says(autojump_clock: MockClock) -> None:
    server = SimulatedServer(Script(transcripts=["One"]), kind=SessionKind.TRANSCRIPTION)
    async with (
        open_simulator_transport(server) as transport,
        open_transcription_session(
            "whisper-1",
            transport=transport,
            turn_detection=None,
            prices={"whisper-1": ModelPrices(minute="0.006")},
        ) as session,
    ):
        captions = session.captions()
        await speak(session)
        await finals(captions, 1)
        assert session.cost.total == session.cost.transcription == Decimal("0.0001")


async def test_a_stream_of_captions_can_have_a_bound_of_its_own(autojump_clock: MockClock) -> None:
    async with open_simulated(Script()) as session:
        with pytest.raises(ValueError, match="capacity"):
            session.captions(capacity=0)


async def test_what_is_held_when_the_session_ends_is_told_then(autojump_clock: MockClock) -> None:
    # One is slow; Two is complete, but it is not its turn.
    server = SimulatedServer(
        Script(transcripts=["One " * 50, "Two"], pacing=Pacing(tokens_per_second=10)),
        kind=SessionKind.TRANSCRIPTION,
    )
    async with (
        open_simulator_transport(server) as transport,
        open_transcription_session(transport=transport, turn_detection=None) as session,
    ):
        captions = session.captions()
        await speak(session)
        two = await speak(session)
        await trio.sleep(1)
    told = [caption async for caption in captions]
    assert [caption for caption in told if caption.is_final] == [
        Caption(item_id=two, text="Two", is_final=True)
    ]
    assert told[-1].item_id == two


# Updating


async def test_an_update_returns_the_whole_configuration(autojump_clock: MockClock) -> None:
    async with open_simulated(Script()) as session:
        config = await session.update(
            noise_reduction=NoiseReduction(type="far_field"),
            include=["item.input_audio_transcription.logprobs"],
        )
        assert config == session.config
        assert config.include == ("item.input_audio_transcription.logprobs",)
        assert config.audio is not None
        assert config.audio.input is not None
        assert config.audio.input.noise_reduction == NoiseReduction(type="far_field")
        assert config.audio.input.transcription == Transcription(model="gpt-4o-transcribe")
        nested = await session.update(
            TranscriptionSessionConfig.of(turn_detection=ServerVad(threshold=0.9))
        )
        assert nested.audio is not None
        assert nested.audio.input is not None
        assert isinstance(nested.audio.input.turn_detection, ServerVad)


async def test_an_update_takes_a_configuration_or_keywords_and_no_misspelt_ones(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Script()) as session:
        with pytest.raises(TypeError, match="not both"):
            await session.update(TranscriptionSessionConfig(), turn_detection=None)
        with pytest.raises(TypeError, match="'voice'"):
            await session.update(voice="marin")  # type: ignore[call-arg]  # as a user may
        with pytest.raises(LocalProtocolError):
            await session.update(turn_detection="off")  # type: ignore[arg-type]  # as a user may


def test_every_setting_can_be_given_by_keyword() -> None:
    assert set(get_type_hints(TranscriptionSettings)) == set(
        get_type_hints(TranscriptionSessionConfig.of)
    ) - {"return"}


async def test_a_refused_update_says_why(autojump_clock: MockClock) -> None:
    async with open_simulated(Script()) as session:
        with pytest.raises(ServerError) as caught:
            await session.update(turn_detection=ServerVad(threshold=7.0))
        assert caught.value.param is not None
        assert caught.value.param.startswith("session.audio.input.turn_detection")


async def test_an_answer_of_another_kind_leaves_the_configuration_as_it_is(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()

    async def serve() -> None:
        await server.say(SessionCreated(event_id="event_1", session=session_with()))
        await server.hear(SessionUpdate)
        await server.say(SessionUpdated(event_id="event_2", session=session_with()))
        await server.hear(SessionUpdate)
        await server.say(SessionUpdated(event_id="event_3", session=created().session))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_transcription_session(transport=near) as session:
            assert await session.update(turn_detection=None) == session_with()
            assert session.config == session_with()


# On the wire


async def test_a_service_that_refuses_is_quoted(autojump_clock: MockClock) -> None:
    near, server = memory_server()
    await server.say(
        failure(
            "You must not provide a model parameter for transcription sessions.",
            code="invalid_model",
        )
    )
    await server.transport.aclose(4000)
    with pytest.raises(ConnectionFailed) as caught:
        async with open_transcription_session(transport=near):
            pytest.fail("not reached")
    assert caught.value.code == "invalid_model"


@pytest.mark.socket
async def test_a_session_over_a_websocket_asks_for_transcription_and_no_model() -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_simulator, Script(transcripts=["Hello there"]))
            async with open_transcription_session(
                "gpt-4o-mini-transcribe", url=url, turn_detection=None
            ) as session:
                captions = session.captions()  # first: all answers may arrive at once
                item = await speak(session)
                assert await finals(captions, 1) == [
                    Caption(item_id=item, text="Hello there", is_final=True)
                ]
                assert session.config.audio is not None
                assert session.config.audio.input is not None
                assert session.config.audio.input.transcription == Transcription(
                    model="gpt-4o-mini-transcribe"
                )
            nursery.cancel_scope.cancel()
