"""PortAudio with devices that are heard, and that go away: a loop of PulseAudio.

Skipped where there is no PulseAudio, no PortAudio, or nothing of ALSA between them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import sound_loop
import trio

ALSA = """
pcm.!default { type pulse }
ctl.!default { type pulse }
pcm.loop { type pulse }
"""
SECONDS = 60

pytestmark = pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="there is no PulseAudio")


@asynccontextmanager
async def pulseaudio(folder: Path) -> AsyncIterator[tuple[trio.Process, dict[str, str]]]:
    """Run it with a loudspeaker whose sound comes back; yields it, and how to reach it."""
    (folder / "asound.conf").write_text(ALSA, encoding="utf-8")  # noqa: ASYNC240 - of a test
    socket = folder / "native"
    environment = os.environ | {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "PULSE_RUNTIME_PATH": str(folder),
    }
    modules = [f"module-native-protocol-unix socket={socket} auth-anonymous=1", "module-null-sink"]
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(
                partial(
                    trio.run_process,
                    [*command, *(f"--load={module}" for module in modules)],
                    env=environment,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
            )
            while not socket.exists() and server.poll() is None:  # noqa: ASYNC110, ASYNC240
                await trio.sleep(0.01)  # it has no other way to say so
            if server.poll() is not None:
                pytest.skip("PulseAudio does not run here")
            yield (
                server,
                environment
                | {
                    "PULSE_SERVER": f"unix:{socket}",
                    "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
                    "PYTHONPATH": os.pathsep.join(sys.path),
                },
            )
            nursery.cancel_scope.cancel()


async def told(process: trio.Process) -> dict[str, object]:
    """The next line of the program."""
    assert process.stdout is not None
    await trio.lowlevel.checkpoint()
    line = b""
    while not line.endswith(b"\n"):
        piece = await process.stdout.receive_some()
        if not piece:
            assert await process.wait() == sound_loop.NO_LOOP
            pytest.skip("there is no PortAudio, or ALSA has no plugin for PulseAudio")
        line += piece
    message: dict[str, object] = json.loads(line)
    return message


@asynccontextmanager
async def program(what: str, environment: dict[str, str]) -> AsyncIterator[trio.Process]:
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, sound_loop.__file__, what],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        )
        yield process
        nursery.cancel_scope.cancel()


async def test_what_is_played_is_heard(tmp_path: Path) -> None:
    async with pulseaudio(tmp_path) as (_, environment), program("loop", environment) as loop:
        heard = await told(loop)
        assert heard["heard_ms"] == 1000 * sound_loop.TONE_SECONDS
        assert float(str(heard["likeness"])) > 0.99


@pytest.mark.parametrize("what", ["speaker", "microphone"])
async def test_one_that_goes_away_is_an_error_with_its_name(what: str, tmp_path: Path) -> None:
    async with pulseaudio(tmp_path) as (server, environment), program(what, environment) as user:
        assert await told(user) == {"is_open": True}
        server.kill()
        assert await told(user) == {"lost": "loop, ALSA"}
