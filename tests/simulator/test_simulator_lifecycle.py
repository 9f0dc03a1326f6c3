"""What takes its time on a server's side: when it goes on, and when it is over."""

from __future__ import annotations

import math

import pytest

from realtime_trio.simulator.service.lifecycle import Steps, Task


@pytest.fixture
def went_on() -> list[float]:
    """When the steps of `steps` were taken."""
    return []


def steps(went_on: list[float], *waits: float) -> Steps:
    for wait in waits:
        # A comprehension cannot yield.
        went_on.append((yield wait))  # noqa: PERF401


def test_a_task_goes_on_when_it_wants_to_and_is_over_after_its_last_step(
    went_on: list[float],
) -> None:
    task = Task(steps(went_on, 1.0, 2.5))
    assert (task.due, went_on) == (1.0, [])
    task.advance()
    assert (task.due, went_on) == (2.5, [1.0])
    task.advance()
    assert (task.due, went_on) == (None, [1.0, 2.5])


def test_a_task_that_waits_for_nothing_is_over_at_once(went_on: list[float]) -> None:
    assert Task(steps(went_on)).due is None


def test_what_waits_for_something_from_outside_goes_on_when_it_is_woken(
    went_on: list[float],
) -> None:
    task = Task(steps(went_on, math.inf, 9.0))
    assert task.due == math.inf
    task.wake(5.0)
    assert task.due == 5.0
    task.advance()
    # What waits for a time is not hurried.
    task.wake(6.0)
    assert (task.due, went_on) == (9.0, [5.0])
