"""What can go wrong with a sound device."""

from __future__ import annotations

from realtime_trio.errors import RealtimeError


class DeviceError(RealtimeError):
    """A sound device cannot be used: there is none, it is not known, or it refused to open.

    Also raised where the extra `devices` or the library PortAudio is missing.  The message says
    which devices there are, or what to install.
    """


class DeviceLost(DeviceError):  # noqa: N818 - as ConnectionLost: it says what happened
    """A sound device went away while it was in use: unplugged, or taken by the system."""

    name: str
    """The device."""

    def __init__(self, name: str, why: str = "it went away while it was in use") -> None:
        super().__init__(f"lost the sound device {name!r}: {why}")
        self.name = name


def stalled(seconds: float) -> str:
    """Why a device is lost that has not called for so many seconds, without having said why."""
    return f"it has been still for {seconds:.0f} s"
