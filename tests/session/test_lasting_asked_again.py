"""Responses that were cut are asked for again as they had been asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import pytest
import trio
from lasting_talk import open_lasting, server_lines, service_of, taken
from simulated import SLOW
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.voice import Session
from realtime_trio.events import (
    InputText,
    JsonObject,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    UserMessage,
)
from realtime_trio.lasting import Reconnect, Reconnected
from realtime_trio.money import Budget
from realtime_trio.simulator import Fault, Reply, Script, SimulatedService

Ask: TypeAlias = Callable[[Session], Awaitable[object]]
LONG: Final = Reply.text("One, two, three, four, five, six.", pacing=SLOW)
SETTINGS: Final = ResponseConfig(
    instructions="Whisper.",
    max_output_tokens=99,
    metadata={"topic": "numbers"},
    output_modalities=("text",),
    tool_choice="none",
)
ASIDE: Final = ResponseConfig(
    conversation="none",
    input=(UserMessage(content=(InputText("Count!"),)),),
    output_modalities=("text",),
    metadata={"topic": "numbers"},
)


async def ask_raw(session: Session) -> None:
    await session.send(ResponseCreate(response=SETTINGS))


async def ask_unchecked(session: Session) -> None:
    response: JsonObject = {
        "instructions": "Whisper.",
        "max_output_tokens": 99,
        "metadata": {"topic": "numbers"},
        "output_modalities": ["text"],
        "tool_choice": "none",
    }
    await session.send_raw({"type": "response.create", "response": response})


async def respond(session: Session) -> None:
    await session.respond(SETTINGS)


async def follow(session: Session) -> None:
    async with session.open_response(SETTINGS) as response:
        await response.wait()


async def ask(session: Session) -> None:
    await session.ask(
        instructions="Whisper.",
        max_output_tokens=99,
        metadata={"topic": "numbers"},
        output_modalities=["text"],
        tool_choice="none",
    )


async def ask_raw_aside(session: Session) -> None:
    await session.send(ResponseCreate(response=ASIDE))


async def ask_aside(session: Session) -> None:
    async with session.open_response(ASIDE) as response:
        await response.wait()


@pytest.mark.parametrize("way", [ask_raw, ask_unchecked, respond, follow, ask])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_response_that_was_cut_is_asked_for_again_with_its_settings(
    way: Ask, times: int, autojump_clock: MockClock
) -> None:
    service = service_of(*times * [LONG], Reply.text("Seven."))
    async with open_lasting(service) as session, trio.open_nursery() as nursery:
        done = session.events(ResponseDone)
        await session.send_message("Count!", respond=False)
        nursery.start_soon(way, session)
        for _ in range(times):
            begun = await session.wait_for(ResponseCreated)
            await trio.sleep(2.5)
            service.drop()
            cut = (await done.receive()).response
            assert (cut.id, cut.status) == (begun.response.id, "cancelled")
        response = (await done.receive()).response
        assert response.status == "completed"
        assert response.max_output_tokens == 99
        assert response.output_modalities == ("text",)
        assert response.metadata is not None
        assert response.metadata["topic"] == "numbers"
        assert server_lines(service.server)[-1] == ("assistant", "Seven.")


@pytest.mark.parametrize("way", [ask_raw_aside, ask_aside])
async def test_a_response_beside_the_conversation_stays_beside_it(
    way: Ask, autojump_clock: MockClock
) -> None:
    service = service_of(LONG, Reply.text("Seven."))
    async with open_lasting(service) as session, trio.open_nursery() as nursery:
        done, wire = session.events(ResponseDone), session.wire()
        nursery.start_soon(way, session)
        await trio.sleep(2.5)
        service.drop()
        cut = (await done.receive()).response
        response = (await done.receive()).response
        assert (cut.status, response.status) == ("cancelled", "completed")
        assert response.conversation_id is None
        assert not service.server.items
        creates = [each.event for each in taken(wire) if isinstance(each.event, ResponseCreate)]
        first, again = creates
        assert first.event_id == again.event_id
        assert again.response is not None
        assert again.response.input == ASIDE.input
        assert again.response.conversation == "none"


async def test_a_response_of_the_applications_own_can_be_dropped(
    autojump_clock: MockClock,
) -> None:
    service = service_of(LONG, Reply.text("Seven."))
    async with open_lasting(service, Reconnect(resume="drop")) as session:
        done = session.events(ResponseDone)
        await session.send(ResponseCreate(response=SETTINGS))
        await trio.sleep(2.5)
        service.drop()
        assert (await done.receive()).response.status == "cancelled"
        await trio.sleep(60)
        assert not done.pending


async def stop_raw(session: Session, _: str) -> None:
    await session.send(ResponseCancel())


async def stop_raw_by_id(session: Session, response_id: str) -> None:
    await session.send(ResponseCancel(response_id=response_id))


async def stop(session: Session, _: str) -> None:
    await session.cancel_response()


@pytest.mark.parametrize("way", [stop_raw, stop_raw_by_id, stop])
@pytest.mark.parametrize("ask", [ask_raw, follow])
async def test_what_the_application_has_stopped_is_not_asked_for_again(
    ask: Ask, way: Callable[[Session, str], Awaitable[None]], autojump_clock: MockClock
) -> None:
    service = SimulatedService(
        Script([LONG, Reply.text("Seven.")]),
        faults=lambda number: [Fault.drop("response.done")] if number == 1 else [],
    )
    async with open_lasting(service) as session, trio.open_nursery() as nursery:
        done = session.events(ResponseDone)
        nursery.start_soon(ask, session)
        begun = await session.wait_for(ResponseCreated)
        await trio.sleep(2.5)
        await way(session, begun.response.id)
        await session.wait_for(Reconnected)
        await trio.sleep(60)
        (cut,) = taken(done)
        assert cut.response.status == "cancelled"


async def test_one_that_was_refused_is_not_asked_for_again(autojump_clock: MockClock) -> None:
    service = service_of(LONG, Reply.text("Seven."))
    async with open_lasting(service) as session:
        done = session.events(ResponseDone)
        await session.respond()
        await trio.sleep(2.5)
        # It comes too early, and the server says so.
        await session.send(ResponseCreate(response=SETTINGS))
        await wait_all_tasks_blocked()
        service.drop()
        await trio.sleep(60)
        cut, response = (each.response for each in taken(done))
        assert (cut.status, response.status) == ("cancelled", "completed")
        assert response.max_output_tokens != 99


async def test_what_is_asked_for_again_passes_the_budget(autojump_clock: MockClock) -> None:
    service = service_of(LONG, Reply.text("Seven."))
    budget = Budget(tokens=500)
    async with open_lasting(service, budget=budget) as session:
        done = session.events(ResponseDone)
        await session.send(ResponseCreate(response=ResponseConfig(instructions="Whisper.")))
        await trio.sleep(2.5)
        service.drop()
        cut, response = await done.receive(), await done.receive()
        assert cut.response.status == "cancelled"
        assert response.response.status == "completed"
        assert response.response.max_output_tokens == 500
        assert session.usage.responses == 1
