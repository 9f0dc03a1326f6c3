"""A microphone, with devices that a test drives by hand or lets run as trio's time passes."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import trio
from numpy.typing import NDArray
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio import LocalProtocolError
from realtime_trio.audio import resample
from realtime_trio.devices import (
    Device,
    DeviceError,
    DeviceLost,
    Microphone,
    SimulatedDevices,
    open_microphone,
)

CHUNK = 480


def counting(count: int) -> NDArray[np.int16]:
    return np.arange(1, count + 1, dtype=np.int16)


def stereo(rate: int = 48_000) -> SimulatedDevices:
    return SimulatedDevices(Device(number=4, name="Stereo", inputs=2, outputs=0, rate=rate))


async def chunks(microphone: Microphone, count: int) -> NDArray[np.int16]:
    heard: list[NDArray[np.int16]] = []
    with trio.fail_after(5):
        while len(heard) < count:
            heard.append(await anext(microphone))
        await trio.lowlevel.checkpoint()
    return np.concatenate(heard)


async def test_what_is_said_comes_in_chunks_of_one_size() -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices) as microphone:
        devices.speak(counting(3 * CHUNK + 100))
        heard = await chunks(microphone, 3)
        devices.speak(np.zeros(CHUNK, np.int16))
        rest = await chunks(microphone, 1)
    assert heard.tolist() == counting(3 * CHUNK).tolist()
    assert rest[:100].tolist() == counting(3 * CHUNK + 100)[-100:].tolist()
    assert (microphone.overruns, microphone.dropped) == (0, 0)


async def test_a_chunk_is_waited_for() -> None:
    devices = SimulatedDevices()
    heard: list[NDArray[np.int16]] = []

    async def listen() -> None:
        heard.append(await anext(microphone))

    async with open_microphone(backend=devices) as microphone, trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        devices.speak(counting(CHUNK - 1))
        await wait_all_tasks_blocked()
        assert not heard
        devices.speak(counting(1))
        await wait_all_tasks_blocked()
        assert len(heard) == 1


async def test_the_thread_of_a_sound_card_wakes_whoever_waits() -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices) as microphone, trio.open_nursery() as nursery:

        async def speak() -> None:
            await wait_all_tasks_blocked()
            thread = threading.Thread(target=devices.speak, args=(counting(CHUNK),))
            thread.start()
            await trio.to_thread.run_sync(thread.join, 5)

        nursery.start_soon(speak)
        assert (await chunks(microphone, 1)).tolist() == counting(CHUNK).tolist()


async def test_stereo_at_another_rate_becomes_mono_at_the_rate_of_sessions() -> None:
    devices = stereo()
    tone = (8000 * np.sin(np.arange(9600) * 0.05)).astype(np.int16)
    async with open_microphone(backend=devices) as microphone:
        devices.speak(np.stack((tone, np.zeros_like(tone)), axis=1))
        heard = await chunks(microphone, 9)
    assert microphone.rate == 24_000
    assert microphone.device.name == "Stereo"
    half = np.trunc(tone / 2).astype(np.int16)
    assert heard.tolist() == resample(half, 48_000, 24_000)[: len(heard)].tolist()


async def test_what_is_not_read_in_time_is_dropped_and_counted() -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices, buffer_seconds=0.1) as microphone:
        devices.speak(counting(2400 + 500))
        assert microphone.dropped == 500
        assert microphone.overruns == 3  # blocks of 240, the first of them in part
        assert (await chunks(microphone, 5)).tolist() == counting(2400).tolist()


async def test_an_overrun_of_the_device_is_counted_once() -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices) as microphone:
        devices.fail("input")
        devices.speak(counting(CHUNK))
        assert (microphone.overruns, microphone.dropped) == (1, 0)


async def test_a_muted_microphone_gives_silence_and_still_shows_its_level() -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices) as microphone:
        microphone.is_muted = True
        devices.speak(np.full(2 * CHUNK, 8000, np.int16))
        assert not (await chunks(microphone, 1)).any()
        assert round(microphone.level) == -12
        microphone.is_muted = False
        assert (await chunks(microphone, 1)).all()


async def test_unplugged_it_gives_what_it_has_and_then_says_so() -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices) as microphone:
        devices.speak(counting(CHUNK))
        devices.unplug(0)
        await chunks(microphone, 1)
        for _ in range(2):
            with trio.fail_after(5), pytest.raises(DeviceLost, match="simulated microphone"):
                await anext(microphone)


async def test_one_that_delivers_nothing_any_more_is_lost(autojump_clock: MockClock) -> None:
    devices = SimulatedDevices(longest_pause=2.0)
    async with open_microphone(backend=devices) as microphone:
        start = trio.current_time()
        with pytest.raises(DeviceLost, match="it has been still for 2 s"):
            await anext(microphone)
        assert trio.current_time() - start == pytest.approx(2.0)


async def test_devices_that_are_driven_by_hand_may_take_their_time(
    autojump_clock: MockClock,
) -> None:
    async with open_microphone(backend=SimulatedDevices()) as microphone:
        with trio.move_on_after(3600) as hour:
            await anext(microphone)
        assert hour.cancelled_caught


async def test_it_ends_when_its_block_is_left_for_those_who_wait_as_well() -> None:
    devices = SimulatedDevices()
    ended: list[bool] = []

    async def listen() -> None:
        async for _ in microphone:
            raise AssertionError
        ended.append(True)

    async with trio.open_nursery() as nursery:
        async with open_microphone(backend=devices) as microphone:
            nursery.start_soon(listen)
            await wait_all_tasks_blocked()
        assert devices.open_streams == ()
    assert ended
    with pytest.raises(StopAsyncIteration):
        await anext(microphone)


async def test_cancelling_loses_nothing(autojump_clock: MockClock) -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices) as microphone:
        devices.speak(counting(CHUNK - 1))
        with trio.move_on_after(1):
            await anext(microphone)
        devices.speak(counting(1))
        assert (await chunks(microphone, 1))[:-1].tolist() == counting(CHUNK - 1).tolist()


async def test_every_way_through_checkpoints() -> None:
    devices = SimulatedDevices()
    async with open_microphone(backend=devices) as microphone:
        devices.speak(counting(CHUNK))
        with assert_checkpoints():
            await anext(microphone)


async def test_the_device_is_closed_whatever_ends_the_block() -> None:
    devices = SimulatedDevices()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what ends
        async with open_microphone(backend=devices):
            assert len(devices.open_streams) == 1
            raise ZeroDivisionError
    with trio.CancelScope() as scope:
        async with open_microphone(backend=devices):
            scope.cancel()
            await trio.sleep_forever()
    assert devices.open_streams == ()


async def test_a_word_of_a_card_after_the_end_of_trio_is_not_an_error() -> None:
    late: list[Microphone] = []

    async def record() -> None:
        async with open_microphone(backend=SimulatedDevices()) as microphone:
            late.append(microphone)

    await trio.to_thread.run_sync(trio.run, record)
    late[0].on_block(np.zeros((240, 1), np.int16), False)
    late[0].on_end()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"device": 7}, DeviceError),
        ({"device_rate": 16_000}, DeviceError),
        ({"channels": 2}, DeviceError),
        ({"rate": 100}, LocalProtocolError),
        ({"chunk_seconds": 0}, LocalProtocolError),
        ({"buffer_seconds": 0.01}, LocalProtocolError),
    ],
)
async def test_what_cannot_be_is_refused(options: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error):
        async with open_microphone(backend=SimulatedDevices(), **options):  # type: ignore[arg-type]
            raise AssertionError
