"""How every benchmark here measures and reports.

Theory of operation
-------------------
The machines that benchmarks run on are shared: one minute is fast, the next one is slow.  So the
candidates take turns, in rounds of a few dozen milliseconds each, and a ratio is taken within each
round, between neighbours in time; the median of those ratios hardly moves when the times themselves
do.  The order rotates, so that no candidate always runs after the same neighbour.

Time is CPU time of the process, where the system measures it finely enough: the turns of other
processes do not count.

Before measuring, everything that is alive is moved out of the garbage collector's sight
(`gc.freeze`).  A peer with a large heap - some import tens of thousands of classes and schemas -
would otherwise make every full collection slower, also those that happen during another candidate's
turn.  Collections themselves stay on: who allocates much still pays for it.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen
from machine import machine, versions
from targets import TARGETS

CLOCK: Final = (
    "process_time" if time.get_clock_info("process_time").resolution <= 1e-6 else "perf_counter"
)
"""The clock in use, a function of `time`: CPU time, except where that is too coarse (Windows)."""

_now: Final[Callable[[], float]] = getattr(time, CLOCK)


@frozen
class Comparison:
    """What several candidates cost, round by round."""

    rounds: Mapping[str, Sequence[float]]
    """Candidate -> one cost per round, as many for each, in `unit`."""
    peer: str
    """The candidate that the others are compared with."""
    unit: str
    """Of the costs, e.g. `us/event`."""

    def median(self, name: str) -> float:
        """The cost of the median round."""
        return statistics.median(self.rounds[name])

    def p99(self, name: str) -> float:
        """The cost that 99 % of the rounds do not exceed: below 100 rounds, that of the slowest."""
        ordered = sorted(self.rounds[name])
        return ordered[math.ceil(len(ordered) * 0.99) - 1]

    def spread(self, name: str) -> float:
        """How far apart the middle half of the rounds are, as a share of the median."""
        if len(self.rounds[name]) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.rounds[name], n=4)
        return (high - low) / self.median(name)

    def best(self, name: str) -> float:
        """The cost of the fastest round."""
        return min(self.rounds[name])

    def ratio(self, name: str, to: str) -> float:
        """How many times the cost of `to` the candidate `name` has: the median over the rounds."""
        return statistics.median(
            a / b for a, b in zip(self.rounds[name], self.rounds[to], strict=True)
        )

    def table(self) -> str:
        """The numbers for people; `speed` is relative to the peer, higher is faster."""
        width = max(len(self.unit), *map(len, self.rounds))
        heads = "  ".join(f"{head:>9}" for head in ("median", "spread", "p99", "min"))
        lines = [f"  {self.unit:<{width}}  {heads}  {'speed':>8}"]
        for name in self.rounds:
            speed = f"{self.ratio(self.peer, name):.2f} x"
            median, p99, best = (f(name) for f in (self.median, self.p99, self.best))
            numbers = f"{median:9.2f}  {self.spread(name):9.0%}  {p99:9.2f}  {best:9.2f}"
            lines.append(f"  {name:<{width}}  {numbers}  {speed:>8}")
        return "\n".join(lines)

    def summary(self) -> dict[str, object]:
        """The numbers for programs."""
        return {
            "unit": self.unit,
            "peer": self.peer,
            "rounds": len(self.rounds[self.peer]),
            "candidates": {
                name: {
                    "median": self.median(name),
                    "spread": self.spread(name),
                    "p99": self.p99(name),
                    "min": self.best(name),
                    "times_peer_speed": self.ratio(self.peer, name),
                }
                for name in self.rounds
            },
        }


def interleave(samplers: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Let the samplers take turns for `repeats` rounds and return what each returned.

    Each round starts with another one.
    """
    names = list(samplers)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(samplers[name]())
    return samples


def compare(
    candidates: Mapping[str, Callable[[], object]],
    *,
    peer: str,
    events: int = 1,
    repeats: int = 61,
    round_s: float = 0.025,
) -> Comparison:
    """Measure what each candidate costs per event, in microseconds.

    Args:
        candidates: What to measure.  A call processes `events` events; the first one, which may
            build things, is not measured.
        peer: The candidate that the others are compared with.
        events: Events per call.
        repeats: Rounds; 5 or more.
        round_s: How long each candidate's turn lasts, in seconds: it is called as many times as
            that takes.
    """
    samplers = {
        name: _sampler(candidate, events, round_s) for name, candidate in candidates.items()
    }
    gc.collect()
    gc.freeze()
    try:
        return Comparison(rounds=interleave(samplers, repeats), peer=peer, unit="us/event")
    finally:
        gc.unfreeze()


def _sampler(candidate: Callable[[], object], events: int, round_s: float) -> Callable[[], float]:
    candidate()
    calls = 1
    while (elapsed := _time(candidate, calls)) < round_s / 4:
        calls *= 2
    calls = max(1, round(calls * round_s / elapsed))

    def sample() -> float:
        gc.collect()  # nobody pays for the garbage that the one before left
        return _time(candidate, calls) / (calls * events) * 1e6

    return sample


def _time(candidate: Callable[[], object], calls: int) -> float:
    turns = range(calls)
    started = _now()
    for _ in turns:
        candidate()
    return _now() - started


class Report:
    """One benchmark script's command line, tables, targets and JSON file.

    Args:
        name: Of the script, e.g. `bench_decode`; the JSON file is called after it.
        description: For `--help`.
        argv: Command line; the process's own when None.
    """

    def __init__(
        self, name: str, description: str | None, argv: Sequence[str] | None = None
    ) -> None:
        parser = argparse.ArgumentParser(
            prog=f"{name}.py", description=(description or "").partition("\n")[0]
        )
        parser.add_argument(
            "--json", metavar="DIR", type=Path, help="write the numbers to DIR as well"
        )
        parser.add_argument(
            "--quick",
            action="store_true",
            help="a tenth of the time, and the precision that goes with it",
        )
        arguments = parser.parse_args(argv)
        self.name = name
        self.quick: bool = arguments.quick
        self._folder: Path | None = arguments.json
        self._comparisons: dict[str, object] = {}
        self._facts: dict[str, object] = {}
        self._targets: list[dict[str, object]] = []
        self._missed = False
        print(f"{name} on {machine()['cpu']}, Python {platform.python_version()}")

    def compare(
        self,
        title: str,
        candidates: Mapping[str, Callable[[], object]],
        *,
        peer: str,
        events: int = 1,
    ) -> Comparison:
        """`compare` with the precision that the command line asks for, shown and recorded."""
        if self.quick:
            return self.add(
                title, compare(candidates, peer=peer, events=events, repeats=11, round_s=0.01)
            )
        return self.add(title, compare(candidates, peer=peer, events=events))

    def add(self, title: str, comparison: Comparison) -> Comparison:
        """Show and record a comparison."""
        print(f"\n{title}\n{comparison.table()}", flush=True)
        self._comparisons[title] = comparison.summary()
        return comparison

    def fact(self, what: str, value: object) -> None:
        """State and record what is neither better nor worse."""
        print(f"  {what}: {value}", flush=True)
        self._facts[what] = value

    def meet(self, key: str, value: float) -> None:
        """Hold a number against its target in `targets.py`."""
        target = TARGETS[key]
        met = target.is_met(value)
        verdict = "moonshot" if target.is_moonshot(value) else "met" if met else "MISSED"
        sign = ">=" if target.at_least else "<="
        self._judge(target.what, value, f"{sign} {target.goal:.4g}", met, verdict)
        self._targets[-1]["key"] = key
        if target.moonshot is not None:
            self._targets[-1]["moonshot"] = f"{sign} {target.moonshot:.4g}"

    def at_most(self, what: str, value: float, bound: float) -> None:
        """State a bound that has no row in the table, met by `value <= bound`."""
        met = value <= bound
        self._judge(what, value, f"<= {bound:.4g}", met, "met" if met else "MISSED")

    def _judge(self, what: str, value: float, bound: str, met: bool, verdict: str) -> None:
        print(f"  {verdict:<8}  {what}: {value:.4g} (goal {bound})", flush=True)
        self._missed |= not met
        self._targets.append(
            {"what": what, "value": value, "goal": bound, "met": met, "verdict": verdict}
        )

    def finish(self) -> int:
        """Write the JSON file, if one is wanted; return 1, for `sys.exit`, if a goal was missed."""
        if self._folder is not None:
            content = {
                "benchmark": self.name,
                "quick": self.quick,
                "clock": CLOCK,
                "machine": machine(),
                "packages": versions(),
                "comparisons": self._comparisons,
                "facts": self._facts,
                "targets": self._targets,
            }
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{self.name}.json").write_text(
                json.dumps(content, indent=2) + "\n", encoding="utf-8"
            )
        return 1 if self._missed else 0
