"""The server of `bench_simulator`: a simulator in a process of its own.

If the number of a core is given, the process keeps to that one.

Prints its URL.  Then it prints for every line of input how many nanoseconds it has been running so
far and, where the system tells, how many it was kept waiting for its core by other processes.  It
leaves when there is no more input.

The garbage collector is told to look seldom, and not at what was loaded: by default, with 200
clients, a full collection stopped everybody for 0.1 s once or twice in half a minute.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import trio

from realtime_trio.simulator import LIFELIKE, Reply, Script, serve_simulator

ANSWER: Final = "It is sunny today, and quite warm."
MOST: Final = 1000
"""Connections at once: more than are tried."""
ANSWERS: Final = 50
"""More than anybody asks for: what the simulator says by itself depends on what it was asked."""


async def serve() -> None:
    """Answer everybody with the same words until there is no more input."""
    async with trio.open_nursery() as nursery:
        script = Script([Reply.text(ANSWER)] * ANSWERS, pacing=LIFELIKE)
        serve = partial(serve_simulator, max_connections=MOST)
        print(await nursery.start(serve, script), flush=True)
        await trio.to_thread.run_sync(report_times)
        nursery.cancel_scope.cancel()


def report_times() -> None:
    """Answer every line of input."""
    # Of the main thread: nanoseconds on a core, nanoseconds waiting for one, and how often it ran.
    schedule = Path("/proc/self/schedstat")
    for _ in sys.stdin:
        waited = schedule.read_text().split()[1] if schedule.exists() else "0"
        print(time.process_time_ns(), waited, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    trio.run(serve)
