"""What is seen on the wire of sessions that have one connection after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from hosted_tools import DOCS, SERVER
from lasting_talk import client_lines, open_lasting, server_lines, taken
from simulated import SLOW
from trio.testing import MockClock

from realtime_trio.errors import ConnectionFailed
from realtime_trio.events import (
    McpListToolsCompleted,
    ResponseDone,
    SessionCreated,
    SessionUpdate,
    UserMessage,
)
from realtime_trio.lasting import Reconnect, Reconnected, SessionExpiring, SessionRenewed
from realtime_trio.recording import WireRecord, read_recording
from realtime_trio.simulator import Fault, Reply, Script, SimulatedService
from realtime_trio.testing import assert_order

COUNTING = Reply.text("One, two, three, four, five, six.", pacing=SLOW)
POLICY = Reconnect(renew_before=100.0, longest_session=1000.0)


def beginnings(records: Sequence[WireRecord]) -> list[int]:
    """Where a connection begins among the records."""
    return [at for at, each in enumerate(records) if isinstance(each.event, SessionCreated)]


async def test_while_another_one_is_opened_the_connection_goes_on_talking(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    service = SimulatedService(Script([COUNTING, Reply.text("Two.")]), expires_after=math.inf)
    path = tmp_path / "talk.jsonl"
    async with open_lasting(service, POLICY, instructions="Be brief.", record=path) as session:
        wire, events = session.wire(), session.events(SessionExpiring, SessionRenewed, ResponseDone)
        await trio.sleep(899)
        await session.send_message("Count!")
        await session.wait_for(ResponseDone)
        assert (await session.ask("And?")).text == "Two."
        kinds = [type(event) for event in taken(events)]
        assert kinds == [SessionExpiring, ResponseDone, SessionRenewed, ResponseDone]
        assert server_lines(service.server) == client_lines(session)
        records = taken(wire)
        # All of one connection, and then all of the other, though that began earlier.
        assert_order(records)
        first, second = beginnings(records)
        assert records[second].time == 900 < records[second - 1].time
        assert isinstance(records[second + 1].event, SessionUpdate)
        assert [each.time for each in records[first:second]] == sorted(
            each.time for each in records[first:second]
        )
    recorded = read_recording(path).records
    assert_order(recorded)
    assert len(beginnings(recorded)) == 2


async def test_of_a_connection_that_comes_to_nothing_nothing_is_shown(
    autojump_clock: MockClock,
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.closing(4000, "no", on="session.updated")] if number == 2 else []

    service = SimulatedService(Script([COUNTING]), faults=faults)
    async with open_lasting(service, instructions="Be brief.") as session:
        wire = session.wire()
        await session.send_message("Count!")
        await trio.sleep(1.5)
        with pytest.raises(ConnectionFailed, match="4000 no"):
            await session.restart()
        await session.wait_for(ResponseDone)
        records = taken(wire)
        assert_order(records)
        assert len(beginnings(records)) == 1


async def test_after_a_loss_every_attempt_is_shown(autojump_clock: MockClock) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop("session.updated")] if number == 2 else []

    service = SimulatedService(faults=faults)
    async with open_lasting(service, instructions="Be brief.") as session:
        wire = session.wire()
        service.drop()
        await session.wait_for(Reconnected)
        records = taken(wire)
        assert_order(records)
        assert len(beginnings(records)) == 3


@pytest.mark.parametrize("way", ["loss", "restart"])
async def test_what_the_next_server_says_besides_is_shown_in_its_order(
    way: str, autojump_clock: MockClock
) -> None:
    script = Script([Reply.text("One.")], mcp_servers=[SERVER])
    service = SimulatedService(script)
    async with open_lasting(service, tools=[DOCS]) as session:
        wire, listed = session.wire(), session.events(McpListToolsCompleted)
        assert (await session.ask("A?")).text == "One."
        if way == "loss":
            service.drop()
        else:
            await session.restart()
        await session.insert_item(UserMessage.text("Hello!"))
        assert len(taken(listed)) == 2
        records = taken(wire)
        assert_order(records)
        begun = beginnings(records)[1]
        told = [each.event.type for each in records[begun:]]
        assert told.index("mcp_list_tools.in_progress") < told.index("conversation.item.create")
