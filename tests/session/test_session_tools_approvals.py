"""Calls that somebody has to approve first: of local tools and on MCP servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Unpack

import pytest
import trio
from peers import failure, fill, open_pair
from simulated import buffered, sent
from tool_sessions import (
    Options,
    call_of,
    calls,
    error,
    look,
    look_if_allowed,
    open_served,
    open_tools,
    outcomes,
    outputs,
    outputs_of,
    serve_calls,
    start_turn,
    told,
    wait,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import tool
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallStarted,
)
from realtime_trio.errors import (
    LocalProtocolError,
    ServerError,
    SessionClosed,
    ToolDefinitionError,
)
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    ErrorEvent,
    FunctionCall,
    McpApprovalRequest,
    McpApprovalResponse,
    McpListedTool,
    McpTool,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Call, Reply
from realtime_trio.simulator.script.script import McpServer

# --- approvals ------------------------------------------------------------------------------------


async def test_a_call_that_is_approved_runs(autojump_clock: MockClock) -> None:
    async with open_tools([look_if_allowed], calls("ask_me")) as session:
        wire, asked, started = (
            session.wire(),
            session.events(ToolApprovalRequested),
            session.events(ToolCallStarted),
        )
        await start_turn(session)
        [request] = buffered(asked)
        assert isinstance(request.call, FunctionCall)
        assert (request.call.name, request.call.call_id, started.pending) == ("ask_me", "call_1", 0)
        assert session.open_calls == (request.call,)
        await session.approve(request.call)
        await wait_all_tasks_blocked()
        assert (outputs(wire), started.pending) == ([("call_1", "the safe is open")], 1)


@pytest.mark.parametrize(
    ("reason", "words"), [(None, ""), ("it is private", ": it is private"), ("", "")]
)
async def test_a_call_that_is_rejected_does_not_run(
    reason: str | None, words: str, autojump_clock: MockClock
) -> None:
    async with open_tools([look_if_allowed], calls("ask_me")) as session:
        wire, finished, started = (
            session.wire(),
            session.events(ToolCallFinished),
            session.events(ToolCallStarted),
        )
        await start_turn(session)
        await session.reject("call_1", reason)
        await wait_all_tasks_blocked()
        assert outputs_of(events := sent(wire)) == [
            ("call_1", error("the call was not approved" + words))
        ]
        assert [event.type for event in events].count("response.create") == 2
        [end] = buffered(finished)
        assert (end.outcome, end.duration, started.pending) == ("rejected", 0.0, 0)


async def test_a_predicate_of_the_arguments_decides_who_is_asked(autojump_clock: MockClock) -> None:
    seen: list[Mapping[str, object]] = []

    def is_private(arguments: Mapping[str, Any]) -> bool:
        seen.append(arguments)
        return bool(arguments.get("at") == "the safe")

    peek = tool(look.function, name="peek", requires_approval=is_private)
    script = Reply.calls(
        Call("peek", {"at": "the safe"}, "call_1"),
        Call("peek", {"at": "the door"}, "call_2"),
        Call("peek", {}, "call_3"),
    )
    async with open_tools([peek], script) as session:
        wire, asked = session.wire(), session.events(ToolApprovalRequested)
        await start_turn(session)
        assert [event.call.arguments for event in buffered(asked)] == ['{"at":"the safe"}']
        assert outputs(wire) == [("call_2", "the door is there"), ("call_3", "the sky is there")]
        await session.approve("call_1")
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_1", "the safe is there")]
    assert seen == [{"at": "the safe"}, {"at": "the door"}, {"at": "the sky"}]


async def test_a_predicate_that_fails_fails_the_call(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    def is_private(arguments: Mapping[str, Any]) -> bool:
        raise LookupError("no rule for that")

    peek = tool(look.function, name="peek", requires_approval=is_private)
    async with open_tools([peek], calls("peek")) as session:
        wire, finished, started = (
            session.wire(),
            session.events(ToolCallFinished),
            session.events(ToolCallStarted),
        )
        await session.ask("Peek!")
        assert outputs(wire) == [("call_1", error("the tool failed with LookupError"))]
        assert (outcomes(finished), started.pending) == ({"call_1": "failed"}, 0)
    assert "tool peek failed" in caplog.text
    assert "is_private" in caplog.text


async def test_an_approval_that_nobody_gives_times_out(autojump_clock: MockClock) -> None:
    async with open_tools([look_if_allowed], calls("ask_me"), approval_timeout=30) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        start = trio.current_time()
        await session.ask("Open!")
        assert trio.current_time() == start + 30
        assert outputs(wire) == [("call_1", error("nobody approved the call within 30 s"))]
        assert outcomes(finished) == {"call_1": "timed_out"}
        for decide in (session.approve, session.reject):
            with pytest.raises(LocalProtocolError, match="no call 'call_1' waits for approval"):
                await decide("call_1")


async def test_the_time_of_the_approval_is_not_the_tools(autojump_clock: MockClock) -> None:
    slow = tool(wait.function, name="slow", requires_approval=True, timeout=10)
    async with open_tools(
        [slow], Reply.calls(Call("slow", {"seconds": 8}, "call_1")), approval_timeout=100
    ) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        await trio.sleep(99)
        await session.approve("call_1")
        await trio.sleep(20)
        assert outputs(wire) == [("call_1", "waited 8 s")]
        assert [event.duration for event in buffered(finished)] == [8]


async def test_a_call_is_decided_once_and_only_if_it_waits(autojump_clock: MockClock) -> None:
    slow = tool(wait.function, name="slow", requires_approval=True)
    async with open_tools([slow, wait], calls("slow", "slow", "wait")) as session:
        wire = session.wire()
        await start_turn(session)
        await session.approve("call_1")
        await session.reject("call_2")
        for decide in (session.approve, session.reject):
            for call_id in ("call_1", "call_2", "call_3", "call_x"):
                with pytest.raises(
                    LocalProtocolError, match=f"no call '{call_id}' waits for approval"
                ):
                    await decide(call_id)
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_2", error("the call was not approved"))]


async def test_a_call_that_waits_for_approval_keeps_nobody_from_running(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(
        [look_if_allowed, look], calls("ask_me", "ask_me", "look", "look"), tool_concurrency=1
    ) as session:
        wire = session.wire()
        await start_turn(session)
        assert outputs(wire) == [("call_3", "the sky is there"), ("call_4", "the sky is there")]
        await session.approve("call_2")
        await session.approve("call_1")
        await wait_all_tasks_blocked()
        assert told(wire) == ["output of call_2", "output of call_1", "create"]


async def test_a_call_that_was_approved_waits_for_its_turn_and_can_be_cancelled_there(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(
        [look_if_allowed, wait], calls("ask_me", "wait"), tool_concurrency=1
    ) as session:
        wire, started = session.wire(), session.events(ToolCallStarted)
        await start_turn(session)
        await session.approve("call_1")
        await wait_all_tasks_blocked()
        assert [event.call.call_id for event in buffered(started)] == ["call_2"]
        await session.cancel_call("call_1")
        await session.cancel_call("call_2")
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_1", "call_2"]
        assert started.pending == 0


@pytest.mark.parametrize("decide", ["approve", "reject", "cancel_call"])
async def test_a_call_is_named_by_nothing_but_itself_its_item_or_its_id(
    decide: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(TypeError, match="call must be a call, its item or its id, not int"):
            await getattr(session, decide)(5)
    assert await server.hear_the_rest() == []


async def test_nothing_is_approved_after_the_end(autojump_clock: MockClock) -> None:
    async with open_served([look_if_allowed]) as (session, server):
        finished = session.events(ToolCallFinished)
        await serve_calls(server, call_of("ask_me"))
        await wait_all_tasks_blocked()
        await server.transport.aclose(1000)
        await wait_all_tasks_blocked()
        assert outcomes(finished) == {"call_1": "cancelled"}
        for decide in (session.approve, session.reject):
            with pytest.raises(SessionClosed):
                await decide("call_1")


# --- approvals of calls on MCP servers ------------------------------------------------------------


DOCS = McpServer("docs", [McpListedTool(name="search", input_schema={"type": "object"})])

DOCS_TOOL = McpTool(
    server_label="docs", server_url="https://docs.example/mcp", require_approval="always"
)


@asynccontextmanager
async def open_mcp(**options: Unpack[Options]) -> AsyncIterator[tuple[Session, McpApprovalRequest]]:
    """A session whose model wants to search, for which it needs approval."""
    async with open_tools(
        [DOCS_TOOL], Reply.mcp("docs", "search", output="Two pages."), mcp_servers=[DOCS], **options
    ) as session:
        await wait_all_tasks_blocked()
        with session.events(ToolApprovalRequested) as asked:
            await start_turn(session)
            [request] = buffered(asked)
        assert isinstance(request.call, McpApprovalRequest)
        yield session, request.call


def decisions(wire: EventStream[WireRecord]) -> list[tuple[bool, str | None]]:
    created = [event.item for event in sent(wire) if isinstance(event, ConversationItemCreate)]
    return [
        (item.approve, item.reason) for item in created if isinstance(item, McpApprovalResponse)
    ]


@pytest.mark.parametrize("by", ["call", "id"])
async def test_a_call_on_a_server_is_approved_once(by: str, autojump_clock: MockClock) -> None:
    async with open_mcp() as (session, request):
        wire = session.wire()
        await session.approve(request if by == "call" else str(request.id))
        with pytest.raises(LocalProtocolError, match="waits for approval"):
            await session.reject(request)
        await trio.sleep(1000)
        assert decisions(wire) == [(True, None)]


async def test_a_call_on_a_server_is_rejected_with_a_reason(autojump_clock: MockClock) -> None:
    async with open_mcp() as (session, request):
        wire = session.wire()
        await session.reject(request, "not now")
        await trio.sleep(1000)
        assert decisions(wire) == [(False, "not now")]


async def test_an_approval_for_a_call_on_a_server_times_out(autojump_clock: MockClock) -> None:
    async with open_mcp(approval_timeout=30) as (session, request):
        wire = session.wire()
        await trio.sleep(29)
        assert decisions(wire) == []
        await trio.sleep(2)
        assert decisions(wire) == [(False, "nobody approved the call within 30 s")]
        with pytest.raises(LocalProtocolError, match="waits for approval"):
            await session.approve(request)


async def test_nobody_waits_for_an_approval_that_was_deleted(autojump_clock: MockClock) -> None:
    replies = Reply.mcp("docs", "search", output="Two pages."), Reply.text("As you like.")
    async with open_tools([DOCS_TOOL], *replies, mcp_servers=[DOCS]) as session:
        wire, errors = session.wire(), session.events(ErrorEvent)
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await session.ask("Search!")).text)

        async with trio.open_nursery() as nursery:
            asked = session.events(ToolApprovalRequested)
            nursery.start_soon(ask)
            request = (await asked.receive()).call
            await session.delete_item(str(request.id))
            with pytest.raises(LocalProtocolError, match="waits for approval"):
                await session.approve(request)
        assert answers == ["As you like."]
        await trio.sleep(1000)
        assert decisions(wire) == []
        assert errors.pending == 0


async def test_a_decision_that_comes_too_late_is_refused_once(autojump_clock: MockClock) -> None:
    async with open_mcp() as (session, request):
        wire = session.wire()
        await session.send(ConversationItemDelete(item_id=str(request.id)))
        with pytest.raises(ServerError):
            await session.approve(request)
        await trio.sleep(1000)
        assert decisions(wire) == [(True, None)]


async def test_leaving_waits_for_no_approval_of_a_call_on_a_server(
    autojump_clock: MockClock,
) -> None:
    start = trio.current_time()
    async with open_mcp() as (session, _):
        wire = session.wire()
    assert (decisions(wire), trio.current_time()) == ([], start)


# --- trouble --------------------------------------------------------------------------------------


async def test_an_approval_that_was_given_by_hand_is_not_taken_back(
    autojump_clock: MockClock,
) -> None:
    async with open_mcp(approval_timeout=30) as (session, request):
        wire, errors = session.wire(), session.events(ErrorEvent)
        await session.insert_item(
            McpApprovalResponse(approval_request_id=str(request.id), approve=True)
        )
        await trio.sleep(100)
        assert decisions(wire) == [(True, None)]
        assert errors.pending == 0


def test_a_predicate_of_approval_cannot_be_async() -> None:
    async def is_private(arguments: Mapping[str, Any]) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    with pytest.raises(ToolDefinitionError, match="requires_approval"):
        tool(look.function, name="peek", requires_approval=is_private)  # type: ignore[arg-type]


def wants_to_search() -> tuple[ConversationItemAdded, ConversationItemDone]:
    item = McpApprovalRequest(id="mcpr_1", server_label="docs", name="search", arguments="{}")
    return (
        ConversationItemAdded(event_id="e", item=item),
        ConversationItemDone(event_id="e", item=item),
    )


async def test_who_is_cancelled_before_his_decision_is_sent_has_not_decided(
    autojump_clock: MockClock,
) -> None:
    async with open_pair(network=1) as (session, server):
        with session.events(ToolApprovalRequested) as asked:
            await server.say(*wants_to_search())
            await asked.receive()
        under_way = await fill(session)
        with trio.move_on_after(1) as scope:
            await session.approve("mcpr_1")
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.approve, "mcpr_1")
            for _ in range(under_way):
                await server.hear(ConversationItemDelete)
            decision = await server.hear(ConversationItemCreate)
            assert isinstance(decision.item, McpApprovalResponse)
            await server.say(ConversationItemAdded(event_id="e", item=decision.item))


async def test_a_decision_that_the_service_refuses_can_be_made_again(
    autojump_clock: MockClock,
) -> None:
    async def approve(session: Session) -> None:
        with pytest.raises(ServerError, match="not now"):
            await session.approve("mcpr_1")
        await session.approve("mcpr_1")

    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        with session.events(ToolApprovalRequested) as asked:
            await server.say(*wants_to_search())
            await asked.receive()
        nursery.start_soon(approve, session)
        refused = await server.hear(ConversationItemCreate)
        await server.say(failure("not now", of=refused.event_id))
        decision = await server.hear(ConversationItemCreate)
        await server.say(ConversationItemAdded(event_id="e", item=decision.item))
