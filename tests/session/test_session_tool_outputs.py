"""Calls that the application answers itself, with `send_tool_output`."""

from __future__ import annotations

import pytest
import trio
from peers import Server, failure, open_pair
from simulated import open_simulated, speech, types_sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._state.utility_events import ToolCallRequested
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
)
from realtime_trio.simulator import Call, Reply, Turn


async def test_the_model_replies_once_when_all_calls_are_answered(
    autojump_clock: MockClock,
) -> None:
    calls = Reply.calls(
        *(
            Call("get_weather", {"city": city}, call_id=f"call_{city}")
            for city in ("Paris", "Rome", "Oslo")
        )
    )
    seen: list[Turn] = []

    def look(turn: Turn) -> bool:
        seen.append(turn)
        return True

    async with open_simulated(
        calls, Reply(outputs=Reply.text("Mild.").outputs, when=look), output_modalities=("text",)
    ) as session:
        wire, requested, done = (
            session.wire(),
            session.events(ToolCallRequested),
            session.events(ResponseDone),
        )
        await session.send_message("How is the weather?")
        for _ in range(3):
            call = (await requested.receive()).call
            await session.send_tool_output(str(call.call_id), '{"sky": "clear"}')
        assert [(await done.receive()).response.status for _ in range(2)] == [
            "completed",
            "completed",
        ]
        await wait_all_tasks_blocked()
        outputs_sent = ["conversation.item.create"] * 3
        assert types_sent(wire) == [
            "session.update",
            "conversation.item.create",
            "response.create",
            *outputs_sent,
            "response.create",
        ]
        outputs = [item.call_id for item in seen[-1].items if isinstance(item, FunctionCallOutput)]
        assert outputs == ["call_Paris", "call_Rome", "call_Oslo"]
        assert session.conversation.items[-1].text == "Mild."
        assert done.pending == 0


async def test_an_output_that_wants_no_reply_gets_none(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.call("look")) as session, trio.open_nursery() as nursery:

        async def answer_call() -> None:
            call = (await session.wait_for(ToolCallRequested)).call
            await session.send_tool_output(str(call.call_id), "{}", respond=False)

        wire = session.wire()
        nursery.start_soon(answer_call)
        await wait_all_tasks_blocked()
        answer = await session.ask("Look!")
        assert [call.name for call in answer.calls] == ["look"]
        await wait_all_tasks_blocked()
        assert types_sent(wire).count("response.create") == 1


async def test_a_call_is_answered_once_and_only_if_it_was_made(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.calls(Call("look", call_id="call_1"))) as session:
        wire, calls, done = (
            session.wire(),
            session.events(ToolCallRequested),
            session.events(ResponseDone),
        )
        with pytest.raises(LocalProtocolError, match="'call_1' was never made"):
            await session.send_tool_output("call_1", "{}")
        await session.respond()
        await calls.receive()
        with pytest.raises(TypeError, match="output must be a str, such as JSON, or a ToolOutput"):
            await session.send_tool_output("call_1", {"not": "text"})  # type: ignore[arg-type]
        await session.send_tool_output("call_1", "{}")
        with pytest.raises(LocalProtocolError, match="'call_1' is answered already"):
            await session.send_tool_output("call_1", "{}")
        for _ in range(2):
            await done.receive()
        assert types_sent(wire) == [
            "response.create",
            "conversation.item.create",
            "response.create",
        ]


async def test_who_answers_with_events_of_his_own_asks_for_the_reply_himself(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(
        Reply.calls(Call("look", call_id="call_1")), output_modalities=("text",)
    ) as session:
        wire, calls, done = (
            session.wire(),
            session.events(ToolCallRequested),
            session.events(ResponseDone),
        )
        await session.respond()
        await calls.receive()
        await session.send(
            ConversationItemCreate(item=FunctionCallOutput(call_id="call_1", output="a tree"))
        )
        await done.receive()
        await wait_all_tasks_blocked()
        assert types_sent(wire)[1:] == ["response.create", "conversation.item.create"]
        with pytest.raises(LocalProtocolError, match="answered already"):
            await session.send_tool_output("call_1", "{}")
        assert (await session.ask()).text == "The function returned: a tree"


async def test_a_call_that_was_inserted_can_be_answered(autojump_clock: MockClock) -> None:
    async with open_simulated(output_modalities=("text",)) as session:
        done = session.events(ResponseDone)
        for _ in range(2):  # a call that is inserted twice is one
            await session.insert_item(FunctionCall(name="look", arguments="{}", call_id="call_1"))
        await session.send_tool_output("call_1", "a tree")
        await done.receive()
        assert session.conversation.items[-1].text == "The function returned: a tree"


async def test_a_follow_up_that_the_server_refuses_is_told_to_who_asked(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        outcomes: list[str | None] = []

        async def ask() -> None:
            with pytest.raises(ServerError) as caught:
                await session.ask()
            outcomes.append(caught.value.code)

        nursery.start_soon(ask)
        create = await server.hear(ResponseCreate)
        await serve_call(server, create)
        await wait_all_tasks_blocked()
        await session.send_tool_output("call_1", "{}")
        await server.hear(ConversationItemCreate)
        follow_up = await server.hear(ResponseCreate)
        await server.say(
            failure("You are out of money.", code="insufficient_quota", of=follow_up.event_id)
        )
        await wait_all_tasks_blocked()
        assert outcomes == ["insufficient_quota"]


async def serve_call(server: Server, create: ResponseCreate) -> None:
    """A response that is nothing but a call."""
    assert create.response is not None
    response = Response(id="resp_1", conversation_id="conv_1", metadata=create.response.metadata)
    call = FunctionCall(
        id="item_1", name="look", arguments="{}", call_id="call_1", status="completed"
    )
    await server.say(
        ResponseCreated(event_id="event_1", response=response),
        ResponseOutputItemAdded(
            event_id="event_2", response_id="resp_1", output_index=0, item=call
        ),
        ConversationItemAdded(event_id="event_3", item=call),
        ResponseOutputItemDone(event_id="event_4", response_id="resp_1", output_index=0, item=call),
        ResponseDone(event_id="event_5", response=response),
    )


@pytest.mark.parametrize("status", ["incomplete", "in_progress"])
async def test_a_call_that_was_cut_short_is_not_asked_for_and_not_waited_for(
    status: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        requested, statuses = session.events(ToolCallRequested), list[str | None]()

        async def ask() -> None:
            statuses.append((await session.ask()).status)

        nursery.start_soon(ask)
        await server.hear(ResponseCreate)
        call = FunctionCall(
            id="item_1", name="look", arguments='{"wh', call_id="call_1", status=status
        )
        await server.say(
            ResponseCreated(
                event_id="event_1", response=Response(id="resp_1", conversation_id="conv_1")
            ),
            ResponseOutputItemDone(
                event_id="event_4", response_id="resp_1", output_index=0, item=call
            ),
            ResponseDone(
                event_id="event_5",
                response=Response(id="resp_1", conversation_id="conv_1", status="cancelled"),
            ),
        )
        await wait_all_tasks_blocked()
        assert (statuses, requested.pending) == (["cancelled"], 0)


async def test_outputs_of_tools_do_not_commit_what_the_user_is_saying(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(
        Reply.calls(Call("look", call_id="call_1")), turn_detection=None
    ) as session:
        wire, calls, done = (
            session.wire(),
            session.events(ToolCallRequested),
            session.events(ResponseDone),
        )
        await session.send_message("Look!")
        await calls.receive()
        await session.append_audio(speech(500))
        await session.send_tool_output("call_1", "{}")
        for _ in range(2):
            await done.receive()
        assert "input_audio_buffer.commit" not in types_sent(wire)
        assert session.conversation.pending_input_ms == 500
