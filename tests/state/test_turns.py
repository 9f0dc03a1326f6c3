"""One response at a time: nothing is asked for too early, and every request hears its outcome."""

from __future__ import annotations

from typing import Final

import pytest
from effort import lines_run
from hypothesis import given, strategies as st
from strategies import events
from turn_events import (
    COMMITTED,
    FULL,
    LOST,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    TIMEOUT,
    ask,
    called,
    created,
    done,
    feed,
    open_turns,
    refusal,
    request,
    sent,
    state_of,
    with_call_under_way,
)

from realtime_trio._state.turns.actions import (
    Concluded,
    Failed,
    Finished,
    Send,
    Started,
    Withdrawn,
)
from realtime_trio._state.turns.exchange import State
from realtime_trio._state.turns.machine import Turns
from realtime_trio._state.turns.run import METADATA_KEY
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    ConversationItemAdded,
    ErrorEvent,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    SemanticVad,
    ServerEvent,
    ServerVad,
    UnknownEvent,
)

HEARD_EVENTS: Final[tuple[type[ServerEvent], ...]] = (
    ConversationItemAdded,
    ErrorEvent,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
)


# --- requests -------------------------------------------------------------------------------------


def test_a_request_is_sent_at_once_when_the_turn_is_free_and_followed_to_its_end() -> None:
    turns = open_turns()
    assert state_of(turns) is State.FREE
    wish = ask(turns)
    assert state_of(turns) is State.ASKED
    assert turns.apply(created("r", "a")) == (Started(wish, "r"),)
    assert state_of(turns) is State.TAKEN
    end = done("r", "a")
    assert turns.apply(end) == (Finished(wish, end.response), Concluded(wish, end.response))
    assert state_of(turns) is State.FREE


def test_the_guard_is_set_when_the_create_is_handed_out_and_requests_queue_in_order() -> None:
    turns = open_turns()
    ask(turns)
    assert turns.want_response(request("b")) == ()
    assert turns.want_response(request("c")) == ()
    assert sent(*feed(turns, [created("r", "a")])) == []
    assert sent(*feed(turns, [done("r")])) == ["b"]
    assert sent(*feed(turns, [created("s", "b"), done("s")])) == ["c"]


def test_a_create_carries_its_event_id_in_its_metadata_and_nothing_else_changes() -> None:
    turns = open_turns()
    (action,) = turns.want_response(request("a", metadata={"topic": "weather"}))
    assert action == Send(
        ResponseCreate(
            event_id="a", response=ResponseConfig(metadata={"topic": "weather", METADATA_KEY: "a"})
        ),
    )


@pytest.mark.parametrize("metadata", [FULL, {METADATA_KEY: "mine"}])
def test_metadata_without_room_for_ours_are_left_alone_and_recognised_as_they_are(
    metadata: dict[str, str],
) -> None:
    turns = open_turns()
    wish = request("a", metadata=metadata)
    assert turns.want_response(wish) == (Send(wish.event),)
    assert turns.apply(created("other", "somebody", conversation=None)) == (
        Started(wish, "other"),
    )  # a guess
    assert turns.apply(refusal("a")) == ()
    assert sent(*turns.apply(done("other"))) == ["a"]
    assert turns.apply(created("r", None, **metadata)) == (Started(wish, "r"),)


def test_fifteen_pairs_leave_room_for_ours() -> None:
    metadata = dict(list(FULL.items())[:15])
    (action,) = open_turns().want_response(request("a", metadata=metadata))
    assert isinstance(action, Send)
    assert isinstance(action.event, ResponseCreate)
    assert action.event.response == ResponseConfig(metadata={**metadata, METADATA_KEY: "a"})


def test_out_of_band_requests_need_no_turn() -> None:
    turns = open_turns()
    ask(turns)
    first, second = request("x", aside=True), request("y", aside=True)
    assert sent(*turns.want_response(first), *turns.want_response(second)) == ["x", "y"]
    assert turns.apply(created("s", "y", conversation=None)) == (Started(second, "s"),)
    assert state_of(turns) is State.ASKED
    end = done("s")
    assert turns.apply(end) == (Finished(second, end.response), Concluded(second, end.response))
    assert state_of(turns) is State.ASKED
    assert [type(action) for action in turns.apply(refusal("x"))] == [Failed]


@pytest.mark.parametrize("event_id", [None, "", "a", "b", "x"])
def test_a_request_needs_an_id_that_no_other_open_request_has(event_id: str | None) -> None:
    turns = open_turns()
    ask(turns)
    turns.want_response(request("b"))
    turns.want_response(request("x", aside=True))
    turns.apply(created("r", "a"))
    with pytest.raises(LocalProtocolError, match="event id"):
        turns.want_response(request(event_id))
    assert sent(*turns.apply(done("r"))) == ["b"]


# --- refusals -------------------------------------------------------------------------------------


def test_a_refusal_because_of_an_active_response_is_owed_again_and_retried_after_that_one() -> None:
    turns = open_turns(ServerVad())
    wish = ask(turns)
    turns.want_response(request("b"))
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED])
    assert turns.apply(created("vad")) == ()
    assert state_of(turns) is State.CONTESTED
    assert turns.apply(refusal("a")) == ()
    assert state_of(turns) is State.TAKEN
    assert sent(*turns.apply(done("vad"))) == ["a"]
    assert turns.apply(created("r", "a")) == (Started(wish, "r"),)
    assert sent(*turns.apply(done("r"))) == ["b"]


def test_a_create_that_arrives_after_the_contesting_response_is_taken() -> None:
    turns = open_turns(ServerVad())
    wish = ask(turns)
    assert (
        feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("vad"), done("vad")]) == ()
    )
    assert state_of(turns) is State.ASKED
    assert turns.apply(created("r", "a")) == (Started(wish, "r"),)


def test_a_refusal_that_comes_after_the_end_of_what_explains_it_is_retried_at_once() -> None:
    turns = open_turns(ServerVad())
    ask(turns)
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("vad"), done("vad")])
    assert sent(*turns.apply(refusal("a"))) == ["a"]


def test_a_refusal_that_nothing_explains_waits_for_the_end_of_the_response_we_did_not_see() -> None:
    turns = open_turns()
    ask(turns)
    assert turns.apply(refusal("a")) == ()
    assert state_of(turns) is State.TAKEN
    assert sent(*turns.apply(done("unseen"))) == ["a"]


def test_any_other_error_fails_the_request_and_the_next_one_goes() -> None:
    turns = open_turns()
    wish = ask(turns)
    turns.want_response(request("b"))
    failed, send = turns.apply(refusal("a", "unknown_parameter"))
    assert isinstance(failed, Failed)
    assert failed.request is wish
    assert isinstance(failed.error, ServerError)
    assert (failed.error.code, failed.error.message, failed.error.event_id) == (
        "unknown_parameter",
        "no",
        "a",
    )
    assert sent(send) == ["b"]


def test_errors_that_answer_nothing_of_ours_change_nothing() -> None:
    turns = open_turns()
    ask(turns)
    assert (
        feed(
            turns,
            [
                refusal("z"),
                refusal(None),
                created("r", "a"),
                refusal("a", "late"),
                refusal("z", "late"),
            ],
        )[1:]
        == ()
    )
    assert state_of(turns) is State.TAKEN


# --- cancelling -----------------------------------------------------------------------------------


def test_cancel_names_the_active_response_once_and_is_silent_when_there_is_none() -> None:
    turns = open_turns()
    assert turns.cancel() == ()
    ask(turns)
    turns.apply(created("r", "a"))
    assert turns.cancel() == (Send(ResponseCancel(event_id="evt_1", response_id="r")),)
    assert turns.cancel("r") == ()
    turns.apply(done("r", reason="client_cancelled"))
    assert turns.cancel("r") == ()


def test_a_cancel_that_comes_too_late_is_benign() -> None:
    turns = open_turns()
    ask(turns)
    turns.apply(created("r", "a"))
    turns.cancel()
    turns.apply(done("r"))
    ask(turns, "b")
    assert turns.apply(refusal("evt_1", "response_cancel_not_active")) == ()
    assert state_of(turns) is State.ASKED


def test_what_is_cancelled_before_it_began_is_cancelled_by_id_as_soon_as_it_does() -> None:
    turns = open_turns()
    wish = ask(turns)
    assert turns.cancel() == ()
    started, cancel = turns.apply(created("r", "a"))
    assert started == Started(wish, "r")
    assert sent(cancel) == ["cancel r"]


def test_cancel_leaves_what_was_not_sent_yet() -> None:
    turns = open_turns()
    ask(turns)
    turns.want_response(request("b"))
    feed(turns, [created("r", "a")])
    turns.cancel()
    assert sent(*turns.apply(done("r", reason="client_cancelled"))) == ["b"]


def test_a_response_is_cancelled_by_id_out_of_band_too() -> None:
    turns = open_turns()
    turns.want_response(request("x", aside=True))
    turns.apply(created("s", "x", conversation=None))
    assert sent(*turns.cancel("s")) == ["cancel s"]


def test_a_nameless_response_is_cancelled_without_an_id_unless_that_would_mean_another() -> None:
    turns = open_turns()
    ask(turns)
    aside = request("x", aside=True)
    turns.want_response(aside)
    feed(turns, [created("", "a"), created("", "x", conversation=None)])
    assert sent(*turns.cancel()) == ["cancel None"]
    assert turns.abandon(aside) == ()
    assert [type(action) for action in turns.apply(done("", "x"))] == [Finished, Concluded]
    assert state_of(turns) is State.TAKEN


def test_an_abandoned_request_is_withdrawn_stopped_or_left_alone_according_to_how_far_it_is() -> (
    None
):
    turns = open_turns()
    first, second, aside = ask(turns), request("b"), request("x", aside=True)
    turns.want_response(second)
    turns.want_response(aside)
    assert turns.abandon(second) == (Withdrawn(second),)
    assert turns.abandon(aside) == ()
    assert sent(*turns.apply(created("s", "x", conversation=None))) == ["cancel s"]
    turns.apply(created("r", "a"))
    assert sent(*turns.abandon(first)) == ["cancel r"]
    turns.apply(done("r"))
    assert turns.abandon(first) == ()


def test_an_abandoned_request_that_is_refused_is_not_sent_again() -> None:
    turns = open_turns(ServerVad())
    wish = ask(turns)
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("vad")])
    assert sent(*turns.cancel()) == ["cancel vad"]
    assert turns.apply(refusal("a")) == (Withdrawn(wish),)
    assert turns.apply(done("vad", reason="client_cancelled")) == ()


# --- odd servers ----------------------------------------------------------------------------------


def test_without_an_echo_the_first_response_after_the_create_is_its_answer() -> None:
    turns = open_turns()
    wish, aside = ask(turns), request("x", aside=True)
    turns.want_response(aside)
    assert turns.apply(created("s", conversation=None)) == (Started(aside, "s"),)
    assert turns.apply(created("r")) == (Started(wish, "r"),)


def test_a_response_that_turn_detection_owes_is_not_taken_for_an_answer() -> None:
    turns = open_turns(SemanticVad())
    wish = ask(turns)
    assert feed(turns, [TIMEOUT, COMMITTED, created("vad"), done("vad")]) == ()
    assert turns.apply(created("r")) == (Started(wish, "r"),)


def test_a_guess_is_taken_back_when_the_request_is_refused() -> None:
    turns = open_turns()
    wish = ask(turns)
    assert turns.apply(created("foreign")) == (Started(wish, "foreign"),)
    assert turns.apply(refusal("a")) == ()
    assert sent(*turns.apply(done("foreign"))) == ["a"]


def test_the_end_of_an_older_response_is_not_taken_for_an_answer() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r"), done("r")])
    ask(turns, "b")
    assert feed(turns, [done("r"), created("r")]) == ()
    assert state_of(turns) is State.ASKED


def test_a_server_that_echoes_is_not_guessed_about() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r", "a"), done("r")])
    wish = ask(turns, "b")
    assert feed(turns, [created("foreign"), done("foreign"), done("unseen")]) == ()
    assert turns.apply(created("s", "b")) == (Started(wish, "s"),)


@pytest.mark.parametrize(
    "end",
    [
        done(""),
        UnknownEvent(type="response.done", raw=b""),
        UnknownEvent(type="response.done", raw={}),
    ],
)
def test_an_end_without_an_id_releases_the_guard(end: ServerEvent) -> None:
    turns = open_turns()
    wish = ask(turns)
    turns.want_response(request("b"))
    turns.apply(created("r", "a"))
    finished, concluded, send = turns.apply(end)
    assert isinstance(finished, Finished)
    assert isinstance(concluded, Concluded)
    assert concluded.request is wish
    assert sent(send) == ["b"]


def test_an_end_without_an_id_releases_a_create_whose_response_was_never_seen() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r", "a"), done("r")])
    wish = ask(turns, "b")
    assert [type(action) for action in turns.apply(done(""))] == [Finished, Concluded]
    assert wish.event.event_id == "b"
    assert state_of(turns) is State.FREE


@pytest.mark.parametrize("answers", ["a", None])
def test_an_end_without_a_beginning_finishes_the_request(answers: str | None) -> None:
    turns = open_turns()
    wish = ask(turns)
    end = done("r", answers)
    assert turns.apply(end) == (Finished(wish, end.response), Concluded(wish, end.response))
    assert turns.apply(created("r", "a")) == ()
    assert state_of(turns) is State.FREE


def test_the_end_of_a_nameless_response_is_recognised_by_its_metadata_or_as_the_only_one() -> None:
    turns = open_turns()
    ask(turns)
    turns.apply(created("", "a"))
    assert [type(action) for action in turns.apply(done("r", "a"))] == [Finished, Concluded]
    ask(turns, "b")
    turns.apply(created("", "b"))
    assert [type(action) for action in turns.apply(done("s"))] == [Finished, Concluded]


def test_responses_that_cannot_be_decoded_begin_and_end_all_the_same() -> None:
    turns = open_turns()
    wish = ask(turns)
    raw = {"response": {"id": "r", "metadata": {METADATA_KEY: "a"}, "usage": "?"}}
    assert turns.apply(UnknownEvent(type="response.created", raw=raw)) == (Started(wish, "r"),)
    assert turns.apply(UnknownEvent(type="response.done", raw={"response": {"id": "other"}})) == ()
    assert [
        type(action) for action in turns.apply(UnknownEvent(type="response.done", raw=raw))
    ] == [Finished, Concluded]
    assert turns.apply(UnknownEvent(type="response.new", raw={})) == ()


def test_responses_are_matched_by_id_even_when_one_supersedes_another() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), created("r", "a"), created("foreign")])
    assert [type(action) for action in turns.apply(done("r"))] == [Finished, Concluded]
    assert state_of(turns) is State.TAKEN
    assert feed(turns, [done("r"), done("foreign"), done("foreign")]) == ()
    assert state_of(turns) is State.FREE
    assert turns.abandon(wish) == ()


def test_somebody_elses_out_of_band_response_does_not_take_the_turn() -> None:
    turns = open_turns()
    ask(turns)
    turns.want_response(request("b"))
    assert (
        sent(
            *feed(
                turns, [created("r", "a"), created("foreign", conversation=None), done("foreign")]
            )
        )
        == []
    )
    assert sent(*turns.apply(done("r"))) == ["b"]


# --- the end --------------------------------------------------------------------------------------


def test_a_lost_connection_settles_everything_once() -> None:
    turns, asked_tools = with_call_under_way()
    active, queued, under_way, aside = (
        request("b"),
        request("d"),
        request("x", aside=True),
        request("y", aside=True),
    )
    for each in (active, queued, under_way, aside):
        turns.want_response(each)
    feed(turns, [created("s", "b"), created("t", "y", conversation=None)])
    assert set(turns.disconnected(LOST)) == {
        Failed(each, LOST) for each in (asked_tools, active, queued, under_way, aside)
    }
    assert state_of(turns) is State.CLOSED
    assert turns.disconnected(LOST) == ()


def test_after_the_end_nothing_is_sent_and_nothing_can_be_asked_for() -> None:
    turns, wish = with_call_under_way(ServerVad())
    turns.disconnected(LOST)
    assert (
        turns.call_answered("c")
        == turns.cancel()
        == turns.abandon(wish)
        == turns.configure(None)
        == turns.apply(created("s"))
        == ()
    )
    with pytest.raises(LocalProtocolError, match="ended"):
        turns.want_response(request("b"))


def test_after_the_end_there_is_no_other_connection() -> None:
    turns = open_turns()
    ask(turns)
    turns.disconnected(LOST)
    assert turns.restart(ask=True) == ()
    assert state_of(turns) is State.CLOSED


@given(st.lists(st.one_of(*(events(kind) for kind in HEARD_EVENTS)), max_size=12), st.booleans())
def test_no_sequence_of_events_is_too_odd(sequence: list[ServerEvent], has_asked: bool) -> None:
    turns = open_turns(ServerVad())
    if has_asked:
        turns.want_response(request("a"))
        turns.want_response(request("x", aside=True))
    feed(turns, sequence)
    turns.disconnected(LOST)


# --- what a response is about ---------------------------------------------------------------------


def test_what_a_response_is_about_leaves_right_before_it_when_it_is_its_turn() -> None:
    turns = open_turns()
    ask(turns)
    assert turns.want_response(request("b", about="message b")) == ()
    assert turns.want_response(request("c", about="message c")) == ()
    assert sent(*feed(turns, [created("r", "a"), done("r")])) == ["message b", "b"]
    assert sent(*feed(turns, [created("s", "b"), done("s")])) == ["message c", "c"]


def test_out_of_band_it_leaves_at_once() -> None:
    turns = open_turns()
    ask(turns)
    wish = request("x", aside=True, about="message x")
    assert sent(*turns.want_response(wish)) == ["message x", "x"]


def test_it_is_sent_once_however_often_the_create_is_refused() -> None:
    turns = open_turns()
    wish = request("a", about="message a")
    assert sent(*turns.want_response(wish)) == ["message a", "a"]
    for other in ("r", "s"):
        assert sent(*feed(turns, [refusal("a"), done(other)])) == ["a"]


def test_what_was_withdrawn_is_not_said() -> None:
    turns = open_turns()
    ask(turns)
    wish = request("b", about="message b")
    turns.want_response(wish)
    assert turns.abandon(wish) == (Withdrawn(wish),)
    assert sent(*feed(turns, [created("r", "a"), done("r")])) == []


def test_a_refused_request_that_is_withdrawn_can_be_made_again() -> None:
    turns = open_turns()
    wish = request("a", about="message a")
    turns.want_response(wish)
    feed(turns, [refusal("a")])
    assert turns.abandon(wish) == (Withdrawn(wish),)
    feed(turns, [done("other")])
    assert sent(*turns.want_response(wish)) == ["message a", "a"]


def test_an_event_takes_the_same_however_many_calls_are_open() -> None:
    def with_open(count: int) -> Turns:
        turns = open_turns()
        for number in range(count):
            name = f"resp_{number}"
            feed(turns, [created(name), called(name, f"call_{number}"), done(name)])
        return turns

    def turn(turns: Turns) -> None:
        feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("r"), done("r")])

    # Both remember as many ids of what is over as they ever do.
    few, many = with_open(100), with_open(2000)
    assert lines_run(lambda: turn(few)) == lines_run(lambda: turn(many))
