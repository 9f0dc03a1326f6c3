"""Tools that are added, removed and replaced while the session is connected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import attrs
import pytest
import trio
from peers import failure, memory_server
from simulated import sent
from tool_sessions import (
    MANUAL,
    accepted,
    call_of,
    calls,
    error,
    look,
    look_if_allowed,
    open_served,
    open_tools,
    outputs,
    serve_calls,
    start_turn,
    told,
    wait,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import tool
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.errors import (
    LocalProtocolError,
    ServerError,
    SessionClosed,
    ToolDefinitionError,
)
from realtime_trio.events import (
    ErrorEvent,
    Event,
    FunctionTool,
    RealtimeSession,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from realtime_trio.simulator import Call, Reply
from realtime_trio.tools import AnyTool, LocalTool

# --- changing the tools ---------------------------------------------------------------------------


def names(session: Session) -> tuple[list[str], list[str]]:
    """The tools as the session has them, and as the server has them."""
    here = [each.name for each in session.tools if isinstance(each, LocalTool | FunctionTool)]
    return here, [
        each.name for each in session.config.tools or () if isinstance(each, FunctionTool)
    ]


def updates_of(events: Iterable[Event]) -> list[list[str]]:
    """Which tools the client's updates named; they said nothing else."""
    found = []
    for event in events:
        assert isinstance(event, SessionUpdate)
        assert isinstance(event.session, SessionConfig)
        assert isinstance(event.session.tools, tuple)
        assert event.session == SessionConfig(tools=event.session.tools)
        found.append([each.name for each in event.session.tools if isinstance(each, FunctionTool)])
    return found


async def test_tools_are_added_removed_and_replaced_while_connected(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([look]) as session:
        wire = session.wire()
        await session.add_tool(wait)
        assert names(session) == (["look", "wait"], ["look", "wait"])
        await session.add_tool(MANUAL)
        assert names(session) == (["look", "wait", "manual"], ["look", "wait", "manual"])
        await session.remove_tool("look")
        assert names(session) == (["wait", "manual"], ["wait", "manual"])
        await session.set_tools([look, look_if_allowed])
        assert names(session) == (["look", "ask_me"], ["look", "ask_me"])
        await session.set_tools([])
        assert names(session) == ([], [])
        assert updates_of(sent(wire)) == [
            ["look", "wait"],
            ["look", "wait", "manual"],
            ["wait", "manual"],
            ["look", "ask_me"],
            [],
        ]


async def test_tools_that_the_server_has_already_are_not_sent(autojump_clock: MockClock) -> None:
    async def other(at: str = "the sky") -> str:
        """Look at something."""
        await trio.lowlevel.checkpoint()
        return f"{at} is gone"

    async with open_tools([look, MANUAL], calls("look")) as session:
        wire = session.wire()
        await session.set_tools([tool(other, name="look"), MANUAL])
        assert sent(wire) == []
        await session.ask("Look!")
        assert outputs(wire) == [("call_1", "the sky is gone")]


async def test_an_added_tool_is_there_when_the_server_has_taken_it(
    autojump_clock: MockClock,
) -> None:
    async with open_served([]) as (session, server), trio.open_nursery() as nursery:
        wire, added = session.wire(), trio.Event()

        async def add() -> None:
            await session.add_tool(look)
            added.set()

        nursery.start_soon(add)
        update = await server.hear(SessionUpdate)
        await wait_all_tasks_blocked()
        assert not added.is_set()
        await serve_calls(
            server, call_of("look")
        )  # the server takes the tool, uses it, and then says so
        await server.say(accepted(update))
        await added.wait()
        await wait_all_tasks_blocked()
        assert outputs(wire) == [("call_1", "the sky is there")]


async def test_tools_that_the_server_refuses_are_taken_back(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        before = names(session)

        async def refuse() -> None:
            update = await server.hear(SessionUpdate)
            await server.say(
                failure(
                    "too many", code="too_many_tools", param="session.tools", of=update.event_id
                )
            )

        changes: list[Callable[[], Awaitable[object]]] = [
            lambda: session.add_tool(wait),
            lambda: session.remove_tool("look"),
            lambda: session.set_tools([wait, MANUAL]),
            lambda: session.update(tools=[MANUAL]),
        ]
        for change in changes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(refuse)
                with pytest.raises(ServerError, match="too many"):
                    await change()
            assert names(session) == before


async def test_names_that_clash_are_refused_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    class Lights:
        @tool
        def switch(self) -> None: ...

    twin = tool(wait.function, name="look")
    async with open_tools([look, MANUAL]) as session:
        wire = session.wire()
        with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
            await session.add_tool(twin)
        with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
            await session.set_tools([wait, look, twin])
        with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
            await session.update(tools=[FunctionTool(name="look")])
        with pytest.raises(
            LocalProtocolError, match="no tool named 'wait'; there are: 'look', 'manual'"
        ):
            await session.remove_tool("wait")
        with pytest.raises(LocalProtocolError, match="take it from an object"):
            await session.add_tool(Lights.switch)
        with pytest.raises(ToolDefinitionError, match="'at'"):
            await session.add_tool(lambda at: at)
        await wait_all_tasks_blocked()
        assert sent(wire) == []
        assert names(session) == (["look", "manual"], ["look", "manual"])


async def test_a_session_with_two_tools_of_one_name_is_refused(autojump_clock: MockClock) -> None:
    near, _ = memory_server()
    with pytest.raises(LocalProtocolError, match="a tool named 'look' already"):
        async with open_session(transport=near, tools=[look, FunctionTool(name="look")]):
            pytest.fail("not reached")


async def test_tools_survive_every_later_update(autojump_clock: MockClock) -> None:
    async with open_tools([look, MANUAL], calls("look")) as session:
        wire = session.wire()
        await session.update(instructions="Be brief.")
        await session.update(SessionConfig(instructions="Be very brief."))
        assert names(session) == (["look", "manual"], ["look", "manual"])
        other = FunctionTool(
            name="other",
            description="Something else.",
            parameters={"type": "object", "properties": {}},
        )
        await session.update(tools=[other])
        assert names(session) == (["look", "other"], ["look", "other"])
        await session.update(SessionConfig(tools=()))
        assert names(session) == (["look"], ["look"])
        await session.ask("Look!")
        assert outputs(wire) == [("call_1", "the sky is there")]


async def test_an_update_that_says_nothing_of_tools_sends_none(autojump_clock: MockClock) -> None:
    async with open_tools([look]) as session:
        wire = session.wire()
        await session.update(instructions="Be brief.")
        [update] = sent(wire)
        assert isinstance(update, SessionUpdate)
        assert update.session == SessionConfig(instructions="Be brief.")


async def test_tools_that_are_added_at_once_are_all_there(autojump_clock: MockClock) -> None:
    async with open_tools([]) as session:
        wire = session.wire()
        async with trio.open_nursery() as nursery:
            for each in (look, wait, MANUAL):
                nursery.start_soon(session.add_tool, each)
            nursery.start_soon(lambda: session.update(instructions="Be brief."))
        here, there = names(session)
        assert sorted(here) == ["look", "manual", "wait"]
        assert there == here
        assert session.config.instructions == "Be brief."
        configs = [event.session for event in sent(wire) if isinstance(event, SessionUpdate)]
        named = [
            config.tools
            for config in configs
            if isinstance(config, SessionConfig) and isinstance(config.tools, tuple)
        ]
        assert sorted(map(len, named)) == [1, 2, 3]


async def test_who_gives_up_waiting_for_his_turn_to_change_tools_has_done_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_served([]) as (session, server), trio.open_nursery() as nursery:
        nursery.start_soon(session.add_tool, look)
        update = await server.hear(SessionUpdate)
        with trio.move_on_after(1) as scope:
            await session.add_tool(wait)
        assert scope.cancelled_caught
        await server.say(accepted(update))
        await wait_all_tasks_blocked()
        assert names(session) == (["look"], ["look"])


async def test_a_tool_that_is_removed_answers_the_calls_it_has(autojump_clock: MockClock) -> None:
    slow = Reply.calls(
        Call("wait", {"seconds": 5}, "call_1"), Call("wait", {"seconds": 6}, "call_2")
    )
    async with open_tools(
        [wait, look], slow, Reply.calls(Call("wait", call_id="call_3")), tool_concurrency=1
    ) as session:
        wire = session.wire()
        await start_turn(session)
        await session.remove_tool("wait")
        await trio.sleep(100)
        assert outputs(wire) == [
            ("call_1", "waited 5 s"),
            ("call_2", "waited 6 s"),
            ("call_3", error("there is no tool named 'wait'; there are: look")),
        ]


async def test_tools_that_the_server_has_by_itself_stay_when_one_is_added(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    await server.say(
        SessionCreated(
            event_id="event_created", session=RealtimeSession(id="sess_1", tools=(MANUAL,))
        )
    )
    async with open_session(transport=near) as session, trio.open_nursery() as nursery:
        nursery.start_soon(session.add_tool, look)
        update = await server.hear(SessionUpdate)
        assert isinstance(update.session, SessionConfig)
        assert [getattr(tool, "name", None) for tool in update.session.tools or ()] == [
            MANUAL.name,
            "look",
        ]
        await server.say(accepted(update))


async def test_after_the_end_no_tools_are_changed(autojump_clock: MockClock) -> None:
    async with open_served([look]) as (session, server):
        await server.transport.aclose(1000)
        await wait_all_tasks_blocked()
        for change in (
            session.add_tool(wait),
            session.remove_tool("look"),
            session.set_tools([]),
            session.set_tools([look]),
        ):
            with pytest.raises(SessionClosed):
                await change


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [[], [wait]])
async def test_a_call_that_the_server_made_before_it_knew_that_the_tool_was_removed_is_answered(
    others: list[AnyTool], autojump_clock: MockClock
) -> None:
    async with open_served([look, *others]) as (session, server), trio.open_nursery() as nursery:
        wire = session.wire()
        nursery.start_soon(session.remove_tool, "look")
        update = await server.hear(SessionUpdate)
        await serve_calls(server, call_of("look"))
        await server.say(accepted(update))
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_1"]


async def test_tools_that_the_server_refuses_are_taken_back_even_if_nobody_waits_any_more(
    autojump_clock: MockClock,
) -> None:
    async with open_served([look]) as (session, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.add_tool, wait)
            update = await server.hear(SessionUpdate)
            nursery.cancel_scope.cancel()
        await server.say(
            failure("too many", code="too_many_tools", param="session.tools", of=update.event_id)
        )
        await wait_all_tasks_blocked()
        assert names(session) == (["look"], ["look"])


async def test_tools_that_were_refused_are_gone_whoever_has_built_upon_them(
    autojump_clock: MockClock,
) -> None:
    def refused(update: SessionUpdate) -> ErrorEvent:
        return failure("too many", code="x", param="session.tools", of=update.event_id)

    async with open_served([look]) as (session, server), trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            await session.add_tool(wait)
        first = await server.hear(SessionUpdate)

        async def add_another() -> None:
            with pytest.raises(ServerError):
                await session.add_tool(MANUAL)

        nursery.start_soon(add_another)
        second = await server.hear(SessionUpdate)
        await server.say(refused(first), refused(second))
        await wait_all_tasks_blocked()
        assert names(session) == (["look"], ["look"])


async def test_an_update_that_changes_nothing_leaves_the_tools_to_others(
    autojump_clock: MockClock,
) -> None:
    for _ in range(20):  # which task goes first is drawn
        async with open_tools([look], instructions="Be brief.") as session:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(session.update, instructions="Be brief."))
                nursery.start_soon(partial(session.update, tools=()))
                nursery.start_soon(session.add_tool, wait)
                nursery.start_soon(partial(session.update, instructions="Be brief."))
            assert names(session) == (["look", "wait"], ["look", "wait"])


async def test_an_update_that_repeats_the_tools_sends_nothing(autojump_clock: MockClock) -> None:
    async with open_tools([MANUAL, look]) as session:
        wire = session.wire()
        await session.update(tools=[MANUAL])
        assert told(wire) == []


async def test_functions_are_no_definitions(autojump_clock: MockClock) -> None:
    async with open_tools([look]) as session:
        wire = session.wire()
        with pytest.raises(TypeError, match=r"set_tools\(\) and add_tool\(\) take functions"):
            await session.update(tools=[wait])  # type: ignore[list-item]  # the point of the test
        assert told(wire) == []


@pytest.mark.parametrize("is_first", [True, False])
async def test_tools_that_are_being_removed_are_known_whatever_else_is_updated_meanwhile(
    is_first: bool, autojump_clock: MockClock
) -> None:
    async with open_served([look, wait]) as (session, server), trio.open_nursery() as nursery:
        wire = session.wire()
        before = session.config
        removing, updating = (
            partial(session.remove_tool, "look"),
            partial(session.update, instructions="Be brief."),
        )
        for change in (removing, updating) if is_first else (updating, removing):
            nursery.start_soon(change)
            await wait_all_tasks_blocked()
        first, second = await server.hear(SessionUpdate), await server.hear(SessionUpdate)
        if not is_first:
            await server.say(
                SessionUpdated(
                    event_id="event_9", session=attrs.evolve(before, instructions="Be brief.")
                )
            )
        await serve_calls(server, call_of("look"))
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in outputs(wire)] == ["call_1"]
        await server.say(
            accepted(first if is_first else second),
            SessionUpdated(event_id="event_10", session=session.config),
        )
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("change", "names_after"),
    [
        (lambda session: session.add_tool(MANUAL), ["look", "wait", "manual"]),
        (lambda session: session.remove_tool("look"), ["wait"]),
        (lambda session: session.set_tools([MANUAL]), ["manual"]),
        (lambda session: session.update(tools=[MANUAL]), ["look", "wait", "manual"]),
    ],
    ids=["add_tool", "remove_tool", "set_tools", "update"],
)
async def test_changes_of_tools_do_not_overlap(
    change: Callable[[Session], Awaitable[object]],
    names_after: list[str],
    autojump_clock: MockClock,
) -> None:
    async with open_served([look]) as (session, server), trio.open_nursery() as nursery:
        wire = session.wire()
        nursery.start_soon(session.add_tool, wait)
        first = await server.hear(SessionUpdate)
        nursery.start_soon(change, session)
        await wait_all_tasks_blocked()
        assert updates_of(sent(wire)) == [["look", "wait"]]
        await server.say(accepted(first))
        await wait_all_tasks_blocked()
        [update] = updates_of(sent(wire))
        assert sorted(update) == sorted(names_after)
        nursery.cancel_scope.cancel()
