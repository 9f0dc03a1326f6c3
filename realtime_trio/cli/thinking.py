"""The moment between a question and its answer, on the terminal."""

from __future__ import annotations

import math
from typing import Final

import trio

from realtime_trio.cli.terminal import StatusLine

_PATIENCE: Final = 0.3
"""Seconds before anything is shown: what comes faster needs no excuse."""
_REFRESH: Final = 0.1


class Thinking:
    """Shows that the model is thinking, and for how long, in the last line of the terminal."""

    def __init__(self) -> None:
        self._status = StatusLine()
        self._since = math.inf
        self._began = trio.Event()

    def begin(self) -> None:
        """A question was asked."""
        self._since = trio.current_time()
        self._began.set()

    def end(self) -> None:
        """The answer begins, or there will be none; to be called before anything is printed."""
        self._since = math.inf
        self._began = trio.Event()
        self._status.clear()

    async def show(self) -> None:
        """Draw it, whenever there is something to draw, until cancelled."""
        while True:
            await self._began.wait()
            seconds = trio.current_time() - self._since
            if seconds >= _PATIENCE:
                self._status.show(f"thinking, {seconds:.1f} s")
            await trio.sleep(_REFRESH)
