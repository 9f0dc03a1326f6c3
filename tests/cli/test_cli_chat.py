"""`realtime-trio chat`: lines in, answers out, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from commands import GREETING, NOTICE, run, run_beside, started
from simulated import simulator_at_port

from realtime_trio import read_recording
from realtime_trio.audio import read_wav
from realtime_trio.cli import chat as chat_command
from realtime_trio.devices import SimulatedDevices, Speaker, open_speaker
from realtime_trio.simulator import Reply, Script

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment"),
]

USAGE = re.compile(r"usage: \d+ tokens in \(\d+ cached\), \d+ tokens out\n")


@contextmanager
def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> Iterator[None]:
    """Make this the standard input."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin:
        with open(writing, "w", encoding="utf-8", newline="") as keyboard:
            keyboard.write(text)
        monkeypatch.setattr(sys, "stdin", stdin)
        yield


async def test_chat_answers_line_by_line_until_quit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with typed(monkeypatch, "How are you?\n\n  \n And ü?\r\n/quit\nnever asked\n"):
        async with simulator_at_port(Script()) as url:
            assert await run_beside("chat", "--url", url) == 0
    answers, remarks = capsys.readouterr()
    assert answers == "You said: How are you?\nYou said: And ü?\n"
    assert USAGE.fullmatch(remarks)


async def test_the_end_of_the_input_ends_the_chat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with typed(monkeypatch, "without a newline"):
        async with simulator_at_port(Script()) as url:
            assert await run_beside("chat", "--modality", "audio", "--url", url) == 0
    assert capsys.readouterr().out == "You said: without a newline\n"


async def test_a_failed_answer_does_not_end_the_chat_but_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with typed(monkeypatch, "one\ntwo\n"):
        async with simulator_at_port(
            Script([Reply.fail("overloaded", "Later."), Reply.text("Fine.")])
        ) as url:
            assert await run_beside("chat", "--url", url) == 1
    answers, remarks = capsys.readouterr()
    assert answers == "Fine.\n"
    failed, usage = remarks.splitlines(keepends=True)
    assert failed == "realtime-trio: the response failed: overloaded: Later.\n"
    assert USAGE.fullmatch(usage)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_at_a_terminal_chat_prompts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, b"Hello\n/quit\n")
        # Reading does not block: the terminal has its input already.
        with open(terminal, encoding="utf-8") as stdin:  # noqa: ASYNC230
            monkeypatch.setattr(sys, "stdin", stdin)
            async with simulator_at_port(Script()) as url:
                assert await run_beside("chat", "--url", url) == 0
    finally:
        os.close(keyboard)
    answers, remarks = capsys.readouterr()
    assert answers == "You said: Hello\n"
    assert remarks.startswith("> > ")
    assert USAGE.fullmatch(remarks.removeprefix("> > "))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_the_end_of_the_input_at_a_terminal_ends_the_line_of_the_prompt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, b"Hello\n\x04")
        with open(terminal, encoding="utf-8") as stdin:  # noqa: ASYNC230
            monkeypatch.setattr(sys, "stdin", stdin)
            async with simulator_at_port(Script()) as url:
                assert await run_beside("chat", "--url", url) == 0
    finally:
        os.close(keyboard)
    remarks = capsys.readouterr().err
    assert remarks.startswith("> > \n")
    assert USAGE.fullmatch(remarks.removeprefix("> > \n"))


def test_a_chat_in_which_nothing_was_said_has_cost_nothing() -> None:
    with started("chat") as process:
        assert process.communicate("/quit\n", timeout=60) == ("", NOTICE)


def test_chat_as_a_process() -> None:
    with started("chat") as process:
        answer = process.communicate("Hello\nWhat is 12 times 7?\n", timeout=60)
    assert answer[0] == f"{GREETING}12 times 7 is 84.\n"
    assert answer[1].startswith(NOTICE)
    assert USAGE.fullmatch(answer[1].removeprefix(NOTICE))
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_at_the_prompt_ends_the_chat_quietly() -> None:
    with started("chat") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("Hello\n")
        assert process.stdout.readline() == GREETING
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == NOTICE


async def test_everything_on_the_wire_can_be_shown_and_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "chat.jsonl"
    with typed(monkeypatch, "Hello?\n"):
        async with simulator_at_port(Script([Reply.text("Hi.")])) as url:
            options = ("--modality", "audio", "--record", str(path), "--debug")
            assert await run_beside("chat", "--url", url, *options) == 0
    output, remarks = capsys.readouterr()
    assert output == "Hi.\n"
    shown = remarks.replace("\n", "")
    assert '-> {"type":"response.create"' in shown
    assert '"type":"response.done"' in shown
    assert re.search(r'"delta":"<\d+ bytes of audio>"', shown)
    assert read_recording(path).records[0].event.type == "session.created"


async def test_spoken_answers_can_be_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "answers.wav"
    with typed(monkeypatch, "One?\nTwo?\n"):
        async with simulator_at_port(Script([Reply.text("One."), Reply.text("Two.")])) as url:
            assert await run_beside("chat", "--url", url, "--out", str(out)) == 0
    assert capsys.readouterr().out == "One.\nTwo.\n"
    assert len(read_wav(out)) > 2 * 2400


async def test_spoken_answers_are_played_to_their_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[float] = []

    @asynccontextmanager
    async def simulated_speaker() -> AsyncIterator[Speaker]:
        devices = SimulatedDevices()
        async with open_speaker(backend=devices) as speaker, trio.open_nursery() as nursery:
            nursery.start_soon(devices.run, None, lambda samples: heard.extend(samples))
            yield speaker
            nursery.cancel_scope.cancel()

    monkeypatch.setattr(chat_command, "open_speaker", simulated_speaker)
    with typed(monkeypatch, "One?\n"):
        async with simulator_at_port(Script([Reply.text("One.")])) as url:
            assert await run_beside("chat", "--url", url, "--play") == 0
    assert capsys.readouterr().out == "One.\n"
    assert any(heard)


def test_text_is_not_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("chat", "--modality", "text", "--play") == 2
    assert "--modality text has none" in capsys.readouterr().err.replace("\n", " ")
