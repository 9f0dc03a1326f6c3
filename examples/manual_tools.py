"""Tools by hand: the model knows definitions only.

Its calls come out of the stream of events, and their outputs are sent from here.

That is for functions which run somewhere else: in a browser, on a telephone, behind a queue.  What
there is changes while they talk.

With a key:     OPENAI_API_KEY=... python examples/manual_tools.py
Without one:    python examples/manual_tools.py --simulated
"""

import json
import sys

import trio

from realtime_trio import (
    EventStream,
    FunctionTool,
    Session,
    ToolCallRequested,
    Transport,
    open_session,
)
from realtime_trio.simulator import Reply, Script, open_simulator_transport

SCRIPT = Script(
    [
        Reply.call("find_product", words="umbrella"),
        Reply.text("Yes, a black one for 12 euros."),
        Reply.call("order", product="U1"),
        Reply.text("It is on its way.", when=lambda turn: "U1" in (turn.tool_output or "")),
        Reply.text("I cannot order any more.", when=lambda turn: len(turn.tools) == 1),
    ]
)
TEXT = {"type": "string"}
FIND = FunctionTool(
    name="find_product",
    description="Find products of the shop by words in their names.",
    parameters={"type": "object", "properties": {"words": TEXT}, "required": ["words"]},
)
ORDER = FunctionTool(
    name="order",
    description="Order a product by its id.",
    parameters={"type": "object", "properties": {"product": TEXT}, "required": ["product"]},
)


async def run_elsewhere(name: str, arguments: str) -> str:
    """Stand in for the shop: JSON in and out, and nothing about models or sessions."""
    await trio.sleep(0.01)
    match name, json.loads(arguments):
        case "find_product", {"words": "umbrella"}:
            return json.dumps([{"id": "U1", "name": "umbrella, black", "euros": 12}])
        case "order", {"product": str(product)}:
            return json.dumps({"ordered": product})
    return json.dumps({"error": "there is no such thing"})


async def answer_calls(session: Session, requests: EventStream[ToolCallRequested]) -> None:
    """Answer every call; the model goes on by itself when all calls of a response are answered."""
    async for request in requests:
        output = await run_elsewhere(request.call.name, request.call.arguments)
        print(f"[{request.call.name} {request.call.arguments} -> {output}]")
        await session.send_tool_output(str(request.call.call_id), output)


async def main(transport: Transport | None = None) -> None:
    """Go shopping, as long as the shop is open."""
    async with (
        open_session(transport=transport, tools=[FIND], output_modalities=["text"]) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_calls, session, session.events(ToolCallRequested))
        print((await session.ask("Do you have an umbrella?")).text)
        await session.add_tool(ORDER)  # the server knows it when this returns
        print((await session.ask("I take it.")).text)
        await session.remove_tool("order")
        print((await session.ask("And another one.")).text)
        nursery.cancel_scope.cancel()


async def simulated() -> None:
    """Talk with a model that says what the script says."""
    async with open_simulator_transport(SCRIPT) as transport:
        await main(transport)


if __name__ == "__main__":
    trio.run(simulated if "--simulated" in sys.argv else main)
