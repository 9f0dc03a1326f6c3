"""Thirty sessions in real time: what a second of each costs, and how late events are.

Profile A is a conversation as most clients have it: 25 audio deltas of 40 ms and 25 words of
transcript a second down, 10 appends of 100 ms up.  Profile B is one in small pieces, as a telephone
bridge has it: 50 deltas and 50 appends of 20 ms.  Everybody speaks and listens all the time, and no
two sessions act at the same moment: nearly every event comes alone and wakes an event loop that
sleeps, which is what real traffic is like.

CPU time is that of the whole client process, for appends and events together.  Latency is from
just before the service writes an event until the application has it; the service writes the time
into the event, and both processes have the same clock.  So the service's own system call is in it,
and the network is not.

Left out: TLS (`bench_sweep` has it), pauses, and what an application does.  Latency is worth what
the machine is worth: how much of the time other programs kept a client from its core is stated, and
so is how late the service was.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Literal

from harness import Comparison, Report, interleave
from wire import (
    AGENTS,
    CONNECTION,
    NAIVE,
    OPENAI,
    PICOWS,
    SESSION,
    WEBSOCKETS,
    Answer,
    Rig,
    open_rig,
)

SESSIONS = 30
APPEND_MS = {"A": 100, "B": 20}
EVERYBODY = (SESSION, CONNECTION, OPENAI, AGENTS, WEBSOCKETS, PICOWS, NAIVE)
CPU, P50, P99 = "cpu_ms_per_session_s", "p50_ms", "p99_ms"


def measure(
    report: Report, rig: Rig, profile: Literal["A", "B"], clients: Sequence[str]
) -> dict[str, Comparison]:
    """Let clients hold the sessions in turn; returns what they cost, and both latencies."""
    rig.service.tell(flow=profile)
    url = rig.url(tls=False)
    seen: dict[str, list[Answer]] = {name: [] for name in clients}

    def hold(name: str, seconds: float) -> float:
        answer = rig.client(name).tell(
            do="crowd",
            url=url,
            sessions=SESSIONS,
            warm_s=0.5,
            seconds=seconds,
            append_ms=APPEND_MS[profile],
        )
        assert answer["received"] > 0.9, f"{name} is behind: {answer}"
        seen[name].append(answer)
        return answer[CPU]

    interleave({name: partial(hold, name, 0.5) for name in clients}, 1)
    for answers in seen.values():
        answers.clear()
    interleave(
        {name: partial(hold, name, 1.0 if report.quick else 3.0) for name in clients},
        3 if report.quick else 7,
    )
    titles = {
        CPU: ("CPU time of a second of a session", "CPU ms"),
        P50: ("latency of an event, median", "ms"),
        P99: ("latency of an event, p99", "ms"),
    }
    comparisons = {}
    for what, (title, unit) in titles.items():
        rounds = {name: [answer[what] for answer in answers] for name, answers in seen.items()}
        comparisons[what] = report.add(
            f"{SESSIONS} sessions of profile {profile}: {title}",
            Comparison(rounds=rounds, peer=OPENAI, unit=unit),
        )
    for name, answers in seen.items():
        waited = median(answer["kept_waiting"] for answer in answers)
        report.fact(f"profile {profile}, {name}: kept from its core", f"{waited:.0%}")
    served = rig.service.tell(stats=True)
    report.fact(
        f"profile {profile}: events later than their pace, p99 in ms", served["late_p99_ms"]
    )
    return comparisons


def main() -> int:
    report = Report("bench_sessions", __doc__)
    with open_rig() as rig:
        a = measure(report, rig, "A", EVERYBODY[:5] if report.quick else EVERYBODY)
        b = measure(report, rig, "B", EVERYBODY[: 3 if report.quick else 5])
    print()
    report.meet("sessions.A.cpu", a[CPU].ratio(SESSION, OPENAI))
    report.meet("sessions.B.cpu", b[CPU].ratio(SESSION, OPENAI))
    report.meet("sessions.p50", a[P50].ratio(SESSION, OPENAI))
    report.meet("sessions.p99", a[P99].ratio(SESSION, OPENAI))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
