"""WAV files: read PCM of every common kind as mono 16 bit, write mono 16 bit.

Owns the RIFF container and the sample formats found in it; a reader of our own because the standard
library's refuses float samples, and before Python 3.12 also WAVE_FORMAT_EXTENSIBLE.  Compressed
formats are refused.  All functions block on the file.
"""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal, Self, TypeAlias

from realtime_trio import _elsewhere
from realtime_trio._misuse import kind_of
from realtime_trio.audio.pcm import PCM_RATE, as_pcm16, pcm16_from_float, to_mono
from realtime_trio.audio.resample import resample
from realtime_trio.errors import LocalProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

WavFile: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, or a binary file object; a file object is left open."""

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
# Header of a file whose length is not known yet.  Readers take it as "to the end", so a file cut
# off before `close` is still readable.
_UNKNOWN_SIZE = 0xFFFFFFFF
# From the start of the file to the audio, and from the end of the RIFF chunk's own size field to
# the audio.
_HEADER_SIZE, _RIFF_OVERHEAD = 44, 36


def read_wav(file: WavFile, rate: int = PCM_RATE) -> NDArray[np.int16]:
    """Read a WAV file as mono 16-bit samples at the rate you want.

    Takes 8, 16, 24 and 32 bit integer and 32 and 64 bit float samples, any number of channels
    (averaged) and any rate from 8000 to 192000 Hz (resampled).  A stream recorded without its
    length, or cut off, is read as far as it goes; chunks other than format and audio are skipped.

    Args:
        file: Path, or binary file object positioned at the start of the WAV data; it need not be
            seekable and is read to its end.
        rate: Hz, 8000 to 192000; the default is the protocol's.

    Returns:
        Shape (n,), int16.

    Raises:
        LocalProtocolError: Not a WAV file, damaged, compressed, or a rate out of range.
        OSError: The file cannot be read.
    """
    with ExitStack() as stack:
        content = _open(file, "rb", stack).read()
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise LocalProtocolError("not a WAV file: it does not start with a RIFF/WAVE header")
    chunks = _chunks(memoryview(content))
    for name in (b"fmt ", b"data"):
        if name not in chunks:
            raise LocalProtocolError(
                f"not a readable WAV file: it has no {name.decode().strip()!r} chunk"
            )
    form = chunks[b"fmt "]
    if len(form) < 16:
        raise LocalProtocolError(
            f"not a readable WAV file: its 'fmt' chunk has {len(form)} bytes where 16 are the least"
        )
    encoding, channels, rate_in, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if encoding == _EXTENSIBLE and len(form) >= 26:
        # The real encoding is the first field of the sub-format GUID.
        (encoding,) = struct.unpack_from("<H", form, 24)
    if channels == 0:
        raise LocalProtocolError("not a readable WAV file: it has no channels")
    samples = _decode(chunks[b"data"], encoding, bits, channels)
    return resample(to_mono(samples), rate_in, rate)


def write_wav(file: WavFile, samples: NDArray[np.int16], rate: int = PCM_RATE) -> None:
    """Write mono 16-bit samples as a WAV file.

    Args:
        file: Path (replaced if it exists), or binary file object, which need not be seekable and is
            left open.
        samples: Shape (n,), int16.
        rate: Hz; the default is the protocol's.

    Raises:
        LocalProtocolError: The samples have another dtype or shape; nothing was written.
        OSError: The file cannot be written.
    """
    data = as_pcm16(samples).astype("<i2", copy=False).tobytes()
    with ExitStack() as stack:
        target = _open(file, "wb", stack)
        target.write(_header(rate, len(data)))
        target.write(data)


class WavWriter:
    """Writes a WAV file of mono 16-bit samples as they arrive.

    A context manager; leaving it closes the file, with or without an exception.  The length is
    filled in at the end.  Where that is impossible (a pipe, a crash) the header says "to the end",
    which `read_wav` and most players understand.

    Args:
        file: Path (replaced if it exists), or binary file object, which is left open.
        rate: Hz; the default is the protocol's.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, file: WavFile, rate: int = PCM_RATE) -> None:
        self._rate = rate
        self._written = 0
        self._closed = False
        with ExitStack() as stack:
            self._target = _open(file, "wb", stack)
            # The file may have begun before us, and a pipe has no position to return to.
            self._start = self._target.tell() if self._target.seekable() else None
            self._target.write(_header(rate, _UNKNOWN_SIZE))
            self._stack = stack.pop_all()

    def append(self, samples: NDArray[np.int16]) -> None:
        """Write the next samples.

        Args:
            samples: Shape (n,), int16; n may be 0.

        Raises:
            LocalProtocolError: The samples have another dtype or shape, or the writer is closed;
                nothing was written.
            OSError: The file cannot be written.
        """
        if self._closed:
            raise LocalProtocolError("cannot append to a WavWriter that is closed")
        data = as_pcm16(samples).astype("<i2", copy=False).tobytes()
        self._target.write(data)
        self._written += len(data)

    def close(self) -> None:
        """Fill in the length, and close the file if it was opened here.

        A second call does nothing.

        Raises:
            OSError: The file cannot be written; it is closed nevertheless.
        """
        if self._closed:
            return
        # First of all: if the header cannot be written, the file is closed and stays closed.
        self._closed = True
        with self._stack:
            if self._start is not None:
                self._target.seek(self._start)
                self._target.write(_header(self._rate, self._written))
                # To the end again, for the owner of a file that stays open.
                self._target.seek(self._start + _HEADER_SIZE + self._written)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _open(file: WavFile, mode: Literal["rb", "wb"], stack: ExitStack) -> BinaryIO:
    if isinstance(file, str | os.PathLike):
        return stack.enter_context(open(file, mode))
    given: object = file
    # Bytes are what people have who were sent a file, and a number would open a descriptor.
    if not hasattr(given, "read" if mode == "rb" else "write"):
        raise TypeError(
            f"file must be a path or a binary file object such as BytesIO(data), "
            f"not {kind_of(given)}"
        )
    return file


def _header(rate: int, data_size: int) -> bytes:
    # 4 GiB of audio, a day of it, is more than the sizes can say; they saturate and mean "to the
    # end" then.
    size, riff_size = (min(n, _UNKNOWN_SIZE) for n in (data_size, data_size + _RIFF_OVERHEAD))
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        riff_size,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        1,
        rate,
        rate * 2,
        2,
        16,
        b"data",
        size,
    )


def _chunks(content: memoryview) -> dict[bytes, memoryview]:
    """The first chunk of each name.  A chunk that claims more than there is gets what there is."""
    chunks: dict[bytes, memoryview] = {}
    position = 12
    while position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        position += 8
        chunks.setdefault(name, content[position : position + size])
        # A chunk of odd size has a byte of padding, which its size does not count.
        position += size + size % 2
    return chunks


def _decode(data: memoryview, encoding: int, bits: int, channels: int) -> NDArray[np.int16]:
    """Whole frames of `data` as int16, shape (n, channels); of wider integers the upper 16 bits."""
    frame_size = bits // 8 * channels
    whole = data[: len(data) // frame_size * frame_size] if frame_size else data
    samples: NDArray[np.int16]
    match encoding, bits:
        case (1, 8):
            # WAV's only unsigned samples.
            samples = (np.frombuffer(whole, np.uint8).astype(np.int16) - 128) * 256
        case (1, 16):
            samples = np.frombuffer(whole, "<i2").astype(np.int16)
        case (1, 24):
            samples = (
                np.frombuffer(whole, np.uint8)
                .reshape(-1, 3)[:, 1:]
                .copy()
                .view("<i2")
                .astype(np.int16)
            )
        case (1, 32):
            samples = (np.frombuffer(whole, "<i4") >> 16).astype(np.int16)
        case (3, 32 | 64):
            samples = pcm16_from_float(np.frombuffer(whole, f"<f{bits // 8}"))
        case _:
            raise LocalProtocolError(
                f"cannot read a WAV file of {bits}-bit samples with encoding {encoding:#06x}; "
                "allowed: PCM (0x0001) of 8, 16, 24 or 32 bits and float (0x0003) of 32 or 64; "
                "convert compressed audio first"
            )
    return samples.reshape(-1, channels)
