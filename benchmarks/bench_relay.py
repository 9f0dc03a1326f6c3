"""The relay: how many guests a core holds, how much later they hear, and what they take of memory.

The service (`wire_service`) has prepared all that it says, and the guests (`relay_guests`) do as
little as possible; both share a core, and the relay has another, where the machine has two.  The
load is profile A: everybody listens to 50 events a second, half of them audio of 40 ms, and appends
100 ms of audio ten times a second, all the time.  The relay lets them in by an `authorize`, with
all limits of a grant and a budget; it checks and counts every event.

Latency is from just before the service writes an event until a guest has it.  What the relay adds
is the p99 with it, less the p99 of the same guests without it, measured right before.  A slow guest
is one that asks for events and never reads; the others are compared with what they hear without it.

Latency and load are worth what the machine is worth: how long other programs kept the relay from
its core is stated.  Left out: TLS, and the memory of the system for sockets.
"""

from __future__ import annotations

import sys
import time
from statistics import median

from harness import Report
from wire import HERE, Answer, Process, Rig, open_rig, settle

GUESTS = 300
STEPS = (50, 100, 200, 300)
BUSY = 0.95
"""Of a core: a relay that is busier falls behind."""
PATIENCE_MS = 20.0
SLOW = 5
"""Guests that do not read."""


class Bench:
    """The processes, and what is asked of them."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        first, second = rig.cores if rig.cores is not None else (None, None)
        self._direct = rig.url(tls=False)
        self._relay = Process(str(HERE / "relay_process.py"), self._direct, core=second)
        port = self._relay.read()["port"]
        self._url = f"ws://127.0.0.1:{port:.0f}/v1/realtime?model=gpt-realtime"
        self._guests = Process(str(HERE / "relay_guests.py"), core=first)

    def close(self) -> None:
        """End them."""
        self._guests.close()
        self._relay.close()

    def talk(self, guests: int, seconds: float, *, relayed: bool, silent: int = 0) -> Answer:
        """What a crowd hears, with or without the relay, and what the relay takes for it."""
        before = self._relay.tell(collect=True)
        url = self._url if relayed else self._direct
        self._guests.tell(join=url, guests=guests + silent, silent=silent)
        joined, began = self._relay.tell(collect=True), time.monotonic()
        heard = dict(self._guests.tell(talk=seconds))
        took = time.monotonic() - began
        after = self._relay.tell()
        self._guests.tell(leave=True)
        self._rig.service.tell(stats=True)
        return {
            **heard,
            "relay_load": (after["cpu_s"] - joined["cpu_s"]) / took,
            "kept_waiting": (after["waited_s"] - joined["waited_s"]) / took,
            "idle_kib": (joined["rss_kib"] - before["rss_kib"]) / guests,
            "kib": (after["rss_kib"] - before["rss_kib"]) / guests,
        }


def sweep(report: Report, bench: Bench, seconds: float, rounds: int) -> int:
    """The largest crowd that is heard in time, and how late it is."""
    held, added = 0, float("inf")
    for guests in STEPS if not report.quick else STEPS[::3]:
        late, load = [], []
        for _ in range(rounds):
            direct = bench.talk(guests, seconds, relayed=False)
            relayed = bench.talk(guests, seconds, relayed=True)
            late.append(relayed["p99_ms"] - direct["p99_ms"])
            load.append(relayed["relay_load"])
            assert relayed["received"] > 0.9, f"the relay is behind: {relayed}"
        report.fact(f"{guests} guests: added to the p99, ms", round(median(late), 1))
        report.fact(f"{guests} guests: share of a core", round(median(load), 2))
        waited = f"{relayed['kept_waiting']:.0%}"
        report.fact(f"{guests} guests: kept from its core", waited)
        if median(load) <= BUSY and median(late) <= PATIENCE_MS:
            held = guests
        if guests == GUESTS:
            added = median(late)
    report.meet("relay.latency", added)
    return held


def main() -> int:
    report = Report("bench_relay", __doc__)
    seconds, rounds = (1.5, 1) if report.quick else (4.0, 3)
    with open_rig() as rig:
        rig.service.tell(flow="A")
        bench = Bench(rig)
        try:
            bench.talk(20, 1.0, relayed=True)  # what is loaded and allocated once
            memory = bench.talk(100, seconds, relayed=True)
            report.fact("a session before it talks, KiB", round(memory["idle_kib"], 1))
            report.meet("relay.memory", memory["kib"])
            report.meet("relay.sessions", sweep(report, bench, seconds, rounds))
            alone = bench.talk(50, seconds, relayed=True)
            beside = bench.talk(50, seconds, relayed=True, silent=SLOW)
            report.fact("50 guests: p99 of a latency, ms", round(alone["p99_ms"], 2))
            report.fact(f"the same beside {SLOW} who never read", round(beside["p99_ms"], 2))
            report.meet("relay.slow", beside["p50_ms"] / alone["p50_ms"])
        finally:
            bench.close()
    return report.finish()


if __name__ == "__main__":
    settle(None, first=False)
    sys.exit(main())
