"""Audio as it travels inside protocol events.

Owns `AudioData`: bytes that are base64 on the wire and samples in the application, converted at
most once and only when needed.  Refuses to know the format: whether the bytes are PCM, mu-law or
A-law is the session's configuration.
"""

from __future__ import annotations

import array
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final, ForwardRef, TypeAlias, TypeGuard

import pybase64

from realtime_trio import _elsewhere
from realtime_trio._misuse import kind_of
from realtime_trio.audio.pcm import pcm16_from_float
from realtime_trio.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

_ALLOWED = (
    "bytes, bytearray, memoryview, an array.array, or a numpy array of shape (n,), with samples of "
    "int16, float16, float32 or float64"
)

# The subscript is for type checkers alone: Python 3.11 has none for this class.
if TYPE_CHECKING:
    SampleArray: TypeAlias = array.array[int] | array.array[float]
else:
    SampleArray: TypeAlias = array.array

# A new one is made of its name for every piece that is read, if it is not kept.
_int16 = cache(lambda: np.dtype("<i2"))

# How files begin.  Eight bytes, or nearly as many: audio that begins like this by chance is not to
# be expected in the life of a service.
_FILE: Final = re.compile(
    rb"(?P<WAV>RIFF.{4}WAVE)"
    rb"|(?P<Ogg>OggS\0\x02\0{6})"
    rb"|(?P<FLAC>fLaC[\0\x80]\0\0\x22)"
    rb"|(?P<MP3>ID3[\x02-\x04]\0[\0-\xf0][\0-\x7f]{4})"
    rb"|(?P<MP4>.{4}ftyp[ -~]{4})"
    rb"|(?P<WebM>\x1aE\xdf\xa3.{1,8}?B\x86\x81\x01)",
    re.DOTALL,
)


class AudioData:
    """One immutable piece of encoded audio.

    Two pieces are equal when their bytes are; equal pieces hash equally.  An empty piece is false.

    Args:
        data: bytes, bytearray or memoryview: taken as they are.  An int16 array of shape (n,), in
            any byte order and memory layout: its samples as little-endian bytes.  A float16,
            float32 or float64 array of shape (n,) in [-1, 1]: converted to 16 bit first
            (`pcm16_from_float`).  An `array.array` or a memoryview of such numbers is the same as
            a numpy array of them.  The content is copied, so the caller may reuse its buffer.

    Raises:
        LocalProtocolError: Anything else was given, or floats that are not samples in [-1, 1].
    """

    __slots__ = ("_base64", "_data", "is_pcm")

    # Two forms of the same content; at least one is set, and the other is made when it is needed.
    # What is received is mostly passed on or recorded, and never decoded.
    _data: bytes | None
    _base64: str | None

    def __init__(
        self,
        data: bytes
        | bytearray
        | memoryview
        | SampleArray
        | NDArray[np.int16]
        | NDArray[np.floating[Any]],
    ) -> None:
        samples = _samples(data)
        self._data = _encode(data) if samples is None else _encode_samples(samples)
        self._base64 = None
        self.is_pcm = samples is not None
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
            LocalProtocolError: Anything else was given, or a whole file of some format: its header
                would be heard as a click, and what is compressed as noise.
        """
        audio = value if isinstance(value, AudioData) else cls(value)
        # Not in the constructor, which also takes what peers send: a server has to bear it.  And
        # what was received and is only passed on stays undecoded.  Samples are not a file.
        if audio._data is not None and not audio.is_pcm:
            _check_not_a_file(audio._data)
        return audio

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
        return np.frombuffer(data, _int16(), len(data) // 2)

    @property
    def nbytes(self) -> int:
        """Size of `data` in bytes, known without decoding; a guess if the base64 is not valid."""
        if self._data is not None:
            return len(self._data)
        # Four characters are three bytes, less one for each of the at most two padding characters.
        text = self.base64
        size = len(text) // 4 * 3
        # Every delta comes this way, and few are padded.
        return size if text[-1:] != "=" else max(0, size - text.count("=", -2))

    def __len__(self) -> int:
        """Size in bytes, as `nbytes`; how many samples that are is up to the format."""
        return self.nbytes

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


if TYPE_CHECKING:
    _Array: TypeAlias = NDArray[np.int16] | NDArray[np.floating[Any]]
else:
    _Array = ForwardRef("np.ndarray", module=__name__)

AudioLike: TypeAlias = bytes | bytearray | memoryview | SampleArray | _Array | AudioData
"""What every parameter that takes audio accepts; see `AudioData`."""


def is_array(value: object) -> TypeGuard[NDArray[Any]]:
    """Whether it is an array of numpy, without loading numpy: if nobody has, there is none."""
    return "numpy" in sys.modules and isinstance(value, np.ndarray)


def _samples(data: object) -> NDArray[Any] | None:
    """The array that `data` is in any of its forms; None if it is none."""
    # The frequent case by itself: a microphone's samples come 10 to 50 times a second.
    if is_array(data):
        return data
    match data:
        # A view of numbers that are wider than a byte is not of encoded audio.
        case array.array() | memoryview(format="h" | "i" | "l" | "q" | "e" | "f" | "d"):
            return np.asarray(data)
        case _:
            return None


def _encode(data: object) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise LocalProtocolError(f"cannot take {kind_of(data)} as audio; allowed: {_ALLOWED}")


def _encode_samples(samples: NDArray[Any]) -> bytes:
    dtype = samples.dtype
    if samples.ndim == 1 and dtype.kind == "i" and dtype.itemsize == 2:
        return samples.astype("<i2", copy=False).tobytes()
    if samples.ndim == 1 and dtype.kind == "f" and dtype.itemsize <= 8:
        return pcm16_from_float(samples).astype("<i2", copy=False).tobytes()
    raise LocalProtocolError(
        f"cannot take an array of shape {samples.shape} and dtype {dtype} as audio; "
        f"allowed: {_ALLOWED}"
    )


def _check_not_a_file(data: bytes) -> None:
    if (header := _FILE.match(data)) is not None:
        kind = header.lastgroup
        what, advice = (
            ("RIFF header and all", "take its samples: read_wav(path) or read_wav(BytesIO(data))")
            if kind == "WAV"
            else ("compressed", "decode it to samples first")
        )
        raise LocalProtocolError(
            f"these bytes are a whole {kind} file, {what}, and not audio alone; {advice}"
        )


def _decode(text: str) -> bytes:
    try:
        # altchars=None, validate=True: by keyword the call takes half as long again.
        return pybase64.b64decode(text, None, True)
    except ValueError:
        # The cause may quote the payload; the message must not.
        raise RemoteProtocolError(f"audio is not valid base64 ({len(text)} characters)") from None
