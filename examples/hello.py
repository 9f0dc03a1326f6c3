"""Say something and print the spoken answer's transcript while it streams."""

import trio

from realtime_trio import ItemUpdated, ResponseDone, TextDelta, TranscriptDelta, open_session


async def main() -> None:
    """Ask one question of the service that OPENAI_API_KEY, or OPENAI_BASE_URL, stands for."""
    async with open_session(
        "gpt-realtime-2.1", instructions="You are a great, upbeat friend."
    ) as session:
        await session.send_message("How are you?")
        async for event in session.events():
            match event:
                case ItemUpdated(delta=TextDelta(text) | TranscriptDelta(text)):
                    print(text, end="", flush=True)
                case ResponseDone():
                    break


trio.run(main)
