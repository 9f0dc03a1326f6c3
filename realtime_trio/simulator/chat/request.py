"""From a turn to the request of a chat completion.

Owns the translation of a realtime conversation into messages and tools.  Refuses to know how the
request is sent, and what comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final, TypeAlias

from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudio,
    InputImage,
    InputItem,
    InputText,
    McpCall,
    OutputAudio,
    OutputText,
    SystemMessage,
    ToolChoiceFunction,
    UserMessage,
)
from realtime_trio.simulator.script.script import Turn

_INAUDIBLE: Final = "[inaudible]"
_INTERRUPTED: Final = "[interrupted]"
_NO_OUTPUT: Final = "[no result yet]"
_FAILED: Final = "[failed]"

_Json: TypeAlias = dict[str, object]


def chat_request(turn: Turn, model: str) -> _Json:
    """The body of the request that asks `model` for the answer to a turn, as a stream."""
    tools = [_tool(tool) for tool in turn.tools if isinstance(tool, FunctionTool)]
    request: _Json = {"model": model, "stream": True, "messages": _messages(turn)}
    # Endpoints refuse an empty list of tools, and a choice among none.
    if not tools:
        return request
    match turn.tool_choice:
        case ToolChoiceFunction(name=name):
            choice: object = {"type": "function", "function": {"name": name}}
        case str() as choice:
            pass
        case _:
            # A tool on an MCP server, and those are not offered.
            choice = "none"
    return request | {"tools": tools, "tool_choice": choice}


def _tool(tool: FunctionTool) -> _Json:
    description = {} if tool.description is None else {"description": tool.description}
    # The parameters are optional by the book, but not with every server.
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, **description, "parameters": parameters},
    }


def _messages(turn: Turn) -> list[_Json]:
    """The conversation as chat endpoints insist on it: every call directly before its output.

    In a realtime conversation people talk on while a function runs.  So a call is told where its
    output is, and in its own place only if there is no output; then the model still ends with what
    happened last.
    """
    messages: list[_Json] = (
        [{"role": "system", "content": turn.instructions}] if turn.instructions else []
    )
    items = [plain for item in turn.items for plain in _without_mcp(item)]
    calls = {item.call_id: item for item in items if isinstance(item, FunctionCall)}
    answered = {item.call_id for item in items if isinstance(item, FunctionCallOutput)}
    # Neighbours of one type, because parallel calls must be one message with all their outputs
    # behind it.
    for _, run in groupby(items, key=type):
        done: list[tuple[FunctionCall, str]] = []
        others: list[_Json] = []
        for item in run:
            match item:
                case FunctionCall(call_id=call_id) if call_id not in answered:
                    done.append((item, _NO_OUTPUT))
                case FunctionCallOutput(call_id=call_id, output=output) if call_id in calls:
                    done.append((calls.pop(call_id), output))
                case FunctionCallOutput(output=output):
                    # Its call is not part of this input, or has had an output already.  As a "tool"
                    # message it would be refused for want of a call.
                    others.append({"role": "user", "content": f"[a function returned] {output}"})
                case SystemMessage() | UserMessage() | AssistantMessage():
                    others += _message(item)
        if done:
            _append_calls(messages, done)
        messages += others
    return messages


def _without_mcp(item: InputItem) -> tuple[InputItem, ...]:
    """The item; a call that the service ran becomes the call of a function and its output."""
    if not isinstance(item, McpCall):
        return (item,)
    output = _FAILED if item.error is not None else item.output
    call = FunctionCall(name=item.name, arguments=item.arguments, call_id=item.id)
    return (call,) if output is None else (call, FunctionCallOutput(call_id=item.id, output=output))


def _append_calls(messages: list[_Json], done: Iterable[tuple[FunctionCall, str]]) -> None:
    outputs: list[_Json] = [
        {"role": "tool", "tool_call_id": call.call_id, "content": output} for call, output in done
    ]
    calls = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call, _ in done
    ]
    # What the model said in the same breath is the same message there, and many templates want the
    # roles to alternate.
    if messages and messages[-1]["role"] == "assistant":
        messages[-1]["tool_calls"] = calls
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
    messages += outputs


def _message(item: SystemMessage | UserMessage | AssistantMessage) -> list[_Json]:
    """At most one message.

    Its content is a plain text unless there are pictures: not every server takes parts.
    """
    texts: list[str] = []
    pictures: list[_Json] = []
    for part in item.content:
        match part:
            case InputText(text=text) | OutputText(text=text):
                texts.append(text)
            case InputAudio(transcript=transcript):
                texts.append(transcript or _INAUDIBLE)
            case OutputAudio(transcript=transcript):
                texts.append(transcript or _INTERRUPTED)
            case InputImage(image_url=url, detail=detail):
                pictures.append(
                    {
                        "type": "image_url",
                        "image_url": {"url": url} | ({"detail": detail} if detail else {}),
                    }
                )
    text = "\n".join(filter(None, texts))
    if pictures:
        return [
            {
                "role": item.role,
                "content": [*([{"type": "text", "text": text}] if text else []), *pictures],
            }
        ]
    return [{"role": item.role, "content": text}] if text else []
