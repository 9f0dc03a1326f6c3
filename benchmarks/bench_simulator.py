"""The simulator: how many people can talk to one core of it.

The talkers come over real WebSockets on the loopback interface (see `simulator_load`), each with a
microphone that never pauses: a question every six seconds, found by turn detection on the samples,
and a spoken answer at a lifelike pace.  The server is a process of its own, kept to one core; the
talkers live in this process, on another.  What counts as latency starts just before the last
message of a turn is written, and ends when this process has read the event; so it includes what
this process adds, of which the stated delay of its own messages gives an idea.  A latency is the
p99 of all turns within six seconds, and what counts is the median of three such windows, as the
machines that this runs on are shared.  Windows in which others kept the server from its core for
more than a twentieth of the time are in the tables, but count only where all were so; how much it
was is stated.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Final

import trio
from attrs import frozen
from harness import Comparison, Report
from simulator_load import ANSWERING_S, CYCLE_S, Figures, Question, open_crowd, read_question
from targets import TARGETS

QUESTION: Final = Path(__file__).parent.parent / "examples" / "question.wav"
USERS: Final = (50, 100, 200, 300)
TARGET: Final = round(TARGETS["simulator.users"].goal)
"""Users, who send 100 ms of audio at once as most clients do."""
PATIENCE_MS: Final = TARGETS["simulator.latency"].goal
BUSY: Final = 95.0
"""Percent of a core.  More is a server that cannot do more, and falls behind."""
DISTURBED: Final = 5.0
"""Percent of the time without the core."""


class Server:
    """A simulator in a process of its own.

    Args:
        core: The only one that it may use; None for any.
    """

    def __init__(self, core: int | None) -> None:
        program = [sys.executable, str(Path(__file__).parent / "simulator_process.py")]
        self._process = Popen(
            program if core is None else [*program, str(core)], stdin=PIPE, stdout=PIPE, text=True
        )
        self.url = self._read()

    async def times(self) -> tuple[float, float]:
        """Seconds that it has been running, and seconds that it had to wait for its core."""
        return await trio.to_thread.run_sync(self._times)

    def _times(self) -> tuple[float, float]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        ran, waited = self._read().split()
        return int(ran) / 1e9, int(waited) / 1e9

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@frozen
class Window:
    """One cycle of a crowd."""

    busy: float
    """Percent of a core that the server used."""
    kept_waiting: float
    """Percent of the time that other processes kept it from running."""
    load_busy: float
    """Percent of a core that the load used."""
    figures: Figures


async def measure_crowd(
    question: Question, users: int, windows: int, core: int | None
) -> list[Window]:
    """Let users talk to a fresh server, and watch them for so many cycles."""
    server = Server(core)
    try:
        async with open_crowd(server.url, question, users) as crowd:
            marks = [await _mark(server)]
            for _ in range(windows):
                await trio.sleep_until(marks[-1][0] + CYCLE_S)
                marks.append(await _mark(server))
            await trio.sleep(ANSWERING_S)
            return [_window(a, b, crowd.figures(a[0], b[0])) for a, b in pairwise(marks)]
    finally:
        server.close()


async def _mark(server: Server) -> tuple[float, float, float, float]:
    ran, waited = await server.times()
    return trio.current_time(), ran, waited, time.process_time()


def _window(begin: Sequence[float], end: Sequence[float], figures: Figures) -> Window:
    seconds, ran, waited, load_ran = (b - a for a, b in zip(begin, end, strict=True))
    return Window(100 * ran / seconds, 100 * waited / seconds, 100 * load_ran / seconds, figures)


def measure_talkers(report: Report) -> None:
    core = None
    if hasattr(os, "sched_setaffinity"):
        ours, *others = sorted(os.sched_getaffinity(0))
        core = others[0] if others else ours
        os.sched_setaffinity(0, {ours})
    windows = 1 if report.quick else 3
    if hasattr(os, "getloadavg"):
        report.fact("load average before it, of this machine", round(os.getloadavg()[0], 2))
    gc.disable()  # here, where time is taken; not in the server
    question = read_question(QUESTION, 100)
    crowds = {
        users: trio.run(measure_crowd, question, users, windows, core)
        for users in (USERS[::2] if report.quick else USERS)
    }
    _report_crowds(report, {f"{users} users": crowd for users, crowd in crowds.items()})
    if not report.quick:
        crowd = trio.run(measure_crowd, read_question(QUESTION, 20), 100, windows, core)
        report.fact(
            "100 users who send 20 ms at once: percent of a core",
            round(median(window.busy for window in crowd)),
        )
        report.fact("the same, p99 to response.created, ms", round(_latency(crowd), 1))
    gc.enable()
    print()
    good = [users for users, crowd in crowds.items() if _is_in_time(crowd)]
    report.meet("simulator.users", max(good, default=0))
    report.meet("simulator.latency", _latency(crowds[TARGET]))


def _report_crowds(report: Report, crowds: dict[str, list[Window]]) -> None:
    def add(title: str, unit: str, cost: Callable[[Window], float]) -> None:
        rounds = {name: [cost(window) for window in crowd] for name, crowd in crowds.items()}
        report.add(title, Comparison(rounds=rounds, peer=next(iter(crowds)), unit=unit))

    add("CPU time of the server", "% of a core", lambda window: window.busy)
    add(
        "end of a turn to speech_stopped, median turn",
        "ms",
        lambda window: median(window.figures.stopped) * 1e3,
    )
    add("the same, p99 of the turns", "ms", lambda window: _p99_ms(window.figures.stopped))
    add(
        "end of a turn to response.created, median turn",
        "ms",
        lambda window: median(window.figures.created) * 1e3,
    )
    add("the same, p99 of the turns", "ms", lambda window: _p99_ms(window.figures.created))
    print()
    for name, crowd in crowds.items():
        late = median(_p99_ms(window.figures.late) for window in crowd)
        report.fact(f"{name}: deltas of audio later than their pace, p99 in ms", round(late, 1))
        report.fact(
            f"{name}: deltas later than the listener needs them",
            sum(window.figures.gaps for window in crowd),
        )
        report.fact(f"{name}: deltas that never came", sum(window.figures.lost for window in crowd))
        delay = median(_p99_ms(window.figures.delays) for window in crowd)
        report.fact(f"{name}: delay of this process, p99 in ms", round(delay, 1))
        report.fact(
            f"{name}: percent of a core that this process used",
            round(median(window.load_busy for window in crowd)),
        )
        report.fact(
            f"{name}: percent of the time that others had the server's core",
            [round(w.kept_waiting, 1) for w in crowd],
        )


def _is_in_time(crowd: Sequence[Window]) -> bool:
    return (
        median(window.busy for window in _undisturbed(crowd)) < BUSY
        and _latency(crowd) < PATIENCE_MS
    )


def _latency(crowd: Sequence[Window]) -> float:
    return median(_p99_ms(window.figures.created) for window in _undisturbed(crowd))


def _undisturbed(crowd: Sequence[Window]) -> Sequence[Window]:
    return [window for window in crowd if window.kept_waiting < DISTURBED] or crowd


def _p99_ms(seconds: Sequence[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1] * 1e3


def main() -> int:
    report = Report("bench_simulator", __doc__)
    measure_talkers(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
