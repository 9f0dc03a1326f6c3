"""A user who speaks, for tests of the turns that the simulated server detects.

Owns audio that is speech or silence, and a client that appends it as a microphone would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from service_client import Client, types
from simulated import SLOW

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.events import (
    Event,
    InputAudio,
    InputAudioBufferAppend,
    SessionConfig,
    SessionUpdate,
    Transcription,
    TranscriptionSessionConfig,
    TurnDetection,
    UserMessage,
)
from realtime_trio.simulator import Reply, Script, SimulatedServer

Samples = NDArray[np.int16]

RATE = 24
"""Samples in a millisecond."""
STORY = Reply.speech("Once upon a time.", np.arange(4 * 24_000, dtype=np.int16), pacing=SLOW)
"""Four seconds of speech, at its own speed, after a second."""

TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]
INTERRUPTED = [
    "input_audio_buffer.speech_started",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]


def tone(ms: int, hertz: int = 300) -> Samples:
    sine: Samples = (8000 * np.sin(np.arange(ms * RATE) * (2 * np.pi * hertz / 24_000))).astype(
        np.int16
    )
    return sine


def silence(ms: int) -> Samples:
    return np.zeros(ms * RATE, np.int16)


def spoken(ms: int = 500, after: int = 0) -> Samples:
    """Speech of so many milliseconds, after a silence, and enough silence to end the turn."""
    return np.concatenate((silence(after), tone(ms), silence(300)))


class Speaker(Client):
    """A client whose user speaks.

    Args:
        replies: What the model says.
        kind: What the session is for.
        detection: How turns are detected, if not as by default.
        transcription: Whether the user's speech is written down, and how.
        transcripts: What the user says.
    """

    def __init__(
        self,
        *replies: Reply,
        kind: SessionKind = SessionKind.REALTIME,
        detection: TurnDetection | None = None,
        transcription: Transcription | None = None,
        transcripts: Iterable[str | None] = (),
    ) -> None:
        super().__init__(
            server=SimulatedServer(Script(replies, transcripts=transcripts), kind=kind)
        )
        if detection is not None:
            self.update(turn_detection=detection)
        if transcription is not None:
            self.update(transcription=transcription)

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass; whatever is due is taken when it is due, as a shell does it."""
        until = self.now + seconds
        events: list[Event] = []
        while (due := self.server.next_due) is not None and due <= until:
            events += self.take(due)
        return events + self.take(until)

    def append(self, *pieces: Samples | bytes) -> list[Event]:
        """Append audio, all at once."""
        return self.send(*(InputAudioBufferAppend(audio=piece) for piece in pieces))

    def stream(self, samples: Samples, ms: int = 20) -> list[Event]:
        """Append audio as a microphone delivers it."""
        events: list[Event] = []
        for start in range(0, len(samples), ms * RATE):
            events += self.wait(ms / 1000) + self.append(samples[start : start + ms * RATE])
        return events

    def update(self, **changes: Any) -> None:
        """Change the configuration."""
        config = (
            TranscriptionSessionConfig
            if self.server.kind is SessionKind.TRANSCRIPTION
            else SessionConfig
        )
        assert types(self.send(SessionUpdate(session=config.of(**changes)))) == ["session.updated"]

    def heard(self, item_id: str) -> bytes:
        """The audio of one of the user's items."""
        item = self.item(item_id)
        assert isinstance(item, UserMessage)
        (part,) = item.content
        assert isinstance(part, InputAudio)
        assert part.audio is not None
        return part.audio.data


def without_deltas(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events if not event.type.endswith("delta")]
