"""Rounds: which calls await an output, which outputs are unread, and whether a reply is owed."""

from __future__ import annotations

import pytest
from effort import lines_run

from realtime_trio._state.turns.rounds import Round, Rounds
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    FunctionCallOutput,
    McpApprovalRequest,
    McpCall,
    Response,
    SystemMessage,
)

DONE = Response(id="resp_1", status="completed")


def with_calls(*call_ids: str, is_done: bool = True) -> tuple[Rounds[str], Round[str]]:
    """One round with these calls, for which somebody waits."""
    rounds: Rounds[str] = Rounds()
    owner: Round[str] = Round(origins=["somebody"])
    for call_id in call_ids:
        rounds.add(owner, call_id)
    if is_done:
        rounds.response_done(owner, DONE, is_guess=False)
    return rounds, owner


def test_a_reply_is_owed_once_the_response_is_done_and_every_call_has_its_output() -> None:
    rounds, owner = with_calls("a", "b", is_done=False)
    owed = []
    rounds.output_posted("a", respond=True)
    owed.append(rounds.owe_reply)
    rounds.response_done(owner, DONE, is_guess=False)
    owed.append(rounds.owe_reply)
    rounds.output_posted("b", respond=True)
    owed.append(rounds.owe_reply)
    assert owed == [False, False, True]
    assert not rounds.conclude(owner)


def test_nothing_is_owed_once_the_outputs_are_read_and_who_waited_is_handed_on() -> None:
    rounds, _ = with_calls("a", "b")
    for call_id in "ab":
        rounds.output_posted(call_id, respond=True)
    assert rounds.origins == ["somebody"]
    assert rounds.read(["a"]) == []
    assert rounds.read(["a", "b", "c"]) == ["somebody"]
    assert not rounds.owe_reply
    assert rounds.origins == []


def test_an_output_that_wants_no_reply_ends_its_round() -> None:
    rounds, owner = with_calls("a")
    assert rounds.awaits("a")
    assert rounds.output_posted("a", respond=False) is owner
    assert not rounds.awaits("a")
    assert rounds.conclude(owner)
    assert rounds.conclude(owner), "saying so again changes nothing"


def test_a_call_has_one_output_and_must_have_been_made() -> None:
    rounds, _ = with_calls("a")
    rounds.output_posted("a", respond=True)
    with pytest.raises(LocalProtocolError, match="answered already"):
        rounds.output_posted("a", respond=True)
    with pytest.raises(LocalProtocolError, match="never made"):
        rounds.output_posted("b", respond=True)
    assert (rounds.knows("a"), rounds.knows("b")) == (True, False)


def test_what_the_server_has_is_read_by_whatever_begins_then() -> None:
    rounds, _ = with_calls("a", "b")
    for call_id in "ab":
        rounds.output_posted(call_id, respond=True)
    rounds.acknowledge(FunctionCallOutput(call_id="a", output="yes"))
    rounds.acknowledge(AssistantMessage(id="b", content=()))
    assert rounds.unread == {"a", "b"}
    assert rounds.acknowledged == {"a"}


def test_news_of_a_call_are_unread_like_its_output_even_when_its_round_is_over() -> None:
    rounds, owner = with_calls("a")
    rounds.output_posted("a", respond=True)
    rounds.news_posted("a", "item_1")
    rounds.acknowledge(SystemMessage(id="item_1", content=()))
    assert rounds.unread == {"a", "item_1"}
    assert rounds.acknowledged == {"item_1"}
    rounds.read(["a", "item_1"])
    assert owner.is_complete
    rounds.news_posted("a", "item_2")
    assert rounds.owe_reply


def test_calls_out_of_band_are_not_waited_for_unless_that_was_only_a_guess() -> None:
    rounds, owner = with_calls("a", is_done=False)
    owner.is_aside = True
    rounds.response_done(owner, DONE, is_guess=True)
    assert rounds.awaits("a")
    rounds.output_posted("a", respond=True)
    assert rounds.unread == set()
    rounds.add(owner, "b")
    rounds.response_done(owner, DONE, is_guess=False)
    assert not rounds.awaits("b")


def test_a_call_that_the_service_runs_has_its_output_when_the_service_says_so() -> None:
    rounds, owner = with_calls("item_1")
    rounds.mark_hosted("item_1")
    assert rounds.hosted_ended("item_1") is owner
    assert rounds.acknowledged == {"item_1"}
    assert rounds.hosted_ended("item_1") is None


def test_a_call_that_was_approved_goes_by_the_id_of_the_request() -> None:
    rounds, owner = with_calls("ask", "other")
    request = McpApprovalRequest(id="ask", server_label="docs", name="search", arguments="{}")
    call = McpCall(
        id="item_1",
        server_label="docs",
        name="search",
        arguments="{}",
        approval_request_id="ask",
    )
    assert (rounds.name_hosted(request), rounds.name_hosted(call)) == ("ask", "ask")
    assert rounds.hosted_ended("item_1") is owner
    assert owner.pending == {"other"}


def test_a_request_for_approval_is_taken_back_only_while_nobody_has_decided() -> None:
    rounds, owner = with_calls("ask", "given", "denied")
    for name in ("ask", "given", "denied"):
        rounds.mark_hosted(name)
        rounds.await_approval(name)
    rounds.approved("given")
    rounds.hosted_ended("denied")
    assert rounds.take_back("given") is None
    assert rounds.take_back("denied") is None
    assert rounds.take_back("ask") is owner
    assert rounds.take_back("ask") is None
    assert owner.pending == {"given"}


def test_a_call_that_was_never_asked_for_waits_for_no_approval() -> None:
    rounds, owner = with_calls("a")
    rounds.await_approval("b")
    assert rounds.take_back("a") is None
    assert rounds.take_back("b") is None
    assert owner.pending == {"a"}


def test_calls_that_the_service_never_made_are_not_waited_for() -> None:
    rounds, owner = with_calls("a", "b", is_done=False)
    rounds.mark_hosted("a")
    rounds.response_done(owner, Response(id="resp_1", status="cancelled"), is_guess=False)
    assert owner.pending == {"b"}


def test_a_call_of_the_service_out_of_band_is_not_replied_to() -> None:
    rounds, owner = with_calls("a", is_done=False)
    owner.is_aside = True
    assert rounds.hosted_ended("a") is owner
    assert rounds.unread == set()


def test_a_call_that_no_response_made_is_a_round_of_its_own() -> None:
    rounds: Rounds[str] = Rounds()
    rounds.add_alone("a")
    rounds.output_posted("a", respond=True)
    assert rounds.owe_reply


def test_what_happens_to_one_round_leaves_the_others_alone() -> None:
    rounds, owner = with_calls("a")
    other: Round[str] = Round()
    rounds.add(other, "b")
    rounds.mark_hosted("b")
    assert (owner.hosted, other.hosted) == (set(), {"b"})
    rounds.output_posted("a", respond=True)
    rounds.output_posted("b", respond=True)
    rounds.acknowledge(FunctionCallOutput(call_id="b", output="yes"))
    assert (owner.unread, other.unread) == ({"a": False}, {"b": True})


def test_a_round_that_nobody_waits_for_owes_no_reply() -> None:
    rounds, owner = with_calls("a")
    owner.origins.append("somebody else")
    assert rounds.give_up("nobody") is None
    assert rounds.give_up("somebody") is None
    assert rounds.give_up("somebody else") is owner
    rounds.output_posted("a", respond=True)
    assert not rounds.owe_reply
    assert rounds.unread == {"a"}


def test_news_of_a_call_whose_round_goes_on_are_part_of_that() -> None:
    rounds, owner = with_calls("a", "b")
    rounds.output_posted("a", respond=True)
    rounds.news_posted("a", "item_1")
    assert owner.unread == {"a": False, "item_1": False}
    assert rounds.read({"a", "item_1", "nobody's"}) == []
    rounds.output_posted("b", respond=False)
    assert rounds.conclude(owner)


def test_who_waits_is_told_in_the_order_in_which_the_rounds_began() -> None:
    rounds: Rounds[str] = Rounds()
    for number in range(10):
        owner = Round(origins=[f"origin {number}"])
        rounds.add(owner, f"call {number}")
        rounds.response_done(owner, DONE, is_guess=False)
    for number in reversed(range(10)):
        rounds.output_posted(f"call {number}", respond=True)
    assert rounds.origins == [f"origin {number}" for number in range(10)]
    assert rounds.read(rounds.unread) == [f"origin {number}" for number in range(10)]
    assert rounds.origins == []


def test_what_nobody_called_changes_nothing() -> None:
    rounds, owner = with_calls("a")
    rounds.mark_hosted("b")
    rounds.acknowledge(FunctionCallOutput(call_id="b", output="1"))
    assert rounds.hosted_ended("b") is None
    assert (owner.hosted, owner.unread, rounds.owe_reply) == (set(), {}, False)


def test_a_call_that_comes_after_an_output_is_waited_for() -> None:
    rounds, owner = with_calls("a")
    rounds.output_posted("a", respond=True)
    rounds.add(owner, "b")
    owed = [rounds.owe_reply]
    rounds.output_posted("b", respond=False)
    assert [*owed, rounds.owe_reply] == [False, True]


def test_it_takes_the_same_however_many_calls_are_open() -> None:
    def with_open(count: int) -> Rounds[str]:
        rounds: Rounds[str] = Rounds()
        for number in range(count):
            owner: Round[str] = Round()
            for call_id in (f"answered {number}", f"open {number}"):
                rounds.add(owner, call_id)
            rounds.output_posted(f"answered {number}", respond=True)
            rounds.response_done(owner, DONE, is_guess=False)
        return rounds

    def round_trip(rounds: Rounds[str]) -> None:
        owner: Round[str] = Round()
        rounds.add(owner, "a")
        rounds.response_done(owner, DONE, is_guess=False)
        assert rounds.awaits("a")
        rounds.output_posted("a", respond=True)
        rounds.acknowledge(FunctionCallOutput(call_id="a", output="1"))
        assert rounds.owe_reply
        rounds.read(frozenset("a"))
        assert not rounds.owe_reply

    few, many = with_open(10), with_open(3000)
    assert lines_run(lambda: round_trip(few)) == lines_run(lambda: round_trip(many))
