"""G.711, the two 8-bit encodings of telephony: `audio/pcmu` (mu-law) and `audio/pcma` (A-law).

Owns their conversion from and to 16-bit samples, bit-exact with the reference code that accompanies
the recommendation (ITU-T G.191).  Refuses to know the rate: telephony means 8000 Hz, see
`resample`.

Theory of operation: both laws are piecewise linear with eight segments per sign, so a byte is a
sign, a segment and four bits of mantissa.  Decoding is a table of 256 levels.  Encoding takes the
segment from the position of the highest set bit of the magnitude and the mantissa from the four
bits below it; done once for all 65536 samples this gives a table too, and either direction is one
indexed load per sample.  Magnitudes of negative samples are one's complements, as in the reference
code.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from realtime_trio import _elsewhere
from realtime_trio._misuse import kind_of
from realtime_trio.audio.pcm import as_pcm16
from realtime_trio.errors import LocalProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

# In units of 14 bit, as the recommendation has them: the bias puts a leading bit into every
# segment, and the clip keeps what is then too large in the last one.
_MULAW_BIAS = 33
_MULAW_CLIP = 0x1FFF
# A-law inverts every other bit on the line, so that silence is not a long run of equal bits.
_ALAW_TOGGLE = 0x55


def mulaw_decode(data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> NDArray[np.int16]:
    """Decode mu-law (`audio/pcmu`) to 16-bit samples.

    Args:
        data: One byte per sample: bytes-like, or uint8 of shape (n,).

    Returns:
        Shape (n,), int16; levels from -32124 to 32124.

    Raises:
        LocalProtocolError: An array of another dtype or shape was given.
    """
    return _mulaw_levels()[_codes(data)]


def mulaw_encode(samples: NDArray[np.int16]) -> bytes:
    """Encode 16-bit samples as mu-law (`audio/pcmu`).

    Args:
        samples: Shape (n,), int16.

    Returns:
        n bytes.

    Raises:
        LocalProtocolError: An array of another dtype or shape was given.
    """
    return _mulaw_table()[as_pcm16(samples)].tobytes()


def alaw_decode(data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> NDArray[np.int16]:
    """Decode A-law (`audio/pcma`) to 16-bit samples.

    Args:
        data: One byte per sample: bytes-like, or uint8 of shape (n,).

    Returns:
        Shape (n,), int16; levels from -32256 to 32256, none of which is 0.

    Raises:
        LocalProtocolError: An array of another dtype or shape was given.
    """
    return _alaw_levels()[_codes(data)]


def alaw_encode(samples: NDArray[np.int16]) -> bytes:
    """Encode 16-bit samples as A-law (`audio/pcma`).

    Args:
        samples: Shape (n,), int16.

    Returns:
        n bytes.

    Raises:
        LocalProtocolError: An array of another dtype or shape was given.
    """
    return _alaw_table()[as_pcm16(samples)].tobytes()


def _codes(data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not isinstance(data, np.ndarray):
        if not isinstance(data, bytes | bytearray | memoryview):
            raise LocalProtocolError(
                f"expected bytes or uint8 codes of shape (n,), got {kind_of(data)}"
            )
        return np.frombuffer(data, np.uint8)
    if data.ndim != 1 or data.dtype != np.uint8:
        raise LocalProtocolError(
            f"expected uint8 codes of shape (n,), got shape {data.shape} and dtype {data.dtype}"
        )
    return data


@functools.cache
def _mulaw_levels() -> NDArray[np.int16]:
    # All bits of a mu-law byte are inverted on the line.
    inverted = ~np.arange(256, dtype=np.uint8)
    segment, mantissa = (inverted >> 4 & 7).astype(np.int64), (inverted & 15).astype(np.int64)
    magnitude = ((2 * mantissa + _MULAW_BIAS) << segment) - _MULAW_BIAS
    # From 14 bit to 16; A-law below comes from 13.
    return np.where(inverted & 0x80, -4 * magnitude, 4 * magnitude).astype(np.int16)


@functools.cache
def _alaw_levels() -> NDArray[np.int16]:
    plain = np.arange(256, dtype=np.uint8) ^ _ALAW_TOGGLE
    segment, mantissa = (plain >> 4 & 7).astype(np.int64), (plain & 15).astype(np.int64)
    # The two innermost segments share one step size; only from the second on is there a leading
    # bit.
    magnitude = (2 * mantissa + 1 + 32 * (segment > 0)) << np.maximum(segment - 1, 0)
    return np.where(plain & 0x80, 8 * magnitude, -8 * magnitude).astype(np.int16)


@functools.cache
def _mulaw_table() -> NDArray[np.uint8]:
    sign, magnitude = _all_samples()
    biased = np.minimum((magnitude >> 2) + _MULAW_BIAS, _MULAW_CLIP)
    segment = _bit_length(biased) - 6
    mantissa = biased >> (segment + 1) & 15
    codes: NDArray[np.int64] = ~(sign | segment << 4 | mantissa) & 0xFF
    return codes.astype(np.uint8)


@functools.cache
def _alaw_table() -> NDArray[np.uint8]:
    sign, magnitude = _all_samples()
    magnitude >>= 4
    segment = np.maximum(_bit_length(magnitude) - 4, 0)
    mantissa = magnitude >> np.maximum(segment - 1, 0) & 15
    codes: NDArray[np.int64] = (sign ^ 0x80 | segment << 4 | mantissa) ^ _ALAW_TOGGLE
    return codes.astype(np.uint8)


def _all_samples() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sign bit (0x80 when negative) and one's complement magnitude of every int16.

    In the order 0, 1, ..., 32767, -32768, ..., -1: the order in which an int16 indexes an array, as
    negative indices count from the end.
    """
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64)
    return np.where(samples < 0, 0x80, 0), np.where(samples < 0, ~samples, samples)


def _bit_length(values: NDArray[np.int64]) -> NDArray[np.int64]:
    # The exponent of a float is the length of an integer, and exact far beyond 16 bits.
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)
