"""How streams of events end, and what becomes of those that nobody holds."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio
from hub_events import Audio, Event, Text, drain, follow, open_hub, publish
from trio.testing import wait_all_tasks_blocked

from realtime_trio._runtime.hub import EventStream
from realtime_trio.errors import ConnectionLost, SessionClosed

# --- the end --------------------------------------------------------------------------------------


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


async def test_after_the_hub_closed_with_an_error_streams_drain_and_then_raise_it_every_time() -> (
    None
):
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
    hub = open_hub(capacity=1000)
    stream = hub.subscribe()
    publish(hub, *range(1000))
    seen: list[int] = []

    async def close() -> None:
        await trio.lowlevel.checkpoint()
        stream.close()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            await follow(stream, seen)
    assert len(seen) < 1000
    assert seen == list(range(len(seen)))


def test_subscribing_to_a_closed_hub_gives_what_was_kept_and_then_the_end() -> None:
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


# --- abandoned streams ----------------------------------------------------------------------------


def test_a_stream_nobody_references_unsubscribes_itself_and_lets_go_of_its_events() -> None:
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


def test_an_abandoned_stream_is_noticed_by_publish() -> None:
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
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, hub.subscribe(), seen)
            await wait_all_tasks_blocked()
            gc.collect()
            assert hub.stream_count == 1
            publish(hub, 1)
            await wait_all_tasks_blocked()
            assert seen == [1]
            nursery.cancel_scope.cancel()
    gc.collect()
    assert hub.stream_count == 0


def test_many_streams_come_and_go() -> None:
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


def test_which_streams_want_an_event_is_asked_once_a_class_also_after_one_was_closed() -> None:
    asked: list[type] = []

    class Counted(type):
        def __subclasscheck__(cls, subclass: type) -> bool:
            asked.append(subclass)
            return True

    class Wanted(metaclass=Counted):
        pass

    hub = open_hub()
    stream = hub.subscribe(Wanted)
    hub.subscribe().close()
    publish(hub, 1, 2, 3)
    assert stream.pending == 3
    assert asked == [Event]


def test_streams_that_come_and_go_do_not_pile_up_while_nothing_is_published() -> None:
    hub = open_hub()
    for _ in range(100):
        hub.subscribe().close()
    assert len(hub._buffers) <= 1
