"""The simulator in memory, and what goes wrong on purpose, in memory and on a port."""

from __future__ import annotations

import json
import logging

import pytest
import trio
from simulator_clients import TEXT, TRANSLATION, receive_until, send, serving
from trio.testing import MockClock, assert_checkpoints

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionLost, LocalProtocolError
from realtime_trio.events import (
    ConversationItemCreate,
    ErrorEvent,
    Event,
    ResponseCancel,
    ResponseCreate,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    TranscriptionSession,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
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
    synthesize_speech,
)
from realtime_trio.simulator.script.fault import Fault

# --- in memory ------------------------------------------------------------------------------------


async def test_a_conversation_in_memory(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(Script([Reply.text("Fine.")])) as transport:
        await send(
            transport,
            TEXT,
            ConversationItemCreate(item=UserMessage.text("How are you?")),
            ResponseCreate(),
        )
        events = await receive_until(transport, ResponseDone)
    assert isinstance(events[0], SessionCreated)
    assert "Fine." in str(events[-2:])


async def test_a_paced_reply_takes_its_time_on_trios_clock(autojump_clock: MockClock) -> None:
    reply = Reply.text("a b c", pacing=Pacing(time_to_first_event=2.0, tokens_per_second=0.5))
    start = trio.current_time()
    async with open_simulator_transport(Script([reply])) as transport:
        await send(transport, TEXT, ResponseCreate())
        with trio.fail_after(60):
            while not any(
                '"response.done"' in str(message) for message in await transport.receive()
            ):
                pass
    assert trio.current_time() - start == pytest.approx(2.0 + 2 * 2.0)


async def test_what_has_not_been_said_can_be_cancelled(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(
        Script([Reply.text("a b c", pacing=Pacing(tokens_per_second=0.1))])
    ) as transport:
        await send(transport, TEXT, ResponseCreate())
        await trio.sleep(15)
        await send(transport, ResponseCancel())
        done = (await receive_until(transport, ResponseDone))[-2:]
    assert "cancelled" in str(done)
    assert "a b" in str(done)
    assert "a b c" not in str(done)


async def test_a_server_of_ones_own_can_be_used(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(
        SimulatedServer(Script(), kind=SessionKind.TRANSCRIPTION)
    ) as transport:
        (created,) = await receive_until(transport, SessionCreated)
    assert isinstance(created, SessionCreated)
    assert isinstance(created.session, TranscriptionSession)


async def test_a_translation_in_memory_takes_its_time_and_ends_with_the_session(
    autojump_clock: MockClock,
) -> None:
    script = Script(
        translations=[("Hallo.", "Hello.")], pacing=Pacing(time_to_first_event=1.0, audio_speed=1.0)
    )
    async with open_simulator_transport(SimulatedTranslator(script)) as transport:
        for event in (
            TranslationSessionInputAudioBufferAppend(audio=bytes(9600)),
            TranslationSessionClose(),
        ):
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
    async with open_simulator_transport(
        SimulatedServer(Script(), expires_after=100.0)
    ) as transport:
        messages: list[str | bytes] = []
        with trio.fail_after(200):
            while batch := await transport.receive():
                messages += batch
        assert transport.closed == Close(1001, "session_expired")
    assert "session_expired" in str(messages[-1])
    assert trio.current_time() == pytest.approx(100.0)


async def test_binary_frames_and_broken_text_are_answered_with_errors(
    autojump_clock: MockClock,
) -> None:
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


async def test_a_client_that_is_gone_before_it_was_greeted_is_no_problem(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = memory_transport_pair()
    await ours.aclose()
    with assert_checkpoints():
        await run_server(theirs, SimulatedServer(Script()))


async def test_a_server_can_speak_another_dialect(autojump_clock: MockClock) -> None:
    ours, theirs = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: run_server(
                theirs, SimulatedServer(Script()), codec=Codec(Role.SERVER, Dialect.BETA)
            )
        )
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


# --- faults ---------------------------------------------------------------------------------------


async def test_things_go_wrong_in_memory_when_that_is_wanted(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(
        Script([Reply.text("a")]), faults=[Fault.drop("response.created")]
    ) as transport:
        await send(transport, TEXT, ResponseCreate())
        events = await receive_until(transport, ResponseDone)
        assert transport.closed is not None
        assert transport.closed.code == 1006
    assert [type(event) for event in events] == [SessionCreated, SessionUpdated]


async def test_faults_of_a_translation_are_told_as_there(autojump_clock: MockClock) -> None:
    fault = Fault.failing("overloaded", "Try again.", on="session.created")
    async with open_simulator_transport(
        SimulatedTranslator(Script()), faults=lambda: [fault]
    ) as transport:
        event, *_ = await receive_until(transport, TranslationSessionCreated, TRANSLATION)
    assert isinstance(event, ErrorEvent)
    assert event.error.code == "overloaded"


@pytest.mark.socket
@pytest.mark.parametrize("fault", [Fault.drop("session.updated"), Fault.reset("session.updated")])
async def test_a_connection_breaks_on_every_client_alike(fault: Fault) -> None:
    async with serving(faults=iter([fault])) as url:
        for _ in range(2):
            async with open_websocket(f"{url}?model=x") as transport:
                await send(transport, TEXT)
                assert [
                    type(event) for event in await receive_until(transport, SessionUpdated)
                ] == [SessionCreated]
                assert transport.closed is not None
                assert transport.closed.code == 1006
                with pytest.raises(ConnectionLost, match="1006"):
                    await transport.send("anybody?")


@pytest.mark.socket
async def test_a_function_can_say_what_goes_wrong_on_which_connection() -> None:
    unlucky = iter([[Fault.closing(1013, "later", on="session.created")], []])
    async with serving(faults=lambda: next(unlucky)) as url:
        async with open_websocket(f"{url}?model=x") as transport:
            assert await receive_until(transport, SessionCreated) == []
            assert transport.closed == Close(1013, "later")
        async with open_websocket(f"{url}?model=x") as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1


async def test_a_client_writes_no_lines_of_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "realtime_trio.simulator")
    async with open_simulator_transport(Script()) as transport:
        name = "a\nsent session.created\x1b[2J" + "x" * 1000
        await transport.send(json.dumps({"type": name}))
        await transport.receive()
        await transport.receive()
    (line,) = [line for line in caplog.messages if line.startswith("received a")]
    assert line.startswith(r"received a\nsent session.created\x1b[2Jxxx")
    assert len(line) < 200
