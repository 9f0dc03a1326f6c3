"""What becomes of calls when servers repeat or cut them, and when the session ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import pytest
import trio
from peers import Leaves, Server, created, failure, memory_server, tasks
from simulated import SLOW
from tool_sessions import (
    accepted,
    call_of,
    calls,
    early,
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
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import (
    ToolCallFinished,
    ToolCallRequested,
)
from realtime_trio._transport.contract import Close
from realtime_trio.errors import (
    ConnectionLost,
    SessionClosed,
)
from realtime_trio.events import (
    ConversationItemCreate,
    ErrorEvent,
    Event,
    McpApprovalRequest,
    ResponseCreate,
    SessionUpdate,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Call, Reply

# --- what servers do ------------------------------------------------------------------------------


async def test_a_call_that_is_made_twice_is_answered_once(autojump_clock: MockClock) -> None:
    async with open_tools(
        [look, wait], Reply.calls(Call("look", call_id="call_1"), Call("wait", call_id="call_1"))
    ) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.ask("Look twice!")
        assert told(wire)[-3:] == ["create", "output of call_1", "create"]
        assert outcomes(finished) == {"call_1": "completed"}


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_call_that_is_made_again_in_a_later_response_is_answered_once(
    is_open: bool, autojump_clock: MockClock
) -> None:
    script = (
        Reply.calls(Call("wait", {"seconds": 5}, "call_1")),
        Reply.calls(Call("wait", {"seconds": 7}, "call_1")),
    )
    async with open_tools([wait], *script) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.respond()
        await trio.sleep(1)
        if is_open:
            await session.respond()
        await trio.sleep(100)
        assert outputs(wire) == [("call_1", "waited 5 s")]
        assert outcomes(finished) == {"call_1": "completed"}
        assert session.open_calls == ()


async def test_an_item_that_is_told_twice_is_one_call(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        wire, requested = session.wire(), session.events(ToolCallRequested)
        await serve_calls(server, call_of("look"), call_of("look"))
        await wait_all_tasks_blocked()
        assert requested.pending == 1
        assert told(wire) == ["output of call_1", "create"]


@pytest.mark.parametrize("status", ["incomplete", "in_progress"])
async def test_a_call_that_was_cut_short_is_not_run(status: str, autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await serve_calls(
            server, call_of("look", arguments='{"at": "the', status=status), status="cancelled"
        )
        await wait_all_tasks_blocked()
        assert (told(wire), finished.pending, session.open_calls) == ([], 0, ())


async def test_a_call_that_is_whole_is_run_even_if_its_response_was_cut_short(
    autojump_clock: MockClock,
) -> None:
    async with open_served([look]) as (session, server):
        wire = session.wire()
        await serve_calls(server, call_of("look"), status="cancelled")
        await wait_all_tasks_blocked()
        assert told(wire) == ["output of call_1", "create"]


async def test_a_response_that_is_cancelled_in_the_middle_of_a_call_is_not_answered(
    autojump_clock: MockClock,
) -> None:
    reply = Reply.calls(
        Call("look", {"at": "a very long list of things to look at"}, "call_1"), pacing=SLOW
    )
    async with open_tools([look], calls("look").then(reply)) as session:
        wire = session.wire()
        await session.respond()
        await trio.sleep(4)
        await session.cancel_response()
        await trio.sleep(100)
        assert [event for event in told(wire) if event.startswith("output")] == ["output of call_1"]


async def test_outputs_that_the_server_refuses_do_not_hurt(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        errors = session.events(ErrorEvent)
        await serve_calls(server, call_of("look"))
        create = await server.hear(ConversationItemCreate)
        await server.say(failure("no such call", code="invalid_tool_call_id", of=create.event_id))
        await server.hear(ResponseCreate)
        await wait_all_tasks_blocked()
        assert errors.pending == 1
        assert session.open_calls == ()


# --- the end --------------------------------------------------------------------------------------


@asynccontextmanager
async def open_busy() -> AsyncIterator[
    tuple[Session, Server, EventStream[WireRecord], EventStream[ToolCallFinished]]
]:
    """A session with a call that runs, one that is queued and one that waits for approval."""
    async with open_served([wait, look, look_if_allowed], tool_concurrency=1) as (session, server):
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await serve_calls(
            server,
            call_of("ask_me", "call_1"),
            call_of("wait", "call_2"),
            call_of("look", "call_3"),
        )
        await wait_all_tasks_blocked()
        assert len(session.open_calls) == 3
        yield session, server, wire, finished


THREE = {"call_1": "cancelled", "call_2": "cancelled", "call_3": "cancelled"}


async def test_leaving_answers_what_is_open_and_asks_for_nothing(autojump_clock: MockClock) -> None:
    before, start = tasks(), trio.current_time()
    async with open_busy() as (session, server, wire, finished):
        pass
    assert (tasks(), trio.current_time()) == (before, start)
    expected = [(f"call_{number}", error("the session is ending")) for number in (1, 2, 3)]
    assert outputs(wire) == expected
    heard = await server.hear_the_rest()
    assert outputs_of(heard) == expected
    assert "response.create" not in {event.type for event in heard}
    assert outcomes(finished) == THREE
    assert session.open_calls == ()
    assert session.closed == Close(1000)


async def test_leaving_settles_who_waits_for_an_answer_somewhere_else(
    autojump_clock: MockClock,
) -> None:
    settled: list[str | None] = []

    async def ask(session: Session) -> None:
        await trio.lowlevel.checkpoint()
        with suppress(SessionClosed):
            settled.append((await session.ask("Wait!")).status)
            return
        settled.append("closed")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, open_tools([wait], calls("wait")) as session:
            nursery.start_soon(ask, session)  # noqa: ASYNC111 - somewhere else is the point of the test
            await wait_all_tasks_blocked()
    assert len(settled) == 1


async def test_leaving_by_an_exception_stops_the_tools(autojump_clock: MockClock) -> None:
    before, start = tasks(), trio.current_time()
    with Leaves(ValueError, match="mine"):
        async with open_busy() as (session, server, wire, finished):
            raise ValueError("mine")
    assert (tasks(), trio.current_time()) == (before, start)
    assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())
    assert outputs_of(await server.hear_the_rest()) == []


async def test_leaving_by_a_cancellation_stops_the_tools(autojump_clock: MockClock) -> None:
    before, start = tasks(), trio.current_time()
    with trio.CancelScope() as scope:
        async with open_busy() as (session, _, wire, finished):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert (tasks(), trio.current_time()) == (before, start)
    assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())


async def test_a_server_that_closes_stops_the_tools_and_the_block_carries_on(
    autojump_clock: MockClock,
) -> None:
    async with open_busy() as (session, server, wire, finished):
        await server.transport.aclose(1000, "goodbye")
        await wait_all_tasks_blocked()
        assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())
        with pytest.raises(SessionClosed):
            await session.send_tool_output("call_1", "too late")


async def test_a_lost_connection_stops_the_tools(autojump_clock: MockClock) -> None:
    before = tasks()
    with Leaves(ConnectionLost):
        async with open_busy() as (session, server, wire, finished):
            server.drop()
            await trio.sleep_forever()
    assert tasks() == before
    assert (outputs(wire), outcomes(finished), session.open_calls) == ([], THREE, ())


async def test_a_tool_whose_answer_was_early_has_nothing_to_say_at_the_end(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([early("never")], calls("build")) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
    assert told(wire)[-2:] == ["output of call_1", "create"]
    assert outcomes(finished) == {"call_1": "cancelled"}


async def test_a_call_that_comes_while_leaving_is_not_run(autojump_clock: MockClock) -> None:
    near, server = memory_server(capacity=1)
    await server.say(created())
    ran, heard = list[str](), list[Event]()

    async def run() -> None:
        await trio.lowlevel.checkpoint()
        ran.append("run")

    async def serve() -> None:
        await trio.sleep(1)
        await serve_calls(
            server,
            call_of("run"),
            McpApprovalRequest(id="item_2", server_label="docs", name="search", arguments="{}"),
        )
        heard.extend(await server.hear_the_rest())

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, open_session(transport=near) as session:
            finished = session.events(ToolCallFinished)
            nursery.start_soon(hear_update, server)
            await session.add_tool(run)
            for _ in range(3):
                await session.send_message(
                    "Hello!", respond=False
                )  # which the network cannot take yet
            nursery.start_soon(serve)
    assert (ran, outcomes(finished)) == ([], {"call_1": "cancelled"})
    assert {event.item.type for event in heard if isinstance(event, ConversationItemCreate)} == {
        "message"
    }


async def hear_update(server: Server) -> None:
    await server.say(accepted(await server.hear(SessionUpdate)))


async def test_tools_that_tidy_up_are_waited_for(autojump_clock: MockClock) -> None:
    tidied: list[str] = []

    async def tidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
            tidied.append("all")

    async with open_tools([tidy], calls("tidy")) as session:
        await start_turn(session)
    assert tidied == ["all"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt("enough"), SystemExit(3)])
@pytest.mark.parametrize("where", ["async", "thread", "nursery", "predicate"])
async def test_ctrl_c_or_an_exit_in_a_tool_ends_the_session(
    autojump_clock: MockClock, interrupt: BaseException, where: str
) -> None:
    def leave(arguments: object = None) -> NoReturn:
        raise interrupt

    async def leave_later() -> None:
        await trio.lowlevel.checkpoint()
        leave()

    async def leave_from_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_later)
            await trio.sleep_forever()

    leaving = {
        "async": tool(leave_later, name="leave"),
        "thread": tool(lambda: leave(), name="leave"),
        "nursery": tool(leave_from_nursery, name="leave"),
        "predicate": tool(leave_later, name="leave", requires_approval=leave),
    }
    with Leaves(type(interrupt)) as caught:
        async with open_served([leaving[where]]) as (_, server):
            await serve_calls(server, call_of("leave"))
            await trio.sleep_forever()
    assert caught.value is interrupt


# --- trouble --------------------------------------------------------------------------------------


async def test_a_tool_that_fails_with_others_of_its_own_while_the_block_is_left_is_no_bug_of_ours(
    autojump_clock: MockClock,
) -> None:
    async def fuss() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(2)
                raise ValueError("while tidying up")

    async with open_tools([fuss], calls("fuss")) as session:
        wire = session.wire()
        await start_turn(session)
    assert outputs(wire) == [("call_1", error("the session is ending"))]


async def test_a_tool_that_fails_with_others_of_its_own_adds_nothing_to_the_exception_of_the_block(
    autojump_clock: MockClock,
) -> None:
    async def fuss() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while tidying up")

    with Leaves(KeyError) as caught:
        async with open_tools([fuss], calls("fuss")) as session:
            await start_turn(session)
            raise KeyError("mine")
    assert not hasattr(caught.value, "__notes__")


async def test_a_call_without_a_status_is_done_when_its_item_is(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        wire, requested = session.wire(), session.events(ToolCallRequested)
        await serve_calls(server, call_of("look", status=None))
        await wait_all_tasks_blocked()
        assert requested.pending == 1
        assert outputs(wire) == [("call_1", "the sky is there")]
