"""A wire that always has more: who only takes what comes keeps up, who does not is told so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import trio
from peers import created, open_pair
from trio.testing import MockClock, wait_all_tasks_blocked
from websocket_peers import TEXT, accept_upgrade, close_frame, frame, open_peer, read_to_the_end

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.opening import open_session
from realtime_trio._transport.contract import Close
from realtime_trio.connection import MESSAGES_IN_A_ROW
from realtime_trio.errors import SlowConsumer
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemDone,
    Event,
    ResponseOutputTextDelta,
    ServerEvent,
    UserMessage,
)

BATCH, BATCHES = 1000, 6
CAPACITY = 2 * 4 * MESSAGES_IN_A_ROW
"""Room for what follows from two rows of messages, so that a consumer that fell behind by a little
in every pass would not get far."""

_codec = Codec(Role.SERVER, strict=True)


def deltas(number: int) -> list[ServerEvent]:
    return [
        ResponseOutputTextDelta(
            event_id=f"event_{number}",
            response_id="resp_1",
            item_id="item_1",
            output_index=0,
            content_index=0,
            delta="word ",
        )
    ]


def items(number: int) -> list[ServerEvent]:
    """Two messages with as many consequences as any."""
    item = UserMessage.text("what?", id=f"item_{number}")
    return [
        ConversationItemAdded(event_id=f"event_{number}_added", item=item),
        ConversationItemDone(event_id=f"event_{number}_done", item=item),
    ]


Say = Callable[[int], list[ServerEvent]]


def messages(say: Say) -> Iterator[str]:
    for number in range(BATCH * BATCHES // len(say(0))):
        yield from map(_codec.encode, say(number))


class Flood:
    """A transport of which every `receive` brings a thousand messages at once, and which then ends.

    Nothing about it is slow.  It begins once there is somebody to see it.
    """

    def __init__(self, say: Say) -> None:
        self.closed: Close | None = None
        self.begin = trio.Event()
        everything = tuple(messages(say))
        self._opening = [(_codec.encode(created()),)]
        self._batches = [everything[at : at + BATCH] for at in range(0, len(everything), BATCH)]

    async def receive(self) -> tuple[str | bytes, ...]:
        await trio.lowlevel.checkpoint()
        if self._opening:
            return self._opening.pop()
        await self.begin.wait()
        if self._batches:
            return self._batches.pop(0)
        self.closed = Close(1000)
        return ()

    async def send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint()

    def send_nowait(self, message: str | bytes) -> bool:
        return False

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await trio.lowlevel.checkpoint()
        self.closed = self.closed or Close(code, reason)


async def count_messages(stream: EventStream[Event]) -> int:
    seen = 0
    async for event in stream:
        seen += isinstance(event, ServerEvent)
    return seen


@pytest.mark.parametrize("say", [deltas, items])
async def test_a_consumer_that_only_counts_keeps_up_with_a_wire_of_any_speed(
    say: Say, autojump_clock: MockClock
) -> None:
    flood = Flood(say)
    async with open_session(transport=flood) as session:
        flood.begin.set()
        assert await count_messages(session.events(capacity=CAPACITY)) == 1 + BATCH * BATCHES


async def test_so_do_several_of_one_session(autojump_clock: MockClock) -> None:
    flood = Flood(deltas)
    counts: list[int] = []

    async def count(stream: EventStream[Event]) -> None:
        counts.append(await count_messages(stream))

    async with open_session(transport=flood) as session, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(count, session.events(capacity=CAPACITY))
        flood.begin.set()
    # The first one has the beginning of the session.
    assert sorted(counts) == [*[BATCH * BATCHES] * 4, 1 + BATCH * BATCHES]


@pytest.mark.socket
async def test_so_does_one_behind_a_socket() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        said = [_codec.encode(created()), *islice(messages(deltas), 2000)]
        await stream.send_all(
            b"".join(frame(TEXT, message.encode()) for message in said) + close_frame(1000)
        )
        await read_to_the_end(stream)

    async with open_peer(script) as url, open_session(url=url) as session:
        assert await count_messages(session.events(capacity=CAPACITY)) == 2001


async def test_a_consumer_that_has_something_better_to_do_misses_what_it_has_no_room_for(
    autojump_clock: MockClock,
) -> None:
    flood = Flood(deltas)
    async with open_session(transport=flood) as session:
        laggard = session.events(ServerEvent, capacity=CAPACITY)
        brisk = session.events(capacity=CAPACITY)
        flood.begin.set()
        assert await count_messages(brisk) == BATCH * BATCHES
        for _ in range(CAPACITY):
            await laggard.receive()
        with pytest.raises(SlowConsumer) as gap:
            await laggard.receive()
    assert gap.value.dropped == 1 + BATCH * BATCHES - CAPACITY


async def test_every_other_task_has_its_turn_while_messages_pour_in(
    autojump_clock: MockClock,
) -> None:
    flood = Flood(deltas)
    longest = 0
    async with open_session(transport=flood) as session:
        stream = session.events(ServerEvent)
        flood.begin.set()
        while session.closed is None:
            before = stream.pending
            await trio.lowlevel.checkpoint()
            longest = max(longest, stream.pending - before)
    # In one pass the receive loop may be before the others, and in the next one behind them.
    assert 0 < longest <= 2 * MESSAGES_IN_A_ROW


async def test_what_has_come_is_let_go_of_while_nothing_comes() -> None:
    async with open_pair() as (session, server):
        with session.events() as stream:
            messages = [_codec.encode(deltas(number)[0]) for number in range(3)]
            counts = list(map(sys.getrefcount, messages))
            for number in range(3):
                await server.transport.send(messages[number])
                await stream.receive()
            await wait_all_tasks_blocked()
            assert list(map(sys.getrefcount, messages)) == counts
