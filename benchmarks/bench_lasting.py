"""Sessions that last: how soon they speak again after a cut, and what a day of them takes.

From the cut to the next audible answer: a session with so many items asks, over a real WebSocket on
the loopback interface; in the middle of the answer the connection is dropped, and what is told is
the time from when that is noticed until the first audio of the answer that was asked for again.
The peer is what a program would do by hand: open a session with the same history, and ask.  The
simulator answers at once and runs in this process, so both are made of work and round trips, and
not of waiting; the delay before the first attempt, 0.25 s unless told otherwise, is left out.

A day: the clock jumps, and every two minutes somebody speaks for two seconds and is answered for
three.  A minute of audio is kept, a new server is told the last fifty items, and the session loses
its connection once an hour, and is renewed when it has not.  Twice: once the conversation is left
to grow, and once it is compacted every hour, to a summary and the last twenty items, as a program
does that runs for long.  What is told is by how much the memory that Python has allocated, for
client and simulator together, has grown for every turn, from the end of the second hour (of the
tenth, if it is compacted) to the end of the last one.  Left out: what the system's allocator keeps.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Final

import numpy as np
import trio
from harness import Comparison, Report
from trio.testing import MockClock

from realtime_trio import ItemUpdated, Transport, open_session
from realtime_trio.events import Item, JsonObject
from realtime_trio.history import HistoryLimit
from realtime_trio.lasting import Reconnect, Reconnected, Reconnecting, SessionRenewed
from realtime_trio.simulator import (
    Fault,
    Reply,
    Script,
    SimulatedServer,
    open_simulator_transport,
    serve_simulator,
)

ITEMS: Final = (0, 100, 1000)
WORDS: Final = "One, two, three, four, five, six, seven, eight, nine, ten."
SPEECH: Final = np.resize(np.array([3000, -3000], np.int16), 48_000)
"""Two seconds."""
EVERY_MIN: Final = 2
"""Minutes between two turns of a long day."""
KEPT: Final = 20
"""Items that a compaction keeps."""
POLICY: Final = Reconnect(delay=0.0)


def history_of(items: int) -> list[JsonObject]:
    """So many messages, of users and of the model in turn."""
    kinds = (("user", "input_text"), ("assistant", "output_text"))
    return [
        {
            "type": "message",
            "id": f"item_{number}",
            "role": kinds[number % 2][0],
            "content": [{"type": kinds[number % 2][1], "text": f"Sentence number {number}."}],
        }
        for number in range(items)
    ]


async def opened(url: str, items: int) -> float:
    """Milliseconds from nothing to the first audio, in a session with this history."""
    began = time.perf_counter()
    async with open_session(url=url, api_key="key", history=history_of(items)) as session:
        with session.events(ItemUpdated) as updates:
            await session.respond()
            async for update in updates:
                if update.item.audio_ms > 0:
                    return (time.perf_counter() - began) * 1000
    raise AssertionError("nothing was said")


async def cut(url: str, items: int) -> float:
    """Milliseconds from a cut to the next audio, in a session with this history."""
    async with open_session(
        url=url, api_key="key", history=history_of(items), reconnect=POLICY
    ) as session:
        with session.events(Reconnecting, ItemUpdated) as events:
            await session.respond()
            noticed, before = None, None
            async for event in events:
                if isinstance(event, Reconnecting):
                    noticed = time.perf_counter()
                elif noticed is None:
                    before = event.item
                elif event.item is not before and event.item.audio_ms > 0:
                    return (time.perf_counter() - noticed) * 1000
    raise AssertionError("nothing was said again")


async def speak_again(items: int, rounds: int) -> Comparison:
    """Compare both, in turn."""
    again: list[float] = []
    anew: list[float] = []
    replies = [Reply.text(WORDS)] * 2
    for _ in range(rounds):
        async with trio.open_nursery() as nursery:
            # Of the first connection alone.
            drops = iter([[Fault.drop("response.output_audio.delta", nth=3)]])
            faults = partial(next, drops, [])
            url = await nursery.start(partial(serve_simulator, Script(replies), faults=faults))
            again.append(await cut(url, items))
            anew.append(await opened(url, items))
            nursery.cancel_scope.cancel()
    rounds_of = {"the same session": again, "opened by hand": anew}
    return Comparison(rounds=rounds_of, peer="opened by hand", unit="ms")  # noqa: ASYNC910


# --- a day ----------------------------------------------------------------------------------------


def allocated_kib() -> float:
    """What Python has allocated since it was asked to count."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1024


class Service:
    """A service that forgets its servers."""

    def __init__(self) -> None:
        self.line: Transport | None = None
        self.count = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Transport]:
        """Open a connection to another server."""
        self.count += 1
        names = partial("{1}{0}x{2}".format, self.count)
        numbers = count()
        server = SimulatedServer(
            Script(),
            new_id=lambda prefix: names(prefix, next(numbers)),
            epoch=time.time() - trio.current_time(),
        )
        async with open_simulator_transport(server) as self.line:
            yield self.line


async def summary_of(items: Sequence[Item]) -> str:
    """A summary, as long as that of a model would be."""
    await trio.lowlevel.checkpoint()
    return f"{len(items)} items. {WORDS * 5}"


async def talk(hours: int, *, compacts: bool) -> list[float]:
    """Talk for so many hours; returns the memory at the end of each."""
    service = Service()
    memory: list[float] = []
    async with open_session(
        transport=service.open,
        reconnect=POLICY,
        retention=60.0,
        history_limit=HistoryLimit(items=50),
        turn_detection=None,
        transcription="whisper-1",
    ) as session:
        changes = session.events(SessionRenewed, Reconnected)
        renewals = cuts = 0
        for hour in range(hours):
            for minute in range(0, 60, EVERY_MIN):
                await session.append_audio(SPEECH, chunk_ms=100)
                await session.commit_audio()
                if minute == 20:
                    assert service.line is not None
                    service.line.abort("a cut")  # type: ignore[attr-defined]
                answer = await session.ask(WORDS)
                assert answer.status == "completed"
                await trio.sleep_until(hour * 3600 + (minute + EVERY_MIN) * 60)
            if compacts:
                done = await session.compact(keep_items=KEPT, summarize=summary_of)
                assert done.removed
                assert len(session.conversation.items) <= KEPT + 2
            while changes.pending:
                if isinstance(changes.receive_nowait(), Reconnected):
                    cuts += 1
                else:
                    renewals += 1
            memory.append(allocated_kib())
        assert cuts == hours
        print(f"  {renewals} renewals, {cuts} cuts, {service.count} connections")
    return memory


def growth(hours: int, *, since: int, compacts: bool) -> float:
    """KiB that every turn adds to the memory, after the first hours."""
    how = ", compacted every hour" if compacts else ""
    print(f"\na day of {hours} hours, a turn every {EVERY_MIN} minutes{how}")
    tracemalloc.start()
    run = partial(talk, hours, compacts=compacts)
    memory = trio.run(run, clock=MockClock(autojump_threshold=0))
    tracemalloc.stop()
    grown = (memory[-1] - memory[since - 1]) / ((hours - since) * 60 / EVERY_MIN)
    print(f"  {memory[since - 1]:.0f} KiB after {since} hours, {memory[-1]:.0f} KiB after {hours}")
    print(f"  {grown:.2f} KiB for every turn")
    return grown


def main() -> int:
    report = Report("bench_lasting", __doc__)
    rounds = 5 if report.quick else 15
    ratios: dict[int, float] = {}
    for items in ITEMS:
        title = f"from a cut to the next audio, {items} items"
        compared = report.add(title, trio.run(speak_again, items, rounds))
        ratios[items] = compared.ratio("the same session", "opened by hand")
    hours = 4 if report.quick else 24
    growing = growth(hours, since=2, compacts=False)
    hours = 12 if report.quick else 24
    flat = growth(hours, since=10, compacts=True)
    print()
    report.meet("lasting.again", statistics.median(ratios.values()))
    report.meet("lasting.day", growing)
    report.meet("lasting.flat", flat)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
