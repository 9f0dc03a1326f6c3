"""The terminal: lines in, what the model says out, and remarks beside it.

Owns three guarantees: nothing that a server says can steer the terminal, no character is one too
many for it, and reading a line can be cancelled.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final, NoReturn

import trio
from rich.console import Console
from rich.control import Control
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import ControlType, Segment, Segments
from rich.style import Style

# All but tab and newline: what a server says must not be able to steer the terminal.
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_VOICE: Final = Style(bold=True)


class _Screen(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Nobody reads any more.  rich would exit from here, in the middle of a session."""
        raise BrokenPipeError


_BEGINNING_OF_AN_EMPTY_LINE: Final = Control(
    ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)
)
_OUTPUT: Final = _Screen()
_REMARKS: Final = _Screen(stderr=True)


def prepare() -> None:
    """Have what the terminal's encoding lacks replaced by `?`, instead of ending with an error.

    That is for both directions: a terminal may send what is not in its encoding.
    """
    for each in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(each, io.TextIOWrapper):  # not if it is closed, and not in every test
            each.reconfigure(errors="replace")


def abandon() -> None:
    """Give up the streams that nobody reads.

    What is buffered for them would be written when the interpreter exits, which would complain.
    """
    for screen in (sys.stdout, sys.stderr):
        try:
            if screen is not None:
                screen.flush()
        except OSError:
            with suppress(OSError):  # of a stream that is no file
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, screen.fileno())
                os.close(nothing)


def standard_input() -> BinaryIO:
    """The standard input as it is, without a buffer; closing it leaves the input open.

    Not `sys.stdin`: a thread that waits for it when the program ends would hold a lock that the
    interpreter needs to exit.
    """
    # A program that was started without a standard input has none: `chat <&-`.
    if sys.stdin is None:
        return io.BytesIO()
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


class Lines:
    """The lines of standard input, for a task that may be cancelled while it waits for one.

    Cancelling leaves a thread behind that still reads.
    """

    def __init__(self) -> None:
        self._encoding = "utf-8" if sys.stdin is None else sys.stdin.encoding
        self._file = standard_input()
        self._pending = b""

    async def read(self) -> str | None:
        """The next line, stripped; None at the end."""
        await trio.lowlevel.checkpoint()
        # In a pipe nobody would see the prompt, and it would stand among the remarks.
        if self._file.isatty():
            _REMARKS.out("> ", end="", style="bold", highlight=False)
        while b"\n" not in self._pending:
            chunk = await trio.to_thread.run_sync(self._file.read, 65536, abandon_on_cancel=True)
            if not chunk:
                break
            self._pending += chunk
        # The newline tells an empty line from the end of the input.
        line, newline, self._pending = self._pending.partition(b"\n")
        if not newline and self._file.isatty():
            # The end was typed, too, but ends no line: what follows should not stand behind it.
            _REMARKS.out("", highlight=False)
        return line.decode(self._encoding, "replace").strip() if line or newline else None


def standard_output() -> BinaryIO:
    """The standard output for what is not text, without a buffer; closing it leaves it open.

    Raises:
        OSError: There is none.
    """
    if sys.stdout is None:
        raise OSError("there is no standard output")
    return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)


def stream(text: str, *, aside: bool = False) -> None:
    """Print a piece of what the model says exactly as it is.

    It goes around rich's layout, which would treat every piece as if it were a whole text.

    Args:
        text: The piece.
        aside: Print it on standard error: something else has the output.
    """
    (_REMARKS if aside else _OUTPUT).print(
        Segments([Segment(_harmless(text), _VOICE)]), end="", soft_wrap=True
    )


def report(text: str, *, style: str | None = None) -> None:
    """Print a line on standard output, in a colour if that is a terminal which has some."""
    _OUTPUT.out(_harmless(text), highlight=False, style=style)


def remark(text: str) -> None:
    """Print a remark about what happens, as a line on standard error."""
    _REMARKS.out(_harmless(text), style="dim", highlight=False)


@contextmanager
def progress(what: str, seconds: float | None) -> Iterator[Callable[[float], None]]:
    """Show a bar on standard error while the block runs, if that is a terminal.

    Args:
        what: What happens.
        seconds: How long it is; None if that is not known.

    Yields:
        To be told how many seconds more are done.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=_REMARKS, transient=True, disable=not _REMARKS.is_terminal
    ) as bar:
        task = bar.add_task(what, total=seconds)
        yield lambda done: bar.advance(task, done)


def complain(text: str) -> None:
    """Print what went wrong, as a line on standard error."""
    _REMARKS.out(_harmless(f"realtime-trio: {text}"), style="red", highlight=False)


class StatusLine:
    """The last line of a terminal, which is drawn again and again.  None where it is a file.

    It has to be cleared before anything else is printed.
    """

    def __init__(self) -> None:
        self._is_drawn = False

    def show(self, text: str) -> None:
        """Draw the line, as far as it fits."""
        if _REMARKS.is_terminal:
            self.clear()
            # A line that is full would make the terminal begin another one.
            line = _REMARKS.render_str(
                _harmless(text), markup=False, highlight=False, emoji=False, style="dim"
            )
            line.truncate(_REMARKS.width - 1)
            _REMARKS.print(line, end="", soft_wrap=True)
            self._is_drawn = True

    def clear(self) -> None:
        """Take the line away."""
        if self._is_drawn:
            _REMARKS.control(_BEGINNING_OF_AN_EMPTY_LINE)
            self._is_drawn = False


def _harmless(text: str) -> str:
    return _CONTROL_CHARACTERS.sub("", text)
