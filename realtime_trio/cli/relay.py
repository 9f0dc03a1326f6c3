"""`realtime-trio relay`: a relay on a port, with a line for every session."""

from __future__ import annotations

import functools
import math
import os
import signal
import threading
from pathlib import Path
from typing import Any, Final

import click
import trio
from attrs import evolve

from realtime_trio.cli.listening import (
    Certificate,
    takes_certificate,
    takes_folder,
    takes_port,
)
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, takes_service
from realtime_trio.cli.simulated import cast_of, described
from realtime_trio.cli.terminal import remark, report
from realtime_trio.connection import ConnectOptions
from realtime_trio.events import SessionConfig
from realtime_trio.money import Budget, Prices, known_prices
from realtime_trio.relay import (
    AuditRecord,
    Authorize,
    Grant,
    HandshakeRequest,
    Limits,
    TokenIssuer,
    serve_relay,
    service_at,
    token_of,
)
from realtime_trio.relay.sessions import GRACE_S, MAX_SESSIONS
from realtime_trio.simulator import serve_simulator

DEFAULT_PORT: Final = 8766
"""Port of `relay`, next to that of `serve`."""

_HARMLESS: Final = (
    "audio.input.format",
    "audio.input.noise_reduction",
    "audio.input.turn_detection",
    "audio.output.format",
    "output_modalities",
)
"""What guests may change in any case: how they talk, and nothing that costs more or says what the
model is told."""
_DEFAULTS: Final = Limits()


@click.command()
@takes_port(DEFAULT_PORT)
@takes_service
@click.option(
    "--secret",
    envvar="RELAY_SECRET",
    show_envvar=True,
    help="Let in only guests with a token that was signed with this secret of 32 bytes or more; "
    "needed wherever others than this machine reach it",
)
@click.option(
    "--issue",
    metavar="WHO",
    help="Print a token for somebody and exit; it is good once, and for --token-seconds",
)
@click.option(
    "--token-seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="See --issue"
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="Let in web pages of this origin, e.g. https://app.example, or * for all",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Without --secret: answer to this host as well, e.g. the name of a proxy, or * for all",
)
@click.option(
    "--max-sessions",
    type=click.IntRange(1),
    default=MAX_SESSIONS,
    show_default=True,
    help="Sessions at once",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(1),
    default=_DEFAULTS.seconds,
    show_default=True,
    help="Length of a session",
)
@click.option(
    "--idle-seconds",
    type=click.FloatRange(1),
    default=_DEFAULTS.idle_seconds,
    show_default=True,
    help="End a session in which nobody says anything",
)
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens that a session may take")
@click.option(
    "--max-usd",
    type=click.FloatRange(0, min_open=True),
    help="US dollars that a session may take, with the extra prices",
)
@click.option(
    "--let-configure",
    is_flag=True,
    help="Let guests configure their sessions: model and limits stay, all else is theirs  "
    "[default: turn detection, formats, and text or audio]",
)
@takes_certificate
@takes_folder
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE_S,
    show_default=True,
    help="Seconds for which sessions go on after SIGTERM",
)
def relay(
    service: Service,
    host: str,
    port: int,
    secret: str | None,
    issue: str | None,
    token_seconds: float,
    allow_origin: tuple[str, ...],
    allow_host: tuple[str, ...],
    max_sessions: int,
    max_seconds: float,
    idle_seconds: float,
    max_tokens: int | None,
    max_usd: float | None,
    let_configure: bool,
    certificate: Certificate | None,
    record: Path | None,
    grace: float,
) -> None:
    """Let browsers talk with the service through this machine, which keeps the key.

    Clients of the service take the address that is printed as theirs.  SIGTERM lets nobody in any
    more and waits for the sessions there are; Ctrl-C ends them.  Prints a line of JSON for every
    session that is over.
    """
    if issue is not None and secret is None:
        raise click.UsageError("--issue needs --secret, the one with which the relay runs")

    async def job() -> None:
        issuer = None if secret is None else TokenIssuer(secret.encode())
        if issuer is not None and issue is not None:
            report(issuer.issue(issue, seconds=token_seconds))
            await trio.lowlevel.checkpoint()
            return
        grant = _grant(
            service,
            Limits(seconds=max_seconds, idle_seconds=idle_seconds),
            budget=_budget(max_tokens, max_usd),
            let_configure=let_configure,
        )
        serve = functools.partial(
            serve_relay,
            grant if issuer is None else _authorize(issuer, grant),
            host,
            port,
            origins=allow_origin,
            hosts=allow_host or None,
            max_sessions=max_sessions,
            audit=_print,
            record=record,
            grace=grace,
            ssl_context=None if certificate is None else certificate.context(),
        )
        await _serve(serve, service)

    run(job)


def _budget(tokens: int | None, usd: float | None) -> Budget | None:
    if tokens is None and usd is None:
        return None
    # By way of its text, so that 0.1 is a tenth of a dollar.
    return Budget(tokens=tokens, usd=None if usd is None else str(usd), when_spent="goodbye")


def _grant(
    service: Service, limits: Limits, *, budget: Budget | None, let_configure: bool
) -> Grant:
    """What every guest may do."""
    given: dict[str, Any] = {}
    if service.instructions is not None:
        given["instructions"] = service.instructions
    if service.voice is not None:
        given["voice"] = service.voice
    prices: Prices = {} if budget is None or budget.usd is None else known_prices()
    return Grant(
        model=service.model,
        session=SessionConfig.of(**given) if given else None,
        limits=limits,
        budget=budget,
        prices=prices,
        updates={"*"} if let_configure else _HARMLESS,
        other_updates="drop",
        sessions=math.inf,
    )


def _authorize(issuer: TokenIssuer, grant: Grant) -> Authorize:
    async def authorize(request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        token = issuer.redeem(token_of(request, query="token"), address=request.peer[0])
        return evolve(grant, who=token.who)

    return authorize


async def _serve(serve: functools.partial[Any], service: Service) -> None:
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        # Python delivers signals to the main thread only; tests run commands in others.
        if threading.current_thread() is threading.main_thread():
            await nursery.start(_set_on_sigterm, drain)
        if service.url is None and service.api_key is None:
            # It may have models to load.
            cast = await trio.to_thread.run_sync(cast_of, None)
            url = await nursery.start(functools.partial(serve_simulator, cast=cast))
            behind = service_at(url, api_key=None)
            remark(f"no key and no --url: behind it is the built-in simulator; {described(cast)}")
        else:
            behind = service_at(service.url, **_key_of(service))

        async def serve_and_end(  # noqa: ASYNC114, ASYNC128 - serve_relay tells
            *, task_status: trio.TaskStatus[str]
        ) -> None:
            await serve(service=behind, drain=drain, task_status=task_status)
            nursery.cancel_scope.cancel()

        address = await nursery.start(serve_and_end)
        report(f"the relay listens at {address} until Ctrl-C or SIGTERM")


async def _set_on_sigterm(  # noqa: ASYNC114 - started here alone
    event: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            event.set()


def _key_of(service: Service) -> ConnectOptions:
    # What the environment says is left for the library to find: a key that was not given for this
    # address on purpose is worth a warning.
    if service.api_key == os.environ.get("OPENAI_API_KEY"):
        return {}
    return {"api_key": service.api_key}


def _print(record: AuditRecord) -> None:
    report(record.line())
