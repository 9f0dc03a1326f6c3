"""A written conversation that goes on whenever the program is started; kill it whenever you like.

What was said is in a file.  When there is too much of it the old part is put in a few words, which
the model finds itself, and so it does when you write "short".

With a key:     OPENAI_API_KEY=... python examples/remember.py talk.jsonl
Without one:    realtime-trio serve
                python examples/remember.py talk.jsonl ws://127.0.0.1:8765/v1/realtime
"""

import sys
from collections.abc import AsyncIterable, Sequence
from functools import partial

import trio

from realtime_trio import AssistantMessage, Item, Session, UserMessage, open_session
from realtime_trio.history import open_store

MOST_ITEMS = 40
KEPT_ITEMS = 10


async def summarize(session: Session, items: Sequence[Item]) -> str:
    """Have the model put items in a few words, beside the conversation."""
    async with session.open_response(
        conversation="none",
        input=items,
        output_modalities=["text"],
        instructions="Put this conversation in a few sentences. Keep names, numbers and promises.",
    ) as response:
        answer = await response.wait()
    return f"What was said before, in short: {answer.text}"


async def put_in_short(session: Session, keep_items: int) -> None:
    """Make the conversation shorter, here, at the server and in the file."""
    done = await session.compact(keep_items=keep_items, summarize=partial(summarize, session))
    if done.summary is not None:
        print(f"[{len(done.removed)} messages are now: {done.summary.text}]")


def tell(session: Session) -> None:
    """Print what was said the last times."""
    for item in session.conversation.items:
        if isinstance(item.snapshot, UserMessage | AssistantMessage):
            print(f"{'> ' if item.role == 'user' else ''}{item.text}")
    for omission in session.omissions:
        print(f"[message {omission.index}: {omission.reason}]")


async def main(
    path: str, url: str | None = None, *, lines: AsyncIterable[str] | None = None
) -> None:
    """Answer line after line of standard input; without a URL, with the service of the environment.

    Args:
        path: Where the conversation is kept.
        url: The service.
        lines: What to answer instead of standard input.
    """
    async with (
        open_store(path) as store,
        open_session(
            url=url,
            store=store,
            output_modalities=["text"],
            instructions="You are an old friend. Answer in one sentence.",
        ) as session,
    ):
        if store.dropped:
            print("[the last message was not whole]")
        tell(session)
        async for line in trio.wrap_file(sys.stdin) if lines is None else lines:
            if line.strip() == "short":
                await put_in_short(session, keep_items=0)
                continue
            answer = await session.ask(line.strip())
            print(answer.text)
            if len(session.conversation.items) > MOST_ITEMS:
                await put_in_short(session, KEPT_ITEMS)


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
