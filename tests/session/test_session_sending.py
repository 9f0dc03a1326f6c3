"""Sending events and raw messages: ids, order, refusals and cancellation."""

from __future__ import annotations

import pytest
import trio
from peers import (
    delete,
    deleted,
    fill,
    open_pair,
)
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio.errors import (
    LocalProtocolError,
    SessionClosed,
)
from realtime_trio.events import (
    ConversationItemDelete,
    InputAudioBufferClear,
    InputAudioBufferCleared,
)


async def test_a_sent_event_arrives_with_an_id_that_is_returned(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        assert await session.send(InputAudioBufferClear()) == "evt_1"
        assert await session.send(InputAudioBufferClear(event_id="mine")) == "mine"
        assert (await server.hear(InputAudioBufferClear)).event_id == "evt_1"
        assert (await server.hear(InputAudioBufferClear)).event_id == "mine"


async def test_what_tasks_send_is_written_in_the_order_it_was_sent(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):

        async def send(first: int) -> None:
            await trio.lowlevel.checkpoint()
            for number in range(first, first + 50):
                await session.send(delete(number))

        async with trio.open_nursery() as nursery:
            for first in (0, 100, 200):
                nursery.start_soon(send, first)
    written = deleted(await server.hear_the_rest())
    for first in (0, 100, 200):
        assert [number for number in written if number // 100 == first // 100] == list(
            range(first, first + 50)
        )


async def test_who_waits_for_the_network_is_served_in_order(autojump_clock: MockClock) -> None:
    async with open_pair(network=1) as (session, server):
        waiting = await fill(session)
        async with trio.open_nursery() as nursery:
            for number in range(waiting, waiting + 5):
                nursery.start_soon(session.send, delete(number))
                await wait_all_tasks_blocked()
            for number in range(waiting + 5):
                assert (await server.hear(ConversationItemDelete)).item_id == str(number)


async def test_an_illegal_event_is_refused_and_nothing_is_sent(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(LocalProtocolError, match="item_id"):
            await session.send(ConversationItemDelete(item_id=5))  # type: ignore[arg-type]
        with pytest.raises(
            LocalProtocolError, match="a client cannot send InputAudioBufferCleared"
        ):
            await session.send(InputAudioBufferCleared(event_id="e"))  # type: ignore[arg-type]
    assert await server.hear_the_rest() == []


async def test_raw_messages_are_passed_on_as_they_are_and_seen_on_the_wire(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        wire = session.wire()
        await session.send_raw({"type": "hologram.create", "shape": "a cube"})
        await session.send_raw('{"type":"input_audio_buffer.clear"}')
        await session.send_raw("anything")
        messages: list[str | bytes] = []
        while len(messages) < 3:
            messages += await server.transport.receive()
        assert messages == [
            '{"type":"hologram.create","shape":"a cube"}',
            '{"type":"input_audio_buffer.clear"}',
            "anything",
        ]
        shown = [(await wire.receive()).event for _ in range(4)]
        assert [event.type for event in shown] == [
            "session.created",
            "hologram.create",
            "input_audio_buffer.clear",
            "",
        ]
        assert isinstance(shown[2], InputAudioBufferClear)


async def test_a_raw_message_that_json_cannot_hold_is_refused(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, _):
        with pytest.raises(LocalProtocolError, match="cannot encode"):
            await session.send_raw({"type": "hologram.create", "shape": object()})


async def test_a_raw_message_with_half_a_character_is_refused_and_the_session_lives(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        for payload in ('{"type": "\udc00"}', {"type": "\udc00"}):
            with pytest.raises(LocalProtocolError):
                await session.send_raw(payload)
        await session.send_raw("whole")
        assert await server.transport.receive() == ("whole",)


async def test_everything_that_sends_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        with assert_checkpoints():
            await session.send(InputAudioBufferClear())
        with assert_checkpoints():
            await session.send_raw({})
        await server.transport.aclose()
        await wait_all_tasks_blocked()
        for call in (session.send(InputAudioBufferClear()), session.send_raw({}), session.update()):
            with assert_checkpoints(), pytest.raises(SessionClosed):
                await call


async def test_a_send_cancelled_right_after_it_was_queued_is_written_whole(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        with trio.CancelScope() as scope:
            await session.send(delete(1))
            scope.cancel()
            await trio.sleep_forever()
        assert (await server.hear(ConversationItemDelete)).item_id == "1"


async def test_a_send_cancelled_while_it_waits_sends_nothing(autojump_clock: MockClock) -> None:
    async with open_pair(network=1) as (session, server):
        waiting = await fill(session)
        with trio.move_on_after(1) as scope:
            await session.send(delete(-1))
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.send, delete(waiting))
            for number in range(waiting + 1):
                assert (await server.hear(ConversationItemDelete)).item_id == str(number)
