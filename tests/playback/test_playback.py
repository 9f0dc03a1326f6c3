"""Playback: from events to a sink, and how far it has come."""

from __future__ import annotations

import numpy as np
import pytest
from conversation_events import (
    assistant,
    created,
    deleted,
    done,
    ended,
    output_done,
    session,
    sound,
    speech,
    text,
    truncated,
)
from numpy.testing import assert_array_equal
from played_talk import PlayedTalk

from realtime_trio.audio import AudioData, mulaw_decode, resample
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import AudioFormat, Event, OutputAudio, SessionCreated
from realtime_trio.playback import Playback, PlayedPart


def test_nothing_is_silence() -> None:
    playback = Playback()
    assert not playback.is_audible
    assert (playback.queued, playback.unheard, playback.playing, playback.parts) == (0, 0, None, ())
    samples = playback.take(480)
    assert samples.shape == (0,)
    assert samples.dtype == np.int16


def test_the_end_of_a_response_lets_go_of_what_a_conversion_of_rates_holds_back() -> None:
    talk = PlayedTalk(48_000)
    talk.begin()
    talk.hear(speech(sound(100)))
    assert talk.playback.queued < 4800
    talk.hear(ended("resp_2"))
    assert talk.playback.queued < 4800
    talk.hear(ended())
    assert talk.playback.queued == 4800


def test_a_sink_takes_what_was_said_as_far_as_it_has_arrived() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(10)), speech(sound(10, 10)))
    assert_array_equal(talk.playback.take(15 * 24), sound(15))
    assert_array_equal(talk.playback.take(15 * 24), sound(5, 15))
    assert len(talk.playback.take(15 * 24)) == 0
    assert talk.playback.heard_ms("item_1") == 20


def test_a_buffer_is_filled_up_with_silence() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(10, 1)))
    channels = np.full((15 * 24, 2), -1, np.int16)
    assert talk.playback.fill(channels[:, 0]) == 240
    assert_array_equal(channels[:240, 0], sound(10, 1))
    assert not channels[240:, 0].any()
    assert (channels[:, 1] == -1).all()


def test_how_far_it_has_come_can_be_seen_at_any_moment() -> None:
    talk = PlayedTalk()
    talk.begin()
    playback = talk.playback
    talk.hear(speech(sound(100)))
    playback.take(30 * 24 + 23)
    assert (playback.queued, playback.unheard) == (70 * 24 - 23, 70 * 24 - 23)
    assert playback.playing == PlayedPart("item_1", 0, 30, 100, is_final=False)
    playback.take(9999)
    assert playback.queued == 0
    assert playback.playing == PlayedPart("item_1", 0, 100, 100, is_final=False)  # more is to come


def test_what_has_ended_and_was_heard_is_over() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.hear(speech(sound(100)), output_done(assistant("item_1", status="completed")))
    talk.playback.take(9999)
    assert talk.playback.playing is None
    assert talk.playback.parts == (PlayedPart("item_1", 0, 100, 100, is_final=True),)


def test_items_and_parts_are_played_one_after_the_other() -> None:
    talk = PlayedTalk(tracking="reported")
    talk.begin()
    talk.hear(speech(sound(10)), speech(sound(10, 10), index=1))
    talk.begin_item("item_2")
    talk.hear(speech(sound(10, 20), "item_2"))
    playback = talk.playback
    assert_array_equal(playback.take(9999), sound(30))
    playback.played(15 * 24)
    assert playback.playing == PlayedPart("item_1", 1, 5, 10, is_final=True)
    assert [(part.item_id, part.content_index, part.heard_ms) for part in playback.parts] == [
        ("item_1", 0, 10),
        ("item_1", 1, 5),
        ("item_2", 0, 0),
    ]
    assert playback.heard_ms("item_1") == 15
    playback.played(9999)  # a sink may have played silence of its own
    assert (playback.heard_ms("item_2"), playback.unheard) == (10, 0)


def test_of_what_was_never_played_nothing_was_heard() -> None:
    assert Playback().heard_ms("item_1") == 0


def test_whole_audio_without_deltas_is_played_too() -> None:
    talk = PlayedTalk()
    talk.begin()
    item = assistant("item_1", OutputAudio(AudioData(sound(10)), "Hello"), status="completed")
    talk.hear(output_done(item), done(item))
    assert_array_equal(talk.playback.take(9999), sound(10))


def test_what_is_not_speech_changes_nothing() -> None:
    talk = PlayedTalk()
    talk.begin()
    assert talk.hear(text("Hello")) == []
    assert talk.playback.parts == ()


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_telephony_is_counted_in_its_own_samples(name: str) -> None:
    talk = PlayedTalk(rate=8000)
    talk.hear(SessionCreated(event_id="e", session=session(output_format=AudioFormat(type=name))))
    talk.begin()
    talk.hear(speech(bytes(range(160))))
    assert len(talk.playback.take(79)) == 79
    assert talk.playback.playing == PlayedPart("item_1", 0, 9, 20, is_final=False)
    talk.playback.take(1)
    assert talk.playback.heard_ms("item_1") == 10


def test_a_sink_of_another_rate_gets_samples_of_its_own() -> None:
    talk = PlayedTalk(rate=8000)
    talk.begin()
    talk.hear(speech(sound(100)), ended())
    assert_array_equal(talk.playback.take(9999), resample(sound(100), 24_000, 8000))
    assert talk.playback.parts == (PlayedPart("item_1", 0, 100, 100, is_final=True),)


def test_the_rest_of_a_converted_part_comes_before_the_next_part() -> None:
    talk = PlayedTalk(rate=8000)
    talk.begin()
    talk.hear(speech(sound(100)), speech(sound(50), index=1), ended())
    assert_array_equal(
        talk.playback.take(9999),
        np.concatenate([resample(sound(ms), 24_000, 8000) for ms in (100, 50)]),
    )


def test_marks_tell_what_a_telephone_line_has_played() -> None:
    talk = PlayedTalk(tracking="reported")
    talk.begin()
    talk.hear(speech(sound(60)))
    playback = talk.playback
    marks = []
    while len(playback.take(20 * 24)):
        marks.append(playback.mark())
    assert (playback.heard_ms("item_1"), playback.unheard, playback.queued) == (0, 60 * 24, 0)
    playback.reached(marks[1])
    assert (playback.heard_ms("item_1"), playback.is_audible) == (40, True)
    playback.reached(marks[2])
    assert (playback.heard_ms("item_1"), playback.is_audible) == (60, False)


def test_a_clock_is_an_estimate() -> None:
    now = 5.0
    talk = PlayedTalk(tracking="clock", clock=lambda: now)
    assert talk.playback.is_estimate
    assert not Playback().is_estimate
    talk.begin()
    talk.hear(speech(sound(1000)))
    talk.playback.take(24_000)
    assert talk.playback.heard_ms("item_1") == 0
    now += 0.4
    assert talk.playback.heard_ms("item_1") == 400
    now += 100
    assert talk.playback.heard_ms("item_1") == 1000


@pytest.mark.parametrize("event", [truncated(5), deleted()])
def test_what_somebody_else_cuts_or_deletes_is_silent(event: Event) -> None:
    talk = PlayedTalk(tracking="reported")
    talk.begin()
    talk.hear(speech(sound(10)))
    talk.begin_item("item_2")
    talk.hear(speech(sound(10, 10), "item_2"))
    playback = talk.playback
    playback.take(3 * 24)
    talk.hear(event)
    assert_array_equal(playback.take(9999), sound(10, 10))
    playback.played(9999)
    assert (playback.heard_ms("item_1"), playback.heard_ms("item_2")) == (3, 10)
    assert [type(cut).__name__ for cut in playback.interrupt().cuts] == ["ConversationItemTruncate"]


def test_an_item_that_is_cut_before_it_has_spoken_stays_silent() -> None:
    talk = PlayedTalk()
    talk.begin()
    talk.playback.stop("item_1")
    talk.hear(speech(sound(10)))
    assert not talk.playback.is_audible


def test_audio_that_is_in_no_event_can_be_played() -> None:
    playback = Playback(8000)
    assert playback.append(bytes(80), "item_1", encoding="audio/pcmu")
    assert_array_equal(playback.take(999), mulaw_decode(bytes(80)))
    assert playback.append(sound(10), "item_2", encoding="audio/pcmu", rate=8000)
    assert_array_equal(playback.take(999), sound(10))
    assert playback.append(sound(10), "item_3")
    playback.finish("item_3")
    assert_array_equal(playback.take(999), resample(sound(10), 24_000, 8000))
    assert [part.received_ms for part in playback.parts] == [10, 30, 10]


def test_a_signal_tone_is_of_no_item() -> None:
    playback = Playback()
    playback.append(sound(10))
    assert playback.playing == PlayedPart(None, 0, 0, 10, is_final=False)
    assert playback.interrupt().events == ()
    assert not playback.is_audible
    playback.append(sound(7))
    assert_array_equal(playback.take(999), sound(7))


def test_what_was_played_is_forgotten_some_time_and_what_waits_is_not() -> None:
    playback = Playback(tracking="reported")
    for number in range(200):
        playback.append(sound(1), f"item_{number}")
    assert len(playback.parts) == 200
    playback.take(9999)
    playback.played(150 * 24)
    playback.append(sound(1), "item_200")
    assert [part.item_id for part in playback.parts] == [f"item_{n}" for n in range(137, 201)]
    assert (playback.heard_ms("item_0"), playback.heard_ms("item_140")) == (0, 1)
    playback.append(sound(1), "item_201")
    assert len(playback.parts) == 64
    playback.interrupt()
    playback.append(sound(1), "item_202")
    assert len(playback.parts) == 64


def test_parts_that_wait_are_not_forgotten_for_one_that_does_not() -> None:
    playback = Playback(tracking="reported")
    for number in range(65):
        playback.append(sound(1), f"item_{number}")
        if number:
            playback.stop(f"item_{number}")
    playback.append(sound(1), "item_65")
    assert len(playback.parts) == 66


def test_responses_that_are_not_of_the_conversation_do_not_matter() -> None:
    talk = PlayedTalk()
    talk.hear(created("resp_1", conversation_id=None))
    assert talk.playback.interrupt().events == ()


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(TypeError, match="rate must be a whole number of Hz, not float"):
        Playback(24_000.0)  # type: ignore[arg-type]  # that is the mistake
    for rate in (7999, 192_001):
        with pytest.raises(LocalProtocolError, match="rate must be 8000 to 192000 Hz"):
            Playback(rate)
    assert [Playback(rate).rate for rate in (8000, 192_000)] == [8000, 192_000]
    with pytest.raises(LocalProtocolError, match="tracking must be 'taken', 'reported' or 'clock'"):
        Playback(tracking="guess")  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(LocalProtocolError, match="a clock belongs to tracking='clock'"):
        Playback(tracking="clock")
    with pytest.raises(LocalProtocolError, match="a clock belongs to tracking='clock'"):
        Playback(clock=lambda: 0.0)
    with pytest.raises(LocalProtocolError, match="count must be 0 or more samples, not -1"):
        Playback().take(-1)
    with pytest.raises(LocalProtocolError, match="count must be 0 or more samples, not -1"):
        Playback(tracking="reported").played(-1)


def test_reports_are_for_a_playback_that_goes_by_them() -> None:
    playback = Playback()
    for report in (lambda: playback.played(0), playback.mark, lambda: playback.reached("mark_1")):
        with pytest.raises(LocalProtocolError, match="does not go by reports"):
            report()
    Playback(tracking="reported").played(0)


def test_what_is_playing_is_known_without_looking_at_anything_else() -> None:
    now = 0.0
    playback = Playback(tracking="clock", clock=lambda: now)
    playback.append(sound(100), "item_1")
    playback.append(sound(100), "item_2")
    playback.take(9999)
    now = 0.15
    playing = playback.playing
    assert playing is not None
    assert (playing.item_id, playing.heard_ms) == ("item_2", 50)
