"""Think aside: while the talk goes on, other responses look at it without becoming part of it.

With a key:     OPENAI_API_KEY=... python examples/out_of_band.py
Without one:    realtime-trio serve
                python examples/out_of_band.py ws://127.0.0.1:8765/v1/realtime
"""

import sys
from functools import partial

import trio

from realtime_trio import Session, open_session

QUESTIONS = [
    "My parcel has not arrived.",
    "That is the third time!",
    "All right. Thank you for your help.",
]


async def classify(session: Session, question: str) -> None:
    """Ask about the conversation beside it: that needs no turn, and leaves no trace."""
    async with session.open_response(
        conversation="none",
        metadata={"purpose": "mood"},  # comes back with the response
        output_modalities=["text"],
        instructions="In one word, which mood is the user in? Say nothing else.",
    ) as response:
        answer = await response.wait()
    print(f"[mood at {question!r}: {answer.text}]")


async def say(session: Session, question: str, observers: trio.Nursery) -> None:
    """Say something, and have it answered and looked at, both at once."""
    print(f"> {question}")
    await session.send_message(question, respond=False)
    observers.start_soon(classify, session, question)
    answer = await session.ask()  # about what is there
    print(answer.transcript)


async def main(url: str | None = None) -> None:
    """Talk, and show that the conversation holds nothing but the talk."""
    async with open_session(
        url=url, instructions="You work for a parcel service. Be brief."
    ) as session:
        async with trio.open_nursery() as nursery:
            for question in QUESTIONS:
                await say(session, question, nursery)
        print(f"{len(session.conversation.items)} items, {session.usage.responses} responses")


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
