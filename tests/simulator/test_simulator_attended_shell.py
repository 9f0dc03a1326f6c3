"""The shell around a simulated server: its clients, its failures, and the offline agent in it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import trio
from attrs import define
from casts import SPOKEN, TEXT, Beeper, Listener, says, silence, talking, tone
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._session.opening import open_session
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    ResponseDone,
    ServerVad,
    SessionConfig,
    SessionUpdate,
)
from realtime_trio.simulator import (
    Reply,
    Script,
    SimulatedServer,
    Turn,
)
from realtime_trio.simulator.offline.agent import OfflineAgent
from realtime_trio.simulator.serving.attended import Cast, run_server
from realtime_trio.simulator.serving.simulation import Configured
from realtime_trio.simulator.voice import EspeakVoice, PocketsphinxEars
from realtime_trio.tools import tool


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

    def send_nowait(self, message: str | bytes) -> bool:
        return False

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


async def test_what_fails_as_an_answer_ends_does_not_cancel_a_message_either(
    autojump_clock: MockClock,
) -> None:
    class Failing(SimulatedServer):
        def answer_ends(self, question_id: str, now: float) -> None:
            raise LocalProtocolError("a predicate failed, whose time it was")

    ours, theirs = memory_transport_pair()
    slow = Slow(theirs)
    await ours.send(Codec().encode(ResponseCreate()))
    # In the middle of the second message.
    agent = says("Hi.", wait=1.5)
    with pytest.raises(LocalProtocolError, match="predicate"), trio.fail_after(20):
        await run_server(slow, Failing(Script()), Cast(agent))
    assert not slow.broken


async def test_the_next_question_is_asked_although_the_client_does_not_read(
    autojump_clock: MockClock,
) -> None:
    agent = says("Hello.")
    ours, theirs = memory_transport_pair(capacity=1)
    async with trio.open_nursery() as nursery:
        cast = Cast(agent, ears=Listener(["words"], wait=1.0))
        nursery.start_soon(run_server, theirs, SimulatedServer(Script()), cast)
        for event in (
            InputAudioBufferAppend(audio=tone(500)),
            InputAudioBufferCommit(),
            ResponseCreate(),
        ):
            await ours.send(Codec().encode(event))
        await wait_all_tasks_blocked()
        assert not agent.turns
        await trio.sleep(2)
        (turn,) = agent.turns
        assert turn.user_text == "words"
        nursery.cancel_scope.cancel()


async def test_nobody_looks_after_a_question_that_is_answered(autojump_clock: MockClock) -> None:
    looked_after: list[str] = []

    class Asked(SimulatedServer):
        def is_wanted(self, question_id: str) -> bool:
            looked_after.append(question_id)
            return super().is_wanted(question_id)

    ours, theirs = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_server, theirs, Asked(Script()), Cast(says("Hi.")))
        async with open_session(transport=ours, **TEXT) as session:
            assert (await session.ask("?")).text == "Hi."
            first = {*looked_after}
            looked_after.clear()
            assert (await session.ask("?")).text == "Hi."
    assert len(first) == 1
    assert not first & {*looked_after}


@pytest.mark.parametrize("nobody", [OfflineAgent, "hello", Beeper()])
def test_an_agent_is_an_object_that_answers(nobody: Any) -> None:
    with pytest.raises(TypeError, match="agent must be an object with a method answer"):
        Cast(nobody)


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
