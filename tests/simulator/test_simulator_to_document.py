"""What a server said as a script file, which the reader of such files takes."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from simulated import open_simulated

from realtime_trio import tool
from realtime_trio.events import (
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationTranscriptionUsage,
    Event,
    FunctionCall,
    InputAudioBufferCommitted,
    Item,
    McpApprovalRequest,
    McpCall,
    McpHttpError,
    McpListedTool,
    McpListTools,
    McpProtocolError,
    McpToolExecutionError,
    Response,
    ResponseDone,
    ResponseErrorDetail,
    ResponseStatusDetails,
)
from realtime_trio.simulator import Reply, parse_script
from realtime_trio.simulator.script.to_document import document_of


def done(*output: Item, **fields: object) -> ResponseDone:
    response = Response(id="resp_1", status="completed", output=output)
    return ResponseDone(event_id="e", response=attrs.evolve(response, **fields))  # type: ignore[arg-type]


def read(*events: Event) -> list[Reply]:
    return list(parse_script(document_of(events), folder=Path()).script.replies)


async def test_a_session_is_told_again_by_its_script() -> None:
    @tool
    def get_weather(city: str) -> str:
        """Get the weather."""
        return "sunny"

    replies = [Reply.call("get_weather", city="Paris"), Reply.text("It is sunny."), Reply.calls()]
    async with open_simulated(*replies, tools=[get_weather]) as session:
        with session.events(ResponseDone, capacity=100) as events:
            await session.ask("How is the weather?")
            await session.ask("And?")
            responses = [events.receive_nowait() for _ in range(events.pending)]
    document = document_of(responses)
    first, second, third = parse_script(document, folder=Path()).script.replies
    (call,) = first.outputs
    assert document["replies"][0]["call"]["arguments"] == {"city": "Paris"}  # type: ignore[index]
    assert call.arguments == '{"city":"Paris"}'  # type: ignore[union-attr]
    assert second == Reply.text("It is sunny.")
    assert third.outputs == ()


def test_nothing_said_is_an_empty_script() -> None:
    assert document_of([]) == {}


def test_a_failure_is_told_with_what_came_before() -> None:
    failed = ResponseStatusDetails(
        type="failed", error=ResponseErrorDetail(type="server_error", code=None, message="Oh no.")
    )
    call = FunctionCall(name="x", arguments='{"broken', call_id="call_1")
    (reply,) = read(done(call, status="failed", status_details=failed))
    assert reply.failure is not None
    assert (reply.failure.code, reply.failure.message) == (None, "Oh no.")
    (output,) = reply.outputs
    assert (output.arguments, output.call_id) == ('{"broken', "call_1")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "error",
    [
        None,
        McpToolExecutionError(message="It broke."),
        McpProtocolError(code=-32600, message="What?"),
        McpHttpError(code=503, message="Down."),
    ],
)
def test_calls_on_servers_are_told_with_their_tools(
    error: McpToolExecutionError | McpProtocolError | McpHttpError | None,
) -> None:
    listed = McpListTools(
        id="item_0",
        server_label="docs",
        tools=(
            McpListedTool(name="search", input_schema={"type": "object"}, description="Search."),
            McpListedTool(name="open", input_schema={}, annotations={"readOnlyHint": True}),
        ),
    )
    call = McpCall(
        id="item_1",
        server_label="docs",
        name="search",
        arguments='{"query": "trio"}',
        output=None if error else "found",
        error=error,
    )
    events = [ConversationItemDone(event_id="e", item=listed), done(call)]
    script = parse_script(document_of(events), folder=Path()).script
    (server,) = script.mcp_servers
    assert (server.label, server.tools) == ("docs", listed.tools)
    ((output,),) = [reply.outputs for reply in script.replies]
    assert output.error == error  # type: ignore[union-attr]
    assert output.output == ("" if error else "found")  # type: ignore[union-attr]


def test_a_call_that_was_asked_about_is_asked_about_again() -> None:
    asked = McpApprovalRequest(id="i", server_label="docs", name="x", arguments="{}")
    ((output,),) = [reply.outputs for reply in read(done(asked))]
    assert output.approval is True  # type: ignore[union-attr]


def test_what_was_heard_is_told_in_the_order_of_the_commits() -> None:
    heard = [
        InputAudioBufferCommitted(event_id="e", item_id="a"),
        InputAudioBufferCommitted(event_id="e", item_id="b"),
        *(
            ConversationItemInputAudioTranscriptionCompleted(
                event_id="e",
                item_id=item_id,
                content_index=0,
                transcript=item_id,
                usage=DurationTranscriptionUsage(seconds=1.0),
            )
            for item_id in "ba"
        ),
    ]
    assert document_of(heard) == {"transcripts": ["a", "b"]}
