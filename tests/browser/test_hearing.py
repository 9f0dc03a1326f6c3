"""Real ears at the browser's microphone, and a real voice in its loudspeaker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio
from browser_pages import (
    OpenPage,
    connect,
    expect,
    item,
    run_console,
    silence,
    wait_until_heard,
    wait_until_silent,
    write_microphone,
)

from realtime_trio.simulator.voice import EspeakVoice

QUESTION = "What is twelve times seven?"


def test_a_spoken_question_is_understood_and_answered_aloud(
    open_page: OpenPage, tmp_path: Path
) -> None:
    """As a person would: with nothing but a voice, and without a script."""
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("espeakng_loader")
    spoken = trio.run(EspeakVoice().speak, QUESTION)
    # Late enough for the greeting, which is said aloud, too.
    microphone = write_microphone(tmp_path / "question.wav", silence(12), spoken, silence(60))
    with run_console() as url:
        page = open_page(url, microphone=microphone)
        connect(page)
        expect(item(page, "model").first).to_contain_text("Hello")
        wait_until_heard(page)
        words = re.compile("twelve times seven", re.IGNORECASE)
        question = item(page, "you").filter(has_text=words)
        expect(question).to_be_visible()
        answer = item(page, "model").filter(has_text=re.compile("84|eighty.four"))
        expect(answer).to_be_visible()
        wait_until_heard(page)
        wait_until_silent(page)
        expect(answer).not_to_contain_text("interrupted")
