"""Work on files, which never keeps trio's loop waiting.

Owns the thread in which such work is done, and the writing of all of what is to be written.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import TypeVar

import trio

_T = TypeVar("_T")


async def in_thread(limiter: trio.CapacityLimiter, work: Callable[[], _T]) -> _T:
    """Do some work in a thread; under an autojump clock, which would run ahead of it, right here.

    Args:
        limiter: One of the caller's own, so that it never waits for the threads of others.
        work: What is to be done.
    """
    # While a thread works, all tasks may be waiting, and an autojump clock would take that for the
    # moment to jump: every deadline around us would be over at once.
    if math.isinf(getattr(trio.lowlevel.current_clock(), "autojump_threshold", math.inf)):
        return await trio.to_thread.run_sync(work, limiter=limiter)
    await trio.lowlevel.checkpoint()
    return work()


def write_all(file: io.FileIO, data: bytes) -> OSError | None:
    """Hand data to the system, which keeps it even if this program crashes.

    Returns the error if there was one, so that a thread does not have to raise it.
    """
    # A raw file may take less than it is given, on a pipe or when a signal comes in between.
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        return error
    return None
