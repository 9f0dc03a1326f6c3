"""A written conversation: two questions, and the answers while they stream.

With a key:     OPENAI_API_KEY=... python examples/text_chat.py
Without one:    realtime-trio serve
                python examples/text_chat.py ws://127.0.0.1:8765/v1/realtime
"""

import sys
from functools import partial

import trio

from realtime_trio import (
    ConversationItemCreate,
    ErrorEvent,
    ResponseCreate,
    ResponseDone,
    Session,
    UserMessage,
    open_session,
)
from realtime_trio.events import ResponseOutputTextDelta

QUESTIONS = ["What is the highest mountain of the Alps?", "And the second highest?"]


async def ask(session: Session, question: str) -> None:
    """Send a question and print the answer; the conversation so far is part of it."""
    print(f"> {question}")
    with session.events(
        ResponseOutputTextDelta, ResponseDone, ErrorEvent
    ) as events:  # subscribe, then act
        await session.send(ConversationItemCreate(item=UserMessage.text(question)))
        await session.send(ResponseCreate())
        async for event in events:
            match event:
                case ResponseOutputTextDelta(delta=text):
                    print(text, end="", flush=True)
                case ResponseDone(response=response):
                    print(f"\n[{response.status}]")
                    return
                case ErrorEvent(error=error):
                    print(f"\n[{error.code}: {error.message}]")
                    return


async def main(url: str | None = None) -> None:
    """Ask the questions one after another; without a URL, of the service of the environment."""
    async with open_session(
        url=url, output_modalities=["text"], instructions="Answer in one sentence."
    ) as session:
        for question in QUESTIONS:
            await ask(session, question)


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
