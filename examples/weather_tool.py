"""Functions as tools.

The model asks for the weather and the sunset, both functions run at once, and it answers.

With a key:     OPENAI_API_KEY=... python examples/weather_tool.py
Without one:    python examples/weather_tool.py --simulated
"""

import sys
from datetime import time
from typing import Annotated, Literal

import trio
from attrs import frozen

from realtime_trio import (
    EventStream,
    ToolCallFinished,
    ToolCallStarted,
    Transport,
    open_session,
    tool,
)
from realtime_trio.simulator import Call, Reply, Script, open_simulator_transport

SCRIPT = Script(
    [
        Reply.calls(
            Call("get_weather", {"city": "Paris", "unit": "fahrenheit"}),
            Call("get_sunset", {"city": "Paris"}),
        ),
        Reply.text("It is cloudy at 68 °F, and the sun sets at 21:58."),
    ]
)
City = Annotated[str, "Name of a city, e.g. Paris"]


@frozen
class Weather:
    """What the model is told, as JSON."""

    sky: Literal["sunny", "cloudy", "rainy"]
    temperature: float


@tool(timeout=5)
async def get_weather(city: City, unit: Literal["celsius", "fahrenheit"] = "celsius") -> Weather:
    """Look up what the weather is like in a city at this moment."""
    await trio.sleep(0.1)  # here you would ask a weather service
    return Weather("cloudy", 20.0 if unit == "celsius" else 68.0)


@tool
def get_sunset(city: City) -> time:
    """Tell at what time the sun sets in a city today."""
    return time(21, 58)  # a plain function may block: it gets a thread


async def show_calls(events: EventStream[ToolCallStarted | ToolCallFinished]) -> None:
    """Print what is going on between the question and the answer."""
    async for event in events:
        match event:
            case ToolCallStarted(call=call):
                print(f"[{call.name} {call.arguments}]")
            case ToolCallFinished(call=call, output=output, outcome=outcome):
                print(f"[{call.name} has {outcome}: {output}]")


async def main(transport: Transport | None = None) -> None:
    """Ask one question of the service of the environment, or over a transport."""
    async with (
        open_session(
            transport=transport, tools=[get_weather, get_sunset], output_modalities=["text"]
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(show_calls, session.events(ToolCallStarted, ToolCallFinished))
        answer = await session.ask(
            "How warm is it in Paris, in Fahrenheit, and when does it get dark?"
        )
        print(answer.text)
        nursery.cancel_scope.cancel()


async def simulated() -> None:
    """Talk with a model that says what the script says."""
    async with open_simulator_transport(SCRIPT) as transport:
        await main(transport)


if __name__ == "__main__":
    trio.run(simulated if "--simulated" in sys.argv else main)
