"""A language model as an agent: what its endpoint is asked."""

from __future__ import annotations

import json

import attrs
import pytest
from model_endpoint import Endpoint, call, output, turn

from realtime_trio.events import (
    AssistantMessage,
    FunctionTool,
    InputAudio,
    InputImage,
    InputItem,
    InputText,
    ItemReference,
    McpCall,
    McpProtocolError,
    McpTool,
    OutputAudio,
    SystemMessage,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
    UnknownObject,
    UserMessage,
)
from realtime_trio.simulator.script.reply import Turn


async def asked(before: Turn) -> dict[str, object]:
    """What the endpoint is asked for this turn."""
    endpoint = Endpoint()
    await endpoint.answer(before)
    [request] = endpoint.requests
    content: dict[str, object] = json.loads(request.content)
    return content


async def messages_for(*items: InputItem) -> object:
    return (await asked(turn(*items)))["messages"]


def asking(*call_ids: str, content: str | None = None) -> dict[str, object]:
    calls = [
        {"id": call_id, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for call_id in call_ids
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def told(call_id: str, text: str) -> dict[str, object]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


async def test_a_turn_becomes_messages_in_the_order_of_the_conversation() -> None:
    request = await asked(
        turn(
            UserMessage.text("Hello"),
            AssistantMessage.text("Hi."),
            SystemMessage.text("Be quick."),
            UserMessage(content=[InputAudio(b"\0\0", "What time is it?")]),
            AssistantMessage(content=[OutputAudio(transcript="Noon.")]),
            UserMessage(content=[InputAudio(b"\0\0"), InputText("or did you not hear me?")]),
            AssistantMessage(content=[OutputAudio()]),
            instructions="Be kind.",
        )
    )
    assert request == {
        "model": "m",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "system", "content": "Be quick."},
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": "Noon."},
            {"role": "user", "content": "[inaudible]\nor did you not hear me?"},
            {"role": "assistant", "content": "[interrupted]"},
        ],
    }


async def test_functions_are_offered_in_the_nested_shape_and_mcp_servers_are_not() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools: list[Tool] = [
        FunctionTool(name="get_weather", description="Looks out of the window.", parameters=schema),
        FunctionTool(name="ping"),
        McpTool(server_label="docs", server_url="https://docs.test"),
    ]
    assert (await asked(turn(tools=tools)))["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Looks out of the window.",
                "parameters": schema,
            },
        },
        {
            "type": "function",
            "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}},
        },
    ]
    assert "tools" not in await asked(turn(tools=tools[2:]))


@pytest.mark.parametrize(
    ("choice", "asked_for"),
    [
        ("auto", "auto"),
        ("required", "required"),
        (ToolChoiceFunction(name="look"), {"type": "function", "function": {"name": "look"}}),
        (ToolChoiceMcp(server_label="docs"), "none"),
    ],
)
async def test_the_choice_of_tools_is_passed_on(choice: ToolChoice, asked_for: object) -> None:
    before = attrs.evolve(turn(tools=[FunctionTool(name="look")]), tool_choice=choice)
    assert (await asked(before))["tool_choice"] == asked_for


async def test_calls_of_one_response_are_one_message_together_with_what_was_said() -> None:
    assert await messages_for(
        UserMessage.text("And?"),
        AssistantMessage.text("Let me look."),
        call("call_1"),
        call("call_2"),
        output("call_1", "rain"),
        output("call_2", "snow"),
        call("call_3", arguments=""),
        output("call_3", "sun"),
    ) == [
        {"role": "user", "content": "And?"},
        asking("call_1", "call_2", content="Let me look."),
        told("call_1", "rain"),
        told("call_2", "snow"),
        asking("call_3"),
        told("call_3", "sun"),
    ]


async def test_a_call_is_told_where_its_output_is_however_long_that_took() -> None:
    waiting = (UserMessage.text("Hurry!"), AssistantMessage.text("Yes."))
    assert await messages_for(
        call("call_1"), call("call_2"), output("call_2", "snow"), *waiting, output("call_1", "rain")
    ) == [
        asking("call_2"),
        told("call_2", "snow"),
        {"role": "user", "content": "Hurry!"},
        asking("call_1", content="Yes."),
        told("call_1", "rain"),
    ]


async def test_a_call_without_output_says_so() -> None:
    assert await messages_for(call("call_1"), UserMessage.text("Well?")) == [
        asking("call_1"),
        told("call_1", "[no result yet]"),
        {"role": "user", "content": "Well?"},
    ]


async def test_an_output_without_a_call_is_not_lost() -> None:
    assert await messages_for(
        call("call_1"), output("call_1", "1"), output("call_1", "2"), output("call_0", "0")
    ) == [
        asking("call_1"),
        told("call_1", "1"),
        {"role": "user", "content": "[a function returned] 2"},
        {"role": "user", "content": "[a function returned] 0"},
    ]


async def test_what_the_service_called_itself_reads_as_calls() -> None:
    running = McpCall(id="mcp_1", server_label="docs", name="look", arguments="{}")
    done = McpCall(id="mcp_2", server_label="docs", name="look", arguments="{}", output="found")
    failed = McpCall(
        id="mcp_3",
        server_label="docs",
        name="look",
        arguments="{}",
        error=McpProtocolError(code=1, message="no"),
    )
    assert await messages_for(done, failed, running) == [
        asking("mcp_2"),
        told("mcp_2", "found"),
        asking("mcp_3"),
        told("mcp_3", "[failed]"),
        asking("mcp_1"),
        told("mcp_1", "[no result yet]"),
    ]


async def test_pictures_are_passed_on() -> None:
    picture = InputImage("data:image/png;base64,AAAA", "low")
    assert await messages_for(
        UserMessage(content=[InputText("Who?"), picture]),
        UserMessage(content=[InputImage("data:,")]),
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Who?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
                },
            ],
        },
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
    ]


async def test_what_says_nothing_is_left_out() -> None:
    nothing = UserMessage(content=[UnknownObject("smell", {"type": "smell"})])
    assert await messages_for(
        UserMessage.text(""), nothing, ItemReference(id="item_1"), UserMessage.text("Hello")
    ) == [{"role": "user", "content": "Hello"}]
