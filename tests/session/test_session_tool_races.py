"""A connection that ends while a change of the tools is being queued, in every tick of the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
import trio
from peers import memory_server
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import tool
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.errors import ConnectionLost, SessionClosed
from realtime_trio.events import RealtimeSession, SessionCreated

End = Literal["clean", "lost"]
Change = Callable[[Session], Awaitable[object]]


@tool
def old() -> None:
    """Be there already."""


@tool
def new() -> None:
    """Come later."""


CHANGES: dict[str, Change] = {
    "update": lambda session: session.update(tools=[new.definition]),
    "add_tool": lambda session: session.add_tool(new),
    "remove_tool": lambda session: session.remove_tool("old"),
    "set_tools": lambda session: session.set_tools([new]),
}


class EndAt(trio.abc.Instrument):
    """Calls `end` before the n-th step that any task makes since there is an `end`."""

    def __init__(self, step: int) -> None:
        self.steps_left = step
        self.end: Callable[[], None] | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.end is not None:
            self.steps_left -= 1
            if self.steps_left == 0:
                self.end()


async def outcome_of(change: Change, end: End, instrument: EndAt) -> str:
    """What the caller of a change saw, and then what left the session.

    The server never answers; if the connection has not ended when everybody waits, it ends then.
    """
    near, server = memory_server()
    config = RealtimeSession(model="gpt-realtime", tools=(old.definition,))
    await server.say(SessionCreated(event_id="event_1", session=config))
    seen = []

    def end_it() -> None:
        if end == "lost":
            server.drop()
        else:
            # What `aclose` does before its only checkpoint.
            coroutine = server.transport.aclose()
            coroutine.send(None)
            coroutine.close()

    async def end_at_last() -> None:
        await wait_all_tasks_blocked()
        end_it()

    with trio.fail_after(60):  # noqa: ASYNC912 - opening a session is where it waits
        async with trio.open_nursery() as nursery:
            try:
                async with open_session(transport=near) as session:
                    nursery.start_soon(end_at_last)
                    instrument.end = end_it
                    try:
                        await change(session)
                    except (SessionClosed, trio.Cancelled) as error:
                        seen.append(type(error).__name__)
                        raise
            except (SessionClosed, ConnectionLost) as error:
                seen.append(type(error).__name__)
    return ", then ".join(seen)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("clean", "SessionClosed, then SessionClosed"),
        ("lost", "Cancelled, then ConnectionLost"),
    ],
)
def test_an_end_in_any_tick_of_a_change_is_told_as_the_end_it_is(
    change: str, end: End, expected: str
) -> None:
    for step in range(1, 1000):
        # Which of two tasks goes first is drawn; after a few runs both orders have been seen.
        for _ in range(4):
            instrument = EndAt(step)
            outcome = trio.run(
                outcome_of,
                CHANGES[change],
                end,
                instrument,
                clock=MockClock(autojump_threshold=0),
                instruments=[instrument],
            )
            assert outcome == expected, f"when the connection ends before step {step}"
        if instrument.steps_left > 0:
            assert step > 5
            return
    pytest.fail("a change takes more steps than that?")
