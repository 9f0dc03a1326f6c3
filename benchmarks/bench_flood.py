"""Flood: from the socket to `async for`, as fast as events can be taken.

A service in a process of its own (`wire_service`) writes prepared frames as fast as the client
takes them, and the client does what applications do: `async for event in ...`.  What is measured is
the CPU time of the whole client process per event, with everything that is in it: system calls,
TLS, WebSocket, JSON, classes, the event loop, and in a session the conversation and the machines.
Clients are processes of their own as well and take turns, on the same core.

It shows what throughput costs, and is kind to everybody: events arrive many at a time.  How events
cost that come one by one is measured by `bench_sessions`.  Left out is what the application does,
and the network.

That the service is not what is measured shows in `idle`: the share of the time in which a client
had nothing to do.  A client that waits for the service cannot gather as much per read, so only the
numbers of clients that were idle are too high, if at all; picows over TLS is the one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Literal

from harness import Comparison, Report, interleave
from wire import AGENTS, CONNECTION, NAIVE, OPENAI, PICOWS, SESSION, WEBSOCKETS, Rig, open_rig

EVERYBODY = (SESSION, CONNECTION, OPENAI, AGENTS, WEBSOCKETS, PICOWS, NAIVE)
PAIR = (SESSION, CONNECTION, OPENAI, AGENTS)


def measure(
    report: Report,
    rig: Rig,
    flow: Literal["mix", "control", "audio"],
    clients: Sequence[str],
    *,
    tls: bool = False,
) -> Comparison:
    """Let clients take the same flood in turn."""
    turns = 12 if report.quick else 20
    events = rig.service.tell(flow=flow, turns=turns)["events"]
    url = rig.url(tls=tls)
    idle: dict[str, list[float]] = {name: [] for name in clients}

    def take(name: str) -> float:
        answer = rig.client(name).tell(do="flood", url=url)
        idle[name].append(answer["idle"])
        return answer["cpu_s"] / events * 1e6

    samplers = {name: partial(take, name) for name in clients}
    interleave(samplers, 1)  # functions that decode get made
    rounds = interleave(samplers, 5 if report.quick else 15)
    title = f"{flow}{' over TLS' if tls else ''}: socket to application"
    comparison = report.add(title, Comparison(rounds=rounds, peer=OPENAI, unit="CPU us/event"))
    waiting = {name: f"{median(shares):.0%}" for name, shares in idle.items()}
    report.fact(f"{title}, events in a flood", round(events))
    report.fact(f"{title}, idle", waiting)
    return comparison


def main() -> int:
    report = Report("bench_flood", __doc__)
    with open_rig() as rig:
        mix = measure(report, rig, "mix", EVERYBODY)
        control = measure(report, rig, "control", PAIR)
        audio = measure(report, rig, "audio", PAIR)
        tls = measure(report, rig, "mix", EVERYBODY, tls=True)
    print()
    report.meet("flood.session.mix", mix.ratio(SESSION, OPENAI))
    report.meet("flood.session.control", control.ratio(SESSION, OPENAI))
    report.meet("flood.session.audio", audio.ratio(SESSION, OPENAI))
    report.meet("flood.connection.mix", mix.ratio(CONNECTION, OPENAI))
    report.meet("flood.tls.mix", tls.ratio(SESSION, OPENAI))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
