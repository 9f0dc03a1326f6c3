"""Sessions whose model calls tools, for tests: tools, servers, and what was said of the calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Unpack

import trio
from peers import Server, counted_ids, created, memory_server
from simulated import buffered, sent
from trio.testing import wait_all_tasks_blocked

from realtime_trio import ToolContext, tool
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import ToolCallFinished, ToolOutcome
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    Event,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    McpApprovalRequest,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionConfig,
    SessionUpdate,
    SessionUpdated,
    SystemMessage,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Call, Reply, Script, open_simulator_transport
from realtime_trio.simulator.script.script import McpServer
from realtime_trio.tools import AnyTool, LocalTool
from realtime_trio.tools.failures import ToolErrors

# --- sessions -------------------------------------------------------------------------------------


class Options(SessionOptions, total=False):
    """What these tests say to `open_session`."""

    tool_concurrency: int
    tool_timeout: float
    approval_timeout: float
    tool_errors: ToolErrors
    tool_output_limit: int | None


@asynccontextmanager
async def open_tools(
    tools: Iterable[AnyTool],
    *replies: Reply,
    mcp_servers: Iterable[McpServer] = (),
    **options: Unpack[Options],
) -> AsyncIterator[Session]:
    """A written session with these tools, and a simulator that gives these replies.

    After them it repeats what the last function returned.
    """
    options.setdefault("output_modalities", ("text",))
    options.setdefault("strict", True)
    with trio.fail_after(3600):
        async with (
            open_simulator_transport(Script(replies, mcp_servers=mcp_servers)) as transport,
            open_session(transport=transport, tools=tools, **options) as session,
        ):
            forget_the_opening(session)
            yield session


@asynccontextmanager
async def open_served(
    tools: Iterable[AnyTool], **options: Unpack[Options]
) -> AsyncIterator[tuple[Session, Server]]:
    """A session with these tools whose server is played by the test."""
    near, server = memory_server()
    await server.say(created())

    async def acknowledge() -> None:
        await server.say(accepted(await server.hear(SessionUpdate)))

    with trio.fail_after(3600):
        async with open_session(transport=near, new_id=counted_ids(), **options) as session:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acknowledge)
                await session.set_tools(tools)
            forget_the_opening(session)
            yield session, server


def forget_the_opening(session: Session) -> None:
    """The first who looks at the wire would see it."""
    session.wire().close()


def accepted(update: SessionUpdate, *, detection: ServerVad | None = None) -> SessionUpdated:
    """The server takes these tools."""
    assert isinstance(update.session, SessionConfig)
    assert isinstance(update.session.tools, tuple)
    audio = SessionAudio(input=SessionAudioInput(turn_detection=detection))
    session = RealtimeSession(
        id="sess_1", model="gpt-realtime", tools=update.session.tools, audio=audio
    )
    return SessionUpdated(event_id="event_updated", session=session)


def call_of(
    name: str,
    call_id: str = "call_1",
    *,
    arguments: str = "{}",
    status: str | None = "completed",
    item: str = "",
) -> FunctionCall:
    return FunctionCall(
        id=item or f"item_of_{call_id}",
        name=name,
        arguments=arguments,
        call_id=call_id,
        status=status,
    )


async def serve_calls(
    server: Server,
    *calls: FunctionCall | McpApprovalRequest,
    response_id: str = "resp_1",
    status: str = "completed",
) -> None:
    """A response that is nothing but calls."""
    await server.say(
        ResponseCreated(
            event_id="event_1", response=Response(id=response_id, conversation_id="conv_1")
        )
    )
    for index, call in enumerate(calls):
        await server.say(
            ResponseOutputItemAdded(
                event_id="event_2", response_id=response_id, output_index=index, item=call
            ),
            ConversationItemAdded(event_id="event_3", item=call),
            ResponseOutputItemDone(
                event_id="event_4", response_id=response_id, output_index=index, item=call
            ),
        )
    await server.say(
        ResponseDone(
            event_id="event_5",
            response=Response(id=response_id, conversation_id="conv_1", status=status),
        )
    )


async def start_turn(session: Session) -> None:
    """Let the simulator give its reply, up to where nobody has anything to do."""
    await session.respond()
    await wait_all_tasks_blocked()


# --- what was said --------------------------------------------------------------------------------


def outputs_of(events: Iterable[Event]) -> list[tuple[str, Any]]:
    """Call ids and outputs, read as JSON if they are, among what the client sent."""
    found = [event.item for event in events if isinstance(event, ConversationItemCreate)]
    return [
        (item.call_id, parsed(item.output))
        for item in found
        if isinstance(item, FunctionCallOutput)
    ]


def outputs(wire: EventStream[WireRecord]) -> list[tuple[str, Any]]:
    return outputs_of(sent(wire))


def messages_of(events: Iterable[Event]) -> list[str]:
    found = [event.item for event in events if isinstance(event, ConversationItemCreate)]
    return [
        str(getattr(item.content[0], "text", ""))
        for item in found
        if isinstance(item, SystemMessage)
    ]


def told(wire: EventStream[WireRecord]) -> list[str]:
    """What the client sent, in short: `create`, `output of call_1`, `message`, `update`."""
    return [words for event in sent(wire) if (words := _in_short(event))]


def _in_short(event: Event) -> str:
    match event:
        case ResponseCreate():
            return "create"
        case ConversationItemCreate(item=FunctionCallOutput(call_id=call_id)):
            return f"output of {call_id}"
        case ConversationItemCreate():
            return "message"
        case SessionUpdate():
            return "update"
    return event.type


def parsed(output: str) -> object:
    try:
        return json.loads(output)
    except ValueError:
        return output


def outcomes(stream: EventStream[ToolCallFinished]) -> dict[str | None, ToolOutcome]:
    """How the calls ended; each has done so once."""
    finished = buffered(stream)
    found = {event.call.call_id: event.outcome for event in finished}
    assert len(found) == len(finished)
    return found


def error(message: str) -> dict[str, str]:
    return {"error": message}


# --- tools ----------------------------------------------------------------------------------------


@tool
async def look(at: str = "the sky") -> str:
    """Look at something."""
    await trio.lowlevel.checkpoint()
    return f"{at} is there"


@tool
async def wait(seconds: float = 1e6) -> str:
    """Take some time."""
    await trio.sleep(seconds)
    return f"waited {seconds:g} s"


@tool(name="ask_me", requires_approval=True)
async def look_if_allowed(at: str = "the safe") -> str:
    """Look at something that is private."""
    await trio.lowlevel.checkpoint()
    return f"{at} is open"


MANUAL = FunctionTool(
    name="manual", description="Done by hand.", parameters={"type": "object", "properties": {}}
)


def calls(*names: str) -> Reply:
    """One response that calls these tools; the calls are `call_1`, `call_2` and so on."""
    return Reply.calls(
        *(Call(name, call_id=f"call_{number}") for number, name in enumerate(names, 1))
    )


# --- early answers --------------------------------------------------------------------------------


def early(
    result: object, *, respond_now: bool | None = None, **options: Any
) -> LocalTool[..., object]:
    """A tool that answers at once, works for a while, and then returns or raises something."""

    async def build(context: ToolContext) -> object:
        context.respond_early("I have begun", respond=respond_now)
        await trio.sleep(5)
        if isinstance(result, BaseException):
            raise result
        return result

    return tool(build, **options)
