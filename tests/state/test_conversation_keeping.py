"""A journal follows its conversation: what it says at any moment is what the conversation is."""

from __future__ import annotations

import numpy as np
from conversation_events import (
    added,
    answering,
    assistant,
    committed,
    created,
    deleted,
    done,
    ended,
    output_added,
    output_done,
    retrieved,
    sound,
    speech,
    tell,
    transcribed,
    truncated,
    user,
    words,
)
from crowds import DONE, SAID
from histories import restored
from hypothesis import given, settings, strategies as st

from realtime_trio._state.conversation.history import json_ready
from realtime_trio._state.conversation.journal import Gone, Journal, JournalLine, Put
from realtime_trio._state.conversation.keeping import NOTED, Keeper
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    Event,
    InputAudio,
    InputAudioBufferAppend,
    OutputAudio,
    ServerEvent,
    UserMessage,
)


class Kept:
    """A conversation and the journal that follows it."""

    def __init__(
        self,
        conversation: Conversation | None = None,
        journal: Journal | None = None,
        *,
        audio: bool = False,
    ) -> None:
        self.conversation = conversation or Conversation()
        self.journal = journal or Journal()
        self.keeper = Keeper(self.conversation, list(self.journal.order), audio=audio)

    def tell(self, *said: Event) -> None:
        """Let the server say something; the keeper is told of it what it wants to know."""
        for event in said:
            for noted in (event, *tell(self.conversation, event)):
                if isinstance(noted, NOTED):
                    self.keeper.note(noted)

    def lines(self, *, is_last: bool = False) -> list[JournalLine]:
        found = self.keeper.lines(is_last=is_last)
        for line in found:
            self.journal.take(line)
        return found

    @property
    def ids(self) -> list[str]:
        return list(self.journal.order)


def test_an_item_is_written_when_it_has_its_form() -> None:
    kept = Kept()
    kept.tell(added(user("item_1", "Hello")))
    (line,) = kept.lines()
    assert line == Put("item_1", None, kept.conversation.export()[0])
    kept.tell(done(user("item_1", "Hello")))
    assert kept.lines() == []
    kept.tell(created(), output_added(assistant("item_2")), added(assistant("item_2"), "item_1"))
    kept.tell(words("Hi.", "item_2"))
    assert kept.lines() == []
    whole = assistant("item_2", OutputAudio(None, "Hi."), status="completed")
    kept.tell(done(whole, "item_1"), output_done(whole), ended(output=[whole]))
    assert kept.lines() == [Put("item_2", "item_1", kept.conversation.export()[1])]


def test_a_transcript_that_comes_late_is_written_then() -> None:
    kept = Kept()
    spoken = UserMessage(id="item_1", content=[InputAudio()])
    kept.tell(committed(), added(spoken), done(spoken))
    assert len(kept.lines()) == 1
    kept.tell(transcribed("Hello?"))
    assert len(kept.lines()) == 1
    assert kept.journal.items == kept.conversation.export()


def test_an_answer_that_was_cut_short_is_written_as_far_as_it_came() -> None:
    kept = Kept(answering())
    kept.tell(words("Once upon"), speech(sound(1000)), ended(status="cancelled"))
    kept.tell(output_done(assistant("item_1", status="incomplete")))
    kept.tell(done(assistant("item_1", status="incomplete")))
    kept.lines()
    kept.tell(truncated(500))
    kept.lines()
    assert kept.journal.items == kept.conversation.export()
    assert kept.journal.items[0]["content"] == [
        {"type": "output_audio", "transcript": "Once", "heard_ms": 500, "is_estimate": True}
    ]


def test_what_the_server_says_of_an_item_later_is_written_then() -> None:
    kept = Kept(answering())
    whole = assistant("item_1", OutputAudio(None, "one two three"), status="completed")
    kept.tell(words("one two three"), speech(sound(1000)), done(whole), ended(output=[whole]))
    kept.tell(truncated(500))
    kept.lines()
    kept.tell(retrieved(assistant("item_1", OutputAudio(None, "one two"), status="completed")))
    assert len(kept.lines()) == 1
    assert kept.journal.items[0]["content"] == [
        {"type": "output_audio", "transcript": "one two", "heard_ms": 500, "is_estimate": False}
    ]


def test_what_a_response_leaves_unfinished_is_written_when_it_ends() -> None:
    kept = Kept(answering())
    kept.tell(words("Once upon"))
    kept.tell(ended(status="cancelled", output=[assistant("item_1", status="incomplete")]))
    assert [line.item_id for line in kept.lines()] == ["item_1"]


def test_what_is_deleted_is_gone() -> None:
    kept = Kept()
    kept.tell(added(user("item_1", "a")), added(user("item_2", "b"), "item_1"))
    kept.lines()
    kept.tell(deleted("item_1"), deleted("item_2"), added(user("item_2", "c")))
    assert kept.lines()[0] == Gone("item_1")
    assert kept.journal.items == kept.conversation.export()


def test_what_comes_and_goes_between_two_looks_is_never_written() -> None:
    kept = Kept()
    kept.tell(added(user("item_1", "a")), deleted("item_1"))
    assert kept.lines() == []


def test_an_item_that_is_written_late_stands_where_it_belongs() -> None:
    kept = Kept()
    kept.tell(added(user("item_0", "a")), created())
    kept.tell(output_added(assistant("item_1")), added(assistant("item_1"), "item_0"))
    kept.tell(words("Well"), added(user("item_2", "b"), "item_1"))
    kept.lines()
    assert kept.ids == ["item_0", "item_2"]
    whole = assistant("item_1", OutputAudio(None, "Well"), status="completed")
    kept.tell(done(whole, "item_0"))
    kept.lines()
    assert kept.ids == ["item_0", "item_1", "item_2"]


def test_what_was_stored_stays_as_it_was_written_until_it_changes() -> None:
    before = Kept(answering())
    before.tell(words("Hello you"), speech(sound(1000)), ended())
    before.tell(done(assistant("item_1", OutputAudio(None, "Hello you"), status="completed")))
    before.lines()
    stored = before.journal.items

    conversation = Conversation()
    for create in restored(stored).events:
        tell(conversation, added(create.item))
    kept = Kept(conversation, before.journal)
    assert kept.lines() == []
    kept.keeper.note_all()
    assert kept.lines(is_last=True) == []
    assert kept.journal.items == stored


def test_what_of_a_stored_conversation_is_not_in_the_session_is_gone() -> None:
    journal = Journal()
    for number in range(3):
        journal.take(Put(f"item_{number}", f"item_{number - 1}", {"id": f"item_{number}"}))
    conversation = Conversation()
    tell(conversation, added(user("item_new", "in short")), added(user("item_2", "c"), "item_new"))
    kept = Kept(conversation, journal)
    kept.lines()
    assert kept.ids == ["item_new", "item_2"]


def test_after_events_that_were_missed_everything_is_looked_at() -> None:
    kept = Kept()
    kept.lines()
    tell(kept.conversation, added(user("item_1", "a")), added(user("item_2", "b"), "item_1"))
    assert kept.lines() == []
    kept.keeper.note_all()
    kept.lines()
    assert kept.ids == ["item_1", "item_2"]
    tell(kept.conversation, deleted("item_1"))
    kept.keeper.note_all()
    assert kept.lines() == [Gone("item_1")]


def test_lines_that_could_not_be_appended_are_due_again() -> None:
    kept = Kept()
    kept.tell(added(user("item_1", "a")), added(user("item_2", "b"), "item_1"))
    kept.lines()
    kept.tell(deleted("item_1"), added(user("item_3", "c"), "item_2"))
    failed = kept.keeper.lines()
    kept.keeper.undo(failed)
    assert sorted(line.item_id for line in kept.lines()) == ["item_1", "item_3"]
    assert kept.journal.items == kept.conversation.export()


def test_what_is_in_flight_at_the_end_is_written_as_it_is() -> None:
    kept = Kept(answering())
    kept.tell(words("Once upon"))
    assert kept.lines() == []
    kept.lines(is_last=True)
    assert json_ready(kept.journal.items) == kept.conversation.export()


def test_audio_is_written_if_it_is_wanted() -> None:
    kept = Kept(audio=True)
    audio = AudioData(sound(100))
    kept.conversation.sent(InputAudioBufferAppend(audio=audio))
    spoken = UserMessage(id="item_1", content=[InputAudio()])
    kept.tell(committed(), done(spoken))
    (line,) = kept.lines()
    assert isinstance(line, Put)
    assert line.item["content"] == [
        {
            "type": "input_audio",
            "transcript": None,
            "audio": audio,
            "format": {"type": "audio/pcm", "rate": 24000},
        }
    ]


def test_events_that_concern_nobody_change_nothing() -> None:
    kept = Kept()
    kept.lines()
    kept.keeper.note(retrieved(user("item_x", "?")))
    kept.keeper.note(InputAudioBufferAppend(audio=np.zeros(1, np.int16)))
    assert kept.lines() == []


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.one_of(SAID, SAID, SAID, DONE), st.booleans()),
        max_size=25,
    )
)
def test_whatever_happens_the_journal_says_what_the_conversation_is(
    steps: list[tuple[Event, bool]],
) -> None:
    kept = Kept()
    for event, is_written in steps:
        if isinstance(event, ServerEvent):
            kept.tell(event)
        else:
            kept.conversation.sent(event)
        if is_written:
            kept.lines()
            items = kept.conversation.items
            complete = {item.id for item in items if item.is_complete}
            assert complete <= set(kept.ids) <= {item.id for item in items}
    kept.lines(is_last=True)
    assert json_ready(kept.journal.items) == kept.conversation.export()
