"""Sending events and raw messages: ids, order, refusals and cancellation."""

from __future__ import annotations

import json

import pytest
import trio
from peers import (
    delete,
    deleted,
    fill,
    open_pair,
    steps_of,
)
from simulated import open_simulated, records
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.base import SENT_IN_A_ROW, SENT_OVERHEAD
from realtime_trio.errors import (
    LocalProtocolError,
    SessionClosed,
)
from realtime_trio.events import (
    ConversationItemDelete,
    InputAudioBufferClear,
    InputAudioBufferCleared,
)
from realtime_trio.simulator import Reply

SECOND = bytes(48_000)


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


async def test_what_is_sent_by_itself_is_written_without_a_step_of_any_task(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        await wait_all_tasks_blocked()
        with steps_of("") as steps:
            await session.send(delete(1))
            await session.append_audio(bytes(4800))
            await session.send_raw({"type": "hologram.create"})
            assert steps == []
        heard = await server.transport.receive()
    assert [json.loads(message)["type"] for message in heard] == [
        "conversation.item.delete",
        "input_audio_buffer.append",
        "hologram.create",
    ]


async def test_a_task_that_writes_begins_when_something_waits(autojump_clock: MockClock) -> None:
    async with open_pair(network=1) as (session, server):
        with steps_of("_send_loop") as steps:
            await session.send(delete(1))
            await wait_all_tasks_blocked()
            assert steps == []
            await session.send(delete(2))
            await session.send(delete(3))
            await wait_all_tasks_blocked()
            for number in (1, 2, 3):
                assert (await server.hear(ConversationItemDelete)).item_id == str(number)
            await wait_all_tasks_blocked()
            await session.send(delete(4))
            await session.send(delete(5))
            for number in (4, 5):
                assert (await server.hear(ConversationItemDelete)).item_id == str(number)
        assert len({*steps}) == 1


@pytest.mark.parametrize(
    ("audio", "most"), [(bytes(1), SENT_IN_A_ROW // SENT_OVERHEAD), (bytes(2**20), 1)]
)
async def test_who_sends_without_an_end_lets_others_run(
    audio: bytes, most: int, autojump_clock: MockClock
) -> None:
    sent = longest = 0

    async def other() -> None:
        nonlocal longest
        while True:
            before = sent
            await trio.lowlevel.checkpoint()
            longest = max(longest, sent - before)

    async with open_pair() as (session, _), trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(20 * most):
            await session.append_audio(audio)
            sent += 1
        nursery.cancel_scope.cancel()
    # In one pass of the scheduler one of them is first, in the next one the other.
    assert 0 < longest <= 2 * most


async def test_whatever_ends_in_a_refusal_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        await server.transport.aclose()
        await wait_all_tasks_blocked()
        for call in (session.send(InputAudioBufferClear()), session.send_raw({}), session.update()):
            with assert_checkpoints(), pytest.raises(SessionClosed):
                await call


async def test_what_is_cancelled_before_it_begins_sends_nothing(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        for call in (session.send(delete(1)), session.send_raw({}), session.append_audio(SECOND)):
            with trio.CancelScope() as scope:
                scope.cancel()
                await call
            assert scope.cancelled_caught
    assert await server.hear_the_rest() == []


@pytest.mark.parametrize("network", [1, 2, 5])
async def test_what_is_written_at_once_never_overtakes_what_waits(
    network: int, autojump_clock: MockClock
) -> None:
    """Some are written at once, some wait for the writer, some for room in the queue."""
    names = range(8)
    async with open_pair(network=network) as (session, server):
        with session.wire() as wire:
            async with trio.open_nursery() as nursery:

                async def send(name: int) -> None:
                    for number in range(100):
                        await session.send(delete(1000 * name + number))
                        if number % 7 == name:
                            await wait_all_tasks_blocked()

                for name in names:
                    nursery.start_soon(send, name)
                heard = [
                    int((await server.hear(ConversationItemDelete)).item_id)
                    for _ in range(100 * len(names))
                ]
            await wait_all_tasks_blocked()
            records = [await wire.receive() for _ in range(1 + len(heard))]
    for name in names:
        assert [number for number in heard if number // 1000 == name] == list(
            range(1000 * name, 1000 * name + 100)
        )
    # The wire log has the order of the wire.
    assert deleted([record.event for record in records]) == heard


async def test_the_wire_shows_a_reflex_behind_what_it_answers(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.text("One."), Reply.text("Two.")) as session:
        with session.wire() as wire:
            await session.respond()
            # Asked for by the receive loop, when the first response is done.
            await session.ask()
            shown = [record.event.type for record in records(wire)]
    first_done = shown.index("response.done")
    assert shown[first_done:].count("response.create") == 1
    assert shown[:first_done].count("response.create") == 1


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
