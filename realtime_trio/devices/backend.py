"""Sound devices as values, and what is asked of whatever drives them.

Owns the choice of a device by its name or number, and the small protocol behind which PortAudio is,
or a simulation.  Knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, Protocol, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from realtime_trio.devices.errors import DeviceError

Direction: TypeAlias = Literal["input", "output"]
"""Whether a device is to record or to play."""

OnBlock: TypeAlias = Callable[[NDArray[np.int16], bool], None]
"""Called with every block, shape (frames, channels), int16, and with whether the device had to
throw away samples (of an input) or had nothing to play (of an output) since the block before.  Of
an input the block is what was recorded, and only valid during the call; of an output it is to be
filled completely."""


@frozen(kw_only=True)
class Device:
    """A sound device of this machine."""

    number: int
    """Its number.  It may be another one tomorrow, or when something is plugged in."""
    name: str
    """Its name, with that of the system's interface, such as `USB Audio, ALSA`."""
    inputs: int
    """How many channels it can record."""
    outputs: int
    """How many channels it can play."""
    rate: int
    """The rate that it prefers, in Hz."""
    is_default_input: bool = False
    """Whether it records where none was chosen."""
    is_default_output: bool = False
    """Whether it plays where none was chosen."""

    def channels(self, direction: Direction) -> int:
        """How many channels it has in this direction."""
        return self.inputs if direction == "input" else self.outputs

    def is_default(self, direction: Direction) -> bool:
        """Whether it is used in this direction where none was chosen."""
        return self.is_default_input if direction == "input" else self.is_default_output


class DeviceStream(Protocol):
    """A device that records or plays."""

    @property
    def latency(self) -> float:
        """Seconds between a block and the sound that it is of."""

    @property
    def longest_pause(self) -> float:
        """Seconds without a block after which the device is lost; infinity for ever.

        Some systems do not say when one is unplugged.
        """

    async def aclose(self) -> None:
        """Stop at once.  When it returns, no callback runs any more, nor will."""


class Backend(Protocol):
    """Drives sound devices.

    Callbacks may be called on any thread.  They return at once and do not raise.
    """

    async def devices(self) -> tuple[Device, ...]:
        """All devices, in the order of their numbers.

        Raises:
            DeviceError: They cannot be asked for.
        """

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
    ) -> DeviceStream:
        """Let a device record or play.

        Args:
            direction: Which of the two.
            device: One of `devices()`.
            rate: Frames per second.
            channels: Channels of every block.
            block: Frames in a block; a wish.
            on_block: Called with every block.
            on_end: Called when the device stops by itself; may also be called when it is closed.

        Raises:
            DeviceError: It refused.
        """


def find_device(
    devices: Iterable[Device], wanted: int | str | None, direction: Direction
) -> Device:
    """Choose a device.

    Args:
        devices: Those that there are.
        wanted: A number; a name, or a part of one, in any case; None for the default.
        direction: What it is to do; a device that cannot is not considered.

    Raises:
        DeviceError: There is none, or several have this in their names; the message names them.
    """
    able = [device for device in devices if device.channels(direction)]
    if not able:
        raise DeviceError(f"there is no sound device for {direction}")
    known = ", ".join(f"{device.number} ({device.name})" for device in able)
    if wanted is None:
        # A system without a favourite takes its first.
        return next((device for device in able if device.is_default(direction)), able[0])
    if isinstance(wanted, int):
        found = [device for device in able if device.number == wanted]
    else:
        name = wanted.casefold()
        found = [device for device in able if device.name.casefold() == name] or [
            device for device in able if name in device.name.casefold()
        ]
    if not found:
        raise DeviceError(f"there is no sound device {wanted!r} for {direction}; there is {known}")
    if len(found) > 1:
        names = ", ".join(f"{device.number} ({device.name})" for device in found)
        raise DeviceError(f"{wanted!r} may be any of the sound devices {names}")
    return found[0]
