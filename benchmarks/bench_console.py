"""What it costs a program to show its session in a browser, and how late the browser sees it.

First, a flood: a session gets the events of ten spoken turns as fast as it takes them, in memory,
and pages look on over sockets of this machine.  The cost is CPU time per event of everything that
runs in the process, which is the session, the inspector and its server, and the pages, which only
receive; so the cost of a page is more here than in a program whose pages are browsers.  "A page
that reads nothing" has its socket open and takes nothing.

Then, a pace: a page is a client of a service through a console, which judges every event on the
way, and the service sends it 100 events a second.  Taken is how late each of them comes: from
before it is handed to the service's end until the page has it.

Left out: the browser, whose work is measured by its own tests.
"""

from __future__ import annotations

import gc
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import Final

import trio
from corpus import voice_turn
from harness import CLOCK, Comparison, Report, interleave

from realtime_trio import Session, Transport, open_session
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.console import open_inspector
from realtime_trio.console.live import LiveSource
from realtime_trio.console.serving import Address, serve_console

TURNS: Final = 10
RATE: Final = 100
"""Events a second, at a pace."""
ALONE, SHOWN, ONE, FOUR, DEAF = (
    "a session alone",
    "an inspector, nobody looks",
    "one page",
    "four pages",
    "a page that reads nothing",
)
_IDS: Final = re.compile(r'"((?:item|resp|call)_\w+)"(?!:)')
_TOKEN: Final = "openai-insecure-api-key."
_now: Callable[[], float] = getattr(time, CLOCK)


def main() -> int:
    report = Report("bench_console", __doc__)
    messages = list(turns_of(TURNS))
    repeats = 3 if report.quick else 15
    rounds = interleave(
        {
            ALONE: partial(flood_cost, messages, inspects=False),
            SHOWN: partial(flood_cost, messages),
            ONE: partial(flood_cost, messages, readers=1),
            FOUR: partial(flood_cost, messages, readers=4),
            DEAF: partial(flood_cost, messages, deaf=1),
        },
        repeats,
    )
    flood = report.add("a flood of events", Comparison(rounds=rounds, peer=ALONE, unit="us/event"))
    late = trio.run(lateness, messages, 3 if report.quick else 20)
    report.fact("events at a pace", len(late))
    print()
    report.meet("console.shown", flood.median(SHOWN) - flood.median(ALONE))
    report.meet("console.page", flood.median(ONE) - flood.median(ALONE))
    report.meet("console.deaf", flood.ratio(DEAF, SHOWN))
    report.meet("console.pace.p99", 1000 * sorted(late)[int(len(late) * 0.99)])
    return report.finish()


def turns_of(count: int) -> Iterator[str]:
    """Spoken turns of one session, each with ids of its own."""
    for number in range(count):
        first, *rest = voice_turn(number + 1)
        if number == 0:
            yield first
        for message in rest:
            yield _IDS.sub(rf'"\1_{number}"', message)


# --- a flood --------------------------------------------------------------------------------------


def flood_cost(
    messages: list[str], *, inspects: bool = True, readers: int = 0, deaf: int = 0
) -> float:
    """Microseconds of CPU time per event, from the first one until everybody has the last one."""
    gc.collect()
    return trio.run(_flood, messages, inspects, readers, deaf)


async def _flood(messages: list[str], inspects: bool, readers: int, deaf: int) -> float:
    ours, theirs = memory_transport_pair()
    await theirs.send(messages[0])
    async with open_session(transport=ours, retention="none", strict=True) as session:
        inspecting = open_inspector(session, prints=False) if inspects else nullcontext(None)
        async with inspecting as inspector, AsyncExitStack() as stack:
            url = "" if inspector is None else inspector.url
            pages = [
                await stack.enter_async_context(_page(url, "/inspect?console=x"))
                for _ in range(readers + deaf)
            ]
            last = messages[-1][-40:]
            started = _now()
            async with trio.open_nursery() as nursery:
                for page in pages[:readers]:
                    nursery.start_soon(_read_until, page, last)
                nursery.start_soon(_send, theirs, messages[1:])
                await _wait_until(session, len(messages) - 1)
            elapsed = _now() - started
    return elapsed / len(messages) * 1e6


async def _send(transport: Transport, messages: list[str]) -> None:  # noqa: ASYNC910
    for message in messages:
        await transport.send(message)


async def _wait_until(session: Session, count: int) -> None:
    with session.wire(capacity=100_000) as wire:
        seen = 0
        async for _ in wire:
            seen += 1
            if seen >= count:
                return


async def _read_until(page: Transport, last: str) -> None:
    while batch := await page.receive():
        if any(last in str(message) for message in batch):
            return


@asynccontextmanager
async def _page(url: str, path: str) -> AsyncIterator[Transport]:
    base, _, token = url.partition("/#")
    async with open_websocket(
        base.replace("http", "ws", 1) + path, subprotocols=["realtime", f"{_TOKEN}{token}"]
    ) as transport:
        yield transport


# --- a pace ---------------------------------------------------------------------------------------


async def lateness(messages: list[str], seconds: int) -> list[float]:
    """Seconds from a hundred events a second at the service's end to the page."""
    sent: list[float] = []
    received: list[float] = []

    async def serve(transport: Transport, request: HandshakeRequest) -> None:  # noqa: ASYNC910
        start = trio.current_time()
        for number in range(RATE * seconds):
            await trio.sleep_until(start + number / RATE)
            sent.append(trio.current_time())
            await transport.send(messages[number % len(messages)])

    source = LiveSource(serve, models=("x",), is_simulated=True)
    async with trio.open_nursery() as nursery:
        address: Address = await nursery.start(partial(serve_console, source, port=0))
        async with _page(address.url, "/v1/realtime?console=x") as page:
            while batch := await page.receive():
                received += [trio.current_time()] * len(batch)
        nursery.cancel_scope.cancel()
    assert len(received) == len(sent) == RATE * seconds
    return [later - earlier for earlier, later in zip(sent, received, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
