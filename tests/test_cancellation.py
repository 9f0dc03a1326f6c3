"""Cancelled after any single step of any task, a life with a session ends in order.

That is: at once, and with nothing left.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
import trio
from peers import (
    CancelAt,
    Server,
    cancel_at_every_step,
    committed,
    created,
    memory_server,
    open_server,
    sockets,
    tasks,
    updated,
)
from trio.testing import MockClock

from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.connection import Connection, open_connection
from realtime_trio.errors import ConnectionLost
from realtime_trio.events import (
    Event,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    SessionConfig,
    SessionUpdate,
)


async def life_of_a_session(scope: trio.CancelScope, canceller: CancelAt) -> bool:
    """Everything a session can do, with a cancellation somewhere; whether the end was reached."""
    near, server = memory_server(capacity=1)
    seen: list[str] = []

    async def serve() -> None:
        await trio.lowlevel.checkpoint()
        try:
            await server.say(created())
            while True:
                match await server.hear(Event):
                    case SessionUpdate(session=SessionConfig(instructions=str(instructions))):
                        await server.say(updated(instructions))
                    case _:
                        await server.say(committed(1))
        except (AssertionError, ConnectionLost):
            seen.append("end")

    async def consume(session: Session) -> None:
        seen.extend([event.type async for event in session.events()])

    is_done = False
    start = trio.current_time()
    with trio.fail_after(60):
        async with trio.open_nursery() as outer:
            outer.start_soon(serve)
            with scope:
                canceller.scope = scope
                async with (
                    open_session(transport=near, instructions="be brief") as session,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(consume, session)
                    await session.send(InputAudioBufferCommit())
                    await session.wait_for(InputAudioBufferCommitted)
                    await session.update(instructions="be quick")
                    await session.send_raw({"type": "input_audio_buffer.commit"})
                    with session.wire() as wire:
                        await wire.receive()
                    nursery.cancel_scope.cancel()
                is_done = True
    assert trio.current_time() == start
    assert near.closed is not None
    assert "end" in seen
    return is_done


def test_a_session_may_be_cancelled_at_every_single_step() -> None:
    cancel_at_every_step(
        life_of_a_session, at_least=50, clock=partial(MockClock, autojump_threshold=0)
    )


async def life_on_a_network(
    open_: Callable[..., AbstractAsyncContextManager[Session | Connection]],
    scope: trio.CancelScope,
    canceller: CancelAt,
) -> bool:
    """Open, use and leave, with a cancellation somewhere; whether the end was reached."""
    before = tasks()

    async def serve(server: Server) -> None:
        await server.say(created())
        try:
            await server.hear(InputAudioBufferCommit)
            await server.say(committed(1))
            await server.hear_the_rest()
        except (AssertionError, ConnectionLost):
            assert server.transport.closed is not None

    is_done = False
    async with open_server(serve) as url:
        with scope:
            canceller.scope = scope
            async with open_(url=url, proxy=None) as opened:
                await opened.send(InputAudioBufferCommit())
                async for event in opened.events() if isinstance(opened, Session) else opened:
                    if isinstance(event, InputAudioBufferCommitted):
                        break
            is_done = True
        canceller.scope = None
    assert tasks() <= before
    return is_done


@pytest.mark.socket
@pytest.mark.parametrize("open_", [open_session, open_connection])
def test_everything_may_be_cancelled_at_every_single_step(
    open_: Callable[..., AbstractAsyncContextManager[Session | Connection]],
) -> None:
    before = sockets()

    def check() -> None:
        assert sockets() <= before

    cancel_at_every_step(partial(life_on_a_network, open_), at_least=50, then=check)
