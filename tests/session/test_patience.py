"""The clock of a reply that waits for the user to finish speaking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from turn_events import CLEARED, SPEECH_STARTED, acknowledged, feed, with_call_under_way

from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._session.patience import Patience
from realtime_trio.events import ServerVad


class Waiting:
    """A reply that is withheld, and when the user was given up, in seconds from the beginning."""

    patience: Patience

    def __init__(self) -> None:
        self.turns, _ = with_call_under_way(ServerVad())
        self.withhold()
        self.turns.call_answered("c")
        feed(self.turns, [acknowledged("c")])
        assert self.turns.is_withholding
        self.given_up: list[float] = []
        self._start = trio.current_time()

    def withhold(self) -> None:
        feed(self.turns, [SPEECH_STARTED])

    def stop_waiting(self) -> None:
        # Without telling the turns: a second clock would say it as well.
        self.given_up.append(trio.current_time() - self._start)


@asynccontextmanager
async def open_waiting() -> AsyncIterator[Waiting]:
    waiting = Waiting()
    async with open_service_nursery() as services:
        waiting.patience = Patience(waiting.turns, services, waiting.stop_waiting)
        yield waiting


async def test_without_audio_the_user_is_waited_for_two_minutes(
    autojump_clock: MockClock,
) -> None:
    async with open_waiting() as waiting:
        waiting.patience.look()
        await trio.sleep(1000)
        assert waiting.given_up == [120]


async def test_audio_that_stops_is_waited_for_five_seconds(autojump_clock: MockClock) -> None:
    async with open_waiting() as waiting:
        waiting.patience.heard_audio()
        await trio.sleep(2)
        waiting.patience.look()
        await trio.sleep(1)
        waiting.patience.heard_audio()
        await trio.sleep(1000)
        assert waiting.given_up == [8]


async def test_audio_that_does_not_stop_is_waited_for_two_minutes(
    autojump_clock: MockClock,
) -> None:
    async with open_waiting() as waiting:
        waiting.patience.heard_audio()
        waiting.patience.look()
        for _ in range(130):
            await trio.sleep(1)
            waiting.patience.heard_audio()
        assert waiting.given_up == [120]


async def test_one_clock_runs_however_often_it_is_looked_at(autojump_clock: MockClock) -> None:
    async with open_waiting() as waiting:
        for _ in range(3):
            waiting.patience.look()
            await wait_all_tasks_blocked()
        await trio.sleep(1000)
        assert waiting.given_up == [120]


async def test_every_reply_that_is_withheld_is_watched(autojump_clock: MockClock) -> None:
    async with open_waiting() as waiting:
        waiting.patience.look()
        await trio.sleep(130)
        waiting.patience.look()
        await trio.sleep(1000)
        assert waiting.given_up == [120, 250]


async def test_a_reply_that_is_given_needs_no_waiting(autojump_clock: MockClock) -> None:
    async with open_waiting() as waiting:
        waiting.patience.look()
        await trio.sleep(10)
        feed(waiting.turns, [CLEARED])
        waiting.patience.look()
        await trio.sleep(1000)
        assert waiting.given_up == []
