"""`realtime-trio say`: one spoken question from a file, one answer."""

from __future__ import annotations

import functools
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import click
import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio._session.voice import Session
from realtime_trio.audio import PCM_RATE, WavWriter, read_wav
from realtime_trio.cli.answer import ANSWERING, print_answer, summary, went_well
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, opened, takes_service
from realtime_trio.cli.terminal import remark

CHUNK: Final = PCM_RATE // 10
"""Samples in one append: 100 ms, what microphones deliver and the service's own examples send."""


def _writable(_: click.Context, __: click.Parameter, out: Path | None) -> Path | None:
    """Look whether the answer could be written, before it is asked and paid for."""
    # By trying: permissions alone do not tell whether a name is too long or a disk is read-only.
    # What is not a file, such as a pipe, would take the trial for the answer.
    try:
        if out is not None and not os.path.lexists(out):
            out.open("xb").close()
            out.unlink()
        elif out is not None and out.is_file():
            out.open("ab").close()
    except OSError as error:
        raise click.BadParameter(f"{str(out)!r} cannot be written: {error.strerror}") from error
    return out


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_writable,
    help="WAV file to write the spoken answer to",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    help="Send at this multiple of the speed of speech  [default: as fast as possible]",
)
@takes_service
def say(service: Service, file: Path, out: Path | None, speed: float | None) -> None:
    """Ask a spoken question.  Prints the answer while it streams.

    FILE is a WAV file: any rate, any number of channels, not compressed.
    """
    run(functools.partial(_say, service, file, out, speed))


async def _say(service: Service, file: Path, out: Path | None, speed: float | None) -> bool:
    question = await trio.to_thread.run_sync(read_wav, file)
    # The end of the file ends the question; turn detection might take a pause in it for the end.
    async with opened(service, turn_detection=None) as session:
        with session.events(*ANSWERING) as events:
            remark(f"asking: {file}, {len(question) / PCM_RATE:.1f} s")
            async with session.user_turn():
                await _speak(session, question, speed)
            with nullcontext() if out is None else WavWriter(out) as recording:
                response, seconds = await print_answer(events, recording)
    is_answered = went_well(response)
    remark(f"answer: {seconds:.1f} s" + (f", written to {out}" if out else ""))
    if response.usage is not None:
        remark(f"usage: {summary(response.usage)}")
    return is_answered


async def _speak(session: Session, samples: NDArray[np.int16], speed: float | None) -> None:
    """Append audio in chunks, none before a microphone of this speed would have recorded it."""
    await trio.lowlevel.checkpoint()  # also where there is nothing to append
    # Counted from the start and not from chunk to chunk, so that delays do not add up.
    start = trio.current_time()
    for position in range(0, len(samples), CHUNK):
        chunk = samples[position : position + CHUNK]
        if speed is not None:
            await trio.sleep_until(start + (position + len(chunk)) / PCM_RATE / speed)
        await session.append_audio(chunk)
