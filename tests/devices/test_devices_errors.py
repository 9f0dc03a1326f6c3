"""What is said when a device is lost."""

from __future__ import annotations

from realtime_trio import RealtimeError
from realtime_trio.devices import DeviceError, DeviceLost


def test_a_lost_device_is_named() -> None:
    lost = DeviceLost("USB Audio")
    assert lost.name == "USB Audio"
    assert str(lost) == "lost the sound device 'USB Audio': it went away while it was in use"
    assert isinstance(lost, DeviceError)
    assert isinstance(lost, RealtimeError)
