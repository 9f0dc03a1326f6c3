"""What the server of another connection was not told of, and what can be done to it there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from lasting_talk import client_lines, ids_of, open_lasting, server_lines, service_of
from trio.testing import MockClock

from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import ItemDeleted
from realtime_trio.errors import ServerError, SessionClosed
from realtime_trio.events import (
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    Item,
    SystemMessage,
    UserMessage,
)
from realtime_trio.history import HistoryLimit
from realtime_trio.lasting import Reconnected
from realtime_trio.simulator import Fault, Reply, SimulatedService


async def retold_in_part(session: Session, service: SimulatedService) -> list[str]:
    """Say five things, and go on with a server that is told the last two of them."""
    for number in range(5):
        await session.send_message(str(number), respond=False)
    await session.restart()
    assert server_lines(service.server) == [("user", "3"), ("user", "4")]
    return [item.id for item in session.conversation.items]


async def test_what_the_new_server_was_not_told_of_can_be_deleted(
    autojump_clock: MockClock,
) -> None:
    service = service_of()
    async with open_lasting(service, history_limit=HistoryLimit(items=2)) as session:
        first, *others = await retold_in_part(session, service)
        with session.events(ItemDeleted) as deleted:
            await session.delete_item(first)
            assert (await deleted.receive()).item.id == first
        assert ids_of(session.conversation.items) == others
        # What has gone is gone: whoever deletes it again is told so, as by any server.
        with pytest.raises(ServerError):
            await session.delete_item(first)
    with pytest.raises(SessionClosed):
        await session.delete_item(others[0])


@pytest.mark.parametrize("keep", [1, 2, 3, 4])
async def test_a_conversation_of_which_the_new_server_knows_a_part_can_be_compacted(
    keep: int, autojump_clock: MockClock
) -> None:
    async def shortly(items: Sequence[Item]) -> str:
        await trio.lowlevel.checkpoint()
        return f"{len(items)} before"

    service = service_of()
    async with open_lasting(service, history_limit=HistoryLimit(items=2)) as session:
        await retold_in_part(session, service)
        done = await session.compact(keep_items=keep, summarize=shortly)
        assert len(done.removed) == 5 - keep
        kept = [("user", str(number)) for number in range(5 - keep, 5)]
        summary = ("system", f"{5 - keep} before")
        assert client_lines(session) == [summary, *kept]
        # It still lacks what it was not told of and is kept.
        assert server_lines(service.server) == [summary, *kept[-2:]]


async def test_a_deletion_that_is_asked_for_while_a_server_is_being_told_is_made(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(latency=1.0)
    async with (
        open_lasting(service, history_limit=HistoryLimit(items=2)) as session,
        trio.open_nursery() as nursery,
    ):
        for number in range(5):
            await session.send_message(str(number), respond=False)
        await session.insert_item(UserMessage.text("5"))
        items = [*session.conversation.items]
        reconnected = session.events(Reconnected)
        told = session.wire()
        service.drop()
        while not isinstance((await told.receive()).event, ConversationItemCreate):
            pass
        for item in (items[0], items[-1]):
            nursery.start_soon(session.delete_item, item)
        await reconnected.receive()
    assert [item.text for item in session.conversation.items] == ["1", "2", "3", "4"]
    assert server_lines(service.server) == [("user", "4")]


async def test_what_one_server_lacked_the_next_may_be_told_and_is_deleted_there(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(latency=1.0)
    async with open_lasting(service, history_limit=HistoryLimit(items=2)) as session:
        first, second, third, *last = await retold_in_part(session, service)
        for item_id in last:
            await session.delete_item(item_id)
        told = session.wire()
        service.drop()
        while not isinstance((await told.receive()).event, ConversationItemCreate):
            pass
        await session.delete_item(third)
        assert ids_of(session.conversation.items) == [first, second]
        assert server_lines(service.server) == [("user", "1")]


async def test_what_a_server_says_first_stands_behind_all_that_it_was_not_told(
    autojump_clock: MockClock,
) -> None:
    service = service_of(Reply.text("Here."))
    async with open_lasting(service, history_limit=HistoryLimit(items=0)) as session:
        await session.send_message("Hello", respond=False)
        await session.restart()
        assert (await session.ask()).text == "Here."
        await session.insert_item(SystemMessage.text("Be brief."), previous_item_id="root")
        assert client_lines(session)[-1] == ("assistant", "Here.")
        assert server_lines(service.server) == [("system", "Be brief."), ("assistant", "Here.")]
        theirs = ids_of(service.server.items)
        ours = ids_of(session.conversation.items)
        assert [item_id for item_id in ours if item_id in theirs] == theirs


def service_that_confirms_nothing_at_first() -> SimulatedService:
    return SimulatedService(
        faults=lambda number: [Fault.drop("conversation.item.added")] if number == 1 else []
    )


async def test_an_item_of_the_applications_own_events_is_told_again_also_without_an_id(
    autojump_clock: MockClock,
) -> None:
    service = service_that_confirms_nothing_at_first()
    async with open_lasting(service) as session:
        await session.send(ConversationItemCreate(item=UserMessage.text("Hello!")))
        await session.wait_for(Reconnected)
        await trio.sleep(1)
        assert server_lines(service.server) == client_lines(session) == [("user", "Hello!")]


async def test_a_call_that_nobody_has_confirmed_is_there_before_its_output(
    autojump_clock: MockClock,
) -> None:
    service = service_that_confirms_nothing_at_first()
    async with open_lasting(service) as session:
        call = FunctionCall(name="switch", call_id="call_1", arguments="{}")
        await session.send(ConversationItemCreate(item=call))
        output = FunctionCallOutput(call_id="call_1", output="on")
        await session.send(ConversationItemCreate(item=output))
        assert not (await session.wait_for(Reconnected)).lost
        await trio.sleep(1)
        assert client_lines(session) == [("call", "switch {}"), ("output", "on")]
        assert server_lines(service.server) == client_lines(session)
