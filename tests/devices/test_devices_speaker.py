"""A loudspeaker, with devices that a test drives by hand, and with a session that it is of."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import trio
from numpy.typing import NDArray
from simulated import open_simulated
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ItemTruncated, ItemUpdated, LocalProtocolError
from realtime_trio.devices import (
    Device,
    DeviceError,
    DeviceLost,
    SimulatedDevices,
    open_microphone,
    open_speaker,
)
from realtime_trio.playback import Playback
from realtime_trio.simulator import LIFELIKE, Reply

SPEECH = np.resize(np.array([9000, -9000], np.int16), 48_000)


def stereo(rate: int = 48_000) -> SimulatedDevices:
    return SimulatedDevices(Device(number=4, name="Stereo", inputs=0, outputs=2, rate=rate))


async def test_it_plays_what_its_playback_has_and_reports_it() -> None:
    devices = SimulatedDevices()
    async with open_speaker(backend=devices) as speaker:
        speaker.playback.append(SPEECH[:4800], "item")
        sound = devices.listen(4800 + 240)
        assert sound[:4800].tolist() == SPEECH[:4800].tolist()
        assert not sound[4800:].any()
        assert speaker.playback.heard_ms("item") == 200
        assert speaker.level == -100.0
    assert speaker.underruns == 0


async def test_the_playback_has_the_rate_of_the_device() -> None:
    devices = stereo(44_100)
    async with open_speaker(backend=devices) as speaker:
        assert speaker.playback.rate == 44_100
        speaker.playback.append(SPEECH[:24_000], "item")
        speaker.playback.finish("item")
        devices.listen(44_100)
        devices.listen(441)
        assert speaker.playback.heard_ms("item") == 1000


async def test_all_channels_play_the_same() -> None:
    devices = stereo()
    async with open_speaker(backend=devices) as speaker:
        speaker.playback.append(SPEECH, "item")
        block = np.empty((480, 2), np.int16)
        devices.open_streams[0].process(block)
    assert block.any()
    assert (block[:, 0] == block[:, 1]).all()


async def test_the_latency_of_the_device_is_not_heard_yet() -> None:
    devices = SimulatedDevices(latency=0.05)
    async with open_speaker(backend=devices) as speaker:
        speaker.playback.append(SPEECH, "item")
        devices.listen(1200 + 240)
        assert speaker.playback.heard_ms("item") == 0
        devices.listen(240)
        assert speaker.playback.heard_ms("item") == 10


async def test_underruns_and_gaps_are_counted() -> None:
    devices = SimulatedDevices()
    async with open_speaker(backend=devices) as speaker:
        devices.fail("output")
        devices.listen(240)
        assert speaker.underruns == 1
        speaker.playback.append(SPEECH[:480], "item")
        devices.listen(720)
        assert speaker.gaps == 1


@pytest.mark.parametrize("name", ["audio/pcm", "audio/pcmu", "audio/pcma"])
@pytest.mark.parametrize("rate", [8000, 24_000, 48_000])
async def test_an_interruption_by_the_session_cuts_the_item_to_what_was_heard(
    name: Literal["audio/pcm", "audio/pcmu", "audio/pcma"], rate: int, autojump_clock: MockClock
) -> None:
    """The exact sample: 100 ms were given to the device, of which it has stated to play 80."""
    device = Device(number=1, name="Stereo", inputs=0, outputs=2, rate=rate)
    devices = SimulatedDevices(device, latency=0.01)
    voice = np.repeat(SPEECH[:2000], 24)  # 500 Hz, which a telephone can hear
    reply = Reply.speech("A long story, and nobody wants to hear its end.", voice, pacing=LIFELIKE)
    async with (
        open_speaker(backend=devices) as speaker,
        open_simulated(reply, playback=speaker.playback, output_format=name) as session,
    ):
        with session.events(ItemUpdated, ItemTruncated) as events:
            await session.respond()
            async for _ in events:
                if speaker.playback.queued >= rate * 120 // 1000:
                    break
            devices.listen(rate // 10)
            await session.cancel_response()
            faded = devices.listen(rate // 10)
            async for event in events:
                if isinstance(event, ItemTruncated):
                    break
    assert isinstance(event, ItemTruncated)
    assert event.audio_end_ms == 80
    assert faded[: rate // 200].any()
    assert not faded[rate // 50 :].any()


async def test_unplugged_it_ends_the_block_with_an_error_of_its_own() -> None:
    devices = SimulatedDevices()
    with trio.fail_after(5), pytest.raises(DeviceLost, match="simulated loudspeaker"):  # noqa: PT012 - the block is what ends
        async with open_speaker(backend=devices), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            devices.unplug(1)
    assert devices.open_streams == ()


async def test_one_that_takes_nothing_any_more_is_lost(autojump_clock: MockClock) -> None:
    devices = SimulatedDevices(longest_pause=2.0)
    with trio.fail_after(60), pytest.raises(DeviceLost, match="it has been still for 2 s"):  # noqa: PT012 - the block is what ends
        async with open_speaker(backend=devices):
            with trio.move_on_after(10):
                await devices.run()  # for longer than a pause
            stopped = trio.current_time()
            await trio.sleep_forever()
    assert 2.0 <= trio.current_time() - stopped <= 3.0
    assert devices.open_streams == ()


async def test_who_was_stopped_together_with_its_device_has_not_lost_it(
    autojump_clock: MockClock,
) -> None:
    """As a machine that was suspended, or a program that computed for seconds."""
    devices = SimulatedDevices(longest_pause=2.0)
    async with open_speaker(backend=devices):
        autojump_clock.jump(3600)
        await wait_all_tasks_blocked()
        devices.listen(240)
        await trio.sleep(1.5)


async def test_what_was_raised_before_it_was_lost_is_what_is_raised() -> None:
    devices = SimulatedDevices()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what ends
        async with open_speaker(backend=devices):
            devices.unplug(1)
            raise ZeroDivisionError


async def test_a_device_that_stops_because_it_is_closed_was_not_lost() -> None:
    class Telling(SimulatedDevices):
        """Says that a stream has ended also when it is closed, as PortAudio does."""

        def close(self, stream: object) -> None:
            for each in self.open_streams:
                each.on_end()
            super().close(stream)  # type: ignore[arg-type]

    async with open_speaker(backend=Telling()):
        pass
    async with open_microphone(backend=Telling()):
        pass
    await trio.lowlevel.checkpoint()


async def test_a_word_of_a_card_after_the_end_of_trio_is_not_an_error() -> None:
    late = []

    async def play() -> None:
        async with open_speaker(backend=SimulatedDevices()) as speaker:
            late.append(speaker)

    await trio.to_thread.run_sync(trio.run, play)
    late[0].on_end()


async def test_a_playback_of_your_own_has_to_go_by_reports_and_to_have_a_rate_of_the_device() -> (
    None
):
    own = Playback(tracking="reported")
    async with open_speaker(own, backend=SimulatedDevices()) as speaker:
        assert speaker.playback is own
    with pytest.raises(LocalProtocolError, match="reported"):
        async with open_speaker(Playback(), backend=SimulatedDevices()):
            raise AssertionError
    with pytest.raises(DeviceError, match="it has 48000 Hz, not 24000"):
        async with open_speaker(own, backend=stereo()):
            raise AssertionError


async def test_the_microphone_hears_nothing_of_the_speaker_but_somebody_who_is_louder() -> None:
    devices = SimulatedDevices()
    heard = []
    async with (
        open_speaker(backend=devices) as speaker,
        open_microphone(speaker=speaker, backend=devices) as microphone,
    ):
        speaker.playback.append(SPEECH, "item")
        speaker.playback.append(SPEECH, "item")
        for level in [900] * 150 + [9000] * 5:
            played = devices.listen(480)
            devices.speak((played.astype(int) * level // 9000).astype(np.int16))
            heard.append(bool((await anext(microphone)).any()))
    assert heard == [False] * 152 + [True] * 3


@pytest.mark.parametrize(("name", "echo"), [("USB Headset", "auto"), ("USB Audio", None)])
async def test_there_is_no_gate_with_headphones_or_where_none_is_wanted(
    name: str, echo: Literal["auto"] | None
) -> None:
    devices = SimulatedDevices(Device(number=1, name=name, inputs=1, outputs=1, rate=24_000))
    async with (
        open_speaker(backend=devices) as speaker,
        open_microphone(speaker=speaker, echo=echo, backend=devices) as microphone,
    ):
        speaker.playback.append(SPEECH, "item")
        devices.speak(devices.listen(480))
        assert (await anext(microphone)).any()


async def test_what_was_played_is_told_at_another_rate_and_only_what_is_new() -> None:
    devices = stereo(48_000)
    async with open_speaker(backend=devices) as speaker:
        speaker.playback.append(np.full(24_000, 5000, np.int16), "item")
        devices.listen(48_000 // 4)
        devices.listen(48_000 // 4)
        told = np.concatenate([speaker.take_played(480, 24_000) for _ in range(7)])
        # 20 ms at most, and the chunk that is asked for, is left of half a second.
        assert np.count_nonzero(told) == 480 + 480
        assert told[100] == 5000


async def test_both_run_as_time_passes(autojump_clock: MockClock) -> None:
    devices = SimulatedDevices()
    heard: list[NDArray[np.int16]] = []
    async with (
        open_microphone(backend=devices) as microphone,
        open_speaker(backend=devices) as speaker,
        trio.open_nursery() as nursery,
    ):
        start = trio.current_time()
        nursery.start_soon(devices.run, SPEECH[:2400], heard.append)
        speaker.playback.append(SPEECH[:1200], "item")
        said = np.concatenate([await anext(microphone) for _ in range(10)])
        assert trio.current_time() - start == pytest.approx(0.2)
        nursery.cancel_scope.cancel()
    assert said.tolist() == SPEECH[:2400].tolist() + [0] * 2400
    sound = np.concatenate(heard)
    assert sound[:1200].tolist() == SPEECH[:1200].tolist()
    assert not sound[1200:].any()


async def test_nothing_of_what_is_said_is_lost_before_there_is_a_microphone(
    autojump_clock: MockClock,
) -> None:
    devices = SimulatedDevices()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(devices.run, SPEECH[:2400])
        await trio.sleep(1)
        async with open_microphone(backend=devices) as microphone:
            said = np.concatenate([await anext(microphone) for _ in range(5)])
        nursery.cancel_scope.cancel()
    assert said.tolist() == SPEECH[:2400].tolist()


async def test_whoever_reads_late_is_told_of_what_was_played_at_the_time() -> None:
    class Compared:
        def process(self, near: NDArray[np.int16], far: NDArray[np.int16]) -> NDArray[np.int16]:
            pairs.append((near, far))
            return near

    pairs: list[tuple[NDArray[np.int16], NDArray[np.int16]]] = []
    devices = SimulatedDevices()
    async with (
        open_speaker(backend=devices) as speaker,
        open_microphone(speaker=speaker, echo=Compared(), backend=devices) as microphone,
    ):
        speaker.playback.append(np.arange(1, 12_001, dtype=np.int16), "item")
        for chunks in (1, 24):  # read at once, and after a while
            for _ in range(chunks):
                devices.speak(devices.listen(480))
            for _ in range(chunks):
                await anext(microphone)
    for near, far in pairs:
        assert far.tolist() == near.tolist()
    assert pairs[-1][0][-1] == 12_000
