"""WAV files: read audio of every common kind as mono 16 bit, write 16 bit.

Owns reading and writing whole and in blocks, from files and pipes; what the bytes mean is in
`wav_format`.  All functions block on the file.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Self, SupportsIndex, TypeAlias

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_kind, kind_of
from realtime_trio.audio.pcm import PCM_RATE, as_pcm16, to_mono
from realtime_trio.audio.resample import Resampler
from realtime_trio.audio.wav_format import HEADER_SIZE, UNKNOWN_SIZE, WavFormat, header
from realtime_trio.errors import LocalProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

WavFile: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, or a binary file object; a file object is left open."""

_MOST_CHANNELS: Final = 0x7FFF
"""More would not fit into the header, which has the bytes of a frame in 16 bits."""
_BLOCK: Final = 1 << 16
"""Bytes that are read at once where they are only skipped."""
_LONGEST_FORMAT: Final = 64
"""Bytes of the chunk `fmt` that are read: the longest that has a meaning here takes 40."""


def read_wav(file: WavFile, rate: int = PCM_RATE) -> NDArray[np.int16]:
    """Read a WAV file as mono 16-bit samples at the rate you want.

    What `WavReader` reads, as a whole.

    Args:
        file: Path, or binary file object positioned at the start of the WAV data; it need not be
            seekable and is read to the end of the audio.
        rate: Hz, 8000 to 192000; the default is the protocol's.

    Returns:
        Shape (n,), int16.

    Raises:
        LocalProtocolError: Not a WAV file, damaged, compressed, or a rate out of range.
        OSError: The file cannot be read.
    """
    with WavReader(file, rate) as reader:
        # The empty array is for files without audio: there is no concatenation of nothing.
        return np.concatenate([np.empty(0, np.int16), *reader.blocks(rate)])


class WavReader:
    """Reads a WAV file as mono 16-bit samples, block by block, in constant memory.

    A context manager; leaving it closes the file.  Takes 8, 16, 24 and 32 bit integer, 32 and 64
    bit float and G.711 samples, any number of channels (averaged) and any rate from 8000 to 192000
    Hz (resampled).  A stream recorded without its length, or cut off, is read as far as it goes;
    chunks other than format and audio are skipped.  The blocks joined are what `read_wav` returns.

    Args:
        file: Path, or binary file object positioned at the start of the WAV data, which is left
            open and need not be seekable.
        rate: Hz, 8000 to 192000; the default is the protocol's.

    Raises:
        LocalProtocolError: Not a WAV file, damaged, compressed, or a rate out of range.
        OSError: The file cannot be read.
    """

    def __init__(self, file: WavFile, rate: int = PCM_RATE) -> None:
        with ExitStack() as stack:
            source = _open(file, "rb", stack)
            self.format, self._source, self._left = _find_audio(source)
            self._resampler = Resampler(self.format.rate, rate)
            self._rate = rate
            self._waiting = np.empty(0, np.int16)
            self._has_ended = False
            self._stack = stack.pop_all()

    format: WavFormat
    """How the samples are stored."""

    @property
    def seconds(self) -> float | None:
        """How long the rest of the audio is, by the header; None if that does not say.

        A file that was cut off has less.
        """
        if self._left is None:
            return None
        stored = self._left // self.format.frame_size / self.format.rate
        return stored + len(self._waiting) / self._rate

    def read(self, count: int) -> NDArray[np.int16]:
        """Read the next samples.

        Args:
            count: How many, at least 1.

        Returns:
            Shape (count,), int16; fewer at the end, and none after it.

        Raises:
            LocalProtocolError: The count is less than 1, the samples are floats on another scale
                than [-1, 1], or the reader is closed.
            OSError: The file cannot be read.
        """
        check_kind("count", count, SupportsIndex, allowed="a whole number of samples")
        if count < 1:
            raise LocalProtocolError(f"count must be at least 1 sample, not {count}")
        parts = [self._waiting]
        have = len(self._waiting)
        while have < count and not self._has_ended:
            # What is missing, at the rate of the file; rounding leaves a sample for the next round.
            frames = max(1, (count - have) * self.format.rate // self._rate)
            part = self._next(frames)
            parts.append(part)
            have += len(part)
        samples = np.concatenate(parts)
        # A copy: a view would keep the whole array alive.
        self._waiting = samples[count:].copy()
        return samples[:count]

    def blocks(self, count: int) -> Iterator[NDArray[np.int16]]:
        """Read the rest in blocks of `count` samples, the last of which may be shorter.

        Raises:
            LocalProtocolError: As `read`.
            OSError: As `read`.
        """
        while len(samples := self.read(count)):
            yield samples

    def _next(self, frames: int) -> NDArray[np.int16]:
        size = frames * self.format.frame_size
        data = _read(self._source, size if self._left is None else min(size, self._left))
        if self._left is not None:
            self._left -= len(data)
        whole = len(data) // self.format.frame_size * self.format.frame_size
        samples = self._resampler.process(to_mono(self.format.decode(data[:whole])))
        if len(data) == size:
            return samples
        self._has_ended, self._left = True, 0
        return np.concatenate((samples, self._resampler.flush()))

    def close(self) -> None:
        """Close the file, if it was opened here.  A second call does nothing."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _find_audio(source: BinaryIO) -> tuple[WavFormat, BinaryIO, int | None]:
    """The format of a file; the file, at its audio; and how many bytes that has, if it is known."""
    start = _read(source, 12)
    if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
        raise LocalProtocolError("not a WAV file: it does not start with a RIFF/WAVE header")
    form: WavFormat | None = None
    early: bytes | None = None
    while len(head := _read(source, 8)) == 8:
        name, size = struct.unpack("<4sI", head)
        # A chunk of odd size has a byte of padding, which its size does not count.
        rest = size + size % 2
        if name == b"fmt " and form is None:
            chunk = _read(source, min(size, _LONGEST_FORMAT))
            form = WavFormat.of(chunk)
            if early is not None:
                return form, io.BytesIO(early), len(early)
            rest -= len(chunk)
        elif name == b"data" and early is None:
            if form is not None:
                return form, source, _stored(source, size)
            # Nobody writes files like that, so it may take memory.
            early = _read(source, size)
            rest -= len(early)
        while rest > 0 and (skipped := _read(source, min(rest, _BLOCK))):
            rest -= len(skipped)
    missing = "'data'" if form is not None else "'fmt'"
    raise LocalProtocolError(f"not a readable WAV file: it has no {missing} chunk")


def _stored(source: BinaryIO, size: int) -> int | None:
    """How many bytes of audio follow, where a header claims `size`."""
    if source.seekable():
        position = source.tell()
        there = source.seek(0, io.SEEK_END) - position
        source.seek(position)
        return min(size, there)
    # Recorders into pipes write something huge.
    return size if size < 0x7FFFFFFF else None


def _read(source: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, or what there is to the end: a pipe gives less at once."""
    parts: list[bytes] = []
    while size > 0 and (part := source.read(min(size, 1 << 24))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


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
        target.write(header(rate, 1, len(data)))
        target.write(data)


class WavWriter:
    """Writes a WAV file of 16-bit samples as they arrive.

    A context manager; leaving it closes the file, with or without an exception.  The length is
    filled in at the end.  Where that is impossible (a pipe, a crash) the header says "to the end",
    which `read_wav` and most players understand.

    Args:
        file: Path (replaced if it exists), or binary file object, which is left open.
        rate: Hz; the default is the protocol's.
        channels: Samples of a frame: 1 for mono, 2 for stereo.

    Raises:
        LocalProtocolError: There is no such number of channels; no file was opened.
        OSError: The file cannot be written.
    """

    def __init__(self, file: WavFile, rate: int = PCM_RATE, *, channels: int = 1) -> None:
        if not 1 <= channels <= _MOST_CHANNELS:
            raise LocalProtocolError(f"channels must be 1 to {_MOST_CHANNELS}, not {channels}")
        self._rate = rate
        self._channels = channels
        self._written = 0
        self._closed = False
        with ExitStack() as stack:
            self._target = _open(file, "wb", stack)
            # The file may have begun before us, and a pipe has no position to return to.
            self._start = self._target.tell() if self._target.seekable() else None
            self._target.write(header(rate, channels, UNKNOWN_SIZE))
            self._stack = stack.pop_all()

    def append(self, samples: NDArray[np.int16]) -> None:
        """Write the next samples.

        Args:
            samples: Shape (n,) for one channel, else (n, channels); int16; n may be 0.

        Raises:
            LocalProtocolError: The samples have another dtype or shape, or the writer is closed;
                nothing was written.
            OSError: The file cannot be written.
        """
        if self._closed:
            raise LocalProtocolError("cannot append to a WavWriter that is closed")
        data = self._interleaved(samples).astype("<i2", copy=False).tobytes()
        self._target.write(data)
        self._written += len(data)

    def _interleaved(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        if self._channels == 1:
            return as_pcm16(samples)
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise LocalProtocolError(
                f"expected int16 samples of shape (n, {self._channels}), got shape {samples.shape}"
            )
        return as_pcm16(samples.reshape(-1))

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
                self._target.write(header(self._rate, self._channels, self._written))
                # To the end again, for the owner of a file that stays open.
                self._target.seek(self._start + HEADER_SIZE + self._written)

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
