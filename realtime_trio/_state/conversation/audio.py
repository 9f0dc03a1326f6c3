"""The audio of a conversation's items: which encoding it has and how much of it is kept.

Owns the window of audio that is kept.  The samples themselves are in the tracks of the items.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple, TypeAlias

from attrs import define

from realtime_trio._misuse import check_number
from realtime_trio._state.conversation.item import ConversationItem, GrowingPart
from realtime_trio.audio.data import AudioData
from realtime_trio.audio.g711 import alaw_encode, mulaw_encode
from realtime_trio.audio.pcm import G711_RATE, PCM_RATE
from realtime_trio.audio.track import PCM, PCMA, PCMU, AudioTrack, is_g711
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import AudioFormat

Retention: TypeAlias = Literal["all", "none"] | float
"""Which audio items keep: all of it, none, or the last so many seconds of each side."""

DEFAULT_RETENTION: Final = 600.0
"""Seconds of each side that items keep unless somebody says otherwise.

Ten minutes are 58 MB at most, at 24 kHz, however long a session lasts; all of it would be 5.8 MB
more for every minute in which both sides speak."""


def check_retention(retention: object) -> None:
    """Refuse what says nothing about which audio to keep.

    Raises:
        TypeError: It is neither a word nor a number.
        LocalProtocolError: It is another word, or a negative number of seconds.
    """
    allowed = "'all', 'none' or a number of seconds from 0 up"
    if not isinstance(retention, str):
        check_number(
            "retention", retention, lambda seconds: 0 <= seconds < math.inf, allowed=allowed
        )
    elif retention not in ("all", "none"):
        raise LocalProtocolError(f"retention must be {allowed}, not {retention!r}")


class Encoding(NamedTuple):
    """How a stretch of audio is encoded, with nothing left to guess."""

    name: str = PCM
    """`audio/pcm`, `audio/pcmu` or `audio/pcma`; anything else is taken for PCM."""
    rate: int = PCM_RATE
    """Samples per second."""

    @classmethod
    def of(cls, stated: AudioFormat | None) -> Encoding | None:
        """The encoding that the server states, None if it states none."""
        if stated is None:
            return None
        name = stated.type or PCM
        if is_g711(name):
            return cls(name, G711_RATE)
        return cls(name, stated.rate if stated.rate is not None and stated.rate > 0 else PCM_RATE)

    @property
    def width(self) -> int:
        """Bytes per sample."""
        return 1 if is_g711(self.name) else 2

    @property
    def bytes_per_s(self) -> int:
        """Bytes per second."""
        return self.width * self.rate


_SHORT_US: Final = 5_000
"""Microseconds up to which neighbouring chunks are always let go as one.  Services send 20 ms or
more at a time, so that only fragments are affected."""
_NOTES: Final = 1024
"""Parts of a window that are noted: neighbouring chunks that are less than one are let go as one,
which is half a second of ten minutes."""

DEFAULT_ENCODING: Final = Encoding()
"""24 kHz PCM."""


@define(eq=False)
class _Stretch:
    """Neighbouring chunks of one track, which are let go together."""

    track: AudioTrack
    count: int
    """Samples."""
    room: int
    """Samples that may still be added to it."""
    us: int
    """Microseconds, as far as they count; of the newest one those of its first chunk."""


class _Window:
    """The last so many microseconds of one side: lets go of what came before them."""

    def __init__(self, us: int) -> None:
        self._us = us
        self._fine_us = max(_SHORT_US, us // _NOTES)
        self._stretches: list[_Stretch] = []
        """What is kept, the oldest first: little more than `_NOTES` of them at the most."""
        self._kept_us = 0

    def slide(self, track: AudioTrack, count: int) -> None:
        """Take note of what was appended to a track, and let go of what is too much."""
        stretches = self._stretches
        if stretches:
            last = stretches[-1]
            if last.track is track and count <= last.room:
                last.count += count
                last.room -= count
                return
            us = last.count * 1_000_000 // last.track.rate
            self._kept_us += us - last.us
            last.us = us
        us = count * 1_000_000 // track.rate
        fine = self._fine_us * track.rate // 1_000_000
        stretches.append(_Stretch(track, count, fine - count, us))
        self._kept_us += us
        # Only whole chunks are let go, never a part of one, so a little more may be kept.
        while stretches and self._kept_us - stretches[0].us >= self._us:
            oldest = stretches.pop(0)
            oldest.track.forget(oldest.count)
            self._kept_us -= oldest.us


class Shelf:
    """Makes the tracks of items, and lets go of their audio as the retention says.

    Args:
        retention: What to keep.

    Raises:
        TypeError, LocalProtocolError: See `check_retention`.
    """

    def __init__(self, retention: Retention) -> None:
        check_retention(retention)
        self.keeps = retention != "none"
        """Whether there is any use in audio."""
        self.input = DEFAULT_ENCODING
        """Encoding of the session's input."""
        self.output = DEFAULT_ENCODING
        """Encoding of its output, except where a response has its own."""
        us = None if isinstance(retention, str) else round(retention * 1_000_000)
        self._input_window = None if us is None else _Window(us)
        self._output_window = None if us is None else _Window(us)

    def input_track(self, part: GrowingPart) -> AudioTrack:
        """Give a part a new track for what the user said."""
        part.track = AudioTrack(self.input.name, self.input.rate, keep=self.keeps)
        return part.track

    def output_track(self, item: ConversationItem, part: GrowingPart) -> AudioTrack:
        """Give a part a new track for what the model says."""
        stated = None if item._response is None else item._response.encoding
        name, rate = stated or self.output
        part.track = AudioTrack(name, rate, keep=self.keeps)
        return part.track

    def append_input(self, track: AudioTrack, audio: AudioData) -> AudioData | None:
        """Append what the user said; return the whole samples that this adds, None if none."""
        return _append(track, audio, self._input_window)

    def append_output(self, track: AudioTrack, audio: AudioData) -> AudioData | None:
        """Append what the model says; return the whole samples that this adds, None if none."""
        return _append(track, audio, self._output_window)


def audio_of(track: AudioTrack) -> AudioData | None:
    """The audio of a track as it can be sent again, None if there is none or some is gone."""
    if not track.received or track.kept < track.received:
        return None
    if track.encoding == PCMU:
        return AudioData(mulaw_encode(track.samples))
    if track.encoding == PCMA:
        return AudioData(alaw_encode(track.samples))
    return AudioData(track.samples)


def _append(track: AudioTrack, audio: AudioData, window: _Window | None) -> AudioData | None:
    before = track.received
    added = track.append(audio)
    if added is not None and window is not None:
        window.slide(track, track.received - before)
    return added
