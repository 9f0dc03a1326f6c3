"""`realtime-trio console`: the Realtime Console, in a browser."""

from __future__ import annotations

import functools
import math
import os
import webbrowser
from pathlib import Path

import click
import trio

from realtime_trio._protocol.exposure import is_loopback
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._serving.requests import query_of
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Transport
from realtime_trio.cli.listening import takes_folder, takes_port
from realtime_trio.cli.running import run
from realtime_trio.cli.simulated import cast_of, described
from realtime_trio.cli.terminal import remark, report
from realtime_trio.connection import ConnectOptions
from realtime_trio.console.live import LiveSource
from realtime_trio.console.recorded import RecordedSource
from realtime_trio.console.serving import DEFAULT_PORT, Address, serve_console
from realtime_trio.console.sources import Source
from realtime_trio.recording import read_recording
from realtime_trio.relay import ANY, Grant, Limits, relay, service_at
from realtime_trio.relay.recorded import recorded
from realtime_trio.simulator import LIFELIKE, Script, ScriptFile, load_script
from realtime_trio.simulator.serving.reception import Reception
from realtime_trio.simulator.serving.rest import MODELS, TALKING_MODELS
from realtime_trio.simulator.serving.serve import make_reception

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@takes_port(DEFAULT_PORT)
@click.option("--open", "recording", type=_FILE, help="Recorded session to show")
@click.option(
    "--url",
    envvar="OPENAI_BASE_URL",
    show_envvar=True,
    help="Address of the service, for example ws://localhost:8765/v1",
)
@click.option(
    "--api-key",
    envvar="OPENAI_API_KEY",
    show_envvar=True,
    help="Key; it stays in this program, and no browser sees it",
)
@click.option("--model", help=f"Model to begin with  [default: {DEFAULT_MODEL}]")
@click.option("--script", type=_FILE, help="What the simulator says, as YAML or JSON")
@takes_folder
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
    url: str | None,
    api_key: str | None,
    model: str | None,
    script: Path | None,
    record: Path | None,
    allow_host: tuple[str, ...],
    browser: bool,
) -> None:
    """Talk with a model in the browser, and see everything that goes on.

    With a key or --url, that service answers; without, the built-in simulator.  With --open a
    recorded session is shown instead.  The address that is printed has a token in it; whoever knows
    it can use the console.
    """
    if recording is not None and (script is not None or record is not None):
        raise click.UsageError(
            "--script and --record are for a session, and --open is for one that is over"
        )
    has_service = url is not None or api_key is not None
    if script is not None and has_service:
        raise click.UsageError(
            "--script is what the simulator says; with --url or a key it is not there"
        )
    if model in MODELS and model not in TALKING_MODELS:
        raise click.UsageError(
            f"--model {model} holds no conversation; one talks with {', '.join(TALKING_MODELS)}"
        )
    if not is_loopback(host):
        remark(
            f"what is said at {host} goes over the network unencrypted, the token included; and "
            "browsers give a microphone only to pages of this machine, or over https"
        )

    async def job() -> None:
        source: Source
        if recording is not None:
            read = await trio.to_thread.run_sync(read_recording, recording)
            source = RecordedSource(read, recording.name)
        elif has_service:
            if record is not None:
                make = functools.partial(record.mkdir, parents=True, exist_ok=True)
                await trio.to_thread.run_sync(make)
            source = _served(url, api_key, model, record)
        else:
            source = await _simulated(script, host, model, record)
        await _serve(source, host, port, allow_host, browser)

    run(job)


def _served(
    url: str | None, api_key: str | None, model: str | None, record: Path | None
) -> LiveSource:
    """A service as what the console shows: the relay has the key, and the page does what it likes.

    Raises:
        LocalProtocolError: There is no key, or the address is none.
    """
    given: ConnectOptions = {} if api_key is None else {"api_key": api_key}
    # What the environment says is left for the library to find: see `cli.service`.
    if api_key == os.environ.get("OPENAI_API_KEY"):
        given = {}
    service = service_at(None if url == os.environ.get("OPENAI_BASE_URL") else url, **given)
    if record is not None:
        service = recorded(service, record)

    async def serve(transport: Transport, request: HandshakeRequest) -> None:
        await relay(transport, _everything(query_of(request).get("model")), service)

    return LiveSource(serve, models=_models(model), is_simulated=False)


def _everything(model: str | None) -> Grant:
    """Whoever has the token is the one whose key it is."""
    return Grant(
        who="console",
        model=model,
        events={ANY},
        items={ANY},
        overrides={ANY},
        updates={ANY},
        hidden=(),
        limits=Limits(
            idle_seconds=math.inf,
            audio_ahead=math.inf,
            events_per_minute=math.inf,
            responses_per_minute=math.inf,
            refusals_per_minute=math.inf,
            message_size=math.inf,
        ),
        sessions=math.inf,
    )


def _models(first: str | None) -> tuple[str, ...]:
    """The models to choose from."""
    return tuple(dict.fromkeys((first or DEFAULT_MODEL, *TALKING_MODELS)))


async def _simulated(
    script: Path | None, host: str, model: str | None, record: Path | None
) -> LiveSource:
    """The simulator as what the console shows."""
    played = (
        ScriptFile(Script(pacing=LIFELIKE))
        if script is None
        else await trio.to_thread.run_sync(load_script, script)
    )
    # It may have models to load.
    cast = await trio.to_thread.run_sync(cast_of, None)
    remark(f"the built-in simulator answers: {described(cast)}")
    reception = await make_reception(
        played.script, host, cast=cast, faults=played.faults, record=record
    )
    return source_of(reception, model)


def source_of(reception: Reception, model: str | None = None) -> LiveSource:
    """A simulator as what a console shows; whoever may use the console needs no key for it."""
    serve = functools.partial(reception.serve_client, is_known=True)
    return LiveSource(serve, models=_models(model), is_simulated=True)


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
