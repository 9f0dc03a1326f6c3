"""What is said when a device is lost."""

from __future__ import annotations

from realtime_trio import RealtimeError
from realtime_trio.devices import DeviceError, DeviceLost
from realtime_trio.devices.errors import stalled


def test_a_lost_device_is_named() -> None:
    lost = DeviceLost("USB Audio")
    assert lost.name == "USB Audio"
    assert str(lost) == "lost the sound device 'USB Audio': it went away while it was in use"
    assert isinstance(lost, DeviceError)
    assert isinstance(lost, RealtimeError)


def test_one_that_has_not_said_why_was_still() -> None:
    assert stalled(2.0) == "it has been still for 2 s"
