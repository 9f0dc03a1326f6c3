"""Streams of events: receiving, checkpoints, narrowing, overflow and the backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hub_events import Audio, Event, LongText, Text, drain, follow, open_hub, publish
from peers import steps_of
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._runtime.hub import EVENTS_IN_A_ROW, EventHub, EventStream
from realtime_trio.errors import SessionClosed, SlowConsumer

if TYPE_CHECKING:
    from typing import assert_type

    def types_are_inferred(
        hub: EventHub[Event], many: tuple[type[Event], ...]
    ) -> EventStream[object]:
        assert_type(hub.subscribe(), EventStream[Event])
        assert_type(hub.subscribe(Text), EventStream[Text])
        assert_type(hub.subscribe(Text, Audio), EventStream[Text | Audio])
        assert_type(hub.subscribe(*many), EventStream[Event])
        return hub.subscribe(Text, capacity=1)


async def receive_into(seen: list[int], stream: EventStream[Event]) -> None:
    seen.append((await stream.receive()).number)


# --- receiving ------------------------------------------------------------------------------------


async def test_events_arrive_in_the_order_they_were_published() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    publish(hub, 1, 2, 3)
    assert stream.pending == 3
    assert [(await stream.receive()).number for _ in range(3)] == [1, 2, 3]
    assert stream.pending == 0


def test_streams_are_independent_views_and_not_shares() -> None:
    hub = open_hub()
    streams = [hub.subscribe() for _ in range(3)]
    publish(hub, 1, 2)
    assert [drain(stream) for stream in streams] == [[1, 2]] * 3


def test_a_stream_is_active_at_the_call_and_sees_nothing_from_before() -> None:
    hub = open_hub()
    publish(hub, 1)
    stream = hub.subscribe()
    publish(hub, 2)
    assert drain(stream) == [2]


async def test_break_then_resume_loses_nothing() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    publish(hub, 1, 2, 3, 4)
    seen = []
    for stop in (2, 3):
        async for event in stream:
            seen.append(event.number)
            if event.number == stop:
                break
    publish(hub, 5)
    hub.close()
    seen += [event.number async for event in stream]
    assert seen == [1, 2, 3, 4, 5]


async def test_a_waiting_task_is_woken_once_by_a_burst() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    seen: list[int] = []

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, stream, seen)
            await wait_all_tasks_blocked()
            with steps_of("follow") as steps:
                publish(hub, *range(8))
                await wait_all_tasks_blocked()
            assert seen == list(range(8))
            assert len(steps) == 1
            nursery.cancel_scope.cancel()


def test_receive_nowait_would_block_when_there_is_nothing() -> None:
    stream = open_hub().subscribe()
    with pytest.raises(trio.WouldBlock):
        stream.receive_nowait()


async def test_a_second_task_on_the_same_stream_is_refused() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    seen: list[int] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_into, seen, stream)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await stream.receive()
            with pytest.raises(trio.BusyResourceError):
                await anext(stream)
            publish(hub, 1)
            with pytest.raises(trio.BusyResourceError):
                stream.receive_nowait()
    assert seen == [1]
    publish(hub, 2)
    assert drain(stream) == [2]


async def test_a_cancelled_receive_loses_no_event() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    with trio.move_on_after(0) as waiting:
        await stream.receive()
    assert waiting.cancelled_caught
    publish(hub, 1)
    with trio.CancelScope() as ready:
        ready.cancel()
        await stream.receive()
    assert ready.cancelled_caught
    assert drain(stream) == [1]


async def test_an_event_published_before_the_cancellation_of_a_waiting_receive_is_delivered() -> (
    None
):
    hub = open_hub()
    stream = hub.subscribe()
    seen: list[int] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_into, seen, stream)
            await wait_all_tasks_blocked()
            publish(hub, 1)
            nursery.cancel_scope.cancel()
    assert seen == [1]
    assert drain(stream) == []


async def test_a_cancelled_checkpoint_of_a_hot_receive_loses_no_event() -> None:
    hub = open_hub(capacity=1000)
    stream = hub.subscribe()
    publish(hub, *range(600))
    seen = []
    for _ in range(300):
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive()
        seen.append((await stream.receive()).number)
    assert [*seen, *drain(stream)] == list(range(600))


# --- checkpoints ----------------------------------------------------------------------------------


async def test_a_hot_receive_lets_others_run_after_many_events_and_only_then() -> None:
    hub = open_hub(capacity=1000)
    stream = hub.subscribe()
    publish(hub, *range(1000))
    await trio.lowlevel.checkpoint()
    with steps_of(trio.lowlevel.current_task().name) as steps:
        for number in range(3 * EVENTS_IN_A_ROW):
            assert len(steps) == number // EVENTS_IN_A_ROW
            await stream.receive()
    assert len(steps) == 3


async def test_a_hot_consumer_does_not_starve_another_task() -> None:
    hub = open_hub(capacity=4000)
    stream = hub.subscribe()
    publish(hub, *range(4000))
    turns = 0
    longest = 0
    in_a_row = 0

    async def other() -> None:
        nonlocal turns, in_a_row
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1
            in_a_row = 0

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await trio.lowlevel.checkpoint()
            for _ in range(4000):
                await stream.receive()
                in_a_row += 1
                longest = max(longest, in_a_row)
            nursery.cancel_scope.cancel()
    assert turns >= 4000 // EVENTS_IN_A_ROW - 1
    assert longest <= 2 * EVENTS_IN_A_ROW


async def test_every_path_that_ends_or_raises_is_a_checkpoint() -> None:
    hub = open_hub(capacity=1)
    stream = hub.subscribe()
    publish(hub, 1, 2)
    assert stream.receive_nowait().number == 1
    with assert_checkpoints(), pytest.raises(SlowConsumer):
        await stream.receive()
    hub.close()
    with assert_checkpoints(), pytest.raises(SessionClosed):
        await stream.receive()
    with assert_checkpoints(), pytest.raises(StopAsyncIteration):
        await anext(stream)


# --- types ----------------------------------------------------------------------------------------


def test_types_narrow_a_stream_and_include_subclasses() -> None:
    hub = open_hub()
    everything, text, both = hub.subscribe(), hub.subscribe(Text), hub.subscribe(Audio, LongText)
    for event in (Event(1), Text(2), LongText(3), Audio(4), Text(5)):
        hub.publish(event)
    assert drain(everything) == [1, 2, 3, 4, 5]
    assert drain(text) == [2, 3, 5]
    assert drain(both) == [3, 4]


def test_a_stream_that_comes_later_sees_types_published_before_it() -> None:
    hub = open_hub()
    first = hub.subscribe(Text)
    hub.publish(Text(1))
    second = hub.subscribe(Text)
    hub.publish(Text(2))
    assert drain(first) == [1, 2]
    assert drain(second) == [2]


def test_only_classes_narrow_a_stream() -> None:
    hub = open_hub()
    with pytest.raises(TypeError, match="classes of events"):
        hub.subscribe(Text(1))  # type: ignore[call-overload]
    publish(hub, 1)


# --- overflow -------------------------------------------------------------------------------------


def test_overflow_is_reported_once_in_its_place_and_the_stream_goes_on() -> None:
    hub = open_hub(capacity=2)
    stream = hub.subscribe()
    publish(hub, 1, 2, 3, 4)
    assert stream.receive_nowait().number == 1
    publish(hub, 5)  # there is room again, but it may not overtake the gap
    assert stream.receive_nowait().number == 2
    publish(hub, 6)
    with pytest.raises(SlowConsumer) as gap:
        stream.receive_nowait()
    assert gap.value.dropped == 4
    publish(hub, 7)
    assert drain(stream) == [7]


async def test_iteration_goes_on_after_slow_consumer_was_caught() -> None:
    hub = open_hub(capacity=2)
    stream = hub.subscribe()
    publish(hub, 1, 2, 3)
    seen: list[int] = []
    with pytest.raises(SlowConsumer):
        await follow(stream, seen)
    publish(hub, 4)
    hub.close()
    await follow(stream, seen)
    assert seen == [1, 2, 4]


def test_only_the_laggard_pays() -> None:
    hub = open_hub(capacity=100)
    slow, roomy, narrow = (
        hub.subscribe(capacity=1),
        hub.subscribe(),
        hub.subscribe(Text, capacity=1),
    )
    publish(hub, 1, 2, 3)
    hub.publish(Text(4))
    assert drain(slow) == [1, "missed 3"]
    assert drain(roomy) == [1, 2, 3, 4]
    assert drain(narrow) == [4]


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_capacity_below_one_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1 event"):
        EventHub[Event](capacity=capacity)
    hub = open_hub()
    with pytest.raises(ValueError, match="at least 1 event"):
        hub.subscribe(capacity=capacity)


def test_a_capacity_that_is_not_a_whole_number_is_refused() -> None:
    with pytest.raises(TypeError, match="a whole number of events"):
        open_hub().subscribe(capacity=1.5)  # type: ignore[call-overload]


# --- the backlog ----------------------------------------------------------------------------------


def test_what_comes_before_the_first_subscription_is_kept_for_it_and_for_nobody_else() -> None:
    hub = open_hub(backlog=10)
    publish(hub, 1, 2)
    first, second = hub.subscribe(), hub.subscribe()
    publish(hub, 3)
    assert drain(first) == [1, 2, 3]
    assert drain(second) == [3]


def test_the_first_stream_gets_only_the_kept_events_that_match_and_the_others_are_gone() -> None:
    hub = open_hub(backlog=10)
    for event in (Text(1), Audio(2), LongText(3)):
        hub.publish(event)
    first, second = hub.subscribe(Text), hub.subscribe()
    assert drain(first) == [1, 3]
    assert drain(second) == []


def test_nothing_is_kept_again_once_somebody_has_subscribed() -> None:
    hub = open_hub(backlog=10)
    hub.subscribe().close()
    publish(hub, 1)
    assert drain(hub.subscribe()) == []


def test_the_next_event_can_be_looked_at_and_stays() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    assert stream.peek() is None
    publish(hub, 1, 2)
    for _ in range(2):
        following = stream.peek()
        assert following is not None
        assert following.number == 1
    assert drain(stream) == [1, 2]


def test_what_was_kept_can_be_let_go_of_together_with_its_gap() -> None:
    hub = open_hub(backlog=2)
    publish(hub, 1, 2, 3)
    hub.forget_kept()
    hub.forget_kept()
    publish(hub, 4)
    stream = hub.subscribe()
    publish(hub, 5)
    assert drain(stream) == [5]


def test_from_a_moment_on_the_first_stream_is_told_only_how_much_it_has_missed() -> None:
    hub = open_hub(backlog=10)
    publish(hub, 1, 2)
    hub.stop_keeping()
    hub.stop_keeping()
    assert not hub.is_heard
    publish(hub, 3)
    hub.pass_over(Event)
    hub.pass_over(Text)
    stream = hub.subscribe()
    hub.pass_over(Event)  # not true any more: it is heard
    assert drain(stream) == [1, 2, "missed 3"]
    publish(hub, 5)
    assert drain(stream) == [5]


def test_what_is_passed_over_counts_only_for_streams_of_its_type_and_not_after_the_end() -> None:
    hub = open_hub(backlog=10)
    publish(hub, 1)
    hub.stop_keeping()
    hub.pass_over(Audio)
    hub.close()
    hub.pass_over(Event)
    assert drain(hub.subscribe(Event)) == [1, "missed 1", "end"]
    for forget in (hub.forget_kept, hub.forget_kept):
        forget()
        hub.pass_over(Event)
        assert drain(hub.subscribe()) == ["end"]


def test_a_hub_says_whether_anybody_would_get_an_event() -> None:
    hub: EventHub[object] = EventHub()
    heard = [hub.is_heard]  # what is published is kept
    idle = [hub.is_idle]

    def look() -> None:
        heard.append(hub.is_heard)
        idle.append(hub.is_idle)

    hub.forget_kept()
    look()
    with hub.subscribe():
        look()
    hub.publish(object())  # cleans up behind the stream
    look()
    _stream = hub.subscribe()
    hub.close()
    look()
    assert heard == [True, False, True, False, False]
    assert idle == [not each for each in heard]
    assert not EventHub[object](backlog=0).is_heard
    assert EventHub[object](backlog=0).is_idle


def test_a_hub_that_counts_for_the_first_stream_is_not_idle() -> None:
    hub: EventHub[object] = EventHub()
    hub.stop_keeping()
    assert not hub.is_heard
    assert not hub.is_idle
    # A stream that is there keeps it from being idle, whatever is forgotten.
    stream = hub.overhear()
    hub.forget_kept()
    assert not hub.is_idle
    stream.close()
    hub.publish(object())
    assert hub.is_idle


def test_a_hub_says_of_which_classes_anybody_would_get_an_event() -> None:
    hub = open_hub(backlog=1)
    assert hub.wants(Audio)  # what is published is kept
    with hub.subscribe(Text):
        wanted = [hub.wants(kind) for kind in (Text, LongText, Audio, Text)]
        assert wanted == [True, True, False, True]
        with hub.subscribe():
            assert hub.wants(Audio)
        hub.publish(Audio(1))  # cleans up behind the stream
        assert not hub.wants(Audio)
    hub.publish(Audio(1))
    assert not hub.wants(Text)
    _stream = hub.subscribe()
    hub.close()
    assert not hub.wants(Text)


def test_what_is_asked_for_makes_no_difference_to_what_is_delivered() -> None:
    hub = open_hub()
    assert not hub.wants(Audio)
    stream = hub.subscribe(Text)
    assert not hub.wants(Audio)
    late = hub.subscribe(Audio)
    hub.publish(Text(1))
    hub.publish(Audio(2))
    assert (drain(stream), drain(late)) == ([1], [2])


def test_a_full_backlog_is_a_gap_for_the_first_stream() -> None:
    hub = open_hub(backlog=2)
    publish(hub, 1, 2, 3, 4)
    stream = hub.subscribe()
    publish(hub, 5)
    assert drain(stream) == [1, 2, "missed 3"]
    publish(hub, 6)
    assert drain(stream) == [6]


def test_a_gap_in_the_backlog_counts_only_events_of_the_stream() -> None:
    for types, expected in ((Text, [1, "missed 2"]), (Audio, [])):
        hub = open_hub(backlog=1)
        for event in (Text(1), Text(2), LongText(3), Event(4)):
            hub.publish(event)
        assert drain(hub.subscribe(types)) == expected


def test_kept_events_are_delivered_even_beyond_the_capacity_of_the_stream() -> None:
    hub = open_hub(backlog=10)
    publish(hub, 1, 2, 3)
    stream = hub.subscribe(capacity=2)
    publish(hub, 4)
    assert drain(stream) == [1, 2, 3, "missed 1"]


def test_a_hub_without_backlog_keeps_and_reports_nothing() -> None:
    hub = open_hub(backlog=0)
    publish(hub, 1)
    assert drain(hub.subscribe()) == []


def test_a_negative_backlog_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        EventHub[Event](backlog=-1)
