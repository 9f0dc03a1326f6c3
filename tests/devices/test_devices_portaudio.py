"""PortAudio itself, with devices of ALSA that play into nothing and record it.

Skipped where there is no PortAudio, or no ALSA under it.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trio

from realtime_trio.devices import (
    DeviceError,
    PortAudio,
    open_microphone,
    open_speaker,
)

NOTHING = """
pcm.!default { type null }
ctl.!default { type null }
pcm.nothing { type null }
"""


def _devices_of_nothing() -> bool:
    """Whether there are devices that are not there."""
    try:
        library = importlib.import_module("sounddevice")
    except (ImportError, OSError):
        return False
    return any("nothing" in device["name"] for device in library.query_devices())


@pytest.fixture(scope="module", autouse=True)
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # PortAudio looks for devices when it is loaded, which must not be before ALSA has this.
    file = tmp_path_factory.mktemp("alsa") / "asound.conf"
    file.write_text(NOTHING, encoding="utf-8")
    before = os.environ.get("ALSA_CONFIG_PATH")
    os.environ["ALSA_CONFIG_PATH"] = str(file)
    try:
        if not _devices_of_nothing():
            pytest.skip("there is no PortAudio, or it has no null device")
        yield
    finally:
        if before is None:
            del os.environ["ALSA_CONFIG_PATH"]
        else:
            os.environ["ALSA_CONFIG_PATH"] = before


async def test_devices_are_listed_with_what_they_can() -> None:
    found = await PortAudio().devices()
    named = [device for device in found if device.name == "nothing, ALSA"]
    assert len(named) == 1
    assert named[0].inputs > 0
    assert named[0].outputs > 0
    assert named[0].rate >= 8000
    assert sum(device.is_default_input for device in found) == 1


async def test_a_microphone_of_nothing_keeps_time() -> None:
    async with open_microphone("nothing") as microphone:
        with trio.fail_after(30):
            for _ in range(5):
                chunk = await anext(microphone)
                # What is in it depends on what was in the memory: ALSA writes nothing.
                assert chunk.shape == (480,)
                assert chunk.dtype == np.int16


async def test_a_speaker_of_nothing_plays_to_the_end() -> None:
    async with open_speaker(device="nothing") as speaker:
        heard = trio.Event()
        token = trio.lowlevel.current_trio_token()
        played = speaker.playback.played

        def tell(count: int) -> None:
            played(count)
            if not speaker.playback.is_audible:
                token.run_sync_soon(heard.set)

        speaker.playback.played = tell  # type: ignore[method-assign]
        speaker.playback.append(np.ones(2400, np.int16), "item")
        speaker.playback.finish("item")
        with trio.fail_after(30):
            await heard.wait()
        assert speaker.playback.heard_ms("item") == 100


async def test_a_device_that_refuses_says_why() -> None:
    with pytest.raises(DeviceError, match="cannot open the sound device 'nothing, ALSA': "):
        async with open_microphone("nothing", channels=4096):
            raise AssertionError


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("raise ModuleNotFoundError('no', name='sounddevice')", "of the extra devices"),
        ("raise OSError('PortAudio library not found')", "apt install libportaudio2"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, broken: str, message: str) -> None:
    (tmp_path / "sounddevice.py").write_text(broken, encoding="utf-8")
    program = "from realtime_trio.devices import PortAudio; PortAudio()"
    path = os.pathsep.join((str(tmp_path), *sys.path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "realtime_trio.devices.errors.DeviceError: " in done.stderr
    assert message in done.stderr
