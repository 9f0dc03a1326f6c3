"""`realtime-trio to-wav`: a recorded session as something to listen to."""

from __future__ import annotations

import functools
from pathlib import Path

import click
import trio

from realtime_trio.cli.running import run
from realtime_trio.cli.terminal import remark
from realtime_trio.recorded_audio import recording_to_wav
from realtime_trio.recording import read_recording


@click.command("to-wav")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, writable=True, path_type=Path))
def to_wav(recording: Path, out: Path) -> None:
    """Make a stereo WAV file of a recorded session.

    RECORDING is a file of `open_session(record=...)` or `serve --record`, OUT the WAV file: the
    user on the left, the model on the right, when and as far as they could be heard.
    """
    run(functools.partial(_to_wav, recording, out))


async def _to_wav(recording: Path, out: Path) -> None:
    seconds = await trio.to_thread.run_sync(_converted, recording, out)
    remark(f"{seconds:.1f} s, written to {out}")


def _converted(recording: Path, out: Path) -> float:
    return recording_to_wav(read_recording(recording), out)
