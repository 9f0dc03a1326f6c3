"""Captions are told in the order of speech, whatever the order of the transcripts."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, strategies as st

from realtime_trio._state.captions import PATIENCE, Caption, Captions
from realtime_trio.events import (
    ConversationItemDeleted,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    DurationTranscriptionUsage,
    Event,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    RateLimitsUpdated,
    TranscriptionErrorDetail,
)

UNINTELLIGIBLE = TranscriptionErrorDetail(code="audio_unintelligible")


def committed(item: str) -> InputAudioBufferCommitted:
    return InputAudioBufferCommitted(event_id="", item_id=item)


def started(item: str, ms: int = 0) -> InputAudioBufferSpeechStarted:
    return InputAudioBufferSpeechStarted(event_id="", item_id=item, audio_start_ms=ms)


def stopped(item: str, ms: int = 0) -> InputAudioBufferSpeechStopped:
    return InputAudioBufferSpeechStopped(event_id="", item_id=item, audio_end_ms=ms)


def delta(item: str, text: str) -> ConversationItemInputAudioTranscriptionDelta:
    return ConversationItemInputAudioTranscriptionDelta(
        event_id="", item_id=item, content_index=0, delta=text
    )


def completed(item: str, text: str) -> ConversationItemInputAudioTranscriptionCompleted:
    usage = DurationTranscriptionUsage(seconds=1.0)
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="", item_id=item, content_index=0, transcript=text, usage=usage
    )


def failed(item: str) -> ConversationItemInputAudioTranscriptionFailed:
    return ConversationItemInputAudioTranscriptionFailed(
        event_id="", item_id=item, content_index=0, error=UNINTELLIGIBLE
    )


def deleted(item: str) -> ConversationItemDeleted:
    return ConversationItemDeleted(event_id="", item_id=item)


def told(captions: Captions, *events: Event) -> list[str]:
    """What is told, one `item: text` for each caption, with a full stop behind final ones."""
    return [
        f"{caption.item_id}: {caption.text}{'.' * caption.is_final}"
        for event in events
        for caption in captions.apply(event)
    ]


def test_a_caption_grows_with_every_delta_and_ends_with_the_whole() -> None:
    captions = Captions()
    assert told(captions, committed("a")) == []
    assert told(
        captions, delta("a", "Good"), delta("a", " mourning"), completed("a", "Good morning")
    ) == [
        "a: Good",
        "a: Good mourning",
        "a: Good morning.",
    ]


def test_deltas_without_words_are_no_news() -> None:
    assert told(Captions(), committed("a"), delta("a", "")) == []


def test_speech_without_words_ends_as_an_empty_caption() -> None:
    assert told(Captions(), committed("a"), completed("a", "")) == ["a: ."]


def test_a_failed_transcription_says_why_and_is_final() -> None:
    captions = Captions()
    assert told(captions, committed("a"), delta("a", "Mumble")) == ["a: Mumble"]
    assert captions.apply(failed("a")) == (
        Caption(item_id="a", text="", is_final=True, error=UNINTELLIGIBLE),
    )


def test_turn_detection_says_where_the_speech_is() -> None:
    captions = Captions()
    assert told(captions, started("a", 1200), stopped("a", 3400), committed("a")) == []
    assert captions.apply(completed("a", "Hello")) == (
        Caption(item_id="a", text="Hello", is_final=True, start_ms=1200, end_ms=3400),
    )


def test_a_faster_transcript_waits_for_the_line_before() -> None:
    captions = Captions()
    assert (
        told(captions, committed("a"), committed("b"), delta("b", "Two"), completed("b", "Two!"))
        == []
    )
    assert told(captions, delta("a", "One")) == ["a: One"]
    assert told(captions, completed("a", "One!")) == ["a: One!.", "b: Two!."]


def test_a_line_that_is_growing_when_its_turn_comes_is_told_as_far_as_it_is() -> None:
    captions = Captions()
    assert (
        told(captions, committed("a"), committed("b"), delta("b", "Two"), delta("b", " and")) == []
    )
    assert told(captions, failed("a"), delta("b", " a half")) == [
        "a: .",
        "b: Two and",
        "b: Two and a half",
    ]


def test_a_streaming_model_is_followed_before_the_commit() -> None:
    captions = Captions()
    assert told(
        captions,
        delta("a", "Once"),
        delta("a", " upon"),
        committed("a"),
        completed("a", "Once upon a time"),
    ) == [
        "a: Once",
        "a: Once upon",
        "a: Once upon a time.",
    ]


def test_speech_that_has_begun_holds_nobody_up() -> None:
    captions = Captions()
    assert told(captions, started("a"), committed("b"), completed("b", "Two")) == ["b: Two."]
    assert told(captions, committed("a"), completed("a", "One")) == ["a: One."]


def test_cleared_speech_is_no_line() -> None:
    captions = Captions()
    assert (
        told(captions, committed("a"), started("b", 100), InputAudioBufferCleared(event_id=""))
        == []
    )
    assert captions.apply(completed("a", "One"))
    assert captions.apply(completed("b", "Two")) == (
        Caption(item_id="b", text="Two", is_final=True),
    )


def test_a_deleted_line_gives_way_and_does_not_come_back() -> None:
    captions = Captions()
    assert told(captions, committed("a"), committed("b"), delta("b", "Two")) == []
    assert told(captions, deleted("a")) == ["b: Two"]
    assert told(captions, deleted("unheard of"), delta("a", "One"), completed("a", "One")) == []


def test_a_line_that_is_over_is_over() -> None:
    captions = Captions()
    assert told(captions, committed("a"), completed("a", "One")) == ["a: One."]
    stragglers = (
        started("a"),
        stopped("a"),
        committed("a"),
        delta("a", "One"),
        completed("a", "One"),
        failed("a"),
    )
    assert told(captions, *stragglers) == []


def test_a_transcript_that_never_comes_holds_up_only_so_many_lines() -> None:
    captions = Captions()
    late = [f"late {number}" for number in range(PATIENCE)]
    assert (
        told(
            captions,
            committed("never"),
            *map(committed, late),
            *(completed(item, "Yes") for item in late[:-1]),
        )
        == []
    )
    assert told(captions, completed(late[-1], "Yes")) == [f"{item}: Yes." for item in late]
    assert told(captions, committed("next"), completed("next", "And so on")) == ["next: And so on."]
    assert told(captions, delta("never", "After"), completed("never", "After all")) == [
        "never: After",
        "never: After all.",
    ]


def test_what_is_held_at_the_end_is_told_then() -> None:
    captions = Captions()
    assert (
        told(captions, committed("a"), committed("b"), committed("c"), completed("b", "Two")) == []
    )
    assert captions.rest() == (Caption(item_id="b", text="Two", is_final=True),)
    assert captions.rest() == ()


def test_many_lines_that_are_over_are_forgotten() -> None:
    captions = Captions()
    for number in range(100):
        assert told(captions, completed(str(number), "Yes")) == [f"{number}: Yes."]
    assert told(captions, completed("99", "Yes")) == []
    assert len(captions._over._ids) < 100


def test_events_about_something_else_tell_nothing() -> None:
    assert Captions().apply(RateLimitsUpdated(event_id="", rate_limits=())) == ()


ITEMS = st.sampled_from("abcdefgh")
MAKERS = st.sampled_from([committed, started, stopped, failed, deleted])
EVENTS = (
    st.builds(lambda make, item: make(item), MAKERS, ITEMS)
    | st.builds(delta, ITEMS, st.text(max_size=3))
    | st.builds(completed, ITEMS, st.text(max_size=3))
)


@given(st.lists(EVENTS, max_size=60))
def test_every_line_ends_once_and_says_nothing_afterwards(events: list[Event]) -> None:
    captions = Captions()
    told = [caption for event in events for caption in captions.apply(event)]
    told += captions.rest()
    ended: Counter[str] = Counter()
    for caption in told:
        assert not ended[caption.item_id]
        ended[caption.item_id] += caption.is_final


@given(st.permutations("abcd"), st.integers(0, 3))
def test_complete_transcripts_come_in_the_order_of_the_commits(
    order: list[str], failing: int
) -> None:
    captions = Captions()
    told = [caption for item in "abcd" for caption in captions.apply(committed(item))]
    for position, item in enumerate(order):
        told += captions.apply(failed(item) if position == failing else completed(item, item))
    overtaken = order.index("a") == PATIENCE
    assert [caption.item_id for caption in told] == (
        ["b", "c", "d", "a"] if overtaken else ["a", "b", "c", "d"]
    )
