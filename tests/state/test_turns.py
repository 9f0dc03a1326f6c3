"""One response at a time: nothing is asked for too early, nothing owed is forgotten, and everybody hears what became of their request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Final, Literal

import pytest
from attrs import define, field
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from strategies import events

from realtime_trio._state.turns import (
    METADATA_KEY,
    Action,
    Concluded,
    Failed,
    Finished,
    ResponseRequest,
    Send,
    Started,
    State,
    Turns,
    Withdrawn,
)
from realtime_trio.errors import LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDone,
    ErrorDetail,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    JsonObject,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    Response,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseStatusDetails,
    SemanticVad,
    ServerEvent,
    ServerVad,
    SystemMessage,
    TurnDetection,
    UnknownEvent,
    UnknownObject,
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
ALREADY_ACTIVE: Final = "conversation_already_has_active_response"
LOST: Final = SessionClosed("the line went dead")


def open_turns(turn_detection: TurnDetection | None = None) -> Turns:
    numbers = count(1)
    turns = Turns(lambda prefix: f"{prefix}{next(numbers)}")
    assert turns.configure(turn_detection) == ()
    return turns


def request(
    event_id: str | None, *, aside: bool = False, metadata: JsonObject | None = None
) -> ResponseRequest:
    config = ResponseConfig(conversation="none" if aside else None, metadata=metadata)
    return ResponseRequest(
        ResponseCreate(event_id=event_id, response=config if aside or metadata else None)
    )


def state_of(turns: Turns) -> State:
    return turns.state


def sent(*actions: Action) -> list[str | None]:
    """What is sent: ids of creates, `cancel ID`."""
    said: list[str | None] = []
    for action in actions:
        match action:
            case Send(ResponseCreate(event_id=event_id)):
                said.append(event_id)
            case Send(ResponseCancel(response_id=response_id)):
                said.append(f"cancel {response_id}")
    return said


def created(
    response_id: str,
    answers: str | None = None,
    *,
    conversation: str | None = "conv",
    **metadata: str,
) -> ResponseCreated:
    if answers is not None:
        metadata[METADATA_KEY] = answers
    return ResponseCreated(
        event_id="event",
        response=Response(
            id=response_id,
            status="in_progress",
            metadata=metadata or None,
            conversation_id=conversation,
        ),
    )


def done(
    response_id: str, answers: str | None = None, *, reason: str | None = None
) -> ResponseDone:
    status, details = (
        ("completed", None)
        if reason is None
        else ("cancelled", ResponseStatusDetails(type="cancelled", reason=reason))
    )
    metadata = None if answers is None else {METADATA_KEY: answers}
    return ResponseDone(
        event_id="event",
        response=Response(id=response_id, status=status, status_details=details, metadata=metadata),
    )


def called(response_id: str, call_id: str, status: str = "completed") -> ResponseOutputItemDone:
    item = FunctionCall(name="look", arguments="{}", call_id=call_id, status=status)
    return ResponseOutputItemDone(
        event_id="event", response_id=response_id, output_index=0, item=item
    )


def acknowledged(call_id: str) -> ConversationItemAdded:
    return ConversationItemAdded(
        event_id="event", item=FunctionCallOutput(call_id=call_id, output="{}")
    )


def refusal(event_id: str | None, code: str | None = ALREADY_ACTIVE) -> ErrorEvent:
    return ErrorEvent(
        event_id="event",
        error=ErrorDetail(type="invalid_request_error", code=code, message="no", event_id=event_id),
    )


SPEECH_STARTED: Final = InputAudioBufferSpeechStarted(
    event_id="event", audio_start_ms=0, item_id="item"
)
SPEECH_STOPPED: Final = InputAudioBufferSpeechStopped(
    event_id="event", audio_end_ms=0, item_id="item"
)
COMMITTED: Final = InputAudioBufferCommitted(event_id="event", item_id="item")
CLEARED: Final = InputAudioBufferCleared(event_id="event")
CLAIRVOYANCE: Final = UnknownObject("clairvoyance", {"type": "clairvoyance"})
"""Turn detection from the future."""
TIMEOUT: Final = InputAudioBufferTimeoutTriggered(
    event_id="event", audio_start_ms=0, audio_end_ms=0, item_id="item"
)


def feed(turns: Turns, events: Iterable[ServerEvent]) -> tuple[Action, ...]:
    return tuple(action for event in events for action in turns.apply(event))


def ask(turns: Turns, event_id: str = "a") -> ResponseRequest:
    """Ask for a response that is sent at once."""
    wish = request(event_id)
    assert sent(*turns.want_response(wish)) == [event_id]
    return wish


def with_response_under_way() -> tuple[Turns, ResponseRequest]:
    turns = open_turns()
    wish = ask(turns)
    turns.apply(created("r", "a"))
    return turns, wish


def with_call_under_way(
    turn_detection: TurnDetection | None = None,
) -> tuple[Turns, ResponseRequest]:
    """Response `r`, the answer to request `a`, is done and has made call `c`."""
    turns = open_turns(turn_detection)
    wish = ask(turns)
    feed(turns, [created("r", "a"), called("r", "c"), done("r")])
    return turns, wish


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


FULL: Final = {f"key{number}": "value" for number in range(16)}


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


# --- tools ----------------------------------------------------------------------------------------


def test_the_model_replies_once_after_the_response_is_done_and_all_calls_are_answered() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), called("r", "c"), called("r", "d")])
    assert turns.call_answered("c") == ()
    end = done("r")
    assert turns.apply(end) == (Finished(wish, end.response),)
    (send,) = turns.call_answered("d")
    assert sent(send) == ["evt_1"]
    (started,) = turns.apply(created("s", "evt_1"))
    assert isinstance(started, Started)
    assert started.request.is_follow_up
    end = done("s")
    assert turns.apply(end) == (
        Finished(started.request, end.response),
        Concluded(wish, end.response),
    )


def test_answers_that_come_before_the_end_of_the_response_are_replied_to_after_it() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c")])
    assert turns.call_answered("c") == ()
    assert sent(*turns.apply(done("r"))) == ["evt_1"]


def test_a_batch_of_calls_that_want_no_reply_gets_none() -> None:
    turns = open_turns()
    wish = ask(turns)
    end = done("r")
    feed(turns, [created("r", "a"), called("r", "c"), called("r", "d"), end])
    assert turns.call_answered("c", respond=False) == ()
    assert turns.call_answered("d", respond=False) == (Concluded(wish, end.response),)


def test_one_call_that_wants_a_reply_is_enough() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c"), called("r", "d"), done("r")])
    assert turns.call_answered("c") == ()
    assert sent(*turns.call_answered("d", respond=False)) == ["evt_1"]


def test_incomplete_and_repeated_calls_are_not_waited_for() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), called("r", "c", "incomplete")])
    assert turns.apply(done("r"))[-1] == Concluded(wish, done("r").response)
    ask(turns, "b")
    feed(turns, [created("s", "b"), called("s", "d"), called("s", "d"), done("s")])
    assert sent(*turns.call_answered("d")) == ["evt_1"]


def test_a_request_does_not_wait_for_tools_and_their_reply_does_not_wait_for_later_requests() -> (
    None
):
    turns, _ = with_call_under_way()
    ask(turns, "b")
    turns.want_response(request("d"))
    assert turns.call_answered("c") == ()
    assert sent(*feed(turns, [created("s", "b"), done("s")])) == ["evt_1"]
    assert sent(*feed(turns, [created("t", "evt_1"), done("t")])) == ["d"]


def test_a_request_made_after_the_answers_reads_them_too() -> None:
    turns, first = with_call_under_way(ServerVad())
    turns.apply(SPEECH_STARTED)
    assert turns.call_answered("c") == ()
    second = ask(turns, "b")
    feed(turns, [created("s", "b"), CLEARED])
    end = done("s")
    assert turns.apply(end) == (
        Finished(second, end.response),
        Concluded(second, end.response),
        Concluded(first, end.response),
    )
    assert state_of(turns) is State.FREE


def test_several_batches_get_one_reply_and_an_unanswered_one_holds_up_only_itself() -> None:
    turns, _ = with_call_under_way()
    turns.call_added("old")
    turns.call_added("stuck")
    ask(turns, "b")
    turns.call_answered("c")
    turns.call_answered("old")
    turns.apply(acknowledged("old"))
    assert sent(*feed(turns, [created("s", "b"), done("s")])) == ["evt_1"]
    assert sent(*feed(turns, [created("t", "evt_1"), done("t")])) == []
    assert sent(*turns.call_answered("stuck")) == ["evt_2"]


def test_calls_out_of_band_are_nobodys_to_answer() -> None:
    turns = open_turns()
    wish = request("x", aside=True)
    turns.want_response(wish)
    end = done("s")
    assert turns.apply(created("s", "x", conversation=None)) == (Started(wish, "s"),)
    assert feed(turns, [called("s", "c"), end]) == (
        Finished(wish, end.response),
        Concluded(wish, end.response),
    )
    with pytest.raises(LocalProtocolError, match="answered already"):
        turns.call_answered("c")


def test_calls_of_what_may_be_out_of_band_are_answered_without_a_reply() -> None:
    turns = open_turns()
    wish = request("x", aside=True)
    turns.want_response(wish)
    end = done("s")
    assert turns.apply(created("s", conversation=None)) == (Started(wish, "s"),)
    assert feed(turns, [called("s", "c"), end]) == (Finished(wish, end.response),)
    assert turns.call_answered("c") == (Concluded(wish, end.response),)


def news(item_id: str) -> ConversationItemAdded:
    return ConversationItemAdded(
        event_id="event", item=SystemMessage.text("it has finished", id=item_id)
    )


def test_news_of_an_answered_call_are_replied_to_with_the_other_answers_of_its_response() -> None:
    turns, _ = with_response_under_way()
    feed(turns, [called("r", "c"), called("r", "d"), done("r")])
    turns.call_answered("c", respond=False)
    assert turns.news_told("c", "news") == ()
    assert sent(*turns.call_answered("d", respond=False)) == ["evt_1"]


def test_news_of_a_call_whose_answer_is_read_get_a_reply_of_their_own_and_only_one() -> None:
    turns, _ = with_call_under_way()
    turns.call_answered("c")
    feed(turns, [created("r2", "evt_1"), done("r2", "evt_1")])
    assert sent(*turns.news_told("c", "news")) == ["evt_2"]
    feed(turns, [news("other"), news("news"), created("r3", "evt_2")])
    assert not [action for action in turns.apply(done("r3", "evt_2")) if isinstance(action, Send)]


def test_news_do_not_talk_over_the_user_and_the_reply_to_the_user_reads_them() -> None:
    turns, _ = with_call_under_way(ServerVad())
    turns.call_answered("c", respond=False)
    feed(turns, [SPEECH_STARTED])
    assert turns.news_told("c", "news") == ()
    assert feed(turns, [news("news"), SPEECH_STOPPED, COMMITTED, created("r2"), done("r2")]) == ()


def test_after_the_end_there_are_no_news() -> None:
    turns, _ = with_call_under_way()
    turns.disconnected(LOST)
    assert turns.news_told("c", "news") == ()


def test_a_call_without_a_status_is_done_when_its_item_is() -> None:
    turns = open_turns()
    item = FunctionCall(call_id="c", name="f", arguments="{}")
    turns.apply(
        ResponseOutputItemDone(event_id="event", response_id="r", output_index=0, item=item)
    )
    assert turns.awaits("c")


# --- calls on MCP servers -------------------------------------------------------------------------


def hosted(
    item_id: str = "m", *, approved_by: str | None = None, output: str | None = None
) -> McpCall:
    return McpCall(
        id=item_id,
        server_label="docs",
        name="look_up",
        arguments="{}",
        approval_request_id=approved_by,
        output=output,
    )


def hosted_begins(response_id: str, call: McpCall) -> ResponseOutputItemAdded:
    return ResponseOutputItemAdded(
        event_id="event", response_id=response_id, output_index=0, item=call
    )


def hosted_ends(item_id: str = "m") -> ResponseMcpCallCompleted:
    return ResponseMcpCallCompleted(event_id="event", output_index=0, item_id=item_id)


def approval_asked(response_id: str, request_id: str = "ask") -> ResponseOutputItemDone:
    request = McpApprovalRequest(id=request_id, server_label="docs", name="look_up", arguments="{}")
    return ResponseOutputItemDone(
        event_id="event", response_id=response_id, output_index=0, item=request
    )


def item_done(item: McpCall | McpApprovalResponse) -> ConversationItemDone:
    return ConversationItemDone(event_id="event", item=item)


def test_the_model_is_asked_to_reply_when_the_service_has_run_a_call_after_the_end_of_the_response() -> (
    None
):
    turns, wish = with_response_under_way()
    end = done("r")
    assert turns.apply(hosted_begins("r", hosted())) == ()
    assert turns.apply(end) == (Finished(wish, end.response),)
    (send,) = turns.apply(hosted_ends())
    assert sent(send) == ["evt_1"]
    assert feed(turns, [item_done(hosted(output="42")), hosted_ends()]) == ()
    turns.apply(created("r2", "evt_1"))
    reply = done("r2", "evt_1")
    assert turns.apply(reply)[1:] == (Concluded(wish, reply.response),)


def test_a_hosted_call_that_ends_before_its_response_and_one_that_failed_are_replied_to_once() -> (
    None
):
    turns, wish = with_response_under_way()
    failed = ResponseMcpCallFailed(event_id="event", output_index=1, item_id="n")
    assert (
        feed(
            turns,
            [
                hosted_begins("r", hosted()),
                hosted_begins("r", hosted("n")),
                item_done(hosted(output="42")),
            ],
        )
        == ()
    )
    end = done("r")
    assert turns.apply(end) == (Finished(wish, end.response),)
    assert sent(*turns.apply(failed)) == ["evt_1"]


def test_an_approved_call_is_replied_to_when_it_has_run() -> None:
    turns, _ = with_response_under_way()
    assert turns.apply(approval_asked("r")) == ()
    assert len(turns.apply(done("r"))) == 1
    yes = McpApprovalResponse(id="i", approval_request_id="ask", approve=True)
    call = ConversationItemAdded(event_id="event", item=hosted(approved_by="ask"))
    assert feed(turns, [ConversationItemAdded(event_id="event", item=yes), call]) == ()
    assert sent(*turns.apply(hosted_ends())) == ["evt_1"]


def test_a_denied_call_is_replied_to_when_the_server_knows() -> None:
    turns, _ = with_response_under_way()
    no = McpApprovalResponse(id="i", approval_request_id="ask", approve=False)
    assert len(feed(turns, [approval_asked("r"), done("r")])) == 1
    assert sent(*turns.apply(ConversationItemAdded(event_id="event", item=no))) == ["evt_1"]
    assert turns.apply(ConversationItemAdded(event_id="event", item=no)) == ()


def test_hosted_calls_of_a_response_that_did_not_complete_are_not_waited_for() -> None:
    turns, wish = with_response_under_way()
    end = done("r", reason="client_cancelled")
    assert feed(turns, [hosted_begins("r", hosted()), end]) == (
        Finished(wish, end.response),
        Concluded(wish, end.response),
    )
    assert turns.apply(hosted_ends()) == ()


def test_hosted_calls_out_of_band_are_not_replied_to() -> None:
    turns = open_turns()
    wish = request("x", aside=True)
    turns.want_response(wish)
    end = done("s")
    events = [created("s", conversation=None), hosted_begins("s", hosted()), end]
    assert feed(turns, events) == (Started(wish, "s"), Finished(wish, end.response))
    assert turns.apply(hosted_ends()) == (Concluded(wish, end.response),)


@pytest.mark.parametrize("is_running", [True, False])
def test_a_hosted_call_that_only_the_conversation_shows_belongs_to_what_is_active(
    is_running: bool,
) -> None:
    turns = open_turns()
    if is_running:
        turns, _ = with_response_under_way()
    seen = turns.apply(item_done(hosted(output="42")))
    seen += turns.apply(done("r")) if is_running else ()
    assert [action for action in seen if isinstance(action, Send)]


def test_answering_an_unknown_call_or_one_twice_is_an_error_and_changes_nothing() -> None:
    turns, _ = with_call_under_way()
    assert (turns.awaits("c"), turns.awaits("z")) == (True, False)
    with pytest.raises(LocalProtocolError, match="never made"):
        turns.call_answered("z")
    with pytest.raises(LocalProtocolError, match="known already"):
        turns.call_added("c")
    assert sent(*turns.call_answered("c")) == ["evt_1"]
    with pytest.raises(LocalProtocolError, match="answered already"):
        turns.call_answered("c")
    assert state_of(turns) is State.ASKED


def test_a_call_of_a_response_that_was_never_seen_begins_it() -> None:
    turns = open_turns()
    assert turns.apply(called("unseen", "c")) == ()
    assert state_of(turns) is State.TAKEN
    turns.apply(done("unseen"))
    assert sent(*turns.call_answered("c")) == ["evt_1"]


def test_a_response_whose_beginning_was_not_seen_is_not_credited_with_reading_the_answers() -> None:
    turns, _ = with_call_under_way(ServerVad())
    turns.apply(SPEECH_STARTED)
    turns.call_answered("c")
    feed(turns, [acknowledged("c"), called("unseen", "d"), CLEARED])
    assert sent(*turns.apply(done("unseen"))) == ["evt_1"]


def test_a_call_of_a_response_of_ours_that_was_never_seen_belongs_to_its_request() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r", "a"), done("r")])
    wish = ask(turns, "b")
    assert feed(turns, [called("s", "c"), done("s", "b")]) == (
        Finished(wish, done("s", "b").response),
    )
    assert sent(*turns.call_answered("c")) == ["evt_1"]


def test_a_straggling_call_of_an_ended_response_is_replied_to_like_any_other() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r", "a"), done("r"), called("r", "c")])
    assert state_of(turns) is State.FREE
    assert sent(*turns.call_answered("c")) == ["evt_1"]


def test_a_refused_follow_up_is_owed_again() -> None:
    turns, wish = with_call_under_way(ServerVad())
    assert sent(*turns.call_answered("c")) == ["evt_1"]
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("vad"), refusal("evt_1")])
    turns.apply(acknowledged("c"))  # after the response began: it did not read the answer
    assert sent(*turns.apply(done("vad"))) == ["evt_2"]
    end = done("s", "evt_2")
    assert turns.apply(end)[-1] == Concluded(wish, end.response)


def test_a_cancelled_follow_up_that_is_refused_is_owed_all_the_same() -> None:
    turns, _ = with_call_under_way(ServerVad())
    turns.call_answered("c")
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("vad")])
    assert sent(*turns.cancel()) == ["cancel vad"]
    assert turns.apply(refusal("evt_1")) == ()
    assert sent(*turns.apply(done("vad", reason="client_cancelled"))) == ["evt_3"]


def test_a_failed_follow_up_fails_the_request_and_is_not_repeated() -> None:
    turns, wish = with_call_under_way()
    turns.call_answered("c")
    actions = turns.apply(refusal("evt_1", "conversation_too_long"))
    assert [action.request.is_follow_up for action in actions if isinstance(action, Failed)] == [
        True,
        False,
    ]
    assert isinstance(actions[-1], Failed)
    assert actions[-1].request is wish
    assert state_of(turns) is State.FREE


# --- turn detection -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [ConversationItemAdded, ConversationItemDone, ConversationItemCreated]
)
def test_after_an_interruption_the_reply_to_the_user_takes_the_place_of_the_follow_up(
    kind: Callable[..., ConversationItemAdded | ConversationItemDone | ConversationItemCreated],
) -> None:
    turns = open_turns(ServerVad())
    wish = ask(turns)
    feed(
        turns,
        [created("r", "a"), called("r", "c"), SPEECH_STARTED, done("r", reason="turn_detected")],
    )
    assert turns.call_answered("c") == ()
    turns.apply(kind(event_id="event", item=FunctionCallOutput(call_id="c", output="{}")))
    assert feed(turns, [SPEECH_STOPPED, COMMITTED, created("vad")]) == ()
    end = done("vad")
    assert turns.apply(end) == (Concluded(wish, end.response),)
    assert state_of(turns) is State.FREE


def test_an_answer_that_came_too_late_for_the_reply_to_the_user_gets_its_own() -> None:
    turns, _ = with_call_under_way(ServerVad())
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("vad")])
    turns.call_answered("c")
    turns.apply(acknowledged("c"))
    assert sent(*turns.apply(done("vad"))) == ["evt_1"]


def test_after_a_cancel_of_ours_the_follow_up_is_sent() -> None:
    turns = open_turns(ServerVad())
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c")])
    turns.cancel()
    turns.call_answered("c")
    assert sent(*turns.apply(done("r", reason="client_cancelled"))) == [
        "evt_2"
    ]  # evt_1 was the cancel


def test_after_an_interruption_that_is_not_answered_the_follow_up_is_sent() -> None:
    turns = open_turns(ServerVad(create_response=False))
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c"), SPEECH_STARTED])
    turns.call_answered("c")
    assert sent(*turns.apply(done("r", reason="turn_detected"))) == ["evt_1"]


def test_an_interruption_whose_cause_comes_later_holds_the_follow_up_as_well() -> None:
    turns = open_turns(ServerVad())
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c")])
    turns.call_answered("c")
    assert (
        feed(turns, [done("r", reason="turn_detected"), SPEECH_STARTED, SPEECH_STOPPED, COMMITTED])[
            1:
        ]
        == ()
    )
    assert sent(*feed(turns, [created("vad"), done("vad")])) == ["evt_1"]


@pytest.mark.parametrize(
    "ending",
    [
        [CLEARED],
        [COMMITTED],  # by the client: turn detection has not heard the end
        [SPEECH_STOPPED, COMMITTED, refusal(None)],
    ],
)
def test_when_the_users_turn_ends_without_a_response_the_follow_up_is_sent(
    ending: list[ServerEvent],
) -> None:
    turns, _ = with_call_under_way(CLAIRVOYANCE)
    turns.apply(SPEECH_STARTED)
    assert turns.call_answered("c") == ()
    assert sent(*feed(turns, ending)) == ["evt_1"]


def test_an_out_of_band_response_does_not_release_the_follow_up() -> None:
    turns, _ = with_call_under_way(ServerVad())
    turns.want_response(request("x", aside=True))
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("s", "x", conversation=None)])
    assert turns.call_answered("c") == ()
    assert [type(action) for action in turns.apply(done("s"))] == [Finished, Concluded]


def test_when_the_response_to_the_user_is_never_seen_its_end_releases_the_follow_up() -> None:
    turns, _ = with_call_under_way(ServerVad())
    feed(turns, [created("s"), done("s"), SPEECH_STARTED, SPEECH_STOPPED, COMMITTED])
    assert turns.call_answered("c") == ()
    assert sent(*turns.apply(done("unseen"))) == ["evt_1"]


def test_turning_turn_detection_off_releases_the_follow_up() -> None:
    turns, _ = with_call_under_way(ServerVad())
    turns.apply(SPEECH_STARTED)
    assert turns.call_answered("c") == ()
    assert sent(*turns.configure(None)) == ["evt_1"]


@pytest.mark.parametrize("interrupts", [True, False])
def test_a_response_that_outlasts_the_users_turn_is_followed_up_since_turn_detection_could_not_answer(
    interrupts: bool,
) -> None:
    turns = open_turns(ServerVad(interrupt_response=interrupts))
    ask(turns)
    feed(turns, [SPEECH_STARTED, created("r", "a"), called("r", "c"), SPEECH_STOPPED, COMMITTED])
    turns.call_answered("c")
    assert sent(*turns.apply(done("r"))) == ["evt_1"]


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


@given(st.lists(st.one_of(*(events(kind) for kind in HEARD_EVENTS)), max_size=12), st.booleans())
def test_no_sequence_of_events_is_too_odd(sequence: list[ServerEvent], has_asked: bool) -> None:
    turns = open_turns(ServerVad())
    if has_asked:
        turns.want_response(request("a"))
        turns.want_response(request("x", aside=True))
    feed(turns, sequence)
    turns.disconnected(LOST)


# --- against a strict server ----------------------------------------------------------------------


@define(eq=False)
class Reply:
    """A response as the server knows it."""

    id: str
    asked: ResponseCreate | None
    is_aside: bool
    is_announced: bool = True
    is_seen: bool = False  # by the client
    is_over: bool = False  # as far as the client has seen

    def shown(self, echoes: bool, status: str, reason: str | None = None) -> Response:
        return Response(
            id=self.id,
            status=status,
            status_details=None if reason is None else ResponseStatusDetails(reason=reason),
            metadata=self.asked.response.metadata
            if echoes and self.asked is not None and self.asked.response is not None
            else None,
            conversation_id=None if self.is_aside else "conv",
        )


@define(eq=False)
class Answer:
    """A call's output as everybody together knows it."""

    respond: bool
    is_at_server: bool = False
    read_by: Reply | None = None
    is_given_up: bool = False


@define(eq=False)
class Wish:
    """What a request has come to, as the client was told."""

    request: ResponseRequest
    told: list[str] = field(factory=list)

    @property
    def is_settled(self) -> bool:
        return self.told[-1:] in (["concluded"], ["failed"], ["withdrawn"])


Message = tuple[
    ServerEvent | TurnDetection | None, Reply | None, str | None
]  # what, about which response, answer to which create


class StrictServer(RuleBasedStateMachine):
    """Turns on one end, the protocol's rules to the letter on the other, and messages under way in both directions in between.

    "Only one response can write to the default Conversation at a time", "the server will not
    continue by itself after a function call", and turn detection may create a response at any time:
    before, while and after a create of ours is under way.
    """

    @initialize(
        echoes=st.booleans(),
        says_why=st.booleans(),
        turn_detection=st.sampled_from(
            [
                ServerVad(),
                ServerVad(create_response=False),
                ServerVad(interrupt_response=False),
                None,
            ]
        ),
    )
    def connect(self, echoes: bool, says_why: bool, turn_detection: ServerVad | None) -> None:
        self.echoes = echoes
        self.says_why = says_why
        self.reconnect(turn_detection)

    def reconnect(self, turn_detection: ServerVad | None) -> None:
        self.numbers = count(1)
        self.to_server: deque[ClientEvent] = deque()
        self.to_client: deque[Message] = deque()
        # the server
        self.turn_detection = turn_detection
        self.creates = (
            turn_detection is not None and turn_detection.create_response is not False
        )  # as far as the client knows
        self.active: Reply | None = None
        self.asides: list[Reply] = []
        self.is_user_speaking = False
        self.next_fails = self.next_is_unannounced = False
        # the client
        self.turns = open_turns(turn_detection)
        self.wishes: dict[ResponseRequest, Wish] = {}
        self.unanswered: set[str] = set()
        self.follow_ups: dict[str, list[Answer]] = {}
        self.unanswered_calls: dict[str, Reply] = {}
        self.rounds: dict[Reply, dict[str, Answer]] = {}
        self.answers: dict[str, Answer] = {}
        self.replies: dict[str, Reply] = {}
        self.cancelled: list[str | None] = []
        self.unwanted: set[str] = set()
        self.last_heard: ServerEvent | None = None
        self.is_user_heard = False
        self.has_seen_echo = False

    def number(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers)}"

    # what the application does

    @rule(
        aside=st.sampled_from([False, False, False, True]),
        kind=st.sampled_from(["none", "some", "full", "ours"]),
    )
    def application_asks(self, aside: bool, kind: Literal["none", "some", "full", "ours"]) -> None:
        event_id = self.number("a")
        metadata = {
            "none": None,
            "some": {"topic": "weather"},
            "full": {**dict(list(FULL.items())[1:]), "n": event_id},
            "ours": {METADATA_KEY: "mine", "n": event_id},
        }[kind]
        wish = request(event_id, aside=aside, metadata=metadata)
        self.wishes[wish] = Wish(wish)
        self.perform(self.turns.want_response(wish))

    @precondition(lambda self: self.wishes)
    @rule(data=st.data(), how=st.sampled_from(["cancel", "cancel by id", "abandon"]))
    def application_changes_its_mind(self, data: st.DataObject, how: str) -> None:
        if how == "cancel":
            self.unwanted |= self.unanswered
            self.perform(self.turns.cancel())
        elif how == "abandon":
            wish = data.draw(st.sampled_from(list(self.wishes)))
            self.unwanted.add(str(wish.event.event_id))
            self.perform(self.turns.abandon(wish))
        elif self.replies:
            self.perform(self.turns.cancel(data.draw(st.sampled_from(sorted(self.replies)))))

    @precondition(lambda self: self.unanswered_calls)
    @rule(data=st.data(), respond=st.sampled_from([True, True, False]))
    def tool_answers(self, data: st.DataObject, respond: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.unanswered_calls)))
        reply = self.unanswered_calls.pop(call_id)
        answer = Answer(respond and not reply.is_aside)
        self.rounds[reply][call_id] = self.answers[call_id] = answer
        self.to_server.append(
            ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output="{}"))
        )
        self.perform(self.turns.call_answered(call_id, respond=respond))

    # what the network does

    @precondition(lambda self: self.to_server or self.to_client)
    @rule(to_server=st.sampled_from([1, 2, 9, 0]), to_client=st.sampled_from([9, 3, 2, 1, 0]))
    def messages_arrive(self, to_server: int, to_client: int) -> None:
        for _ in range(min(to_server, len(self.to_server))):
            self.message_reaches_server()
        for _ in range(min(to_client, len(self.to_client))):
            self.message_reaches_client()

    def message_reaches_server(self) -> None:
        match self.to_server.popleft():
            case ResponseCreate(event_id=event_id) as event:
                aside = event.response is not None and event.response.conversation == "none"
                if self.next_fails:
                    self.next_fails = False
                    self.say(refusal(event_id, "unknown_parameter"), answers=event_id)
                elif self.active is not None and not aside:
                    self.say(refusal(event_id), answers=event_id)
                else:
                    self.begin(event, aside)
            case ResponseCancel(event_id=event_id, response_id=response_id):
                running = [
                    reply
                    for reply in (self.active, *self.asides)
                    if reply is not None and reply.id == response_id
                ]
                if running:
                    self.end(running[0], "cancelled", "client_cancelled")
                else:
                    self.say(refusal(event_id, "response_cancel_not_active"))
            case ConversationItemCreate(item=FunctionCallOutput(call_id=call_id)):
                self.answers[call_id].is_at_server = True
                self.say(acknowledged(call_id))
            case InputAudioBufferCommit():
                self.is_user_speaking = False
                self.say(COMMITTED)
            case _:
                self.is_user_speaking = False
                self.say(CLEARED)

    def message_reaches_client(self) -> None:
        event, reply, answers = self.to_client.popleft()
        if answers is not None:
            self.unanswered.discard(answers)
        if not isinstance(event, ServerEvent):
            self.creates = isinstance(event, ServerVad) and event.create_response is not False
            self.is_user_heard = self.is_user_heard and self.creates
            self.perform(self.turns.configure(event))
            return
        self.last_heard = event
        if event in (SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, CLEARED):
            self.is_user_heard = event in (SPEECH_STARTED, SPEECH_STOPPED) and self.creates
        match event:
            case ResponseCreated(response=response):
                assert reply is not None
                self.replies[reply.id] = reply
                reply.is_seen = True
                self.has_seen_echo |= self.echoes and response.metadata is not None
            case ResponseDone():
                assert reply is not None
                reply.is_over = True
                if reply.is_aside and self.echoes:
                    self.unanswered_calls = {
                        call_id: other
                        for call_id, other in self.unanswered_calls.items()
                        if other is not reply
                    }
            case ResponseOutputItemDone(item=FunctionCall(call_id=str(call_id))):
                assert reply is not None
                self.unanswered_calls[call_id] = reply
                self.rounds.setdefault(reply, {})
            case _:
                pass
        self.perform(self.turns.apply(event))
        if isinstance(event, ResponseCreated) and answers in self.unwanted:
            assert reply is not None
            assert reply.id in self.cancelled, "an orphan goes on speaking"

    # what the server does

    @precondition(lambda self: self.active or self.asides)
    @rule(data=st.data(), how=st.sampled_from(["calls", "completed", "failed", "has no id"]))
    def model_finishes(self, data: st.DataObject, how: str) -> None:
        reply = data.draw(
            st.sampled_from([reply for reply in (self.active, *self.asides) if reply is not None])
        )
        if how == "calls":
            self.say(called(reply.id, self.number("call")), reply)
        self.end(
            reply,
            "failed" if how == "failed" else "completed",
            is_nameless=how == "has no id" and not reply.is_aside and reply.is_announced,
        )

    @precondition(lambda self: self.turn_detection)
    @rule(is_idle=st.sampled_from([False, False, False, True]))
    def user_begins_or_stops_to_speak(self, is_idle: bool) -> None:
        assert self.turn_detection is not None
        if self.is_user_speaking:
            self.is_user_speaking = False
            self.say(SPEECH_STOPPED)
            self.answer_user()
        elif not is_idle:
            self.is_user_speaking = True
            self.say(SPEECH_STARTED)
            if self.active is not None and self.turn_detection.interrupt_response is not False:
                self.end(self.active, "cancelled", "turn_detected")
        elif self.active is None:
            self.say(TIMEOUT)
            self.answer_user()

    @precondition(lambda self: self.active)
    @rule(calls=st.integers(1, 2), is_over=st.booleans(), is_heard=st.booleans())
    def model_calls_functions(self, calls: int, is_over: bool, is_heard: bool) -> None:
        """What everything else races with, said in one breath so that it is not rare."""
        assert self.active is not None
        for _ in range(calls):
            self.say(called(self.active.id, self.number("call")), self.active)
        if is_over:
            self.end(self.active, "completed")
        while is_heard and self.to_client:
            self.message_reaches_client()

    @rule(
        what=st.sampled_from(["failure", "silence", "loss", "update", "commit", "clear"]),
        flags=st.tuples(st.booleans(), st.booleans()),
    )
    def something_rare_happens(self, what: str, flags: tuple[bool, bool]) -> None:
        if what == "failure":
            self.next_fails = True
        elif what == "silence":
            self.next_is_unannounced = self.has_seen_echo  # otherwise nobody could tell
        elif what == "loss":
            self.lose_connection()
        elif what == "commit":
            self.to_server.append(InputAudioBufferCommit())
        elif what == "clear":
            self.to_server.append(InputAudioBufferClear())
        else:
            self.turn_detection = ServerVad(create_response=flags[0], interrupt_response=flags[1])
            self.to_client.append((self.turn_detection, None, None))

    def lose_connection(self) -> None:
        open_requests = {wish.request for wish in self.wishes.values() if not wish.is_settled}
        failed = self.turns.disconnected(LOST)
        assert {
            action.request
            for action in failed
            if isinstance(action, Failed) and not action.request.is_follow_up
        } == open_requests
        self.reconnect(self.turn_detection)

    def say(
        self, event: ServerEvent, reply: Reply | None = None, answers: str | None = None
    ) -> None:
        self.to_client.append((event, reply, answers))

    def answer_user(self) -> None:
        self.say(COMMITTED)
        assert self.turn_detection is not None
        if self.turn_detection.create_response is False:
            return
        if self.active is None:
            self.begin(None, False)
        elif self.says_why:
            self.say(refusal(None))

    def begin(self, asked: ResponseCreate | None, aside: bool) -> None:
        reply = Reply(
            self.number("r"), asked, aside, is_announced=aside or not self.next_is_unannounced
        )
        self.next_is_unannounced = self.next_is_unannounced and aside
        if aside:
            self.asides.append(reply)
        else:
            self.active = reply
            for answer in self.answers.values():
                if answer.is_at_server and answer.read_by is None:
                    answer.read_by = reply
        if reply.is_announced:
            event = ResponseCreated(
                event_id="event", response=reply.shown(self.echoes, "in_progress")
            )
            self.say(event, reply, answers=None if asked is None else asked.event_id)

    def end(
        self, reply: Reply, status: str, reason: str | None = None, is_nameless: bool = False
    ) -> None:
        if reply.is_aside:
            self.asides.remove(reply)
        else:
            self.active = None
        response = Response() if is_nameless else reply.shown(self.echoes, status, reason)
        self.say(
            ResponseDone(event_id="event", response=response),
            reply,
            answers=None if reply.asked is None else reply.asked.event_id,
        )

    # what the client is told to do

    def perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send(ResponseCreate() as event):
                    self.check_create(event)
                    self.to_server.append(event)
                case Send(ResponseCancel(response_id=response_id) as event):
                    assert response_id not in self.cancelled, "cancelled twice"
                    self.cancelled.append(response_id)
                    self.to_server.append(event)
                case Started(wish, response_id):
                    self.check_answer(wish, response_id)
                    self.tell(wish, "started", after=[[]])
                case Finished(wish, response):
                    self.check_answer(wish, response.id)
                    self.tell(wish, "finished", after=[[], ["started"]])
                case Concluded(wish):
                    self.tell(wish, "concluded", after=[["finished"], ["started", "finished"]])
                case Failed(wish):
                    self.tell(wish, "failed", after=[[], ["finished"], ["started", "finished"]])
                    for answer in self.follow_ups.get(str(wish.event.event_id), []):
                        answer.is_given_up = True
                case Withdrawn(wish):
                    self.tell(wish, "withdrawn", after=[[]])

    def check_create(self, event: ResponseCreate) -> None:
        if event.response is not None and event.response.conversation == "none":
            return
        assert not self.unanswered, "two creates under way"
        assert event.event_id
        self.unanswered.add(event.event_id)
        assert not [
            reply for reply in self.replies.values() if not reply.is_aside and not reply.is_over
        ], "a response is active"
        waiting = [
            wish.request.event.event_id
            for wish in self.wishes.values()
            if not wish.told and not wish.request.is_out_of_band
        ]
        if event.event_id.startswith("a"):
            assert event.event_id == waiting[0], "it is not its turn yet"
            return
        self.follow_ups[event.event_id] = list(self.answers.values())
        assert [
            answer for answer in self.owed() if answer.read_by is None or not answer.read_by.is_seen
        ], "nothing is owed"
        assert not self.is_user_heard, "it talks over the user"
        coming = self.to_client[0][1] if self.to_client else None
        assert self.last_heard is not COMMITTED or coming is None or coming.asked is not None, (
            "turn detection answers already"
        )

    def check_answer(self, wish: ResponseRequest, response_id: str) -> None:
        reply = self.replies.get(response_id)
        assert reply is None or (
            reply.asked is not None and reply.asked.event_id == wish.event.event_id
        ), "somebody else's response"

    def tell(self, request: ResponseRequest, what: str, *, after: list[list[str]]) -> None:
        if request.is_follow_up:
            return
        wish = self.wishes[request]
        assert wish.told in after
        wish.told.append(what)

    def owed(self) -> list[Answer]:
        """Answers that want a reply, of responses that are done and have no other calls."""
        return [
            answer
            for reply, answers in self.rounds.items()
            if reply.is_over and reply not in self.unanswered_calls.values()
            for answer in answers.values()
            if answer.respond and not answer.is_given_up
        ]

    # what must be true

    @invariant()
    def an_active_response_is_known_to_be_active(self) -> None:
        seen = [
            reply for reply in self.replies.values() if not reply.is_aside and not reply.is_over
        ]
        assert len(seen) <= 1
        if seen:
            assert self.turns.state in (State.TAKEN, State.CONTESTED)
        if self.unanswered:
            assert self.turns.state in (State.ASKED, State.CONTESTED)

    def everything_comes_to_rest(self) -> None:
        self.next_fails = False
        for _ in range(200):
            while self.to_server or self.to_client:
                while self.to_server:
                    self.message_reaches_server()
                while self.to_client:
                    self.message_reaches_client()
            if self.is_user_speaking:
                self.user_begins_or_stops_to_speak(False)
            elif self.active is not None or self.asides:
                for reply in [*self.asides, *([] if self.active is None else [self.active])]:
                    self.end(reply, "completed")
            elif self.unanswered_calls:
                call_id, reply = self.unanswered_calls.popitem()
                self.rounds[reply][call_id] = self.answers[call_id] = Answer(not reply.is_aside)
                self.to_server.append(
                    ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output="{}"))
                )
                self.perform(self.turns.call_answered(call_id))
            else:
                break
        else:
            raise AssertionError("it never ends")
        assert self.turns.state is State.FREE
        assert [wish for wish in self.wishes.values() if not wish.is_settled] == [], (
            "a request was forgotten"
        )
        assert [answer for answer in self.owed() if answer.read_by is None] == [], (
            "a follow-up was forgotten"
        )

    def teardown(self) -> None:
        if hasattr(self, "turns"):
            self.everything_comes_to_rest()


TestAgainstAStrictServer = StrictServer.TestCase
TestAgainstAStrictServer.settings = settings(
    max_examples=3 * settings().max_examples
)  # cheap ones, and what matters is rare
