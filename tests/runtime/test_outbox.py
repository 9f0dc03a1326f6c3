"""The queue between everybody who sends and the task that writes."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._runtime.outbox import Outbox
from realtime_trio.errors import SessionClosed


async def put(outbox: Outbox[int], entry: int) -> None:
    """Enqueue as those who send do."""
    await outbox.wait_for_room()
    outbox.post(entry)
    await trio.lowlevel.cancel_shielded_checkpoint()


async def take_all(outbox: Outbox[int]) -> list[int]:
    entries: list[int] = []
    while True:
        with trio.fail_after(5):
            entry = await outbox.take()
        if entry is None:
            return entries
        entries.append(entry)


async def full_outbox(*entries: int) -> Outbox[int]:
    await trio.lowlevel.checkpoint()
    outbox: Outbox[int] = Outbox(len(entries))
    for entry in entries:
        await put(outbox, entry)
    return outbox


async def test_entries_come_out_in_the_order_they_went_in_by_either_lane() -> None:
    outbox: Outbox[int] = Outbox(10)
    await put(outbox, 1)
    outbox.post(2)
    await put(outbox, 3)
    outbox.close()
    assert await take_all(outbox) == [1, 2, 3]


async def test_taking_waits_for_an_entry(autojump_clock: MockClock) -> None:
    outbox: Outbox[int] = Outbox(1)
    taken: list[int | None] = []

    async def take() -> None:
        taken.append(await outbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        assert taken == []
        outbox.post(1)
    assert taken == [1]


async def test_putting_waits_for_a_free_slot(autojump_clock: MockClock) -> None:
    outbox = await full_outbox(1, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, outbox, 3)
        await wait_all_tasks_blocked()
        assert await outbox.take() == 1
        await wait_all_tasks_blocked()
        assert [await outbox.take(), await outbox.take()] == [2, 3]


async def test_a_reflex_never_waits(autojump_clock: MockClock) -> None:
    outbox = await full_outbox(1)
    outbox.post(2)
    outbox.post(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, outbox, 4)
        for expected in (1, 2, 3, 4):
            await wait_all_tasks_blocked()
            assert await outbox.take() == expected


async def test_a_slot_taken_by_reflexes_is_not_given_to_a_user(autojump_clock: MockClock) -> None:
    outbox = await full_outbox(1)
    outbox.post(2)
    with trio.move_on_after(1) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, outbox, 3)
            await wait_all_tasks_blocked()
            assert await outbox.take() == 1
    assert scope.cancelled_caught


async def test_who_waits_longest_comes_first_even_against_somebody_who_need_not_wait(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(0)
    async with trio.open_nursery() as nursery:
        for entry in (1, 2, 3):
            nursery.start_soon(put, outbox, entry)
            await wait_all_tasks_blocked()
        # Then the slot is free, but entry 1 has not been put into it yet.
        assert await outbox.take() == 0
        nursery.start_soon(put, outbox, 4)
        assert [await outbox.take() for _ in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("newcomer", [False, True])
async def test_who_waits_comes_in_order_even_if_several_slots_become_free_at_once(
    autojump_clock: MockClock, newcomer: bool
) -> None:
    # Tasks that run in the same pass do so in any order, which takes a few goes to see.
    for _ in range(10):
        outbox = await full_outbox(1, 2, 3)
        async with trio.open_nursery() as nursery:
            for entry in (4, 5, 6):
                nursery.start_soon(put, outbox, entry)
                await wait_all_tasks_blocked()
            assert [await outbox.take() for _ in range(2 + newcomer)] == [1, 2, 3][: 2 + newcomer]
            if newcomer:
                nursery.start_soon(put, outbox, 7)
            await wait_all_tasks_blocked()
            with trio.fail_after(5):
                rest = [await outbox.take() for _ in range(4)]
        assert rest == ([4, 5, 6, 7] if newcomer else [3, 4, 5, 6])


async def test_who_comes_while_a_slot_is_promised_waits_however_many_are_free(
    autojump_clock: MockClock,
) -> None:
    # Which of the two runs first in their pass is open, which takes a few goes to see.
    for _ in range(20):
        outbox = await full_outbox(1, 2, 3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, outbox, 4)
            await wait_all_tasks_blocked()
            assert [await outbox.take() for _ in range(3)] == [1, 2, 3]
            nursery.start_soon(put, outbox, 5)
            with trio.fail_after(5):
                assert [await outbox.take() for _ in range(2)] == [4, 5]


async def test_cancelled_while_waiting_for_a_slot_nothing_was_put(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(1)
    with trio.move_on_after(1) as scope:
        await put(outbox, 2)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, outbox, 3)
        await wait_all_tasks_blocked()
        assert [await outbox.take(), await outbox.take()] == [1, 3]


async def test_cancelled_before_it_began_nothing_was_put() -> None:
    outbox: Outbox[int] = Outbox(10)
    with trio.CancelScope() as scope:
        scope.cancel()
        await put(outbox, 1)
    assert scope.cancelled_caught
    outbox.close()
    assert await take_all(outbox) == []


async def test_once_it_has_a_slot_it_is_put_even_if_cancelled_at_that_moment(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(1)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, outbox, 2)
            await wait_all_tasks_blocked()
            with trio.CancelScope(shield=True):
                assert await outbox.take() == 1
            scope.cancel()
    outbox.close()
    assert await take_all(outbox) == [2]


async def test_every_put_is_a_checkpoint_refused_or_not() -> None:
    outbox: Outbox[int] = Outbox(1)
    with assert_checkpoints():
        await put(outbox, 1)
    outbox.close()
    with assert_checkpoints(), pytest.raises(SessionClosed):
        await put(outbox, 2)


async def test_a_closed_outbox_takes_nothing_and_gives_what_it_has() -> None:
    outbox = await full_outbox(1, 2)
    outbox.close()
    outbox.close()
    with pytest.raises(SessionClosed):
        await put(outbox, 3)
    with pytest.raises(SessionClosed):
        outbox.post(3)
    assert await take_all(outbox) == [1, 2]
    assert await outbox.take() is None


async def test_closing_tells_everybody_who_waits(autojump_clock: MockClock) -> None:
    outbox = await full_outbox(1)
    refused: list[int] = []

    async def put_in_vain(entry: int) -> None:
        with pytest.raises(SessionClosed):
            await put(outbox, entry)
        refused.append(entry)

    async with trio.open_nursery() as nursery:
        for entry in (2, 3):
            nursery.start_soon(put_in_vain, entry)
        await wait_all_tasks_blocked()
        outbox.close()
    assert sorted(refused) == [2, 3]
    assert await take_all(outbox) == [1]


async def test_cancelled_and_closed_at_once_is_cancelled(autojump_clock: MockClock) -> None:
    outbox = await full_outbox(1)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, outbox, 2)
            await wait_all_tasks_blocked()
            with trio.CancelScope(shield=True):
                # gives the slot away, so that the cancellation comes too late to interrupt the
                # waiting
                await outbox.take()
            scope.cancel()
            outbox.close()
    assert scope.cancelled_caught


async def test_closing_ends_the_taker(autojump_clock: MockClock) -> None:
    outbox: Outbox[int] = Outbox(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_all, outbox)
        await wait_all_tasks_blocked()
        outbox.close()


async def test_it_is_drained_when_the_last_entry_has_been_dealt_with(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(1, 2)
    steps: list[str] = []

    async def wait() -> None:
        await outbox.wait_drained()
        steps.append("drained")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        for entry in (1, 2):
            assert await outbox.take() == entry
            await wait_all_tasks_blocked()
            steps.append(f"wrote {entry}")
        nursery.start_soon(take_all, outbox)
        await wait_all_tasks_blocked()
        outbox.close()
    assert steps == ["wrote 1", "wrote 2", "drained"]


@pytest.mark.parametrize("taken", [0, 1])
async def test_what_waits_and_what_is_in_hand_are_both_waited_for(
    taken: int, autojump_clock: MockClock
) -> None:
    outbox = await full_outbox(1)
    for _ in range(taken):
        assert await outbox.take() == 1
    with trio.move_on_after(5) as scope:
        await outbox.wait_drained()
    assert scope.cancelled_caught


async def test_an_empty_outbox_is_drained() -> None:
    with trio.fail_after(5), assert_checkpoints():
        await Outbox[int](1).wait_drained()


async def test_what_is_discarded_is_not_waited_for(autojump_clock: MockClock) -> None:
    outbox = await full_outbox(1, 2)
    assert await outbox.take() == 1
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.wait_drained)
            await wait_all_tasks_blocked()
            outbox.discard()
            outbox.discard()
    assert await take_all(outbox) == []
    with pytest.raises(SessionClosed):
        outbox.post(3)


async def test_a_paused_outbox_hands_out_nothing_and_keeps_the_order(
    autojump_clock: MockClock,
) -> None:
    outbox: Outbox[int] = Outbox(2)
    taken: list[int | None] = []

    async def take_loop() -> None:
        while (entry := await outbox.take()) is not None:
            taken.append(entry)

    outbox.post(1)
    outbox.pause()
    outbox.pause()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_loop)
        await wait_all_tasks_blocked()
        outbox.post(2)
        nursery.start_soon(put, outbox, 3)
        await wait_all_tasks_blocked()
        assert taken == []
        outbox.resume()
        outbox.resume()
        await wait_all_tasks_blocked()
        assert taken == [1, 2, 3]
        outbox.close()


async def test_an_outbox_that_is_closed_while_paused_gives_what_it_has_when_resumed(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(1)
    outbox.pause()
    outbox.close()
    with trio.move_on_after(1) as scope:
        await outbox.take()
    assert scope.cancelled_caught
    outbox.resume()
    assert await take_all(outbox) == [1]


async def test_a_paused_outbox_that_is_empty_and_closed_is_over(autojump_clock: MockClock) -> None:
    outbox = await full_outbox(1)
    outbox.pause()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.take)
            nursery.start_soon(outbox.wait_drained)
            await wait_all_tasks_blocked()
            outbox.discard()
    assert await outbox.take() is None


async def test_a_cancelled_take_takes_nothing() -> None:
    outbox: Outbox[int] = Outbox(1)
    outbox.post(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await outbox.take()
    assert scope.cancelled_caught
    assert await outbox.take() == 1


def test_it_says_whether_it_is_closed() -> None:
    outbox: Outbox[int] = Outbox(1)
    assert not outbox.is_closed
    outbox.close()
    assert outbox.is_closed


async def test_it_is_idle_only_if_what_comes_now_would_be_the_next(
    autojump_clock: MockClock,
) -> None:
    outbox: Outbox[int] = Outbox(1)
    looks: dict[str, bool] = {}

    def look(what: str) -> None:
        looks[what] = outbox.is_idle

    look("new")
    outbox.post(0)
    look("something waits")
    assert await outbox.take() == 0
    look("it is in hand")
    with trio.move_on_after(1):
        await outbox.take()
    look("it has been dealt with")
    outbox.pause()
    look("paused")
    outbox.resume()
    look("resumed")
    outbox.close()
    look("closed")
    assert [what for what, is_idle in looks.items() if is_idle] == [
        "new",
        "it has been dealt with",
        "resumed",
    ]


async def test_it_is_not_idle_before_those_have_come_who_were_promised_a_slot(
    autojump_clock: MockClock,
) -> None:
    # Trio shuffles the tasks of a pass: one time or another it looks before the other has put.
    for _ in range(30):
        outbox = await full_outbox(0)
        looked: list[bool] = []

        async def look(outbox: Outbox[int], looked: list[bool], go: trio.Event) -> None:
            await go.wait()
            looked.append(outbox.is_idle)

        async with trio.open_nursery() as nursery:
            go = trio.Event()
            nursery.start_soon(look, outbox, looked, go)
            nursery.start_soon(put, outbox, 1)
            await wait_all_tasks_blocked()
            assert await outbox.take() == 0
            go.set()
            # Nothing is in hand any more, and nothing is in there.
            assert await outbox.take() == 1
        assert looked == [False]


async def test_what_waits_can_be_replaced_even_when_it_is_closed(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(1, 2)
    outbox.pause()
    assert outbox.waits
    outbox.refill([3, 1, 2, 4])
    outbox.resume()
    outbox.close()
    outbox.refill([*range(5)])
    assert await take_all(outbox) == [*range(5)]
    assert not outbox.waits


async def test_whoever_waits_for_room_gets_it_when_what_waits_is_replaced_by_less(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(1)
    outbox.pause()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, outbox, 2)
        await wait_all_tasks_blocked()
        outbox.refill([])
        await wait_all_tasks_blocked()
        assert not nursery.child_tasks
    outbox.resume()
    outbox.close()
    assert await take_all(outbox) == [2]


async def test_a_pause_can_wait_until_what_is_being_written_is_written(
    autojump_clock: MockClock,
) -> None:
    outbox = await full_outbox(1, 2)
    assert await outbox.take() == 1
    outbox.pause()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.wait_put_down)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        nursery.start_soon(outbox.take)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1  # it has put down what it had, and takes nothing
        nursery.cancel_scope.cancel()
    with trio.fail_after(1):
        await outbox.wait_put_down()
