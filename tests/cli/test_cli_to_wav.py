"""`realtime-trio to-wav`: a recorded session as a WAV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import run
from recordings import created, saved

from realtime_trio.audio import PCM_RATE, AudioData, read_wav
from realtime_trio.events import InputAudioBufferAppend
from realtime_trio.recording import Recording, WireRecord


def test_a_recording_becomes_a_wav_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append = InputAudioBufferAppend(audio=AudioData.of(np.full(PCM_RATE, 1000, np.int16)))
    records = (WireRecord(0.0, "server", created()), WireRecord(1.5, "client", append))
    path = saved(tmp_path / "session.jsonl", Recording(records=records))
    out = tmp_path / "session.wav"
    assert run("to-wav", str(path), str(out)) == 0
    assert capsys.readouterr() == ("", f"1.5 s, written to {out}\n")
    samples = read_wav(out)
    assert samples[: PCM_RATE // 2].tolist() == [0] * (PCM_RATE // 2)
    assert set(samples[PCM_RATE // 2 :].tolist()) == {500}  # one channel of two


def test_what_is_no_recording_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("to-wav", __file__, str(tmp_path / "out.wav")) == 1
    assert "is not a recording" in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "session.jsonl", Recording(records=()))
    assert run("to-wav", str(path), str(tmp_path / "nowhere" / "out.wav")) == 1
    assert "nowhere" in capsys.readouterr().err
