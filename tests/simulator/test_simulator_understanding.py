"""The words of the simulated server's user: where they come from, and what is told of them."""

from __future__ import annotations

import pytest
from casts import WHISPER, tone

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
    InputAudio,
    ServerEvent,
    Transcription,
    UserMessage,
)
from realtime_trio.simulator.script.script import Failure, Script
from realtime_trio.simulator.service.configuration import PCM
from realtime_trio.simulator.service.item_entry import ItemEntry
from realtime_trio.simulator.service.lifecycle import ServerOutbox, sequential_ids
from realtime_trio.simulator.service.questions import Questions, TranscriptWanted
from realtime_trio.simulator.service.understanding import Understanding

UNHEARD = Failure(None, "too loud")


class User:
    """An `Understanding` by itself, and what surrounds it."""

    def __init__(
        self, *transcripts: str | None, has_agent: bool = False, has_ears: bool = False
    ) -> None:
        self.questions = Questions(has_agent, has_ears)
        self.out = ServerOutbox(sequential_ids())
        performance = Script(transcripts=transcripts).perform()
        self.understanding = Understanding(performance, self.questions, self.out)

    def commit(
        self, settings: Transcription | None = None, *, ms: int = 500, is_silent: bool = False
    ) -> ItemEntry:
        item = UserMessage(content=[InputAudio(AudioData(tone(ms)))])
        entry = ItemEntry("item_1", item, PCM)
        self.understanding.commit(entry, settings, 1.0, is_silent=is_silent)
        return entry

    def go_on(self) -> list[ServerEvent]:
        """Have what is due said."""
        for task in self.understanding.tasks:
            while task.due is not None and task.due <= 100.0:
                task.advance()
        said, self.out.events = self.out.events, []
        return said

    def asked(self) -> list[str]:
        return [question.id for question in self.questions.take()]


def transcripts(events: list[ServerEvent]) -> list[str]:
    return [
        event.transcript
        for event in events
        if isinstance(event, ConversationItemInputAudioTranscriptionCompleted)
    ]


def test_only_transcriptions_that_are_over_are_forgotten() -> None:
    user = User("one", has_ears=True)
    user.commit(WHISPER)
    user.commit(WHISPER)  # the script has no words for it, so it waits for ears
    (first, second) = user.understanding.tasks
    user.understanding.forget_finished()
    assert list(user.understanding.tasks) == [first, second]
    assert transcripts(user.go_on()) == ["one"]
    user.understanding.forget_finished()
    assert list(user.understanding.tasks) == [second]
    user.understanding.finish("audio_1", "two", 2.0)
    assert transcripts(user.go_on()) == ["two"]
    user.understanding.forget_finished()
    assert list(user.understanding.tasks) == []


@pytest.mark.parametrize("has_ears", [False, True])
def test_in_a_silence_nothing_is_said_and_the_script_keeps_its_words(has_ears: bool) -> None:
    user = User("one", has_ears=has_ears)
    silence = user.commit(WHISPER, is_silent=True)
    assert transcripts(user.go_on()) == [""]
    assert silence.transcript == ""
    user.understanding.listen(silence)
    assert user.asked() == []
    user.commit(WHISPER)
    assert transcripts(user.go_on()) == ["one"]


def test_words_that_nobody_reads_stay_in_the_script() -> None:
    user = User("one")
    assert user.commit().transcript is None
    assert user.commit(WHISPER).transcript == "one"


@pytest.mark.parametrize("who", ["has_agent", "has_ears"])
def test_words_that_an_agent_reads_need_no_transcription(who: str) -> None:
    user = User("one", **{who: True})
    assert user.commit().transcript == "one"
    assert user.commit().transcript is None
    assert user.asked() == []
    assert list(user.understanding.tasks) == []


def test_without_ears_a_transcript_says_how_many_seconds_the_audio_has() -> None:
    user = User(has_agent=True)
    user.commit(WHISPER, ms=2550)
    user.commit(WHISPER, ms=12_050)
    assert transcripts(user.go_on()) == ["[2.5 seconds of audio]", "[12.1 seconds of audio]"]


def test_what_the_script_says_cannot_be_understood_is_not_asked_about() -> None:
    user = User(None, has_ears=True)
    entry = user.commit(WHISPER)
    (failed,) = user.go_on()
    assert isinstance(failed, ConversationItemInputAudioTranscriptionFailed)
    assert failed.error.code == "audio_unintelligible"
    user.understanding.listen(entry)
    assert user.asked() == []
    assert not user.understanding.awaits_any([entry])


def test_ears_are_asked_once_and_their_answer_is_that_of_its_item_alone() -> None:
    user = User(has_agent=True, has_ears=True)
    first, second = user.commit(WHISPER), user.commit(WHISPER)
    user.understanding.listen(first)
    (question, _) = user.questions.take()
    assert isinstance(question, TranscriptWanted)
    assert question.id == "audio_1"
    assert user.understanding.is_open("audio_1")
    assert user.understanding.awaits_any([first])
    assert user.understanding.finish("audio_1", "one", 2.0) is first
    assert not user.understanding.is_open("audio_1")
    assert not user.understanding.awaits_any([first])
    assert user.understanding.awaits_any([first, second])
    assert transcripts(user.go_on()) == ["one"]
    assert (first.transcript, second.transcript) == ("one", None)
    # A second answer to the same question is nobody's.
    assert user.understanding.finish("audio_1", "two", 3.0) is None
    assert first.transcript == "one"


def test_without_a_transcription_ears_are_asked_when_a_response_needs_the_words() -> None:
    user = User(has_agent=True, has_ears=True)
    entry = user.commit()
    assert user.asked() == []
    user.understanding.listen(entry)
    assert user.asked() == ["audio_1"]
    assert user.understanding.finish("audio_1", UNHEARD, 2.0) is entry
    assert entry.transcript is None
    user.understanding.listen(entry)
    assert user.asked() == []
