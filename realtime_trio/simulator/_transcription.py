"""One piece of the user's speech being transcribed: beside the conversation, and in its own time."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_trio.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    DurationTranscriptionUsage,
    TokenTranscriptionUsage,
    Transcription,
    TranscriptionErrorDetail,
    TranscriptionTokenDetails,
    TranscriptionUsage,
)
from realtime_trio.simulator._conversation import Entry
from realtime_trio.simulator._lifecycle import Outbox, Task
from realtime_trio.simulator._usage import USER_MS_PER_TOKEN, audio_tokens, text_tokens, tokenize


class RunningTranscription(Task):
    """A transcription from the commit to its last event.

    The model hears at once what is said, so the transcript is part of what it understands from the beginning; the item that clients see
    gets it when it is complete.

    Args:
        entry: The item with the audio.
        transcript: What is said, None if it cannot be understood.
        settings: The session's settings.
        delay: Seconds before the first event.
        tokens_per_second: Pace of the deltas.
        outbox: Where the events go.
        now: Time of the commit.
    """

    def __init__(
        self,
        entry: Entry,
        transcript: str | None,
        settings: Transcription,
        *,
        delay: float,
        tokens_per_second: float,
        outbox: Outbox,
        now: float,
    ) -> None:
        self._entry = entry
        self._by_duration = str(settings.model).endswith("whisper-1")
        self._tokens_per_second = tokens_per_second
        self._out = outbox
        entry.transcript = transcript
        super().__init__(self._perform(now + delay))

    def _perform(self, now: float) -> Iterator[float]:
        yield now
        item_id, transcript = self._entry.id, self._entry.transcript
        if transcript is None:
            error = TranscriptionErrorDetail(
                type="transcription_error", code="audio_unintelligible", message="The audio could not be transcribed."
            )
            self._out.send(
                ConversationItemInputAudioTranscriptionFailed(event_id=self._out.event_id(), item_id=item_id, content_index=0, error=error)
            )
            return
        for delta in [transcript] if self._by_duration else tokenize(transcript):
            yield now
            self._out.send(
                ConversationItemInputAudioTranscriptionDelta(event_id=self._out.event_id(), item_id=item_id, content_index=0, delta=delta)
            )
            now += 1 / self._tokens_per_second
        self._out.send(
            ConversationItemInputAudioTranscriptionCompleted(
                event_id=self._out.event_id(), item_id=item_id, content_index=0, transcript=transcript, usage=self._usage(transcript)
            )
        )
        self._entry.item = self._entry.understood

    def _usage(self, transcript: str) -> TranscriptionUsage:
        if self._by_duration:
            return DurationTranscriptionUsage(seconds=self._entry.heard_ms / 1000)
        heard, written = audio_tokens(self._entry.heard_ms, USER_MS_PER_TOKEN), text_tokens([transcript])
        return TokenTranscriptionUsage(
            input_tokens=heard,
            output_tokens=written,
            total_tokens=heard + written,
            input_token_details=TranscriptionTokenDetails(audio_tokens=heard),
        )
