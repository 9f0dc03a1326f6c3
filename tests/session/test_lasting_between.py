"""The connection that was to take over has broken: the session is between two, and not over."""

from __future__ import annotations

import trio
from lasting_talk import client_lines, open_lasting, server_lines
from trio.testing import MockClock

from realtime_trio import ToolContext, tool
from realtime_trio.lasting import Reconnect, Reconnecting
from realtime_trio.simulator import Fault, Reply, Script, SimulatedService

PATIENT = Reconnect(delay=30, longest_delay=30)
"""Leaves time between two attempts."""


def service_of_one_that_breaks(*replies: Reply) -> SimulatedService:
    """A service whose second connection breaks while it is told the conversation."""
    return SimulatedService(
        Script(replies),
        faults=lambda number: [Fault.drop("conversation.item.added")] if number == 2 else [],
    )


async def test_an_output_that_comes_then_is_replied_to(autojump_clock: MockClock) -> None:
    @tool
    async def look(context: ToolContext) -> str:
        """Look outside."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(context.session.restart)
            await context.session.wait_for(Reconnecting)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        return "It rains."

    service = service_of_one_that_breaks(Reply.call("look"), Reply.text("Take an umbrella."))
    async with open_lasting(service, PATIENT, tools=[look]) as session:
        with trio.fail_after(300):
            assert (await session.ask("How is it outside?")).text == "Take an umbrella."
        assert len(service.servers) == 3
        assert client_lines(session) == server_lines(service.server)
