"""`realtime-trio chat`: a conversation by keyboard."""

from __future__ import annotations

import functools

import click

from realtime_trio.cli.answer import ANSWERING, print_answer, print_usage, went_well
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, opened, takes_service
from realtime_trio.cli.terminal import Lines
from realtime_trio.events import Modality


@click.command()
@click.option(
    "--modality",
    type=click.Choice(["text", "audio"]),
    default="text",
    show_default=True,
    help="Form of the answers; those in audio are printed as transcripts",
)
@takes_service
def chat(service: Service, modality: Modality) -> None:
    """Hold a conversation by keyboard.  /quit or the end of the input ends it.

    Lines may also come through a pipe.
    """
    run(functools.partial(_chat, service, modality))


async def _chat(service: Service, modality: Modality) -> bool:
    is_answered = True
    lines = Lines()
    async with opened(service, output_modalities=(modality,)) as session:
        with session.events(*ANSWERING) as events:
            while (line := await lines.read()) is not None and line != "/quit":
                # Nothing was said, so there is nothing to answer.
                if not line:
                    continue
                await session.send_message(line)
                response, _ = await print_answer(events)
                # A failure does not end the conversation, and is remembered for the exit code.
                is_answered &= went_well(response)
    print_usage(session, is_paid=service.is_priced)
    return is_answered
