"""The shells: a server on a transport, in memory and on a real port, and who is let in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from realtime_trio._websocket import open_websocket
from realtime_trio.codec import Codec, Role, SessionKind
from realtime_trio.dialects import Dialect
from realtime_trio.errors import ConnectionFailed, LocalProtocolError
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    ErrorEvent,
    Event,
    RealtimeSession,
    ResponseCancel,
    ResponseCreate,
    ResponseDone,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    TranscriptionSession,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionOutputTranscriptDelta,
    UserMessage,
)
from realtime_trio.simulator import (
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    SimulatedTranslator,
    Turn,
    open_simulator_transport,
    run_server,
    serve_simulator,
    synthesize_speech,
)
from realtime_trio.transport import Close, Transport, memory_transport_pair

CODEC = Codec(strict=True)
TRANSLATION = Codec(kind=SessionKind.TRANSLATION, strict=True)
TEXT = SessionUpdate(session=SessionConfig(output_modalities=("text",)))


async def send(transport: Transport, *events: ClientEvent) -> None:
    await trio.lowlevel.checkpoint()
    for event in events:
        await transport.send(CODEC.encode(event))


async def receive_until(transport: Transport, last: type[Event], codec: Codec = CODEC) -> list[Event]:
    """Everything up to an event of this type, or to the end."""
    events: list[Event] = []
    with trio.fail_after(5):
        await trio.lowlevel.checkpoint()
        while not any(isinstance(event, last) for event in events):
            batch = await transport.receive()
            if not batch:
                break
            events += [codec.decode(message) for message in batch]
    return events


@asynccontextmanager
async def serving(script: Script | Callable[[], Script] | None = None, **options: Any) -> AsyncIterator[str]:
    """The URL of a simulator on a real port."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            given: dict[str, Any] = {} if script is None else {"script": script}
            url: str = await nursery.start(partial(serve_simulator, **given, **options))
            yield url
            nursery.cancel_scope.cancel()


async def turned_away(url: str, **options: Any) -> tuple[ErrorEvent, Close | None]:
    """Connect where one is not wanted; return what one is told, and how it ends."""
    async with open_websocket(url, **options) as transport:
        (event,) = await receive_until(transport, SessionCreated)
        assert isinstance(event, ErrorEvent)
        return event, transport.closed


# --- in memory ----------------------------------------------------------------------------------------------------------------------


async def test_a_conversation_in_memory(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(Script([Reply.text("Fine.")])) as transport:
        await send(transport, TEXT, ConversationItemCreate(item=UserMessage.text("How are you?")), ResponseCreate())
        events = await receive_until(transport, ResponseDone)
    assert isinstance(events[0], SessionCreated)
    assert "Fine." in str(events[-2:])


async def test_a_paced_reply_takes_its_time_on_trios_clock(autojump_clock: MockClock) -> None:
    reply = Reply.text("a b c", pacing=Pacing(time_to_first_event=2.0, tokens_per_second=0.5))
    start = trio.current_time()
    async with open_simulator_transport(Script([reply])) as transport:
        await send(transport, TEXT, ResponseCreate())
        with trio.fail_after(60):
            while not any('"response.done"' in str(message) for message in await transport.receive()):
                pass
    assert trio.current_time() - start == pytest.approx(2.0 + 2 * 2.0)


async def test_what_has_not_been_said_can_be_cancelled(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(Script([Reply.text("a b c", pacing=Pacing(tokens_per_second=0.1))])) as transport:
        await send(transport, TEXT, ResponseCreate())
        await trio.sleep(15)
        await send(transport, ResponseCancel())
        done = (await receive_until(transport, ResponseDone))[-2:]
    assert "cancelled" in str(done)
    assert "a b" in str(done)
    assert "a b c" not in str(done)


async def test_a_server_of_ones_own_can_be_used(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(SimulatedServer(Script(), kind=SessionKind.TRANSCRIPTION)) as transport:
        (created,) = await receive_until(transport, SessionCreated)
    assert isinstance(created, SessionCreated)
    assert isinstance(created.session, TranscriptionSession)


async def test_a_translation_in_memory_takes_its_time_and_ends_with_the_session(autojump_clock: MockClock) -> None:
    script = Script(translations=[("Hallo.", "Hello.")], pacing=Pacing(time_to_first_event=1.0, audio_speed=1.0))
    async with open_simulator_transport(SimulatedTranslator(script)) as transport:
        for event in (TranslationSessionInputAudioBufferAppend(audio=bytes(9600)), TranslationSessionClose()):
            await transport.send(TRANSLATION.encode(event))
        events = await receive_until(transport, TranslationSessionClosed, TRANSLATION)
        assert await transport.receive() == ()
        assert transport.closed == Close(1000)
    assert isinstance(events[0], TranslationSessionCreated)
    speech = synthesize_speech("Hello.")
    assert trio.current_time() == pytest.approx(1.0 + (len(speech) - 1) // 4800 * 0.2)


async def test_anything_that_can_be_driven_is_served(autojump_clock: MockClock) -> None:
    class Busy:
        kind = SessionKind.REALTIME
        close = Close(4001, "busy")
        next_due = None

        def connect(self, now: float) -> None: ...

        def receive(self, event: Event, now: float) -> None: ...

        def take_due(self, now: float) -> tuple[ServerEvent, ...]:
            return ()

    async with open_simulator_transport(Busy()) as transport:
        assert await transport.receive() == ()
        assert transport.closed == Close(4001, "busy")


async def test_the_server_closes_when_the_session_expires(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(SimulatedServer(Script(), expires_after=100.0)) as transport:
        messages: list[str | bytes] = []
        with trio.fail_after(200):
            while batch := await transport.receive():
                messages += batch
        assert transport.closed == Close(1001, "session_expired")
    assert "session_expired" in str(messages[-1])
    assert trio.current_time() == pytest.approx(100.0)


async def test_binary_frames_and_broken_text_are_answered_with_errors(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(Script()) as transport:
        await receive_until(transport, SessionCreated)
        codes = []
        for message in (b'{"type": "response.create"}', "hello"):
            await transport.send(message)
            (event,) = await receive_until(transport, ErrorEvent)
            assert isinstance(event, ErrorEvent)
            codes.append(event.error.code)
    assert codes == ["invalid_event", "invalid_json"]


async def test_the_server_ends_with_its_client(autojump_clock: MockClock) -> None:
    ours, theirs = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_server, theirs, SimulatedServer(Script()))
        await receive_until(ours, SessionCreated)
        await ours.aclose()
    assert theirs.closed == Close(1000)


async def test_a_client_that_is_gone_before_it_was_greeted_is_no_problem(autojump_clock: MockClock) -> None:
    ours, theirs = memory_transport_pair()
    await ours.aclose()
    with assert_checkpoints():
        await run_server(theirs, SimulatedServer(Script()))


async def test_a_server_can_speak_another_dialect(autojump_clock: MockClock) -> None:
    ours, theirs = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_server(theirs, SimulatedServer(Script()), codec=Codec(Role.SERVER, Dialect.BETA)))
        (message,) = await ours.receive()
        await ours.aclose()
    assert '"modalities"' in str(message)
    assert '"output_modalities"' not in str(message)


async def test_a_failing_predicate_leaves_the_block(autojump_clock: MockClock) -> None:
    def fail(_turn: Turn) -> bool:
        raise KeyError("x")

    async def ask() -> None:
        async with open_simulator_transport(Script([Reply.text("a", when=fail)])) as transport:
            await send(transport, ResponseCreate())
            await receive_until(transport, ResponseDone)

    with pytest.raises(LocalProtocolError, match="predicate"):
        await ask()


async def test_an_exception_of_the_block_leaves_as_it_is(autojump_clock: MockClock) -> None:
    error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError) as info:
        async with open_simulator_transport(Script()):
            raise error
    assert info.value is error


# --- on a real port -----------------------------------------------------------------------------------------------------------------


@pytest.mark.socket
async def test_a_conversation_over_a_websocket() -> None:
    async with serving(Script([Reply.text("Fine.")])) as url:
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v1/realtime", url)
        async with open_websocket(f"{url}?model=gpt-realtime-mini", subprotocols=["realtime", "other"]) as transport:
            assert transport.subprotocol == "realtime"
            await send(transport, TEXT, ResponseCreate())
            events = await receive_until(transport, ResponseDone)
    created = events[0]
    assert isinstance(created, SessionCreated)
    assert isinstance(created.session, RealtimeSession)
    assert created.session.model == "gpt-realtime-mini"
    assert re.fullmatch("sess_[0-9A-Za-z]{21}", created.session.id)
    assert "Fine." in str(events[-2:])


@pytest.mark.socket
async def test_every_connection_starts_the_script_from_the_beginning_and_has_its_own_ids() -> None:
    async with serving(Script([Reply.text("one")])) as url:
        answers, ids = [], set()
        for _ in range(2):
            async with open_websocket(f"{url}?model=x") as transport:
                await send(transport, TEXT, ResponseCreate())
                events = await receive_until(transport, ResponseDone)
                answers.append(any("OutputText(text='one')" in str(event) for event in events))
                ids |= {getattr(event, "event_id", None) for event in events}
    assert answers == [True, True]
    assert len(ids) > 20


@pytest.mark.socket
async def test_a_function_can_make_the_scripts() -> None:
    numbers = iter(range(10))
    async with serving(lambda: Script([Reply.text(f"number {next(numbers)}")])) as url:
        said = []
        for _ in range(2):
            async with open_websocket(f"{url}?model=x") as transport:
                await send(transport, TEXT, ResponseCreate())
                said += re.findall(r"OutputText\(text='(number \d)'\)", str((await receive_until(transport, ResponseDone))[-2]))
    assert said == ["number 0", "number 1"]


@pytest.mark.socket
async def test_without_a_script_it_answers_for_itself() -> None:
    async with serving() as url, open_websocket(f"{url}?model=x") as transport:
        await send(transport, TEXT, ConversationItemCreate(item=UserMessage.text("Hi!")), ResponseCreate())
        assert "You said: Hi!" in str(await receive_until(transport, ResponseDone))


@pytest.mark.socket
@pytest.mark.parametrize("query", ["intent=transcription", "intent=transcription&model=x"])
async def test_a_transcription_session_needs_no_model(query: str) -> None:
    async with serving() as url, open_websocket(f"{url}?{query}") as transport:
        (created,) = await receive_until(transport, SessionCreated)
    assert isinstance(created, SessionCreated)
    assert isinstance(created.session, TranscriptionSession)


@pytest.mark.socket
async def test_only_realtime_and_translations_are_served() -> None:
    async with serving() as url:
        for path in ("/v1/chat", "/v1/translations?model=x", "/v1/realtime/other?model=x"):
            with pytest.raises(ConnectionFailed) as info:
                async with open_websocket(url.replace("/v1/realtime", path)):
                    raise AssertionError
            assert info.value.status == 404
        async with open_websocket(url.replace("/v1/realtime", "/openai/realtime?model=x")) as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1


@pytest.mark.socket
async def test_a_translation_over_a_websocket() -> None:
    async with (
        serving(Script(translations=[("Hallo.", "Hello.")])) as url,
        open_websocket(f"{url}/translations?model=gpt-realtime-translate") as transport,
    ):
        for event in (TranslationSessionInputAudioBufferAppend(audio=bytes(9600)), TranslationSessionClose()):
            await transport.send(TRANSLATION.encode(event))
        events = await receive_until(transport, TranslationSessionClosed, TRANSLATION)
        assert await receive_until(transport, TranslationSessionClosed, TRANSLATION) == []
        assert transport.closed == Close(1000)
    created = events[0]
    assert isinstance(created, TranslationSessionCreated)
    assert created.session.model == "gpt-realtime-translate"
    assert created.session.expires_at > 1_700_000_000
    assert "".join(event.delta for event in events if isinstance(event, TranslationSessionOutputTranscriptDelta)) == "Hello."


@pytest.mark.socket
@pytest.mark.parametrize(
    ("query", "code"), [("", "missing_model"), ("?model=x&intent=transcription", "invalid_intent"), ("?intent=x", "invalid_intent")]
)
async def test_a_translation_session_needs_a_model_and_refuses_an_intent(query: str, code: str) -> None:
    async with serving() as url:
        event, close = await turned_away(f"{url}/translations{query}")
    assert event.error.code == code
    assert close == Close(4000, f"invalid_request_error.{code}")


@pytest.mark.socket
async def test_a_session_without_a_model_is_closed_after_an_error() -> None:
    async with serving() as url:
        event, close = await turned_away(url)
    assert event.error.code == "missing_model"
    assert close == Close(4000, "invalid_request_error.missing_model")


@pytest.mark.socket
@pytest.mark.parametrize("options", [{"headers": [("OpenAI-Beta", "realtime=v1")]}, {"subprotocols": ["openai-beta.realtime-v1"]}])
async def test_the_old_protocol_is_refused(options: dict[str, Any]) -> None:
    async with serving() as url:
        event, close = await turned_away(f"{url}?model=x", **options)
    assert event.error.code == "beta_api_shape_disabled"
    assert close == Close(4000, "invalid_request_error.beta_api_shape_disabled")


@pytest.mark.socket
@pytest.mark.parametrize(
    "options",
    [
        {"headers": [("Authorization", "Bearer sk-right")]},
        {"headers": [("api-key", "sk-right")]},
        {"subprotocols": ["realtime", "openai-insecure-api-key.sk-right"]},
    ],
)
async def test_the_right_key_is_let_in_however_it_comes(options: dict[str, Any]) -> None:
    async with serving(api_key="sk-right") as url, open_websocket(f"{url}?model=x", **options) as transport:
        assert len(await receive_until(transport, SessionCreated)) == 1


@pytest.mark.socket
@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ({"headers": [("Authorization", "Bearer sk-wrong")]}, "invalid_api_key", "invalid_request_error.invalid_api_key"),
        ({"subprotocols": ["openai-insecure-api-key.sk-wrong"]}, "invalid_api_key", "invalid_request_error.invalid_api_key"),
        ({"headers": [("Authorization", "Basic sk-right")]}, None, "invalid_request_error"),
        ({}, None, "invalid_request_error"),
    ],
)
async def test_another_key_is_refused_and_not_repeated(options: dict[str, Any], code: str | None, reason: str) -> None:
    async with serving(api_key="sk-right") as url:
        event, close = await turned_away(f"{url}?model=x", **options)
    assert event.error.code == code
    assert close == Close(3000, reason)
    assert "sk-" not in event.error.message


@pytest.mark.socket
async def test_a_session_over_a_websocket_expires() -> None:
    async with serving(expires_after=0.05) as url, open_websocket(f"{url}?model=x") as transport:
        events = await receive_until(transport, ErrorEvent)
        await receive_until(transport, ErrorEvent)
        closed = transport.closed
    assert isinstance(events[-1], ErrorEvent)
    assert closed == Close(1001, "session_expired")
    created = events[0]
    assert isinstance(created, SessionCreated)
    assert created.session.expires_at is not None
    assert created.session.expires_at > 1_700_000_000


@pytest.mark.socket
async def test_a_client_can_leave_in_the_middle_of_an_answer() -> None:
    script = Script([Reply.text("a b c", pacing=Pacing(tokens_per_second=0.1))])
    async with serving(script) as url:
        async with open_websocket(f"{url}?model=x") as transport:
            await send(transport, ResponseCreate())
            await receive_until(transport, SessionCreated)
        async with open_websocket(f"{url}?model=x") as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1


@pytest.mark.socket
async def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    await trio.lowlevel.checkpoint()
    try:
        async with serving(host="::1") as url:
            assert re.fullmatch(r"ws://\[::1\]:\d+/v1/realtime", url)
    except* OSError:
        pytest.skip("this machine has no IPv6")
