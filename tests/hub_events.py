"""Events for the tests of the hub, and short ways to publish and to receive them."""

from __future__ import annotations

import trio

from realtime_trio._runtime.hub import EventHub, EventStream
from realtime_trio.errors import SessionClosed, SlowConsumer


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


async def follow(stream: EventStream[Event], seen: list[int]) -> None:
    see = seen.append
    async for event in stream:
        see(event.number)
