"""An interruption: silence at once, and exactly what the server has to be told."""

from __future__ import annotations

import pytest
from conversation_events import (
    added,
    assistant,
    created,
    deleted,
    done,
    ended,
    output_added,
    output_done,
    session,
    sound,
    speech,
    started,
    text,
    truncated,
)
from played_talk import PlayedTalk

from realtime_trio.events import (
    AudioFormat,
    ConversationItemDelete,
    ConversationItemTruncate,
    Event,
    ResponseCancel,
    SessionCreated,
)
from realtime_trio.playback import Interruption, Playback, PlayedPart


def cut(ms: int, item_id: str = "item_1", index: int = 0) -> ConversationItemTruncate:
    return ConversationItemTruncate(item_id=item_id, content_index=index, audio_end_ms=ms)


def gone(item_id: str = "item_1") -> ConversationItemDelete:
    return ConversationItemDelete(item_id=item_id)


def cancel(response_id: str = "resp_1") -> ResponseCancel:
    return ResponseCancel(response_id=response_id)


def whole(talk: PlayedTalk, item_id: str = "item_1") -> None:
    """The server has said all of an item."""
    item = assistant(item_id, status="completed")
    talk.hear(output_done(item), done(item))


NOTHING = Interruption(playing=None, cancel=None, cuts=())


def test_where_nothing_was_said_there_is_nothing_to_do() -> None:
    assert Playback().interrupt() == NOTHING
    assert NOTHING.events == ()


def test_an_answer_that_is_being_made_is_cancelled_and_cut_to_what_was_heard() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24 + 23)
    interruption = talk.interrupt()
    assert interruption == Interruption(
        playing=PlayedPart("item_1", 0, 50, 100, is_final=False), cancel=cancel(), cuts=(cut(50),)
    )
    assert interruption.events == (cancel(), cut(50))  # or the server would go on adding to it
    assert (len(talk.playback.take(9999)), talk.playback.is_audible) == (0, False)
    assert talk.playback.heard_ms("item_1") == 50


def test_an_answer_that_has_ended_is_only_cut() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    whole(talk)
    talk.hear(ended())
    talk.playback.take(50 * 24)
    assert talk.interrupt().events == (cut(50),)


def test_an_answer_that_was_heard_to_its_end_is_left_alone() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    whole(talk)
    talk.hear(ended())
    talk.playback.take(9999)
    assert talk.interrupt() == NOTHING


def test_so_is_one_whose_end_was_only_noted_by_its_item() -> None:
    talk = PlayedTalk()
    talk.begin()
    playback = Playback()
    for event in talk.conversation.apply(speech(sound(100))):
        playback.apply(event)
    playback.take(9999)
    talk.hear(ended())  # of which this playback is not told
    assert playback.interrupt().cuts == ()


def test_all_that_has_arrived_was_heard_but_more_is_on_its_way() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(9999)
    assert talk.interrupt().events == (cancel(), cut(100))


def test_of_which_nothing_was_heard_is_deleted() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(23)  # which is less than a millisecond
    assert talk.interrupt().events == (cancel(), gone())


def test_an_answer_without_audio_is_only_cancelled() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(text("Hello"))
    assert talk.interrupt().events == (cancel(),)


def test_half_a_sample_is_no_audio() -> None:
    playback = Playback()
    playback.append(b"\x01", "item_1")
    assert playback.interrupt().events == ()


def test_a_response_that_has_no_item_yet_is_cancelled() -> None:
    talk = PlayedTalk()
    talk.hear(created())
    assert talk.interrupt().events == (cancel(),)


def test_a_response_of_a_server_that_does_not_name_the_conversation_is_cancelled() -> None:
    talk = PlayedTalk()
    talk.hear(created(conversation_id=None))
    talk.hear(output_added(assistant("item_1")), added(assistant("item_1")))
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    assert talk.interrupt().events == (cancel(), cut(50))


@pytest.mark.parametrize("response_id", ["resp_1", ""])
def test_a_response_that_is_done_is_not_cancelled(response_id: str) -> None:
    talk = PlayedTalk()
    talk.hear(created(), ended(response_id))
    assert talk.interrupt() == NOTHING


def test_a_response_is_cancelled_although_another_one_is_done() -> None:
    talk = PlayedTalk()
    talk.hear(created(), ended("resp_2", conversation_id=None))
    assert talk.interrupt().events == (cancel(),)


def test_audio_that_the_end_brings_does_not_begin_anew() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.playback.apply(ended())
    for event in talk.conversation.apply(speech(sound(10))):
        talk.playback.apply(event)
    talk.playback.take(9999)
    assert talk.playback.interrupt().cancel is None


def test_a_second_interruption_has_nothing_to_add() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    assert talk.interrupt().events
    assert talk.interrupt() == NOTHING


def test_the_server_interrupts_and_nothing_is_cancelled_twice() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    assert talk.hear(started(0)) == [cut(50)]
    assert not talk.playback.is_audible
    assert talk.interrupt() == NOTHING


def test_the_server_interrupts_what_it_has_said_long_ago() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    whole(talk)
    talk.hear(ended())
    talk.playback.take(1 * 24)
    assert talk.hear(started(0)) == [cut(1)]


def test_several_items_are_told_what_became_of_each() -> None:
    talk = PlayedTalk(tracking="reported")
    talk.begin()
    for name in ("item_1", "item_2", "item_3"):
        talk.begin_item(name)
        talk.hear(speech(sound(100), name))
        whole(talk, name)
    talk.playback.take(9999)
    talk.playback.played(150 * 24)
    assert talk.interrupt().events == (cancel(), cut(50, "item_2"), gone("item_3"))
    assert [talk.playback.heard_ms(f"item_{n}") for n in (1, 2, 3)] == [100, 50, 0]


def test_each_part_that_was_not_heard_to_its_end_is_cut() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(*(speech(sound(100), index=index) for index in range(3)))
    talk.playback.take(150 * 24)
    assert talk.interrupt().events == (cancel(), cut(50, index=1), cut(0, index=2))


def test_an_item_whose_first_part_was_not_heard_is_deleted_once() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(*(speech(sound(100), index=index) for index in range(3)))
    assert talk.interrupt().events == (cancel(), gone())


def test_an_item_that_was_read_is_not_deleted() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(text("Hello"), speech(sound(100), index=1))
    assert talk.interrupt().events == (cancel(), cut(0, index=1))


def test_stragglers_never_reach_the_sink() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    talk.playback.interrupt()  # and before the conversation knows, something arrives
    assert talk.hear(speech(sound(100)), speech(sound(10), index=1)) == []
    talk.conversation.cancelled()
    assert talk.hear(speech(sound(100)), ended(status="cancelled")) == []
    assert len(talk.playback.take(9999)) == 0


@pytest.mark.parametrize("known", [True, False])
def test_an_item_that_only_stragglers_are_of_is_deleted(known: bool) -> None:
    talk = PlayedTalk()
    talk.hear(created())
    talk.playback.interrupt()
    if known:
        talk.conversation.cancelled()
    talk.begin_item("item_1")
    assert talk.hear(speech(sound(100)), speech(sound(100))) == [gone()]
    assert len(talk.playback.take(9999)) == 0


def test_and_if_it_was_read_it_is_cut() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(text("Hello"))
    talk.interrupt()
    assert talk.hear(speech(sound(100), index=1)) == [cut(0, index=1)]


def test_an_item_that_follows_the_one_that_was_interrupted_is_deleted() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    assert talk.hear(started(0)) == [cut(50)]
    talk.begin_item("item_2")
    assert talk.hear(speech(sound(100), "item_2")) == [gone("item_2")]


def test_stragglers_of_a_response_that_was_given_up_otherwise_are_not_our_business() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.conversation.cancelled()
    assert talk.hear(speech(sound(100))) == []
    assert talk.playback.queued == 100 * 24


def test_an_item_that_never_had_a_sound_is_deleted_whoever_gave_its_response_up() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.conversation.cancelled()
    assert talk.hear(speech(sound(100)), speech(sound(100))) == [gone()]


def test_what_follows_an_interruption_is_played() -> None:
    talk = PlayedTalk(tracking="reported")
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    talk.interrupt()
    talk.hear(ended(status="cancelled"))
    talk.begin("item_2", "resp_2")
    talk.hear(speech(sound(100), "item_2", "resp_2"))
    assert len(talk.playback.take(9999)) == 100 * 24
    talk.playback.played(70 * 24)
    assert (talk.playback.heard_ms("item_1"), talk.playback.heard_ms("item_2")) == (0, 70)
    assert talk.interrupt().events == (cancel("resp_2"), cut(70, "item_2"))


def test_audio_of_a_connection_is_refused_by_item_or_by_response() -> None:
    playback = Playback()
    playback.append(sound(10), "item_1", response_id="resp_1")
    playback.take(5 * 24)
    assert playback.interrupt().events == (cut(5),)  # no event has said that it runs
    assert not playback.append(sound(10), "item_1")
    assert not playback.append(sound(10), "item_2", response_id="resp_1")
    assert playback.append(sound(10), "item_3", response_id="resp_2")


def test_an_item_that_is_finished_lets_its_response_go_on() -> None:
    playback = Playback()
    playback.append(sound(10), "item_1", response_id="resp_1")
    playback.finish("item_1")
    playback.interrupt()
    assert playback.append(sound(10), "item_2", response_id="resp_1")


def test_marks_that_a_line_sends_back_because_it_was_cleared_say_nothing() -> None:
    talk = PlayedTalk(tracking="reported")
    talk.begin()
    talk.hear(speech(sound(60)))
    marks = []
    while len(talk.playback.take(20 * 24)):
        marks.append(talk.playback.mark())
    talk.playback.reached(marks[0])
    assert talk.interrupt().events == (cancel(), cut(20))
    for mark in marks[1:]:
        talk.playback.reached(mark)
    assert talk.playback.heard_ms("item_1") == 20


def test_a_clock_cuts_to_where_it_stands() -> None:
    now = 0.0
    talk = PlayedTalk(tracking="clock", clock=lambda: now)
    talk.begin()
    talk.hear(speech(sound(1000)))
    talk.playback.take(24_000)
    now = 0.4567
    assert talk.interrupt().events == (cancel(), cut(456))


@pytest.mark.parametrize("name", ["audio/pcm", "audio/pcmu", "audio/pcma"])
@pytest.mark.parametrize("sink_rate", [8000, 24_000, 44_100, 48_000])
def test_a_cut_is_in_milliseconds_of_the_item_whatever_the_rates(name: str, sink_rate: int) -> None:
    talk = PlayedTalk(sink_rate)
    talk.hear(SessionCreated(event_id="e", session=session(output_format=AudioFormat(type=name))))
    talk.begin()
    talk.hear(speech(bytes(48_000 if name == "audio/pcm" else 8000)))  # a second
    talk.playback.take(sink_rate // 2)
    assert talk.interrupt().events == (cancel(), cut(500))


def test_a_cut_is_never_longer_than_what_was_received() -> None:
    """Else the service says "Audio content of 41ms is already shorter than 42ms"."""
    playback = Playback()
    playback.append(sound(1600), "item_1", rate=384_000)  # too high to be converted: it drags on
    playback.take(200 * 24)
    assert playback.interrupt().events == (cut(100),)


@pytest.mark.parametrize("event", [truncated(50), deleted()])
def test_what_somebody_else_has_cut_or_deleted_is_not_cut_again(event: Event) -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    talk.hear(event)
    assert talk.interrupt().events == (cancel(),)


def test_our_own_cut_that_is_acknowledged_changes_nothing() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)))
    talk.playback.take(50 * 24)
    talk.interrupt()
    talk.hear(truncated(50), ended(status="cancelled"))
    assert talk.playback.parts == (PlayedPart("item_1", 0, 50, 100, is_final=True),)
    assert talk.interrupt() == NOTHING


# --- one response of several ---------------------------------------------------------------------


def two_answers(talk: PlayedTalk) -> None:
    """100 ms of an answer that has ended, and 100 ms of the next one, which goes on."""
    talk.begin()
    talk.hear(speech(sound(100)))
    whole(talk)
    talk.hear(ended())
    talk.begin("item_2", "resp_2")
    talk.hear(speech(sound(100), "item_2", "resp_2"))


def test_a_response_is_silenced_and_the_one_before_it_is_heard_to_its_end() -> None:
    talk = PlayedTalk()
    two_answers(talk)
    talk.playback.take(50 * 24)
    interruption = talk.playback.interrupt("resp_2")
    assert interruption == Interruption(
        playing=None, cancel=cancel("resp_2"), cuts=(gone("item_2"),)
    )
    assert (len(talk.playback.take(9999)), talk.playback.heard_ms("item_1")) == (50 * 24, 100)
    assert talk.hear(speech(sound(100), "item_2", "resp_2")) == []
    assert not talk.playback.is_audible
    assert talk.playback.interrupt("resp_2") == NOTHING


def test_the_one_that_is_being_heard_is_silenced_in_the_sink_too() -> None:
    talk = PlayedTalk(tracking="reported")
    two_answers(talk)
    talk.playback.take(150 * 24)
    talk.playback.played(100 * 24)
    interruption = talk.playback.interrupt("resp_2")
    assert interruption.playing == PlayedPart("item_2", 0, 0, 100, is_final=False)
    assert interruption.cuts == (gone("item_2"),)
    assert not talk.playback.is_audible


def test_what_the_sink_has_taken_of_both_is_heard() -> None:
    talk = PlayedTalk(tracking="reported")
    two_answers(talk)
    talk.playback.take(150 * 24)
    assert talk.playback.interrupt("resp_2").cuts == (cut(50, "item_2"),)
    assert (talk.playback.queued, talk.playback.unheard) == (0, 150 * 24)
    talk.playback.played(150 * 24)
    assert [part.heard_ms for part in talk.playback.parts] == [100, 50]
    assert not talk.playback.is_audible


def test_an_earlier_response_is_silenced_and_the_one_after_it_goes_on() -> None:
    talk = PlayedTalk()
    two_answers(talk)
    talk.playback.take(50 * 24)
    interruption = talk.playback.interrupt("resp_1")
    assert interruption.events == (cut(50),)  # which is over, so there is nothing to cancel
    assert len(talk.playback.take(9999)) == 100 * 24
    assert talk.hear(speech(sound(10), "item_2", "resp_2")) == []
    assert len(talk.playback.take(9999)) == 10 * 24
