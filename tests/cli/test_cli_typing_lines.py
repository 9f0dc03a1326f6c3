"""Lines that a person types at a terminal: edited, remembered, and left as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from realtime_trio.simulator import LIFELIKE, Pacing, Reply, Script, serve_simulator

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

import pty
import termios

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment"),
]


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A person at a terminal with a command."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.shown = ""
        self._seen = 0

    async def until(self, text: str) -> None:
        """Read until this is on the screen, behind what was looked for before."""
        with trio.fail_after(60):
            await trio.lowlevel.checkpoint()
            while (place := _COLOURS.sub("", self.shown).find(text, self._seen)) < 0:
                await trio.lowlevel.wait_readable(self._descriptor)
                self.shown += os.read(self._descriptor, 65536).decode()
        self._seen = place + len(text)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._descriptor, text.encode())

    def modes(self) -> int:
        """How the terminal treats what is typed."""
        return int(termios.tcgetattr(self._descriptor)[3])

    async def wait(self) -> int:
        """Wait for the end of the command."""
        with trio.fail_after(60):  # noqa: ASYNC912
            while (code := self.process.poll()) is None:  # noqa: ASYNC110 - another process
                # What it writes has to go somewhere, or it would not end.
                with trio.move_on_after(0.05):
                    await trio.lowlevel.wait_readable(self._descriptor)
                    with suppress(OSError):
                        self.shown += os.read(self._descriptor, 65536).decode()
        return code  # noqa: ASYNC910


def started_at(terminal: int, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "realtime_trio", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )


@asynccontextmanager
async def chatting(*replies: Reply) -> AsyncIterator[Terminal]:
    """A person who chats with a simulator."""
    ours, theirs = pty.openpty()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve_simulator, Script(replies))
        process = started_at(theirs, "chat", "--url", url)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
            os.close(theirs)
        nursery.cancel_scope.cancel()


async def test_a_line_can_be_edited_and_comes_back() -> None:
    pytest.importorskip("readline")
    async with chatting() as terminal:
        before = terminal.modes()
        await terminal.until("> ")
        # Two letters are taken back, and two are put in front.
        terminal.type("llo xy\x7f\x7fyou\x01He\r")
        await terminal.until("You said: Hello you\r\n")
        await terminal.until("> ")
        terminal.type("\x1b[A again\r")
        await terminal.until("You said: Hello you again\r\n")
        await terminal.until("> ")
        terminal.type("\x04")
        assert await terminal.wait() == 0
        assert terminal.modes() == before


async def test_ctrl_c_at_the_prompt_leaves_the_terminal_as_it_was() -> None:
    async with chatting() as terminal:
        before = terminal.modes()
        await terminal.until("> ")
        terminal.type("half a li")
        await terminal.until("half a li")
        terminal.process.send_signal(2)
        assert await terminal.wait() == 130
        assert terminal.modes() == before
        assert "Traceback" not in terminal.shown


async def test_one_sees_that_the_model_is_thinking() -> None:
    slow = Pacing(time_to_first_event=1.5, tokens_per_second=LIFELIKE.tokens_per_second)
    async with chatting(Reply.text("At last.", pacing=slow)) as terminal:
        await terminal.until("> ")
        terminal.type("Well?\r")
        await terminal.until("At last.")
        assert re.search(r"thinking, \d\.\d s", terminal.shown)
        # It is taken away before the answer stands there.
        assert "\x1b[2K" in terminal.shown.rpartition("thinking")[2]
        terminal.type("/quit\r")
        assert await terminal.wait() == 0
