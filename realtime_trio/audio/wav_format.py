"""What the header of a WAV file says, and the sample formats of those files.

Owns the RIFF structures and the conversion of stored samples; a reader of our own because the
standard library's refuses float and G.711 samples, and before Python 3.12 also
WAVE_FORMAT_EXTENSIBLE.  Other compressed formats are refused.  Refuses to know where bytes come
from.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from realtime_trio import _elsewhere
from realtime_trio._frozen import frozen
from realtime_trio.audio.g711 import alaw_decode, mulaw_decode
from realtime_trio.audio.pcm import pcm16_from_float
from realtime_trio.errors import LocalProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
UNKNOWN_SIZE: Final = 0xFFFFFFFF
"""The size of something that ends where the file ends."""
HEADER_SIZE: Final = 44
"""Bytes from the start of a file that `header` begins to its audio."""
# From the end of the RIFF chunk's own size field to the audio.
_RIFF_OVERHEAD = 36


@frozen(kw_only=True)
class WavFormat:
    """How samples are stored in a WAV file."""

    encoding: int
    """What a sample is: 1 for integers, 3 for floats, 6 for A-law, 7 for mu-law."""
    channels: int
    """Samples of a frame."""
    rate: int
    """Frames per second."""
    bits: int
    """Bits of a sample."""

    @classmethod
    def of(cls, chunk: bytes) -> WavFormat:
        """Read the chunk `fmt`.

        Raises:
            LocalProtocolError: It is damaged, or these samples cannot be read.
        """
        if len(chunk) < 16:
            raise LocalProtocolError(
                f"not a readable WAV file: its 'fmt' chunk has {len(chunk)} bytes "
                "where 16 are the least"
            )
        encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
        if encoding == _EXTENSIBLE and len(chunk) >= 26:
            # The real encoding is the first field of the sub-format GUID.
            (encoding,) = struct.unpack_from("<H", chunk, 24)
        if channels == 0:
            raise LocalProtocolError("not a readable WAV file: it has no channels")
        match encoding, bits:
            case (1, 8 | 16 | 24 | 32) | (3, 32 | 64) | (6 | 7, 8):
                return cls(encoding=encoding, channels=channels, rate=rate, bits=bits)
        raise LocalProtocolError(
            f"cannot read a WAV file of {bits}-bit samples with encoding {encoding:#06x}; "
            "allowed: PCM (0x0001) of 8, 16, 24 or 32 bits, float (0x0003) of 32 or 64, "
            "and G.711 (0x0006, 0x0007) of 8; convert other compressed audio first"
        )

    @property
    def frame_size(self) -> int:
        """Bytes of a frame, which is one sample of every channel."""
        return self.bits // 8 * self.channels

    def decode(self, data: bytes) -> NDArray[np.int16]:
        """Turn stored frames into 16-bit samples; of wider integers the upper 16 bits remain.

        Args:
            data: Whole frames.

        Returns:
            Shape (n, channels), int16.

        Raises:
            LocalProtocolError: They are floats on another scale than [-1, 1].
        """
        samples: NDArray[np.int16]
        match self.encoding, self.bits:
            case (1, 8):
                # WAV's only unsigned samples.
                samples = (np.frombuffer(data, np.uint8).astype(np.int16) - 128) * 256
            case (1, 16):
                samples = np.frombuffer(data, "<i2").astype(np.int16)
            case (1, 24):
                bytes_of = np.frombuffer(data, np.uint8).reshape(-1, 3)
                samples = bytes_of[:, 1:].copy().view("<i2").astype(np.int16)
            case (1, _):
                samples = (np.frombuffer(data, "<i4") >> 16).astype(np.int16)
            case (6, _):
                samples = alaw_decode(data)
            case (7, _):
                samples = mulaw_decode(data)
            case _:
                samples = pcm16_from_float(np.frombuffer(data, f"<f{self.bits // 8}"))
        return samples.reshape(-1, self.channels)


def header(rate: int, channels: int, data_size: int) -> bytes:
    """The first 44 bytes of a file of 16-bit samples.

    Args:
        rate: Hz.
        channels: Samples of a frame.
        data_size: Bytes of audio, or `UNKNOWN_SIZE`.
    """
    # 4 GiB of audio, a day of it, is more than the sizes can say; they saturate and mean "to the
    # end" then.
    size, riff_size = (min(n, UNKNOWN_SIZE) for n in (data_size, data_size + _RIFF_OVERHEAD))
    frame = channels * 2
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        riff_size,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        channels,
        rate,
        rate * frame,
        frame,
        16,
        b"data",
        size,
    )
