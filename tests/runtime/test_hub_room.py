"""How many bytes of messages a stream buffers: the bound beside the number of events."""

from __future__ import annotations

from collections import deque

from hub_events import Audio, Event, Text, drain
from hypothesis import given, strategies as st

from realtime_trio._runtime.hub import EventHub


def open_hub(*, room: int, backlog: int = 0) -> EventHub[Event]:
    return EventHub(capacity=100, backlog=backlog, room=room)


def test_a_stream_misses_what_would_take_more_room_than_it_has() -> None:
    hub = open_hub(room=100)
    stream = hub.subscribe()
    for number in range(5):
        hub.publish(Event(number), size=40)
    # The third one exceeds the bound: what is full already takes no more.
    assert drain(stream) == [0, 1, 2, "missed 2"]
    hub.publish(Event(5), size=40)
    assert drain(stream) == [5]


def test_an_event_beyond_all_bounds_has_its_chance() -> None:
    hub = open_hub(room=100)
    stream = hub.subscribe()
    for number in range(3):
        hub.publish(Event(number), size=10_000)
        assert drain(stream) == [number]


def test_room_is_given_back_event_by_event() -> None:
    hub = open_hub(room=100)
    stream = hub.subscribe()
    for number in range(20):
        hub.publish(Event(number), size=40)
        hub.publish(Event(100 + number), size=40)
        assert stream.receive_nowait().number == number
        assert stream.receive_nowait().number == 100 + number
    assert drain(stream) == []


def test_events_without_a_size_are_bounded_by_their_number_alone() -> None:
    hub = open_hub(room=1)
    stream = hub.subscribe()
    for number in range(100):
        hub.publish(Event(number))
    assert stream.pending == 100


def test_only_the_laggard_misses_something() -> None:
    hub = open_hub(room=100)
    laggard, reader = hub.subscribe(), hub.subscribe()
    seen = []
    for number in range(5):
        hub.publish(Event(number), size=100)
        seen += drain(reader)
    assert seen == [0, 1, 2, 3, 4]
    assert drain(laggard) == [0, "missed 4"]


def test_what_follows_from_an_event_shares_its_message() -> None:
    hub = open_hub(room=100)
    both, followers = hub.subscribe(), hub.subscribe(Text)
    for number in range(3):
        hub.publish(Audio(number), size=60)
        hub.publish(Text(number + 10), size=60, follows=True)
        hub.publish(Text(number + 20), size=60, follows=True)
    assert drain(both) == [0, 10, 20, 1, 11, 21, "missed 3"]
    # Who gets only what follows holds on to the message all the same, and once.
    assert drain(followers) == [10, 20, 11, 21, "missed 2"]


def test_what_is_kept_for_the_first_stream_is_bounded_in_bytes_too() -> None:
    hub = open_hub(room=100, backlog=50)
    for number in range(3):
        hub.publish(Audio(number), size=60)
        hub.publish(Text(number + 10), size=60, follows=True)
    stream = hub.subscribe()
    assert drain(stream) == [0, 10, 1, 11, "missed 2"]
    hub.publish(Event(5), size=60)
    assert drain(stream) == [5]


def test_what_was_kept_takes_room_in_the_first_stream() -> None:
    hub = open_hub(room=100, backlog=50)
    hub.publish(Event(0), size=60)
    hub.publish(Event(1), size=60)
    stream = hub.subscribe()
    hub.publish(Event(2), size=60)
    assert drain(stream) == [0, 1, "missed 1"]


def test_a_closed_stream_takes_no_room() -> None:
    hub = open_hub(room=100)
    stream = hub.subscribe()
    hub.publish(Event(0), size=1000)
    stream.close()
    assert (drain(stream), stream.pending) == (["end"], 0)


def test_room_that_is_used_up_exactly_is_full() -> None:
    for backlog in (0, 50):
        hub = open_hub(room=100, backlog=backlog)
        stream = None if backlog else hub.subscribe()
        for number in range(3):
            hub.publish(Event(number), size=50)
        assert drain(stream or hub.subscribe()) == [0, 1, "missed 1"]


def test_what_follows_from_an_event_takes_no_room_at_all() -> None:
    hub = open_hub(room=61)
    stream = hub.subscribe()
    hub.publish(Audio(0), size=60)
    hub.publish(Text(10), size=60, follows=True)
    hub.publish(Audio(1), size=60)
    assert drain(stream) == [0, 10, 1]


def test_short_messages_are_bounded_by_their_number_alone() -> None:
    hub: EventHub[Event] = EventHub(capacity=10, backlog=0, room=100)
    stream = hub.subscribe()
    for number in range(12):
        hub.publish(Event(number), size=10)
    assert drain(stream) == [*range(10), "missed 2"]


def test_beside_long_messages_there_is_room_for_fewer_short_ones() -> None:
    hub: EventHub[Event] = EventHub(capacity=10, backlog=0, room=100)
    stream = hub.subscribe()
    hub.publish(Event(0), size=75)
    for number in range(1, 6):
        hub.publish(Event(number), size=10)
    # The third short one exceeds the bound, as any last one may.
    assert drain(stream) == [0, 1, 2, 3, "missed 2"]
    for number in range(12):
        hub.publish(Event(number), size=10)
    assert drain(stream) == [*range(10), "missed 2"]


@given(st.lists(st.one_of(st.integers(0, 150), st.none()), max_size=60), st.integers(1, 12))
def test_a_stream_never_holds_more_than_its_room_and_one_message(
    steps: list[int | None], capacity: int
) -> None:
    hub: EventHub[Event] = EventHub(capacity=capacity, backlog=0, room=100)
    stream = hub.subscribe()
    held: deque[int] = deque()
    for size in steps:
        if size is not None:
            taken = stream.pending
            hub.publish(Event(), size=size)
            if stream.pending > taken:
                assert sum(held) < 100
                assert len(held) < capacity
                held.append(size)
        elif held:
            stream.receive_nowait()
            held.popleft()
        elif drain(stream) == []:
            # Nothing is in there: whatever comes next is taken.
            hub.publish(Event(), size=100_000)
            assert stream.pending == 1
            stream.receive_nowait()


def test_a_stream_that_is_full_takes_short_messages_no_more_than_long_ones() -> None:
    hub = open_hub(room=100)
    stream = hub.subscribe()
    hub.publish(Event(0), size=100)
    hub.publish(Event(1))
    assert stream.receive_nowait().number == 0
    # There is room again, but nothing may come before the gap.
    hub.publish(Event(2))
    assert drain(stream) == ["missed 2"]
    hub.publish(Event(3))
    assert drain(stream) == [3]


def test_room_counts_again_behind_a_gap() -> None:
    hub = open_hub(room=100)
    stream = hub.subscribe()
    for _ in range(2):
        for number in range(3):
            hub.publish(Event(number), size=60)
        assert drain(stream) == [0, 1, "missed 1"]
