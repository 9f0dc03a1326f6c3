"""Sampling rate conversion, whole recordings and streams.

Owns one band-limited interpolator.  Refuses to know where samples come from and what they are for.

Theory of operation: output sample j lies at input time j * rate_in / rate_out, which is an input
index and a fraction.  Its value is the sum over the neighbouring input samples, weighted by a
Kaiser-windowed sinc that is shifted by that fraction and wide enough to stop everything the lower
of the two rates cannot carry.  The fractions that occur ("phases") repeat, so the weights are a
table with one row per phase.  Rates without a large common divisor have more phases than a table
should hold; these are rounded down to a grid so fine that the timing error stays below the stop
band.

Weights are integers scaled by 2**30.  Each product with an int16 and each sum of them is then an
integer below 2**53, which float64 holds exactly: the order of summation cannot matter, and a stream
gives the same samples as the whole recording, however it was cut into chunks and on every machine.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import TYPE_CHECKING, SupportsIndex

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_kind
from realtime_trio.audio.pcm import as_pcm16
from realtime_trio.errors import LocalProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

MIN_RATE = 8_000
"""Hz; telephony, the lowest rate of the protocol."""
MAX_RATE = 192_000
"""Hz; the highest rate of common sound hardware."""

# Kaiser's design: 36 zero crossings a side at 80 dB give a transition band of 0.07 of the lower
# rate.  Centred at 0.465 it passes everything up to 0.43 (10.3 kHz of 24 kHz, 3.4 kHz of 8 kHz) and
# stops from 0.5 on, so nothing aliases.
_ZERO_CROSSINGS = 36
_KAISER_BETA = 7.857
_CUTOFF = 0.465

# Timing error of at most 1/8192 of the lower rate's period: 79 dB below a tone at the very edge of
# the band, less for all others.
_MAX_PHASES = 8192

_SCALE = 2.0**30
# Windows are gathered in blocks of about this many weights (1 MB), which stay in the processor's
# cache.
_BLOCK_WEIGHTS = 2**17


class Resampler:
    """Converts a stream from one sampling rate to another, chunk by chunk, in constant memory.

    The chunks returned by `process` and `flush` joined are exactly what `resample` returns for the
    whole, however the input was cut.  Output lags behind input by 36 samples of the lower rate
    (1.5 ms at 24 kHz), and `flush` delivers the rest; it is not shifted in time.  Equal rates pass
    samples through.

    Args:
        rate_in: Hz, 8000 to 192000.
        rate_out: Hz, 8000 to 192000.

    Raises:
        TypeError: A rate is not a whole number.
        LocalProtocolError: A rate is out of range.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        for name, rate in (("rate_in", rate_in), ("rate_out", rate_out)):
            check_kind(name, rate, SupportsIndex, allowed="a whole number of Hz")
            if not MIN_RATE <= rate <= MAX_RATE:
                raise LocalProtocolError(
                    f"cannot resample from {rate_in} Hz to {rate_out} Hz: "
                    f"rates must be {MIN_RATE} to {MAX_RATE} Hz"
                )
        divisor = math.gcd(rate_in, rate_out)
        self._up = rate_out // divisor
        self._down = rate_in // divisor
        self._weights = _weights(self._up, self._down)
        self._reset()

    def _reset(self) -> None:
        self._received = 0
        self._produced = 0
        # What later windows still need.  The recording is preceded by silence.
        self._held = np.zeros(self._weights.shape[1] // 2 - 1)
        self._held_from = -len(self._held)

    def process(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take the next chunk and return what can be computed by now.

        Args:
            samples: Shape (n,), int16, at `rate_in`; n may be 0.

        Returns:
            Shape (m,), int16, at `rate_out`; m is often 0 for short chunks.

        Raises:
            LocalProtocolError: An array of another dtype or shape was given; the stream is
                unchanged.
        """
        samples = as_pcm16(samples)
        if self._up == self._down:
            return samples
        self._received += len(samples)
        self._held = np.concatenate((self._held, samples))
        # A window reaches half its width beyond the input index it belongs to.
        complete = self._received - self._weights.shape[1] // 2
        # Rounded up, for `end` is exclusive: output whose input time is below `complete`.
        return self._produce(-(-complete * self._up // self._down))

    def flush(self) -> NDArray[np.int16]:
        """End the stream, as if silence followed, and return its last samples.

        The resampler is as new afterwards: the next `process` starts another stream.

        Returns:
            Shape (m,), int16, at `rate_out`.  With it the stream has round(n * rate_out / rate_in)
            samples, n being what went in.
        """
        # As a fraction, which is exact however long the stream was.
        total = round(Fraction(self._received * self._up, self._down))
        self._held = np.concatenate((self._held, np.zeros(self._weights.shape[1])))
        rest = self._produce(total)
        self._reset()
        return rest

    def _produce(self, end: int) -> NDArray[np.int16]:
        """Compute the output up to index `end` (exclusive), and forget input no longer needed.

        All input for it must be held.
        """
        if end <= self._produced:
            return np.empty(0, np.int16)
        phases, width = self._weights.shape
        windows = np.lib.stride_tricks.sliding_window_view(self._held, width)
        output = np.empty(end - self._produced, np.int16)
        block = max(1, _BLOCK_WEIGHTS // width)
        for start in range(0, len(output), block):
            index, remainder = divmod((self._produced + start) * self._down, self._up)
            # A window starts half its width before its input index, which is where the held samples
            # started before the first one.
            index -= self._held_from + width // 2 - 1
            position = remainder + self._down * np.arange(min(block, len(output) - start))
            weights = self._weights[position % self._up * phases // self._up]
            total = np.einsum("jk,jk->j", windows[index + position // self._up], weights)
            output[start : start + block] = np.clip(np.rint(total / _SCALE), -32768, 32767)
        self._produced = end
        keep_from = end * self._down // self._up - width // 2 + 1
        # A copy: a view would keep the whole array alive.
        self._held = self._held[keep_from - self._held_from :].copy()
        self._held_from = keep_from
        return output


def resample(samples: NDArray[np.int16], rate_in: int, rate_out: int) -> NDArray[np.int16]:
    """Convert a whole recording from one sampling rate to another.

    Flat within 0.1 dB up to 0.42 of the lower rate; what the output rate cannot carry is attenuated
    by more than 70 dB.  Saturates where the band-limited signal exceeds 16 bit.  Not shifted in
    time.

    Args:
        samples: Shape (n,), int16, at `rate_in`.
        rate_in: Hz, 8000 to 192000.
        rate_out: Hz, 8000 to 192000.

    Returns:
        Shape (round(n * rate_out / rate_in),), int16; the input itself if the rates are equal.

    Raises:
        TypeError: A rate is not a whole number.
        LocalProtocolError: A rate is out of range, or an array of another dtype or shape was given.
    """
    resampler = Resampler(rate_in, rate_out)
    if rate_in == rate_out:
        return as_pcm16(samples)
    # A second at a time: the float copy of a long recording would be four times its size.
    chunks = [
        resampler.process(samples[start : start + rate_in])
        for start in range(0, len(samples), rate_in)
    ]
    return np.concatenate((*chunks, resampler.flush()))


@functools.lru_cache(maxsize=8)
def _weights(up: int, down: int) -> NDArray[np.float64]:
    """The table of weights: shape (phases, width), integers scaled by 2**30.

    Each row sums to 2**30, so that a constant stays the constant it was.
    """
    # Going down, the filter has to stop what the lower rate cannot carry: all is wider by this
    # factor.
    stretch = max(1.0, down / up)
    half_width = math.ceil(_ZERO_CROSSINGS * stretch)
    phases = min(up, max(1, round(_MAX_PHASES / stretch)))
    fractions = np.arange(phases)[:, np.newaxis] / phases
    distance = fractions + (half_width - 1) - np.arange(2 * half_width)
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / half_width) ** 2)))
    shape = window * np.sinc(2.0 * _CUTOFF / stretch * distance)
    weights: NDArray[np.float64] = np.rint(shape * (_SCALE / shape.sum(axis=1, keepdims=True)))
    # Rounding leaves each row a little off; the largest weight takes the difference.
    weights[:, half_width - 1] += _SCALE - weights.sum(axis=1)
    return weights
