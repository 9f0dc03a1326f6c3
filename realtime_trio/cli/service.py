"""The service that `say` and `chat` talk to: the options that choose it, and a session with it."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Unpack
from urllib.parse import urlsplit

import click
import trio
from attrs import evolve, field, frozen

from realtime_trio._protocol.exposure import is_openai
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.cli.simulated import cast_of, described
from realtime_trio.cli.terminal import remark
from realtime_trio.cli.wire_printing import print_wire
from realtime_trio.events import SessionSettings
from realtime_trio.playback import Playback
from realtime_trio.simulator import serve_simulator

_LONGEST_QUESTION: Final = 1 << 30
"""Bytes of audio that the built-in simulator takes at once, six hours.  Its client is this program,
which sends what its user has, so that it need not be suspicious."""


@frozen(kw_only=True)
class Service:
    """Which service to talk to, and what to ask of it; None is the default."""

    url: str | None
    """Its address."""
    api_key: str | None = field(repr=False)
    """Key."""
    model: str | None
    """Model."""
    instructions: str | None
    """System instructions."""
    voice: str | None
    """Voice."""
    record: Path | None = None
    """File to record the session in."""
    debug: bool = False
    """Whether everything on the wire is printed."""

    @property
    def is_priced(self) -> bool:
        """Whether it is OpenAI's own, whose prices may be known; others cost something else."""
        if self.url is None:
            return self.api_key is not None
        return is_openai(urlsplit(self.url).hostname or "")


def takes_service(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose the service, and pass them as one `Service`."""

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
        help="Key; safer in the environment, where other users of the machine cannot see it",
    )
    @click.option("--model", help=f"Model  [default: {DEFAULT_MODEL}]")
    @click.option("--instructions", help="How the model should behave")
    @click.option("--voice", help="Voice of the answers")
    # click reads the command's name and its help from the function, so they have to be copied.
    @functools.wraps(command)
    def with_service(
        *,
        url: str | None,
        api_key: str | None,
        model: str | None,
        instructions: str | None,
        voice: str | None,
        **rest: object,
    ) -> None:
        command(
            Service(
                url=url,
                api_key=api_key,
                model=model,
                instructions=instructions,
                voice=voice,
            ),
            **rest,
        )

    return with_service


def takes_session(command: Callable[..., None]) -> Callable[..., None]:
    """Add what `takes_service` adds, and the options for looking into one session."""

    @takes_service
    @click.option(
        "--record",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        help="File to record the session in, as it goes over the wire",
    )
    @click.option(
        "--debug",
        is_flag=True,
        help="Print everything that goes over the wire, but for audio and keys",
    )
    @functools.wraps(command)
    def with_session(service: Service, *, record: Path | None, debug: bool, **rest: object) -> None:
        command(evolve(service, record=record, debug=debug), **rest)

    return with_session


@asynccontextmanager
async def opened(
    service: Service,
    *,
    playback: Playback | None = None,
    **settings: Unpack[SessionSettings],
) -> AsyncIterator[Session]:
    """Open a session with the chosen service, or with a built-in simulator if none was chosen."""
    if service.instructions is not None:
        settings["instructions"] = service.instructions
    if service.voice is not None:
        settings["voice"] = service.voice
    is_printed = trio.Event()
    async with trio.open_nursery() as nursery:
        url = service.url
        # A key alone chooses OpenAI's service, an address alone one that may need no key.
        if url is None and service.api_key is None:
            # It may have models to load.
            cast = await trio.to_thread.run_sync(cast_of, None)
            remark(f"no key and no --url: talking to the built-in simulator; {described(cast)}")
            url = await nursery.start(
                functools.partial(serve_simulator, cast=cast, max_input_audio=_LONGEST_QUESTION)
            )
        # What the environment says is left for the library to find: a key that was not given for
        # this address on purpose is worth a warning.
        # And nobody here listens to audio a second time, so that none has to be kept.
        given: Any = {"url": url, "api_key": service.api_key, "retention": "none"}
        for name, variable in (("url", "OPENAI_BASE_URL"), ("api_key", "OPENAI_API_KEY")):
            if given[name] == os.environ.get(variable):
                del given[name]
        async with open_session(
            service.model, playback=playback, record=service.record, **given, **settings
        ) as session:
            if service.debug:
                # It ends with the session.
                nursery.start_soon(_print, session.wire(), is_printed)  # noqa: ASYNC111
            else:
                is_printed.set()
            yield session
        # What was said last is printed after the session has ended.
        await is_printed.wait()
        # The simulator, if there is one, would serve forever.
        nursery.cancel_scope.cancel()


async def _print(wire: EventStream[WireRecord], is_printed: trio.Event) -> None:
    await print_wire(wire)
    is_printed.set()
