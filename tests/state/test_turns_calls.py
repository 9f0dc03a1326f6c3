"""When the model is asked to reply to calls: those of tools, and those on MCP servers."""

from __future__ import annotations

import pytest
from turn_events import (
    CLEARED,
    COMMITTED,
    LOST,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    acknowledged,
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
    ResponseRequest,
    Send,
    Started,
)
from realtime_trio._state.turns.exchange import State
from realtime_trio._state.turns.machine import Turns
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    FunctionCall,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerVad,
    SystemMessage,
    UnknownEvent,
)


def with_response_under_way() -> tuple[Turns, ResponseRequest]:
    turns = open_turns()
    wish = ask(turns)
    turns.apply(created("r", "a"))
    return turns, wish


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


def test_the_model_is_asked_to_reply_when_the_service_has_run_a_call() -> None:
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


def approval_deleted(request_id: str = "ask") -> ConversationItemDeleted:
    return ConversationItemDeleted(event_id="event", item_id=request_id)


def test_nobody_waits_for_a_call_whose_approval_cannot_be_given_any_more() -> None:
    turns, wish = with_response_under_way()
    assert len(feed(turns, [approval_asked("r"), done("r")])) == 1
    assert sent(*turns.apply(approval_deleted())) == ["evt_1"]
    assert turns.apply(approval_deleted()) == ()
    turns.apply(created("r2", "evt_1"))
    reply = done("r2", "evt_1")
    assert turns.apply(reply)[1:] == (Concluded(wish, reply.response),)


def test_a_request_for_approval_may_be_deleted_before_its_response_is_told() -> None:
    turns, wish = with_response_under_way()
    end = done("r")
    assert feed(turns, [approval_deleted(), approval_asked("r"), end]) == (
        Finished(wish, end.response),
        Concluded(wish, end.response),
    )


def test_a_request_for_approval_may_be_deleted_when_it_was_given() -> None:
    turns, _ = with_response_under_way()
    assert len(feed(turns, [approval_asked("r"), done("r")])) == 1
    yes = McpApprovalResponse(id="i", approval_request_id="ask", approve=True)
    call = ConversationItemAdded(event_id="event", item=hosted(approved_by="ask"))
    given = ConversationItemAdded(event_id="event", item=yes)
    assert feed(turns, [given, approval_deleted(), call]) == ()
    assert sent(*turns.apply(hosted_ends())) == ["evt_1"]


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


# --- responses whose beginning could not be read --------------------------------------------------


@pytest.mark.parametrize("raw", [{}, {"response": {"id": 7}}, b"..."])
def test_the_calls_of_a_response_without_a_name_give_it_one(raw: object) -> None:
    turns = open_turns()
    unread = UnknownEvent(type="response.created", raw=raw)
    assert sent(*feed(turns, [unread, called("r", "c"), done("r")])) == []
    assert turns.state is State.FREE
    assert sent(*turns.call_answered("c")) == ["evt_1"]


def test_a_response_that_only_a_refusal_tells_of_ends_under_the_name_of_its_calls() -> None:
    turns = open_turns()
    turns.want_response(request("a"))
    assert sent(*feed(turns, [refusal("a"), called("r", "c"), done("r")])) == ["a"]
    assert turns.state is State.ASKED
