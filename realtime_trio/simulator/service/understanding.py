"""What the user says: where the server has the words from, and the transcripts it makes of them.

Owns the transcriptions under way, and which audio ears are asked about.  What the model does with
the words is not known here.

Theory of operation.  The model hears audio and never waits for a transcript, so there are two
times: that at which the words are known, and that at which clients are told, which may be after the
answer.  Words come from the script as long as it has any, and else from ears; without ears, a
transcript says how long the audio is.
"""

from __future__ import annotations

from collections.abc import Sequence

from realtime_trio.events import Transcription
from realtime_trio.simulator.script.script import Failure, Performance
from realtime_trio.simulator.service.item_entry import ItemEntry
from realtime_trio.simulator.service.lifecycle import ServerOutbox, Task
from realtime_trio.simulator.service.questions import Hearing, Questions
from realtime_trio.simulator.service.transcription import UNINTELLIGIBLE, RunningTranscription


class Understanding:
    """The words of one session's user.

    Args:
        performance: Says what the user says, as far as the script does.
        questions: Where ears are asked.
        outbox: Where the events of transcriptions go.
    """

    def __init__(
        self, performance: Performance, questions: Questions, outbox: ServerOutbox
    ) -> None:
        self._performance = performance
        self._questions = questions
        self._hearing = Hearing(questions.ask)
        self._out = outbox
        self._transcriptions: list[RunningTranscription] = []

    @property
    def tasks(self) -> Sequence[Task]:
        """The transcriptions under way."""
        return self._transcriptions

    def forget_finished(self) -> None:
        """Drop the transcriptions that are over."""
        self._transcriptions = [
            transcription for transcription in self._transcriptions if transcription.due is not None
        ]

    def commit(
        self, entry: ItemEntry, settings: Transcription | None, now: float, *, is_silent: bool
    ) -> None:
        """Take note of audio that became an item.

        Args:
            entry: The item.
            settings: How it is transcribed, None if it is not.
            now: The present time.
            is_silent: Whether it is known that nothing is said in it.
        """
        if settings is not None:
            self._transcriptions.append(
                RunningTranscription(
                    entry,
                    settings,
                    delay=self._performance.transcription_wait(),
                    tokens_per_second=self._performance.pacing.tokens_per_second,
                    outbox=self._out,
                    now=now,
                )
            )
        is_transcribed = settings is not None
        has_ears = self._questions.has_ears
        if not (is_transcribed or self._questions.has_agent or has_ears):
            # Nobody reads the words, so the script keeps its transcript for audio that needs one.
            return
        # A silence uses up no transcript: those of the script are for what the user says.
        if is_silent:
            self._understand(entry, "", now)
        elif self._performance.has_transcripts or (is_transcribed and not has_ears):
            words = self._performance.transcribe(entry.heard_ms / 1000)
            self._understand(entry, UNINTELLIGIBLE if words is None else words, now)
        elif is_transcribed:
            # With no transcription ears are asked only when a response needs the words.
            self.listen(entry)

    def listen(self, entry: ItemEntry) -> None:
        """Ask ears what the user says in an item, unless that is known or was asked."""
        self._hearing.listen(entry)

    def awaits_any(self, entries: Sequence[ItemEntry]) -> bool:
        """Whether it is not known yet what the user says in one of these items, and will be."""
        return self._hearing.awaits_any(entries)

    def is_open(self, question_id: str) -> bool:
        """Whether ears were asked this and have not answered yet."""
        return self._hearing.is_open(question_id)

    def finish(self, question_id: str, outcome: str | Failure, now: float) -> ItemEntry | None:
        """Take the answer of ears; returns the item it is about, None if nobody wanted it."""
        entry = self._hearing.finish(question_id)
        if entry is not None:
            self._understand(entry, outcome, now)
        return entry

    def _understand(self, entry: ItemEntry, outcome: str | Failure, now: float) -> None:
        """Note what the user says in an item, and tell those who wait for it."""
        # Later responses read this item again; what is understood once is never asked about.
        self._hearing.skip(entry)
        if isinstance(outcome, str):
            entry.understand(outcome)
        for transcription in self._transcriptions:
            if transcription.entry is entry:
                transcription.finish(outcome, now)
