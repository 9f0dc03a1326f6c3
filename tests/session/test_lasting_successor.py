"""One further link of a session, before the session goes on with it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec
from realtime_trio._session.lasting.successor import Successor
from realtime_trio._session.link import Link
from realtime_trio.errors import ConnectionFailed
from realtime_trio.simulator import SimulatedService


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
