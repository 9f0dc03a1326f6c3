"""Append 100 ms of microphone audio: from an int16 array to the socket.

In a burst: appends one after another without a pause, until the service (`wire_service`) has
answered that it has all of them.  Isolated: with a pause after each, as a microphone has, so that
every append wakes a loop that sleeps, with caches that have forgotten it; what the pauses cost by
themselves is taken off.  What is measured is the CPU time of the client process: base64, JSON,
checks, the queue, masking, the system call, and TLS where there is some.

Left out: getting the samples from a sound card, and resampling.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Literal

from harness import Comparison, Report, interleave
from wire import AGENTS, CONNECTION, NAIVE, OPENAI, PICOWS, SESSION, WEBSOCKETS, Rig, open_rig

EVERYBODY = (SESSION, CONNECTION, OPENAI, AGENTS, WEBSOCKETS, PICOWS, NAIVE)


def measure(
    report: Report, rig: Rig, how: Literal["burst", "isolated"], *, tls: bool
) -> Comparison:
    """Let everybody append in turn."""
    appends = {"burst": 500, "isolated": 60}[how] // (3 if report.quick else 1)
    url = rig.url(tls=tls)

    def append(name: str) -> float:
        answer = rig.client(name).tell(do=how, url=url, appends=appends, ms=100)
        arrived = rig.service.tell(stats=True)["appends"]
        assert how == "isolated" or arrived == appends, f"{name}: {arrived} of {appends} arrived"
        return answer["cpu_s"] / appends * 1e6

    samplers = {name: partial(append, name) for name in EVERYBODY}
    interleave(samplers, 1)
    rounds = interleave(samplers, 5 if report.quick else 15)
    return report.add(
        f"{how}{' over TLS' if tls else ''}: append of 100 ms, array to socket",
        Comparison(rounds=rounds, peer=OPENAI, unit="CPU us/append"),
    )


def main() -> int:
    report = Report("bench_append", __doc__)
    with open_rig() as rig:
        rig.service.tell(flow="sink")
        burst = measure(report, rig, "burst", tls=False)
        measure(report, rig, "isolated", tls=False)
        measure(report, rig, "burst", tls=True)
    print()
    report.meet("append.burst", burst.ratio(SESSION, OPENAI))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
