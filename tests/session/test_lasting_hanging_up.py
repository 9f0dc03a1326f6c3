"""Sessions that end by themselves, with whatever connection there is."""

from __future__ import annotations

import pytest
import trio
from lasting_talk import open_lasting, service_of, taken
from simulated import SLOW
from trio.testing import MockClock

from realtime_trio._transport.contract import Close
from realtime_trio.errors import SessionClosed
from realtime_trio.events import ResponseDone
from realtime_trio.lasting import Reconnect, Reconnecting, SessionExpiring
from realtime_trio.money import Budget, HangingUp
from realtime_trio.simulator import Reply, SimulatedService


async def test_a_goodbye_that_is_cut_is_said_again(autojump_clock: MockClock) -> None:
    service = service_of(
        Reply.text("Goodbye, my dear old friend.", pacing=SLOW), Reply.text("Bye.")
    )
    budget = Budget(seconds=20, when_spent="goodbye")
    async with open_lasting(service, budget=budget) as session:
        done = session.events(ResponseDone)
        await session.wait_for(HangingUp)
        await trio.sleep(3)
        service.drop()
        async for _ in session.events(Reconnecting):
            pass
        assert [event.response.status for event in taken(done)] == ["cancelled", "completed"]
        assert session.conversation.items[-1].transcript == "Bye."
        assert session.closed == Close(1000)
        assert trio.current_time() < 30


@pytest.mark.parametrize("why", ["idle", "budget"])
async def test_who_hangs_up_while_there_is_no_connection_needs_none(
    why: str, autojump_clock: MockClock
) -> None:
    service = SimulatedService()
    budget = Budget(seconds=10, when_spent="close") if why == "budget" else None
    idle_timeout = 10 if why == "idle" else None
    async with open_lasting(service, budget=budget, idle_timeout=idle_timeout) as session:
        events = session.events(HangingUp)
        service.refuse(*[None] * 7)
        service.drop()
        assert (await events.receive()).reason == why
        with pytest.raises(SessionClosed):
            await events.receive()
        # What was sent, here about turn detection, is given `close_timeout` to be written.
        assert trio.current_time() == (12 if why == "budget" else 10)
        with pytest.raises(SessionClosed):
            await session.ask("Hello?")
        # The block goes on, and nothing is opened in it any more.
        await trio.sleep(10_000)
        assert len(service.servers) == 1
        assert session.closed == Close(1006, "the connection dropped")


async def test_who_hangs_up_while_another_connection_is_opened_needs_none(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(expires_after=float("inf"), latency=5.0)
    policy = Reconnect(renew_before=100.0, longest_session=1000.0)
    async with open_lasting(
        service, policy, budget=Budget(seconds=902, when_spent="close")
    ) as session:
        expiring = session.events(SessionExpiring)
        await session.wait_for(HangingUp)
        assert expiring.pending == 1
        await trio.sleep(10_000)
        assert session.closed == Close(1000)
        assert len(service.servers) == 1
