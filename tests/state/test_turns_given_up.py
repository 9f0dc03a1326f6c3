"""Turns for which nobody waits any more: nothing is asked for in their name."""

from __future__ import annotations

from turn_events import (
    ask,
    called,
    created,
    done,
    feed,
    open_turns,
    request,
    sent,
    with_call_under_way,
)

from realtime_trio._state.turns.actions import Concluded, Finished, GiveUpCalls
from realtime_trio._state.turns.exchange import State


def test_who_gives_a_turn_up_in_a_round_of_tools_gets_no_reply_to_them() -> None:
    turns, wish = with_call_under_way()
    [concluded, given_up] = turns.abandon(wish)
    assert isinstance(concluded, Concluded)
    assert (concluded.request, concluded.response.id) == (wish, "r")
    assert given_up == GiveUpCalls(frozenset({"c"}))
    assert turns.call_answered("c") == ()
    assert turns.state is State.FREE


def test_a_turn_that_is_given_up_while_its_response_runs_ends_with_it() -> None:
    turns = open_turns()
    wish = ask(turns)
    feed(turns, [created("r", "a"), called("r", "c")])
    [given_up, cancel] = turns.abandon(wish)
    assert given_up == GiveUpCalls(frozenset({"c"}))
    assert sent(cancel) == ["cancel r"]
    assert [type(action) for action in feed(turns, [done("r")])] == [Finished, Concluded]
    assert turns.call_answered("c") == ()


def test_a_turn_that_is_given_up_before_its_response_begins_ends_with_it() -> None:
    turns = open_turns()
    wish = ask(turns)
    assert turns.abandon(wish) == ()
    assert sent(*feed(turns, [created("r", "a")])) == ["cancel r"]
    feed(turns, [called("r", "c"), done("r")])
    assert turns.call_answered("c") == ()


def test_a_follow_up_that_is_under_way_is_stopped_when_it_begins() -> None:
    turns, wish = with_call_under_way()
    assert sent(*turns.call_answered("c")) == ["evt_1"]
    assert [type(action) for action in turns.abandon(wish)] == [Concluded]
    assert sent(*feed(turns, [created("s", "evt_1")])) == ["cancel s"]


def test_a_follow_up_that_runs_is_stopped() -> None:
    turns, wish = with_call_under_way()
    turns.call_answered("c")
    feed(turns, [created("s", "evt_1")])
    assert sent(*turns.abandon(wish)) == ["cancel s"]


def test_a_follow_up_for_others_goes_on() -> None:
    turns, wish = with_call_under_way()
    turns.want_response(request("b"))
    feed(turns, [created("s", "b"), called("s", "d"), done("s")])
    turns.want_response(request("x"))
    feed(turns, [created("t", "x")])
    turns.call_answered("c")
    turns.call_answered("d")
    assert sent(*feed(turns, [done("t")])) == ["evt_1"]
    assert sent(*turns.abandon(wish)) == []
    assert sent(*feed(turns, [created("u", "evt_1")])) == []


def test_a_round_for_which_somebody_else_waits_is_not_given_up() -> None:
    turns, wish = with_call_under_way()
    turns.call_answered("c")
    other = request("b")
    turns.want_response(other)
    # The reply to the first tool calls another one: both wait for the end of that.
    feed(turns, [created("s", "evt_1"), called("s", "d"), done("s")])
    feed(turns, [created("t", "b"), called("t", "e"), done("t")])
    assert turns.abandon(request("c")) == ()
    assert [type(action) for action in turns.abandon(wish)] == [Concluded, GiveUpCalls]
    turns.call_answered("d")
    assert sent(*turns.call_answered("e")) == ["evt_2"]
