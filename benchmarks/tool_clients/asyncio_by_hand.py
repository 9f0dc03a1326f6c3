"""The WebSocket of openai-agents without its sessions.

One connection to the URL for each line of input, until the service closes it.
"""

from __future__ import annotations

import asyncio
import sys

from by_hand import CONFIGURE, answers
from websockets.asyncio.client import connect


async def run_session(url: str) -> None:
    async with connect(url) as websocket:
        await websocket.send(CONFIGURE)
        async for message in websocket:
            for answer in answers(message):
                await websocket.send(answer)


for _ in sys.stdin:
    asyncio.run(run_session(sys.argv[1]))
