"""`realtime-trio chat`: a conversation by keyboard."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import click
import trio
from attrs import frozen

from realtime_trio.audio import WavWriter
from realtime_trio.cli.answer import ANSWERING, print_answer, print_usage, went_well
from realtime_trio.cli.files import writable
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, opened, takes_session
from realtime_trio.cli.thinking import Thinking
from realtime_trio.cli.typing_lines import open_lines
from realtime_trio.devices import Speaker, open_speaker
from realtime_trio.events import Modality

_REFRESH: Final = 0.1
"""Seconds between two looks at a loudspeaker that still speaks."""


@frozen(kw_only=True)
class Form:
    """What the answers are made of, and where they go besides the terminal."""

    modality: Modality
    """Text, or speech."""
    plays: bool
    """Whether they are played."""
    out: Path | None
    """File for their speech."""


@click.command()
@click.option(
    "--modality",
    type=click.Choice(["text", "audio"]),
    help="Form of the answers; those in audio are printed as transcripts  [default: text, or audio "
    "with --play and --out]",
)
@click.option("--play", is_flag=True, help="Play the answers, with the extra devices")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=writable,
    help="WAV file to write the spoken answers to, one behind the other",
)
@takes_session
def chat(service: Service, modality: Modality | None, play: bool, out: Path | None) -> None:
    """Hold a conversation by keyboard.  /quit or the end of the input ends it.

    At a terminal the lines can be edited, and the arrow keys bring back those before.  Lines may
    also come through a pipe.
    """
    if modality == "text" and (play or out is not None):
        raise click.UsageError("--play and --out are for speech, which --modality text has none of")
    spoken = play or out is not None
    form = Form(modality=modality or ("audio" if spoken else "text"), plays=play, out=out)
    run(functools.partial(_chat, service, form))


async def _chat(service: Service, form: Form) -> bool:
    if not form.plays:
        return await _converse(service, form, None)
    async with open_speaker() as speaker:
        return await _converse(service, form, speaker)


async def _converse(service: Service, form: Form, speaker: Speaker | None) -> bool:
    is_answered = True
    thinking = Thinking()
    async with (
        open_lines() as lines,
        opened(
            service,
            playback=None if speaker is None else speaker.playback,
            output_modalities=(form.modality,),
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(thinking.show)
        # Before anything is asked: an answer that cannot be written is paid for all the same.
        out = None if form.out is None else await trio.to_thread.run_sync(WavWriter, form.out)
        with nullcontext() if out is None else out, session.events(*ANSWERING) as events:
            while (line := await lines.read()) is not None and line != "/quit":
                # Nothing was said, so there is nothing to answer.
                if not line:
                    continue
                if speaker is not None and speaker.playback.is_audible:
                    await session.cancel_response()
                await session.send_message(line)
                thinking.begin()
                try:
                    response, _ = await print_answer(
                        events, None if out is None else out.append, begins=thinking.end
                    )
                finally:
                    thinking.end()
                # A failure does not end the conversation, and is remembered for the exit code.
                is_answered &= went_well(response)
            # What is said last is heard to its end, unless it was the person who ended it.
            while line is None and speaker is not None and speaker.playback.is_audible:  # noqa: ASYNC110 - a card tells nobody
                await trio.sleep(_REFRESH)
        nursery.cancel_scope.cancel()
    print_usage(session, is_paid=service.is_priced)
    return is_answered
