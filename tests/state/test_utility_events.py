"""Utility events read well in a match statement."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from realtime_trio._state.conversation.item import ConversationItem, TranscriptSegment
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    Delta,
    DeltaDropped,
    InputTranscriptDelta,
    InputTranscriptSegment,
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemEvent,
    ItemTruncated,
    ItemUpdated,
    TextDelta,
    TranscriptDelta,
    UtilityEvent,
)
from realtime_trio.audio import AudioData, mulaw_decode
from realtime_trio.events import Event

ITEM = ConversationItem(id="item_1", type="message", role="assistant")


def words(event: Event) -> str:
    match event:
        case ItemUpdated(delta=TextDelta(text) | TranscriptDelta(text)):
            return text
        case ItemUpdated(item=item, delta=AudioDelta(samples)):
            return f"{len(samples)} samples for {item.id}"
        case ItemUpdated(delta=ArgumentsDelta(text)):
            return f"arguments {text}"
        case ItemUpdated(delta=InputTranscriptDelta(text)):
            return f"user: {text}"
        case ItemUpdated(delta=InputTranscriptSegment(segment)):
            return f"{segment.speaker}: {segment.text}"
        case ItemUpdated(delta=None):
            return "look at the item"
        case _:
            return ""


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (TextDelta("a"), "a"),
        (TranscriptDelta("b"), "b"),
        (AudioDelta(AudioData(b"\x01\x00\x02\x00")), "2 samples for item_1"),
        (ArgumentsDelta("{}"), "arguments {}"),
        (InputTranscriptDelta("c"), "user: c"),
        (InputTranscriptSegment(TranscriptSegment("d", "A", 0.0, 1.0)), "A: d"),
        (None, "look at the item"),
    ],
)
def test_deltas_match_by_position(delta: Delta | None, expected: str) -> None:
    assert words(ItemUpdated(item=ITEM, delta=delta)) == expected


def test_other_events_match_nothing() -> None:
    assert words(ItemAppended(item=ITEM)) == ""


def test_a_text_delta_is_not_a_transcript_delta() -> None:
    deltas: set[Delta] = {TextDelta("a"), TranscriptDelta("a"), TextDelta("a")}
    assert len(deltas) == 2


def test_an_audio_delta_takes_whatever_holds_audio() -> None:
    samples = np.array([1, -2], np.int16)
    delta = AudioDelta(samples)
    assert_array_equal(delta.samples, samples)
    assert delta == AudioDelta(AudioData(samples.tobytes()))


def test_an_audio_delta_is_decoded_by_its_encoding() -> None:
    assert_array_equal(
        AudioDelta(AudioData(b"\x00\xff"), "audio/pcmu").samples, mulaw_decode(b"\x00\xff")
    )


def test_broken_base64_does_not_end_the_loop_that_reads_it() -> None:
    assert not AudioDelta(AudioData.from_base64("not base64!!")).samples.any()


def test_utility_events_are_events_that_cannot_be_changed() -> None:
    event = ItemAppended(item=ITEM)
    assert isinstance(event, UtilityEvent)
    assert isinstance(event, Event)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.item = ITEM  # type: ignore[misc]  # that is the point


def test_every_change_of_an_item_is_an_item_event() -> None:
    changes: list[ItemEvent] = [
        ItemAppended(item=ITEM),
        ItemUpdated(item=ITEM),
        ItemCompleted(item=ITEM),
        ItemTruncated(item=ITEM, audio_end_ms=100),
        ItemDeleted(item=ITEM),
    ]
    assert [change.item for change in changes] == [ITEM] * 5
    assert {type(change) for change in changes} == set(ItemEvent.__subclasses__())


def test_what_changes_no_item_is_not_an_item_event() -> None:
    assert not isinstance(DeltaDropped(item=ITEM, delta=TextDelta("late")), ItemEvent)
