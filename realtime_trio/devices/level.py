"""How loud samples are."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

SILENCE_DB: Final = -100.0
"""The level of silence, in dB; a single 16-bit step is at -90 dB."""


def level_db(samples: NDArray[np.int16]) -> float:
    """The level of samples in dB, where 0 dB is a square wave as loud as can be.

    Args:
        samples: Shape (n,), int16.

    Returns:
        The root mean square as a level, -100 to 0; -100 also for no samples at all.
    """
    if not len(samples):
        return SILENCE_DB
    values = samples.astype(np.float64)
    power = float(np.dot(values, values)) / len(values) / 32768.0**2
    return max(SILENCE_DB, 10 * math.log10(power)) if power else SILENCE_DB
