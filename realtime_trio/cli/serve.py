"""`realtime-trio serve`: the simulator on a port, until Ctrl-C, and what is said there."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import click
import trio
from click.core import ParameterSource

from realtime_trio._protocol.exposure import is_loopback
from realtime_trio.cli.listening import (
    Certificate,
    takes_certificate,
    takes_folder,
    takes_port,
)
from realtime_trio.cli.onlooking import JsonPrinter, LinePrinter
from realtime_trio.cli.running import run
from realtime_trio.cli.serving import Port, serve_until_cancelled
from realtime_trio.cli.simulated import cast_of, described
from realtime_trio.cli.terminal import remark
from realtime_trio.recording import read_recording
from realtime_trio.simulator import LIFELIKE, Script, ScriptFile, load_script
from realtime_trio.simulator.service.server import MAX_INPUT_AUDIO
from realtime_trio.simulator.serving.serve import MAX_CONNECTIONS, make_reception

DEFAULT_PORT: Final = 8765
"""Port of `serve`.  It is fixed, so that the address can be written down."""

_MIB: Final = 2**20
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@takes_port(DEFAULT_PORT)
@click.option(
    "--api-key",
    envvar="SIMULATOR_API_KEY",
    show_envvar=True,
    help="Key that clients must have  [default: any, or none at all]",
)
@click.option(
    "--script",
    type=_FILE,
    help="What the model says, as YAML or JSON; after the end of the script the agent answers",
)
@click.option(
    "--llm",
    metavar="URL",
    help="Let a language model answer: any OpenAI-compatible chat-completions endpoint",
)
@click.option("--model", help="Name of the language model")
@click.option("--llm-key", envvar="LLM_API_KEY", show_envvar=True, help="Key of the language model")
@click.option(
    "--voice/--no-voice",
    default=None,
    help="Understand speech and speak, with the extra voice  [default: if it is installed]",
)
@click.option(
    "--beta", is_flag=True, help="Speak the older beta protocol with clients that ask for it"
)
@takes_certificate
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="Let in web pages of this origin without a key, e.g. http://localhost:5173, or * for all",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Answer to this host as well, without a key, e.g. the name of a relay, or * for all",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=MAX_CONNECTIONS,
    show_default=True,
    help="Connections at once",
)
@click.option(
    "--max-input-audio",
    type=click.IntRange(1),
    metavar="MIB",
    default=MAX_INPUT_AUDIO // _MIB,
    show_default=True,
    help="MiB of audio that a client may append without a commit",
)
@takes_folder
@click.option(
    "--replay", type=_FILE, help="Recorded session to play to every client, instead of answering"
)
@click.option("--console", is_flag=True, help="Serve the Realtime Console on the same port")
@click.option("--quiet", is_flag=True, help="Print the address and warnings, and nothing else")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON, every event included")
@click.pass_context
def serve(
    click_context: click.Context,
    host: str,
    port: int,
    api_key: str | None,
    script: Path | None,
    llm: str | None,
    model: str | None,
    llm_key: str | None,
    voice: bool | None,
    beta: bool,
    certificate: Certificate | None,
    allow_origin: tuple[str, ...],
    allow_host: tuple[str, ...],
    max_connections: int,
    max_input_audio: int,
    record: Path | None,
    replay: Path | None,
    console: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run the simulator until Ctrl-C.  Prints who comes and goes, and what is said.

    In what is printed, [3] is the third connection, -> comes from its client and <- goes there.

    Unless --script or --llm says otherwise, an agent answers that needs no service: by rules, in
    English, and it says so.  With the extra `voice` it understands speech and speaks.
    """
    if (llm is None) != (model is None):
        raise click.UsageError(
            "--llm and --model go together: the address of the language model and its name there"
        )
    if replay is not None and (script is not None or llm is not None):
        raise click.UsageError("--replay says everything by itself, without --script and --llm")
    if quiet and as_json:
        raise click.UsageError("--quiet prints nothing of what --json would print")
    for name in ("api_key", "llm_key"):
        _warn_of_visible_key(click_context, name)
    if api_key is None and not is_loopback(host):
        remark(
            f"whoever reaches this machine at {host} can use the simulator, with all that it uses; "
            "--api-key lets in only clients with a key"
        )

    async def job() -> None:
        context = None if certificate is None else certificate.context()
        # Without a script it keeps the pace of the service, which is what there is to try out.
        played = (
            ScriptFile(Script(pacing=LIFELIKE))
            if script is None
            else await trio.to_thread.run_sync(load_script, script)
        )
        recording = (
            None if replay is None else await trio.to_thread.run_sync(read_recording, replay)
        )
        cast = cast_of(voice, llm=llm, model=model, key=llm_key) if recording is None else None
        printer = None if quiet else JsonPrinter() if as_json else LinePrinter()
        simulator = functools.partial(
            make_reception,
            played.script,
            host,
            cast=cast,
            api_key=api_key,
            beta=beta,
            faults=played.faults,
            record=record,
            origins=allow_origin,
            hosts=allow_host,
            max_input_audio=max_input_audio * _MIB,
            replay=recording,
            onlooker=printer,
        )
        await serve_until_cancelled(
            simulator,
            Port(host, port, max_connections, context, allow_host),
            printer,
            f"it plays {replay} to every client" if cast is None else described(cast),
            shows_console=console,
            quiet=quiet,
        )

    run(job)


def _warn_of_visible_key(context: click.Context, name: str) -> None:
    """Say that a key stands where everybody can read it, if it does."""
    if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return
    option = next(option for option in context.command.params if option.name == name)
    remark(
        f"other users of this machine can read the key of {option.opts[0]} in the list of "
        f"processes, but not that of {option.envvar} in the environment"
    )
