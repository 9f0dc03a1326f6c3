"""A stream says what a list would say, whatever is done to its hub."""

from __future__ import annotations

import trio
from attrs import Factory, define
from hub_events import Audio, Event, LongText, Text, drain, open_hub
from hypothesis import given, settings, strategies as st

from realtime_trio._runtime.hub import EventStream
from realtime_trio.errors import SessionClosed, SlowConsumer

KINDS: list[type[Event]] = [Event, Text, LongText, Audio]


@define
class View:
    """A stream, and what it should say: numbers of events, and -n for a gap of n events."""

    stream: EventStream[Event]
    kind: type[Event]
    capacity: int
    says: list[int] = Factory(list)
    open: bool = True

    def expect(self, number: int) -> None:
        if self.says and self.says[-1] < 0:
            self.says[-1] -= 1
        else:
            self.says.append(number if len(self.says) < self.capacity else -1)

    async def receive(self) -> int | None:
        await trio.lowlevel.checkpoint()
        try:
            return (await self.stream.receive()).number
        except SlowConsumer as gap:
            return -gap.dropped
        except SessionClosed:
            return None

    async def iterate_and_break(self, count: int) -> list[int]:
        await trio.lowlevel.checkpoint()
        said: list[int] = []
        try:
            async for event in self.stream:
                said.append(event.number)
                if len(said) == count:
                    break
        except SlowConsumer as gap:
            said.append(-gap.dropped)
        return said


def expected_from_backlog(events: list[Event], backlog: int, kind: type[Event]) -> list[int]:
    kept = [event.number for event in events[:backlog] if isinstance(event, kind)]
    missed = sum(isinstance(event, kind) for event in events[backlog:])
    return [*kept, -missed] if missed else kept


STEPS = ["publish"] * 4 + ["receive", "iterate and break", "subscribe", "close stream", "close hub"]


@settings(deadline=None, max_examples=150)
@given(st.data(), st.lists(st.sampled_from(STEPS), max_size=50), st.integers(0, 4))
async def test_a_stream_says_what_a_list_would_say(
    data: st.DataObject, steps: list[str], backlog: int
) -> None:
    hub = open_hub(backlog=backlog)
    closed = False
    before_anybody: list[Event] = []
    views: list[View] = []
    await trio.lowlevel.checkpoint()
    for number, step in enumerate(steps, start=1):
        if step == "publish":
            event = data.draw(st.sampled_from(KINDS))(number)
            hub.publish(event)
            if backlog and not views and not closed:
                before_anybody.append(event)
            for view in views:
                if view.open and isinstance(event, view.kind):
                    view.expect(number)
        elif step == "subscribe":
            kind, capacity = data.draw(st.sampled_from(KINDS)), data.draw(st.integers(1, 4))
            says = [] if views else expected_from_backlog(before_anybody, backlog, kind)
            views.append(
                View(hub.subscribe(kind, capacity=capacity), kind, capacity, says, open=not closed)
            )
        elif step == "close hub":
            closed = True
            hub.close()
            for view in views:
                view.open = False
        elif views:
            view = data.draw(st.sampled_from(views))
            if step == "close stream":
                view.stream.close()
                view.open, view.says = False, []
            elif step == "receive" and (view.says or not view.open):
                assert await view.receive() == (view.says.pop(0) if view.says else None)
            elif step == "iterate and break":
                gap = next(
                    (place for place, what in enumerate(view.says) if what < 0), len(view.says) - 1
                )
                count = min(data.draw(st.integers(1, 5)), gap + 1) if view.says else 0
                if count or not view.open:
                    assert await view.iterate_and_break(count) == view.says[:count]
                    del view.says[:count]
    for view in views:
        assert view.stream.pending == sum(what > 0 for what in view.says)
        said = [
            what if isinstance(what, int) else -int(what.split()[1])
            for what in drain(view.stream)
            if what != "end"
        ]
        assert said == view.says
