"""The server of `serve`, while it runs: its port, its log, and the peace that it needs."""

from __future__ import annotations

import gc
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio
from attrs import frozen

from realtime_trio.cli.console import source_of
from realtime_trio.cli.onlooking import JsonPrinter, LinePrinter
from realtime_trio.cli.terminal import remark, report
from realtime_trio.console.serving import Address, serve_console
from realtime_trio.simulator.serving.attended import EVENTS_LOGGER
from realtime_trio.simulator.serving.reception import Reception
from realtime_trio.simulator.serving.serve import serve_reception


@frozen
class Port:
    """Where to listen, and how."""

    host: str
    """Address to bind."""
    port: int
    """Port to bind."""
    max_connections: int
    """Connections at once."""
    ssl_context: ssl.SSLContext | None
    """Certificate, if it is for wss and https."""
    hosts: tuple[str, ...]
    """Other names of it."""


async def serve_until_cancelled(
    simulator: Callable[[], Awaitable[Reception]],
    port: Port,
    printer: LinePrinter | JsonPrinter | None,
    what: str,
    *,
    shows_console: bool,
    quiet: bool,
) -> None:
    """Run the server of `serve`.

    Args:
        simulator: Makes what is served.
        port: Where.
        printer: Who prints what happens, if anybody does.
        what: What is said about it when it has begun.
        shows_console: Whether there is a console on the same port.
        quiet: Whether only warnings are printed of what is logged.

    Raises:
        BrokenPipeError: Nobody reads any more what is printed.
    """
    with _collecting_seldom(), _logging_to(_LogPrinter(), is_quiet=quiet):
        async with trio.open_nursery() as nursery:
            reception = await simulator()
            if printer is not None:
                nursery.start_soon(printer.run)
            # With JSON the rest is for people, and so is this.
            say = remark if isinstance(printer, JsonPrinter) else report
            if shows_console:
                source = source_of(reception)
                served = partial(
                    serve_console,
                    hosts=port.hosts,
                    beside=reception,
                    ssl_context=port.ssl_context,
                    max_connections=port.max_connections,
                )
                address: Address = await nursery.start(served, source, port.host, port.port)
                url = f"{address.base.replace('http', 'ws', 1)}/v1/realtime"
                say(f"the simulator listens at {url} until Ctrl-C; {what}")
                say(f"the console is at {address.url}")
            else:
                alone = partial(
                    serve_reception,
                    ssl_context=port.ssl_context,
                    max_connections=port.max_connections,
                )
                url = await nursery.start(alone, reception, port.host, port.port)
                say(f"the simulator listens at {url} until Ctrl-C; {what}")


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Keep Python's garbage collector from holding up the clients.

    A full collection would do so for a tenth of a second, and what is there by now stays anyway.
    All of this is undone at the end, for programs that call the command as part of something
    longer.
    """
    thresholds_before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds_before)
        gc.unfreeze()


@contextmanager
def _logging_to(printer: logging.Handler, *, is_quiet: bool) -> Iterator[None]:
    """Print what the simulator logs, besides its events, which the onlooker gets."""
    levels = {
        "realtime_trio.simulator": logging.WARNING if is_quiet else logging.DEBUG,
        "realtime_trio.serving": logging.WARNING if is_quiet else logging.DEBUG,
        EVENTS_LOGGER: logging.WARNING,
    }
    loggers = [logging.getLogger(name) for name in levels]
    before = [logger.level for logger in loggers]
    for logger, level in zip(loggers, levels.values(), strict=True):
        logger.setLevel(level)
        # What is logged about events is printed by the logger above it.
        if logger.name != EVENTS_LOGGER:
            logger.addHandler(printer)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(printer)
            logger.setLevel(level)


class _LogPrinter(logging.Handler):
    """Prints what is logged, one line each, as remarks."""

    def emit(self, record: logging.LogRecord) -> None:
        remark(f"{time.strftime('%H:%M:%S')} {record.getMessage()}")
