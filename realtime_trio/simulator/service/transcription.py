"""One piece of the user's speech being transcribed, beside the conversation and in its own time."""

from __future__ import annotations

import math

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
from realtime_trio.simulator.script.script import Failure
from realtime_trio.simulator.service.item_entry import ItemEntry
from realtime_trio.simulator.service.lifecycle import ServerOutbox, Steps, Task
from realtime_trio.simulator.service.usage import (
    USER_MS_PER_TOKEN,
    audio_tokens,
    text_tokens,
    tokenize,
)

UNINTELLIGIBLE = Failure(
    "audio_unintelligible", "The audio could not be transcribed.", "transcription_error"
)
"""Nobody can understand it."""


class RunningTranscription(Task):
    """A transcription from the commit to its last event.

    It waits until `finish` says what came of the audio.  The model understands the words as soon as
    they are known; the item that clients see gets them when the transcript is complete.

    Args:
        entry: The item with the audio.
        settings: The session's settings.
        delay: Seconds before the first event.
        tokens_per_second: Pace of the deltas.
        outbox: Where the events go.
        now: Time of the commit.
    """

    def __init__(
        self,
        entry: ItemEntry,
        settings: Transcription,
        *,
        delay: float,
        tokens_per_second: float,
        outbox: ServerOutbox,
        now: float,
    ) -> None:
        self._entry = entry
        # This model says all in one delta, and is billed by the second instead of by the token.
        self._by_duration = str(settings.model).endswith("whisper-1")
        self._tokens_per_second = tokens_per_second
        self._out = outbox
        self._outcome: str | Failure | None = None
        super().__init__(self._perform(now + delay))

    @property
    def entry(self) -> ItemEntry:
        """The item with the audio."""
        return self._entry

    def finish(self, outcome: str | Failure, now: float) -> None:
        """Take the words, or why the audio cannot be transcribed."""
        self._outcome = outcome
        self.wake(now)

    def _perform(self, now: float) -> Steps:
        # The wait comes first, even if the words are known: a script may want them to be late.
        yield now
        while self._outcome is None:
            now = yield math.inf
        item_id = self._entry.id
        if isinstance(self._outcome, Failure):
            failure = self._outcome
            error = TranscriptionErrorDetail(
                type=failure.type, code=failure.code, message=failure.message
            )
            self._out.send(
                ConversationItemInputAudioTranscriptionFailed(
                    event_id=self._out.event_id(), item_id=item_id, content_index=0, error=error
                )
            )
            return
        transcript = self._outcome
        # At the pace of the script, and whatever the answer is doing meanwhile.
        for delta in [transcript] if self._by_duration else tokenize(transcript):
            yield now
            self._out.send(
                ConversationItemInputAudioTranscriptionDelta(
                    event_id=self._out.event_id(), item_id=item_id, content_index=0, delta=delta
                )
            )
            now += 1 / self._tokens_per_second
        self._out.send(
            ConversationItemInputAudioTranscriptionCompleted(
                event_id=self._out.event_id(),
                item_id=item_id,
                content_index=0,
                transcript=transcript,
                usage=self._usage(transcript),
            )
        )
        # From now on the item is retrieved with its transcript.
        self._entry.become(self._entry.understood)

    def _usage(self, transcript: str) -> TranscriptionUsage:
        if self._by_duration:
            return DurationTranscriptionUsage(seconds=self._entry.heard_ms / 1000)
        heard = audio_tokens(self._entry.heard_ms, USER_MS_PER_TOKEN)
        written = text_tokens([transcript])
        return TokenTranscriptionUsage(
            input_tokens=heard,
            output_tokens=written,
            total_tokens=heard + written,
            input_token_details=TranscriptionTokenDetails(audio_tokens=heard),
        )
