"""The audio of one content part, as it is played: received, waiting, in the sink, heard.

Owns how samples of a sink become milliseconds of the part.  When they are heard is for others to
say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from realtime_trio import _elsewhere
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio.audio.data import AudioData
from realtime_trio.audio.resample import MAX_RATE, MIN_RATE, Resampler
from realtime_trio.audio.track import AudioTrack, samples_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")


@frozen
class PlayedPart:
    """How far one content part was played: a value that does not change any more."""

    item_id: str | None
    """The item; None for audio that is of none, such as a signal tone."""
    content_index: int
    """Which of its parts."""
    heard_ms: int
    """Milliseconds of it that were heard, rounded down."""
    received_ms: int
    """Milliseconds of it that have arrived, rounded down."""
    is_final: bool
    """Whether no more of it will arrive."""


@define(eq=False)
class Part:
    """One content part while it is played.  For `Playback`."""

    item_id: str | None
    """The item it is of."""
    content_index: int
    """Which of its parts it is."""
    response_id: str | None
    """The response it is of."""
    sink_rate: int
    """Samples of the sink per second: those that `produced` and `heard` count."""
    track: AudioTrack
    """Counts what arrives, and puts deltas together that end in the middle of a sample."""
    item: ConversationItem | None = None
    """The item itself, where it is known."""
    produced: int = 0
    """Samples that were made of what has arrived."""
    heard: int = 0
    """Samples that were heard."""
    is_finished: bool = False
    """Whether it was said that no more arrives."""
    is_silenced: bool = False
    """Whether what was left of it was thrown away, and no more of it is played."""
    _resampler: Resampler | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        rate = self.track.rate
        # Whatever rate a server states, there is something to be heard.
        needed = rate != self.sink_rate and MIN_RATE <= rate <= MAX_RATE
        self._resampler = Resampler(rate, self.sink_rate) if needed else None

    def receive(self, audio: AudioData) -> NDArray[np.int16]:
        """Take what has arrived; return what of it can be played by now, at the sink's rate."""
        self.is_finished = False
        added = self.track.append(audio)
        if added is None:
            return np.empty(0, np.int16)
        samples = samples_of(added, self.track.encoding)
        return self._produce(
            samples if self._resampler is None else self._resampler.process(samples)
        )

    def finish(self) -> NDArray[np.int16]:
        """Note that no more arrives; return what the conversion of rates has held back."""
        if self.is_finished:
            return np.empty(0, np.int16)
        self.is_finished = True
        return self._produce(
            np.empty(0, np.int16) if self._resampler is None else self._resampler.flush()
        )

    def _produce(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        self.produced += len(samples)
        return samples

    @property
    def is_final(self) -> bool:
        """Whether no more of it will arrive."""
        return self.is_finished or (self.item is not None and self.item.status != "in_progress")

    @property
    def is_settled(self) -> bool:
        """Whether all of it that will be heard was heard."""
        return self.is_silenced or self.heard == self.produced

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is still coming."""
        return self.is_silenced or self.is_final

    @property
    def heard_ms(self) -> int:
        """Milliseconds that were heard, rounded down; never more than have arrived."""
        return self.heard_ms_with(0)

    def heard_ms_with(self, more: int) -> int:
        """Milliseconds that will have been heard when so many samples more are."""
        heard = self.heard + more
        if self.is_finished and heard == self.produced:
            # Not by division: rates need not divide each other, and all of it is all of it.
            return self.track.ms
        return min(heard * 1000 // self.sink_rate, self.track.ms)

    @property
    def value(self) -> PlayedPart:
        """How far it was played, as a value."""
        return PlayedPart(
            self.item_id, self.content_index, self.heard_ms, self.track.ms, self.is_final
        )
