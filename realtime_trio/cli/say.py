"""`realtime-trio say`: one spoken question from a file, one answer."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, Final

import click
import trio

from realtime_trio._session.voice import Session
from realtime_trio.audio import PCM_RATE, WavReader, WavWriter
from realtime_trio.cli.answer import ANSWERING, print_answer, summary, went_well
from realtime_trio.cli.files import writable
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, opened, takes_service
from realtime_trio.cli.terminal import progress, remark, standard_input

CHUNK: Final = PCM_RATE // 10
"""Samples in one append: 100 ms, what microphones deliver and the service's own examples send."""
_BLOCK: Final = CHUNK * 10
"""Samples read at once: what is recorded while it is sent is a second late at most."""
_STANDARD_INPUT: Final = Path("-")


@click.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=writable,
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

    FILE is a WAV file: any rate, any number of channels, PCM, float or G.711.  It is sent while it
    is read, so it may be of any length, and `-` is the standard input.
    """
    run(functools.partial(_say, service, file, out, speed))


async def _say(service: Service, file: Path, out: Path | None, speed: float | None) -> bool:
    name = "standard input" if file == _STANDARD_INPUT else str(file)
    # In a thread, and in another for every block: a pipe may give nothing for a long time.
    with await trio.to_thread.run_sync(_source, file, abandon_on_cancel=True) as source:
        question = await trio.to_thread.run_sync(WavReader, source, abandon_on_cancel=True)
        # The end of the file ends the question; turn detection might take a pause in it for the
        # end.
        async with opened(service, turn_detection=None) as session:
            # Before anything is asked: an answer that cannot be written is paid for all the same.
            answer = None if out is None else await trio.to_thread.run_sync(WavWriter, out)
            with nullcontext() if answer is None else answer, session.events(*ANSWERING) as events:
                length = "" if question.seconds is None else f", {question.seconds:.1f} s"
                remark(f"asking: {name}{length}")
                async with session.user_turn():
                    await _speak(session, question, speed)
                response, seconds = await print_answer(events, answer)
    is_answered = went_well(response)
    remark(f"answer: {seconds:.1f} s" + (f", written to {out}" if out else ""))
    if response.usage is not None:
        remark(f"usage: {summary(response.usage)}")
    return is_answered


def _source(file: Path) -> BinaryIO:
    # Unbuffered: a buffer of Python's could not be closed while a thread waits for a pipe.
    return standard_input() if file == _STANDARD_INPUT else file.open("rb", buffering=0)


async def _speak(session: Session, question: WavReader, speed: float | None) -> None:
    """Append audio in chunks, none before a microphone of this speed would have recorded it."""
    await trio.lowlevel.checkpoint()  # also where there is nothing to append
    # Counted from the start and not from chunk to chunk, so that delays do not add up.
    start, position = trio.current_time(), 0
    with progress("asking", question.seconds) as advance:
        while len(
            block := await trio.to_thread.run_sync(question.read, _BLOCK, abandon_on_cancel=True)
        ):
            for offset in range(0, len(block), CHUNK):
                chunk = block[offset : offset + CHUNK]
                position += len(chunk)
                if speed is not None:
                    await trio.sleep_until(start + position / PCM_RATE / speed)
                await session.append_audio(chunk)
                advance(len(chunk) / PCM_RATE)
