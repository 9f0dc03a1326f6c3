"""The mailbox of a transport: who waits at it, for what, and until when."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._transport.inbox import Inbox


async def test_messages_are_taken_at_once_in_the_order_in_which_they_came() -> None:
    inbox = Inbox(math.inf)
    for message in ("a", b"b", ""):
        inbox.add(message, 1)
    with assert_checkpoints():
        assert await inbox.take() == ("a", b"b", "")
    inbox.add("c", 1)
    assert await inbox.take() == ("c",)


def test_it_is_full_from_its_limit_on_and_still_takes_what_is_added() -> None:
    inbox = Inbox(10)
    is_full = [inbox.is_full]
    for message, size in (("a", 9), ("b", 1), ("c", 5)):
        inbox.add(message, size)
        is_full.append(inbox.is_full)
    assert is_full == [False, False, True, True]


async def test_what_is_taken_makes_room_for_all_of_its_limit() -> None:
    inbox = Inbox(10)
    inbox.add("a", 25)
    await inbox.take()
    is_full = []
    for message, size in (("b", 9), ("c", 1)):
        inbox.add(message, size)
        is_full.append(inbox.is_full)
    assert is_full == [False, True]


async def test_there_is_news_while_taking_would_not_wait() -> None:
    inbox = Inbox(math.inf)
    has_news = [inbox.has_news]
    inbox.add("", 0)  # an empty message is one
    has_news.append(inbox.has_news)
    await inbox.take()
    has_news.append(inbox.has_news)
    inbox.end()
    has_news.append(inbox.has_news)
    assert await inbox.take() == ()
    has_news.append(inbox.has_news)
    assert has_news == [False, True, False, True, True]


@pytest.mark.parametrize("way", ["message", "end"])
async def test_who_waits_for_messages_is_seen_and_woken(way: str) -> None:
    inbox = Inbox(math.inf)
    taken: list[tuple[str | bytes, ...]] = []
    is_awaited = [inbox.is_awaited]
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def take() -> None:
                taken.append(await inbox.take())

            await wait_all_tasks_blocked()
            is_awaited.append(inbox.is_awaited)
            if way == "message":
                inbox.add("a", 1)
            else:
                inbox.end()
            is_awaited.append(inbox.is_awaited)
            assert taken == []
    assert taken == [("a",) if way == "message" else ()]
    assert is_awaited == [False, True, False]


async def test_a_message_goes_to_one_of_those_who_wait_and_the_others_wait_on() -> None:
    inbox = Inbox(math.inf)
    taken: list[tuple[str | bytes, ...]] = []

    async def take() -> None:
        taken.append(await inbox.take())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(take)
                await wait_all_tasks_blocked()
                assert len(taken) == 0, number
            inbox.add("a", 1)
            await wait_all_tasks_blocked()
            assert taken == [("a",)]
            assert inbox.is_awaited
            inbox.add("b", 1)
            await wait_all_tasks_blocked()
            assert taken == [("a",), ("b",)]
            inbox.end()
    assert taken == [("a",), ("b",), ()]


async def test_a_cancelled_take_leaves_the_messages_where_they_are() -> None:
    inbox = Inbox(math.inf)
    inbox.add("a", 1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()
    assert scope.cancelled_caught
    assert await inbox.take() == ("a",)


async def test_after_the_end_what_is_there_is_taken_and_what_comes_is_discarded() -> None:
    inbox = Inbox(math.inf)
    inbox.add("a", 1)
    inbox.end()
    inbox.add("late", 1)
    assert await inbox.take() == ("a",)
    for _ in range(2):
        with assert_checkpoints():
            assert await inbox.take() == ()


async def test_there_is_room_at_once_while_it_is_not_full() -> None:
    inbox = Inbox(2)
    inbox.add("a", 1)
    with assert_checkpoints():
        await inbox.wait_for_room()


@pytest.mark.parametrize("way", ["taken", "ended"])
async def test_who_waits_for_room_waits_until_it_is_emptied_or_over(way: str) -> None:
    inbox = Inbox(1)
    inbox.add("a", 1)
    events: list[str] = []

    async def fill() -> None:
        await inbox.wait_for_room()
        events.append("room")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill)
            nursery.start_soon(fill)
            await wait_all_tasks_blocked()
            assert events == []
            if way == "taken":
                assert await inbox.take() == ("a",)
            else:
                inbox.end()
                assert not inbox.is_full
    assert events == ["room", "room"]


async def test_a_filler_that_finds_it_full_again_waits_on() -> None:
    inbox = Inbox(1)
    inbox.add("a", 1)
    filled: list[str] = []

    async def fill(message: str) -> None:
        await inbox.wait_for_room()
        inbox.add(message, 1)
        filled.append(message)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill, "b")
            nursery.start_soon(fill, "c")
            await wait_all_tasks_blocked()
            assert await inbox.take() == ("a",)
            await wait_all_tasks_blocked()
            # Both were woken, and there was room for one.
            assert len(filled) == 1
            assert await inbox.take() == tuple(filled)
            await wait_all_tasks_blocked()
            assert sorted(filled) == ["b", "c"]
            assert await inbox.take() == (filled[-1],)
