"""Ask before you act: a payment of more than 100 euros waits until somebody has approved it.

With a key:     OPENAI_API_KEY=... python examples/approval.py
Without one:    python examples/approval.py --simulated

You are asked at the terminal.  Say --yes or --no to have answered already; where nobody can be
asked, the answer is no.
"""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import trio

from realtime_trio import (
    Constraints,
    EventStream,
    Session,
    ToolApprovalRequested,
    Transport,
    open_session,
    tool,
)
from realtime_trio.simulator import Reply, Script, open_simulator_transport

SCRIPT = Script(
    [
        Reply.call("pay", recipient="Ada", euros=20),
        Reply.text("Ada has her money."),
        Reply.call("pay", recipient="Grace", euros=2000),
        Reply.text("Grace has hers, too.", when=lambda turn: turn.tool_output == "paid"),
        Reply.text("Then I will not pay Grace."),
    ]
)


def is_large(arguments: Mapping[str, Any]) -> bool:
    """Decide which payments to ask about."""
    return bool(arguments["euros"] > 100)


@tool(requires_approval=is_large)
async def pay(recipient: str, euros: Annotated[float, Constraints(exclusive_minimum=0)]) -> str:
    """Pay somebody out of the user's purse."""
    await trio.sleep(0.1)  # here you would ask a bank
    print(f"[{euros:.2f} euros go to {recipient}]")
    return "paid"


def is_wanted(question: str) -> bool:
    """Ask whoever sits at the terminal; where nobody does, the answer is no."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def decide(
    session: Session, requests: EventStream[ToolApprovalRequested], verdict: bool | None
) -> None:
    """Let the calls that wait for approval run, or not.  Nothing else waits for that."""
    async for request in requests:
        call = f"{request.call.name} {request.call.arguments}"
        approved = (
            verdict
            if verdict is not None
            else await trio.to_thread.run_sync(is_wanted, f"{call}?", abandon_on_cancel=True)
        )
        print(f"[{'approved' if approved else 'rejected'}: {call}]")
        await (
            session.approve(request.call)
            if approved
            else session.reject(request.call, "the user does not want it")
        )


async def main(transport: Transport | None = None, verdict: bool | None = None) -> None:
    """Have two payments made: one just so, and one that somebody must say yes to."""
    async with (
        open_session(transport=transport, tools=[pay], output_modalities=["text"]) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(decide, session, session.events(ToolApprovalRequested), verdict)
        for question in ["Please pay 20 euros to Ada.", "And 2000 to Grace."]:
            answer = await session.ask(question)
            print(answer.text)
        nursery.cancel_scope.cancel()


async def simulated(verdict: bool | None = None) -> None:
    """Talk with a model that says what the script says."""
    async with open_simulator_transport(SCRIPT) as transport:
        await main(transport, verdict)


if __name__ == "__main__":
    said = next((flag for flag in ("--yes", "--no") if flag in sys.argv), None)
    trio.run(
        partial(
            simulated if "--simulated" in sys.argv else main,
            verdict=None if said is None else said == "--yes",
        )
    )
