"""Standard streams as shells make them: closed, full, unread, or short of a character.

None of it is a traceback.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import GREETING, QUESTION

pytestmark = [
    pytest.mark.socket,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no POSIX shell"),
    pytest.mark.usefixtures("no_service_in_environment"),
]


def shell(script: str, **environment: str) -> tuple[int, str, str]:
    """Run a line of a shell, in which `$P` is the program and `$Q` a question."""
    variables = {"P": f"{sys.executable} -m realtime_trio", "Q": QUESTION, **environment}
    ended = subprocess.run(
        ["sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        env=os.environ | variables,
        check=False,
    )
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


@pytest.mark.parametrize(
    "command",
    [
        "$P say $Q",
        "echo hello | $P chat",
        "$P say $Q 2>&1",
        "$P say $Q --url ws://127.0.0.1:1 2>&1",
    ],
    ids=["say", "chat", "say with its remarks", "an error"],
)
def test_a_reader_that_has_gone_ends_the_program_quietly(tmp_path: Path, command: str) -> None:
    code = tmp_path / "code"
    _, printed, remarks = shell(f"{{ {command}; echo $? > {code}; }} | true")
    assert code.read_text() == "141\n"
    assert printed == ""
    assert "Traceback" not in remarks
    assert "Broken pipe" not in remarks


def test_a_stream_that_is_not_there_is_no_trouble() -> None:
    assert shell("$P say $Q >&-")[:2] == (0, "")
    assert shell("$P say $Q 2>&-")[2] == ""
    assert shell("$P say $Q <&- >&- 2>&-") == (0, "", "")


def test_a_conversation_without_an_input_is_over() -> None:
    code, printed, remarks = shell("$P chat <&-")
    assert (code, printed) == (0, "")
    assert "Traceback" not in remarks


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["PYTHONIOENCODING", "LC_ALL"],
)
def test_what_the_terminal_cannot_show_is_a_question_mark(environment: dict[str, str]) -> None:
    said = "echo repeat: Größe | $P chat"
    code, printed, remarks = shell(said, **environment)
    assert code == 0
    assert printed.isascii()
    assert "?" in printed
    assert "Traceback" not in remarks


def test_what_is_typed_is_read_in_the_encoding_of_the_terminal() -> None:
    code, printed, _ = shell("echo hello | $P chat", PYTHONIOENCODING="latin-1")
    assert (code, printed) == (0, GREETING)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_full_is_one_line() -> None:
    code, _, remarks = shell("$P say $Q > /dev/full")
    assert code == 1
    assert remarks.splitlines()[-1] == "realtime-trio: No space left on device"
