"""What the service does on MCP servers is told once, whatever the order in which it says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, strategies as st
from strategies import any_server_event

from realtime_trio._state import mcp as mcp_module
from realtime_trio._state.mcp import McpActivity
from realtime_trio._state.utility_events import (
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
    McpToolsUnavailable,
    ToolApprovalRequested,
    UtilityEvent,
)
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    Event,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpListedTool,
    McpListTools,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    McpToolExecutionError,
    Response,
    ResponseDone,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
    UnknownObject,
    UserMessage,
)

SEARCH = McpListedTool(name="search", input_schema={"type": "object"})
FETCH = McpListedTool(name="fetch", input_schema={"type": "object"})
BROKEN = McpToolExecutionError(message="out of paper")

# --- what the service says ------------------------------------------------------------------------


def added(item: Item) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="", item=item)


def created(item: Item) -> ConversationItemCreated:
    return ConversationItemCreated(event_id="", item=item)


def done(item: Item) -> ConversationItemDone:
    return ConversationItemDone(event_id="", item=item)


def output_added(item: Item) -> ResponseOutputItemAdded:
    return ResponseOutputItemAdded(event_id="", response_id="resp", output_index=0, item=item)


def output_done(item: Item) -> ResponseOutputItemDone:
    return ResponseOutputItemDone(event_id="", response_id="resp", output_index=0, item=item)


def response_done(*items: Item) -> ResponseDone:
    return ResponseDone(event_id="", response=Response(id="resp", status="completed", output=items))


def deleted(item_id: str) -> ConversationItemDeleted:
    return ConversationItemDeleted(event_id="", item_id=item_id)


def list_in_progress(item_id: str) -> McpListToolsInProgress:
    return McpListToolsInProgress(event_id="", item_id=item_id)


def list_completed(item_id: str) -> McpListToolsCompleted:
    return McpListToolsCompleted(event_id="", item_id=item_id)


def list_failed(item_id: str) -> McpListToolsFailed:
    return McpListToolsFailed(event_id="", item_id=item_id)


def arguments_done(item_id: str, arguments: str) -> ResponseMcpCallArgumentsDone:
    return ResponseMcpCallArgumentsDone(
        event_id="", response_id="resp", item_id=item_id, output_index=0, arguments=arguments
    )


def in_progress(item_id: str) -> ResponseMcpCallInProgress:
    return ResponseMcpCallInProgress(event_id="", output_index=0, item_id=item_id)


def completed(item_id: str) -> ResponseMcpCallCompleted:
    return ResponseMcpCallCompleted(event_id="", output_index=0, item_id=item_id)


def failed(item_id: str) -> ResponseMcpCallFailed:
    return ResponseMcpCallFailed(event_id="", output_index=0, item_id=item_id)


# --- what it says that of -------------------------------------------------------------------------


def listing(item_id: str | None, *tools: McpListedTool, label: str = "wiki") -> McpListTools:
    return McpListTools(id=item_id, server_label=label, tools=tools)


def call(
    item_id: str, arguments: str = "{}", *, output: str | None = None, error: McpError | None = None
) -> McpCall:
    return McpCall(
        id=item_id,
        server_label="wiki",
        name="search",
        arguments=arguments,
        output=output,
        error=error,
    )


def request(item_id: str) -> McpApprovalRequest:
    return McpApprovalRequest(id=item_id, server_label="wiki", name="search", arguments="{}")


def answer(request_id: str, *, approve: bool = True) -> McpApprovalResponse:
    return McpApprovalResponse(
        id=f"answer to {request_id}", approval_request_id=request_id, approve=approve
    )


# --- what is told ---------------------------------------------------------------------------------


def told(activity: McpActivity, *events: Event) -> list[UtilityEvent]:
    return [utility for event in events for utility in activity.apply(event)]


def listed(item: McpListTools) -> McpToolsListed:
    assert item.id is not None
    return McpToolsListed(server_label=item.server_label, tools=item.tools, item_id=item.id)


# --- lists of tools -------------------------------------------------------------------------------


def test_tools_are_listed_when_their_item_is_done() -> None:
    activity = McpActivity()
    whole = listing("a", SEARCH, FETCH)
    assert told(activity, list_in_progress("a"), added(listing("a"))) == []
    assert activity.tools == {}
    assert told(activity, done(whole)) == [listed(whole)]
    assert activity.tools == {"wiki": (SEARCH, FETCH)}
    assert told(activity, list_completed("a"), output_done(whole), list_failed("a")) == []


def test_a_list_that_is_completed_first_waits_for_its_item() -> None:
    activity = McpActivity()
    whole = listing("a", SEARCH)
    assert told(activity, added(listing("a")), list_completed("a")) == []
    assert told(activity, done(whole)) == [listed(whole)]


def test_a_list_that_is_completed_before_its_item_is_known_waits_as_well() -> None:
    activity = McpActivity()
    whole = listing("a", SEARCH)
    assert told(activity, list_completed("a"), added(listing("a"))) == []
    assert told(activity, output_done(whole)) == [listed(whole)]


def test_an_older_server_states_the_tools_when_the_item_is_created() -> None:
    activity = McpActivity()
    whole = listing("a", SEARCH)
    assert told(activity, created(whole)) == []
    assert told(activity, list_completed("a")) == [listed(whole)]


def test_an_empty_list_is_told_once_it_is_sure_that_it_did_not_fail() -> None:
    activity = McpActivity()
    empty = listing("a")
    assert told(activity, done(empty)) == []
    assert told(activity, list_completed("a")) == [listed(empty)]
    assert activity.tools == {"wiki": ()}


def test_a_list_that_failed_is_told_with_the_server_if_that_was_named() -> None:
    activity = McpActivity()
    assert told(activity, added(listing("a")), done(listing("a")), list_failed("a")) == [
        McpToolsUnavailable(server_label="wiki", item_id="a")
    ]
    assert told(activity, list_failed("b")) == [McpToolsUnavailable(server_label=None, item_id="b")]
    assert told(activity, list_failed("a"), list_completed("b"), done(listing("b", SEARCH))) == []
    assert activity.tools == {}


def test_a_done_list_does_not_shrink_when_the_item_is_added_late() -> None:
    activity = McpActivity()
    assert told(activity, done(listing("a")), added(listing("a", SEARCH))) == []
    assert told(activity, list_completed("a")) == [listed(listing("a"))]


def test_the_last_list_of_each_server_counts() -> None:
    activity = McpActivity()
    told(
        activity,
        done(listing("a", SEARCH)),
        done(listing("b", FETCH, label="files")),
        done(listing("c", FETCH)),
    )
    assert activity.tools == {"files": (FETCH,), "wiki": (FETCH,)}
    told(activity, deleted("a"))
    assert activity.tools == {"files": (FETCH,), "wiki": (FETCH,)}
    told(activity, deleted("c"))
    assert activity.tools == {"files": (FETCH,)}


def test_a_list_without_an_id_cannot_be_told_apart_and_is_left_out() -> None:
    assert told(McpActivity(), done(listing(None, SEARCH))) == []


# --- calls ----------------------------------------------------------------------------------------


def test_a_call_starts_when_it_is_made_and_finishes_with_its_outcome() -> None:
    activity = McpActivity()
    whole = call("a", '{"q":1}', output="found")
    assert (
        told(
            activity,
            output_added(call("a", "")),
            added(call("a", "")),
            arguments_done("a", '{"q":1}'),
        )
        == []
    )
    assert told(activity, in_progress("a")) == [McpCallStarted(call=call("a", '{"q":1}'))]
    assert told(activity, completed("a")) == []
    assert told(activity, done(whole)) == [McpCallFinished(call=whole)]
    assert (
        told(
            activity,
            output_done(whole),
            in_progress("a"),
            completed("a"),
            arguments_done("a", "{}"),
            response_done(whole),
        )
        == []
    )


def test_the_outcome_may_come_before_the_event_that_says_so() -> None:
    activity = McpActivity()
    broken = call("a", error=BROKEN)
    told(activity, output_added(call("a", "")), in_progress("a"))
    assert told(activity, output_done(broken)) == [McpCallFinished(call=broken)]
    assert told(activity, failed("a"), done(broken)) == []


def test_a_call_whose_item_was_not_known_starts_when_it_is() -> None:
    activity = McpActivity()
    assert told(activity, in_progress("a")) == []
    assert told(activity, added(call("a"))) == [McpCallStarted(call=call("a"))]
    assert told(activity, output_added(call("a")), in_progress("a")) == []


def test_a_call_that_is_over_before_it_started_is_told_to_have_started() -> None:
    whole = call("a", output="found")
    assert told(McpActivity(), done(whole)) == [
        McpCallStarted(call=call("a")),
        McpCallFinished(call=whole),
    ]


def test_an_item_that_is_done_with_its_response_waits_for_the_call_to_be_made() -> None:
    activity = McpActivity()
    whole = call("a", output="found")
    assert (
        told(activity, added(call("a", "")), output_done(call("a")), response_done(call("a"))) == []
    )
    assert told(activity, in_progress("a"), completed("a")) == [McpCallStarted(call=call("a"))]
    assert told(activity, done(whole)) == [McpCallFinished(call=whole)]


def test_a_call_that_fails_without_an_error_is_told_with_what_is_known() -> None:
    activity = McpActivity()
    told(activity, output_added(call("a", "")), arguments_done("a", "{}"), in_progress("a"))
    assert told(activity, done(call("a", ""))) == []
    assert told(activity, failed("a")) == [McpCallFinished(call=call("a"))]


@pytest.mark.parametrize("end", [output_done, response_done, done])
def test_an_item_that_is_done_after_its_call_has_ended_is_final(
    end: Callable[[Item], Event],
) -> None:
    activity = McpActivity()
    told(activity, output_added(call("a", "")), in_progress("a"))
    assert told(activity, failed("a")) == []
    assert told(activity, end(call("a"))) == [McpCallFinished(call=call("a"))]


def test_an_item_of_an_older_server_starts_when_it_is_created() -> None:
    activity = McpActivity()
    assert told(activity, in_progress("a"), created(call("a"))) == [McpCallStarted(call=call("a"))]


def test_a_late_beginning_does_not_undo_an_end() -> None:
    activity = McpActivity()
    assert told(activity, done(call("a")), added(call("a", ""))) == []
    assert told(activity, completed("a")) == [
        McpCallStarted(call=call("a")),
        McpCallFinished(call=call("a")),
    ]


def test_several_calls_run_side_by_side() -> None:
    activity = McpActivity()
    first, second = call("a", output="1"), call("b", output="2")
    assert told(
        activity, added(call("a")), added(call("b")), in_progress("b"), in_progress("a")
    ) == [
        McpCallStarted(call=call("b")),
        McpCallStarted(call=call("a")),
    ]
    assert told(activity, response_done(UserMessage.text("?"), first, second)) == [
        McpCallFinished(call=first),
        McpCallFinished(call=second),
    ]


# --- approvals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [output_done, done, created, response_done])
def test_an_approval_is_asked_for_once_and_is_pending_until_it_is_answered(
    ask: Callable[[Item], Event],
) -> None:
    activity = McpActivity()
    assert told(activity, output_added(request("a")), added(request("a"))) == []
    assert told(activity, ask(request("a"))) == [ToolApprovalRequested(call=request("a"))]
    assert told(activity, done(request("a")), output_done(request("a"))) == []
    assert activity.pending_approvals == {"a": request("a")}
    assert told(activity, added(answer("a", approve=False)), done(answer("a", approve=False))) == []
    assert activity.pending_approvals == {}
    assert told(activity, output_done(request("a"))) == []
    assert activity.pending_approvals == {}


def test_the_pending_approvals_can_be_walked_through_while_they_are_answered() -> None:
    activity = McpActivity()
    told(activity, done(request("a")), done(request("b")))
    for request_id in activity.pending_approvals:
        told(activity, added(answer(request_id)))
    assert activity.pending_approvals == {}


def test_an_approval_that_was_answered_already_is_not_asked_for() -> None:
    activity = McpActivity()
    assert told(activity, added(answer("a")), done(request("a"))) == []
    assert activity.pending_approvals == {}


# --- the rest -------------------------------------------------------------------------------------


def test_nothing_is_told_of_deleted_items() -> None:
    activity = McpActivity()
    told(activity, added(call("a")), added(listing("b")), done(request("c")))
    assert told(activity, deleted("a"), deleted("b"), deleted("c"), deleted("unheard of")) == []
    assert activity.pending_approvals == {}
    whole = call("a", output="found")
    assert (
        told(
            activity,
            in_progress("a"),
            completed("a"),
            done(whole),
            done(listing("b", SEARCH)),
            done(request("c")),
        )
        == []
    )
    assert activity.tools == {}


def test_other_items_are_of_no_interest() -> None:
    activity = McpActivity()
    assert (
        told(
            activity,
            done(UserMessage.text("hello")),
            output_done(UnknownObject("mcp_hologram", {"id": "a"})),
        )
        == []
    )


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_module, "_REMEMBERED", 2)
    activity = McpActivity()
    for name in "abc":
        told(
            activity,
            done(request(f"request {name}")),
            done(listing(f"list {name}", SEARCH, label=name)),
            in_progress(f"call {name}"),
        )
    assert list(activity.pending_approvals) == ["request b", "request c"]
    assert activity.tools == {"b": (SEARCH,), "c": (SEARCH,)}
    assert told(activity, *(added(call(f"call {name}")) for name in "abc")) == [
        McpCallStarted(call=call("call b")),
        McpCallStarted(call=call("call c")),
    ]
    assert len(activity._over._ids) == 2


IDS = st.sampled_from("abc")
CALLS = st.builds(
    call,
    IDS,
    st.sampled_from(["", "{}"]),
    output=st.none() | st.just("found"),
    error=st.none() | st.just(BROKEN),
)
LISTINGS = st.builds(
    lambda item_id, tools: listing(item_id, *tools), IDS, st.sampled_from([(), (SEARCH,)])
)
ITEMS: st.SearchStrategy[Item] = CALLS | LISTINGS | st.builds(request, IDS) | st.builds(answer, IDS)
STATEMENTS = st.sampled_from([added, created, done, output_added, output_done, response_done])
NEWS = st.sampled_from(
    [in_progress, completed, failed, list_in_progress, list_completed, list_failed]
)
EVENTS: st.SearchStrategy[Event] = (
    st.builds(lambda state, item: state(item), STATEMENTS, ITEMS)
    | st.builds(lambda make, item_id: make(item_id), NEWS, IDS)
    | st.builds(arguments_done, IDS, st.sampled_from(["", "{}"]))
)


def what(event: UtilityEvent) -> tuple[type, str]:
    """Which event it is, of which item."""
    match event:
        case McpToolsListed() | McpToolsUnavailable():
            return type(event), event.item_id
        case McpCallStarted() | McpCallFinished() | ToolApprovalRequested():
            assert event.call.id is not None
            return type(event), event.call.id
    raise AssertionError(event)


def check_nothing_twice(events: Iterable[UtilityEvent]) -> Counter[tuple[type, str]]:
    counts: Counter[tuple[type, str]] = Counter()
    for event in events:
        name, item_id = what(event)
        counts[name, item_id] += 1
        assert counts[name, item_id] == 1
        assert name is not McpCallFinished or counts[McpCallStarted, item_id]
        assert not (counts[McpToolsListed, item_id] and counts[McpToolsUnavailable, item_id])
    return counts


@given(st.lists(EVENTS | st.builds(deleted, IDS), max_size=60))
def test_nothing_is_told_twice_and_no_call_finishes_before_it_starts(events: list[Event]) -> None:
    activity = McpActivity()
    check_nothing_twice(told(activity, *events))


@given(st.lists(EVENTS, max_size=20), st.data())
def test_pending_approvals_are_those_that_were_told_and_not_answered(
    events: list[Event], data: st.DataObject
) -> None:
    activity = McpActivity()
    asked = {
        event.call.id
        for event in told(activity, *events)
        if isinstance(event, ToolApprovalRequested)
    }
    assert activity.pending_approvals.keys() <= asked
    told(activity, *(added(answer(item_id)) for item_id in data.draw(st.permutations("abc"))))
    assert activity.pending_approvals == {}


@given(st.data(), st.sampled_from([completed, failed]), st.booleans(), st.booleans())
def test_in_whatever_order_the_parts_arrive_everything_is_told_once(
    data: st.DataObject, end: Callable[[str], Event], says_outcome: bool, is_known_to_response: bool
) -> None:
    tools = listing("list", SEARCH)
    ended = end("call")
    outcome = (
        call("call")
        if not says_outcome
        else call("call", output="found")
        if end is completed
        else call("call", error=BROKEN)
    )
    of_response = output_done(outcome if is_known_to_response else call("call"))
    parts = [
        *(
            list_in_progress("list"),
            added(listing("list")),
            done(tools),
            output_done(tools),
            list_completed("list"),
        ),
        *(list_in_progress("none"), list_failed("none")),
        *(
            output_added(call("call", "")),
            added(call("call", "")),
            arguments_done("call", "{}"),
            in_progress("call"),
            ended,
        ),
        *(of_response, done(outcome)),
        *(
            output_added(request("request")),
            added(request("request")),
            output_done(request("request")),
            done(request("request")),
        ),
    ]
    arriving = data.draw(st.permutations(parts))
    activity = McpActivity()
    events = told(activity, *arriving)
    assert check_nothing_twice(events).keys() == {
        (McpToolsListed, "list"),
        (McpToolsUnavailable, "none"),
        (McpCallStarted, "call"),
        (McpCallFinished, "call"),
        (ToolApprovalRequested, "request"),
    }
    assert listed(tools) in events
    if is_known_to_response or arriving.index(of_response) < arriving.index(ended):
        assert McpCallFinished(call=outcome) in events
    assert activity.tools == {"wiki": (SEARCH,)}
    assert activity.pending_approvals == {"request": request("request")}


@given(st.lists(any_server_event(), max_size=10))
def test_no_event_makes_it_raise(events: list[ServerEvent]) -> None:
    told(McpActivity(), *events)
