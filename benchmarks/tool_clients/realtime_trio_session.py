"""realtime_trio, by its documentation.

One session with the URL for each line of input, until the service closes it.
"""

from __future__ import annotations

import sys
import time

import trio

from realtime_trio import open_session, tool
from realtime_trio.events import ErrorEvent, UnknownEvent


@tool
async def echo(text: str) -> str:  # noqa: ASYNC124 - what is measured is what is around it
    """Return the text."""
    return text  # noqa: ASYNC910


@tool
async def cpu_ns() -> str:  # noqa: ASYNC124 - what is measured is what is around it
    """CPU time that this process has used, in nanoseconds."""
    return str(time.process_time_ns())  # noqa: ASYNC910


async def run_session(url: str) -> None:
    async with open_session(url=url, api_key="-", tools=[echo, cpu_ns]) as session:
        async for event in session.events():
            if isinstance(event, ErrorEvent | UnknownEvent):
                raise RuntimeError(str(event))


for _ in sys.stdin:
    trio.run(run_session, sys.argv[1])
