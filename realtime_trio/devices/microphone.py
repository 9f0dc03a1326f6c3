"""A microphone as a stream of chunks.

Owns the way from the thread of the sound card to the task that reads.  The card's callback copies a
block into a ring and tells trio so; it never waits, and touches nothing else.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, Self

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio._misuse import check_number
from realtime_trio.audio import PCM_RATE, Resampler, to_mono
from realtime_trio.devices.backend import Backend, Device, find_device
from realtime_trio.devices.echo import EchoControl, EchoGate, is_headphones
from realtime_trio.devices.errors import DeviceLost, stalled
from realtime_trio.devices.level import SILENCE_DB, level_db
from realtime_trio.devices.portaudio import PortAudio
from realtime_trio.devices.ring import SampleRing
from realtime_trio.devices.speaker import Speaker

BLOCKS_PER_S: Final = 100
"""Blocks that a sound card is asked for in a second: 10 ms each."""
_CLOSING: Final = 5.0
"""Seconds that a device may take to close; it is the driver's affair after that."""


class Microphone:
    """What a microphone hears, chunk by chunk.  Made by `open_microphone`.

    Iterate it, one task at a time.  It ends when its block is left.
    """

    def __init__(
        self,
        device: Device,
        device_rate: int,
        rate: int,
        chunk: int,
        room: int,
        clean: Callable[[NDArray[np.int16], int], NDArray[np.int16]],
    ) -> None:
        self.device = device
        """The device."""
        self.rate = rate
        """Samples per second of the chunks."""
        self.is_muted: bool = False
        """Set it to have silence instead of what is heard; chunks come as before, so that turn
        detection goes on."""
        self.overruns: int = 0
        """How often samples were lost: by the device, or because nobody read."""
        self.level: float = SILENCE_DB
        """How loud the last chunk was, in dB: -100 to 0; of what was heard, muted or not."""
        self._token = trio.lowlevel.current_trio_token()
        self._lot = trio.lowlevel.ParkingLot()
        self._ring = SampleRing(room)
        self._device_rate = device_rate
        self._resampler = Resampler(device_rate, rate)
        self._chunk = chunk
        self._clean = clean
        self._pending = np.empty(0, np.int16)
        self._lost: str | None = None
        self._is_closed = False
        self.longest_pause: float = math.inf
        """Seconds without a block after which the device is lost.  For `open_microphone`."""

    @property
    def dropped(self) -> int:
        """Samples, at the rate of the device, that were dropped because nobody read."""
        return self._ring.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NDArray[np.int16]:
        """Wait for the next chunk: shape (n,), int16, at `rate`.

        Cancel-safe: nothing that was recorded is lost.

        Raises:
            DeviceLost: The device went away, or delivers nothing any more; everything before was
                returned.
        """
        await trio.lowlevel.checkpoint()
        while (chunk := self._take()) is None:
            if self._is_closed:
                raise StopAsyncIteration
            if self._lost is not None:
                raise DeviceLost(self.device.name, self._lost)
            with trio.move_on_after(self.longest_pause) as patience:
                await self._lot.park()
            if patience.cancelled_caught and not self._ring.count:
                self._lost = stalled(self.longest_pause)
        self.level = level_db(chunk)
        # Also of what is not heard, so that it goes on learning.
        chunk = self._clean(chunk, self._later)
        return np.zeros_like(chunk) if self.is_muted else chunk

    @property
    def _later(self) -> int:
        """How many samples wait to be read."""
        waiting = self._ring.count * self.rate // self._device_rate
        return waiting + len(self._pending)

    def _take(self) -> NDArray[np.int16] | None:
        while len(self._pending) < self._chunk:
            if not (count := self._ring.count):
                return None
            recorded = self._resampler.process(self._ring.take(count))
            self._pending = np.concatenate((self._pending, recorded))
        chunk, self._pending = self._pending[: self._chunk], self._pending[self._chunk :]
        return chunk

    # On the thread of the sound card.

    def on_block(self, block: NDArray[np.int16], has_overrun: bool) -> None:
        """Take what was recorded.  For the backend."""
        samples = to_mono(block)
        if has_overrun or self._ring.put(samples) < len(samples):
            self.overruns += 1
        self._tell(self._wake)

    def on_end(self) -> None:
        """Take note that the device has stopped.  For the backend."""
        self._tell(self._lose)

    def _tell(self, what: Callable[[], None]) -> None:
        # Whoever is told has left already, and trio with them.
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(what, idempotent=True)

    # In trio again.

    def _wake(self) -> None:
        self._lot.unpark_all()

    def _lose(self) -> None:
        self._lost = "it went away while it was in use"
        self._wake()

    def close(self) -> None:
        """End the stream.  For `open_microphone`."""
        self._is_closed = True
        self._wake()


@asynccontextmanager
async def open_microphone(
    device: int | str | None = None,
    *,
    rate: int = PCM_RATE,
    device_rate: int | None = None,
    channels: int | None = None,
    chunk_seconds: float = 0.02,
    buffer_seconds: float = 2.0,
    speaker: Speaker | None = None,
    echo: EchoControl | Literal["auto"] | None = "auto",
    backend: Backend | None = None,
) -> AsyncIterator[Microphone]:
    """Record while the block runs.

        async with open_microphone() as microphone:
            async for chunk in microphone:
                await session.append_audio(chunk)

    Args:
        device: Number or name of the device, or a part of its name; None for the system's default.
        rate: Rate of the chunks in Hz, 8000 to 192000; the default is that of sessions.
        device_rate: Rate at which the device records, in Hz, 8000 to 192000; None for the one that
            it prefers.  Converted to `rate`.
        channels: How many channels are recorded, of which the mean is taken; None for two, or as
            many as there are.
        chunk_seconds: Seconds in a chunk, more than 0.
        buffer_seconds: Seconds that are kept while nobody reads; what is said after that is dropped
            and counted.  At least 0.1.
        speaker: The loudspeaker that it may hear.
        echo: What is done about that.  `auto` is an `EchoGate`, and nothing if there is no
            `speaker`, or if its name says that it is worn on the ears.  None does nothing.
        backend: Drives the device; None for PortAudio, of the extra `devices`.

    Raises:
        DeviceError: There is no such device, it refused, or there is no PortAudio.
        LocalProtocolError: A number is out of range.
    """
    check_number("chunk_seconds", chunk_seconds, lambda n: 0 < n <= 10, allowed="0 to 10 seconds")
    check_number("buffer_seconds", buffer_seconds, lambda n: n >= 0.1, allowed="0.1 s or more")
    backend = PortAudio() if backend is None else backend
    chosen = find_device(await backend.devices(), device, "input")
    if echo == "auto":
        is_heard = speaker is not None and not is_headphones(speaker.device.name)
        echo = EchoGate(rate) if is_heard else None

    def clean(chunk: NDArray[np.int16], later: int) -> NDArray[np.int16]:
        if speaker is None or echo is None:
            return chunk
        return echo.process(chunk, speaker.take_played(len(chunk), rate, later))

    native = chosen.rate if device_rate is None else device_rate
    microphone = Microphone(
        chosen,
        native,
        rate,
        max(1, round(chunk_seconds * rate)),
        round(buffer_seconds * native),
        clean,
    )
    stream = await backend.open_stream(
        "input",
        chosen,
        rate=native,
        channels=min(chosen.inputs, 2) if channels is None else channels,
        block=native // BLOCKS_PER_S,
        on_block=microphone.on_block,
        on_end=microphone.on_end,
    )
    microphone.longest_pause = stream.longest_pause
    try:
        yield microphone
    finally:
        microphone.close()
        with trio.move_on_after(_CLOSING, shield=True):
            await stream.aclose()
