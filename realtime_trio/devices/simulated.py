"""Sound devices that are not there: for tests, and for machines without a sound card.

Owns their time: by hand, block by block as a test wants it, or as it passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE
from realtime_trio.devices.backend import Device, Direction, OnBlock
from realtime_trio.devices.errors import DeviceError


class SimulatedStream:
    """A simulated device that records or plays.  Made by `SimulatedDevices`."""

    def __init__(
        self,
        owner: SimulatedDevices,
        direction: Direction,
        device: Device,
        channels: int,
        block: int,
        on_block: OnBlock,
        on_end: Callable[[], None],
    ) -> None:
        self._owner = owner
        self.direction = direction
        """Whether it records or plays."""
        self.device = device
        """The device it is of."""
        self.channels = channels
        """Channels of its blocks."""
        self.block = block
        """Frames of its blocks."""
        self.on_block = on_block
        """Called with every block."""
        self.on_end = on_end
        """Called when the device goes away."""
        self.has_failed = False
        """Whether the next block follows one that was lost."""

    @property
    def latency(self) -> float:
        """Seconds: what `SimulatedDevices` was told."""
        return self._owner.latency

    @property
    def longest_pause(self) -> float:
        """Seconds: what `SimulatedDevices` was told."""
        return self._owner.longest_pause

    async def aclose(self) -> None:
        """Stop."""
        await trio.lowlevel.checkpoint()
        self._owner.close(self)

    def process(self, block: NDArray[np.int16]) -> None:
        """Hand over one block."""
        failed, self.has_failed = self.has_failed, False
        self.on_block(block, failed)


class SimulatedDevices:
    """Simulated sound devices, a `Backend`.

    Nothing happens by itself: `speak` lets the microphone record, `listen` lets the loudspeaker
    play, and `run` does both as time passes.

    Args:
        devices: Those that there are; with none there is a microphone and a loudspeaker, numbers 0
            and 1, mono, at 24 kHz.
        latency: Seconds between a block and its sound.
        longest_pause: Seconds without a block after which a device is lost; infinity for those that
            are driven by hand.
    """

    def __init__(
        self, *devices: Device, latency: float = 0.0, longest_pause: float = math.inf
    ) -> None:
        self._devices = list(
            devices
            or (
                Device(
                    number=0,
                    name="simulated microphone",
                    inputs=1,
                    outputs=0,
                    rate=PCM_RATE,
                    is_default_input=True,
                ),
                Device(
                    number=1,
                    name="simulated loudspeaker",
                    inputs=0,
                    outputs=1,
                    rate=PCM_RATE,
                    is_default_output=True,
                ),
            )
        )
        self.latency = latency
        """Seconds between a block and its sound."""
        self.longest_pause = longest_pause
        """Seconds without a block after which a device is lost."""
        self._streams: list[SimulatedStream] = []

    async def devices(self) -> tuple[Device, ...]:
        """All devices that are plugged in."""
        await trio.lowlevel.checkpoint()
        return tuple(self._devices)

    async def open_stream(
        self,
        direction: Direction,
        device: Device,
        *,
        rate: int,
        channels: int,
        block: int,
        on_block: OnBlock,
        on_end: Callable[[], None],
    ) -> SimulatedStream:
        """Let a device record or play, at its own rate.

        Raises:
            DeviceError: Another rate, more channels than it has, or it is unplugged.
        """
        await trio.lowlevel.checkpoint()
        if device not in self._devices:
            raise DeviceError(f"cannot open {device.name!r}: it is not there")
        if rate != device.rate:
            raise DeviceError(f"cannot open {device.name!r}: it has {device.rate} Hz, not {rate}")
        if not 1 <= channels <= device.channels(direction):
            raise DeviceError(f"cannot open {device.name!r} for {direction}: {channels} channels")
        stream = SimulatedStream(self, direction, device, channels, block, on_block, on_end)
        self._streams.append(stream)
        return stream

    def close(self, stream: SimulatedStream) -> None:
        """Let a stream be called no more."""
        if stream in self._streams:
            self._streams.remove(stream)

    @property
    def open_streams(self) -> tuple[SimulatedStream, ...]:
        """The streams that are open, in the order in which they were opened."""
        return tuple(self._streams)

    def speak(self, samples: NDArray[np.int16]) -> None:
        """Let every open microphone record.

        Args:
            samples: Shape (n,) or (n, channels), int16, at the rate of the device; mono is recorded
                on all channels.
        """
        for stream in self._of("input"):
            frames = samples if samples.ndim == 2 else samples[:, np.newaxis]
            frames = np.broadcast_to(frames, (len(frames), stream.channels))
            for start in range(0, len(frames), stream.block):
                stream.process(frames[start : start + stream.block])

    def listen(self, count: int) -> NDArray[np.int16]:
        """Let the loudspeaker play.

        Args:
            count: How many frames.

        Returns:
            Shape (count,), int16: the first channel of the speaker that was opened first; silence
            if there is none.
        """
        heard = np.zeros(count, np.int16)
        for stream in reversed(self._of("output")):
            for start in range(0, count, stream.block):
                # What is not filled would be heard as it is.
                block = np.full((min(stream.block, count - start), stream.channels), 9999, np.int16)
                stream.process(block)
                heard[start : start + len(block)] = block[:, 0]
        return heard

    def fail(self, direction: Direction) -> None:
        """Lose a block: an overrun of the microphone, or an underrun of the loudspeaker."""
        for stream in self._of(direction):
            stream.has_failed = True

    def unplug(self, number: int) -> None:
        """Take a device away, and end its streams."""
        self._devices = [device for device in self._devices if device.number != number]
        for stream in self.open_streams:
            if stream.device.number == number:
                self.close(stream)
                stream.on_end()

    async def run(
        self,
        said: NDArray[np.int16] | None = None,
        heard: Callable[[NDArray[np.int16]], None] | None = None,
        *,
        step: float = 0.01,
    ) -> None:
        """Let time pass for the devices, as it passes for trio, until this is cancelled.

        Args:
            said: What the microphone records as soon as one is open, then silence: shape (n,),
                int16, at 24 kHz.
            heard: Called with everything that the loudspeaker plays, silence as well: shape (n,),
                int16, at 24 kHz.
            step: Seconds between two blocks.
        """
        rest = np.empty(0, np.int16) if said is None else said
        start = trio.current_time()
        position = 0
        while True:
            # Counted from the start, so that delays do not add up.
            end = round((trio.current_time() - start + step) * PCM_RATE)
            await trio.sleep_until(start + end / PCM_RATE)
            count, position = end - position, end
            if self._of("input"):
                spoken, rest = rest[:count], rest[count:]
                self.speak(np.concatenate((spoken, np.zeros(count - len(spoken), np.int16))))
            played = self.listen(count)
            if heard is not None:
                heard(played)

    def _of(self, direction: Direction) -> list[SimulatedStream]:
        return [stream for stream in self._streams if stream.direction == direction]
