"""Hosted tools that need approval: what the simulated server asks, and what happens then."""

from __future__ import annotations

import pytest
from hosted_tools import (
    ANSWER,
    ASKING,
    DOCS,
    DOCS_IF_ASKED,
    FOUND,
    RUNNING,
    HostedClient,
    call,
)
from service_client import of_type, only, types

from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    McpApprovalFilter,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpTool,
    McpToolFilter,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallInProgress,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
)
from realtime_trio.simulator import Reply


def test_an_approved_call_is_made() -> None:
    client = HostedClient(FOUND, tools=[DOCS_IF_ASKED])
    events = client.respond()
    assert types(events) == ASKING
    request = only(events, ConversationItemDone).item
    assert isinstance(request, McpApprovalRequest)
    assert request == McpApprovalRequest(
        id=request.id, server_label="docs", name="search", arguments='{"q":"trio"}'
    )
    assert only(events, ResponseDone).response.output == (request,)
    assert (
        only(events, ResponseOutputItemAdded).item
        == only(events, ResponseOutputItemDone).item
        == request
    )

    events = client.approve(request)
    assert types(events) == [*ANSWER, "conversation.item.added", *RUNNING]
    answer, begun = of_type(events, ConversationItemAdded)
    assert isinstance(answer.item, McpApprovalResponse)
    assert answer.previous_item_id == request.id
    assert begun.previous_item_id == answer.item.id
    ran = call(events)
    assert begun.item == McpCall(
        id=ran.id,
        server_label="docs",
        name="search",
        arguments='{"q":"trio"}',
        approval_request_id=request.id,
    )
    assert (ran.approval_request_id, ran.output, ran.error) == (request.id, "Two pages.", None)
    assert only(events, ResponseMcpCallCompleted).item_id == ran.id
    assert client.take(100.0) == []


def test_an_approved_call_can_take_its_time_and_fail() -> None:
    client = HostedClient(
        Reply.mcp("docs", "search", error="Oops.", duration=2.0), tools=[DOCS_IF_ASKED]
    )
    request = client.ask()
    assert types(client.approve(request, now=5.0)) == [
        *ANSWER,
        "conversation.item.added",
        "response.mcp_call.in_progress",
    ]
    assert client.server.next_due == 7.0
    assert types(client.take(7.0)) == ["response.mcp_call.failed", "conversation.item.done"]


def test_what_is_not_approved_is_not_done() -> None:
    client = HostedClient(FOUND, tools=[DOCS_IF_ASKED])
    request = client.ask()
    events = client.approve(request, approve=False)
    assert types(events) == ANSWER
    assert client.take(100.0) == []
    error = client.refused(
        ConversationItemCreate(
            item=McpApprovalResponse(approval_request_id=request.id, approve=True)
        )
    )
    assert (error.code, error.message) == (
        "invalid_approval_request_id",
        f"Approval request ID '{request.id}' is already answered.",
    )


def test_an_answer_to_no_question_is_refused() -> None:
    client = HostedClient(FOUND, tools=[DOCS_IF_ASKED])
    client.ask()
    error = client.refused(
        ConversationItemCreate(item=McpApprovalResponse(approval_request_id="item_x", approve=True))
    )
    assert (error.code, error.message, error.param) == (
        "invalid_approval_request_id",
        "Approval request ID 'item_x' not found in conversation.",
        None,
    )


def test_a_deleted_request_cannot_be_approved() -> None:
    client = HostedClient(FOUND, tools=[DOCS_IF_ASKED])
    request = client.ask()
    client.send(ConversationItemDelete(item_id=request.id))
    error = client.refused(
        ConversationItemCreate(
            item=McpApprovalResponse(approval_request_id=request.id, approve=True)
        )
    )
    assert error.code == "invalid_approval_request_id"


def test_a_request_that_was_restored_can_be_answered_and_starts_nothing() -> None:
    client = HostedClient(tools=[DOCS])
    request = McpApprovalRequest(id="item_1", server_label="docs", name="search", arguments="{}")
    assert types(client.send(ConversationItemCreate(item=request))) == ANSWER
    assert types(client.approve("item_1")) == ANSWER
    assert client.take(100.0) == []


def test_requests_may_be_answered_in_any_order() -> None:
    first, second = Reply.mcp("docs", "search", output="1"), Reply.mcp("docs", "write", output="2")
    client = HostedClient(first.then(second), tools=[DOCS_IF_ASKED])
    requests = [event.item for event in of_type(client.respond(), ConversationItemDone)]
    for index in (1, 0):
        request = requests[index]
        assert isinstance(request, McpApprovalRequest)
        events = client.approve(request)
        assert (call(events).output, only(events, ResponseMcpCallInProgress).output_index) == (
            str(index + 1),
            index,
        )


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        (None, {"search", "write"}),
        ("always", {"search", "write"}),
        ("never", set()),
        (McpApprovalFilter(), {"search", "write"}),
        (McpApprovalFilter(never=McpToolFilter(read_only=True)), {"write"}),
        (McpApprovalFilter(always=McpToolFilter(tool_names=("search",))), {"search", "write"}),
        (
            McpApprovalFilter(always=McpToolFilter(tool_names=("search",)), never=McpToolFilter()),
            {"search"},
        ),
        (
            McpApprovalFilter(
                always=McpToolFilter(tool_names=("write",)),
                never=McpToolFilter(tool_names=("search",)),
            ),
            {"write"},
        ),
    ],
)
def test_the_configuration_says_what_needs_approval(
    rule: str | McpApprovalFilter | None, asked: set[str]
) -> None:
    tool = McpTool(
        server_label="docs", server_url="https://docs.example.com", require_approval=rule
    )
    client = HostedClient(Reply.mcp("docs", "search"), Reply.mcp("docs", "write"), tools=[tool])
    requests = [
        event.item for _ in range(2) for event in of_type(client.respond(), ConversationItemDone)
    ]
    assert {item.name for item in requests if isinstance(item, McpApprovalRequest)} == asked
    assert {item.name for item in requests if isinstance(item, McpCall)} == {
        "search",
        "write",
    } - asked


def test_a_reply_can_decide_for_itself_whether_to_ask() -> None:
    client = HostedClient(
        Reply.mcp("docs", "search", approval=True),
        Reply.mcp("docs", "search", output="Two pages.", approval=False),
        tools=[DOCS],
    )
    client.ask()
    client.update(DOCS_IF_ASKED)
    assert call(client.respond()).output == "Two pages."
