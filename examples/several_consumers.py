"""Captions, costs and sound: three tasks look at one session.

Each has a stream of its own, and goes at its own pace.

With a key:     OPENAI_API_KEY=... python examples/several_consumers.py
Without one:    realtime-trio serve
                python examples/several_consumers.py ws://127.0.0.1:8765/v1/realtime
"""

import sys
from functools import partial

import trio

from realtime_trio import (
    ConversationItemCreate,
    EventStream,
    ResponseCreate,
    ResponseDone,
    UserMessage,
    open_session,
)
from realtime_trio.audio import PCM_RATE
from realtime_trio.events import ResponseOutputAudioDelta, ResponseOutputAudioTranscriptDone


async def show_captions(transcripts: EventStream[ResponseOutputAudioTranscriptDone]) -> None:
    """Print what was said, sentence by sentence."""
    async for event in transcripts:
        print(f"caption: {event.transcript}")


async def add_up_usage(done: EventStream[ResponseDone]) -> None:
    """Add up what the session costs."""
    tokens = 0
    async for event in done:
        match event.response.usage:
            case None:
                print("usage: not reported")
            case usage:
                tokens += usage.total_tokens
                print(f"usage: {tokens} tokens so far")


async def measure_audio(audio: EventStream[ResponseOutputAudioDelta]) -> None:
    """Stand in for a loudspeaker: count the samples, and be in no hurry."""
    samples = 0
    async for event in audio:
        samples += len(event.delta.samples)
        await trio.sleep(0.001)  # slow consumers hold up nobody
    print(f"audio: {samples / PCM_RATE:.1f} s")


async def talk(consumers: trio.Nursery, url: str | None) -> None:
    """Ask two questions, and let the consumers look on."""
    async with open_session(url=url) as session:
        consumers.start_soon(show_captions, session.events(ResponseOutputAudioTranscriptDone))
        consumers.start_soon(add_up_usage, session.events(ResponseDone))
        consumers.start_soon(measure_audio, session.events(ResponseOutputAudioDelta))
        with session.events(ResponseDone) as done:
            for question in ["Who are you?", "What can you do?"]:
                await session.send(ConversationItemCreate(item=UserMessage.text(question)))
                await session.send(ResponseCreate())
                await done.receive()


async def main(url: str | None = None) -> None:
    """Talk.

    When the session ends, its streams deliver what they have; then they end, and so do the
    consumers.
    """
    async with trio.open_nursery() as nursery:
        await talk(nursery, url)


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
