"""What every client of the wire benchmarks does when it is told to, whatever its library.

A client is a process.  Orders come as JSON lines on standard input: `{"do": "flood", "url": ...}`;
each is run in an event loop of its own and answered by a JSON line.  What differs between libraries
is a `Wire`, of which each program in this folder has one, and between trio and asyncio a `Loop`.

Times are CPU time of the whole process, in seconds, but for latencies, which are from the moment
that the service wrote into the event to the moment the program has the event in its hands
(CLOCK_MONOTONIC is one clock for all processes).  The garbage collector is as it is in programs: it
runs when it wants, and looks at everything that the library has loaded.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import numpy as np

Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
Result = dict[str, float]
See = Callable[[str], None]

RATE: Final = 24_000
PAUSE_S: Final = 0.004
"""Between isolated appends: the loop, and the service, are idle by then."""
PACE_HZ: Final = 50
"""Events a second that the service sends in a pace."""
_GOLDEN: Final = (5**0.5 - 1) / 2
"""Its multiples, modulo 1, lie evenly: so the sessions of a crowd do not act at the same time."""


class Wire(Protocol):
    """A connection, ready for everything: what is measured of a library."""

    async def begin(self) -> None:
        """Send `input_audio_buffer.clear`, on which the service begins, or ends a pace."""
        ...

    async def drain(self) -> None:
        """Read events, as an application does, until `input_audio_buffer.cleared`."""
        ...

    async def listen(self, see: See) -> None:
        """Read events for ever and call `see` with the `event_id` of each server event."""
        ...

    async def append(self, samples: Samples) -> None:
        """Append audio, as an application does that has it in an array."""
        ...


Open = Callable[[str], AbstractAsyncContextManager[Wire]]
"""Opens a connection to a URL."""


class Group(Protocol):
    """Tasks that end with a block."""

    def start(
        self, function: Callable[..., Coroutine[object, object, None]], *args: object
    ) -> None:
        """Run it in a task."""
        ...


class Loop(Protocol):
    """An event loop."""

    def run(self, main: Callable[[], Coroutine[object, object, Result]]) -> Result:
        """Run a program to its end."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let others run for some time."""
        ...

    def group(self) -> AbstractAsyncContextManager[Group]:
        """Tasks that are cancelled when the block ends, and end it when one of them fails."""
        ...


class _AsyncioGroup:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self.started: list[asyncio.Task[None]] = []

    def start(
        self, function: Callable[..., Coroutine[object, object, None]], *args: object
    ) -> None:
        self.started.append(self._tasks.create_task(function(*args)))


class AsyncioLoop:
    """The loop that the standard library has by default."""

    def run(self, main: Callable[[], Coroutine[object, object, Result]]) -> Result:
        return asyncio.run(main())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        async with asyncio.TaskGroup() as tasks:
            group = _AsyncioGroup(tasks)
            yield group
            for task in group.started:
                task.cancel()


class Commands:
    """What a client can be told to do.

    Args:
        loop: Where it runs.
        open_wire: The library.
    """

    def __init__(self, loop: Loop, open_wire: Open) -> None:
        self._loop = loop
        self._open = open_wire

    async def flood(self, url: str) -> Result:
        """Take a flood; `idle` is the share of the time in which there was nothing to do."""
        async with self._open(url) as wire:
            gc.collect()
            await wire.begin()
            wall, cpu, waited = time.perf_counter(), time.process_time(), _waited()
            await wire.drain()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            return {"cpu_s": cpu, "idle": max(0.0, 1 - (cpu + _waited() - waited) / wall)}

    async def burst(self, url: str, appends: int, ms: int) -> Result:
        """Append as fast as possible, until all of it has reached the service."""
        async with self._open(url) as wire:
            samples = _samples(ms)
            gc.collect()
            cpu = time.process_time()
            for _ in range(appends):
                await wire.append(samples)
            await wire.begin()
            await wire.drain()
            return {"cpu_s": time.process_time() - cpu}

    async def isolated(self, url: str, appends: int, ms: int) -> Result:
        """Append with pauses; what the pauses cost alone is taken off."""
        async with self._open(url) as wire:
            samples = _samples(ms)
            gc.collect()
            busy = idle = 0.0
            for _ in range(appends):
                began = time.process_time()
                await wire.append(samples)
                await self._loop.sleep(PAUSE_S)
                appended = time.process_time()
                await self._loop.sleep(PAUSE_S)
                busy += appended - began
                idle += time.process_time() - appended
            return {"cpu_s": busy - idle}

    async def crowd(
        self, url: str, sessions: int, warm_s: float, seconds: float, append_ms: int
    ) -> Result:
        """Hold so many sessions in real time: each listens, and appends audio without a pause."""
        latencies: list[int] = []
        appended, talking, is_over = 0, sessions, False
        samples = _samples(append_ms)

        def see(event_id: str) -> None:
            if stamp := int(event_id[6:]):  # what opens an answer has none
                latencies.append(time.monotonic_ns() - stamp)

        async def talk(wire: Wire, start: float) -> None:
            nonlocal appended, talking
            await self._sleep_until(start)
            await wire.begin()
            turn = 0
            while not is_over:
                await wire.append(samples)
                appended += 1
                turn += 1
                await self._sleep_until(start + turn * append_ms / 1000)
            talking -= 1

        async with AsyncExitStack() as stack:
            wires = [await stack.enter_async_context(self._open(url)) for _ in range(sessions)]
            gc.collect()
            async with self._loop.group() as group:
                start = time.monotonic()
                period_s = max(append_ms / 1000, 1 / PACE_HZ)
                for number, wire in enumerate(wires):
                    group.start(wire.listen, see)
                    group.start(talk, wire, start + period_s * (number * _GOLDEN % 1))
                await self._loop.sleep(warm_s)
                latencies.clear()
                appended = 0
                began, cpu, waited = time.perf_counter(), time.process_time(), _waited()
                await self._loop.sleep(seconds)
                took = time.perf_counter() - began
                cpu, waited = time.process_time() - cpu, _waited() - waited
                seen, sent = sorted(latencies), appended
                is_over = True
                while talking:  # nobody is cancelled half way through a message
                    await self._loop.sleep(0.01)
            for wire in wires:  # closing is quicker when nothing arrives any more
                await wire.begin()
                await wire.drain()
        assert len(seen) > 0, "no event came"
        return {
            "cpu_ms_per_session_s": cpu * 1e3 / took / sessions,
            "load": cpu / took,
            "kept_waiting": waited / took,
            "p50_ms": seen[len(seen) // 2] / 1e6,
            "p99_ms": seen[len(seen) * 99 // 100] / 1e6,
            "received": len(seen) / (sessions * took * PACE_HZ),
            "appended": sent / (sessions * took * 1000 / append_ms),
        }

    async def hold(self, url: str, sessions: int, active: bool) -> Result:
        """Hold so many sessions; how much memory each of the second half took.

        Args:
            url: Of the service.
            sessions: In each half; the first is for what is allocated only once.
            active: Whether each of them has taken a flood.
        """
        async with AsyncExitStack() as stack:
            rss = [0.0, 0.0]
            for half in range(2):
                for _ in range(sessions):
                    wire = await stack.enter_async_context(self._open(url))
                    if active:
                        await wire.begin()
                        await wire.drain()
                await self._loop.sleep(0.2)
                gc.collect()
                rss[half] = _rss_kib()
            return {"kib_per_session": (rss[1] - rss[0]) / sessions}

    async def _sleep_until(self, moment: float) -> None:
        await self._loop.sleep(max(0.0, moment - time.monotonic()))


def _samples(ms: int) -> Samples:
    return np.random.default_rng(1).integers(-20_000, 20_000, RATE * ms // 1000, np.int16)


def _waited() -> float:
    """Seconds that other processes kept this one from running, where the system tells."""
    schedule = Path("/proc/self/schedstat")
    return int(schedule.read_text().split()[1]) / 1e9 if schedule.exists() else 0.0


def _rss_kib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def obey(loop: Loop, open_wire: Open) -> None:
    """Carry out the orders of standard input."""
    commands = Commands(loop, open_wire)
    for line in sys.stdin:
        order = json.loads(line)
        command = getattr(commands, order.pop("do"))
        gc.collect()
        print(json.dumps(loop.run(lambda: command(**order))), flush=True)  # noqa: B023
