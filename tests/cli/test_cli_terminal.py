"""The terminal of the command line: what is read from it, and what is written to it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest
import trio
from trio.testing import assert_checkpoints

from realtime_trio.cli.terminal import (
    Lines,
    abandon,
    complain,
    prepare,
    progress,
    remark,
    report,
    standard_input,
    stream,
)

NASTY = "a\x1b[2Jb\x07c\rd\x9be"
HARMLESS = "a[2Jbcde"
not_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="other pipes and terminals")


def program(
    code: str, *, stdout: int | IO[str] = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a few lines that use the terminal in a process of their own."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys\nfrom realtime_trio.cli.terminal import *\n{code}"],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        env=os.environ | {"PYTHONUNBUFFERED": ""} | environment,
        check=False,
    )


@contextmanager
def typed(monkeypatch: pytest.MonkeyPatch, text: bytes, encoding: str = "utf-8") -> Iterator[int]:
    """Make this the standard input; yields the end of a pipe where more can be written."""
    reading, writing = os.pipe()
    os.write(writing, text)
    with open(reading, encoding=encoding) as stdin, open(writing, "wb", buffering=0) as keyboard:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keyboard.fileno()


# --- what is read ---------------------------------------------------------------------------------


async def read_all(lines: Lines) -> list[str]:
    read = []
    with trio.fail_after(5):
        while (line := await lines.read()) is not None:
            read.append(line)
        assert await lines.read() is None
    return read


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one\n\n  two \r\nthree", ["one", "", "two", "three"]),
        ("grüße\n".encode(), ["grüße"]),
        (b"\xff!\n", ["\ufffd!"]),
        (b"x" * 60_000 + b"\ny\n", ["x" * 60_000, "y"]),
    ],
)
async def test_lines_are_read_stripped_up_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: bytes,
    lines: list[str],
) -> None:
    with typed(monkeypatch, text) as keyboard:
        reader = Lines()
        os.dup2(os.open(os.devnull, os.O_WRONLY), keyboard)  # nothing more is typed
        assert await read_all(reader) == lines
    assert capsys.readouterr() == ("", "")  # no prompt: it is no terminal


async def test_lines_are_read_in_the_encoding_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with typed(monkeypatch, b"gr\xfc\xdfe\n", "latin-1"):
        assert await Lines().read() == "grüße"


async def test_a_line_that_comes_in_pieces_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with typed(monkeypatch, b"one ") as keyboard:
        lines: list[str | None] = []
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def read() -> None:
                    with assert_checkpoints():
                        lines.append(await Lines().read())

                await trio.testing.wait_all_tasks_blocked()
                assert lines == []
                os.write(keyboard, b"piece\n")
        assert lines == ["one piece"]


async def test_waiting_for_a_line_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    with typed(monkeypatch, b"") as keyboard:
        lines = Lines()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lines.read)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        os.write(keyboard, b"for the thread that still reads\n")


async def test_without_a_standard_input_there_are_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert await read_all(Lines()) == []
    assert standard_input().read() == b""


def test_closing_what_is_read_leaves_the_standard_input_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with typed(monkeypatch, b"one\n"):
        with standard_input() as file:
            assert isinstance(file, io.RawIOBase)  # without a buffer, which would hold a lock
        assert sys.stdin.readline() == "one\n"


@not_on_windows
async def test_at_a_terminal_there_is_a_prompt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard, terminal = os.openpty()
    os.write(keyboard, b"Hello\n")
    with open(terminal, encoding="utf-8") as stdin:  # noqa: ASYNC230 - the line is there already
        monkeypatch.setattr(sys, "stdin", stdin)
        assert await Lines().read() == "Hello"
    os.close(keyboard)
    assert capsys.readouterr() == ("", "> ")


# --- what is written ------------------------------------------------------------------------------


def test_what_is_said_goes_out_and_what_is_said_about_it_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream("a [b]")
    stream(" c\n")
    report("d [e] 1")
    assert capsys.readouterr() == ("a [b] c\nd [e] 1\n", "")
    remark("f [g]")
    complain("h [i]")
    assert capsys.readouterr() == ("", "f [g]\nrealtime-trio: h [i]\n")


def test_nothing_that_is_written_can_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for write in (stream, report, remark, complain):
        write(NASTY)
    written = capsys.readouterr()
    assert written.out == f"{HARMLESS}{HARMLESS}\n"
    assert written.err == f"{HARMLESS}\nrealtime-trio: {HARMLESS}\n"
    stream("a\tb\nc")  # tabs and lines are what texts are made of
    assert capsys.readouterr().out == "a\tb\nc"


def test_a_long_piece_is_not_laid_out(capsys: pytest.CaptureFixture[str]) -> None:
    text = "word " * 100
    for write in (stream, report, remark):
        write(text)
    assert capsys.readouterr() == (f"{text}{text}\n", f"{text}\n")


@not_on_windows
def test_at_a_terminal_the_model_is_bold_and_nothing_else_in_a_line_stands_out() -> None:
    code = "stream('at 12'); report('at 12'); remark('at 12'); complain('at 12')"
    shown = program(code, FORCE_COLOR="1", TERM="xterm", NO_COLOR="")
    assert shown.stdout == "\x1b[1mat 12\x1b[0mat 12\n"
    assert shown.stderr == "\x1b[2mat 12\x1b[0m\n\x1b[31mrealtime-trio: at 12\x1b[0m\n"


def test_a_bar_is_for_terminals() -> None:
    code = "with progress('asking', 2.0) as tell:\n    tell(0.5); tell(1.5)"
    shown = program(code, FORCE_COLOR="1", TERM="xterm", NO_COLOR="")
    assert shown.stdout == ""
    assert "asking" in shown.stderr
    assert "100%" in shown.stderr
    hidden = program(code, FORCE_COLOR="", TTY_COMPATIBLE="0")
    assert (hidden.returncode, hidden.stdout, hidden.stderr) == (0, "", "")


def test_progress_of_unknown_length_can_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("asking", None) as tell:
        tell(1.0)
    assert capsys.readouterr() == ("", "")


# --- streams that are not as they should be -------------------------------------------------------


def test_what_the_encoding_lacks_is_a_question_mark() -> None:
    code = "prepare(); report('Größe'); remark('Größe')"
    shown = program(code, PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "Gr??e\n", "Gr??e\n")


def test_streams_that_cannot_be_prepared_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    prepare()


@not_on_windows
@pytest.mark.parametrize("gives_up", [True, False])
def test_what_nobody_reads_is_given_up_without_a_complaint(gives_up: bool) -> None:
    code = f"""
try:
    report('x')
    sys.stdout.flush()
except BrokenPipeError:
    print('unread', file=sys.stderr, flush=True)
if {gives_up}:
    abandon()
"""
    reading, writing = os.pipe()
    os.close(reading)
    ended = program(code, stdout=writing)
    os.close(writing)
    assert ended.stderr.startswith("unread\n")
    # The interpreter writes the rest when it exits.
    assert ("BrokenPipeError" not in ended.stderr) is gives_up
    assert (ended.returncode == 0) is gives_up


class Unread(io.StringIO):
    """No file, and nobody reads it."""

    def flush(self) -> None:
        raise BrokenPipeError


@not_on_windows
def test_giving_up_leaves_no_file_open_and_harms_no_stream_that_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as unread:
        unread.write("x")
        monkeypatch.setattr(sys, "stdout", unread)
        monkeypatch.setattr(sys, "stderr", None)
        free = os.dup(0)
        os.close(free)
        abandon()
        assert os.dup(0) == free
        os.close(free)
        unread.write("y")
        unread.flush()
    monkeypatch.setattr(sys, "stdout", Unread())
    monkeypatch.setattr(sys, "stderr", io.StringIO("read"))
    abandon()
    assert isinstance(sys.stderr, io.StringIO)
    assert sys.stderr.getvalue() == "read"
