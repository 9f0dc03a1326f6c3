"""The program: its name, its version and its commands."""

from __future__ import annotations

import click

from realtime_trio._version import __version__
from realtime_trio.cli.chat import chat
from realtime_trio.cli.console import console
from realtime_trio.cli.devices import devices
from realtime_trio.cli.make_report import make_report
from realtime_trio.cli.relay import relay
from realtime_trio.cli.say import say
from realtime_trio.cli.serve import serve
from realtime_trio.cli.talk import talk
from realtime_trio.cli.to_wav import to_wav


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="realtime-trio")
def main() -> None:
    """Talk with a Realtime model.

    With a key it is OpenAI's own, with --url that of any other service, and with neither a built-in
    simulator answers.
    """


for command in (say, chat, talk, console, devices, serve, relay, to_wav, make_report):
    main.add_command(command)
