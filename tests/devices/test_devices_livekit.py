"""WebRTC's echo canceller, where livekit is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from realtime_trio import LocalProtocolError
from realtime_trio.devices import LiveKitEchoControl


def test_an_echo_is_taken_out() -> None:
    pytest.importorskip("livekit.rtc")
    rate, chunk, delay = 24_000, 480, 960
    control = LiveKitEchoControl(rate, delay_ms=40)
    played = np.random.default_rng(1).normal(0, 3000, rate * 4).astype(np.int16)
    heard = np.concatenate((np.zeros(delay, np.int16), played[:-delay] // 4))
    clean = np.concatenate(
        [
            control.process(heard[start : start + chunk], played[start : start + chunk])
            for start in range(0, len(played), chunk)
        ]
    )
    assert clean.shape == heard.shape
    # Of the last second, when it has adapted: 20 dB less.
    assert np.std(clean[-rate:].astype(float)) < np.std(heard[-rate:].astype(float)) / 10
    with pytest.raises(LocalProtocolError, match="multiple of 240 samples, not 100"):
        control.process(heard[:100], played[:100])


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "livekit", None)
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)
    with pytest.raises(LocalProtocolError, match="pip install livekit"):
        LiveKitEchoControl()
