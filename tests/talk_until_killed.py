"""A program that keeps a conversation until it is killed; run by test_history_crash.py.

It asks one question after another, numbered by what the conversation has already, and prints the id
of an item once that item is on the disk.
"""

from __future__ import annotations

import sys

import trio

from realtime_trio import open_session
from realtime_trio.history import HistoryLimit, open_store
from realtime_trio.simulator import Reply, Script, open_simulator_transport


async def main(path: str) -> None:
    script = Script([Reply.text(f"Answer {number}.") for number in range(10_000)])
    async with (
        open_store(path) as store,
        open_simulator_transport(script) as transport,
        # Only the last ones are told again, so that there is always something to shorten.
        open_session(
            transport=transport,
            store=store,
            history_limit=HistoryLimit(items=40),
            output_modalities=("text",),
        ) as session,
    ):
        asked = [item.text for item in session.conversation.items if item.role == "user"]
        number = int(asked[-1].split()[1]) if asked else 0
        print("ready", flush=True)
        while True:
            number += 1
            await session.ask(f"Question {number}")
            await store.flush()
            # Written as one line each: a kill in the middle of it leaves a line that is not whole.
            print(session.conversation.items[-1].id, flush=True)
            if number % 7 == 0:
                await store.compact()


trio.run(main, sys.argv[1])
