"""The audio of a conversation's items: which encoding it has and how much of it is kept.

Owns the window of audio that is kept.  The samples themselves are in the tracks of the items.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Literal, NamedTuple, TypeAlias

from realtime_trio._misuse import check_number
from realtime_trio._state.conversation.item import ConversationItem, GrowingPart
from realtime_trio.audio.data import AudioData
from realtime_trio.audio.pcm import G711_RATE, PCM_RATE
from realtime_trio.audio.track import PCM, AudioTrack, is_g711, sample_count
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import AudioFormat

Retention: TypeAlias = Literal["all", "none"] | float
"""Which audio items keep: all of it, none, or as many of the last seconds that were said by either
side."""


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
"""Microseconds up to which neighbouring chunks are let go as one.  Services send 20 ms or more at a
time, so that only fragments are affected."""

DEFAULT_ENCODING: Final = Encoding()
"""24 kHz PCM."""


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
        self._window_us = None if isinstance(retention, str) else round(retention * 1_000_000)
        self._recent: deque[tuple[AudioTrack, int, int]] = deque()
        """Chunks within the window, oldest first: track, samples, microseconds."""
        self._recent_us = 0

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

    def append(self, track: AudioTrack, audio: AudioData) -> AudioData | None:
        """Append a chunk to a track; return the whole samples that this adds, None if none."""
        added = track.append(audio)
        if added is not None and self._window_us is not None:
            self._slide(track, sample_count(added, track.encoding), self._window_us)
        return added

    def _slide(self, track: AudioTrack, count: int, window_us: int) -> None:
        """Let go of the chunks without which there is still a whole window."""
        us = count * 1_000_000 // track.rate
        if us <= _SHORT_US and self._recent:
            last, last_count, last_us = self._recent[-1]
            if last is track and last_us + us <= _SHORT_US:
                # Fragments count as one chunk: a note on each would outweigh their samples.
                self._recent.pop()
                self._recent_us -= last_us
                count += last_count
                us = count * 1_000_000 // track.rate
        self._recent.append((track, count, us))
        self._recent_us += us
        # Not sample by sample: only chunks as a whole are let go, so a little more may be kept.
        while self._recent and self._recent_us - self._recent[0][2] >= window_us:
            track, count, us = self._recent.popleft()
            track.forget(count)
            self._recent_us -= us
