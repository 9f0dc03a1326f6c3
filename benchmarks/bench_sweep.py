"""How many sessions one core holds: more and more, until it is three quarters busy or too late.

The load is profile A of `bench_sessions`: everybody speaks and listens all the time.  A core holds
so many sessions as keep the client process at 0.75 of it or less, with a p99 latency of 50 ms or
less; the rest is what an application needs for itself.  Each step guesses from the one before how
many that are; the answer is read off the straight line between the steps around the limit.

Clients take turns step by step, plain and over TLS.  How late the service itself was is stated: it
has a core of its own, and is not what is measured while it is in time.  Left out: opening the
sessions, which TLS makes dear, but nobody does all the time.
"""

from __future__ import annotations

import sys

from attrs import Factory, define
from harness import Report
from wire import AGENTS, CONNECTION, OPENAI, SESSION, WEBSOCKETS, Answer, Rig, open_rig

LOAD, LATE_MS = 0.75, 50.0
CLIENTS = (SESSION, OPENAI, AGENTS, CONNECTION, WEBSOCKETS)
FIRST, MOST = 24, 700


@define
class Sweep:
    """What has been seen of a client."""

    steps: list[tuple[int, float]] = Factory(list)
    """Sessions, and how near the limit they came: 1 is at it."""

    def next(self) -> int:
        """How many sessions to try."""
        if not self.steps:
            return FIRST
        last, strain = self.steps[-1]
        return max(2, min(MOST, round(last / min(max(strain, 0.25), 1.5))))

    def note(self, sessions: int, answer: Answer) -> None:
        """Take down a step."""
        strain = max(answer["load"] / LOAD, answer["p99_ms"] / LATE_MS)
        if answer["received"] < 0.9:  # it is falling behind, whatever the latency is by now
            strain = max(strain, 1.1)
        self.steps.append((sessions, strain))

    def limit(self) -> float:
        """How many sessions are just possible."""
        steps = sorted(self.steps)
        below = [step for step in steps if step[1] <= 1]
        above = [step for step in steps if step[1] > 1 and (not below or step[0] > below[-1][0])]
        if not above:
            sessions, strain = steps[-1]
            return sessions / strain if sessions < MOST else sessions
        (low, low_strain), (high, high_strain) = below[-1] if below else (0, 0.0), above[0]
        return low + (high - low) * (1 - low_strain) / (high_strain - low_strain)


def measure(report: Report, rig: Rig, *, tls: bool) -> dict[str, float]:
    """How many sessions each client holds."""
    sweeps = {name: Sweep() for name in (CLIENTS[:3] if report.quick else CLIENTS)}
    late = 0.0
    for _ in range(3 if report.quick else 5):
        for name, sweep in sweeps.items():
            sessions = sweep.next()
            answer = rig.client(name).tell(
                do="crowd",
                url=rig.url(tls=tls),
                sessions=sessions,
                warm_s=0.5 if report.quick else 1.0,
                seconds=1.5 if report.quick else 3.0,
                append_ms=100,
            )
            sweep.note(sessions, answer)
            if answer["load"] < 1:
                late = max(late, rig.service.tell(stats=True)["late_p99_ms"])
    print(f"\nsessions on one core{' over TLS' if tls else ''}, and the steps to it", flush=True)
    limits = {name: sweep.limit() for name, sweep in sweeps.items()}
    kind = "over TLS" if tls else "plain"
    report.fact(
        f"{kind}: events later than their pace in the worst step, p99 in ms", round(late, 1)
    )
    for name, limit in limits.items():
        report.fact(f"{kind}: {name}", round(limit))
        steps = [(sessions, round(strain, 2)) for sessions, strain in sorted(sweeps[name].steps)]
        report.fact(f"{kind}: {name}, sessions and share of the limit", steps)
    return limits


def main() -> int:
    report = Report("bench_sweep", __doc__)
    with open_rig() as rig:
        rig.service.tell(flow="A")
        plain, tls = measure(report, rig, tls=False), measure(report, rig, tls=True)
    print()
    report.meet("sweep.plain", plain[SESSION] / plain[OPENAI])
    report.meet("sweep.tls", tls[SESSION] / tls[OPENAI])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
