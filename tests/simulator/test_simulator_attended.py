"""Agents behind the simulator: what the client sees of them, how they are started and stopped.

Everything is checked against the protocol's order when a conversation is over and, if there is one,
against its schema.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio
from casts import (
    MANUAL,
    SLOW,
    TEXT,
    Scripted,
    details,
    error_of,
    on_a_wire,
    receive,
    response_to,
    said,
    says,
    send,
    statuses,
    talking,
    tone,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._transport.contract import Close
from realtime_trio.audio import AudioData
from realtime_trio.errors import RealtimeError, ServerError
from realtime_trio.events import (
    FunctionCall,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    ResponseErrorDetail,
    ResponseOutputTextDelta,
    ToolChoiceFunction,
    UserMessage,
)
from realtime_trio.simulator import (
    Call,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    Turn,
)
from realtime_trio.simulator.roles import Piece, Say
from realtime_trio.testing import assert_conversation

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
