"""Lists of the tools on MCP servers: every connection makes its own."""

from __future__ import annotations

import pytest
import trio
from hosted_tools import DOCS, SERVER
from lasting_talk import client_lines, ids_of, open_lasting, server_lines, taken
from trio.testing import MockClock

from realtime_trio._state.utility_events import ItemDeleted, McpToolsListed
from realtime_trio.events import UserMessage
from realtime_trio.lasting import Reconnected
from realtime_trio.simulator import Fault, Script, SimulatedService

SCRIPT = Script([], mcp_servers=[SERVER])


@pytest.mark.parametrize("way", ["loss", "restart"])
async def test_a_list_of_tools_goes_with_its_connection(
    way: str, autojump_clock: MockClock
) -> None:
    service = SimulatedService(SCRIPT)
    async with open_lasting(service, tools=[DOCS]) as session:
        events = session.events(ItemDeleted, McpToolsListed, Reconnected)
        await events.receive()
        (first,) = session.conversation.items
        for _ in range(3):
            if way == "loss":
                service.drop()
            else:
                await session.restart()
            await trio.sleep(10)
            deleted, reconnected, listed = taken(events)
            assert isinstance(deleted, ItemDeleted)
            assert deleted.item.id == first.id
            assert isinstance(reconnected, Reconnected)
            # It is not lost: the tools are there again.
            assert not reconnected.lost
            assert isinstance(listed, McpToolsListed)
            (first,) = session.conversation.items
            assert ids_of(service.server.items) == [first.id]


async def test_a_list_whose_deletion_nobody_has_confirmed_is_deleted_once(
    autojump_clock: MockClock,
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop("conversation.item.deleted")] if number == 1 else []

    service = SimulatedService(SCRIPT, faults=faults)
    async with open_lasting(service, tools=[DOCS]) as session:
        await session.wait_for(McpToolsListed)
        events = session.events(ItemDeleted)
        await session.delete_item(session.conversation.items[0])
        await session.insert_item(UserMessage.text("Hello!"))
        assert len(taken(events)) == 1
        assert client_lines(session) == [("mcp_list_tools", ""), ("user", "Hello!")]
        assert client_lines(session) == server_lines(service.server)
