"""Turns on another connection: what goes on, what is asked for again, and what is over."""

from __future__ import annotations

import pytest
from turn_events import (
    COMMITTED,
    SPEECH_STARTED,
    SPEECH_STOPPED,
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
    Finished,
    Restarted,
    Send,
    Withdrawn,
)
from realtime_trio._state.turns.exchange import State
from realtime_trio._state.turns.run import METADATA_KEY, cut, is_cut
from realtime_trio.events import (
    McpCall,
    ResponseCreate,
    ResponseMcpCallCompleted,
    ResponseOutputItemAdded,
    ServerVad,
)


def test_on_another_connection_what_the_server_had_not_taken_stays_under_way() -> None:
    turns = open_turns()
    first, second, aside = request("a"), request("b"), request("x", aside=True)
    for each in (first, second, aside):
        turns.want_response(each)
    assert turns.restart(ask=True) == ()
    assert [create.event_id for create in turns.under_way] == ["a", "x"]
    assert feed(turns, [created("r", "a"), done("r", "a")]) != ()
    assert state_of(turns) is State.ASKED  # and that is the second one
    assert sent(*turns.abandon(second)) == []


def test_on_another_connection_a_response_that_was_cut_is_asked_for_again() -> None:
    turns = open_turns()
    active, queued, aside = request("b"), request("d"), request("y", aside=True)
    for each in (active, queued, aside):
        turns.want_response(each)
    feed(turns, [created("s", "b"), created("t", "y", conversation=None)])
    assert [*turns.running] == ["s", "t"]
    actions = turns.restart(ask=True)
    assert [action for action in actions if not isinstance(action, Send)] == [
        Restarted(active),
        Restarted(aside),
    ]
    assert sent(*actions) == ["y", "b"]
    assert not turns.running
    actions = feed(turns, [created("s2", "b"), done("s2", "b")])
    assert Finished(active, done("s2", "b").response) in actions
    assert sent(*actions) == ["d"]


def test_on_another_connection_a_response_that_was_cut_is_over_if_it_is_dropped() -> None:
    turns = open_turns()
    active, queued = request("b"), request("d")
    for each in (active, queued):
        turns.want_response(each)
    feed(turns, [created("s", "b")])
    actions = turns.restart(ask=False)
    assert actions[:2] == (Finished(active, cut("s")), Concluded(active, cut("s")))
    assert sent(*actions) == ["d"]


@pytest.mark.parametrize("again", [True, False])
def test_on_another_connection_calls_go_on_and_their_outputs_are_replied_to(again: bool) -> None:
    turns, asked_tools = with_call_under_way()
    assert turns.restart(ask=again) == ()
    assert turns.awaits("c")
    assert turns.awaited == {"c"}
    (follow_up,) = sent(*turns.call_answered("c"))
    actions = feed(turns, [created("r2", follow_up), done("r2")])
    assert Concluded(asked_tools, done("r2").response) in actions


@pytest.mark.parametrize("again", [True, False])
def test_a_response_that_was_cut_after_its_calls_is_not_asked_for_again(again: bool) -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), called("r", "c")])
    actions = turns.restart(ask=again)
    assert actions == (Finished(wish, cut("r")),)
    (follow_up,) = sent(*turns.call_answered("c"))
    actions = feed(turns, [created("r2", follow_up), done("r2")])
    assert Concluded(wish, done("r2").response) in actions


def test_a_reply_to_tools_that_was_cut_is_owed_again() -> None:
    turns, asked_tools = with_call_under_way()
    (follow_up,) = sent(*turns.call_answered("c"))
    feed(turns, [created("r2", follow_up)])
    actions = turns.restart(ask=True)
    (follow_up,) = sent(*actions)
    assert len(actions) == 1
    actions = feed(turns, [created("r3", follow_up), done("r3")])
    assert Concluded(asked_tools, done("r3").response) in actions


def test_a_reply_to_tools_that_was_cut_is_the_last_one_if_it_is_dropped() -> None:
    turns, asked_tools = with_call_under_way()
    (follow_up,) = sent(*turns.call_answered("c"))
    feed(turns, [created("r2", follow_up)])
    assert Concluded(asked_tools, cut("r2")) in turns.restart(ask=False)
    assert turns.is_at_rest


def test_the_users_turn_that_nobody_answered_is_answered_on_another_connection() -> None:
    turns = open_turns(ServerVad())
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED])
    assert len(sent(*turns.restart(ask=True))) == 1


def test_the_end_of_the_session_is_not_why_nobody_answers_the_user() -> None:
    turns = open_turns(ServerVad())
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, refusal(None, "session_expired")])
    assert len(sent(*turns.restart(ask=True))) == 1


def test_the_response_that_turn_detection_made_is_asked_for_again_by_us() -> None:
    turns = open_turns(ServerVad())
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("r")])
    assert len(sent(*turns.restart(ask=True))) == 1
    assert sent(*turns.restart(ask=True)) == []  # it is under way


def test_nothing_is_asked_for_again_while_the_user_speaks() -> None:
    turns = open_turns(ServerVad())
    wish = ask(turns)
    feed(turns, [created("r", "a"), SPEECH_STARTED])
    actions = turns.restart(ask=True)
    assert sent(*actions) == []
    assert Finished(wish, cut("r")) in actions
    assert turns.is_at_rest


def test_what_was_being_stopped_is_not_asked_for_again() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a")])
    turns.cancel()
    assert turns.restart(ask=True) == (Finished(wish, cut("r")), Concluded(wish, cut("r")))


def test_what_nobody_wants_any_more_is_not_asked_for_on_another_connection() -> None:
    turns = open_turns()
    wish = ask(turns)
    turns.abandon(wish)
    assert turns.restart(ask=True) == (Withdrawn(wish),)
    assert state_of(turns) is State.FREE
    assert not turns.under_way


def test_ids_of_the_other_connection_may_be_those_of_the_last_one() -> None:
    turns = open_turns()
    ask(turns)
    feed(turns, [created("r", "a"), done("r", "a")])
    turns.restart(ask=True)
    wish = request("b")
    turns.want_response(wish)
    actions = feed(turns, [created("r", "b"), done("r", "b")])
    assert Finished(wish, done("r", "b").response) in actions


def test_what_a_response_is_about_is_said_once_however_often_that_is_asked_for() -> None:
    turns = open_turns()
    turns.want_response(request("a", about="message a"))
    feed(turns, [created("r", "a")])
    assert sent(*turns.restart(ask=True)) == ["a"]


# --- calls on MCP servers -------------------------------------------------------------------------


def hosted(call_id: str = "m", output: str | None = None) -> McpCall:
    return McpCall(id=call_id, server_label="docs", name="search", arguments="{}", output=output)


def hosted_begins(response_id: str = "r") -> ResponseOutputItemAdded:
    return ResponseOutputItemAdded(
        event_id="event", response_id=response_id, output_index=0, item=hosted()
    )


def test_a_call_that_the_service_was_making_is_gone_and_the_response_is_asked_for_again() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), hosted_begins()])
    assert [*turns.hosted_calls] == ["m"]
    actions = turns.restart(ask=True)
    assert sent(*actions) == ["a"]
    assert Restarted(wish) in actions
    assert not turns.hosted_calls
    assert not turns.awaits("m")


def test_who_waits_for_the_reply_to_a_call_that_is_gone_gets_the_one_that_comes() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), hosted_begins(), done("r", "a")])
    # The model is asked once more, without the call.
    assert sent(*turns.restart(ask=True)) == ["evt_1"]
    assert not turns.hosted_calls
    reply = done("s", "evt_1")
    assert Concluded(wish, reply.response) in feed(turns, [created("s", "evt_1"), reply])
    assert turns.is_at_rest


def test_the_reply_to_what_the_service_had_found_is_asked_for_again() -> None:
    turns = open_turns()
    wish = ask(turns)
    ended = ResponseMcpCallCompleted(event_id="event", output_index=0, item_id="m")
    feed(turns, [created("r", "a"), hosted_begins(), done("r", "a"), ended])
    feed(turns, [created("s", "evt_1")])
    assert sent(*turns.restart(ask=True)) == ["evt_2"]
    reply = done("t", "evt_2")
    assert Concluded(wish, reply.response) in feed(turns, [created("t", "evt_2"), reply])
    assert turns.is_at_rest


@pytest.mark.parametrize("why", ["dropped", "interrupted"])
def test_a_call_that_is_gone_has_no_reply_if_none_is_asked_for_again(why: str) -> None:
    turns = open_turns(ServerVad())
    wish = ask(turns)
    feed(turns, [created("r", "a"), hosted_begins(), done("r", "a")])
    if why == "interrupted":
        feed(turns, [SPEECH_STARTED])
    actions = turns.restart(ask=why == "interrupted")
    assert actions == (Concluded(wish, done("r", "a").response),)
    assert turns.is_at_rest


def test_a_reply_that_nobody_wants_is_not_asked_for_again() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), hosted_begins(), done("r", "a")])
    turns.abandon(wish)
    assert turns.restart(ask=True) == ()
    assert turns.is_at_rest


def test_what_the_service_had_found_is_not_replied_to_where_nobody_has_it() -> None:
    turns = open_turns()
    ask(turns)
    ended = ResponseMcpCallCompleted(event_id="event", output_index=0, item_id="m")
    feed(turns, [created("r", "a"), hosted_begins(), ended])
    assert sent(*turns.restart(ask=True)) == ["a"]
    actions = feed(turns, [created("s", "a"), done("s", "a")])
    assert sent(*actions) == []
    assert turns.is_at_rest


def test_a_response_that_had_said_everything_is_over() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a")])
    whole = cut("r", is_whole=True)
    assert whole.status == "completed"
    assert turns.restart(ask=True, ends={"r": whole}) == (
        Finished(wish, whole),
        Concluded(wish, whole),
    )
    assert turns.is_at_rest


def test_a_response_that_was_cut_is_known_by_its_end() -> None:
    assert is_cut(cut("r"))
    assert not is_cut(cut("r", is_whole=True))
    assert not is_cut(done("r", "a").response)
    assert not is_cut(done("r", "a", reason="client_cancelled").response)


def test_on_another_connection_a_response_that_nobody_here_asked_for_is_owed() -> None:
    turns = open_turns()
    feed(turns, [created("s")])
    assert sent(*turns.restart(ask=True)) == ["evt_1"]


def test_on_another_connection_somebody_elses_response_out_of_band_is_not_owed() -> None:
    turns = open_turns()
    feed(turns, [created("s"), created("t", conversation=None), done("s")])
    assert [*turns.running] == ["t"]
    assert turns.restart(ask=True) == ()
    assert turns.state is State.FREE


@pytest.mark.parametrize("is_active", [True, False])
def test_what_the_application_has_sent_by_itself_is_asked_for_again_as_it_was(
    is_active: bool,
) -> None:
    turns = open_turns()
    mine = request("mine", metadata={"topic": "x"}).event
    aside = request("aside", aside=True).event
    conversation = "conv" if is_active else None
    feed(turns, [created("s", conversation=conversation), created("t", conversation=None)])
    actions = turns.restart(ask=True, creates={"s": mine, "t": aside})
    assert sent(*actions) == ["aside", "mine"]
    asked_aside, asked = (
        each.event.response
        for each in actions
        if isinstance(each, Send) and isinstance(each.event, ResponseCreate)
    )
    assert asked_aside is not None
    assert asked is not None
    assert (asked_aside.conversation, asked.conversation) == ("none", None)
    assert asked.metadata == {"topic": "x", METADATA_KEY: "mine"}
    feed(turns, [created("s2", "mine"), created("t2", "aside", conversation=None)])
    # From now on it is known whose they are.
    assert sent(*turns.restart(ask=True)) == ["aside", "mine"]


def test_what_the_application_has_sent_is_over_if_it_is_dropped() -> None:
    turns = open_turns()
    feed(turns, [created("s")])
    assert turns.restart(ask=False, creates={"s": request("mine").event}) == ()
    assert turns.is_at_rest


def test_what_the_application_has_sent_aside_is_asked_for_again_while_the_user_speaks() -> None:
    turns = open_turns(ServerVad())
    feed(turns, [created("s", conversation=None), SPEECH_STARTED])
    actions = turns.restart(ask=True, creates={"s": request("aside", aside=True).event})
    assert sent(*actions) == ["aside"]


def test_what_was_sent_without_an_id_gets_one() -> None:
    turns = open_turns()
    feed(turns, [created("s")])
    actions = turns.restart(ask=True, creates={"s": request(None).event})
    assert sent(*actions) == ["evt_1"]
