"""Leaving a connection's block: a goodbye that is waited for, or one that is not."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from peers import Leaves
from trio.testing import MockClock

from realtime_trio._transport.closing import closing


class SlowToClose:
    """A transport, as far as this is concerned: to close it takes two seconds."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.is_done = False

    async def aclose(self, code: int, reason: str = "") -> None:
        self.codes.append(code)
        await trio.sleep(2)
        self.is_done = True


async def test_a_block_that_returns_waits_for_the_goodbye(autojump_clock: MockClock) -> None:
    transport: Any = SlowToClose()
    start = trio.current_time()
    async with closing(transport):
        assert transport.codes == []
    assert (transport.codes, transport.is_done) == ([1000], True)
    assert trio.current_time() == start + 2


async def test_a_block_that_returns_as_it_is_cancelled_waits_for_the_goodbye(
    autojump_clock: MockClock,
) -> None:
    transport: Any = SlowToClose()
    with trio.CancelScope() as scope:
        async with closing(transport):
            scope.cancel()
        assert (transport.codes, transport.is_done) == ([1000], True)
    assert not scope.cancelled_caught


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_an_exception_is_not_held_up_and_leaves_as_it_is(
    is_cancelled: bool, autojump_clock: MockClock
) -> None:
    transport: Any = SlowToClose()
    start = trio.current_time()
    error = ValueError()
    scope = trio.CancelScope()
    if is_cancelled:
        scope.cancel()
    with scope, Leaves(ValueError) as left:
        async with closing(transport):
            raise error
    assert left.value is error
    assert (transport.codes, transport.is_done) == ([1001], False)
    assert trio.current_time() == start


async def test_a_cancellation_is_not_held_up(autojump_clock: MockClock) -> None:
    transport: Any = SlowToClose()
    start = trio.current_time()
    with trio.move_on_after(1) as scope:
        async with closing(transport):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert (transport.codes, transport.is_done) == ([1001], False)
    assert trio.current_time() == start + 1
