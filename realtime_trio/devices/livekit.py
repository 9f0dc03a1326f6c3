"""WebRTC's echo canceller, of the package livekit.

Owns what must be known of its `AudioProcessingModule`.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE
from realtime_trio.errors import LocalProtocolError


class _Frame(Protocol):
    @property
    def data(self) -> memoryview: ...


class _Processing(Protocol):
    def process_stream(self, data: _Frame) -> None: ...
    def process_reverse_stream(self, data: _Frame) -> None: ...
    def set_stream_delay_ms(self, delay_ms: int) -> None: ...


class LiveKitEchoControl:
    """Subtracts the echo from what the microphone hears, an `EchoControl`: full duplex.

    By WebRTC's audio processing, in the package `livekit`, which is installed apart.

    Args:
        rate: Samples per second.
        delay_ms: Milliseconds from what is played to its echo: the latencies of both devices.
        noise_suppression: Whether noise is taken out as well.
        gain_control: Whether speech is brought to one level.

    Raises:
        LocalProtocolError: livekit is not installed.
    """

    def __init__(
        self,
        rate: int = PCM_RATE,
        *,
        delay_ms: int = 50,
        noise_suppression: bool = True,
        gain_control: bool = False,
    ) -> None:
        try:
            rtc = importlib.import_module("livekit.rtc")
        except ModuleNotFoundError as error:
            raise LocalProtocolError(
                "WebRTC's echo canceller needs the package livekit: pip install livekit"
            ) from error
        self._make = rtc.AudioFrame
        self._processing: _Processing = rtc.AudioProcessingModule(
            echo_cancellation=True,
            noise_suppression=noise_suppression,
            high_pass_filter=True,
            auto_gain_control=gain_control,
        )
        self._processing.set_stream_delay_ms(delay_ms)
        self._rate = rate

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take the echo out of a chunk; see `EchoControl`.

        Raises:
            LocalProtocolError: The chunk is not a multiple of 10 ms.
        """
        size = self._rate // 100
        if len(near) % size:
            raise LocalProtocolError(
                f"a chunk must be a multiple of {size} samples, not {len(near)}"
            )
        clean = np.empty_like(near)
        for start in range(0, len(near), size):
            self._processing.process_reverse_stream(self._frame(far[start : start + size]))
            frame = self._frame(near[start : start + size])
            self._processing.process_stream(frame)
            clean[start : start + size] = np.frombuffer(frame.data, np.int16)
        return clean

    def _frame(self, samples: NDArray[np.int16]) -> _Frame:
        frame: _Frame = self._make(bytearray(samples.tobytes()), self._rate, 1, len(samples))
        return frame
