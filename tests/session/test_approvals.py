"""Decisions that calls on MCP servers wait for: each made once, or not in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._session.approvals import HostedApprovals
from realtime_trio.errors import LocalProtocolError


class Decisions:
    """Approvals within 30 seconds, and those that nobody gave in time, with the time."""

    approvals: HostedApprovals

    def __init__(self) -> None:
        self.expired: list[tuple[str, float]] = []
        self._start = trio.current_time()

    def expire(self, request_id: str) -> None:
        assert not self.waits(request_id), "whoever is told may ask again"
        self.expired.append((request_id, trio.current_time() - self._start))

    def waits(self, request_id: str) -> bool:
        try:
            self.approvals.take(request_id)
        except LocalProtocolError:
            return False
        return True


@asynccontextmanager
async def open_decisions() -> AsyncIterator[Decisions]:
    decisions = Decisions()
    async with open_service_nursery() as services:
        decisions.approvals = HostedApprovals(services, 30, decisions.expire)
        yield decisions


async def test_a_decision_that_nobody_makes_expires_once(autojump_clock: MockClock) -> None:
    async with open_decisions() as decisions:
        decisions.approvals.wait_for("a")
        await trio.sleep(10)
        decisions.approvals.wait_for("b")
        await trio.sleep(1000)
        assert decisions.expired == [("a", 30), ("b", 40)]


async def test_a_decision_is_made_once_and_does_not_expire(autojump_clock: MockClock) -> None:
    async with open_decisions() as decisions:
        decisions.approvals.wait_for("a")
        with pytest.raises(LocalProtocolError, match=r"^no call 'b' waits for approval$"):
            decisions.approvals.take("b")
        await trio.sleep(29)
        assert decisions.waits("a")
        assert not decisions.waits("a")
        await trio.sleep(1000)
        assert decisions.expired == []


async def test_a_decision_that_was_not_taken_has_all_its_time_again(
    autojump_clock: MockClock,
) -> None:
    async with open_decisions() as decisions:
        decisions.approvals.wait_for("a")
        await trio.sleep(20)
        decisions.approvals.take("a")
        decisions.approvals.wait_for("a")
        await trio.sleep(1000)
        assert decisions.expired == [("a", 50)]


async def test_a_decision_has_one_clock_however_often_it_is_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with open_decisions() as decisions:
        decisions.approvals.wait_for("a")
        await trio.sleep(10)
        decisions.approvals.wait_for("a")
        assert decisions.waits("a")
        await trio.sleep(1000)
        assert decisions.expired == []


async def test_a_decision_that_was_made_elsewhere_does_not_expire(
    autojump_clock: MockClock,
) -> None:
    async with open_decisions() as decisions:
        decisions.approvals.wait_for("a")
        decisions.approvals.wait_for("b")
        decisions.approvals.dismiss("a")
        decisions.approvals.dismiss("a")
        await trio.sleep(1000)
        assert decisions.expired == [("b", 30)]


async def test_nothing_is_decided_and_nothing_expires_after_the_end(
    autojump_clock: MockClock,
) -> None:
    async with open_decisions() as decisions:
        decisions.approvals.wait_for("a")
        decisions.approvals.wait_for("b")
        decisions.approvals.close()
        decisions.approvals.close()
        decisions.approvals.wait_for("c")
        assert [decisions.waits(request_id) for request_id in "abc"] == [False, False, False]
        await trio.sleep(1000)
        assert decisions.expired == []
