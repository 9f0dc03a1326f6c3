"""Every example runs against the simulator, over a real WebSocket, and the README shows one of them."""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import trio

from realtime_trio import open_session
from realtime_trio.audio import PCM_RATE, read_wav
from realtime_trio.simulator import INSTANT, Reply, Script, serve_simulator, synthesize_speech

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
TESTED = {"hello.py", "offline.py", "text_chat.py", "speak_file.py", "several_consumers.py"}


@asynccontextmanager
async def simulator(*replies: Reply) -> AsyncIterator[str]:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(serve_simulator, Script(replies, pacing=INSTANT))
            nursery.cancel_scope.cancel()


def main_of(example: str) -> Callable[..., Awaitable[None]]:
    main: Callable[..., Awaitable[None]] = runpy.run_path(str(EXAMPLES / example))["main"]
    return main


@pytest.mark.socket
async def test_hello_prints_the_answer() -> None:
    async with simulator(Reply.text("Great, thanks for asking!")) as url:
        # It runs as soon as it is imported, as the README shows it; so it gets a process, and the address by the environment.
        environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"} | {"OPENAI_BASE_URL": url}
        ended = await trio.run_process([sys.executable, str(EXAMPLES / "hello.py")], env=environment, capture_stdout=True)
    assert ended.stdout == b"Great, thanks for asking!"


def test_offline_prints_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "offline.py"))
    assert capsys.readouterr().out == "Great, thanks for asking!\n"


@pytest.mark.socket
async def test_text_chat_prints_both_answers(capsys: pytest.CaptureFixture[str]) -> None:
    async with simulator(Reply.text("Mont Blanc."), Reply.text("Monte Rosa.")) as url:
        await main_of("text_chat.py")(url)
    assert capsys.readouterr().out.splitlines() == [
        "> What is the highest mountain of the Alps?",
        "Mont Blanc.",
        "[completed]",
        "> And the second highest?",
        "Monte Rosa.",
        "[completed]",
    ]


@pytest.mark.socket
async def test_speak_file_writes_the_spoken_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = tmp_path / "answer.wav"
    voice = synthesize_speech("It is noon.")
    async with simulator(Reply.speech("It is noon.", voice, when=lambda turn: round(turn.heard_seconds, 1) == 2.7)) as url:
        await main_of("speak_file.py")(str(EXAMPLES / "question.wav"), str(answer), url)
    assert capsys.readouterr().out == f"It is noon.\n[completed, written to {answer}]\n"
    np.testing.assert_array_equal(read_wav(answer), voice)


@pytest.mark.socket
async def test_several_consumers_each_see_everything(capsys: pytest.CaptureFixture[str]) -> None:
    voice = np.full(PCM_RATE // 2, 1000, np.int16)
    async with simulator(Reply.speech("I am me.", voice), Reply.speech("I can talk.", voice)) as url:
        await main_of("several_consumers.py")(url)
    printed = capsys.readouterr().out
    assert re.findall("caption: (.*)", printed) == ["I am me.", "I can talk."]
    assert re.findall("audio: (.*)", printed) == ["1.0 s"]
    first, second = map(int, re.findall(r"usage: (\d+) tokens so far", printed))
    assert 0 < first < second


@pytest.mark.socket
async def test_text_chat_says_what_the_service_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    ask = runpy.run_path(str(EXAMPLES / "text_chat.py"))["ask"]
    async with simulator() as url, open_session(url=url) as session:
        await ask(session, "x" * 300_000)
    assert "\n[string_above_max_length: " in capsys.readouterr().out


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


@pytest.mark.parametrize("example", sorted(TESTED))
def test_an_example_is_short(example: str) -> None:
    assert len((EXAMPLES / example).read_text(encoding="utf-8").splitlines()) < 80


def test_the_readme_shows_examples_and_nothing_else() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert snippets == [(EXAMPLES / name).read_text(encoding="utf-8") for name in ("hello.py", "offline.py")]


def test_the_links_of_the_readme_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert len(links) > 5
