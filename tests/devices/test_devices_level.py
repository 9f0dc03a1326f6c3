"""How loud samples are."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_trio.devices import level_db


@pytest.mark.parametrize(
    ("value", "level"), [(-32768, 0.0), (-16384, -6.02), (328, -39.99), (1, -90.31), (0, -100.0)]
)
def test_the_level_is_that_of_the_power(value: int, level: float) -> None:
    assert level_db(np.full(100, value, np.int16)) == pytest.approx(level, abs=0.01)


def test_nothing_is_silent() -> None:
    assert level_db(np.empty(0, np.int16)) == -100.0


def test_one_step_in_a_long_silence_is_no_quieter_than_silence() -> None:
    samples = np.zeros(100_000, np.int16)
    samples[7] = 1
    assert level_db(samples) == -100.0
