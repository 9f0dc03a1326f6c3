"""Say something and print the spoken answer's transcript while it streams."""

import trio

from realtime_trio import (
    ConversationItemCreate,
    ResponseCreate,
    ResponseDone,
    ResponseOutputAudioTranscriptDelta,
    UserMessage,
    open_session,
)


async def main() -> None:
    """Ask one question of the service that OPENAI_API_KEY, or OPENAI_BASE_URL, stands for."""
    async with open_session("gpt-realtime", instructions="You are a great, upbeat friend.") as session:
        await session.send(ConversationItemCreate(item=UserMessage.text("How are you?")))
        await session.send(ResponseCreate())
        async for event in session.events():
            match event:
                case ResponseOutputAudioTranscriptDelta(delta=text):
                    print(text, end="", flush=True)
                case ResponseDone():
                    break


trio.run(main)
