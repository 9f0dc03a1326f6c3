"""An hour of speech through `Playback`: what a chunk costs, and what stays in memory.

Sixty answers of a minute arrive in deltas of 100 ms, each as fast as it is played; a sink takes
20 ms at a time, and marks what it took or not.  The cost is taken at the start of the hour and at
its end, with a minute waiting all the time, since a service sends faster than one listens.  Next to
it stands what tutorials do: the audio that waits as one array that every chunk makes anew.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Literal

import numpy as np
from harness import CLOCK, Comparison, Report

from realtime_trio.audio import AudioData
from realtime_trio.playback import Playback

MINUTES, DELTAS, DELTA, FRAME = 60, 600, 2400, 480
"""Answers of a minute, in deltas of 100 ms, taken in frames of 20 ms."""
FIRST, LAST = "first 10 %", "last 10 %"
OURS, NAIVE = "Playback", "a new array per chunk"

_SAMPLES = np.random.default_rng(1).integers(-8000, 8000, DELTA, np.int16)
_BASE64 = AudioData(_SAMPLES).base64
_now: Callable[[], float] = getattr(time, CLOCK)


def main() -> int:
    report = Report("bench_playback", __doc__)
    repeats = 3 if report.quick else 11
    slowest, steepest = 0.0, 0.0
    for tracking in ("taken", "reported"):
        hours = [hour_costs(tracking) for _ in range(repeats)]
        rounds = {FIRST: [hour[0] for hour in hours], LAST: [hour[-1] for hour in hours]}
        costs = report.add(
            f"100 ms of speech, queued and taken, tracking: {tracking}",
            Comparison(rounds=rounds, peer=FIRST, unit="us/delta"),
        )
        slowest = max(slowest, costs.median(LAST))
        steepest = max(steepest, costs.ratio(LAST, FIRST))
    minute = report.compare(
        "a minute that waits, and is taken", {OURS: ours, NAIVE: naive}, peer=NAIVE, events=DELTAS
    )
    print()
    report.meet("playback.delta", slowest)
    report.meet("playback.flat", steepest)
    report.meet("playback.minute", minute.ratio(NAIVE, OURS))
    # The last 64 parts are remembered, and an hour has no more; a minute of samples takes 2800.
    report.meet("playback.memory", grown_kib())
    return report.finish()


def hour_costs(tracking: Literal["taken", "reported"]) -> list[float]:
    """Microseconds per delta in each tenth of an hour, with a minute waiting."""
    playback = Playback(tracking=tracking)
    speak(playback, -1)
    tenths = [0.0] * 10
    gc.collect()
    for minute in range(MINUTES):
        started = _now()
        for _ in range(DELTAS):
            say(playback, minute)
            listen(playback, tracking)
        tenths[minute * 10 // MINUTES] += _now() - started
    assert playback.queued == DELTAS * DELTA
    assert playback.heard_ms(f"item_{MINUTES - 2}") == 60_000
    return [seconds * 10 / (MINUTES * DELTAS) * 1e6 for seconds in tenths]


def grown_kib() -> float:
    """KiB that are in use at the end of the hour and were not after its first tenth."""
    tracemalloc.start()
    playback = Playback(tracking="reported")
    speak(playback, -1)
    before = 0
    for minute in range(MINUTES):
        for _ in range(DELTAS):
            say(playback, minute)
            listen(playback, "reported")
        if minute == MINUTES // 10 - 1:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / 1024


def speak(playback: Playback, minute: int) -> None:
    """The whole answer of a minute arrives."""
    for _ in range(DELTAS):
        say(playback, minute)


def say(playback: Playback, minute: int) -> None:
    """A delta arrives, which has not been decoded before."""
    audio = AudioData.from_base64(_BASE64)
    playback.append(audio, f"item_{minute}", response_id=f"resp_{minute}")


def listen(playback: Playback, tracking: str) -> None:
    """The sink plays as much."""
    for _ in range(DELTA // FRAME):
        playback.take(FRAME)
        if tracking == "reported":
            playback.reached(playback.mark())


def ours() -> None:
    """A minute waits, and is taken in frames."""
    playback = Playback()
    speak(playback, 0)
    while len(playback.take(FRAME)):
        pass


def naive() -> None:
    """The same with one array."""
    waiting = np.empty(0, np.int16)
    for _ in range(DELTAS):
        waiting = np.concatenate([waiting, AudioData.from_base64(_BASE64).samples])
    while len(waiting):
        waiting = waiting[FRAME:].copy()


if __name__ == "__main__":
    sys.exit(main())
