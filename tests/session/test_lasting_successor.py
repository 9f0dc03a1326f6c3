"""One further link of a session, before the session goes on with it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from lasting_talk import open_lasting, service_of
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec
from realtime_trio._session.lasting.successor import Successor
from realtime_trio._session.link import Link
from realtime_trio.errors import ConnectionFailed
from realtime_trio.events import Item, UserMessage
from realtime_trio.history import HistoryLimit
from realtime_trio.simulator import Reply, SimulatedService


def is_not_on_record(*_: object) -> None:
    pass


def is_not_taken_over(_: Link) -> None:
    pytest.fail("nobody has gone on with it")


async def test_one_that_has_ended_is_found_out_also_if_there_is_nothing_to_tell_it() -> None:
    service = SimulatedService()
    successor = Successor(service.open, Codec(), is_not_on_record, chosen_model=None, is_shown=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(successor.run, is_not_taken_over)
        await successor.configure(None)
        await successor.tell((), lambda: None)
        service.drop()
        await wait_all_tasks_blocked()
        with pytest.raises(ConnectionFailed, match="closed the new connection: 1006"):
            await successor.tell((), lambda: None)


async def test_a_session_does_not_go_on_with_one_that_ends_before_it_turns_out_what_to_tell(
    autojump_clock: MockClock,
) -> None:
    service = service_of(Reply.text("Here."))

    async def shortly(_: Sequence[Item]) -> str:
        if len(service.servers) == 2:
            service.drop()
        await wait_all_tasks_blocked()
        return ""

    limit = HistoryLimit(items=0, summarize=shortly)
    async with open_lasting(service, history_limit=limit) as session:
        await session.insert_item(UserMessage.text("Hello"))
        service.drop()
        with trio.fail_after(60):
            assert (await session.ask()).text == "Here."
        assert len(service.servers) == 3
