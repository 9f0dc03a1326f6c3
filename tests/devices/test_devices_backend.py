"""Devices by name and number."""

from __future__ import annotations

import pytest

from realtime_trio.devices import Device, DeviceError
from realtime_trio.devices.backend import find_device

HEADSET = Device(number=0, name="Headset, ALSA", inputs=1, outputs=2, rate=48_000)
WEBCAM = Device(
    number=2, name="USB Webcam, ALSA", inputs=2, outputs=0, rate=44_100, is_default_input=True
)
DOCK = Device(number=5, name="USB Dock, ALSA", inputs=1, outputs=2, rate=48_000)
MONITOR = Device(
    number=6, name="Monitor, ALSA", inputs=0, outputs=8, rate=48_000, is_default_output=True
)
ALL = (HEADSET, WEBCAM, DOCK, MONITOR)


def test_without_a_choice_it_is_the_default_of_the_direction() -> None:
    assert find_device(ALL, None, "input") is WEBCAM
    assert find_device(ALL, None, "output") is MONITOR


def test_without_a_default_it_is_the_first_that_can() -> None:
    assert find_device((MONITOR, DOCK), None, "input") is DOCK


def test_a_number_a_name_and_a_part_of_a_name_choose() -> None:
    assert find_device(ALL, 5, "input") is DOCK
    assert find_device(ALL, "usb dock, alsa", "output") is DOCK
    assert find_device(ALL, "web", "input") is WEBCAM


def test_a_whole_name_wins_over_a_longer_one() -> None:
    short = Device(number=9, name="USB", inputs=1, outputs=0, rate=48_000)
    assert find_device((*ALL, short), "usb", "input") is short


def test_a_device_without_the_direction_is_not_meant() -> None:
    assert find_device(ALL, "usb", "output") is DOCK


def test_a_choice_that_several_fit_names_them() -> None:
    with pytest.raises(DeviceError, match=r"2 \(USB Webcam, ALSA\), 5 \(USB Dock, ALSA\)$"):
        find_device(ALL, "usb", "input")


@pytest.mark.parametrize("wanted", [6, "monitor"])
def test_a_choice_that_none_fits_names_those_that_there_are(wanted: int | str) -> None:
    with pytest.raises(DeviceError, match=r"no sound device .* for input; there is 0 \(Headset"):
        find_device(ALL, wanted, "input")


def test_no_device_at_all_is_an_error_of_its_own() -> None:
    with pytest.raises(DeviceError, match=r"^there is no sound device for input$"):
        find_device((MONITOR,), 6, "input")
