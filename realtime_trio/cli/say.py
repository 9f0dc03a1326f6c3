"""`realtime-trio say`: one spoken question from a file, one answer."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click
import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio._session.voice import Session
from realtime_trio.audio import PCM_RATE, WavReader, WavWriter
from realtime_trio.cli.answer import ANSWERING, failure_of, print_answer, print_usage, went_well
from realtime_trio.cli.files import PIPE, writable
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, opened, takes_session
from realtime_trio.cli.terminal import progress, remark, standard_input, standard_output
from realtime_trio.events import ErrorEvent

CHUNK: Final = PCM_RATE // 10
"""Samples in one append: 100 ms, what microphones deliver and the service's own examples send."""
_BLOCK: Final = CHUNK * 10
"""Samples read at once: what is recorded while it is sent is a second late at most."""


@click.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    callback=writable,
    help="WAV file to write the spoken answer to; - is the standard output, and what is said is "
    "then printed on standard error",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    help="Send at this multiple of the speed of speech  [default: as fast as possible]",
)
@takes_session
def say(service: Service, file: Path, out: Path | None, speed: float | None) -> None:
    """Ask a spoken question.  Prints the answer while it streams.

    FILE is a WAV file: any rate, any number of channels, PCM, float or G.711.  It is sent while it
    is read, so it may be of any length, and `-` is the standard input.
    """
    run(functools.partial(_say, service, file, out, speed))


async def _say(service: Service, file: Path, out: Path | None, speed: float | None) -> bool:
    name = "standard input" if file == PIPE else str(file)
    # In a thread, and in another for every block: a pipe may give nothing for a long time.
    with await trio.to_thread.run_sync(_source, file, abandon_on_cancel=True) as source:
        question = await trio.to_thread.run_sync(WavReader, source, abandon_on_cancel=True)
        async with (
            # The end of the file ends the question; turn detection might take a pause in it for
            # the end.
            opened(service, turn_detection=None) as session,
            # Before anything is asked: an answer that cannot be written is paid for all the same.
            _open_answer(out) as record,
        ):
            with session.events(*ANSWERING) as events:
                length = "" if question.seconds is None else f", {question.seconds:.1f} s"
                remark(f"asking: {name}{length}")
                async with session.user_turn():
                    await _speak(session, question, speed)
                response, seconds = await print_answer(events, record, aside=out == PIPE)
    is_answered = went_well(response)
    written = f", written to {out}" if out is not None and out != PIPE else ""
    remark(f"answer: {seconds:.1f} s{written}")
    print_usage(session, is_paid=service.is_priced)
    return is_answered


def _source(file: Path) -> BinaryIO:
    # Unbuffered: a buffer of Python's could not be closed while a thread waits for a pipe.
    return standard_input() if file == PIPE else file.open("rb", buffering=0)


@asynccontextmanager
async def _open_answer(
    out: Path | None,
) -> AsyncIterator[Callable[[NDArray[np.int16]], None] | None]:
    """Open a file for the answer; yields what takes its samples, None if there is no file.

    It is written in a thread: whoever reads from a pipe may play it, and take as long as it is.
    """
    if out is None:
        yield None
        return
    target = standard_output() if out == PIPE else out
    writer = await trio.to_thread.run_sync(WavWriter, target)
    send, receive = trio.open_memory_channel[NDArray[np.int16]](math.inf)

    async def write_loop() -> None:
        async for samples in receive:
            await trio.to_thread.run_sync(writer.append, samples, abandon_on_cancel=True)

    # Where it cannot be written, the channel stays open until everybody has noticed.
    with writer, receive:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_loop)
            with send:
                yield send.send_nowait


async def _speak(session: Session, question: WavReader, speed: float | None) -> None:
    """Append audio in chunks, none before a microphone of this speed would have recorded it.

    Raises:
        ServerError: The service has refused some of it: the rest would be sent for nothing.
    """
    await trio.lowlevel.checkpoint()  # also where there is nothing to append
    # Counted from the start and not from chunk to chunk, so that delays do not add up.
    start, position = trio.current_time(), 0
    with (
        progress("asking", question.seconds) as advance,
        session.events(ErrorEvent) as errors,
    ):
        while len(
            block := await trio.to_thread.run_sync(question.read, _BLOCK, abandon_on_cancel=True)
        ):
            for offset in range(0, len(block), CHUNK):
                chunk = block[offset : offset + CHUNK]
                position += len(chunk)
                if speed is not None:
                    await trio.sleep_until(start + position / PCM_RATE / speed)
                await session.append_audio(chunk)
                if errors.pending:
                    raise failure_of(errors.receive_nowait().error)
                advance(len(chunk) / PCM_RATE)
