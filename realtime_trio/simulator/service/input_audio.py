"""The user's audio: what was appended and is in no item yet, and the turns that are detected in it.

Owns the bytes and where they lie on the axis of all audio that was ever appended.  What becomes of
a turn is the server's business.

Theory of operation.  The buffer holds the end of the axis.  Turn detection says where turns begin
and end, and the bytes are cut there: at a begin everything before it goes, at an end everything up
to it is the turn.  Between turns nothing before the next one's padding is needed for that, but
clients may commit by hand at any time, turn detection or not, and then mean what they appended; so
the last seconds stay.
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from realtime_trio.audio import G711_RATE, PCM_RATE, alaw_decode, mulaw_decode
from realtime_trio.events import UNSET, AudioFormat, SemanticVad, ServerVad
from realtime_trio.simulator.service.configuration import PCM, idle_timeout_ms
from realtime_trio.simulator.service.turn_detection import (
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
)
from realtime_trio.simulator.service.usage import bytes_per_ms, duration_ms

_KEPT_MS: Final = 10_000
"""Milliseconds that stay between turns: more than anybody lets go by before a commit by hand, and
half a megabyte at most."""


@frozen(kw_only=True)
class TurnEnded:
    """The user has finished."""

    audio_end_ms: int
    """Where the turn ends, the silence behind it included, in milliseconds of all audio ever
    appended."""
    audio: bytes
    """The turn, from its padding to its end."""


class InputAudioBuffer:
    """Audio that waits to be committed, by turn detection or by hand.

    Args:
        audio_format: How it is encoded.
        detection: How turns are detected, None for not at all.
    """

    def __init__(
        self, audio_format: AudioFormat, detection: ServerVad | SemanticVad | None
    ) -> None:
        self._format = audio_format
        self._data = bytearray()
        self._begin = 0
        """Bytes that were appended before those that are held."""
        self._listened = 0
        """How many of the bytes held turn detection has heard."""
        self._kept_ms = _KEPT_MS
        self._wanted: ServerVad | SemanticVad | None = None
        self._criteria: ServerVad | SemanticVad | None = None
        """What the present detector goes by."""
        self._detector: TurnDetector | None = None
        self.configure(audio_format, detection)

    @property
    def size(self) -> int:
        """Bytes of audio that are held."""
        return len(self._data)

    @property
    def pending_ms(self) -> float:
        """Milliseconds of audio that a commit would take."""
        return duration_ms(len(self._data), self._format)

    @property
    def end_ms(self) -> float:
        """Milliseconds of all audio ever appended."""
        return duration_ms(self._begin + len(self._data), self._format)

    @property
    def is_speaking(self) -> bool:
        """Whether a turn has begun and not ended."""
        return self._detector is not None and self._detector.is_speaking

    def configure(
        self, audio_format: AudioFormat, detection: ServerVad | SemanticVad | None
    ) -> bool:
        """Go by other settings from here on.

        A new way to detect turns waits for the end of the present one; no detection ends it at
        once, without a stop.  Audio in another format cannot be joined to what is there, which is
        dropped.

        Returns:
            Whether that ended a turn.
        """
        was_speaking = self.is_speaking
        if audio_format != self._format:
            # The axis is one of milliseconds, so it goes on where it was, counted in other bytes.
            self._begin = round(self.end_ms * bytes_per_ms(audio_format))
            self._data.clear()
            self._format = audio_format
            self._detector = self._criteria = None
        self._wanted = None if detection is None else _criteria(detection)
        # A silence after which the service speaks up becomes an item, so it has to be there still.
        self._kept_ms = max(_KEPT_MS, idle_timeout_ms(detection) or 0)
        self._settle()
        return was_speaking and not self.is_speaking

    def append(self, data: bytes) -> list[SpeechStarted | TurnEnded]:
        """Take more audio.

        Returns:
            What was noticed in it, in order; nothing for most appends.  The audio of turns that
            ended is not held any more.
        """
        self._data += data
        # Without turn detection everything stays until the client commits it.
        if self._detector is None:
            return []
        listened = self._whole(len(self._data))
        noticed = self._detector.append(self._decode(self._data[self._listened : listened]))
        self._listened = listened
        events: list[SpeechStarted | TurnEnded] = []
        for event in noticed:
            # Each turn leaves at once, so that it never is in the next one as well.
            if isinstance(event, SpeechStopped):
                events.append(
                    TurnEnded(
                        audio_end_ms=event.audio_end_ms,
                        audio=self._take(self._index(event.audio_end_ms)),
                    )
                )
            else:
                self._take(self._index(event.audio_start_ms))
                events.append(event)
        self._take(self._index(self._detector.keep_from_ms - self._kept_ms))
        self._settle()
        return events

    def take(self, start_ms: float = 0.0) -> bytes:
        """Empty the buffer.

        The present turn is over without a stop; if the user speaks on, that is another one.

        Args:
            start_ms: What was appended before that is dropped.

        Returns:
            What was in it.
        """
        self._take(self._index(start_ms))
        data = self._take(len(self._data))
        if self._detector is not None:
            self._detector.empty()
            self._settle()
        return data

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _is_pcm(self) -> bool:
        return self._format.type == PCM.type

    def _decode(self, data: bytearray) -> NDArray[np.int16]:
        if self._is_pcm:
            return np.frombuffer(data, "<i2")
        return mulaw_decode(data) if self._format.type == "audio/pcmu" else alaw_decode(data)

    def _index(self, milliseconds: float) -> int:
        """Where in the bytes that are held a position on the axis lies."""
        index = round(milliseconds * bytes_per_ms(self._format)) - self._begin
        return self._whole(min(max(0, index), len(self._data)))

    def _whole(self, size: int) -> int:
        """The bytes among so many that are whole samples; an append may end within one."""
        return size // 2 * 2 if self._is_pcm else size

    def _take(self, size: int) -> bytes:
        """Take bytes off the front."""
        data = bytes(self._data[:size])
        del self._data[:size]
        self._begin += size
        self._listened = max(0, self._listened - size)
        return data

    def _settle(self) -> None:
        """Let turn detection go by what is wanted, unless that would tear a turn."""
        if self._wanted == self._criteria or (self._wanted is not None and self.is_speaking):
            return
        # A new detector knows nothing of what was appended before, and never looks back at it.
        self._criteria, self._detector = self._wanted, None
        if self._wanted is not None:
            rate = PCM_RATE if self._is_pcm else G711_RATE
            self._detector = TurnDetector(
                self._wanted, rate=rate, start=round(self.end_ms * rate / 1000)
            )
            self._listened = self._whole(len(self._data))


def _criteria(detection: ServerVad | SemanticVad) -> ServerVad | SemanticVad:
    """What of the settings decides where turns begin and end.

    A change of anything else leaves the detector alone, with what it knows of the noise.
    """
    if isinstance(detection, ServerVad):
        return attrs.evolve(
            detection, create_response=None, interrupt_response=None, idle_timeout_ms=UNSET
        )
    return attrs.evolve(detection, create_response=None, interrupt_response=None)
