"""Calls of hosted tools: when the simulated server runs them, and how they end."""

from __future__ import annotations

import pytest
from hosted_tools import (
    CALLING,
    DOCS,
    DOCS_IF_ASKED,
    FOUND,
    RUNNING,
    HostedClient,
    call,
    words,
)
from service_client import of_type, only, types
from simulated import SLOW

from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpHttpError,
    McpProtocolError,
    McpToolExecutionError,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
)
from realtime_trio.simulator import Reply

# --- calls that need no approval ------------------------------------------------------------------


def test_a_call_runs_after_its_response_and_nothing_follows() -> None:
    client = HostedClient(FOUND, tools=[DOCS])
    events = client.respond()
    assert types(events) == [*CALLING, *RUNNING]
    assert client.take(100.0) == []
    begun = only(events, ConversationItemAdded).item
    assert isinstance(begun, McpCall)
    assert begun == McpCall(id=begun.id, server_label="docs", name="search", arguments="")
    made = McpCall(id=begun.id, server_label="docs", name="search", arguments='{"q":"trio"}')
    ran = McpCall(
        id=begun.id,
        server_label="docs",
        name="search",
        arguments='{"q":"trio"}',
        output="Two pages.",
    )
    response = only(events, ResponseDone).response
    assert (response.status, response.output) == ("completed", (made,))
    assert only(events, ResponseOutputItemAdded).item == begun
    assert only(events, ResponseOutputItemDone).item == made
    assert only(events, ConversationItemDone).item == ran
    assert (
        only(events, ConversationItemDone).previous_item_id
        == only(events, ConversationItemAdded).previous_item_id
    )
    assert (
        only(
            client.send(ConversationItemRetrieve(item_id=begun.id)), ConversationItemRetrieved
        ).item
        == ran
    )


def test_the_arguments_stream() -> None:
    events = HostedClient(FOUND, tools=[DOCS]).respond()
    deltas = of_type(events, ResponseMcpCallArgumentsDelta)
    assert len(deltas) > 1
    assert "".join(delta.delta for delta in deltas) == '{"q":"trio"}'
    assert all(len(delta.delta) + len(delta.obfuscation or "") == 16 for delta in deltas)
    done = only(events, ResponseMcpCallArgumentsDone)
    assert done.arguments == '{"q":"trio"}'
    place = (only(events, ResponseCreated).response.id, call(events).id, 0)
    assert {(delta.response_id, delta.item_id, delta.output_index) for delta in deltas} == {place}
    assert (done.response_id, done.item_id, done.output_index) == place


def test_the_call_is_known_by_its_place_in_the_response() -> None:
    events = HostedClient(Reply.text("Let me look.").then(FOUND), tools=[DOCS]).respond()
    made = call(events)
    started, completed = (
        only(events, ResponseMcpCallInProgress),
        only(events, ResponseMcpCallCompleted),
    )
    assert (
        (started.item_id, started.output_index)
        == (completed.item_id, completed.output_index)
        == (made.id, 1)
    )


@pytest.mark.parametrize(
    "error",
    [
        McpProtocolError(code=-32601, message="Unknown tool."),
        McpToolExecutionError(message="No such page."),
        McpHttpError(code=503, message="Come back later."),
    ],
)
def test_a_call_can_fail_in_every_way(error: McpError) -> None:
    events = HostedClient(Reply.mcp("docs", "search", error=error), tools=[DOCS]).respond()
    assert types(events) == [*CALLING, RUNNING[0], "response.mcp_call.failed", RUNNING[2]]
    failed, made = only(events, ResponseMcpCallFailed), call(events)
    assert (failed.item_id, failed.output_index) == (made.id, 0)
    assert (made.output, made.error) == (None, error)


def test_a_text_is_the_message_of_a_tool_that_failed() -> None:
    assert call(
        HostedClient(Reply.mcp("docs", "search", error="Oops."), tools=[DOCS]).respond()
    ).error == McpToolExecutionError(message="Oops.")


def test_arguments_and_output_may_be_json_or_anything() -> None:
    made = call(
        HostedClient(
            Reply.mcp("docs", "search", '{"q":', output={"pages": 2}), tools=[DOCS]
        ).respond()
    )
    assert (made.arguments, made.output) == ('{"q":', '{"pages":2}')
    silent = call(HostedClient(Reply.mcp("docs", "search", ""), tools=[DOCS]).respond())
    assert (silent.arguments, silent.output) == ("", "")


def test_the_conversation_goes_on_while_a_tool_takes_its_time() -> None:
    slow = Reply.mcp("docs", "search", output="Two pages.", duration=3.0)
    client = HostedClient(slow, Reply.text("Meanwhile."), tools=[DOCS])
    assert types(client.respond()) == [*CALLING, RUNNING[0]]
    assert words(client.respond(now=1.0)) == "Meanwhile."
    assert client.server.next_due == 3.0
    assert types(client.take(3.0)) == RUNNING[1:]


def test_the_time_of_a_call_starts_when_its_response_is_done() -> None:
    client = HostedClient(
        Reply.mcp("docs", "search", "a b", duration=3.0), tools=[DOCS], pacing=SLOW
    )
    client.respond()
    assert types(client.take(1.5))[-1] == "response.mcp_call_arguments.delta"
    assert types(client.take(2.0)) == [
        "response.mcp_call_arguments.delta",
        *CALLING[4:],
        RUNNING[0],
    ]
    assert client.server.next_due == 5.0
    assert types(client.take(5.0)) == RUNNING[1:]


def test_calls_of_one_response_run_side_by_side() -> None:
    slow, fast = (
        Reply.mcp("docs", "search", output=f"{seconds}", duration=seconds) for seconds in (2.0, 1.0)
    )
    client = HostedClient(slow.then(fast), tools=[DOCS])
    events = client.respond()
    assert types(events)[-2:] == ["rate_limits.updated", "response.mcp_call.in_progress*"]
    assert [event.output_index for event in of_type(events, ResponseMcpCallInProgress)] == [0, 1]
    assert call(client.take(1.0)).output == "1.0"
    assert call(client.take(2.0)).output == "2.0"


def test_the_model_knows_what_came_of_a_call() -> None:
    client = HostedClient(FOUND, tools=[DOCS])
    before = only(client.respond(), ResponseDone).response.usage
    events = client.respond()
    assert words(events) == "The function returned: Two pages."
    after = only(events, ResponseDone).response.usage
    assert before is not None
    assert after is not None
    assert before.input_tokens < after.input_tokens


# --- responses that end otherwise -----------------------------------------------------------------


def test_a_call_that_is_cut_short_is_closed_and_never_runs() -> None:
    client = HostedClient(Reply.mcp("docs", "search", "a b c"), tools=[DOCS], pacing=SLOW)
    client.respond()
    client.take(2.0)
    events = client.send(ResponseCancel(), now=2.5)
    closing = [
        "response.mcp_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert types(events) == [*closing, "response.done", "rate_limits.updated"]
    assert only(events, ResponseMcpCallArgumentsDone).arguments == call(events).arguments == "a b"
    response = only(events, ResponseDone).response
    assert (response.status, response.output) == ("cancelled", (call(events),))
    assert client.take(100.0) == []


def test_a_call_that_was_made_runs_even_if_its_response_is_cancelled() -> None:
    client = HostedClient(
        Reply.mcp("docs", "search", "a", output="Two pages.", duration=3.0).then(
            Reply.text("So I looked.")
        ),
        tools=[DOCS],
        pacing=SLOW,
    )
    client.respond()
    client.take(2.5)
    events = client.send(ResponseCancel(), now=2.5)
    assert only(events, ResponseDone).response.status == "cancelled"
    assert types(events)[-2:] == ["rate_limits.updated", RUNNING[0]]
    assert client.server.next_due == 5.5
    assert call(client.take(5.5)).output == "Two pages."


def test_a_request_that_is_not_whole_is_not_made() -> None:
    client = HostedClient(FOUND, tools=[DOCS_IF_ASKED], pacing=SLOW)
    client.respond()
    assert client.take(2.0) == []
    events = client.send(ResponseCancel())
    assert types(events) == ["response.done", "rate_limits.updated"]
    assert only(events, ResponseDone).response.output == ()


def test_tokens_of_arguments_count() -> None:
    client = HostedClient(Reply.mcp("docs", "search", "a b c"), tools=[DOCS])
    events = client.send(ResponseCreate(response=ResponseConfig(max_output_tokens=2)))
    response = only(events, ResponseDone).response
    assert response.status == "incomplete"
    assert response.usage is not None
    assert response.usage.output_tokens == 2
    assert call(events).arguments == "a b"
    assert of_type(events, ResponseMcpCallInProgress) == []


def test_a_call_out_of_band_leaves_the_conversation_alone() -> None:
    client = HostedClient(FOUND, tools=[DOCS])
    events = client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    expected = [name for name in (*CALLING, *RUNNING) if not name.startswith("conversation")]
    assert types(events) == expected


def test_a_request_out_of_band_cannot_be_approved() -> None:
    client = HostedClient(FOUND, tools=[DOCS_IF_ASKED])
    events = client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    request = only(events, ResponseOutputItemDone).item
    assert isinstance(request, McpApprovalRequest)
    error = client.refused(
        ConversationItemCreate(
            item=McpApprovalResponse(approval_request_id=request.id, approve=True)
        )
    )
    assert error.code == "invalid_approval_request_id"
