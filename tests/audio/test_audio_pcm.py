"""Float and 16-bit samples, channels to mono."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from realtime_trio.audio.pcm import (
    FAR_OUTSIDE,
    as_pcm16,
    float_from_pcm16,
    pcm16_from_float,
    to_mono,
)
from realtime_trio.errors import LocalProtocolError


def reference_pcm16(sample: float) -> int:
    """The conversion as a browser does it: clamp, scale in double precision, truncate; NaN is 0."""
    if math.isnan(sample):
        return 0
    clamped = max(-1.0, min(1.0, sample))
    return int(clamped * (0x8000 if clamped < 0 else 0x7FFF))


@pytest.mark.parametrize(
    ("bits", "unsigned", "dtype"),
    [
        (0x7D00, np.uint16, np.float16),
        (0x7FA00000, np.uint32, np.float32),
        (0x7FF4000000000000, np.uint64, np.float64),
    ],
)
def test_a_signalling_nan_is_silence_like_any_other(
    bits: int, unsigned: type[np.unsignedinteger[Any]], dtype: type[np.floating[Any]]
) -> None:
    samples = np.array([bits], unsigned).view(dtype)
    assert pcm16_from_float(samples).tolist() == [0]
    assert np.isnan(samples[0])


def test_full_scale_and_halves_convert_as_in_a_browser() -> None:
    samples = np.array([1.0, -1.0, 0.5, -0.5, 0.0, -0.0, 2.0, -2.0, math.inf, -math.inf, math.nan])
    assert pcm16_from_float(samples).tolist() == [
        32767,
        -32768,
        16383,
        -16384,
        0,
        0,
        32767,
        -32768,
        32767,
        -32768,
        0,
    ]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f4")])
@given(data=st.data())
def test_every_float_converts_in_double_precision(
    dtype: type[np.floating[Any]], data: st.DataObject
) -> None:
    near = st.floats(-FAR_OUTSIDE, FAR_OUTSIDE, width=16)
    elements = near | st.sampled_from([math.inf, -math.inf, math.nan])
    samples = data.draw(arrays(dtype, st.integers(0, 20), elements=elements))
    converted = pcm16_from_float(samples)
    assert converted.dtype == np.int16
    assert converted.tolist() == [reference_pcm16(sample) for sample in samples.tolist()]


def test_conversion_keeps_the_shape_and_leaves_the_input_alone() -> None:
    samples = np.array([[0.25, 7.0], [math.nan, -0.25]], np.float32)
    before = samples.copy()
    assert pcm16_from_float(samples).shape == (2, 2)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("loud", [8.01, -20000.0, 32767.0])
def test_floats_on_another_scale_are_refused(dtype: type[np.floating[Any]], loud: float) -> None:
    with pytest.raises(LocalProtocolError, match=r"in \[-1, 1\], got one of .*16 bit.* 32768"):
        pcm16_from_float(np.array([0.0, math.inf, math.nan, loud], dtype))


def test_floats_that_were_turned_up_too_far_are_clipped() -> None:
    loud = np.array([FAR_OUTSIDE, -FAR_OUTSIDE])
    assert pcm16_from_float(loud).tolist() == [32767, -32768]


@pytest.mark.parametrize("take", [pcm16_from_float, float_from_pcm16, to_mono, as_pcm16])
@pytest.mark.parametrize(("given", "kind"), [([0.5], "list"), (b"ab", "bytes"), (None, "None")])
def test_what_is_not_an_array_is_refused(
    take: Callable[[Any], object], given: object, kind: str
) -> None:
    with pytest.raises(LocalProtocolError, match=f"samples in a numpy array, got {kind}"):
        take(given)


def test_integers_are_not_taken_for_floats() -> None:
    integers: NDArray[Any] = np.array([1, -1], np.int64)
    with pytest.raises(LocalProtocolError, match=r"float samples in .* got dtype int64"):
        pcm16_from_float(integers)


def test_every_int16_is_exact_as_float() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    floats = float_from_pcm16(samples)
    assert floats.dtype == np.float32
    assert floats.min() == -1.0
    assert floats.max() < 1.0
    np.testing.assert_array_equal((floats * 32768).astype(np.int64), samples)


def test_channels_are_averaged_without_overflow() -> None:
    samples = np.array([[32767, 32767], [-32768, -32768], [100, 200], [-32768, 32767]], np.int16)
    assert to_mono(samples).tolist() == [32767, -32768, 150, 0]
    assert to_mono(samples).dtype == np.int16


def test_mono_stays_the_array_it_is() -> None:
    samples = np.array([1, 2, 3], np.int16)
    assert to_mono(samples) is samples
    assert to_mono(samples[:, np.newaxis]).tolist() == [1, 2, 3]
    assert to_mono(np.empty((0, 2), np.int16)).shape == (0,)


@pytest.mark.parametrize("shape", [(), (2, 2, 2), (3, 0)])
def test_an_array_without_channels_or_with_too_many_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        LocalProtocolError, match=r"expected samples of shape \(n,\) or \(n, channels\)"
    ):
        to_mono(np.zeros(shape, np.int16))


def test_checked_samples_are_native_and_not_copied_needlessly() -> None:
    samples = np.array([1, -2], np.int16)
    assert as_pcm16(samples) is samples
    swapped = as_pcm16(samples.astype(">i2"))
    assert swapped.dtype == np.int16
    assert swapped.tolist() == [1, -2]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(3, np.int32),
        np.zeros(3, np.uint16),
        np.zeros(3, np.float32),
        np.zeros((3, 1), np.int16),
    ],
)
def test_checked_samples_of_another_dtype_or_shape_are_refused(wrong: NDArray[Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"expected int16 samples of shape \(n,\)"):
        as_pcm16(wrong)
