"""Losses before the block is entered: the first connection is tried once, what has begun lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from lasting_talk import client_lines, server_lines, taken
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.opening import open_session
from realtime_trio._transport.contract import Transport
from realtime_trio.errors import ConnectionFailed, ConnectionLost
from realtime_trio.events import JsonObject
from realtime_trio.lasting import Reconnect, Reconnected
from realtime_trio.simulator import Fault, Reply, Script, SimulatedService

HISTORY: Final[list[JsonObject]] = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Lights on!"}]},
    {"type": "function_call", "name": "switch", "call_id": "call_1", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "on"},
]
LINES: Final = [("user", "Lights on!"), ("call", "switch {}"), ("output", "on")]
MESSAGES: Final = 2 * len(HISTORY)
"""What a server says of a history."""


def service_that_drops(nth: int) -> SimulatedService:
    """A service whose first connection breaks at its nth message."""
    return SimulatedService(
        Script([Reply.text("They are on.")]),
        faults=lambda number: [Fault.drop(nth=nth)] if number == 1 else [],
    )


async def test_a_connection_that_ends_right_behind_its_greeting_is_replaced(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(Script([Reply.text("Hello.")]))

    @asynccontextmanager
    async def dial() -> AsyncIterator[Transport]:
        async with service.open() as transport:
            if len(service.servers) == 1:
                await wait_all_tasks_blocked()
                service.drop()
            yield transport

    async with open_session(transport=dial, reconnect=Reconnect()) as session:
        assert (await session.ask("Hello!")).text == "Hello."
        assert len(service.servers) == 2


@pytest.mark.parametrize("nth", range(MESSAGES))
async def test_a_history_is_told_wherever_the_connection_breaks(
    nth: int, autojump_clock: MockClock
) -> None:
    # The greeting and the configuration come before.
    service = service_that_drops(3 + nth)
    async with open_session(
        transport=service.open, reconnect=Reconnect(), history=HISTORY, instructions="Be brief."
    ) as session:
        events = session.events(Reconnected)
        assert (await session.ask()).text == "They are on."
        assert client_lines(session) == server_lines(service.server)
        assert client_lines(session)[:-1] == LINES
        assert session.config.instructions == "Be brief."
        assert session.omissions == ()
        (reconnected,) = taken(events)
        assert not reconnected.lost


@pytest.mark.parametrize("nth", [1, 2])
async def test_what_has_not_begun_is_not_tried_again(nth: int, autojump_clock: MockClock) -> None:
    service = service_that_drops(nth)
    with pytest.raises(ConnectionFailed, match="the service closed the connection: 1006"):
        async with open_session(
            transport=service.open, reconnect=Reconnect(), instructions="Be brief."
        ):
            raise AssertionError
    assert len(service.servers) == 1


async def test_a_history_that_no_server_can_be_told_is_a_loss(autojump_clock: MockClock) -> None:
    service = service_that_drops(3)

    @asynccontextmanager
    async def dial() -> AsyncIterator[Transport]:
        async with service.open() as transport:
            service.refuse(None, None)
            yield transport

    with pytest.raises(ConnectionLost) as caught:
        async with open_session(transport=dial, reconnect=Reconnect(attempts=2), history=HISTORY):
            raise AssertionError
    assert "2 attempts are allowed" in caught.value.__notes__[-1]
