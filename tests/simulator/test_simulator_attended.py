"""Agents, ears and voices behind the simulator: what the client gets to see of them, and how they are started and stopped.

Everything is checked against the protocol's order when a conversation is over and, if there is one,
against its schema.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pytest
import trio
from attrs import define, field
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from schema import check_message
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._session.opening import open_session
from realtime_trio._session.transcription import open_transcription_session
from realtime_trio._session.voice import Session
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.audio import AudioData, alaw_encode, mulaw_encode
from realtime_trio.errors import LocalProtocolError, RealtimeError, RemoteProtocolError, ServerError
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    Event,
    FunctionCall,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferTimeoutTriggered,
    InputText,
    Response,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    ResponseStatusDetails,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    SystemMessage,
    ToolChoiceFunction,
    Transcription,
    UserMessage,
)
from realtime_trio.simulator import (
    INSTANT,
    Call,
    Failure,
    McpServer,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    Turn,
    sequential_ids,
    synthesize_speech,
)
from realtime_trio.simulator.offline.agent import OfflineAgent
from realtime_trio.simulator.roles import Agent, Ears, Piece, Say, Voice
from realtime_trio.simulator.service.questions import AnswerWanted, TranscriptWanted
from realtime_trio.simulator.serving.attended import Cast, run_server
from realtime_trio.simulator.serving.simulation import Configured
from realtime_trio.simulator.voice import EspeakVoice, PocketsphinxEars
from realtime_trio.testing import RecordingTransport, assert_conversation, assert_order
from realtime_trio.tools import tool

E = TypeVar("E", bound=Event)
Samples = NDArray[np.int16]

SLOW = Pacing(time_to_first_event=1.0, tokens_per_second=1.0, audio_speed=1.0)
TEXT: Any = {"output_modalities": ["text"], "turn_detection": None}
MANUAL: Any = {"turn_detection": None}
WHISPER = Transcription(model="gpt-4o-transcribe")


# --- who answers ----------------------------------------------------------------------------------


@define(eq=False)
class Scripted:
    """An agent that says what it was told to say, in its own time, and remembers how it was treated."""

    pieces: list[Piece] = field(factory=list)
    wait: float = 0.0
    """Seconds before every piece."""
    error: BaseException | None = None
    """What it raises in the end."""
    is_endless: bool = False
    turns: list[Turn] = field(factory=list, init=False)
    given: int = field(default=0, init=False)
    """How many pieces it has given."""
    closed_at: list[float] = field(factory=list, init=False)
    """When its answers ended."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900, ASYNC911
        self.turns.append(turn)
        try:
            while True:
                for piece in self.pieces:
                    if self.wait:
                        await trio.sleep(self.wait)
                    self.given += 1
                    yield piece  # noqa: ASYNC911
                if not self.is_endless:
                    break
            if self.error is not None:
                raise self.error
        finally:
            self.closed_at.append(trio.current_time())

    @property
    def heard(self) -> list[str]:
        return [turn.user_text for turn in self.turns]


@define(eq=False)
class Listener:
    """Ears that hear what they were told to hear, and remember to what they listened."""

    words: list[str | Exception | None]
    wait: float = 0.0
    heard: list[Samples] = field(factory=list, init=False)

    async def transcribe(self, samples: Samples) -> str | None:
        self.heard.append(samples)
        words = self.words[len(self.heard) - 1]
        await trio.sleep(self.wait)
        if isinstance(words, Exception):
            raise words
        return words


@define(eq=False)
class Beeper:
    """A voice that beeps for as many samples as the text has characters, times 480."""

    error: Exception | None = None
    spoken: list[str] = field(factory=list, init=False)

    async def speak(self, text: str) -> Samples:
        await trio.lowlevel.checkpoint()
        self.spoken.append(text)
        if self.error is not None:
            raise self.error
        return np.full(480 * len(text), 77, np.int16)


def says(*texts: str, **options: Any) -> Scripted:
    return Scripted([Say(text) for text in texts], **options)


# --- the client -----------------------------------------------------------------------------------


@asynccontextmanager
async def on_a_wire(
    agent: Agent | None = None,
    script: Script | None = None,
    *,
    ears: Ears | None = None,
    voice: Voice | None = None,
    server: SimulatedServer | None = None,
) -> AsyncIterator[RecordingTransport]:
    """The client's end of a connection to a simulator with this cast."""
    served = server or SimulatedServer(script or Script())
    ours, theirs = memory_transport_pair()
    wire = RecordingTransport(ours, kind=served.kind)
    cast = Cast(agent, ears=ears, voice=voice)
    with trio.fail_after(3600):
        async with open_service_nursery() as nursery:
            ended = trio.Event()

            async def serve() -> None:
                await run_server(theirs, served, cast)
                ended.set()

            nursery.start_soon(serve)  # noqa: ASYNC113
            yield wire
            await ours.aclose()
            await ended.wait()
    assert_order(wire.records)
    codec = Codec(Role.SERVER, kind=served.kind)
    for event in wire.received:
        check_message(codec.encode(event), served.kind)


@asynccontextmanager
async def talking(
    agent: Agent | None = None,
    *replies: Reply,
    script: Script | None = None,
    ears: Ears | None = None,
    voice: Voice | None = None,
    server: SimulatedServer | None = None,
    **options: Any,
) -> AsyncIterator[Session]:
    """A session with a simulator that has these replies, and this cast where they end."""
    async with (
        on_a_wire(agent, script or Script(replies), ears=ears, voice=voice, server=server) as wire,
        open_session(transport=wire, strict=True, **options) as session,
    ):
        yield session


def tone(ms: int) -> Samples:
    sine: Samples = (8000 * np.sin(np.arange(24 * ms) * (2 * np.pi * 300 / 24_000))).astype(
        np.int16
    )
    return sine


def silence(ms: int) -> Samples:
    return np.zeros(24 * ms, np.int16)


SPOKEN = np.concatenate((tone(500), silence(400)))
"""A turn of the user, and enough silence to end it."""


def details(response: Response) -> ResponseStatusDetails:
    assert response.status_details is not None
    return response.status_details


def error_of(response: Response) -> ResponseErrorDetail:
    assert response.status == "failed"
    error = details(response).error
    assert error is not None
    return error


def statuses(response: Response) -> list[str | None]:
    return [getattr(item, "status", None) for item in response.output]


def said(item: object) -> str:
    if isinstance(item, FunctionCall):
        return item.name
    assert isinstance(item, AssistantMessage)
    (part,) = item.content
    return str(getattr(part, "text", None) or getattr(part, "transcript", None))


async def response_to(session: Session, text: str) -> Response:
    """Only the next response, however the turn goes on."""
    with session.events(ResponseDone) as done:
        await session.send_message(text)
        return (await done.receive()).response


# --- answers --------------------------------------------------------------------------------------


async def test_the_agent_answers_where_the_script_has_no_reply(autojump_clock: MockClock) -> None:
    agent = says("From the ", "agent.")
    async with talking(agent, Reply.text("From the script."), **TEXT) as session:
        assert [(await session.ask(text)).text for text in ("a", "b", "c")] == [
            "From the script.",
            "From the agent.",
            "From the agent.",
        ]
        assert_conversation(
            session,
            [
                ("user", "a"),
                ("assistant", "From the script."),
                ("user", "b"),
                ("assistant", "From the agent."),
                ("user", "c"),
                ("assistant", "From the agent."),
            ],
        )
    assert agent.heard == ["b", "c"]


async def test_words_go_out_as_they_come(autojump_clock: MockClock) -> None:
    async with talking(says("one ", "two ", "three", wait=1.0), **TEXT) as session:
        start = trio.current_time()
        with session.events(ResponseOutputTextDelta) as deltas:
            await session.send_message("Count!")
            said = [
                ((await deltas.receive()).delta, round(trio.current_time() - start, 3))
                for _ in range(5)
            ]
    assert said == [("one", 1.0), (" ", 1.0), ("two", 2.0), (" ", 2.0), ("three", 3.0)]


async def test_an_answer_is_paced_by_the_script(autojump_clock: MockClock) -> None:
    agent = says("a ", "b ", "c", wait=0.1)
    async with talking(agent, script=Script(pacing=SLOW), **TEXT) as session:
        start = trio.current_time()
        assert (await session.ask("?")).text == "a b c"
    assert trio.current_time() - start == pytest.approx(1.0 + 4.0)
    assert agent.closed_at == [pytest.approx(start + 0.3)]


async def test_a_slow_agent_is_not_slowed_down_further(autojump_clock: MockClock) -> None:
    async with talking(says("a", "b", wait=10.0), script=Script(pacing=SLOW), **TEXT) as session:
        start = trio.current_time()
        assert (await session.ask("?")).text == "ab"
        assert trio.current_time() - start == pytest.approx(20.0)


async def test_a_call_ends_a_message_and_what_is_said_after_it_is_another(
    autojump_clock: MockClock,
) -> None:
    agent = Scripted(
        [
            Say("Let me "),
            Say("see."),
            Call("look", {"x": 1}),
            Call("listen", call_id="call_2"),
            Say("Well."),
        ]
    )
    async with talking(agent, **TEXT) as session:
        response = await response_to(session, "?")
    _, look, listen, _ = response.output
    assert list(map(said, response.output)) == ["Let me see.", "look", "listen", "Well."]
    assert isinstance(look, FunctionCall)
    assert isinstance(listen, FunctionCall)
    assert (look.arguments, listen.arguments, listen.call_id) == ('{"x":1}', "{}", "call_2")
    assert statuses(response) == ["completed"] * 4


async def test_an_agent_that_says_nothing_gives_an_empty_answer(autojump_clock: MockClock) -> None:
    for agent in (Scripted(), says("", ""), Scripted([Say("", AudioData(b""))])):
        async with talking(agent, **TEXT) as session:
            answer = await session.ask("?")
        assert (answer.status, answer.items) == ("completed", ())


async def test_many_pieces_are_many_words(autojump_clock: MockClock) -> None:
    agent = says(*(f"{number} " for number in range(2000)))
    async with talking(agent, **TEXT) as session:
        answer = await session.ask("?")
    assert answer.text == "".join(f"{number} " for number in range(2000))


async def test_an_agent_knows_what_the_response_may_do(autojump_clock: MockClock) -> None:
    agent = says("ok")
    async with talking(agent, instructions="Be nice.", tool_choice="required", **TEXT) as session:
        await session.ask("a")
        await session.ask(
            "b",
            tool_choice=ToolChoiceFunction(name="look"),
            max_output_tokens=7,
            output_modalities=["audio"],
        )
    first, second = agent.turns
    assert (first.instructions, first.tool_choice, first.max_output_tokens, first.modality) == (
        "Be nice.",
        "required",
        None,
        "text",
    )
    assert (second.tool_choice, second.max_output_tokens, second.modality) == (
        ToolChoiceFunction(name="look"),
        7,
        "audio",
    )
    assert second.items[:-1] == (*first.items, *second.items[1:2])


async def test_without_an_agent_the_simulator_has_words_of_its_own(
    autojump_clock: MockClock,
) -> None:
    async with talking(**TEXT) as session:
        assert (await session.ask("Hi!")).text == "You said: Hi!"


class Steps:
    """An iterator that is no generator, and cannot be closed."""

    def __init__(self) -> None:
        self._left = ["a", "b"]

    def answer(self, turn: Turn) -> Steps:
        return self

    def __aiter__(self) -> Steps:
        return self

    async def __anext__(self) -> Piece:
        await trio.lowlevel.checkpoint()
        if not self._left:
            raise StopAsyncIteration
        return Say(self._left.pop(0))


async def test_any_iterator_will_do(autojump_clock: MockClock) -> None:
    async with talking(Steps(), **TEXT) as session:
        assert (await session.ask("?")).text == "ab"


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ServerError("No.", code="model_not_found"), "model_not_found", "model_not_found: No."),
        (RealtimeError("The model is tired."), None, "The model is tired."),
        (ValueError("x" * 1000), None, "the agent failed with ValueError: " + "x" * 466),
        (
            ExceptionGroup("", [ExceptionGroup("", [KeyError("k")]), ValueError()]),
            None,
            "the agent failed with KeyError: 'k'",
        ),
    ],
)
async def test_an_agent_that_raises_fails_the_response_and_nothing_else(
    error: Exception,
    code: str | None,
    message: str,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = says("I was ", "going to", error=error)
    async with talking(agent, **TEXT) as session:
        answer = await session.ask("?")
        assert answer.text == "I was going to"
        assert statuses(answer.response) == ["incomplete"]
        assert error_of(answer.response) == ResponseErrorDetail(
            type="server_error", code=code, message=message
        )
        agent.error = None
        assert (await session.ask("?")).status == "completed"
    assert "the agent failed" in caplog.text


async def test_a_call_that_was_made_before_an_agent_failed_is_whole(
    autojump_clock: MockClock,
) -> None:
    agent = Scripted([Say("Let me see."), Call("look")], error=ValueError())
    async with talking(agent, **TEXT) as session:
        response = await response_to(session, "?")
    assert statuses(response) == ["completed", "completed"]
    assert response.status == "failed"


async def test_an_agent_may_fail_before_it_says_anything(autojump_clock: MockClock) -> None:
    class Broken:
        def answer(self, turn: Turn) -> AsyncIterator[Piece]:
            raise ZeroDivisionError

    async with talking(Broken(), **TEXT) as session:
        answer = await session.ask("?")
    assert (answer.items, error_of(answer.response).message) == (
        (),
        "the agent failed with ZeroDivisionError: ",
    )


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        ("hello", "an answer is made of Say and Call, not of str"),
        (Say("a", AudioData.from_base64("???")), "base64"),
    ],
)
async def test_what_is_no_answer_fails_the_response(
    piece: Any, message: str, autojump_clock: MockClock
) -> None:
    async with talking(Scripted([piece]), **MANUAL) as session:
        assert message in str(error_of((await session.ask("?")).response).message)


async def test_the_log_says_everything_about_a_failure(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "realtime_trio.simulator")
    async with talking(Scripted(error=ValueError("secret")), **TEXT) as session:
        await session.ask("?")
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.exc_info is not None
    assert {"received response.create", "sent response.done"} <= {
        record.getMessage() for record in caplog.records
    }


# --- stopping it ----------------------------------------------------------------------------------


async def test_a_cancelled_agent_stops_at_once_wherever_it_waits(autojump_clock: MockClock) -> None:
    agent = says("a ", wait=1.0, is_endless=True)
    async with talking(agent, **TEXT) as session:
        start = trio.current_time()
        with session.events(ResponseDone) as done:
            await session.send_message("?")
            await trio.sleep(3.5)
            await session.cancel_response()
            response = (await done.receive()).response
        assert agent.closed_at == [pytest.approx(start + 3.5)]
        assert (response.status, details(response).reason) == ("cancelled", "client_cancelled")
        assert statuses(response) == ["incomplete"]
        assert agent.given == 3
        agent.is_endless = False
        assert (await session.ask("?")).status == "completed"


async def test_an_agent_that_never_waits_is_held_back_and_can_be_stopped(
    autojump_clock: MockClock,
) -> None:
    agent = says("word ", is_endless=True)
    async with talking(agent, script=Script(pacing=SLOW), **TEXT) as session:
        with session.events(ResponseDone) as done:
            await session.send_message("?")
            await trio.sleep(5.0)
            assert 8 < agent.given < 16  # a few words ahead of what is said
            await session.cancel_response()
            await done.receive()
        await wait_all_tasks_blocked()
        assert len(agent.closed_at) == 1


async def test_an_endless_answer_does_not_keep_the_client_from_being_heard(
    autojump_clock: MockClock,
) -> None:
    agent = says("word ", is_endless=True)
    async with talking(agent, **TEXT) as session:
        with (
            session.events(ResponseOutputTextDelta) as deltas,
            session.events(ResponseDone) as done,
        ):
            await session.send_message("?")
            await deltas.receive()
            await session.cancel_response()
            assert (await done.receive()).response.status == "cancelled"
        await wait_all_tasks_blocked()
        assert len(agent.closed_at) == 1


async def test_speech_of_the_user_interrupts_the_agent(autojump_clock: MockClock) -> None:
    agent = says("Once ", "upon ", "a ", "time ", wait=1.0, is_endless=True)
    async with talking(agent, script=Script(pacing=Pacing(audio_speed=1.0))) as session:
        start = trio.current_time()
        with session.events(ResponseDone) as done:
            await session.send_message("Tell me a story!")
            await trio.sleep(4.5)
            await session.append_audio(tone(100))
            response = (await done.receive()).response
            assert (response.status, details(response).reason) == ("cancelled", "turn_detected")
        assert agent.closed_at == [pytest.approx(start + 4.5)]


@pytest.mark.parametrize("wait", [0.0, 1.0])
async def test_the_end_of_the_connection_stops_the_agent(
    wait: float, autojump_clock: MockClock
) -> None:
    agent = says("word ", wait=wait, is_endless=True)
    async with talking(agent, script=Script(pacing=SLOW), **TEXT) as session:
        await session.send_message("?")
        await trio.sleep(2.5)
        assert agent.closed_at == []
    assert len(agent.closed_at) == 1


async def test_an_answer_that_is_long_enough_is_cut_off(autojump_clock: MockClock) -> None:
    agent = says("word", wait=1.0, is_endless=True)
    async with talking(agent, **TEXT) as session:
        answer = await session.ask("?", max_output_tokens=3)
        assert (answer.status, answer.text) == ("incomplete", "word" * 3)
        await wait_all_tasks_blocked()
        assert (agent.given, len(agent.closed_at)) == (4, 1)


async def test_the_end_of_the_session_stops_the_agent(autojump_clock: MockClock) -> None:
    agent = says("word ", wait=1.0, is_endless=True)
    async with on_a_wire(agent, server=SimulatedServer(Script(), expires_after=10.0)) as wire:
        await send(wire, ResponseCreate())
        while await wire.receive():
            pass
        assert wire.closed == Close(1001, "session_expired")
    assert agent.closed_at == [10.0]


async def test_an_agent_that_was_cancelled_before_it_began_is_never_asked(
    autojump_clock: MockClock,
) -> None:
    agent = says("a")
    async with on_a_wire(agent) as wire:
        await send(wire, ResponseCreate(), ResponseCancel())
        (done,) = await receive(wire, ResponseDone)
        assert done.response.status == "cancelled"
    assert agent.turns == []


class Sore:
    """An agent that is a bad loser."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900
        try:
            await trio.lowlevel.checkpoint()
            yield Say("a")
            await trio.sleep_forever()
        finally:
            raise RuntimeError("how dare you")


async def test_an_agent_that_does_not_want_to_be_cancelled_harms_nobody(
    autojump_clock: MockClock,
) -> None:
    async with talking(Sore(), **TEXT) as session:
        for _ in range(2):
            with session.events(ResponseDone) as done:
                await session.send_message("?")
                await trio.sleep(1.0)
                await session.cancel_response()
                assert (await done.receive()).response.status == "cancelled"
        await session.send_message("?")
        await trio.sleep(1.0)


class Troubled:
    """An agent with a nursery of its own, one of whose tasks fails when it is cancelled."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900, ASYNC911
        await self._think()
        yield Say("never")

    async def _think(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("in the middle of it")


async def test_errors_among_cancellations_harm_nobody_either(autojump_clock: MockClock) -> None:
    async with talking(Troubled(), **TEXT) as session:
        with session.events(ResponseDone) as done:
            await session.send_message("?")
            await trio.sleep(1.0)
            await session.cancel_response()
            assert (await done.receive()).response.status == "cancelled"
            await session.send_message("?")
            await trio.sleep(1.0)


async def test_interrupts_of_the_program_are_no_failures_of_the_agent(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        async with talking(Scripted(error=KeyboardInterrupt()), **TEXT) as session:
            await session.ask("?")


# --- several at once ------------------------------------------------------------------------------


async def test_answers_out_of_band_are_given_at_the_same_time(autojump_clock: MockClock) -> None:
    agent = says("a", "b", wait=1.0)
    async with talking(agent, **TEXT) as session:
        start = trio.current_time()
        texts = []

        async def ask(**options: Any) -> None:
            texts.append((await session.ask("?" if not options else None, **options)).text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            for _ in range(3):
                nursery.start_soon(
                    partial(ask, conversation="none", input=[UserMessage.text("Hi")])
                )
        assert texts == ["ab"] * 4
        assert trio.current_time() - start == pytest.approx(2.0)


async def test_no_more_than_sixteen_questions_are_worked_on_at_once(
    autojump_clock: MockClock,
) -> None:
    agent = says("a", wait=1.0)
    async with on_a_wire(agent) as wire:
        config = ResponseConfig(conversation="none", input=())
        await send(wire, *(ResponseCreate(response=config) for _ in range(20)))
        await trio.sleep(0.5)
        assert len(agent.turns) == 16
        assert {event.response.status for event in await receive(wire, ResponseDone, 20)} == {
            "completed"
        }
        assert trio.current_time() == pytest.approx(2.0)


async def test_one_agent_serves_several_connections(autojump_clock: MockClock) -> None:
    agent = says("Hi.", wait=1.0)
    async with talking(agent, **TEXT) as one, talking(agent, **TEXT) as other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.ask, "a")
            nursery.start_soon(other.ask, "b")
        assert trio.current_time() == pytest.approx(1.0)
    assert sorted(agent.heard) == ["a", "b"]


# --- voices ---------------------------------------------------------------------------------------


async def test_the_voice_speaks_what_has_no_audio(autojump_clock: MockClock) -> None:
    voice = Beeper()
    own = np.full(4800, 5, np.int16)
    agent = Scripted([Say("Hello. "), Say("Mine. ", own), Say(" "), Say("Bye.")])
    async with talking(agent, voice=voice, **MANUAL) as session:
        answer = await session.ask("?")
    assert voice.spoken == ["Hello.", "Bye."]
    assert answer.transcript == "Hello. Mine.  Bye."
    assert answer.audio.tolist() == [77] * 6 * 480 + [5] * 4800 + [77] * 4 * 480


async def test_without_a_voice_it_is_the_synthetic_one(autojump_clock: MockClock) -> None:
    async with talking(says("Hello. ", "Bye."), **MANUAL) as session:
        answer = await session.ask("?")
    assert answer.transcript == "Hello. Bye."
    assert np.array_equal(
        answer.audio, np.concatenate((synthesize_speech("Hello. "), synthesize_speech("Bye.")))
    )


async def test_nobody_speaks_what_is_to_be_read(autojump_clock: MockClock) -> None:
    voice = Beeper()
    async with talking(says("Hello."), voice=voice, **TEXT) as session:
        answer = await session.ask("?")
    assert (answer.text, voice.spoken) == ("Hello.", [])


async def test_a_voice_that_raises_fails_the_response(autojump_clock: MockClock) -> None:
    async with talking(says("Hello."), voice=Beeper(ValueError("hoarse")), **MANUAL) as session:
        answer = await session.ask("?")
    assert error_of(answer.response).message == "the agent failed with ValueError: hoarse"


async def test_speech_in_pieces_is_sent_as_one_stream_at_its_pace(
    autojump_clock: MockClock,
) -> None:
    agent = Scripted(
        [Say("One. ", tone(1000)), Say("Two. ", tone(1000)), Say("Three.", tone(1000))]
    )
    async with talking(agent, script=Script(pacing=Pacing(audio_speed=2.0)), **MANUAL) as session:
        start = trio.current_time()
        with session.events(ResponseOutputAudioDelta) as deltas:
            await session.send_message("?")
            times = []
            for _ in range(15):
                await deltas.receive()
                times.append(round(trio.current_time() - start, 3))
    assert times == [round(0.1 * number, 3) for number in range(15)]


async def test_speech_goes_on_when_it_comes_late(autojump_clock: MockClock) -> None:
    agent = Scripted([Say("One. ", tone(200)), Say("Two. ", tone(200))], wait=5.0)
    async with talking(agent, script=Script(pacing=Pacing(audio_speed=1.0)), **MANUAL) as session:
        start = trio.current_time()
        with session.events(ResponseOutputAudioDelta) as deltas:
            await session.send_message("?")
            times = []
            for _ in range(2):
                await deltas.receive()
                times.append(round(trio.current_time() - start, 3))
    assert times == [5.0, 10.0]


# --- ears -----------------------------------------------------------------------------------------


async def test_the_agent_understands_what_the_ears_hear(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["good morning"])
    async with talking(agent, ears=ears, **TEXT) as session:
        with session.events(ConversationItemRetrieved) as retrieved:
            await session.append_audio(tone(500))
            answer = await session.ask()
            (item, _) = session.conversation.items
            await session.send(ConversationItemRetrieve(item_id=item.id))
            shown = (await retrieved.receive()).item
        assert item.transcript == ""  # nobody asked for it to be transcribed, so nobody is told
        assert isinstance(shown, UserMessage)
        assert isinstance(shown.content[0], InputAudio)
        assert shown.content[0].transcript is None
    assert answer.text == "Aha."
    assert agent.heard == ["good morning"]
    assert np.array_equal(ears.heard[0], tone(500))


async def test_the_answer_waits_for_the_words_and_audio_is_listened_to_once(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Aha."), Listener(["one", "two"], wait=2.0)
    async with talking(agent, ears=ears, **TEXT) as session:
        for expected in (2.0, 4.0):
            await session.append_audio(tone(500))
            await session.ask()
            assert trio.current_time() == pytest.approx(expected)
        await session.ask()
        assert trio.current_time() == pytest.approx(4.0)
    assert agent.heard == ["one", "two", "two"]


async def test_what_is_heard_is_transcribed_if_that_is_wanted(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["good morning to you"], wait=2.0)
    script = Script(transcription_delay=1.0)
    async with talking(agent, script=script, ears=ears, transcription=WHISPER, **TEXT) as session:
        with session.events(
            ConversationItemInputAudioTranscriptionDelta,
            ConversationItemInputAudioTranscriptionCompleted,
        ) as events:
            await session.append_audio(tone(500))
            item_id = await session.commit_audio()
            deltas = []
            while isinstance(
                event := await events.receive(), ConversationItemInputAudioTranscriptionDelta
            ):
                deltas.append(event.delta)
            assert trio.current_time() == pytest.approx(2.0)
            assert (event.transcript, event.item_id) == ("good morning to you", item_id)
            assert len(deltas) > 1
            assert "".join(deltas) == event.transcript
            await session.ask()
    assert agent.heard == ["good morning to you"]
    assert len(ears.heard) == 1


async def test_a_transcript_comes_no_earlier_than_the_script_says(
    autojump_clock: MockClock,
) -> None:
    async with talking(
        says("a"),
        script=Script(transcription_delay=3.0),
        ears=Listener(["b"]),
        transcription=WHISPER,
        **TEXT,
    ) as session:
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(tone(500))
            assert (await session.ask()).text == "a"
            assert trio.current_time() == 0.0
            assert (await completed.receive()).transcript == "b"
            assert trio.current_time() == 3.0


async def test_what_nobody_understood_has_no_words(autojump_clock: MockClock) -> None:
    agent = says("Pardon?")
    async with talking(agent, ears=Listener([None]), transcription=WHISPER, **TEXT) as session:
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(tone(500))
            assert (await session.ask()).text == "Pardon?"
            assert (await completed.receive()).transcript == ""
    assert (agent.heard, agent.turns[0].heard_seconds) == ([""], 0.5)


async def test_ears_that_raise_fail_the_transcription_and_the_agent_answers_all_the_same(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Pardon?"), Listener([ServerError("Busy.", code="busy")], wait=1.0)
    async with talking(agent, ears=ears, transcription=WHISPER, **TEXT) as session:
        with session.events(ConversationItemInputAudioTranscriptionFailed) as failed:
            await session.append_audio(tone(500))
            assert (await session.ask()).text == "Pardon?"
            error = (await failed.receive()).error
            assert (error.type, error.code, error.message) == (
                "transcription_error",
                "busy",
                "busy: Busy.",
            )
        assert (await session.ask("And now?")).text == "Pardon?"
    assert len(ears.heard) == 1
    assert agent.heard == ["", "And now?"]


async def test_ears_hear_turns_and_the_answer_comes_by_itself(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["how are you"], wait=2.0)
    async with talking(agent, ears=ears, transcription=WHISPER) as session:
        with session.events(ResponseCreated, ResponseDone) as events:
            await session.append_audio(SPOKEN)
            assert isinstance(await events.receive(), ResponseCreated)
            assert trio.current_time() == 0.0
            assert isinstance(done := await events.receive(), ResponseDone)
            assert trio.current_time() == pytest.approx(2.0)
        assert done.response.status == "completed"
        assert_conversation(session, [("user", "how are you"), ("assistant", "Aha.")])
    assert agent.heard == ["how are you"]
    assert 700 <= len(ears.heard[0]) / 24 <= 800


async def test_a_response_that_is_interrupted_while_it_waits_says_nothing_and_the_next_reads_both(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Aha."), Listener(["first", "second"], wait=2.0)
    async with talking(agent, ears=ears) as session:
        with session.events(ResponseDone) as done:
            await session.append_audio(SPOKEN)
            await trio.sleep(1.0)
            await session.append_audio(SPOKEN)
            cancelled, completed = (await done.receive()).response, (await done.receive()).response
            assert trio.current_time() == pytest.approx(3.0)
        assert (cancelled.status, cancelled.output) == ("cancelled", ())
        assert completed.status == "completed"
    (turn,) = agent.turns
    assert [
        part.transcript
        for item in turn.items
        for part in getattr(item, "content", ())
        if isinstance(part, InputAudio)
    ] == [
        "first",
        "second",
    ]


async def test_a_reply_that_is_taken_in_any_case_waits_for_no_words(
    autojump_clock: MockClock,
) -> None:
    ears = Listener(["x"], wait=2.0)
    async with talking(
        says("a"), Reply.text("At once."), ears=ears, transcription=WHISPER, **TEXT
    ) as session:
        await session.append_audio(tone(500))
        assert (await session.ask()).text == "At once."
        assert trio.current_time() == 0.0


async def test_a_reply_that_goes_by_the_words_waits_for_them(autojump_clock: MockClock) -> None:
    def about(word: str) -> Callable[[Turn], bool]:
        return lambda turn: word in turn.user_text

    replies = [
        Reply.text("Rain.", when=about("weather")),
        Reply.text("Noon.", when=about("time")),
        Reply.text("Whatever."),
    ]
    ears = Listener(["what is the time"], wait=2.0)
    async with talking(None, *replies, ears=ears, **TEXT) as session:
        await session.append_audio(tone(500))
        assert (await session.ask()).text == "Noon."
        assert (await session.ask("weather")).text == "Rain."


async def test_ears_alone_are_enough_to_repeat_what_wassaid(autojump_clock: MockClock) -> None:
    async with talking(ears=Listener(["hello there"]), **TEXT) as session:
        await session.append_audio(tone(500))
        assert (await session.ask()).text == "You said: hello there"


async def test_what_the_script_understands_needs_no_ears(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["heard"])
    async with talking(
        agent, script=Script(transcripts=["scripted", None]), ears=ears, **TEXT
    ) as session:
        for _ in range(3):
            await session.append_audio(tone(500))
            await session.ask()
    assert agent.heard == ["scripted", "", "heard"]
    assert len(ears.heard) == 1


async def test_an_agent_without_ears_understands_what_the_script_does(
    autojump_clock: MockClock,
) -> None:
    agent = says("Aha.")
    async with talking(agent, script=Script(transcripts=["scripted"]), **TEXT) as session:
        for _ in range(2):
            await session.append_audio(tone(500))
            await session.ask()
    assert agent.heard == ["scripted", ""]


async def test_without_ears_the_length_of_the_audio_is_its_transcript(
    autojump_clock: MockClock,
) -> None:
    async with talking(says("Aha."), transcription=WHISPER, **TEXT) as session:
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(tone(500))
            await session.ask()
            assert (await completed.receive()).transcript == "[0.5 seconds of audio]"


async def test_audio_in_messages_is_heard_unless_its_words_are_given(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Aha."), Listener(["heard"])
    content: list[InputText | InputAudio] = [
        InputText(text="Listen:"),
        InputAudio(AudioData(tone(200))),
    ]
    async with talking(agent, ears=ears, **TEXT) as session:
        await session.insert_item(SystemMessage.text("Be nice."))
        await session.insert_item(UserMessage(content=[InputAudio(AudioData(tone(100)), "given")]))
        await session.insert_item(UserMessage(content=[InputAudio()]))
        await session.insert_item(UserMessage(content=content))
        await session.ask()
        await session.ask(conversation="none", input=[UserMessage.text("No audio here.")])
    assert agent.heard == ["Listen: heard", "No audio here."]
    assert [len(samples) for samples in ears.heard] == [24 * 200]


@pytest.mark.parametrize(
    ("name", "encode"), [("audio/pcmu", mulaw_encode), ("audio/pcma", alaw_encode)]
)
async def test_ears_hear_every_format_as_24_khz(
    name: str, encode: Any, autojump_clock: MockClock
) -> None:
    ears = Listener(["heard"])
    async with talking(
        says("Aha."), ears=ears, input_format=AudioFormat(type=name), **TEXT
    ) as session:
        await session.append_audio(encode(tone(300)[::3]))
        await session.ask()
    (samples,) = ears.heard
    assert samples.dtype == np.int16
    assert len(samples) == 24 * 300
    assert np.corrcoef(samples, tone(300))[0, 1] > 0.99


async def test_silence_that_timed_out_is_not_listened_to(autojump_clock: MockClock) -> None:
    agent, ears = says("Still there?"), Listener([])
    detection = ServerVad(idle_timeout_ms=5000)
    async with talking(
        agent, ears=ears, turn_detection=detection, transcription=WHISPER
    ) as session:
        with session.events(InputAudioBufferTimeoutTriggered, ResponseDone) as events:
            await session.send_message("Hello.")
            assert isinstance(await events.receive(), ResponseDone)
            assert isinstance(await events.receive(), InputAudioBufferTimeoutTriggered)
            assert isinstance(await events.receive(), ResponseDone)
    assert ears.heard == []
    assert agent.heard == ["Hello.", ""]


async def test_a_transcription_session_has_ears_too(autojump_clock: MockClock) -> None:
    server = SimulatedServer(Script(), kind=SessionKind.TRANSCRIPTION)
    async with (
        on_a_wire(ears=Listener(["good evening"], wait=1.0), server=server) as wire,
        open_transcription_session(transport=wire, transcription=WHISPER, strict=True) as session,
    ):
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(SPOKEN)
            assert (await completed.receive()).transcript == "good evening"


async def test_the_end_of_the_connection_stops_the_ears(autojump_clock: MockClock) -> None:
    async with talking(says("a"), ears=Listener(["x"], wait=1000.0), **TEXT) as session:
        await session.append_audio(tone(500))
        await session.respond()
        await trio.sleep(1.0)
    assert trio.current_time() < 10.0


# --- the shell ------------------------------------------------------------------------------------


async def send(wire: RecordingTransport, *events: Event) -> None:
    await trio.lowlevel.checkpoint()
    for event in events:
        await wire.send(Codec().encode(event))


async def receive(wire: RecordingTransport, kind: type[E], count: int = 1) -> list[E]:
    """The first so many events of this class."""
    await trio.lowlevel.checkpoint()
    while len(found := [event for event in wire.received if isinstance(event, kind)]) < count:
        assert await wire.receive()
    return found


async def test_a_client_that_is_gone_before_it_was_greeted_is_no_problem(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = memory_transport_pair()
    await ours.aclose()
    with assert_checkpoints():
        await run_server(theirs, SimulatedServer(Script()), Cast(OfflineAgent()))


async def test_a_client_that_does_not_read_can_still_leave(autojump_clock: MockClock) -> None:
    agent = says("word ", is_endless=True)
    ours, theirs = memory_transport_pair(capacity=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_server, theirs, SimulatedServer(Script()), Cast(agent))
        await ours.send(Codec().encode(ResponseCreate()))
        await wait_all_tasks_blocked()
        assert agent.given < 50
        await ours.aclose()
    assert len(agent.closed_at) == 1


async def test_a_client_that_does_not_read_is_still_heard(autojump_clock: MockClock) -> None:
    agent = says("word ", is_endless=True)
    ours, theirs = memory_transport_pair(capacity=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_server, theirs, SimulatedServer(Script()), Cast(agent))
        await ours.send(Codec().encode(ResponseCreate()))
        await wait_all_tasks_blocked()
        await ours.send(Codec().encode(ResponseCancel()))
        await wait_all_tasks_blocked()
        assert len(agent.closed_at) == 1
        nursery.cancel_scope.cancel()


async def test_something_may_be_put_around_the_server(autojump_clock: MockClock) -> None:
    agent = says("Hi.")
    server = SimulatedServer(Script())
    configured = Configured(
        server,
        SessionUpdate(session=SessionConfig(instructions="Sing.", output_modalities=("text",))),
    )
    ours, theirs = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                run_server,
                theirs,
                server,
                Cast(agent),
                facade=configured,
                codec=Codec(Role.SERVER),
            )
        )
        async with open_session(transport=ours) as session:
            assert session.config.instructions == "Sing."
            assert (await session.ask("?")).text == "Hi."


@pytest.mark.parametrize("ears", [None, Listener(["words"])])
async def test_a_failing_predicate_ends_the_connection_wherever_it_is_asked(
    ears: Listener | None, autojump_clock: MockClock
) -> None:
    def fail(_turn: Turn) -> bool:
        raise KeyError("x")

    ours, theirs = memory_transport_pair()
    server = SimulatedServer(Script([Reply.text("a", when=fail)]))
    for event in (
        InputAudioBufferAppend(audio=tone(500)),
        InputAudioBufferCommit(),
        ResponseCreate(),
    ):
        await ours.send(Codec().encode(event))
    with pytest.raises(LocalProtocolError, match="predicate"), trio.fail_after(5):
        await run_server(theirs, server, Cast(ears=ears))


@define(eq=False)
class Slow:
    """A transport that takes a second for every message, and notices when it may not finish one."""

    transport: Transport
    broken: bool = False
    closed: Close | None = None

    async def receive(self) -> tuple[str | bytes, ...]:
        return await self.transport.receive()

    async def send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            await trio.sleep(1)
        except trio.Cancelled:
            self.broken = True
            raise
        await self.transport.send(message)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self.transport.aclose(code, reason)


@pytest.mark.parametrize("ears", [None, Listener(["words"])])
async def test_a_failing_predicate_does_not_cancel_a_message_that_is_half_sent(
    ears: Listener | None, autojump_clock: MockClock
) -> None:
    def fail(_turn: Turn) -> bool:
        raise KeyError("x")

    ours, theirs = memory_transport_pair()
    slow = Slow(theirs)
    server = SimulatedServer(Script([Reply.text("a", when=fail)]))

    async def ask() -> None:
        await trio.sleep(0.5)  # in the middle of the first message
        for event in (
            InputAudioBufferAppend(audio=tone(500)),
            InputAudioBufferCommit(),
            ResponseCreate(),
        ):
            await ours.send(Codec().encode(event))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        with pytest.raises(LocalProtocolError, match="predicate"), trio.fail_after(5):
            await run_server(slow, server, Cast(ears=ears))
    assert not slow.broken
    assert len(await ours.receive()) >= 1


# --- the server by itself -------------------------------------------------------------------------


def attended(script: Script | None = None, *events: Event, **options: Any) -> SimulatedServer:
    """A server that has obeyed these events."""
    server = SimulatedServer(
        script or Script(), has_agent=True, has_ears=True, new_id=sequential_ids(), **options
    )
    server.connect(0.0)
    for event in events:
        server.receive(event, 0.0)
    return server


def test_a_question_is_told_once_and_not_if_it_is_void() -> None:
    server = attended(None, ResponseCreate())
    (question,) = server.take_questions()
    assert isinstance(question, AnswerWanted)
    assert server.take_questions() == ()
    assert server.is_wanted(question.id)
    server.receive(ResponseCancel(), 0.0)
    assert not server.is_wanted(question.id)
    server.receive(ResponseCreate(), 0.0)
    server.receive(ResponseCancel(), 0.0)
    assert server.take_questions() == ()


def test_answers_that_are_not_wanted_any_more_are_ignored() -> None:
    server = attended(None, ResponseCreate())
    (question,) = server.take_questions()
    server.receive(ResponseCancel(), 0.0)
    server.take_due(0.0)
    server.say(question.id, Say("late"), 1.0)
    server.answer_ends(question.id, 1.0)
    server.answer_fails(question.id, Failure(None, "late"), 1.0)
    server.transcription_ends("audio_7", "late", 1.0)
    server.transcription_fails("audio_7", Failure(None, "late"), 1.0)
    assert not server.is_keeping_up(question.id)
    assert server.take_due(1.0) == ()


def test_a_server_waits_for_answers_at_no_time() -> None:
    server = attended(None, ResponseCreate(), expires_after=float("inf"))
    server.take_due(0.0)
    assert server.next_due is None
    assert len(server.take_due(float("inf"))) == 1  # at the end of all times the session is over


def test_nothing_is_wanted_when_the_session_is_over() -> None:
    commit = (InputAudioBufferAppend(audio=tone(500)), InputAudioBufferCommit())
    server = attended(
        Script([Reply.text("a", when=lambda _turn: True)]),
        *commit,
        ResponseCreate(),
        expires_after=10.0,
    )
    (question,) = server.take_questions()
    assert isinstance(question, TranscriptWanted)
    assert repr(question) == f"TranscriptWanted(id={question.id!r})"
    server.take_due(11.0)
    assert not server.is_wanted(question.id)
    server.transcription_ends(question.id, "late", 12.0)
    assert server.take_due(12.0) == ()


def test_a_piece_must_be_one() -> None:
    server = attended(None, ResponseCreate())
    (question,) = server.take_questions()
    with pytest.raises(LocalProtocolError, match="Say and Call"):
        server.say(question.id, "a", 0.0)  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError):
        server.say(question.id, Say("a", AudioData.from_base64("?")), 0.0)


def test_tools_on_mcp_servers_stay_the_scripts_business() -> None:
    script = Script([Reply.mcp("docs", "search")], mcp_servers=[McpServer("docs")])
    server = attended(script, ResponseCreate())
    assert server.take_questions() == ()


PIECES = st.lists(
    st.builds(Say, st.text("ab .", max_size=9)) | st.builds(Call, st.sampled_from(["f", "g"])),
    max_size=12,
)


@given(
    pieces=PIECES,
    modality=st.sampled_from(["text", "audio"]),
    steps=st.lists(st.floats(0, 3), max_size=12),
    pacing=st.sampled_from([INSTANT, SLOW]),
)
def test_whatever_an_agent_says_is_said_in_the_protocols_order(
    pieces: Iterable[Piece], modality: Any, steps: list[float], pacing: Pacing
) -> None:
    server = attended(
        Script(pacing=pacing),
        ResponseCreate(response=ResponseConfig(output_modalities=(modality,))),
    )
    (question,) = server.take_questions()
    events: list[Event] = []
    now = 0.0
    for number, piece in enumerate(pieces):
        now += steps[number] if number < len(steps) else 0.0
        server.say(question.id, piece, now)
        events += server.take_due(now)
    server.answer_ends(question.id, now)
    while (due := server.next_due) is not None and due < 3600:
        events += server.take_due(due)
    assert_order(events)
    response = next(event for event in events if isinstance(event, ResponseDone)).response
    runs: list[str] = []  # messages as their texts, calls as their names
    for piece in pieces:
        if isinstance(piece, Call):
            runs += [piece.name, ""]
        elif piece.text:
            runs = [*runs[:-1], runs[-1] + piece.text] if runs else [piece.text]
    assert "".join(filter(None, runs)) == "".join(map(said, response.output))
    assert [run for run in runs if run] == list(map(said, response.output))
    assert statuses(response) == ["completed"] * len(response.output)


# --- the offline agent ----------------------------------------------------------------------------


async def test_the_offline_agent_answers_a_question(autojump_clock: MockClock) -> None:
    async with talking(OfflineAgent(), **TEXT) as session:
        assert "84" in (await session.ask("What is 12 times 7?")).text


@tool
async def get_weather(city: str) -> dict[str, object]:
    """Get the current weather in a city."""
    await trio.lowlevel.checkpoint()
    return {"city": city, "temperature": 21, "sky": "clear"}


async def test_the_offline_agent_calls_a_tool_and_reads_its_output_aloud(
    autojump_clock: MockClock,
) -> None:
    voice = Beeper()
    async with talking(
        OfflineAgent(),
        ears=Listener(["what is the weather in paris"]),
        voice=voice,
        tools=[get_weather],
    ) as session:
        with session.events(ResponseDone) as done:
            await session.append_audio(SPOKEN)
            for _ in range(2):
                await done.receive()
        call, output, answer = session.conversation.items[1:]
        assert (call.name, call.arguments, output.call_id) == (
            "get_weather",
            '{"city":"paris"}',
            call.call_id,
        )
        assert "21" in answer.transcript
        assert len(answer.audio) == 480 * sum(map(len, voice.spoken))


async def test_a_spoken_question_is_really_heard_and_really_answered() -> None:
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("espeakng_loader")
    question = "What is the weather in Paris?"
    voice, ears = (
        EspeakVoice(),
        PocketsphinxEars([question]),
    )  # nothing here waits for a clock, and threads need the real one
    with trio.fail_after(30):
        spoken = np.concatenate((await voice.speak(question), silence(1000)))
        detection = ServerVad(silence_duration_ms=700)
        async with talking(
            OfflineAgent(), ears=ears, voice=voice, tools=[get_weather], turn_detection=detection
        ) as session:
            with session.events(ResponseDone) as done:
                await session.append_audio(spoken)
                for _ in range(2):
                    await done.receive()
            heard, call, _, answer = session.conversation.items
            assert (heard.transcript, call.arguments) == ("", '{"city":"paris"}')
            assert "temperature 21" in answer.transcript
            assert len(answer.audio) > 24_000
