"""What was sent and is not known to have arrived, as the server's answers come or do not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import pytest
from effort import lines_run
from hypothesis import given, strategies as st
from strategies import events
from turn_events import created, done, refusal

from realtime_trio._state.conversation.audio import DEFAULT_ENCODING
from realtime_trio._state.unconfirmed import LEAD_MS, MOST_AUDIO_MS, Unconfirmed
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    RealtimeSession,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ServerEvent,
    SessionConfig,
    SessionUpdate,
    SessionUpdated,
    UnknownEvent,
    UserMessage,
)

MESSAGE: Final = ConversationItemCreate(event_id="a", item=UserMessage.text("Hello!", id="item"))
CLEARED: Final = InputAudioBufferCleared(event_id="event")


def open_log(*, detecting: bool = False, under_way: Collection[ResponseCreate] = ()) -> Unconfirmed:
    log = Unconfirmed(lambda: under_way)
    log.configure(DEFAULT_ENCODING, is_detecting=detecting)
    return log


def send(
    log: Unconfirmed, event: Event, *, now: float = 0.0, waits: bool = False, expected: bool = True
) -> Event:
    log.sent(event, "text", now, is_written=not waits, is_expected=expected)
    return event


def say(log: Unconfirmed, ms: int = 100, *, now: float = 0.0) -> InputAudioBufferAppend:
    """Append audio in one piece."""
    event = InputAudioBufferAppend(audio=AudioData(bytes(48 * ms)))
    log.sent(event, "", now, is_written=True, is_expected=False)
    return event


def committed(item_id: str = "item") -> InputAudioBufferCommitted:
    return InputAudioBufferCommitted(event_id="event", item_id=item_id)


def rest(log: Unconfirmed, now: float = 0.0, stale: float = 10.0) -> list[Event]:
    return [entry.event for entry in log.rest(now, stale).entries]


# --- what is acknowledged -------------------------------------------------------------------------


@pytest.mark.parametrize("is_refused", [True, False])
def test_what_is_answered_is_not_sent_again(is_refused: bool) -> None:
    log = open_log()
    delete, update = ConversationItemDelete(item_id="x"), SessionUpdate(session=SessionConfig())
    for event in (MESSAGE, delete, update):
        send(log, event)
    assert len(log) == 3
    log.settled(delete, is_refused=is_refused)
    log.settled(delete, is_refused=is_refused)
    assert rest(log) == [MESSAGE, update]
    assert not log.is_quiet


def test_what_nobody_acknowledges_is_sent_again_only_if_it_was_never_written() -> None:
    log = open_log()
    cancel, raw = ResponseCancel(), UnknownEvent(type="new", raw={})
    send(log, cancel, expected=False)
    send(log, raw, waits=True, expected=False)
    send(log, MESSAGE, waits=True)
    assert rest(log) == [raw, MESSAGE]
    log.written(raw)
    log.written(raw)
    log.written(MESSAGE)
    assert rest(log) == [MESSAGE]


def test_the_text_of_what_was_sent_is_kept_but_for_audio() -> None:
    log = open_log()
    send(log, MESSAGE)
    say(log)
    assert [entry.text for entry in log.rest(0.0, 1.0).entries] == ["text", ""]


def test_of_servers_that_acknowledge_nothing_not_everything_is_kept() -> None:
    log = open_log()
    audio = say(log)
    for _ in range(5000):
        send(log, SessionUpdate(session=SessionConfig()))
    kept = rest(log)
    assert len(kept) == 4097
    assert kept[0] is audio


# --- creates of responses -------------------------------------------------------------------------


def test_a_create_of_the_turns_is_there_as_long_as_they_say_so() -> None:
    first, second = ResponseCreate(event_id="a"), ResponseCreate(event_id="b")
    under_way = [first, second]
    log = open_log(under_way=under_way)
    send(log, first, expected=False)
    send(log, second, expected=False)
    log.apply(created("r", "b"))
    assert rest(log) == [first, second]  # by its name it is the second; but that is not ours to say
    under_way.remove(first)
    log.apply(created("r"))
    assert rest(log) == [second]
    under_way.clear()
    assert rest(log) == []


def test_a_create_of_the_application_is_there_until_its_response_begins() -> None:
    log = open_log()
    first, second = ResponseCreate(event_id="a"), ResponseCreate(event_id="b")
    send(log, first, expected=False)
    send(log, second, expected=False)
    log.apply(created("r", "b"))
    assert rest(log) == [first]
    log.apply(created("s"))
    assert rest(log) == []
    log.apply(created("t"))


def test_a_response_of_the_turns_is_not_taken_for_one_of_the_applications() -> None:
    ours, mine = ResponseCreate(event_id="a"), ResponseCreate(event_id="b")
    under_way = [ours]
    log = open_log(under_way=under_way)
    send(log, mine, expected=False)
    send(log, ours, expected=False)
    under_way.clear()
    log.apply(created("r"))
    assert rest(log) == [mine]


def test_what_is_refused_by_its_name_is_not_sent_again() -> None:
    log = open_log()
    create = ResponseCreate(event_id="a")
    send(log, create, expected=False)
    log.apply(refusal(None))
    log.apply(refusal("b"))
    assert rest(log) == [create]
    log.apply(refusal("a"))
    assert rest(log) == []


def test_while_its_response_runs_a_create_of_the_application_is_remembered() -> None:
    log = open_log()
    first, second = ResponseCreate(event_id="a"), ResponseCreate(event_id="b")
    for create in (first, second):
        send(log, create, expected=False)
    log.apply(created("r"))
    log.apply(created("s", "b"))
    assert log.answered == {"r": first, "s": second}
    log.apply(done("r"))
    log.apply(done("t"))
    assert log.answered == {"s": second}
    log.down(0.0)
    assert log.answered == {}


def test_a_create_that_is_refused_after_all_was_not_answered() -> None:
    log = open_log()
    for create in (ResponseCreate(event_id="a"), ResponseCreate(event_id="b")):
        send(log, create, expected=False)
    log.apply(created("r"))  # of turn detection, which was faster
    log.apply(created("s", "b"))
    log.apply(refusal("a"))
    assert [*log.answered] == ["s"]


def test_a_response_without_an_id_cannot_be_told_from_another() -> None:
    log = open_log()
    send(log, ResponseCreate(event_id="a"), expected=False)
    log.apply(created(""))
    assert not log.answered
    assert rest(log) == []


# --- audio ----------------------------------------------------------------------------------------


def test_audio_is_sent_again_until_it_is_committed() -> None:
    log = open_log()
    first, second = say(log), say(log)
    commit = send(log, InputAudioBufferCommit(event_id="c"))
    third = say(log)
    log.settled(commit, is_refused=False)
    assert rest(log) == [first, second, commit, third]
    log.apply(committed())
    assert rest(log) == [third]


def test_audio_is_kept_if_its_commit_is_refused() -> None:
    log = open_log()
    audio = say(log)
    commit = send(log, InputAudioBufferCommit(event_id="c"))
    log.settled(commit, is_refused=True)
    assert rest(log) == [audio]


def test_audio_that_was_cleared_is_not_sent_again() -> None:
    log = open_log()
    say(log)
    clear = send(log, InputAudioBufferClear(event_id="c"))
    after = say(log)
    log.settled(clear, is_refused=False)
    log.apply(CLEARED)
    assert rest(log) == [after]
    log.apply(CLEARED)  # by somebody else
    assert rest(log) == []


def test_a_turn_that_was_detected_is_over_where_the_server_says() -> None:
    log = open_log(detecting=True)
    pieces = [say(log) for _ in range(10)]
    log.apply(InputAudioBufferSpeechStarted(event_id="e", item_id="item", audio_start_ms=100))
    assert not log.is_quiet
    log.apply(InputAudioBufferSpeechStopped(event_id="e", item_id="item", audio_end_ms=650))
    log.apply(committed())
    assert rest(log) == pieces[6:]
    assert log.is_quiet


def test_after_a_long_silence_there_is_a_message_of_it() -> None:
    log = open_log(detecting=True)
    pieces = [say(log) for _ in range(4)]
    log.apply(
        InputAudioBufferTimeoutTriggered(
            event_id="e", item_id="item", audio_start_ms=0, audio_end_ms=200
        )
    )
    log.apply(committed())
    assert rest(log) == pieces[2:]


def test_a_turn_of_which_nobody_said_where_it_ends_is_all_that_was_written() -> None:
    log = open_log(detecting=True)
    say(log)
    waiting = InputAudioBufferAppend(audio=AudioData(bytes(4800)))
    log.sent(waiting, "", 0.0, is_written=False, is_expected=False)
    log.apply(committed())
    assert rest(log) == [waiting]


def test_while_nobody_speaks_only_the_last_moments_are_kept() -> None:
    log = open_log(detecting=True)
    for _ in range(100):
        say(log)
    assert len(rest(log)) == LEAD_MS / 100
    assert log.rest(0.0, 1.0).audio_ms == 0
    log.apply(InputAudioBufferSpeechStarted(event_id="e", item_id="item", audio_start_ms=9000))
    for _ in range(100):
        say(log)
    assert len(rest(log)) == LEAD_MS / 100 + 100
    log.configure(DEFAULT_ENCODING, is_detecting=False)
    assert not log.is_quiet


def test_more_than_anybody_says_at_a_stretch_is_not_kept_and_counts_as_lost() -> None:
    log = open_log()
    for _ in range(MOST_AUDIO_MS // 1000 + 3):
        say(log, 1000)
    lost = log.rest(0.0, 1.0)
    assert lost.audio_ms == 3000
    assert len(lost.entries) == MOST_AUDIO_MS // 1000
    for _ in range(2):
        say(log, 1000)
    send(log, InputAudioBufferCommit())
    log.apply(committed())
    assert log.rest(0.0, 1.0).audio_ms == 0


def test_what_concerns_nobody_changes_nothing() -> None:
    log = open_log()
    send(log, MESSAGE)
    log.apply(SessionUpdated(event_id="e", session=RealtimeSession()))
    assert rest(log) == [MESSAGE]


# --- another link ---------------------------------------------------------------------------------


def test_audio_that_waited_too_long_is_dropped_but_not_what_was_said_before_the_loss() -> None:
    log = open_log()
    before = say(log, now=5.0)
    log.down(5.0)
    log.down(30.0)
    say(log, now=6.0)
    message = send(log, MESSAGE, now=7.0, waits=True)
    late = say(log, now=18.0)
    found = log.rest(20.0, 10.0)
    assert [entry.event for entry in found.entries] == [before, message, late]
    assert found.audio_ms == 100


def test_audio_of_which_a_commit_has_made_a_message_is_not_dropped() -> None:
    log = open_log()
    log.down(0.0)
    audio = say(log, now=1.0)
    commit = send(log, InputAudioBufferCommit(), now=1.0, waits=True)
    say(log, now=2.0)
    assert rest(log, now=60.0) == [audio, commit]


def test_positions_begin_anew_with_what_is_said_again() -> None:
    log = open_log(detecting=True)
    for _ in range(30):
        say(log)
    log.apply(InputAudioBufferSpeechStarted(event_id="e", item_id="x", audio_start_ms=1500))
    log.down(0.0)
    kept = rest(log)
    assert len(kept) == LEAD_MS / 100
    say(log)
    assert len(log) == LEAD_MS / 100 + 1  # the new server may not have noticed yet that he speaks
    log.apply(InputAudioBufferSpeechStopped(event_id="e", item_id="y", audio_end_ms=2000))
    log.apply(committed("y"))
    assert len(rest(log)) == 1


def test_what_was_not_noticed_for_long_is_silence() -> None:
    log = open_log(detecting=True)
    for _ in range(30):
        say(log)
    log.down(0.0)
    for _ in range(30):
        say(log)
    assert len(rest(log)) == LEAD_MS / 100 + 30
    for _ in range(LEAD_MS // 100):
        say(log)
    assert len(rest(log)) == LEAD_MS / 100


# --- in any case ----------------------------------------------------------------------------------

HEARD: Final[tuple[type[ServerEvent], ...]] = (
    ErrorEvent,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    ResponseCreated,
)
SENT: Final[tuple[type[ClientEvent], ...]] = (
    ConversationItemCreate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)


@given(st.lists(st.one_of(*(events(kind) for kind in (*HEARD, *SENT))), max_size=20), st.booleans())
def test_no_sequence_is_too_odd(sequence: list[Event], detecting: bool) -> None:
    log = open_log(detecting=detecting)
    sent: list[Event] = []
    for event in sequence:
        if isinstance(event, ServerEvent):
            log.apply(event)
        else:
            sent.append(send(log, event))
    left = rest(log)
    assert [event for event in sent if any(event is each for each in left)] == left


def test_audio_takes_the_same_however_much_of_it_there_is() -> None:
    def with_seconds(count: int) -> Unconfirmed:
        log = open_log()
        for _ in range(count):
            say(log, 1000)
        return log

    few, many = with_seconds(3), with_seconds(200)
    assert lines_run(lambda: say(few)) == lines_run(lambda: say(many))
