"""Since when nothing has happened in a session, as far as its events say.

Owns who speaks, and the time of the last event that anybody wanted.  Pure: it is told the time.  It
refuses to know whether a response or a tool is under way, which the turns and the calls know; their
ends are events that are noted here.
"""

from __future__ import annotations

from typing import ClassVar, Final

from realtime_trio._state.reactions import Reactions
from realtime_trio.events import (
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)

SILENT_MICROPHONE_S: Final = 5.0
"""Without any audio for so long nobody speaks: live audio comes every 20 to 100 ms, silence
included, and a network that is late by more is not worth talking over."""
LONGEST_SPEECH_S: Final = 120.0
"""Longer than people speak at a stretch."""


class Idleness:
    """Since when nothing has happened.

    Args:
        now: The time, in seconds of any clock that does not go back.
    """

    def __init__(self, now: float) -> None:
        self._last = now
        self._speaks_since: float | None = None
        self._last_audio: float | None = None

    def since(self, now: float) -> float:
        """When something happened for the last time; `now` while the user speaks."""
        if self._speaks_since is None:
            return self._last
        # A microphone that is muted in the middle of a word never lets it be heard to end.
        until = self._speaks_since + LONGEST_SPEECH_S
        if self._last_audio is not None:
            until = min(until, max(self._speaks_since, self._last_audio) + SILENT_MICROPHONE_S)
        return max(self._last, min(now, until))

    def note(self, now: float) -> None:
        """Note that something happens."""
        self._last = max(self._last, now)

    def sent(self, event: Event, now: float, *, is_detecting: bool) -> None:
        """Note what is sent.

        Args:
            event: What it is.
            now: The time.
            is_detecting: Whether the server detects turns, so that audio alone says nothing.
        """
        if isinstance(event, InputAudioBufferAppend):
            self._last_audio = now
            if is_detecting:
                return
        self.note(now)

    def apply(self, event: ServerEvent, now: float) -> None:
        """Take note of a server event; most are of no interest."""
        react = self.reactions[type(event)]
        if react is not None:
            react(self, now)
            self.note(now)

    def _on_speech_started(self, now: float) -> None:
        self._speaks_since = now

    def _on_speech_ended(self, _: float) -> None:
        self._speaks_since = None

    def _on_other(self, _: float) -> None:
        """It has happened, and that is all."""

    reactions: ClassVar[Reactions[Idleness, None]] = Reactions(
        {
            ErrorEvent: _on_other,
            InputAudioBufferCleared: _on_speech_ended,
            InputAudioBufferCommitted: _on_speech_ended,
            InputAudioBufferSpeechStarted: _on_speech_started,
            InputAudioBufferSpeechStopped: _on_speech_ended,
            ResponseCreated: _on_other,
            ResponseDone: _on_other,
        }
    )
    """What happens: what somebody says, and the beginnings and ends of what is under way."""
