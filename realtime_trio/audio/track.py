"""Audio that grows at its end, one delta at a time, and is joined only when it is read.

Owns the bookkeeping between encoded chunks and one array of samples: deltas that end in the middle
of a sample, cuts, and forgetting from the front.  Refuses to know items and events.

Theory of operation.  A chunk is kept as it came until the samples are read, because most are never
read: appending costs the same after an hour as at the start.  Fragments are the exception: many of
them are joined at once, as an object for a sample or two takes fifty times their room.  Reading
moves the waiting chunks into a buffer that doubles when it is full, so that reading after every
chunk costs each sample a constant number of copies.  Arrays that were handed out share that buffer.
They stay as they were: only the unused end is ever written, and a cut, which would make an end
unused that a reader has seen, takes a copy.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from realtime_trio import _elsewhere
from realtime_trio.audio.data import AudioData
from realtime_trio.audio.g711 import alaw_decode, mulaw_decode
from realtime_trio.audio.pcm import PCM_RATE
from realtime_trio.errors import RemoteProtocolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

PCM, PCMU, PCMA = "audio/pcm", "audio/pcmu", "audio/pcma"
"""Encodings, as the protocol names them.  One that is none of these is taken for PCM."""

MANY: Final = 256
"""Chunks that may wait whatever their size.  The longest answers come in about 2000 of 100 ms."""
SMALL: Final = 128
"""Samples of a chunk on average below which they are fragments: what is around them takes as much
room as they do.  Services send 20 to 200 ms at a time, which is 160 samples or more."""


_NOTHING: Final[deque[AudioData]] = deque(maxlen=0)
"""Where nothing is kept: an empty deque of its own would take 760 bytes of every track."""


def is_g711(encoding: str) -> bool:
    """Whether a sample takes one byte and not two."""
    return encoding in (PCMU, PCMA)


def samples_of(audio: AudioData, encoding: str = PCM) -> NDArray[np.int16]:
    """Decode audio by the name of its encoding.

    Audio that came as invalid base64 is silence of the length it seems to have: one broken delta
    should not end a call.

    Args:
        audio: Whole samples; an odd last byte of PCM is ignored.
        encoding: `audio/pcm`, `audio/pcmu` or `audio/pcma`; anything else is taken for PCM.

    Returns:
        Shape (n,), int16.
    """
    try:
        if encoding == PCMU:
            return mulaw_decode(audio.data)
        if encoding == PCMA:
            return alaw_decode(audio.data)
        return audio.samples
    except RemoteProtocolError:
        return np.zeros(sample_count(audio, encoding), np.int16)


def sample_count(audio: AudioData, encoding: str = PCM) -> int:
    """How many samples `samples_of` returns, without decoding anything."""
    return audio.nbytes if is_g711(encoding) else audio.nbytes // 2


class AudioTrack:
    """The audio of one content part.

    Args:
        encoding: How the chunks are encoded: `audio/pcm`, `audio/pcmu` or `audio/pcma`.
        rate: Sample rate in Hz.
        keep: Whether to keep the audio; otherwise it is only counted.
    """

    __slots__ = (
        "_buffer",
        "_carry",
        "_end",
        "_keep",
        "_odd",
        "_start",
        "_waiting",
        "_waiting_count",
        "encoding",
        "rate",
        "received",
    )

    def __init__(self, encoding: str = PCM, rate: int = PCM_RATE, *, keep: bool = True) -> None:
        self.encoding = encoding
        self.rate = rate
        self.received = 0
        """Samples since the start, whether still kept or not, without what was cut off."""
        self._keep = keep
        self._odd = 0 if is_g711(encoding) else 1
        self._carry = b""
        self._waiting: deque[AudioData] = deque() if keep else _NOTHING
        self._waiting_count = 0
        # None while it is empty: most tracks are never read, and then numpy is not needed.
        self._buffer: NDArray[np.int16] | None = None
        self._start = self._end = 0

    @property
    def ms(self) -> int:
        """Milliseconds since the start, rounded down."""
        return self.received * 1000 // self.rate

    @property
    def kept(self) -> int:
        """Samples that are still here: the last ones of those received."""
        return self._end - self._start + self._waiting_count

    def append(self, audio: AudioData) -> AudioData | None:
        """Append a chunk.  An incomplete sample at its end waits for the next chunk.

        Returns:
            The whole samples that this adds: nearly always `audio` itself, undecoded.  None if it
            adds none.
        """
        size = audio.nbytes
        # Half a sample in front, or at the end: of 16-bit audio only, `_odd` is 0 for G.711.
        if self._carry or size & self._odd:
            audio = self._realign(audio)
            size = audio.nbytes
        if not size:
            return None
        count = size >> self._odd
        self.received += count
        if self._keep:
            self._waiting.append(audio)
            self._waiting_count += count
            # By the average, so that each joining pays for the fragments since the last one.
            if count < SMALL and MANY <= len(self._waiting) > self._waiting_count // SMALL:
                self._join()
        return audio

    @property
    def samples(self) -> NDArray[np.int16]:
        """What is kept: shape (n,), int16, read-only.  What was read before is not read again."""
        if self._waiting:
            self._join()
        samples = self._joined()
        samples.flags.writeable = False
        return samples

    def truncate(self, count: int) -> None:
        """Keep the first `count` samples of those received, and drop what follows.

        More than there are changes nothing.
        """
        cut = self.received - max(0, count)
        if cut <= 0:
            return
        self.received -= cut
        # Half a sample that waits is behind every cut.
        self._carry = b""
        # Joins first, although a cut of waiting chunks need not: cuts are rare, one for an
        # interruption, and the position may be in the middle of a chunk.
        kept = self.samples
        self._settle(kept[: max(0, len(kept) - cut)])

    def forget(self, count: int) -> None:
        """Drop the oldest `count` samples of those kept.  They still count as received."""
        joined = min(count, self._end - self._start)
        self._start += joined
        count -= joined
        while count > 0 and self._waiting:
            size = self._waiting[0].nbytes >> self._odd
            if size > count:
                self._join()
                self._start += count
                break
            self._waiting.popleft()
            self._waiting_count -= size
            count -= size
        # Not at every call: then each sample would be copied once for every delta that follows it.
        if self._start * 2 > self._room:
            self._settle(self._joined())

    def close(self) -> None:
        """Take no more room than the audio needs, for nothing more is expected.

        Appending is still possible.  Nothing is joined, so that it takes next to no time for audio
        that was decoded already, for example to be played.
        """
        if self._keep:
            # One after the other, so that each finds the room that the one before has given back.
            for _ in range(len(self._waiting)):
                self._waiting.append(_without_base64(self._waiting.popleft()))
        if self._room > self._end - self._start:
            self._settle(self._joined())

    @property
    def _room(self) -> int:
        return 0 if self._buffer is None else len(self._buffer)

    def _joined(self) -> NDArray[np.int16]:
        if self._buffer is None:
            return np.empty(0, np.int16)
        return self._buffer[self._start : self._end]

    def _realign(self, audio: AudioData) -> AudioData:
        try:
            data = self._carry + audio.data
        except RemoteProtocolError:
            # Silence of an even length: the length is a guess, and an odd one would shift all that
            # follows by a byte, which turns speech into noise.
            data = self._carry + bytes(audio.nbytes & ~1)
        whole = len(data) & ~1
        self._carry = data[whole:]
        return AudioData(data[:whole])

    def _join(self) -> None:
        live = self._end - self._start
        buffer = self._buffer
        if buffer is None or len(buffer) < self._end + self._waiting_count:
            buffer = np.empty(max(live + self._waiting_count, 2 * live), np.int16)
            buffer[:live] = self._joined()
            self._buffer, self._start, self._end = buffer, 0, live
        for audio in self._waiting:
            samples = samples_of(audio, self.encoding)
            buffer[self._end : self._end + len(samples)] = samples
            self._end += len(samples)
        self._waiting.clear()
        self._waiting_count = 0

    def _settle(self, samples: NDArray[np.int16]) -> None:
        self._buffer = samples.copy() if len(samples) else None
        self._start, self._end = 0, len(samples)


def _without_base64(audio: AudioData) -> AudioData:
    """The same audio in less memory, provided that its base64 is valid."""
    try:
        return AudioData(audio.data)
    except RemoteProtocolError:
        return audio
