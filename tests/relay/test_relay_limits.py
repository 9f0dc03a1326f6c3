"""Paces and leads: what may be used, and when there is room again."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from realtime_trio.errors import LocalProtocolError
from realtime_trio.relay.limits import Lead, Limits, Pace

steps = st.lists(st.floats(0, 30), max_size=60)


@pytest.mark.parametrize(
    "limits",
    [
        {"seconds": 0},
        {"idle_seconds": -1},
        {"audio_ahead": 0},
        {"events_per_minute": 0.5},
        {"responses_per_minute": 0},
        {"refusals_per_minute": math.nan},
        {"message_size": 0},
    ],
)
def test_a_limit_that_lets_nothing_pass_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=f"{next(iter(limits))} must be"):
        Limits(**limits)


@pytest.mark.parametrize("value", ["1", None, True])
def test_a_limit_is_a_number(value: Any) -> None:
    with pytest.raises(TypeError, match="seconds must be"):
        Limits(seconds=value)


def test_a_pace_lets_a_minutes_worth_pass_at_once_and_then_as_it_drains() -> None:
    pace = Pace(3, since=100.0)
    assert [pace.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not pace.has_room(119.9)
    assert pace.has_room(120.0)
    assert pace.take(120.0)
    assert not pace.take(120.0)


def test_a_pace_without_a_limit_lets_everything_pass() -> None:
    pace = Pace(math.inf)
    assert all(pace.take(0.0) for _ in range(10_000))
    assert pace.has_room(0.0)


@given(st.integers(1, 20), steps)
def test_no_minute_has_more_than_twice_its_pace_and_in_the_long_run_none_has_more(
    per_minute: int, pauses: list[float]
) -> None:
    pace, now, taken = Pace(per_minute), 0.0, 0
    for pause in pauses:
        now += pause
        room = pace.has_room(now)
        took = pace.take(now)
        assert room == took
        taken += took
        assert taken <= per_minute + per_minute * now / 60 + 1e-6


@given(st.integers(1, 20), st.lists(st.floats(-100, 100), max_size=30))
def test_a_clock_that_jumps_gives_nobody_more(per_minute: int, times: list[float]) -> None:
    pace = Pace(per_minute, since=0.0)
    taken = sum(pace.take(now) for now in times)
    assert taken <= per_minute + per_minute * max([0.0, *times]) / 60 + 1


def test_audio_may_be_ahead_of_real_time_and_not_further() -> None:
    lead = Lead(2.0)
    assert lead.take(1.5, 10.0)
    assert not lead.take(1.0, 10.0)
    assert lead.take(0.5, 10.0)
    assert not lead.take(0.1, 10.0)
    assert lead.take(0.1, 10.2)


def test_silence_that_was_left_out_cannot_be_made_up_for() -> None:
    lead = Lead(2.0)
    assert lead.take(0.1, 0.0)
    assert not lead.take(2.1, 1000.0)
    assert lead.take(2.0, 1000.0)


@given(st.floats(0.1, 10), st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 5)), max_size=50))
def test_all_audio_fits_into_the_time_and_the_lead(
    most: float, pieces: list[tuple[float, float]]
) -> None:
    lead, now, total = Lead(most), 0.0, 0.0
    for pause, seconds in pieces:
        now += pause
        if lead.take(seconds, now):
            total += seconds
        assert total <= now + most + 1e-6
