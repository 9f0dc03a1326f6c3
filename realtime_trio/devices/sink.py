"""The way from a playback to a sound card: block by block, on the card's own thread.

Owns what the card is given and when that is heard.  Pure: it is asked for blocks, and time is how
many samples it was asked for.

Theory of operation.  A sound that ends in the middle of a wave clicks.  So the sink takes a few
milliseconds more than the card has asked for; when the playback is interrupted these are what is
left to fade out.  And a card plays a block some time after it has asked for it, so samples are
reported as played when that time has passed, counted in samples.  What was taken and not reported
is *due*; the playback counts the same.  If its count is lower, then it was interrupted, whoever did
it, and the oldest of what is due are those that it has given up.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from attrs import define
from numpy.typing import NDArray

from realtime_trio.devices.level import SILENCE_DB, level_db
from realtime_trio.playback.playback import Playback


@define(eq=False)
class _Span:
    """Samples of the playback that the card was given one after the other."""

    start: int
    """Where they begin, counted in samples that the card has asked for."""
    count: int
    """How many."""


class PlaybackSink:
    """Fills the blocks of a sound card from a playback.

    One thread at a time may fill.

    Args:
        playback: One that goes by reports.
        latency: Samples between a block that is asked for and its being heard, 0 or more.
        fade: Samples in which a sound fades out that is interrupted, 0 or more.
    """

    def __init__(self, playback: Playback, *, latency: int, fade: int) -> None:
        self._playback = playback
        self.latency = latency
        """Samples between a block that is asked for and its being heard."""
        self._ahead = fade
        self._held = np.empty(0, np.int16)
        """What was taken and not given to the card."""
        self._tail = np.empty(0, np.int16)
        """What is left of something that was interrupted, fading out."""
        self._spans: deque[_Span] = deque()
        """What the card was given and was not reported."""
        self._due = 0
        """How many samples were taken and not reported."""
        self.position: int = 0
        """How many samples the card has asked for."""
        self._is_flowing = False
        self.gaps: int = 0
        """How often an item paused because its next samples had not arrived."""
        self.level: float = SILENCE_DB
        """How loud the last block was, in dB: -100 to 0."""

    def fill(self, out: NDArray[np.int16]) -> None:
        """Fill the next block.

        Args:
            out: Shape (n,), int16; every sample is written.
        """
        # In this order: a report must not be taken for one of samples that came after a cut.
        self._notice_cut()
        self._report()
        missing = len(out) + self._ahead - len(self._held)
        if missing > 0 and len(taken := self._playback.take(missing)):
            self._held = np.concatenate((self._held, taken))
            self._due += len(taken)
        self._write(out)
        self.position += len(out)
        self.level = level_db(out)

    def _notice_cut(self) -> None:
        # Asked in this order: what arrives in between makes the difference larger, and a cut is
        # noticed one block later.
        queued = self._playback.queued
        cut = self._due - (self._playback.unheard - queued)
        if cut <= 0:
            return
        self._due -= cut
        while self._spans and cut:
            span = self._spans[0]
            count = min(span.count, cut)
            span.start += count
            span.count -= count
            cut -= count
            if not span.count:
                self._spans.popleft()
        if cut:
            fading = self._held[:cut] * np.linspace(1.0, 0.0, cut)
            self._tail = np.concatenate((self._tail, fading.astype(np.int16)))
            self._held = self._held[cut:]

    def _report(self) -> None:
        heard = 0
        until = self.position - self.latency
        while self._spans and (span := self._spans[0]).start < until:
            count = min(span.count, until - span.start)
            span.start += count
            span.count -= count
            heard += count
            if not span.count:
                self._spans.popleft()
        if heard:
            self._due -= heard
            self._playback.played(heard)

    def _write(self, out: NDArray[np.int16]) -> None:
        fading = self._tail[: len(out)]
        self._tail = self._tail[len(fading) :]
        out[: len(fading)] = fading
        played = self._held[: len(out) - len(fading)]
        self._held = self._held[len(played) :]
        end = len(fading) + len(played)
        out[len(fading) : end] = played
        out[end:] = 0
        if len(played):
            self._spans.append(_Span(self.position + len(fading), len(played)))
        was_flowing, self._is_flowing = self._is_flowing, end == len(out)
        if was_flowing and not self._is_flowing and not len(fading):
            playing = self._playback.playing
            self.gaps += playing is not None and not playing.is_final
