"""Linear PCM: float samples to and from 16 bit, channels to one.

Owns the arithmetic of the two sample formats an application meets, and the two sampling rates of
the protocol.  Knows nothing of encodings, rate conversion or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from realtime_trio import _elsewhere
from realtime_trio._misuse import kind_of
from realtime_trio.errors import LocalProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

PCM_RATE = 24_000
"""Hz; the only rate of the protocol's `audio/pcm` format."""
G711_RATE = 8_000
"""Hz; the rate of `audio/pcmu` and `audio/pcma`."""
FAR_OUTSIDE: Final = 8.0
"""Floats beyond this are not samples in [-1, 1] that were turned up too far, by 18 dB, but numbers
on another scale, mostly that of 16 bit: clipped, they would be noise at full volume."""


def pcm16_from_float(samples: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Turn float samples into 16-bit ones.

    Values are clamped to [-1, 1]; negative ones are scaled by 32768 and the others by 32767, in
    double precision, and truncated toward zero, so 1 becomes 32767 and -1 becomes -32768.  NaN
    becomes 0 and infinities the nearer limit.  Values beyond `FAR_OUTSIDE` are refused.

    Args:
        samples: Shape (n,) or (n, channels); float16, float32 or float64 in [-1, 1].

    Returns:
        A new int16 array of the same shape.

    Raises:
        LocalProtocolError: The samples are not floats (integers have no agreed full scale, so they
            are not guessed at), or floats on another scale.
    """
    _check_array(samples)
    if samples.dtype.kind != "f":
        raise LocalProtocolError(
            f"expected float samples in [-1, 1], got dtype {samples.dtype}; "
            "int16 samples need no conversion"
        )
    # A NaN may be a signalling one, in a file that somebody made for that: numpy would warn.
    with np.errstate(invalid="ignore"):
        scaled = samples.astype(np.float64)
    # First of all: clipping leaves NaN as it is, and its conversion to an integer is undefined.
    scaled[np.isnan(scaled)] = 0.0
    # An infinity is some computation that overflowed, and says nothing about the scale.
    loudest = np.abs(scaled).max(initial=0.0, where=np.isfinite(scaled))
    if loudest > FAR_OUTSIDE:
        raise LocalProtocolError(
            f"expected float samples in [-1, 1], got one of {loudest:g}; "
            "samples on the scale of 16 bit are to be divided by 32768, or made int16"
        )
    np.clip(scaled, -1.0, 1.0, out=scaled)
    # int16 reaches one step further down than up, so that both ends of the float range fit exactly.
    scaled *= np.where(scaled < 0.0, 32768.0, 32767.0)
    return scaled.astype(np.int16)


def float_from_pcm16(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn 16-bit samples into float32 ones in [-1, 1), by dividing by 32768.

    Args:
        samples: Shape (n,) or (n, channels); int16.

    Returns:
        A new float32 array of the same shape.  Every int16 is represented exactly.
    """
    _check_array(samples)
    # One factor for both signs, unlike the way back: a power of two, so that no sample is rounded.
    return samples.astype(np.float32) / np.float32(32768.0)


def to_mono(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Average the channels of interleaved audio.

    Args:
        samples: Shape (n, channels), int16; shape (n,) is taken as mono already.

    Returns:
        Shape (n,), int16: the mean over the channels, truncated toward zero.  Mono input of shape
        (n,) is returned as it is.

    Raises:
        LocalProtocolError: The array has no or more than two dimensions, or no channel.
    """
    _check_array(samples)
    if samples.ndim == 1:
        return samples
    if samples.ndim != 2 or samples.shape[1] == 0:
        raise LocalProtocolError(
            f"expected samples of shape (n,) or (n, channels), got shape {samples.shape}"
        )
    mean: NDArray[np.float64] = samples.mean(axis=1)
    return mean.astype(np.int16)


def as_pcm16(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Check that `samples` is mono 16-bit audio, and bring it into the machine's byte order.

    Args:
        samples: Shape (n,), int16, in any byte order and memory layout.

    Returns:
        The same array if it is in native byte order, else a copy.

    Raises:
        LocalProtocolError: It has another dtype or shape, or is not an array.
    """
    _check_array(samples)
    if samples.ndim != 1 or samples.dtype.kind != "i" or samples.dtype.itemsize != 2:
        raise LocalProtocolError(
            f"expected int16 samples of shape (n,), "
            f"got shape {samples.shape} and dtype {samples.dtype}"
        )
    return samples.astype(np.int16, copy=False)


def _check_array(samples: object) -> None:
    if not isinstance(samples, np.ndarray):
        raise LocalProtocolError(f"expected samples in a numpy array, got {kind_of(samples)}")
