"""A long conversation takes a while to tell: patience is about one item, not about all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import pytest
import trio
from lasting_talk import open_lasting, server_lines
from trio.testing import MockClock

from realtime_trio.errors import ConnectionLost
from realtime_trio.events import UserMessage
from realtime_trio.lasting import Reconnect, Reconnected, Reconnecting
from realtime_trio.simulator import Fault, Script, SimulatedService

MESSAGES: Final = 150
SECONDS: Final = 10.0
"""Those that a connection may take, by default."""


def slow_service(seconds: float) -> SimulatedService:
    """After its first connection, it says whatever it says of an item so late."""

    def faults(number: int) -> Iterator[Fault]:
        if number > 1:
            yield Fault.delay(seconds, on="conversation.item", times=math.inf)

    return SimulatedService(Script([]), faults=faults)


async def test_a_long_conversation_may_take_longer_than_a_connection(
    autojump_clock: MockClock,
) -> None:
    service = slow_service(0.1)
    async with open_lasting(service) as session:
        for number in range(MESSAGES):
            await session.insert_item(UserMessage.text(f"Number {number}"))
        began = trio.current_time()
        service.drop()
        reconnected = await session.wait_for(Reconnected)
        assert not reconnected.lost
        assert trio.current_time() - began > SECONDS
        assert len(server_lines(service.server)) == MESSAGES


async def test_who_says_nothing_of_an_item_for_too_long_is_given_up(
    autojump_clock: MockClock,
) -> None:
    service = slow_service(SECONDS + 1)
    why = None
    with pytest.raises(ConnectionLost) as caught:  # noqa: PT012 - it ends the session
        async with open_lasting(service, Reconnect(attempts=2)) as session:
            await session.send_message("Hello!", respond=False)
            service.drop()
            async for event in session.events(Reconnecting):
                why = event.why
    assert why is not None
    assert why == "the service did not take the conversation: nothing happened for 10 s"
    assert f"attempt 2: {why}" in "\n".join(caught.value.__notes__)


async def test_telling_ends_when_it_is_time_to_give_up(autojump_clock: MockClock) -> None:
    service = slow_service(1.0)
    began = trio.current_time()
    with pytest.raises(ConnectionLost) as caught:  # noqa: PT012 - it ends the session
        async with open_lasting(service, Reconnect(give_up_after=30.0)) as session:
            for number in range(MESSAGES):
                await session.insert_item(UserMessage.text(f"Number {number}"))
            began = trio.current_time()
            service.drop()
            await trio.sleep_forever()
    assert trio.current_time() - began == pytest.approx(30, abs=1)
    assert "no time left to tell the service the conversation" in "\n".join(caught.value.__notes__)
