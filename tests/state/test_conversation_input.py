"""What the user says in the conversation: audio, transcripts, and how much of them is kept."""

from __future__ import annotations

import numpy as np
import pytest
from conversation_events import (
    added,
    answering,
    assistant,
    committed,
    created,
    deleted,
    done,
    ended,
    heard,
    item_of,
    names,
    output_added,
    segment,
    session,
    sound,
    speech,
    started,
    tell,
    text,
    transcribed,
    transcript,
    truncated,
    untranscribed,
    user,
)
from numpy.testing import assert_array_equal

from realtime_trio._state.conversation.audio import DEFAULT_RETENTION, Encoding
from realtime_trio._state.conversation.item import TranscriptSegment
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    AudioDelta,
    DeltaDropped,
    InputTranscriptDelta,
    InputTranscriptSegment,
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    TextDelta,
)
from realtime_trio.audio import AudioData, mulaw_decode
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AudioFormat,
    ConversationItemCreated,
    ErrorDetail,
    ErrorEvent,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    RealtimeSession,
    ResponseCreate,
    SessionAudio,
    SessionCreated,
    SessionUpdated,
    TranscriptionErrorDetail,
)

# --- what a server says, in short -----------------------------------------------------------------


def stopped(ms: int, item_id: str = "item_1") -> InputAudioBufferSpeechStopped:
    return InputAudioBufferSpeechStopped(event_id="e", audio_end_ms=ms, item_id=item_id)


# --- the user's audio -----------------------------------------------------------------------------


def test_a_commit_gives_the_item_it_names_all_uncommitted_audio() -> None:
    conversation = Conversation()
    for start in (0, 100):
        conversation.sent(InputAudioBufferAppend(audio=sound(100, start)))
    assert conversation.pending_input_ms == 200
    conversation.sent(InputAudioBufferCommit(event_id="evt_1"))
    conversation.sent(InputAudioBufferAppend(audio=sound(50, 200)))
    assert conversation.pending_input_ms == 50
    told = tell(conversation, committed(), added(heard("item_1")))
    assert names(told) == ["ItemAppended", "ItemCompleted"]
    assert_array_equal(item_of(conversation).audio, sound(200))
    assert conversation.pending_input_ms == 50


def test_audio_goes_to_the_item_that_was_committed_and_not_to_the_next_one_of_the_user() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(100))))
    tell(conversation, added(user("item_1", "typed")))
    assert item_of(conversation).audio_ms == 0
    tell(conversation, committed("item_2", "item_1"), added(heard("item_2"), "item_1"))
    assert (item_of(conversation).audio_ms, item_of(conversation, "item_2").audio_ms) == (0, 100)
    assert item_of(conversation, "item_2").text == ""


def test_a_commit_that_is_told_after_its_item_still_brings_the_audio() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(100))))
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    assert tell(conversation, committed()) == [ItemUpdated(item=item)]
    assert item.audio_ms == 100
    assert tell(conversation, committed()) == []


def test_a_commit_of_nothing_brings_nothing() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    assert tell(conversation, committed()) == []


def test_a_refused_commit_leaves_the_audio_pending() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(50))))
    conversation.sent(InputAudioBufferCommit(event_id="evt_1"))
    error = ErrorDetail(
        type="invalid_request_error",
        code="input_audio_buffer_commit_empty",
        message="no",
        event_id="evt_1",
    )
    tell(conversation, ErrorEvent(event_id="e", error=error))
    assert conversation.pending_input_ms == 50


def test_cleared_audio_belongs_to_nobody() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(50))))
    conversation.sent(InputAudioBufferClear())
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(20, 50))))
    tell(conversation, InputAudioBufferCleared(event_id="e"), committed(), added(heard("item_1")))
    assert_array_equal(item_of(conversation).audio, sound(20, 50))


def test_detected_speech_is_cut_out_of_the_sessions_audio() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(1000))))
    tell(conversation, started(100), stopped(600), committed(), added(heard("item_1")))
    assert_array_equal(item_of(conversation).audio, sound(500, 100))
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(500, 1000))))
    tell(
        conversation,
        started(1100, "item_2"),
        stopped(1400, "item_2"),
        committed("item_2"),
        added(heard("item_2"), "item_1"),
    )
    assert_array_equal(item_of(conversation, "item_2").audio, sound(300, 1100))


def test_speech_that_stopped_without_having_started_is_empty() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(1000))))
    tell(conversation, stopped(600), committed(), added(heard("item_1")))
    assert item_of(conversation).audio_ms == 0


def test_detected_speech_is_attached_without_a_commit_too() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(1000))))
    tell(
        conversation,
        started(100),
        stopped(600),
        ConversationItemCreated(event_id="e", item=heard("item_1")),
        committed(),
    )
    assert item_of(conversation).audio_ms == 500
    assert conversation.pending_input_ms == 400


def test_the_silence_of_an_idle_timeout_is_a_message() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(1000))))
    idle = InputAudioBufferTimeoutTriggered(
        event_id="e", audio_start_ms=0, audio_end_ms=800, item_id="item_1"
    )
    tell(conversation, idle, committed(), added(heard("item_1")))
    assert item_of(conversation).audio_ms == 800


def test_telephony_is_decoded_both_ways() -> None:
    conversation = Conversation()
    formats = session(AudioFormat.pcmu(), AudioFormat.pcma())
    tell(conversation, SessionCreated(event_id="e", session=formats))
    conversation.sent(InputAudioBufferAppend(audio=AudioData(bytes(range(80)))))
    assert conversation.pending_input_ms == 10
    tell(conversation, committed(), added(heard("item_1")))
    assert_array_equal(item_of(conversation).audio, mulaw_decode(bytes(range(80))))
    told = tell(conversation, created(), speech(b"\x00\x01\x02", "item_2"))
    assert_array_equal(
        item_of(conversation, "item_2").audio, AudioDelta(b"\x00\x01\x02", "audio/pcma").samples
    )
    assert isinstance(told[0], ItemUpdated)
    assert told[0].delta == AudioDelta(b"\x00\x01\x02", "audio/pcma")
    assert item_of(conversation, "item_2").audio_rate == 8_000


def test_a_response_may_have_its_own_format() -> None:
    conversation = Conversation()
    tell(conversation, created(encoding=AudioFormat.pcmu()), speech(b"\x00\xff", "item_1"))
    assert_array_equal(item_of(conversation).audio, mulaw_decode(b"\x00\xff"))
    tell(conversation, created("resp_2"), speech(sound(1), "item_2", "resp_2"))
    assert item_of(conversation, "item_2").audio_rate == 24_000


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (None, None),
        (AudioFormat(), Encoding("audio/pcm", 24_000)),
        (AudioFormat(type="audio/pcm", rate=16_000), Encoding("audio/pcm", 16_000)),
        (AudioFormat(type="audio/pcm", rate=0), Encoding("audio/pcm", 24_000)),
        (AudioFormat(type="audio/pcmu", rate=24_000), Encoding("audio/pcmu", 8_000)),
        (AudioFormat(type="audio/opus", rate=-1), Encoding("audio/opus", 24_000)),
    ],
)
def test_what_a_format_leaves_open_is_filled_in(
    stated: AudioFormat | None, expected: Encoding | None
) -> None:
    assert Encoding.of(stated) == expected


def test_a_session_without_audio_settings_changes_none() -> None:
    conversation = Conversation()
    tell(conversation, SessionUpdated(event_id="e", session=RealtimeSession()))
    tell(conversation, SessionUpdated(event_id="e", session=RealtimeSession(audio=SessionAudio())))
    tell(conversation, SessionUpdated(event_id="e", session=session()))
    tell(conversation, speech(sound(1)))
    assert item_of(conversation).audio_rate == 24_000


# --- transcripts of the user ----------------------------------------------------------------------


def test_a_transcript_in_pieces() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    told = tell(
        conversation, transcript("Hel"), transcript("lo", index=None), transcribed("Hello.")
    )
    assert told == [
        ItemUpdated(item=item, delta=InputTranscriptDelta(piece)) for piece in ("Hel", "lo", ".")
    ]
    assert (item.transcript, item.parts) == ("Hello.", (InputAudio(None, "Hello."),))


def test_a_transcript_at_once() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    told = tell(conversation, transcribed("Hello"), transcribed("Hello"), transcript("lo"))
    assert told == [
        ItemUpdated(item=item_of(conversation), delta=InputTranscriptDelta("Hello")),
        DeltaDropped(item=item_of(conversation), delta=InputTranscriptDelta("lo")),
    ]


def test_a_transcript_that_comes_before_its_item_waits_for_it_without_an_event() -> None:
    conversation = Conversation()
    assert tell(conversation, transcript("Hel"), transcribed("Hello"), segment("Hello", "A")) == []
    assert conversation.items == ()
    assert names(tell(conversation, added(heard("item_1")))) == ["ItemAppended", "ItemCompleted"]
    assert item_of(conversation).transcript == "Hello"


def test_transcripts_that_come_in_another_order_find_their_items() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")), added(heard("item_2"), "item_1"))
    tell(conversation, transcribed("two", "item_2"), transcribed("one", "item_1"))
    assert [item.transcript for item in conversation.items] == ["one", "two"]


def test_a_transcript_without_words_is_a_space_and_empty_in_its_part() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    assert tell(conversation, transcribed(""), transcribed("")) == [
        ItemUpdated(item=item, delta=InputTranscriptDelta(""))
    ]
    assert (item.transcript, item.parts) == (" ", (InputAudio(None, ""),))


def test_an_empty_whole_does_not_erase_a_transcript_in_pieces() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")), transcript("Hello"))
    assert tell(conversation, transcribed("")) == []
    assert item_of(conversation).transcript == "Hello"


def test_a_transcription_that_fails_says_why_once() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    assert tell(conversation, untranscribed(), untranscribed()) == [ItemUpdated(item=item)]
    assert item.transcription_error == TranscriptionErrorDetail(code="audio_unintelligible")
    assert item.is_complete


def test_segments_tell_speakers_apart() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    told = tell(conversation, segment("Hi", "A"), segment("Hi", "A"), segment("Ho", "B", "seg_2"))
    expected = (TranscriptSegment("Hi", "A", 0.0, 1.0), TranscriptSegment("Ho", "B", 0.0, 1.0))
    assert told == [
        ItemUpdated(item=item, delta=InputTranscriptSegment(piece)) for piece in expected
    ]
    assert item.segments == expected


def test_a_transcript_that_comes_with_the_item_counts() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    told = tell(conversation, done(heard("item_1", "Hello")))
    assert told == [ItemUpdated(item=item_of(conversation), delta=InputTranscriptDelta("Hello"))]


# --- how much is kept -----------------------------------------------------------------------------


def test_with_no_retention_audio_is_counted_and_not_kept() -> None:
    conversation = Conversation(retention="none")
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(100))))
    assert conversation.pending_input_ms == 100
    tell(conversation, committed(), added(heard("item_1")))
    told = tell(conversation, created(), speech(sound(10), "item_2"))
    assert isinstance(told[0], ItemUpdated)
    assert told[0].delta == AudioDelta(sound(10))
    for item, ms in zip(conversation.items, (100, 10), strict=True):
        assert (item.audio_ms, len(item.audio)) == (ms, 0)
    tell(conversation, truncated(4, "item_2"))
    assert item_of(conversation, "item_2").heard_ms == 4


def test_the_last_seconds_are_kept() -> None:
    conversation = Conversation(retention=0.1)
    tell(conversation, created())
    for start in range(0, 200, 10):
        tell(conversation, speech(sound(10, start)))
    item = item_of(conversation)
    assert item.audio_ms == 200
    assert_array_equal(item.audio, sound(100, 100))
    for start in range(0, 50, 10):
        tell(conversation, speech(sound(10, start), "item_2"))
    assert_array_equal(item.audio, sound(50, 150))


def test_each_side_has_its_own_last_seconds() -> None:
    conversation = Conversation(retention=0.1)
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(80))))
    tell(conversation, committed(), added(heard("item_1")), created())
    for start in range(0, 200, 10):
        tell(conversation, speech(sound(10, start), "item_2"))
    assert_array_equal(item_of(conversation).audio, sound(80))
    assert_array_equal(item_of(conversation, "item_2").audio, sound(100, 100))
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(100))))
    tell(conversation, committed("item_3"), added(heard("item_3")))
    assert len(item_of(conversation).audio) == 0
    assert_array_equal(item_of(conversation, "item_2").audio, sound(100, 100))


def test_by_default_the_last_ten_minutes_are_kept() -> None:
    conversation = Conversation()
    tell(conversation, created())
    second = sound(1000)
    for _ in range(605):
        tell(conversation, speech(second))
    item = item_of(conversation)
    assert (item.audio_ms, len(item.audio)) == (605_000, DEFAULT_RETENTION * 24_000)
    assert DEFAULT_RETENTION == 600


def test_a_window_is_noted_in_a_bounded_number_of_parts() -> None:
    conversation = Conversation(retention=60)
    tell(conversation, created())
    for _ in range(8000):
        tell(conversation, speech(sound(10)))
    item = item_of(conversation)
    assert 60_000 * 24 <= len(item.audio) <= 60_120 * 24
    assert conversation._shelf._output_window is not None
    assert len(conversation._shelf._output_window._stretches) <= 1300


def test_no_seconds_are_none() -> None:
    conversation = Conversation(retention=0)
    tell(conversation, created(), speech(sound(10)))
    assert (item_of(conversation).audio_ms, len(item_of(conversation).audio)) == (10, 0)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_retention_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(LocalProtocolError, match="number of seconds from 0 up"):
        Conversation(retention=seconds)


def test_a_commit_in_the_middle_of_detected_speech_begins_where_that_began() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(3000))))
    tell(conversation, started(2000, "item_1"))
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(500, 3000))))
    conversation.sent(InputAudioBufferCommit(event_id="evt_1"))
    tell(conversation, committed(), added(heard("item_1")))
    assert_array_equal(item_of(conversation).audio, sound(1500, 2000))


def test_a_retention_that_is_no_word_we_know_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="retention must be 'all', 'none' or a number"):
        Conversation(retention="some")  # type: ignore[arg-type]


def test_a_turn_longer_than_the_capacity_loses_its_beginning_here_and_is_as_long_as_it_was() -> (
    None
):
    conversation = Conversation(input_capacity_s=0.05)
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(80))))
    tell(conversation, committed(), added(heard("item_1")))
    assert item_of(conversation).audio_ms == 80
    assert_array_equal(item_of(conversation).audio, sound(50, 30))


def test_what_is_over_is_not_remembered_forever() -> None:
    conversation = Conversation()
    for number in range(1000):
        tell(
            conversation,
            created(f"resp_{number}"),
            output_added(assistant(f"item_{number}"), f"resp_{number}"),
            ended(f"resp_{number}"),
        )
        tell(conversation, deleted(f"item_{number}"))
    kept = [
        value for value in vars(conversation).values() if isinstance(value, dict | list | tuple)
    ]
    assert sum(map(len, kept)) < 200


def test_what_a_client_sends_besides_does_not_matter() -> None:
    conversation = Conversation()
    conversation.sent(ResponseCreate())
    assert (conversation.items, conversation.pending_input_ms) == ((), 0)


def test_the_conversation_can_be_exported() -> None:
    conversation = Conversation()
    tell(conversation, added(user("item_1", "hi")))
    content = [{"type": "input_text", "text": "hi"}]
    assert conversation.export() == [
        {
            "id": "item_1",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": content,
        }
    ]


# --- a new session --------------------------------------------------------------------------------


def test_a_new_session_interrupts_what_the_old_one_was_saying_and_counts_audio_anew() -> None:
    conversation = answering()
    item = item_of(conversation)
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(1000))))
    assert tell(
        conversation, text("Hel"), SessionCreated(event_id="e", session=RealtimeSession())
    ) == [
        ItemUpdated(item=item, delta=TextDelta("Hel")),
        ItemUpdated(item=item),
    ]
    assert (item.status, item.is_interrupted, conversation.pending_input_ms) == (
        "incomplete",
        True,
        0,
    )
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(1000))))
    tell(
        conversation,
        started(100, "item_2"),
        stopped(200, "item_2"),
        committed("item_2"),
        added(heard("item_2"), "item_1"),
    )
    assert_array_equal(item_of(conversation, "item_2").audio, sound(100, 100))


def test_items_that_are_replayed_into_a_new_session_are_the_same_items() -> None:
    conversation = Conversation()
    tell(
        conversation,
        added(user("item_1", "hi")),
        SessionCreated(event_id="e", session=RealtimeSession()),
    )
    item = item_of(conversation)
    assert tell(conversation, added(user("item_1", "hi")), done(user("item_1", "hi"))) == []
    assert conversation.items == (item,)


def test_fragments_within_the_window_are_counted_together() -> None:
    conversation = Conversation(retention=0.1)
    tell(conversation, created())
    shelf = conversation._shelf
    for number in range(200 * 24):
        tell(conversation, speech(np.array([number], np.int16)))
    item = item_of(conversation)
    assert item.audio_ms == 200
    # Up to 10 ms more than the window: fragments are counted, and let go, by five.
    assert 100 * 24 <= len(item.audio) <= 110 * 24
    assert_array_equal(item.audio, np.arange(200 * 24)[-len(item.audio) :])
    assert shelf._output_window is not None
    assert len(shelf._output_window._stretches) <= 100 / 5 + 2


def test_what_was_committed_is_shown_when_the_server_cannot_say_so_any_more() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(bytes(4800))))
    conversation.sent(InputAudioBufferCommit())
    conversation.apply(committed("user_1"))
    assert not conversation.items
    (appended, completed) = conversation.show_committed()
    assert isinstance(appended, ItemAppended)
    assert isinstance(completed, ItemCompleted)
    assert appended.item.audio_ms == 100
    assert [*conversation.items] == [appended.item]
    assert conversation.show_committed() == ()


def test_it_says_which_speech_has_no_words_yet() -> None:
    conversation = Conversation()
    tell(conversation, committed("user_1"), committed("user_2"))
    conversation.show_committed()
    first, second = conversation.items
    assert first.is_awaiting_words
    tell(conversation, transcribed("Hello.", "user_1"), untranscribed("user_2"))
    assert not first.is_awaiting_words
    assert not second.is_awaiting_words
