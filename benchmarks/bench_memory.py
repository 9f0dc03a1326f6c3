"""Memory of a session: how much the process grows with each one more.

A fresh process opens some sessions, so that all is there that is needed once, and then as many
again; what is told is the growth of the resident memory per session of the second half.  Idle is a
session that is open and has said nothing.  Active is one that has taken two spoken turns of the
corpus (1.3 MB of events, which have been read) and is silent again, without and with the audio
that a session keeps by default: the first shows what a session needs for itself.

Left out: the memory of the system for sockets, and the peak while a turn is under way.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from harness import Comparison, Report, interleave
from wire import AGENTS, CONNECTION, NO_AUDIO, OPENAI, SESSION, WEBSOCKETS, Rig, open_rig

CLIENTS = (SESSION, OPENAI, CONNECTION, AGENTS, WEBSOCKETS)


def measure(
    report: Report, rig: Rig, title: str, clients: Sequence[str], *, active: bool, tls: bool = False
) -> Comparison:
    """Let fresh processes of each client hold sessions."""

    def hold(name: str) -> float:
        client = rig.fresh_client(name)
        try:
            answer = client.tell(
                do="hold", url=rig.url(tls=tls), sessions=30 if report.quick else 60, active=active
            )
            return answer["kib_per_session"]
        finally:
            client.close()

    samplers = {name: partial(hold, name) for name in clients}
    rounds = interleave(samplers, 1 if report.quick else 3)
    return report.add(title, Comparison(rounds=rounds, peer=OPENAI, unit="KiB/session"))


def main() -> int:
    report = Report("bench_memory", __doc__)
    with open_rig() as rig:
        rig.service.tell(flow="mix", turns=2)
        clients = CLIENTS[:3] if report.quick else CLIENTS
        idle = measure(report, rig, "idle", clients, active=False)
        idle_tls = measure(report, rig, "idle, over TLS", clients, active=False, tls=True)
        active = measure(report, rig, "active", (*clients, NO_AUDIO), active=True)
    print()
    report.meet("memory.idle.plain", idle.median(SESSION))
    report.meet("memory.idle.tls", idle_tls.median(SESSION))
    report.meet("memory.active", active.median(NO_AUDIO))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
