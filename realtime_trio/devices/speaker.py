"""A loudspeaker that plays what a session's model says.

Owns the life of the device.  What is played, and when it is heard, is in `sink`; the callback of
the sound card asks that for samples and does nothing else.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio._runtime.nursery import ServiceNursery, open_service_nursery
from realtime_trio.audio import Resampler
from realtime_trio.devices.backend import Backend, Device, find_device
from realtime_trio.devices.errors import DeviceLost, stalled
from realtime_trio.devices.far import FarQueue
from realtime_trio.devices.portaudio import PortAudio
from realtime_trio.devices.ring import SampleRing
from realtime_trio.devices.sink import PlaybackSink
from realtime_trio.playback.playback import Playback

_BLOCKS_PER_S: Final = 100
_FADE: Final = 0.02
"""Seconds in which an interrupted sound fades out: short enough to be at once, and long enough not
to click."""
_LAG: Final = 0.02
"""Seconds that what was played may be told late all the time: as much as the calls of two devices
are apart, and less than an echo takes."""
_CLOSING: Final = 5.0
"""Seconds that a device may take to close; it is the driver's affair after that."""


class Speaker:
    """A loudspeaker that plays.  Made by `open_speaker`."""

    def __init__(self, device: Device, playback: Playback) -> None:
        self.device = device
        """The device."""
        self.playback = playback
        """What it plays.  Give it to `open_session(playback=speaker.playback)`."""
        self.underruns: int = 0
        """How often the device had nothing to play, because this process was too slow."""
        self._sink = PlaybackSink(playback, latency=0, fade=round(_FADE * playback.rate))
        self._played = SampleRing(playback.rate // 2)
        self._far: FarQueue | None = None
        self._resampler: Resampler
        self._token = trio.lowlevel.current_trio_token()
        self._services: ServiceNursery | None = None
        """Of the block, as long as the end of the device is a loss."""

    @property
    def gaps(self) -> int:
        """How often an item paused because its next samples had not arrived."""
        return self._sink.gaps

    @property
    def level(self) -> float:
        """How loud the last block was, in dB: -100 to 0."""
        return self._sink.level

    def take_played(self, count: int, rate: int, later: int = 0) -> NDArray[np.int16]:
        """Take what was played lately, to know what an echo is of.  For one microphone.

        Args:
            count: How many samples.
            rate: Samples per second, 8000 to 192000, always the same.
            later: How many have been recorded after those that it is to be compared with, and wait
                to be read.

        Returns:
            Shape (count,), int16; silence where nothing was played.
        """
        if self._far is None:
            self._resampler = Resampler(self.playback.rate, rate)
            self._far = FarQueue(round(_LAG * rate))
        self._far.put(self._resampler.process(self._played.take(self._played.count)))
        return self._far.take(count, later)

    # On the thread of the sound card.

    def on_block(self, block: NDArray[np.int16], has_underrun: bool) -> None:
        """Fill a block.  For the backend."""
        self.underruns += has_underrun
        samples = np.empty(len(block), np.int16)
        self._sink.fill(samples)
        block[:] = samples[:, np.newaxis]
        self._played.put(samples)

    def on_end(self) -> None:
        """Take note that the device has stopped.  For the backend."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._lose, idempotent=True)

    # In trio again.

    def _lose(self) -> None:
        if self._services is not None:
            self._services.fail(DeviceLost(self.device.name))

    @asynccontextmanager
    async def playing(self, backend: Backend, channels: int) -> AsyncIterator[None]:
        """Play while the block runs.  For `open_speaker`."""
        rate = self.playback.rate
        async with open_service_nursery() as services:
            self._services = services
            stream = await backend.open_stream(
                "output",
                self.device,
                rate=rate,
                channels=channels,
                block=rate // _BLOCKS_PER_S,
                on_block=self.on_block,
                on_end=self.on_end,
            )
            self._sink.latency = round(stream.latency * rate)
            if stream.longest_pause < math.inf:
                services.start_soon(self._watch_loop, stream.longest_pause)
            try:
                yield
            finally:
                self._services = None  # what ends because it is closed was not lost
                with trio.move_on_after(_CLOSING, shield=True):
                    await stream.aclose()

    async def _watch_loop(self, longest_pause: float) -> None:
        """Notice that the device has stopped without saying so."""
        # Twice: this process may have been stopped itself, and the device with it.
        looks, still = 2, 0
        while still < looks:
            before = self._sink.position
            await trio.sleep(longest_pause / looks)
            still = 0 if self._sink.position > before else still + 1
        raise DeviceLost(self.device.name, stalled(longest_pause))


@asynccontextmanager
async def open_speaker(
    playback: Playback | None = None,
    *,
    device: int | str | None = None,
    channels: int | None = None,
    backend: Backend | None = None,
) -> AsyncIterator[Speaker]:
    """Play what a session's model says while the block runs.

        async with (
            open_speaker() as speaker,
            open_session(playback=speaker.playback) as session,
        ):
            ...

    What is heard is known to the sample, less the latency that the device states.  What is
    interrupted fades out within 20 ms, and what the device has taken by then is played.

    Args:
        playback: What to play, one with `tracking="reported"`, at a rate that the device takes;
            None makes one at the rate that the device prefers.
        device: Number or name of the device, or a part of its name; None for the system's default.
        channels: How many channels it is played on, all the same; None for two, or as many as there
            are.
        backend: Drives the device; None for PortAudio, of the extra `devices`.

    Raises:
        DeviceError: There is no such device, it refused, or there is no PortAudio.
        DeviceLost: The device went away, or takes nothing any more, so the block was cancelled.
        LocalProtocolError: The playback does not go by reports.
    """
    if playback is not None:
        playback.played(0)  # says so if it does not go by reports
    backend = PortAudio() if backend is None else backend
    chosen = find_device(await backend.devices(), device, "output")
    if playback is None:
        playback = Playback(chosen.rate, tracking="reported")
    speaker = Speaker(chosen, playback)
    async with speaker.playing(backend, min(chosen.outputs, 2) if channels is None else channels):
        yield speaker
