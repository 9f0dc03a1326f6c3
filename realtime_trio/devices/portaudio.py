"""Sound devices by PortAudio: the extra `devices`.

Owns what must be known of sounddevice, and translates what it raises.  Whatever may take a while,
looking for devices, opening and closing, is done in a thread.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Final, Protocol

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio._misuse import without_extra
from realtime_trio.devices.backend import Device, Direction, OnBlock
from realtime_trio.devices.errors import DeviceError


def _sounddevice() -> ModuleType:
    # By name: it has no types, and it need not be there.
    try:
        return importlib.import_module("sounddevice")
    except ModuleNotFoundError as error:
        raise DeviceError(without_extra("a sound device", "sounddevice", "devices")) from error
    except OSError as error:  # the wheel for Linux brings no PortAudio
        raise DeviceError(
            "a sound device needs the library PortAudio: apt install libportaudio2, "
            f"or what your system calls it ({error})"
        ) from error


class _Flags(Protocol):
    """What PortAudio says of a block."""

    @property
    def input_overflow(self) -> bool: ...
    @property
    def output_underflow(self) -> bool: ...


class _Stream(Protocol):
    """A stream of sounddevice."""

    @property
    def latency(self) -> float: ...
    def start(self) -> None: ...
    def close(self) -> None: ...


_LONGEST_PAUSE: Final = 2.0
"""Seconds.  No device that works pauses for longer than a few blocks."""


class _PortAudioStream:
    longest_pause: Final = _LONGEST_PAUSE

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self.latency = stream.latency

    async def aclose(self) -> None:
        # It waits for the callback to return, and some drivers for longer.
        await trio.to_thread.run_sync(self._stream.close, abandon_on_cancel=True)


class PortAudio:
    """The sound devices of this machine, a `Backend`.

    Devices that are plugged in later are found by the next process: PortAudio looks once.

    Raises:
        DeviceError: sounddevice or PortAudio is missing.
    """

    def __init__(self) -> None:
        self._library = _sounddevice()

    async def devices(self) -> tuple[Device, ...]:
        """All devices, in the order of their numbers.

        Raises:
            DeviceError: PortAudio failed.
        """
        return await trio.to_thread.run_sync(self._devices)

    def _devices(self) -> tuple[Device, ...]:
        try:
            found = self._library.query_devices()
            hosts = self._library.query_hostapis()
        except self._library.PortAudioError as error:
            raise DeviceError(f"cannot look for sound devices: {error}") from error
        default_input, default_output = self._library.default.device
        return tuple(
            Device(
                number=each["index"],
                name=f"{each['name']}, {hosts[each['hostapi']]['name']}",
                inputs=each["max_input_channels"],
                outputs=each["max_output_channels"],
                rate=round(each["default_samplerate"]),
                is_default_input=each["index"] == default_input,
                is_default_output=each["index"] == default_output,
            )
            for each in found
        )

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
    ) -> _PortAudioStream:
        """Let a device record or play.

        Raises:
            DeviceError: It refused.
        """

        # The raw streams, whose blocks are buffers: the others make arrays of them in a way that
        # numpy warns of, from version 2.5 on.
        def frames(block: memoryview) -> NDArray[np.int16]:
            return np.frombuffer(block, np.int16).reshape(-1, channels)

        def recorded(block: memoryview, _: int, __: object, flags: _Flags) -> None:
            on_block(frames(block), flags.input_overflow)

        def wanted(block: memoryview, _: int, __: object, flags: _Flags) -> None:
            on_block(frames(block), flags.output_underflow)

        def start() -> _PortAudioStream:
            kind, callback = (
                (self._library.RawInputStream, recorded)
                if direction == "input"
                else (self._library.RawOutputStream, wanted)
            )
            try:
                stream = kind(
                    samplerate=rate,
                    blocksize=block,
                    device=device.number,
                    channels=channels,
                    dtype="int16",
                    latency="low",
                    callback=callback,
                    finished_callback=on_end,
                )
            except self._library.PortAudioError as error:
                raise _refused(device, error) from error
            try:
                stream.start()
            except self._library.PortAudioError as error:
                stream.close()
                raise _refused(device, error) from error
            return _PortAudioStream(stream)

        # Not to be abandoned half-way: nobody would close it.
        return await trio.to_thread.run_sync(start)


def _refused(device: Device, error: Exception) -> DeviceError:
    return DeviceError(f"cannot open the sound device {device.name!r}: {error}")
