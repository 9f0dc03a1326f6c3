"""Lines that a person types, with editing and a history, or lines of a pipe.

Owns the terminal while a line is edited: readline does that, in a thread, and leaves the terminal
as it was even if nobody waits for the line any more.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import trio

from realtime_trio.cli.terminal import Lines

if sys.platform != "win32":
    import termios

    # To be there is enough: `input` edits with it, and keeps the history of this run.  Not every
    # Python was built with it.
    with suppress(ModuleNotFoundError):
        import readline as readline


class LineSource(Protocol):
    """Gives one line after the other."""

    async def read(self) -> str | None:
        """The next line, stripped; None at the end.  Cancel-safe, but a thread stays behind."""
        ...


@asynccontextmanager
async def open_lines() -> AsyncIterator[LineSource]:
    """Take lines from standard input while the block runs.

    At a terminal they can be edited, and the lines before come back with the arrow keys; nothing of
    them is kept on disk.
    """
    if not _is_terminal():
        yield Lines()
        return
    if sys.platform == "win32":
        yield _TypedLines()
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        yield _TypedLines()
    finally:
        # A thread that still edits a line has the terminal in a state of its own.
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_terminal() -> bool:
    # Of both, or Python edits nothing; and whatever stands in for them in tests is no terminal.
    return all(
        stream is not None and stream.isatty() and stream is original
        for stream, original in ((sys.stdin, sys.__stdin__), (sys.stdout, sys.__stdout__))
    )


class _TypedLines:
    async def read(self) -> str | None:
        try:
            line = await trio.to_thread.run_sync(input, "> ", abandon_on_cancel=True)
        except EOFError:
            # Ctrl-D leaves the cursor behind the prompt.
            print()
            return None  # noqa: ASYNC910
        except trio.Cancelled:
            print()
            raise
        return line.strip()
