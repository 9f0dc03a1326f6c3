"""Cold start: from a fresh process to `session.created` in the hands of the program.

Everything is in it that a command line tool or a function in the cloud pays before it can talk:
importing, making the client, the connection to a service on this machine, the handshake, and the
first event.  It begins just before the first import, so starting Python is left out, as are the
network and a real service, which takes longer than all of this.  Files are in the system's cache.

CPU time counts; what passes on the clock is told as well.
"""

from __future__ import annotations

import json
import sys
from functools import partial

from harness import Comparison, Report, interleave
from wire import AGENTS, CONNECTION, OPENAI, SESSION, WEBSOCKETS, Rig, open_rig

PROGRAMS = {
    SESSION: """
import trio
from realtime_trio import open_session
async def main():
    async with open_session(url=URL, api_key="-"):
        tell()
trio.run(main)
""",
    CONNECTION: """
import trio
from realtime_trio import open_connection
async def main():
    async with open_connection(url=URL, api_key="-") as connection:
        await connection.receive()
        tell()
trio.run(main)
""",
    OPENAI: """
import asyncio
from openai import AsyncOpenAI
async def main():
    client = AsyncOpenAI(api_key="-", websocket_base_url=URL.partition("/realtime")[0])
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.recv()
        tell()
asyncio.run(main())
""",
    AGENTS: """
import asyncio
from agents.realtime import RealtimeAgent, RealtimeRunner
async def main():
    runner = RealtimeRunner(RealtimeAgent(name="assistant"), config={"tracing_disabled": True})
    async with await runner.run(model_config={"url": URL, "api_key": "-"}) as session:
        async for event in session:
            if event.type == "raw_model_event" and event.data.type == "raw_server_event":
                tell()
                return
asyncio.run(main())
""",
    WEBSOCKETS: """
import asyncio
from websockets.asyncio.client import connect
from realtime_trio.connection import Codec
async def main():
    async with connect(URL) as websocket:
        Codec().decode(await websocket.recv())
        tell()
asyncio.run(main())
""",
}

FRAME = """
import json, time
cpu, wall = time.process_time(), time.perf_counter()
URL = {url!r}
def tell():
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall]), flush=True)
{program}
"""


def main() -> int:
    report = Report("bench_start", __doc__)
    wall: dict[str, list[float]] = {name: [] for name in PROGRAMS}

    def start(rig: Rig, name: str) -> float:
        program = FRAME.format(url=rig.url(tls=False), program=PROGRAMS[name])
        cpu_s, wall_s = json.loads(rig.run(program))
        wall[name].append(wall_s * 1e3)
        return float(cpu_s) * 1e3

    with open_rig() as rig:
        samplers = {name: partial(start, rig, name) for name in PROGRAMS}
        interleave(samplers, 1)  # byte code gets compiled, files get cached
        for times in wall.values():
            times.clear()
        rounds = interleave(samplers, 3 if report.quick else 11)
    cold = report.add(
        "import to session.created", Comparison(rounds=rounds, peer=OPENAI, unit="CPU ms")
    )
    report.add("the same on the clock", Comparison(rounds=wall, peer=OPENAI, unit="ms"))
    print()
    report.meet("start.cold", cold.ratio(SESSION, OPENAI))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
