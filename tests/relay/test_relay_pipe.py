"""What is sent to one side: in order, at once where it goes, and bounded where it does not."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._transport.contract import Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.relay.pipe import ROOM, Pipe


async def read_all(transport: Transport) -> None:
    await trio.lowlevel.checkpoint()
    while await transport.receive():
        pass


async def test_what_the_network_takes_goes_at_once_and_without_a_task() -> None:
    near, far = memory_transport_pair()
    async with open_service_nursery() as services:
        pipe = Pipe(near, services)
        pipe.post("a")
        pipe.post("b")
        assert await far.receive() == ("a", "b")
        await pipe.wait_for_room()
        await pipe.wait_written()


async def test_what_it_does_not_take_follows_in_order() -> None:
    near, far = memory_transport_pair(capacity=2)
    heard: list[str | bytes] = []
    async with open_service_nursery() as services:
        pipe = Pipe(near, services)
        for number in range(10):
            pipe.post(str(number))
        while len(heard) < 10:
            heard += await far.receive()
        pipe.post("10")
        assert await far.receive() == ("10",)
    assert heard == [str(number) for number in range(10)]


async def test_whoever_has_too_much_waits_until_there_is_room(autojump_clock: MockClock) -> None:
    near, far = memory_transport_pair(capacity=1)
    async with open_service_nursery() as services:
        pipe = Pipe(near, services)
        pipe.post("a")
        pipe.post("x" * ROOM)
        assert not pipe.has_room
        waited = trio.Event()

        async def wait() -> None:
            await pipe.wait_for_room()
            waited.set()

        services.start_soon(wait)
        await trio.sleep(1)
        assert not waited.is_set()
        await far.receive()
        await waited.wait()
        assert pipe.has_room


async def test_it_can_be_waited_for_that_everything_is_written(autojump_clock: MockClock) -> None:
    near, far = memory_transport_pair(capacity=1)
    async with open_service_nursery() as services:
        pipe = Pipe(near, services)
        for text in "abc":
            pipe.post(text)
        with trio.move_on_after(1) as patience:
            await pipe.wait_written()
        assert patience.cancelled_caught
        services.start_soon(read_all, far)
        await pipe.wait_written()


async def test_nothing_waits_for_a_connection_that_has_ended(autojump_clock: MockClock) -> None:
    near, far = memory_transport_pair(capacity=1)
    async with open_service_nursery() as services:
        pipe = Pipe(near, services)
        for text in ("a", "b", "x" * ROOM):
            pipe.post(text)
        await wait_all_tasks_blocked()
        await far.aclose()
        with trio.fail_after(5):
            await pipe.wait_for_room()
            await pipe.wait_written()
        pipe.post("too late")
        await pipe.wait_written()
        assert pipe.has_room
