"""Single keys of a terminal, without waiting for the end of a line."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

if sys.platform != "win32":
    import termios
    import tty


@asynccontextmanager
async def open_keys() -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Take the keys that are pressed, while the block runs.

    Yields a function that waits for the next one.  Where there is no terminal, or on Windows, it
    waits for ever.  Ctrl-C goes on to be a signal.
    """
    if sys.platform == "win32" or sys.stdin is None or not sys.stdin.isatty():
        yield _never
        return
    descriptor = sys.stdin.fileno()

    async def key() -> str:
        # Without a thread, which would take a key that is pressed after the end.
        await trio.lowlevel.wait_readable(descriptor)
        return os.read(descriptor, 1).decode("ascii", "replace")

    before = termios.tcgetattr(descriptor)
    # What was typed before is not thrown away, as it would be by default.
    tty.setcbreak(descriptor, termios.TCSANOW)
    try:
        yield key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def _never() -> str:
    await trio.sleep_forever()
