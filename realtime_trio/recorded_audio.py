"""What a recorded session sounded like: both sides on one time axis.

Owns when which audio was heard.  The records themselves are in `recording`, files in `audio.wav`.

Theory of operation.  A record says when audio was sent or received, not when it sounded.  What the
user says is sent when it has been recorded, so a chunk ends where its record stands.  Chunks that
are sent at once have waited, in a file or for a connection, so that the last of them ends there.
What had not been committed when a connection was lost is sent on the next one again, under the same
ids; it was said once.  What the model says comes faster than it can be played, so a chunk begins
when it has come and what came before it is over.  How much of it was heard is told by what the
client does about an interruption: it cuts an item to what was heard (`conversation.item.truncate`)
or deletes it.  If it does neither, a cancelled response fell silent when it was cancelled.  All of
that is looked up first, so that audio can then be laid down in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio.audio.data import AudioData
from realtime_trio.audio.pcm import G711_RATE, PCM_RATE
from realtime_trio.audio.resample import Resampler
from realtime_trio.audio.track import PCM, AudioTrack, is_g711, samples_of
from realtime_trio.audio.wav import WavFile, WavWriter
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemTruncate,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommitted,
    ResponseCancel,
    ResponseDone,
    ResponseOutputAudioDelta,
    SessionCreated,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionOutputAudioDelta,
    UserMessage,
)
from realtime_trio.recording import AudioFormats, Recording

_JITTER: Final = 0.25
"""Seconds by which chunks that follow each other may be late without a gap between them: networks
and schedulers delay some."""
_AT_ONCE: Final = 0.25
"""Share of its own length within which a chunk follows another one that it waited with: nobody has
recorded it since."""
_BLOCK: Final = PCM_RATE
"""Frames that are written at once, a second."""

_LONGEST: Final = 12 * 3600
"""Seconds: 4 GB, which is what a WAV file can hold.  A session takes an hour at most, so times
beyond are those of a file that is damaged, or of a clock that was."""

_MOST: Final = 1 << 62
"""Samples, of a part that was heard to its end."""
_Part = tuple[str, int]
"""An item and the index of its part; the output of a translation is one part without a name."""
_TRANSLATION: Final[_Part] = ("", 0)


def recording_to_wav(recording: Recording, file: WavFile) -> float:
    """Write what was said in a recorded session as a stereo WAV file at 24 kHz.

    The user is on the left and the model on the right, when and as far as they could be heard: what
    an interruption cut off is not there.  Time 0 is that of the first record.  Heard means played
    at once, by a client that holds nothing back; a recording does not say what loudspeakers did.
    Audio that was left out of the recording is silence.

    Args:
        recording: What `read_recording` returned, or `Recording.of(...)`.
        file: Path (replaced if it exists), or binary file object, which is left open.

    Returns:
        How long the file is, in seconds.

    Raises:
        LocalProtocolError: The recording is longer than 12 hours, or has a time that is none;
            nothing was written.
        OSError: The file cannot be written.
    """
    _check_times(recording.records)
    user, model = _lay_down(recording.records)
    frames = max(user.end, model.end)
    if frames > _LONGEST * PCM_RATE:
        raise LocalProtocolError(
            f"the recording sounds for {frames / PCM_RATE:.0f} s; a WAV file of both sides holds "
            f"{_LONGEST} s at most"
        )
    with WavWriter(file, PCM_RATE, channels=2) as writer:
        tapes = [_Tape(side.runs) for side in (user, model)]
        for start in range(0, frames, _BLOCK):
            end = min(start + _BLOCK, frames)
            writer.append(np.stack([tape.read(start, end) for tape in tapes], axis=1))
    return frames / PCM_RATE


def _check_times(records: Iterable[WireRecord]) -> None:
    for number, record in enumerate(records, start=1):
        if not 0 <= record.time <= _LONGEST:  # nor is it a number that is none
            raise LocalProtocolError(
                f"record {number} of the recording is at {record.time:.6g} s; a WAV file of it "
                f"takes times of 0 to {_LONGEST} s"
            )


@define
class _Run:
    """Audio without a gap."""

    start: int
    """Position of its first sample on the axis of the file."""
    rate: int
    """Hz, of the chunks."""
    chunks: list[NDArray[np.int16]] = field(factory=list)
    """Samples as they came."""
    count: int = 0
    """How many there are."""

    @property
    def end(self) -> int:
        return self.start + round(self.count * PCM_RATE / self.rate)


class _Side:
    """What one side says: runs in the order of time, none of which overlaps another."""

    def __init__(self) -> None:
        self.runs: list[_Run] = []

    @property
    def end(self) -> int:
        """Position behind the last sample."""
        return self.runs[-1].end if self.runs else 0

    @property
    def end_time(self) -> float:
        """The same in seconds."""
        return self.end / PCM_RATE

    def add(self, time: float, samples: NDArray[np.int16], rate: int) -> None:
        """Lay down samples at a time, or behind what is there."""
        if not len(samples):
            return
        last = self.runs[-1] if self.runs else None
        start = max(round(time * PCM_RATE), self.end)
        if last is None or start > last.end or rate != last.rate:
            last = _Run(start, rate)
            self.runs.append(last)
        last.chunks.append(samples)
        last.count += len(samples)


class _Recorder:
    """Lays down what the user says."""

    def __init__(self) -> None:
        self.side = _Side()
        self._burst: list[tuple[NDArray[np.int16], int]] = []
        """Chunks that were sent at once, with their rates, until it is known which is the last."""
        self._sent = 0.0
        """When the last of them was sent."""
        self._said: set[str] = set()
        """Ids of the chunks of this connection."""
        self._said_before: set[str] = set()
        """The same of those before it."""

    def begin_connection(self) -> None:
        """Note that what follows is sent over another connection."""
        self._said_before |= self._said
        self._said.clear()

    def record(self, time: float, event_id: str | None, audio: AudioData, stored: _Stored) -> None:
        """Take a chunk that was sent at this time."""
        if event_id is not None:
            if event_id in self._said_before:
                return
            self._said.add(event_id)
        samples = samples_of(audio, stored.encoding)
        if time - self._sent > _AT_ONCE * len(samples) / stored.rate:
            self.settle()
        self._burst.append((samples, stored.rate))
        self._sent = time

    def settle(self) -> None:
        """Lay down what was sent by now."""
        seconds = sum(len(samples) / rate for samples, rate in self._burst)
        start = max(0.0, self._sent - seconds)
        # The first chunk begins when it begins; after that, a little late is not a pause.
        if self.side.runs and start - self.side.end_time < _JITTER:
            start = self.side.end_time
        for samples, rate in self._burst:
            self.side.add(start, samples, rate)
        self._burst.clear()


class _Tape:
    """Reads runs as one stretch of samples at 24 kHz with silence between them, block by block."""

    def __init__(self, runs: Iterable[_Run]) -> None:
        self._pieces = self._played(runs)
        self._next = next(self._pieces, None)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        block = np.zeros(end - start, np.int16)
        while self._next is not None and self._next[0] < end:
            position, samples = self._next
            fits = samples[: end - position]
            block[position - start : position - start + len(fits)] = fits
            rest = samples[len(fits) :]
            self._next = (end, rest) if len(rest) else next(self._pieces, None)
        return block

    @staticmethod
    def _played(runs: Iterable[_Run]) -> Iterator[tuple[int, NDArray[np.int16]]]:
        for run in runs:
            resampler = Resampler(run.rate, PCM_RATE)
            position = run.start
            for chunk in run.chunks:
                samples = resampler.process(chunk)
                yield position, samples
                position += len(samples)
            yield position, resampler.flush()


class _Heard:
    """How much of each part of the model's items was heard, as far as the whole recording tells."""

    def __init__(self, records: Iterable[WireRecord]) -> None:
        self._truncated: dict[_Part, float] = {}
        self._deleted: set[str] = set()
        self._cancelled: dict[str, float] = {}
        asked: float | None = None
        for record in records:
            match record.event:
                case ConversationItemTruncate(item_id=item, content_index=index, audio_end_ms=ms):
                    cut = min(ms / 1000, self._truncated.get((item, index), math.inf))
                    self._truncated[item, index] = cut
                case ConversationItemDelete(item_id=item):
                    self._deleted.add(item)
                case ResponseCancel(response_id=response):
                    # Without an id it is the response that is active.
                    if response is None:
                        asked = record.time
                    else:
                        self._cancelled.setdefault(response, record.time)
                case ResponseDone(response=response):
                    if response.status == "cancelled":
                        self._cancelled.setdefault(response.id, asked or record.time)
                    asked = None

    def seconds(self, response_id: str, part: _Part, start: float) -> float:
        """How long a part was heard that began at `start`; infinity if nobody stopped it."""
        if part[0] in self._deleted:
            return 0.0
        if part in self._truncated:
            return self._truncated[part]
        return max(0.0, self._cancelled.get(response_id, math.inf) - start)


class _Player:
    """Plays what the model says: each delta behind the last, as far as it was heard."""

    def __init__(self, heard: _Heard) -> None:
        self.side = _Side()
        self._heard = heard
        self._parts: dict[_Part, AudioTrack] = {}
        self._left: dict[_Part, int] = {}

    def play(
        self, time: float, response_id: str, part: _Part, delta: AudioData, stored: _Stored
    ) -> None:
        track = self._parts.get(part)
        if track is None:
            track = self._parts[part] = AudioTrack(stored.encoding, stored.rate, keep=False)
            start = max(time, self.side.end_time)
            seconds = self._heard.seconds(response_id, part, start)
            self._left[part] = _MOST if seconds == math.inf else round(seconds * stored.rate)
        whole = track.append(delta)
        if whole is not None:
            samples = samples_of(whole, stored.encoding)[: self._left[part]]
            self._left[part] -= len(samples)
            self.side.add(time, samples, stored.rate)


@frozen
class _Stored:
    """How audio is stored in an event."""

    encoding: str
    rate: int

    @classmethod
    def of(cls, audio_format: str | None) -> _Stored:
        encoding = audio_format or PCM
        return cls(encoding, G711_RATE if is_g711(encoding) else PCM_RATE)


def _lay_down(records: Sequence[WireRecord]) -> tuple[_Side, _Side]:
    """What the user and what the model said."""
    formats, user, player = AudioFormats(), _Recorder(), _Player(_Heard(records))
    said: set[str | None] = set()
    for record in records:
        formats.follow(record.event)
        match record.event:
            case SessionCreated() | TranslationSessionCreated():
                user.begin_connection()
            case (
                InputAudioBufferAppend(event_id=event_id, audio=audio)
                | TranslationSessionInputAudioBufferAppend(event_id=event_id, audio=audio)
            ):
                user.record(record.time, event_id, audio, _Stored.of(formats.input))
            case InputAudioBufferCommitted(item_id=item_id):
                said.add(item_id)
            case ConversationItemCreate(item=UserMessage(id=item_id, content=content)):
                if item_id is not None and item_id in said:
                    continue  # told to the server of another connection, and said before
                said.add(item_id)
                user.settle()
                for part in content:
                    if isinstance(part, InputAudio) and part.audio is not None:
                        stored = _Stored.of(formats.input)
                        samples = samples_of(part.audio, stored.encoding)
                        user.side.add(record.time, samples, stored.rate)
            case ResponseOutputAudioDelta(
                response_id=response_id, item_id=item_id, content_index=index, delta=delta
            ):
                stored = _Stored.of(formats.output(response_id))
                player.play(record.time, response_id, (item_id, index), delta, stored)
            case TranslationSessionOutputAudioDelta(delta=delta, sample_rate=rate):
                player.play(record.time, "", _TRANSLATION, delta, _Stored(PCM, rate or PCM_RATE))
    user.settle()
    return user.side, player.side
