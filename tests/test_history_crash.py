"""A program that is killed at any moment loses what was in flight, and nothing else."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realtime_trio._runtime.journal_file import JournalFile
from realtime_trio._state.conversation.journal import Journal, read_journal

PROGRAM = Path(__file__).parent / "talk_until_killed.py"


def run_until_killed(path: Path, after_s: float) -> list[str]:
    """Let the program go on with the conversation; returns ids that it has said are on the disk."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROGRAM.parent.parent,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        # Not for anything to happen: at whatever moment this is, it is the right one.
        time.sleep(after_s)
        process.kill()
        *whole, _ = process.stdout.read().split("\n")
        assert process.wait() == -signal.SIGKILL
        return whole


def read(path: Path) -> Journal:
    return read_journal(path.read_bytes(), "it")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
def test_a_program_that_is_killed_again_and_again_never_loses_what_was_on_the_disk(
    tmp_path: Path,
) -> None:
    path = tmp_path / "talk.jsonl"
    chance = random.Random(7)
    last = 0
    for _ in range(5):
        said = run_until_killed(path, chance.uniform(0.0, 0.4))
        journal = read(path)
        assert set(said[-20:]) <= set(journal.order)
        # What there is has no holes: every question follows the one before it.
        texts = [item["content"][0]["text"] for item in journal.items]  # type: ignore[index]
        questions = [int(text.split()[1]) for text in texts if text.startswith("Question")]
        assert questions == list(range(questions[0], questions[-1] + 1)) if questions else True
        # An answer is followed by the next question, and a question by its answer unless that was
        # in flight when the program was killed.
        assert all(
            text.startswith("Question")
            for before, text in itertools.pairwise(texts)
            if before.startswith("Answer")
        )
        assert (questions or [last])[-1] >= last
        last = (questions or [last])[-1]
        # It opens for the next program, whatever the kill has left behind.
        file = JournalFile(path)
        assert file.item_ids == tuple(journal.order)
        file.close()
    assert last > 0
