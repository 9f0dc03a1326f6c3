"""Streams are independent, bounded, resumable, and never lose an event without saying so."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from realtime_trio.errors import ConnectionLost, SessionClosed, SlowConsumer
from realtime_trio.hub import CHECKPOINT_EVERY, EventHub, EventStream

if TYPE_CHECKING:
    from typing import assert_type


class Event:
    def __init__(self, number: int = 0) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.number})"


class Text(Event):
    pass


class LongText(Text):
    pass


class Audio(Event):
    pass


def open_hub(*, capacity: int = 8, backlog: int = 0) -> EventHub[Event]:
    return EventHub(capacity=capacity, backlog=backlog)


def drain(stream: EventStream[Event]) -> list[int | str]:
    """Everything a stream has to say at the moment: numbers of events, gaps, the end."""
    said: list[int | str] = []
    while True:
        try:
            said.append(stream.receive_nowait().number)
        except SlowConsumer as gap:
            said.append(f"missed {gap.dropped}")
        except SessionClosed:
            return [*said, "end"]
        except trio.WouldBlock:
            return said


def publish(hub: EventHub[Event], *numbers: int) -> None:
    for number in numbers:
        hub.publish(Event(number))


@contextmanager
def a_task_is_reading(stream: EventStream[Event], nursery: trio.Nursery, seen: list[Event]) -> Iterator[None]:
    async def read() -> None:
        seen.append(await stream.receive())

    nursery.start_soon(read)
    yield


# --- receiving ----------------------------------------------------------------------------------------------------------------------


async def test_events_arrive_in_the_order_they_were_published() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    publish(hub, 1, 2, 3)
    assert stream.pending == 3
    assert [(await stream.receive()).number for _ in range(3)] == [1, 2, 3]
    assert stream.pending == 0


async def test_streams_are_independent_views_and_not_shares() -> None:
    hub = open_hub()
    streams = [hub.subscribe() for _ in range(3)]
    publish(hub, 1, 2)
    assert [drain(stream) for stream in streams] == [[1, 2]] * 3


async def test_a_stream_is_active_at_the_call_and_sees_nothing_from_before() -> None:
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
    resumed = 0

    async def consume() -> None:
        async for event in stream:
            seen.append(event.number)

    class CountResumes(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal resumed
            resumed += task.name.endswith("consume")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume)
            await wait_all_tasks_blocked()
            counter = CountResumes()
            trio.lowlevel.add_instrument(counter)
            publish(hub, *range(8))
            await wait_all_tasks_blocked()
            trio.lowlevel.remove_instrument(counter)
            assert seen == list(range(8))
            assert resumed == 1
            nursery.cancel_scope.cancel()


async def test_receive_nowait_would_block_when_there_is_nothing() -> None:
    stream = open_hub().subscribe()
    with pytest.raises(trio.WouldBlock):
        stream.receive_nowait()


async def test_a_second_task_on_the_same_stream_is_refused() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    seen: list[Event] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            with a_task_is_reading(stream, nursery, seen):
                await wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await stream.receive()
                with pytest.raises(trio.BusyResourceError):
                    await anext(stream)
                publish(hub, 1)
                with pytest.raises(trio.BusyResourceError):
                    stream.receive_nowait()
    assert [event.number for event in seen] == [1]
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


async def test_an_event_published_before_the_cancellation_of_a_waiting_receive_is_delivered() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    seen: list[Event] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            with a_task_is_reading(stream, nursery, seen):
                await wait_all_tasks_blocked()
                publish(hub, 1)
                nursery.cancel_scope.cancel()
    assert [event.number for event in seen] == [1]
    assert drain(stream) == []


async def test_a_cancelled_checkpoint_of_a_hot_receive_loses_no_event() -> None:
    hub = open_hub(capacity=100)
    stream = hub.subscribe()
    publish(hub, *range(40))
    seen = []
    for _ in range(20):
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive()
        seen.append((await stream.receive()).number)
    assert [*seen, *drain(stream)] == list(range(40))


# --- checkpoints --------------------------------------------------------------------------------------------------------------------


async def test_every_sixteenth_hot_receive_lets_others_run_and_the_rest_do_not() -> None:
    hub = open_hub(capacity=100)
    stream = hub.subscribe()
    publish(hub, *range(100))
    for _ in range(3):
        for _ in range(CHECKPOINT_EVERY - 1):
            before = trio.lowlevel.current_statistics().tasks_runnable
            await stream.receive()
            assert trio.lowlevel.current_statistics().tasks_runnable == before
        with assert_checkpoints():
            await stream.receive()


async def test_a_hot_consumer_does_not_starve_another_task() -> None:
    hub = open_hub(capacity=1000)
    stream = hub.subscribe()
    publish(hub, *range(1000))
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
            for _ in range(1000):
                await stream.receive()
                in_a_row += 1
                longest = max(longest, in_a_row)
            nursery.cancel_scope.cancel()
    assert turns >= 1000 // CHECKPOINT_EVERY - 1
    assert longest <= 2 * CHECKPOINT_EVERY


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


async def test_publish_and_subscribe_and_close_are_not_checkpoints() -> None:
    hub = open_hub()
    with assert_no_checkpoints(), hub.subscribe():
        publish(hub, 1)
        hub.close()


# --- types --------------------------------------------------------------------------------------------------------------------------


async def test_types_narrow_a_stream_and_include_subclasses() -> None:
    hub = open_hub()
    everything, text, both = hub.subscribe(), hub.subscribe(Text), hub.subscribe(Audio, LongText)
    for event in (Event(1), Text(2), LongText(3), Audio(4), Text(5)):
        hub.publish(event)
    assert drain(everything) == [1, 2, 3, 4, 5]
    assert drain(text) == [2, 3, 5]
    assert drain(both) == [3, 4]


async def test_a_stream_that_comes_later_sees_types_published_before_it() -> None:
    hub = open_hub()
    first = hub.subscribe(Text)
    hub.publish(Text(1))
    second = hub.subscribe(Text)
    hub.publish(Text(2))
    assert drain(first) == [1, 2]
    assert drain(second) == [2]


async def test_only_classes_narrow_a_stream() -> None:
    hub = open_hub()
    with pytest.raises(TypeError, match="classes of events"):
        hub.subscribe(Text(1))  # type: ignore[call-overload]
    publish(hub, 1)


if TYPE_CHECKING:

    def types_are_inferred(hub: EventHub[Event], many: tuple[type[Event], ...]) -> EventStream[object]:
        assert_type(hub.subscribe(), EventStream[Event])
        assert_type(hub.subscribe(Text), EventStream[Text])
        assert_type(hub.subscribe(Text, Audio), EventStream[Text | Audio])
        assert_type(hub.subscribe(*many), EventStream[Event])
        return hub.subscribe(Text, capacity=1)


# --- overflow -----------------------------------------------------------------------------------------------------------------------


async def test_overflow_is_reported_once_in_its_place_and_the_stream_goes_on() -> None:
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

    async def iterate() -> None:
        async for event in stream:
            seen.append(event.number)

    with pytest.raises(SlowConsumer):
        await iterate()
    publish(hub, 4)
    hub.close()
    await iterate()
    assert seen == [1, 2, 4]


async def test_only_the_laggard_pays() -> None:
    hub = open_hub(capacity=100)
    slow, roomy, narrow = hub.subscribe(capacity=1), hub.subscribe(), hub.subscribe(Text, capacity=1)
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


# --- the backlog --------------------------------------------------------------------------------------------------------------------


async def test_what_comes_before_the_first_subscription_is_kept_for_it_and_for_nobody_else() -> None:
    hub = open_hub(backlog=10)
    publish(hub, 1, 2)
    first, second = hub.subscribe(), hub.subscribe()
    publish(hub, 3)
    assert drain(first) == [1, 2, 3]
    assert drain(second) == [3]


async def test_the_first_stream_gets_only_the_kept_events_that_match_and_the_others_are_gone() -> None:
    hub = open_hub(backlog=10)
    for event in (Text(1), Audio(2), LongText(3)):
        hub.publish(event)
    first, second = hub.subscribe(Text), hub.subscribe()
    assert drain(first) == [1, 3]
    assert drain(second) == []


async def test_nothing_is_kept_again_once_somebody_has_subscribed() -> None:
    hub = open_hub(backlog=10)
    hub.subscribe().close()
    publish(hub, 1)
    assert drain(hub.subscribe()) == []


async def test_a_full_backlog_is_a_gap_for_the_first_stream() -> None:
    hub = open_hub(backlog=2)
    publish(hub, 1, 2, 3, 4)
    stream = hub.subscribe()
    publish(hub, 5)
    assert drain(stream) == [1, 2, "missed 3"]
    publish(hub, 6)
    assert drain(stream) == [6]


async def test_a_gap_in_the_backlog_counts_only_events_of_the_stream() -> None:
    for types, expected in ((Text, [1, "missed 2"]), (Audio, [])):
        hub = open_hub(backlog=1)
        for event in (Text(1), Text(2), LongText(3), Event(4)):
            hub.publish(event)
        assert drain(hub.subscribe(types)) == expected


async def test_kept_events_are_delivered_even_beyond_the_capacity_of_the_stream() -> None:
    hub = open_hub(backlog=10)
    publish(hub, 1, 2, 3)
    stream = hub.subscribe(capacity=2)
    publish(hub, 4)
    assert drain(stream) == [1, 2, 3, "missed 1"]


async def test_a_hub_without_backlog_keeps_and_reports_nothing() -> None:
    hub = open_hub(backlog=0)
    publish(hub, 1)
    assert drain(hub.subscribe()) == []


def test_a_negative_backlog_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        EventHub[Event](backlog=-1)


# --- the end ------------------------------------------------------------------------------------------------------------------------


async def test_after_the_hub_closed_streams_drain_and_then_end_for_good() -> None:
    hub = open_hub(capacity=2)
    stream, overflown = hub.subscribe(), hub.subscribe(capacity=1)
    publish(hub, 1, 2)
    hub.close()
    hub.close(ConnectionLost(1006))
    publish(hub, 3)
    assert [event.number async for event in stream] == [1, 2]
    assert [event.number async for event in stream] == []
    assert drain(overflown) == [1, "missed 1", "end"]
    assert drain(overflown) == ["end"]
    with pytest.raises(SessionClosed):
        await stream.receive()


async def test_after_the_hub_closed_with_an_error_streams_drain_and_then_raise_it_every_time() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    publish(hub, 1)
    error = ConnectionLost(1006)
    hub.close(error)
    assert (await anext(stream)).number == 1
    for _ in range(2):
        with pytest.raises(ConnectionLost) as caught:
            await anext(stream)
        assert caught.value is error
        with pytest.raises(ConnectionLost):
            await stream.receive()
        with pytest.raises(ConnectionLost):
            stream.receive_nowait()


async def test_waiting_tasks_end_when_the_hub_or_their_stream_closes() -> None:
    hub = open_hub()
    ended: list[str] = []

    async def consume(name: str, stream: EventStream[Event]) -> None:
        async for _ in stream:
            pytest.fail("nothing was published")
        ended.append(name)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            mine, other = hub.subscribe(), hub.subscribe()
            nursery.start_soon(consume, "mine", mine)
            nursery.start_soon(consume, "other", other)
            await wait_all_tasks_blocked()
            mine.close()
            await wait_all_tasks_blocked()
            assert ended == ["mine"]
            hub.close()
    assert ended == ["mine", "other"]


async def test_a_closed_stream_discards_what_it_had_and_ends_and_says_nothing_of_errors() -> None:
    hub = open_hub(capacity=1)
    with hub.subscribe() as stream:
        publish(hub, 1, 2)
    assert drain(stream) == ["end"]
    stream.close()
    publish(hub, 3)
    assert [event async for event in stream] == []
    hub.close(ConnectionLost(1006))
    assert drain(stream) == ["end"]
    late = hub.subscribe()
    late.close()
    assert drain(late) == ["end"]


async def test_a_stream_closed_while_its_consumer_lets_others_run_ends() -> None:
    hub = open_hub(capacity=100)
    stream = hub.subscribe()
    publish(hub, *range(100))
    seen: list[int] = []

    async def close() -> None:
        await trio.lowlevel.checkpoint()
        stream.close()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            async for event in stream:
                seen.append(event.number)
    assert len(seen) < 100
    assert seen == list(range(len(seen)))


async def test_subscribing_to_a_closed_hub_gives_what_was_kept_and_then_the_end() -> None:
    hub = open_hub(backlog=10)
    publish(hub, 1)
    hub.close()
    publish(hub, 2)
    assert drain(hub.subscribe()) == [1, "end"]
    assert drain(hub.subscribe()) == ["end"]
    assert hub.stream_count == 0


async def test_subscribing_to_a_hub_closed_with_an_error_raises_it_at_the_end() -> None:
    hub = open_hub()
    hub.close(ConnectionLost(1011))
    with pytest.raises(ConnectionLost):
        await hub.subscribe().receive()


# --- abandoned streams --------------------------------------------------------------------------------------------------------------


async def test_a_stream_nobody_references_unsubscribes_itself_and_lets_go_of_its_events() -> None:
    hub = open_hub()
    stream, other = hub.subscribe(), hub.subscribe(Audio)
    event = Text(1)
    hub.publish(event)
    held = weakref.ref(event)
    del event, stream
    gc.collect()
    assert held() is None
    assert hub.stream_count == 1
    hub.publish(Audio(2))
    assert drain(other) == [2]


async def test_an_abandoned_stream_is_noticed_by_publish() -> None:
    hub = open_hub()
    stream = hub.subscribe()
    publish(hub, 1)
    del stream
    gc.collect()
    event = Event(2)
    held = weakref.ref(event)
    hub.publish(event)
    del event
    assert held() is None


async def test_a_task_that_waits_keeps_its_stream_alive() -> None:
    hub = open_hub()
    seen: list[int] = []

    async def consume() -> None:
        async for event in hub.subscribe():
            seen.append(event.number)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume)
            await wait_all_tasks_blocked()
            gc.collect()
            assert hub.stream_count == 1
            publish(hub, 1)
            await wait_all_tasks_blocked()
            assert seen == [1]
            nursery.cancel_scope.cancel()
    gc.collect()
    assert hub.stream_count == 0


async def test_many_streams_come_and_go() -> None:
    hub = open_hub(capacity=1000)
    streams: dict[int, EventStream[Event]] = {}
    for number in range(300):
        streams[number] = hub.subscribe()
        publish(hub, number)
        if number >= 100:
            gone = streams.pop(number - 100)
            assert drain(gone) == list(range(number - 100, number + 1))
            if number % 2:
                gone.close()
    del gone
    gc.collect()
    assert hub.stream_count == 100
    assert all(drain(stream) == list(range(first, 300)) for first, stream in streams.items())


# --- a model ------------------------------------------------------------------------------------------------------------------------

KINDS: list[type[Event]] = [Event, Text, LongText, Audio]

operations = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("publish"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("subscribe"), st.integers(0, 4), st.integers(1, 4)),
        st.tuples(st.just("iterate and break"), st.integers(0, 9), st.integers(1, 5)),
        st.tuples(st.just("receive"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("close stream"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("close hub"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


def expect(model: list[int | str], number: int, capacity: int) -> None:
    """What one more event does to what a stream is going to say."""
    if model and isinstance(model[-1], str):
        model[-1] = f"missed {int(model[-1].split()[1]) + 1}"
    else:
        model.append(number if len(model) < capacity else "missed 1")


@settings(deadline=None, max_examples=200)
@given(operations, st.integers(0, 4))
async def test_a_stream_says_what_a_list_would_say(steps: list[tuple[str, int, int]], backlog: int) -> None:
    hub = open_hub(backlog=backlog)
    published: list[Event] | None = [] if backlog else None
    closed = False
    streams: list[EventStream[Event]] = []
    models: list[list[int | str]] = []
    filters: list[tuple[type[Event], int]] = []
    number = 0

    async def say_next(index: int) -> int | str | None:
        try:
            return (await streams[index].receive()).number
        except SlowConsumer as gap:
            return f"missed {gap.dropped}"
        except SessionClosed:
            return None

    for step, choice, amount in steps:
        index = choice % len(streams) if streams else 0
        if step == "publish":
            number += 1
            event = KINDS[choice](number)
            hub.publish(event)
            if published is not None and not closed:
                published.append(event)
            for model, stream, (kind, capacity) in zip(models, streams, filters, strict=True):
                if isinstance(event, kind) and not closed and stream in open_streams(streams, models):
                    expect(model, number, capacity)
        elif step == "subscribe":
            kind = KINDS[choice % len(KINDS)]
            stream = hub.subscribe(capacity=amount) if kind is Event else hub.subscribe(kind, capacity=amount)
            model = []
            if published is not None:
                kept, missed = published[:backlog], published[backlog:]
                model += [event.number for event in kept if isinstance(event, kind)]
                if any(isinstance(event, kind) for event in missed):
                    model.append(f"missed {sum(isinstance(event, kind) for event in missed)}")
                published = None
            streams.append(stream)
            models.append(model)
            filters.append((kind, amount))
