"""How a session ends: by the server, by the network, by leaving the block or cancelling it."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import pytest
import trio
from peers import (
    Leaves,
    Server,
    Updates,
    committed,
    created,
    delete,
    deleted,
    drain,
    fill,
    instructions_of,
    memory_server,
    open_pair,
    updated,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._transport.contract import Close, Transport
from realtime_trio.errors import (
    ConnectionLost,
    SessionClosed,
)
from realtime_trio.events import (
    Event,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    SessionUpdate,
)

# The other side ends it


async def test_after_a_clean_close_streams_drain_and_end_and_the_block_carries_on(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        early = session.events(InputAudioBufferCommitted)
        wire = session.wire()
        await server.say(committed(1), committed(2))
        await server.transport.aclose(1000, "goodbye")
        await wait_all_tasks_blocked()
        assert session.closed == Close(1000, "goodbye")
        assert await drain(early) == [committed(1), committed(2)]
        assert await drain(early) == []
        assert len([record async for record in wire]) == 3
        with pytest.raises(SessionClosed):
            await early.receive()
        assert await drain(session.events()) == []
        with pytest.raises(SessionClosed):
            await session.send(InputAudioBufferClear())
        with pytest.raises(SessionClosed):
            await session.send_raw({})
        with pytest.raises(SessionClosed):
            await session.update(instructions="too late")
        with pytest.raises(SessionClosed):
            await session.wait_for(InputAudioBufferCommitted)
    assert session.closed == Close(1000, "goodbye")
    assert session.config.instructions == "as you like"


async def test_what_nobody_has_looked_at_is_still_there_after_a_clean_close(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        await server.say(committed(1))
        await server.transport.aclose()
    assert [event.type for event in await drain(session.events())] == [
        "session.created",
        "input_audio_buffer.committed",
    ]


async def test_sends_and_updates_that_wait_when_the_server_closes_are_told(
    autojump_clock: MockClock,
) -> None:
    async with open_pair(network=1) as (session, server):
        await fill(session)
        refused: list[str] = []

        async def refuse(name: str, call: Callable[[], Awaitable[object]]) -> None:
            await trio.lowlevel.checkpoint()
            with pytest.raises(SessionClosed):
                await call()
            refused.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse, "send", lambda: session.send(InputAudioBufferClear()))
            nursery.start_soon(refuse, "send_raw", lambda: session.send_raw({}))
            nursery.start_soon(refuse, "update", lambda: session.update(instructions="x"))
            nursery.start_soon(
                refuse, "wait_for", lambda: session.wait_for(InputAudioBufferCleared)
            )
            await wait_all_tasks_blocked()
            await server.transport.aclose()
        assert sorted(refused) == ["send", "send_raw", "update", "wait_for"]


async def sleep_forever(_: Session) -> None:
    await trio.sleep_forever()


WAYS_TO_WAIT: dict[str, Callable[[Session], Awaitable[object]]] = {
    "sleeping": sleep_forever,
    "iterating": lambda session: drain(session.events(InputAudioBufferCleared)),
    "wait_for": lambda session: session.wait_for(InputAudioBufferCleared),
    "update": lambda session: session.update(instructions="x"),
    "send": lambda session: session.send(InputAudioBufferClear()),
    "send_raw": lambda session: session.send_raw({}),
}


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
@pytest.mark.parametrize("network", ["free", "jammed"])
async def test_a_connection_lost_while_the_block_waits_leaves_it_bare(
    way: str, network: str, autojump_clock: MockClock
) -> None:
    is_jammed = network == "jammed"
    with Leaves(ConnectionLost) as caught:
        async with (
            open_pair(network=1 if is_jammed else 1000) as (session, server),
            trio.open_nursery() as nursery,
        ):
            if is_jammed:
                await fill(session)

            async def lose() -> None:
                await wait_all_tasks_blocked()
                server.drop("the network is down")

            nursery.start_soon(lose)
            while True:
                await WAYS_TO_WAIT[way](session)
    assert (caught.value.code, caught.value.reason) == (1006, "the network is down")
    assert (
        caught.value.__cause__,
        caught.value.__context__,
        getattr(caught.value, "__notes__", []),
    ) == (None, None, [])
    assert session.closed == Close(1006, "the network is down")
    assert session.config.instructions == "as you like"


@pytest.mark.parametrize("code", [1001, 1008, 1009, 1011, 3000, 4000])
async def test_any_other_close_is_a_loss(code: int, autojump_clock: MockClock) -> None:
    with Leaves(ConnectionLost) as caught:
        async with open_pair() as (_, server):
            await server.transport.aclose(code, "because")
            await trio.sleep_forever()
    assert (caught.value.code, caught.value.reason) == (code, "because")


async def test_a_loss_is_told_to_tasks_around_the_block_as_the_end_of_the_session(
    autojump_clock: MockClock,
) -> None:
    outcomes: list[object] = []

    async def consume(stream: EventStream[Event]) -> None:
        outcomes.append(len(await drain(stream)))

    async with trio.open_nursery() as nursery:
        with Leaves(ConnectionLost):
            async with open_pair() as (session, server):
                updates = Updates(session, nursery)
                nursery.start_soon(consume, session.events())
                await updates.start("one")
                await wait_all_tasks_blocked()
                server.drop()
                await trio.sleep_forever()
    assert updates.outcomes == {"one": "SessionClosed"}
    assert outcomes == [1]


async def test_what_the_block_raises_wins_over_the_loss_which_becomes_a_note(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("mine")
    with Leaves(ValueError, match="mine") as caught:
        async with open_pair() as (_, server):
            await server.transport.aclose(1011)
            try:
                await trio.sleep_forever()
            finally:
                raise error
    assert caught.value is error
    assert error.__notes__ == ["meanwhile ConnectionLost: connection lost: 1011"]


async def test_ctrl_c_wins_over_the_loss(autojump_clock: MockClock) -> None:
    with Leaves(KeyboardInterrupt):
        async with open_pair() as (_, server):
            await server.transport.aclose(1011)
            try:
                await trio.sleep_forever()
            finally:
                raise KeyboardInterrupt


class Interrupted:
    """A transport during whose first lively `receive` somebody presses Ctrl-C."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.send, self.send_nowait = inner.send, inner.send_nowait
        self.aclose = inner.aclose

    @property
    def closed(self) -> Close | None:
        return self._inner.closed

    async def receive(self) -> tuple[str | bytes, ...]:
        batch = await self._inner.receive()
        if any("input_audio_buffer" in str(message) for message in batch):
            signal.raise_signal(signal.SIGINT)
        return batch


async def test_ctrl_c_in_a_task_of_ours_leaves_the_block_bare(autojump_clock: MockClock) -> None:
    near, server = memory_server()
    await server.say(created())
    with Leaves(KeyboardInterrupt) as caught:
        async with open_session(transport=Interrupted(near)):
            await server.say(committed(1))
            await trio.sleep_forever()
    assert (caught.value.__cause__, getattr(caught.value, "__notes__", [])) == (None, [])
    assert near.closed is not None


# Leaving


async def test_leaving_writes_what_was_sent_and_says_goodbye(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        for number in range(20):
            await session.send(delete(number))
    assert deleted(await server.hear_the_rest()) == list(range(20))
    assert server.transport.closed == session.closed == Close(1000)


async def test_leaving_waits_for_a_slow_network(autojump_clock: MockClock) -> None:
    heard: list[Event] = []

    async def serve(server: Server) -> None:
        await trio.sleep(1)
        heard.extend(await server.hear_the_rest())

    async with trio.open_nursery() as nursery, open_pair(network=1) as (session, server):
        sent = await fill(session)
        nursery.start_soon(serve, server)
    assert deleted(heard) == list(range(sent))
    assert session.closed == Close(1000)


async def test_leaving_does_not_wait_for_a_jammed_network_beyond_the_close_timeout(
    autojump_clock: MockClock,
) -> None:
    start = trio.current_time()
    async with open_pair(network=1, close_timeout=3) as (session, server):
        await fill(session)
    assert trio.current_time() - start == 3
    assert deleted(await server.hear_the_rest()) == [0]


async def test_a_loss_while_leaving_is_told_because_something_was_not_written(
    autojump_clock: MockClock,
) -> None:
    async def lose(server: Server) -> None:
        await trio.sleep(1)
        server.drop()

    async with trio.open_nursery() as nursery:
        with Leaves(ConnectionLost):
            async with open_pair(network=1) as (session, server):
                await fill(session)
                nursery.start_soon(lose, server)


async def test_leaving_by_an_exception_writes_nothing_more_and_keeps_the_exception(
    autojump_clock: MockClock,
) -> None:
    start = trio.current_time()
    error = ValueError("mine")
    with Leaves(ValueError, match="mine") as caught:
        async with open_pair(network=1) as (session, server):
            await fill(session)
            raise error
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert trio.current_time() == start
    assert deleted(await server.hear_the_rest()) == [0]


@pytest.mark.parametrize("ending", ["in a checkpoint", "without one"])
async def test_leaving_by_a_cancellation_writes_nothing_more_and_takes_no_time(
    ending: str, autojump_clock: MockClock
) -> None:
    start = trio.current_time()
    with trio.CancelScope() as scope:
        async with open_pair(network=1) as (session, server):
            await fill(session)
            scope.cancel()
            if ending == "in a checkpoint":
                await trio.sleep_forever()
    assert scope.cancelled_caught == (ending == "in a checkpoint")
    assert trio.current_time() == start
    assert deleted(await server.hear_the_rest()) == [0]


async def test_a_group_from_a_nursery_of_the_block_leaves_unchanged(
    autojump_clock: MockClock,
) -> None:
    groups: list[BaseExceptionGroup[BaseException]] = []

    async def fail(error: Exception) -> None:
        await (
            trio.lowlevel.cancel_shielded_checkpoint()
        )  # nobody is cancelled before everybody has failed
        raise error

    errors = [ValueError("one"), KeyError("two")]
    with Leaves(ExceptionGroup) as caught:
        async with open_pair():
            try:
                async with trio.open_nursery() as nursery:
                    for error in errors:
                        nursery.start_soon(fail, error)
            except BaseExceptionGroup as group:
                groups.append(group)
                raise
    assert [caught.value] == groups
    assert sorted(map(str, caught.value.exceptions)) == sorted(map(str, errors))


async def test_sends_that_wait_when_the_block_is_left_are_told(autojump_clock: MockClock) -> None:
    async def send(session: Session) -> None:
        with pytest.raises(SessionClosed):
            await session.send(InputAudioBufferClear())

    async with trio.open_nursery() as nursery, open_pair(network=1) as (session, _):
        await fill(session)
        nursery.start_soon(send, session)
        await wait_all_tasks_blocked()
    with pytest.raises(SessionClosed):
        await session.send(InputAudioBufferClear())


# Cancelling

CALLS: dict[str, Callable[[Session], Awaitable[object]]] = {
    **{name: call for name, call in WAYS_TO_WAIT.items() if name != "sleeping"},
    "wire": lambda session: session.wire().receive(),
    "receive": lambda session: session.events(InputAudioBufferCleared).receive(),
}


async def check_session_works(session: Session, server: Server) -> None:
    """Nothing unexpected is under way, in either direction, and nobody waits in vain."""
    await session.send(InputAudioBufferCommit())
    await server.hear(InputAudioBufferCommit)
    async with trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        await updates.start("last")
        assert instructions_of(await server.hear(SessionUpdate)) == "last"
        await server.say(updated("last"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"last": "last"}
    with session.events(InputAudioBufferCommitted) as stream:
        await server.say(committed(1))
        assert (await stream.receive()).item_id == "item_1"


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_cancelled_at_its_first_checkpoint_has_done_nothing(
    name: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        with trio.CancelScope() as scope:
            scope.cancel()
            await CALLS[name](session)
        assert scope.cancelled_caught
        await check_session_works(session, server)


@pytest.mark.parametrize("name", ["iterating", "wait_for", "receive"])
async def test_a_call_cancelled_while_it_waits_has_done_nothing(
    name: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        with trio.move_on_after(1) as scope:
            await CALLS[name](session)
        assert scope.cancelled_caught
        await check_session_works(session, server)
