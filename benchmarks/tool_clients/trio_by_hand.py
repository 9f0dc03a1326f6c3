"""The WebSocket of realtime_trio without its sessions.

One connection to the URL for each line of input, until the service closes it.
"""

from __future__ import annotations

import sys

import trio
from by_hand import CONFIGURE, answers

from realtime_trio._transport.websocket_client import open_websocket


async def run_session(url: str) -> None:
    async with open_websocket(url) as websocket:
        await websocket.send(CONFIGURE)
        while batch := await websocket.receive():
            for message in batch:
                for answer in answers(message):
                    await websocket.send(answer)


for _ in sys.stdin:
    trio.run(run_session, sys.argv[1])
