"""Captions: what was said, in the order in which it was said.

Owns the order of transcripts.  Pure: it is told every server event and tells captions.  It refuses
to know how they are shown.

Theory of operation.  Every piece of speech that the server commits is a line, and so is one that it
transcribes before that, as streaming models do.  The transcription of the oldest line is told as it
grows; those of later lines may be faster, and are held until it is their turn.  A server that owes
the transcript of a line must not hold up the others for ever, so a line gives way once several
later ones are complete; its transcript is then told whenever it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from attrs import define

from realtime_trio._frozen import frozen
from realtime_trio._state.reactions import Reactions
from realtime_trio._state.recent import Recent
from realtime_trio._state.utility_events import UtilityEvent
from realtime_trio.events import (
    ConversationItemDeleted,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    Event,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    TranscriptionErrorDetail,
)

PATIENCE: Final = 3
"""Complete lines that wait for one that is not.  Transcriptions run side by side and are about
equally fast: one or two overtake."""
_REMEMBERED: Final = 64
"""Lines that are over, for stragglers; they follow within moments."""


@frozen(kw_only=True)
class Caption(UtilityEvent):
    """What is known of one piece of speech.

    Replaces what was told of the same `item_id` before.
    """

    item_id: str
    """The user message.  The final caption of one comes before the first of the next, unless the
    server leaves out a transcript."""
    text: str
    """All of its transcript so far; empty in a final caption if there were no words or the
    transcription failed."""
    is_final: bool
    """Whether nothing follows for this item."""
    error: TranscriptionErrorDetail | None = None
    """Why the transcription failed, if it did."""
    start_ms: int | None = None
    """Where the speech begins, in milliseconds of audio appended since the session began; None
    without turn detection."""
    end_ms: int | None = None
    """Where it ends; None until turn detection has said so."""


@define(eq=False)
class _Line:
    item_id: str
    start_ms: int | None = None
    end_ms: int | None = None
    text: str = ""
    error: TranscriptionErrorDetail | None = None
    is_awaited: bool = False
    """Whether later lines wait for its transcript."""
    is_overdue: bool = False
    """Whether they do not any more."""
    is_final: bool = False
    has_news: bool = False

    def caption(self) -> Caption:
        self.has_news = False
        return Caption(
            item_id=self.item_id,
            text=self.text,
            is_final=self.is_final,
            error=self.error,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
        )


class Captions:
    """The lines of one session that are not over."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._over = Recent(_REMEMBERED)

    def apply(self, event: Event) -> tuple[Caption, ...]:
        """Take one server event; return the captions that can be told now."""
        react = self.reactions[type(event)]
        if react is None:
            return ()
        react(self, event)
        return tuple(self._told())

    def _on_delta(self, event: ConversationItemInputAudioTranscriptionDelta) -> None:
        if (line := self._line(event.item_id, is_awaited=True)) and event.delta:
            line.text += event.delta
            line.has_news = True

    def _on_completed(self, event: ConversationItemInputAudioTranscriptionCompleted) -> None:
        self._finish(event.item_id, event.transcript)

    def _on_failed(self, event: ConversationItemInputAudioTranscriptionFailed) -> None:
        self._finish(event.item_id, "", event.error)

    def _finish(
        self, item_id: str, text: str, error: TranscriptionErrorDetail | None = None
    ) -> None:
        if line := self._line(item_id, is_awaited=True):
            line.text, line.error = text, error
            line.is_final = line.has_news = True

    def _on_speech_started(self, event: InputAudioBufferSpeechStarted) -> None:
        if line := self._line(event.item_id):
            line.start_ms = event.audio_start_ms

    def _on_speech_stopped(self, event: InputAudioBufferSpeechStopped) -> None:
        if line := self._line(event.item_id):
            line.end_ms = event.audio_end_ms

    def _on_committed(self, event: InputAudioBufferCommitted) -> None:
        self._line(event.item_id, is_awaited=True)

    def _on_cleared(self, _: InputAudioBufferCleared) -> None:
        # With the speech that had begun.
        self._lines = {item_id: line for item_id, line in self._lines.items() if line.is_awaited}

    def _on_deleted(self, event: ConversationItemDeleted) -> None:
        self._lines.pop(event.item_id, None)
        self._over.add(event.item_id)

    def rest(self) -> tuple[Caption, ...]:
        """What is still held, once no more events will come."""
        lines, self._lines = self._lines, {}
        return tuple(line.caption() for line in lines.values() if line.has_news)

    def _line(self, item_id: str, *, is_awaited: bool = False) -> _Line | None:
        """The line of this item, made if it is new; None if it is over."""
        if item_id in self._over:
            return None
        line = self._lines.get(item_id)
        if line is None:
            line = self._lines[item_id] = _Line(item_id)
        line.is_awaited = line.is_awaited or is_awaited
        return line

    def _told(self) -> Iterator[Caption]:
        for line in list(self._lines.values()):
            # An overdue line does not hold up the others, but is still told as it grows.
            if line.has_news:
                yield line.caption()
            if line.is_final:
                del self._lines[line.item_id]
                self._over.add(line.item_id)
            elif line.is_awaited and not line.is_overdue:
                # The lines are in order, so everything from here on waits for this one.
                if sum(later.is_final for later in self._lines.values()) < PATIENCE:
                    return
                line.is_overdue = True

    reactions: ClassVar[Reactions[Captions, None]] = Reactions(
        {
            ConversationItemDeleted: _on_deleted,
            ConversationItemInputAudioTranscriptionCompleted: _on_completed,
            ConversationItemInputAudioTranscriptionDelta: _on_delta,
            ConversationItemInputAudioTranscriptionFailed: _on_failed,
            InputAudioBufferCleared: _on_cleared,
            InputAudioBufferCommitted: _on_committed,
            InputAudioBufferSpeechStarted: _on_speech_started,
            InputAudioBufferSpeechStopped: _on_speech_stopped,
        }
    )
    """What begins, times, tells or ends a line."""
