"""What of an answer remains when it is interrupted or truncated."""

from __future__ import annotations

import numpy as np
import pytest
from conversation_events import (
    added,
    answering,
    assistant,
    created,
    done,
    ended,
    ids,
    item_of,
    names,
    output_added,
    output_done,
    part,
    retrieved,
    session,
    sound,
    speech,
    started,
    tell,
    text,
    transcript,
    truncated,
    words,
)
from numpy.testing import assert_array_equal

from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    AudioDelta,
    DeltaDropped,
    Interrupted,
    ItemCompleted,
    ItemTruncated,
    ItemUpdated,
    TextDelta,
    TranscriptDelta,
)
from realtime_trio.events import (
    ContentPart,
    OutputAudio,
    ResponseCancel,
    ResponseContentPartDone,
    ResponseOutputAudioTranscriptDone,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionCreated,
    SessionUpdated,
    TranscriptionSession,
)

# --- what a server says, in short -----------------------------------------------------------------


def words_done(
    whole: str, item_id: str = "item_1", response_id: str = "resp_1"
) -> ResponseOutputAudioTranscriptDone:
    return ResponseOutputAudioTranscriptDone(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=0,
        transcript=whole,
    )


# --- interruptions --------------------------------------------------------------------------------


def test_the_users_speech_interrupts() -> None:
    conversation = answering()
    assert tell(conversation, started(120, "item_2")) == [
        Interrupted(item=None, audio_start_ms=120)
    ]
    tell(Conversation(), speech(sound(10)))
    conversation = answering()
    tell(conversation, speech(sound(10)))
    assert tell(conversation, started(120, "item_2")) == [
        Interrupted(item=item_of(conversation), audio_start_ms=120)
    ]


def test_speech_that_was_truncated_is_not_interrupted_again() -> None:
    conversation = answering()
    tell(conversation, speech(sound(10)), started(0, "item_2"), truncated(5))
    assert tell(conversation, started(120, "item_3")) == [
        Interrupted(item=None, audio_start_ms=120)
    ]


def test_speech_does_not_interrupt_where_it_must_not() -> None:
    conversation = answering()
    tell(
        conversation,
        SessionUpdated(
            event_id="e", session=session(turn_detection=ServerVad(interrupt_response=False))
        ),
    )
    assert names(tell(conversation, started(0, "item_2"), text("Hi"))) == ["ItemUpdated"]
    tell(
        conversation,
        SessionUpdated(
            event_id="e", session=session(turn_detection=ServerVad(interrupt_response=True))
        ),
    )
    assert names(tell(conversation, started(0, "item_3"))) == ["Interrupted"]


def test_in_a_transcription_session_there_is_nothing_to_interrupt() -> None:
    conversation = Conversation()
    tell(
        conversation,
        SessionCreated(
            event_id="e",
            session=TranscriptionSession(audio=SessionAudio(input=SessionAudioInput())),
        ),
    )
    assert tell(conversation, started(0)) == []


def test_stragglers_of_an_interrupted_response_are_marked_and_not_mixed_in() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, speech(sound(10)), words("Hello"), started(0, "item_2"))
    told = tell(conversation, speech(sound(5)), words(" world"), text("x", index=1))
    assert told == [
        DeltaDropped(item=item, delta=AudioDelta(sound(5))),
        DeltaDropped(item=item, delta=TranscriptDelta(" world")),
        DeltaDropped(item=item, delta=TextDelta("x")),
    ]
    assert (item.audio_ms, item.transcript) == (10, "Hello")


def test_the_words_of_an_interrupted_answer_are_what_the_model_remembers() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, words("Hello"), started(0, "item_2"))
    assert tell(conversation, words_done("Hello world")) == [ItemUpdated(item=item)]
    final = assistant("item_1", OutputAudio(None, "Hello world"), status="incomplete")
    assert tell(conversation, done(final), output_done(final), ended(status="cancelled")) == [
        ItemUpdated(item=item)
    ]
    assert (item.status, item.is_interrupted, item.transcript) == (
        "incomplete",
        True,
        "Hello world",
    )


def test_an_observer_learns_from_the_end_of_the_response_that_it_was_interrupted() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, output_done(assistant("item_1", status="incomplete")))
    assert not item.is_interrupted
    assert tell(conversation, ended(status="cancelled")) == [ItemUpdated(item=item)]
    assert item.is_interrupted


@pytest.mark.parametrize("response_id", [None, "resp_1"])
def test_what_arrives_after_our_own_cancellation_is_dropped(response_id: str | None) -> None:
    conversation = answering()
    conversation.sent(ResponseCancel(response_id=response_id))
    assert names(
        tell(conversation, text("Hi"), output_added(assistant("item_2")), text("Ho", "item_2"))
    ) == ["DeltaDropped"]
    assert names(tell(conversation, ended(status="cancelled"))) == ["ItemUpdated", "ItemAppended"]
    assert all(item.is_interrupted for item in conversation.items)


def test_cancelling_another_response_changes_nothing() -> None:
    conversation = answering()
    conversation.sent(ResponseCancel(response_id="resp_2"))
    assert names(tell(conversation, text("Hi"))) == ["ItemUpdated"]


def test_what_arrives_after_the_end_of_a_response_is_dropped() -> None:
    conversation = answering()
    tell(conversation, text("Hi"), ended(status="cancelled"))
    assert (
        names(tell(conversation, text("Hi"), speech(sound(1), index=1), words("x", index=1)))
        == ["DeltaDropped"] * 3
    )
    assert tell(conversation, text("Hi", "item_2"), output_added(assistant("item_3"))) == []
    assert ids(conversation) == ["item_1"]


def test_an_announced_item_whose_response_is_over_takes_no_deltas() -> None:
    conversation = Conversation()
    tell(conversation, created(), ended(), added(assistant("item_1")))
    assert names(tell(conversation, text("Hi"))) == ["DeltaDropped"]


def test_the_next_response_is_not_affected() -> None:
    conversation = answering()
    tell(conversation, started(0, "item_2"), ended(status="cancelled"))
    told = tell(
        conversation,
        created("resp_2"),
        output_added(assistant("item_3"), "resp_2"),
        text("Hi", "item_3", "resp_2"),
    )
    assert names(told) == ["ItemUpdated", "ItemAppended"]


# --- truncation -----------------------------------------------------------------------------------


def test_truncating_cuts_the_audio_to_whole_samples_and_clears_the_transcript() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, words("Hello"), speech(np.arange(24_001, dtype=np.int16)))
    assert tell(conversation, truncated(999)) == [ItemTruncated(item=item, audio_end_ms=999)]
    assert_array_equal(item.audio, np.arange(999 * 24_000 // 1000, dtype=np.int16))
    assert (item.transcript, item.parts) == ("", (OutputAudio(None, ""),))
    assert (item.heard_ms, item.audio_ms, item.is_interrupted) == (999, 999, True)


def test_truncating_cuts_the_part_it_names() -> None:
    conversation = answering()
    tell(
        conversation,
        words("one"),
        speech(sound(5)),
        words("two", index=1),
        speech(sound(5, 100), index=1),
        truncated(2, index=1),
    )
    item = item_of(conversation)
    assert item.transcript == "one"
    assert_array_equal(item.audio, [*sound(5), *sound(2, 100)])


def test_truncating_a_part_that_is_not_there_cuts_nothing() -> None:
    conversation = answering()
    tell(conversation, words("one"), speech(sound(5)))
    assert names(tell(conversation, truncated(2, index=7))) == ["ItemTruncated"]
    assert (item_of(conversation).transcript, item_of(conversation).audio_ms) == ("one", 5)


@pytest.mark.parametrize(("ms", "left"), [(10**12, 5), (-(10**12), 0), (5, 5), (0, 0)])
def test_truncating_keeps_within_what_there_is(ms: int, left: int) -> None:
    conversation = answering()
    tell(conversation, speech(sound(5)), truncated(ms))
    assert (item_of(conversation).audio_ms, item_of(conversation).heard_ms) == (left, left)


def test_truncating_an_item_without_audio_changes_no_audio() -> None:
    conversation = answering()
    tell(conversation, text("Hi"))
    assert names(tell(conversation, truncated(5))) == ["ItemTruncated"]
    assert (item_of(conversation).heard_ms, item_of(conversation).text) == (0, "Hi")


def test_an_unknown_item_cannot_be_truncated() -> None:
    conversation = Conversation()
    tell(conversation, transcript("Hi"))
    assert tell(conversation, truncated(5), truncated(5, "item_2")) == []


def test_nothing_that_was_not_heard_comes_back_after_a_truncation() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, words("Hello"), speech(sound(10)), truncated(4))
    assert names(tell(conversation, speech(sound(5)), words(" world"))) == [
        "DeltaDropped",
        "DeltaDropped",
    ]
    final = assistant("item_1", OutputAudio(None, "Hello world"), status="completed")
    whole = ContentPart(type="audio", transcript="Hello world")
    told = tell(
        conversation,
        words_done("Hello world"),
        part(ResponseContentPartDone, whole),
        done(final),
        output_done(final),
        ended(),
    )
    assert told == [ItemCompleted(item=item)]
    assert (item.transcript, item.audio_ms) == ("", 4)


def test_what_is_left_of_a_truncated_item_can_be_retrieved() -> None:
    conversation = answering()
    tell(
        conversation,
        words("Hello world"),
        speech(sound(10)),
        truncated(4),
        ended(status="cancelled"),
    )
    tell(
        conversation,
        retrieved(assistant("item_1", OutputAudio(sound(4), "Hello"), status="incomplete")),
    )
    assert (item_of(conversation).transcript, item_of(conversation).audio_ms) == ("Hello", 4)
