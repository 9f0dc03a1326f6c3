"""`realtime-trio console`: the Realtime Console, in a browser."""

from __future__ import annotations

import functools
import webbrowser
from pathlib import Path

import click
import trio

from realtime_trio.cli.exposure import is_loopback
from realtime_trio.cli.running import run
from realtime_trio.cli.simulated import cast_of, described
from realtime_trio.cli.terminal import remark, report
from realtime_trio.console.live import LiveSource
from realtime_trio.console.recorded import RecordedSource
from realtime_trio.console.serving import DEFAULT_PORT, Address, serve_console
from realtime_trio.console.sources import Source
from realtime_trio.recording import read_recording
from realtime_trio.simulator import LIFELIKE, Script, ScriptFile, load_script
from realtime_trio.simulator.serving.reception import Reception
from realtime_trio.simulator.serving.rest import MODELS
from realtime_trio.simulator.serving.serve import make_reception

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TALKING = tuple(model for model in MODELS if model.startswith("gpt-realtime"))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on, 0 for any that is free",
)
@click.option("--open", "recording", type=_FILE, help="Recorded session to show")
@click.option("--script", type=_FILE, help="What the simulator says, as YAML or JSON")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Answer to this host as well, e.g. the name of a proxy",
)
@click.option("--browser/--no-browser", default=True, help="Whether to open it in a browser")
def console(
    host: str,
    port: int,
    recording: Path | None,
    script: Path | None,
    allow_host: tuple[str, ...],
    browser: bool,
) -> None:
    """Talk with a model in the browser, and see everything that goes on.

    The built-in simulator answers.  With --open a recorded session is shown instead.  The address
    that is printed has a token in it; whoever knows it can use the console.
    """
    if recording is not None and script is not None:
        raise click.UsageError("--script is for a session, and --open for one that is over")
    if not is_loopback(host):
        remark(
            f"what is said at {host} goes over the network unencrypted, the token included; and "
            "browsers give a microphone only to pages of this machine, or over https"
        )

    async def job() -> None:
        source = (
            await _simulated(script, host)
            if recording is None
            else RecordedSource(
                await trio.to_thread.run_sync(read_recording, recording), recording.name
            )
        )
        await _serve(source, host, port, allow_host, browser)

    run(job)


async def _simulated(script: Path | None, host: str) -> LiveSource:
    """The simulator as what the console shows."""
    played = (
        ScriptFile(Script(pacing=LIFELIKE))
        if script is None
        else await trio.to_thread.run_sync(load_script, script)
    )
    # It may have models to load.
    cast = await trio.to_thread.run_sync(cast_of, None)
    remark(f"the built-in simulator answers: {described(cast)}")
    return source_of(await make_reception(played.script, host, cast=cast, faults=played.faults))


def source_of(reception: Reception) -> LiveSource:
    """A simulator as what a console shows; whoever may use the console needs no key for it."""
    serve = functools.partial(reception.serve_client, is_known=True)
    return LiveSource(serve, models=_TALKING, is_simulated=True)


async def _serve(
    source: Source, host: str, port: int, hosts: tuple[str, ...], browser: bool
) -> None:
    async with trio.open_nursery() as nursery:
        address: Address = await nursery.start(
            functools.partial(serve_console, source, host, port, hosts=hosts)
        )
        report(f"the console is at {address.url} until Ctrl-C")
        if browser:
            # In a thread: some browsers are waited for.
            await trio.to_thread.run_sync(webbrowser.open, address.url, abandon_on_cancel=True)
