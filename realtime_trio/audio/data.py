"""Audio as it travels inside protocol events.

Owns `AudioData`: bytes that are base64 on the wire and samples in the application, converted at
most once and only when needed.  Refuses to know the format: whether the bytes are PCM, mu-law or
A-law is the session's configuration.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pybase64
from numpy.typing import NDArray

from realtime_trio.audio.pcm import pcm16_from_float
from realtime_trio.errors import LocalProtocolError, RemoteProtocolError

_INT16 = np.dtype("<i2")
_ALLOWED = (
    "bytes, bytearray, memoryview, or a numpy array of shape (n,) with dtype int16, float16, "
    "float32 or float64"
)


class AudioData:
    """One immutable piece of encoded audio.

    Two pieces are equal when their bytes are; equal pieces hash equally.  An empty piece is false.

    Args:
        data: bytes, bytearray or memoryview: taken as they are.  An int16 array of shape (n,), in
            any byte order and memory layout: its samples as little-endian bytes.  A float16,
            float32 or float64 array of shape (n,) in [-1, 1]: converted to 16 bit first
            (`pcm16_from_float`).  The content is copied, so the caller may reuse its buffer.

    Raises:
        LocalProtocolError: Anything else was given.
    """

    __slots__ = ("_base64", "_data", "is_pcm")

    # Two forms of the same content; at least one is set, and the other is made when it is needed.
    # What is received is mostly passed on or recorded, and never decoded.
    _data: bytes | None
    _base64: str | None

    def __init__(
        self, data: bytes | bytearray | memoryview | NDArray[np.int16] | NDArray[np.floating[Any]]
    ) -> None:
        self._data = _encode(data)
        self._base64 = None
        self.is_pcm = isinstance(data, np.ndarray)
        """Whether it was made of samples, so that it is 16-bit PCM; bytes may be anything."""

    @classmethod
    def from_base64(cls, text: str) -> AudioData:
        """Wrap base64 as received, without decoding it.

        Decoding happens at the first use that needs the bytes, and that is where invalid base64 is
        reported.

        Args:
            text: Standard alphabet, padded.
        """
        audio = cls.__new__(cls)
        audio._base64 = text
        audio._data = None
        audio.is_pcm = False
        return audio

    @classmethod
    def of(cls, value: AudioLike) -> AudioData:
        """Return `value` itself if it is an `AudioData` already, else wrap it.

        Args:
            value: Whatever the constructor takes, or an `AudioData`.

        Raises:
            LocalProtocolError: Anything else was given.
        """
        return value if isinstance(value, AudioData) else cls(value)

    @property
    def data(self) -> bytes:
        """The encoded audio.

        Raises:
            RemoteProtocolError: It came as base64 that is not valid.
        """
        if self._data is None:
            self._data = _decode(self.base64)
        return self._data

    @property
    def base64(self) -> str:
        """The audio as the wire carries it; exactly the received text if it was received."""
        if self._base64 is None:
            self._base64 = pybase64.b64encode_as_string(self.data)
        return self._base64

    @property
    def samples(self) -> NDArray[np.int16]:
        """The audio as 16-bit PCM: shape (n,), little-endian int16, read-only.

        It shares memory with `data`.  An odd last byte is not part of it.  Only meaningful for
        `audio/pcm`; for G.711 use `mulaw_decode` or `alaw_decode` on `data`.

        Raises:
            RemoteProtocolError: It came as base64 that is not valid.
        """
        # No detour over the property if it is decoded: every delta that is played comes this way.
        data = self._data
        if data is None:
            data = self.data
        return np.frombuffer(data, _INT16, len(data) // 2)

    @property
    def nbytes(self) -> int:
        """Size of `data` in bytes, known without decoding; a guess if the base64 is not valid."""
        if self._data is not None:
            return len(self._data)
        # Four characters are three bytes, less one for each of the at most two padding characters.
        text = self.base64
        return max(0, len(text) // 4 * 3 - text.count("=", -2))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AudioData):
            return NotImplemented
        # Equal text first: it is cheap, and an event with invalid base64 still equals itself.
        return (
            self._base64 is not None and self._base64 == other._base64
        ) or self.data == other.data

    def __hash__(self) -> int:
        # Of the bytes: pieces are equal whether they came as bytes or as base64.
        return hash(self.data)

    def __bool__(self) -> bool:
        return self.nbytes > 0

    def __repr__(self) -> str:
        return f"<AudioData {self.nbytes} bytes>"


AudioLike: TypeAlias = (
    bytes | bytearray | memoryview | NDArray[np.int16] | NDArray[np.floating[Any]] | AudioData
)
"""What every parameter that takes audio accepts; see `AudioData`."""


def _encode(data: object) -> bytes:
    match data:
        case bytes() | bytearray() | memoryview():
            return bytes(data)
        case np.ndarray() if data.ndim == 1 and data.dtype.kind == "i" and data.dtype.itemsize == 2:
            return data.astype("<i2", copy=False).tobytes()
        case np.ndarray() if data.ndim == 1 and data.dtype.kind == "f" and data.dtype.itemsize <= 8:
            return pcm16_from_float(data).astype("<i2", copy=False).tobytes()
        case np.ndarray():
            raise LocalProtocolError(
                f"cannot take an array of shape {data.shape} and dtype {data.dtype} as audio; "
                f"allowed: {_ALLOWED}"
            )
        case _:
            raise LocalProtocolError(
                f"cannot take {type(data).__name__} as audio; allowed: {_ALLOWED}"
            )


def _decode(text: str) -> bytes:
    try:
        # altchars=None, validate=True: by keyword the call takes half as long again.
        return pybase64.b64decode(text, None, True)
    except ValueError:
        # The cause may quote the payload; the message must not.
        raise RemoteProtocolError(f"audio is not valid base64 ({len(text)} characters)") from None
