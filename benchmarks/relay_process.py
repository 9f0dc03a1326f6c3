"""The relay of `bench_relay`: in a process of its own, between the service and the guests.

Prints `{"port": ...}` first.  Answers every line of input with what it has used so far: seconds of
a core, seconds that others kept it from one, and KiB of memory; and leaves when there is no more.

Usage: relay_process.py URL_OF_THE_SERVICE
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from realtime_trio.money import Budget
from realtime_trio.relay import AuditRecord, Grant, HandshakeRequest, serve_relay

MOST: Final = 2000
"""Sessions at once: more than are tried."""


async def serve(service: str) -> None:
    """Let everybody in, with every limit that a grant has."""

    async def authorize(_request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        return Grant(sessions=math.inf, budget=Budget(tokens=10**9))

    async with trio.open_nursery() as nursery:
        relay = partial(serve_relay, authorize, service=service, max_sessions=MOST, audit=forget)
        url: str = await nursery.start(relay)
        print(json.dumps({"port": urlsplit(url).port}), flush=True)
        await trio.to_thread.run_sync(report)
        nursery.cancel_scope.cancel()


def forget(_record: AuditRecord) -> None:
    """Nobody reads it."""


def report() -> None:
    """Answer every line of input."""
    # Of the main thread: nanoseconds on a core, nanoseconds waiting for one, and how often it ran.
    schedule, memory = Path("/proc/self/schedstat"), Path("/proc/self/statm")
    for line in sys.stdin:
        if json.loads(line).get("collect"):
            gc.collect()
        pages = int(memory.read_text().split()[1]) if memory.exists() else 0
        waited = int(schedule.read_text().split()[1]) if schedule.exists() else 0
        used = {
            "cpu_s": time.process_time(),
            "waited_s": waited / 1e9,
            "rss_kib": pages * os.sysconf("SC_PAGE_SIZE") / 1024,
        }
        print(json.dumps(used), flush=True)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    trio.run(serve, sys.argv[1])
