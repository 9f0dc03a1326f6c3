"""openai-agents, by its documentation.

One session with the URL for each line of input, until the service closes it.
"""

from __future__ import annotations

import asyncio
import sys
import time

from agents import function_tool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeRunner


@function_tool
async def echo(text: str) -> str:  # noqa: ASYNC124 - what is measured is what is around it
    """Return the text."""
    return text  # noqa: ASYNC910


@function_tool
async def cpu_ns() -> str:  # noqa: ASYNC124 - what is measured is what is around it
    """CPU time that this process has used, in nanoseconds."""
    return str(time.process_time_ns())  # noqa: ASYNC910


async def run_session(url: str) -> None:
    agent = RealtimeAgent(name="assistant", tools=[echo, cpu_ns])
    runner = RealtimeRunner(agent, config={"tracing_disabled": True})
    async with await runner.run(model_config={"url": url, "api_key": "-"}) as session:
        async for event in session:
            if event.type == "error":
                raise RuntimeError(str(event.error))


set_tracing_disabled(True)
for _ in sys.stdin:
    asyncio.run(run_session(sys.argv[1]))
