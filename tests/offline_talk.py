"""Conversations with the offline agent, for tests, and tools that it may call."""

from __future__ import annotations

import trio
import trio.testing

from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputItem,
    Modality,
    SystemMessage,
    Tool,
    UserMessage,
)
from realtime_trio.simulator.offline.agent import OfflineAgent
from realtime_trio.simulator.roles import Agent, Piece, Say, Voice
from realtime_trio.simulator.script.script import Call, Turn

STRING = {"type": "string"}


def make_tool(
    name: str, description: str | None = None, required: tuple[str, ...] = (), **properties: object
) -> FunctionTool:
    return FunctionTool(
        name=name,
        description=description,
        parameters={"type": "object", "properties": properties, "required": list(required)},
    )


WEATHER = make_tool(
    "get_weather",
    "Get the current weather in a city.",
    ("city",),
    city=STRING,
    unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
)
LIGHT = make_tool(
    "setLight",
    "Switch a lamp on or off.",
    ("room", "on"),
    room=STRING,
    on={"type": "boolean"},
    brightness={"type": "integer", "minimum": 0, "maximum": 100},
)
TIMER = make_tool(
    "set_timer", "Start a timer.", ("minutes",), minutes={"type": "number"}, label=STRING
)
MESSAGE = make_tool(
    "send_message", "Send a text to somebody.", ("recipient", "text"), recipient=STRING, text=STRING
)
FLIGHT = make_tool(
    "book_flight",
    None,
    ("origin", "destination"),
    origin=STRING,
    destination=STRING,
    date=STRING,
    passengers={"type": "integer"},
)
HOUSE = (WEATHER, LIGHT, TIMER, MESSAGE, FLIGHT)


async def pieces_of(turn: Turn, voice: Voice | None = None) -> list[Piece]:
    agent: Agent = OfflineAgent(voice)
    return [piece async for piece in agent.answer(turn)]


async def hold(
    *said: str | InputItem,
    tools: tuple[Tool, ...] = (),
    instructions: str = "",
    modality: Modality = "text",
    heard_seconds: float = 0.0,
) -> str | tuple[str, str]:
    """Hold a conversation and return the last answer.

    That is what the agent says, or the name and the arguments of what it calls.
    """
    await trio.lowlevel.checkpoint()
    items: list[InputItem] = []
    answer: str | tuple[str, str] = ""
    for words in said or [SystemMessage.text("Be kind.")]:
        items.append(UserMessage.text(words) if isinstance(words, str) else words)
        turn = Turn(
            items=tuple(items),
            modality=modality,
            tools=tools,
            instructions=instructions,
            heard_seconds=heard_seconds,
        )
        pieces = await pieces_of(turn)
        match pieces:
            case [Call(name, arguments)]:
                answer = name, arguments
                items.append(FunctionCall(name=name, arguments=arguments, call_id="call_1"))
            case _:
                answer = "".join(piece.text for piece in pieces if isinstance(piece, Say))
                items.append(AssistantMessage.text(answer))
    return answer


def output(text: str) -> FunctionCallOutput:
    return FunctionCallOutput(call_id="call_1", output=text)
