"""Rate conversion: levels, aliases, lengths, and streams that equal the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio.audio.resample import MAX_RATE, MIN_RATE, Resampler, _weights, resample
from realtime_trio.errors import LocalProtocolError

AMPLITUDE = 16_000
RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000]
# The last pairs have no common divisor, hence more phases than the table has rows.
PAIRS = [
    (48_000, 24_000),
    (44_100, 24_000),
    (22_050, 24_000),
    (8_000, 24_000),
    (24_000, 8_000),
    (24_000, 48_000),
    (24_000, 44_100),
    (192_000, 8_000),
    (8_000, 192_000),
    (47_999, 24_001),
    (191_999, 8_001),
    (8_001, 191_999),
]


def tone(rate: int, frequency: float, seconds: float = 0.25) -> NDArray[np.int16]:
    time = np.arange(round(rate * seconds)) / rate
    wave: NDArray[np.float64] = AMPLITUDE * np.sin(2 * np.pi * frequency * time)
    return np.rint(wave).astype(np.int16)


def middle(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Without the edges, where the tone begins and ends abruptly."""
    margin = len(samples) // 4
    return samples[margin:-margin].astype(np.float64)


def level_db(samples: NDArray[np.float64]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples**2)) / (AMPLITUDE / np.sqrt(2)) + 1e-9))


def without_tone(samples: NDArray[np.float64], rate: int, frequency: float) -> NDArray[np.float64]:
    """The rest after the best fitting sine is taken away: noise, images and aliases."""
    angle = 2 * np.pi * frequency * np.arange(len(samples)) / rate
    basis = np.stack((np.sin(angle), np.cos(angle)), axis=1)
    residue: NDArray[np.float64] = samples - basis @ np.linalg.lstsq(basis, samples, rcond=None)[0]
    return residue


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("fraction", [0.02, 0.2, 0.4, 0.42])
def test_a_tone_the_lower_rate_can_carry_keeps_its_level_and_gets_no_images(
    rate_in: int, rate_out: int, fraction: float
) -> None:
    frequency = fraction * min(rate_in, rate_out)
    converted = middle(resample(tone(rate_in, frequency), rate_in, rate_out))
    assert level_db(converted) == pytest.approx(0, abs=0.1)
    assert level_db(without_tone(converted, rate_out, frequency)) < -70


@pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if pair[0] > pair[1]])
@pytest.mark.parametrize("fraction", [0.51, 0.55, 0.7, 0.9])
def test_a_tone_the_output_cannot_carry_does_not_alias(
    rate_in: int, rate_out: int, fraction: float
) -> None:
    frequency = fraction * rate_out
    assert frequency < rate_in / 2
    assert level_db(middle(resample(tone(rate_in, frequency), rate_in, rate_out))) < -70


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_audio_is_not_shifted_in_time(rate_in: int, rate_out: int) -> None:
    frequency = 0.01 * min(rate_in, rate_out)
    converted = resample(tone(rate_in, frequency), rate_in, rate_out)
    expected = tone(rate_out, frequency)[: len(converted)]
    difference = middle(converted)[: len(middle(expected))] - middle(expected)
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_constant_stays_the_same_constant(rate_in: int, rate_out: int) -> None:
    converted = resample(np.full(rate_in // 10, 12_345, np.int16), rate_in, rate_out)
    assert set(middle(converted).tolist()) == {12_345}


@given(
    size=st.integers(0, 3000),
    rate_in=st.integers(MIN_RATE, MAX_RATE),
    rate_out=st.sampled_from(RATES),
)
def test_the_output_has_the_length_of_the_input_in_time(
    size: int, rate_in: int, rate_out: int
) -> None:
    converted = resample(np.zeros(size, np.int16), rate_in, rate_out)
    assert converted.dtype == np.int16
    assert converted.shape == (round(size * rate_out / rate_in),)


@given(
    rates=st.tuples(st.sampled_from(RATES), st.sampled_from(RATES)) | st.sampled_from(PAIRS),
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(0, 40) | st.integers(0, 4000), max_size=12),
)
def test_a_stream_gives_exactly_the_samples_of_the_whole(
    rates: tuple[int, int], seed: int, sizes: list[int]
) -> None:
    samples = np.random.default_rng(seed).integers(-32768, 32768, sum(sizes)).astype(np.int16)
    resampler = Resampler(*rates)
    chunks = [resampler.process(chunk) for chunk in np.split(samples, np.cumsum(sizes))]
    np.testing.assert_array_equal(
        np.concatenate((*chunks, resampler.flush())), resample(samples, *rates)
    )


def test_output_comes_with_a_lag_of_36_samples_of_the_lower_rate() -> None:
    resampler = Resampler(48_000, 24_000)
    assert len(resampler.process(np.zeros(72, np.int16))) == 0
    assert len(resampler.process(np.zeros(1, np.int16))) == 1
    assert len(resampler.process(np.zeros(927, np.int16))) == 500 - 36 - 1
    assert len(resampler.flush()) == 36


def test_a_flushed_resampler_is_as_new() -> None:
    samples = tone(16_000, 440, seconds=0.05)
    resampler = Resampler(16_000, 24_000)
    first = np.concatenate((resampler.process(samples), resampler.flush()))
    assert len(resampler.flush()) == 0
    second = np.concatenate((resampler.process(samples), resampler.flush()))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(48_000, 24_000), (8_000, 48_000), (192_000, 8_000), (44_100, 24_000)]
)
def test_an_endless_stream_holds_no_more_than_a_window(rate_in: int, rate_out: int) -> None:
    resampler = Resampler(rate_in, rate_out)
    window = 72 * max(1, -(-rate_in // rate_out))
    for _ in range(200):
        resampler.process(np.zeros(441, np.int16))
        assert len(resampler._held) <= window + 2 * rate_in // rate_out


def test_equal_rates_pass_samples_through() -> None:
    samples = tone(24_000, 440)
    resampler = Resampler(24_000, 24_000)
    assert resampler.process(samples) is samples
    assert len(resampler.flush()) == 0
    assert resample(samples, 24_000, 24_000) is samples


def test_overshoot_saturates_instead_of_wrapping() -> None:
    square = np.where(np.arange(2000) // 50 % 2, 32767, -32768).astype(np.int16)
    converted = resample(square, 16_000, 24_000).astype(np.int64)
    assert converted.max() == 32767
    assert converted.min() == -32768
    # A wrapped peak would be a jump of the full range in the middle of a flat top.
    flat_top = converted[75 + 20 : 150 - 20]
    assert np.abs(flat_top).min() > 31_000
    assert len(set(np.sign(flat_top))) == 1


def test_slices_and_foreign_byte_order_are_taken() -> None:
    samples = tone(48_000, 440)
    expected = resample(samples[::2].copy(), 24_000, 16_000)
    np.testing.assert_array_equal(resample(samples[::2], 24_000, 16_000), expected)
    np.testing.assert_array_equal(resample(samples[::2].astype(">i2"), 24_000, 16_000), expected)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(7_999, 24_000), (24_000, 192_001), (0, 0), (-24_000, 24_000)]
)
def test_rates_out_of_range_are_refused(rate_in: int, rate_out: int) -> None:
    with pytest.raises(LocalProtocolError, match="rates must be 8000 to 192000 Hz"):
        resample(np.zeros(10, np.int16), rate_in, rate_out)


@pytest.mark.parametrize("wrong", [np.zeros(10, np.float32), np.zeros((10, 2), np.int16)])
@pytest.mark.parametrize("rate_out", [16_000, 24_000])
def test_other_arrays_are_refused_and_leave_the_stream_unchanged(
    wrong: NDArray[Any], rate_out: int
) -> None:
    resampler = Resampler(24_000, rate_out)
    for convert in (resampler.process, lambda samples: resample(samples, 24_000, rate_out)):
        with pytest.raises(LocalProtocolError, match="expected int16 samples"):
            convert(wrong)
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize("rates", [("24000", 8000), (24000, 8000.0), (24000, None)])
def test_a_rate_is_a_whole_number(rates: tuple[Any, Any]) -> None:
    with pytest.raises(TypeError, match=r"rate_(in|out) must be a whole number of Hz, not "):
        resample(np.zeros(8, np.int16), *rates)
    with pytest.raises(TypeError, match=r"rate_(in|out) must be a whole number of Hz, not "):
        Resampler(*rates)


@pytest.mark.parametrize(("up", "down"), [(1, 3), (3, 1), (160, 147), (147, 160), (8_000, 7_999)])
def test_the_weights_of_every_phase_sum_to_one_exactly(up: int, down: int) -> None:
    assert set(_weights(up, down).sum(axis=1)) == {2**30}
