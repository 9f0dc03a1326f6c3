"""How far a sink has played: by taking, by reports, by marks, by a clock."""

from __future__ import annotations

import pytest

from realtime_trio.playback.tracking import ClockTracker, ReportTracker, Tracker


def test_what_is_taken_is_heard() -> None:
    tracker = Tracker()
    assert tracker.position() == 0
    tracker.took(10)
    tracker.silence()
    tracker.took(5)
    assert tracker.position() == 15


def test_what_is_reported_is_heard_but_no_more_than_was_taken() -> None:
    tracker = ReportTracker()
    tracker.took(10)
    assert tracker.position() == 0
    tracker.played(4)
    assert tracker.position() == 4
    tracker.played(7)
    assert tracker.position() == 10


def test_marks_are_reached_in_order_and_once() -> None:
    tracker = ReportTracker()
    tracker.took(10)
    first = tracker.mark()
    tracker.took(5)
    second = tracker.mark()
    tracker.took(1)
    third = tracker.mark()
    assert [first, second, third] == ["mark_1", "mark_2", "mark_3"]
    tracker.reached(second)  # the first was lost, or is still on its way
    assert tracker.position() == 15
    tracker.reached(first)
    assert tracker.position() == 15
    tracker.reached("another")
    assert tracker.position() == 15
    tracker.reached(third)
    assert tracker.position() == 16


def test_a_mark_behind_what_was_counted_takes_nothing_back() -> None:
    tracker = ReportTracker()
    tracker.took(10)
    mark = tracker.mark()
    tracker.took(10)
    tracker.played(15)
    tracker.reached(mark)
    assert tracker.position() == 15


def test_one_place_has_one_name() -> None:
    tracker = ReportTracker()
    start = tracker.mark()
    assert tracker.mark() == start
    tracker.took(1)
    assert tracker.mark() != start
    tracker.reached(start)
    assert tracker.position() == 0


def test_a_place_that_was_reached_can_be_named_again() -> None:
    tracker = ReportTracker()
    tracker.took(3)
    mark = tracker.mark()
    tracker.reached(mark)
    assert tracker.mark() == mark
    tracker.reached(mark)
    assert tracker.position() == 3


def test_late_reports_of_what_was_silenced_say_nothing() -> None:
    tracker = ReportTracker()
    tracker.took(10)
    cleared = tracker.mark()
    tracker.took(10)
    tracker.silence()
    assert tracker.position() == 20
    tracker.took(10)
    tracker.reached(cleared)  # telephone lines send marks back when they are cleared
    assert tracker.position() == 20
    mark = tracker.mark()
    tracker.reached(mark)
    assert tracker.position() == 30


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("start", [-100.0, 0.0, 1e9])
def test_a_clock_plays_in_real_time(start: float) -> None:
    clock = Clock(start)
    tracker = ClockTracker(1000, clock)
    assert tracker.position() == 0
    tracker.took(500)
    tracker.took(500)
    assert tracker.position() == 0
    clock.now += 0.25
    assert tracker.position() == 250
    clock.now += 10
    assert tracker.position() == 1000
    tracker.took(100)  # after a pause
    clock.now += 0.05
    assert tracker.position() == 1050


def test_a_clock_counts_to_the_nearest_sample() -> None:
    clock = Clock(0.1)
    tracker = ClockTracker(24_000, clock)
    tracker.took(24_000)
    clock.now = 0.1 + 0.2  # not quite 0.3
    assert tracker.position() == 4800


def test_a_clock_that_goes_back_takes_nothing_back() -> None:
    clock = Clock(1)
    tracker = ClockTracker(1000, clock)
    tracker.took(1000)
    clock.now = 1.5
    assert tracker.position() == 500
    clock.now = 1.2
    assert tracker.position() == 500


def test_what_was_silenced_takes_no_time() -> None:
    clock = Clock()
    tracker = ClockTracker(1000, clock)
    tracker.took(1000)
    clock.now = 0.5
    tracker.silence()
    assert tracker.position() == 1000
    tracker.took(100)
    assert tracker.position() == 1000
    clock.now = 0.55
    assert tracker.position() == 1050
