"""A written turn with the simulator: how long it takes, and whether that grows.

It is `Session.ask` with a script that answers at once, over the transport in memory: from the call
to the answer, after `response.done`, in CPU time, since nothing waits for anything.  Our whole
client is in it; the other candidates show how much of it is the server.  Each turn is timed, 20 to
a session; and once a session has 500 of them, of which the last 20 are held against the first.

Left out: sockets, which `bench_simulator` has.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Final

import trio
from harness import CLOCK, Comparison, Report, interleave

from realtime_trio.connection import Codec, Role
from realtime_trio.events import (
    ConversationItemCreate,
    InputText,
    ResponseCreate,
    ResponseDone,
    SessionConfig,
    SessionUpdate,
    UserMessage,
)
from realtime_trio.simulator import Reply, Script, SimulatedServer
from realtime_trio.simulator.service.strictness import read_message
from realtime_trio.testing import open_simulated_session

ASKED: Final = "How is the weather in Paris today?"
ANSWERED: Final = (
    "It is sunny in Paris today, with a high of twenty-four degrees and hardly any wind."
)
TURNS: Final = 20
"""In a session."""
LONG: Final = 500
"""Turns in a long session."""
FIRST, LAST = f"the first {TURNS}", f"the last {TURNS}"
CLIENT, MESSAGES, EVENTS = "our client", "messages in and out", "events in and out"
_now: Callable[[], float] = getattr(time, CLOCK)
_SCRIPT: Final = Script([Reply.text(ANSWERED)] * LONG)


def ask(turns: int) -> list[float]:
    """The times of turns of one session, in milliseconds."""
    return trio.run(_ask, turns)


async def _ask(turns: int) -> list[float]:
    times = []
    async with open_simulated_session(_SCRIPT, output_modalities=["text"]) as (session, _):
        for _ in range(turns):
            start = _now()
            answer = await session.ask(ASKED)
            times.append((_now() - start) * 1e3)
            assert answer.text == ANSWERED
    return times


def exchange_messages(turns: int) -> list[float]:
    """The same for a server alone that gets and gives the text of messages."""
    codec, client = Codec(Role.SERVER), Codec()
    create, respond = map(client.encode, _EVENTS)
    times = []
    server = _connected_server()
    for _ in range(turns):
        start = _now()
        server.receive(read_message(codec, create), 0.0)
        server.receive(read_message(codec, respond), 0.0)
        messages = [codec.encode(event) for event in server.take_due(0.0)]
        times.append((_now() - start) * 1e3)
        assert '"completed"' in messages[-2]
    return times


def exchange_events(turns: int) -> list[float]:
    """The same without encoding and decoding."""
    times = []
    server = _connected_server()
    for _ in range(turns):
        start = _now()
        for event in _EVENTS:
            server.receive(event, 0.0)
        events = server.take_due(0.0)
        times.append((_now() - start) * 1e3)
        assert isinstance(events[-2], ResponseDone)
    return times


_EVENTS: Final = (
    ConversationItemCreate(item=UserMessage(content=(InputText(ASKED),))),
    ResponseCreate(),
)


def _connected_server() -> SimulatedServer:
    server = SimulatedServer(_SCRIPT)
    server.connect(0.0)
    server.receive(SessionUpdate(session=SessionConfig(output_modalities=("text",))), 0.0)
    server.take_due(0.0)
    return server


def main() -> int:
    report = Report("bench_turn", __doc__)
    candidates: dict[str, Callable[[int], list[float]]] = {
        CLIENT: ask,
        MESSAGES: exchange_messages,
        EVENTS: exchange_events,
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}

    def play(name: str) -> float:
        gc.collect()
        times[name] += candidates[name](TURNS)
        return times[name][-1]

    players = {name: partial(play, name) for name in candidates}
    interleave(players, 1)  # functions that decode get made
    for rounds in times.values():
        rounds.clear()
    interleave(players, 10 if report.quick else 50)
    turns = report.add(
        "a written turn: question in, answer out", Comparison(rounds=times, peer=CLIENT, unit="ms")
    )
    long: dict[str, list[float]] = {FIRST: [], LAST: []}
    for _ in range(3 if report.quick else 9):
        session = exchange_events(LONG)
        long[FIRST].append(median(session[:TURNS]))
        long[LAST].append(median(session[-TURNS:]))
    growth = report.add(
        f"the server's part of {LONG} turns of one session",
        Comparison(rounds=long, peer=FIRST, unit="ms"),
    )
    print()
    report.meet("turn.client", turns.median(CLIENT))
    report.meet("turn.flat", growth.ratio(LAST, FIRST))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
