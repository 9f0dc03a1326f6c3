"""What may still be audible when the user begins to speak."""

from __future__ import annotations

import pytest
from conversation_events import (
    answering,
    created,
    ended,
    item_of,
    sound,
    speech,
    started,
    tell,
    truncated,
)

from realtime_trio._state.conversation.audible import PLAYER_LAG_S, Audible
from realtime_trio._state.conversation.item import ConversationItem, GrowingPart, GrowingResponse
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import Interrupted
from realtime_trio.audio.track import AudioTrack
from realtime_trio.events import ConversationItemDeleted, Event


def message(name: str, seconds: float, *, is_over: bool = True) -> ConversationItem:
    item = ConversationItem(
        id=name, type="message", response=GrowingResponse("resp", is_over=is_over)
    )
    part = item._parts[0] = GrowingPart("output_audio", track=AudioTrack(keep=False))
    assert part.track is not None
    part.track.received = round(seconds * part.track.rate)
    return item


def test_what_arrived_is_audible_until_it_has_been_played() -> None:
    audible, item = Audible(), message("a", 4)
    assert audible.at(0) is None
    audible.begin(item, 10)
    audible.end(10.5)  # faster than it is played
    assert audible.at(10.5) is item
    assert audible.at(13.9) is item
    assert audible.at(14 + PLAYER_LAG_S - 0.1) is item
    assert audible.at(14 + PLAYER_LAG_S) is None


def test_the_end_of_a_long_answer_is_not_missed() -> None:
    audible, item = Audible(), message("a", 100)
    audible.begin(item, 0)
    audible.end(0)
    assert audible.at(100 + PLAYER_LAG_S - 0.05) is item


def test_what_came_slowly_is_not_played_before_it_has_come() -> None:
    audible, item = Audible(), message("a", 1)
    audible.begin(item, 0)
    audible.end(60)
    assert audible.at(59) is item
    assert audible.at(60 + PLAYER_LAG_S) is None


def test_items_are_played_one_after_the_other() -> None:
    audible, first, second = Audible(), message("a", 3), message("b", 3)
    audible.begin(first, 0)
    audible.begin(second, 1)
    arriving = [audible.latest]
    audible.end(1)
    assert [*arriving, audible.latest] == [second, None]
    audible.end(100)  # of a response without any audio
    assert audible.at(2.9) is first
    assert audible.at(3.0) is second
    assert audible.at(6 + PLAYER_LAG_S) is None


def test_what_is_still_coming_is_audible_however_slowly_it_comes() -> None:
    audible, item = Audible(), message("a", 0.1, is_over=False)
    audible.begin(item, 0)
    assert audible.at(1000) is item


def test_silence_ends_it_and_what_comes_next_begins_at_once() -> None:
    audible, first, second = Audible(), message("a", 100), message("b", 1)
    audible.begin(first, 0)
    audible.silence()
    assert audible.at(1) is None
    audible.begin(second, 2)
    assert audible.at(3 + PLAYER_LAG_S - 0.1) is second
    assert audible.at(3 + PLAYER_LAG_S) is None


def test_items_that_nobody_plays_do_not_pile_up() -> None:
    audible = Audible()
    items = [message(str(number), 1) for number in range(1000)]
    for item in items:
        audible.begin(item, 0)
    assert audible.at(0) in items[-100:]


# --- in a conversation ----------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def interruption(conversation: Conversation, *before: Event) -> ConversationItem | None:
    [*_, told] = tell(conversation, *before, started(0, "item_9"))
    assert isinstance(told, Interrupted)
    return told.item


@pytest.mark.parametrize(("after", "is_audible"), [(0.0, True), (0.9, True), (3000.0, False)])
def test_an_answer_that_was_heard_long_ago_is_not_interrupted(
    after: float, is_audible: bool
) -> None:
    clock = Clock()
    conversation = answering(conversation=Conversation(clock=clock))
    tell(conversation, speech(sound(500)), ended())
    item = item_of(conversation)
    clock.now = after
    assert interruption(conversation) is (item if is_audible else None)


def test_an_answer_is_interrupted_once() -> None:
    conversation = answering(conversation=Conversation(clock=Clock()))
    assert interruption(conversation, speech(sound(500))) is item_of(conversation)
    assert interruption(conversation) is None


def test_an_answer_that_was_cut_or_deleted_cannot_be_interrupted() -> None:
    conversation = answering(conversation=Conversation(clock=Clock()))
    assert interruption(conversation, speech(sound(500)), truncated(100)) is None
    conversation = answering(conversation=Conversation(clock=Clock()))
    deleted = ConversationItemDeleted(event_id="e", item_id="item_1")
    assert interruption(conversation, speech(sound(500)), deleted) is None


def test_speech_out_of_band_is_not_what_the_user_interrupts() -> None:
    conversation = Conversation(clock=Clock())
    tell(conversation, created(conversation_id=None))
    assert interruption(conversation, speech(sound(500))) is None


def test_what_arrived_too_late_is_counted_until_the_item_is_cut() -> None:
    conversation = answering(conversation=Conversation(clock=Clock()))
    tell(conversation, speech(sound(500)))
    item = item_of(conversation)
    tell(conversation, started(0, "item_2"), speech(sound(200)))
    assert (item.audio_ms, item.dropped_ms) == (500, 200)
    tell(conversation, truncated(100))
    assert (item.audio_ms, item.dropped_ms) == (100, 0)


def test_a_player_without_a_lag_is_done_when_all_was_played_one_after_the_other() -> None:
    clock = Clock()
    conversation = answering(conversation=Conversation(clock=clock))
    ends = [conversation.audible_until]
    clock.now = 10.0
    tell(conversation, speech(sound(500)))
    ends.append(conversation.audible_until)
    clock.now = 10.2
    tell(conversation, speech(sound(500)), ended())
    assert [*ends, conversation.audible_until] == [None, 10.5, 11.0]


def test_the_end_of_several_items_is_that_of_the_last() -> None:
    audible = Audible()
    first, second = message("a", 2), message("b", 1)
    audible.begin(first, 5.0)
    audible.end(5.1)
    audible.begin(second, 6.0)
    audible.end(6.1)
    assert audible.until == 8.0
    audible.silence()
    assert audible.until is None
