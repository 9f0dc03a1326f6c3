"""Push to talk: hold the button and speak, let go and listen; press it again to interrupt.

The button, the microphone and the loudspeaker are played here, in real time: a recording is what is
said, twice, the second time a second after the first answer has begun.

With a key:     OPENAI_API_KEY=... python examples/push_to_talk.py examples/question.wav
Without one:    realtime-trio serve
                python examples/push_to_talk.py examples/question.wav ws://127.0.0.1:8765/v1/realtime
"""

import sys
from functools import partial

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio import (
    EventStream,
    ItemCompleted,
    ItemTruncated,
    ItemUpdated,
    ResponseDone,
    Session,
    TranscriptDelta,
    open_session,
)
from realtime_trio.audio import PCM_RATE, read_wav
from realtime_trio.events import ResponseOutputAudioDelta
from realtime_trio.playback import Playback

CHUNK = PCM_RATE // 50  # 20 ms


async def hold_button(session: Session, recording: NDArray[np.int16]) -> None:
    """Say something while the button is held.

    Pressing it interrupts: what is playing is silent at once, and the model knows how far it was
    heard.  Letting it go commits what was said, and asks for the answer.
    """
    async with session.user_turn():
        for start in range(0, len(recording), CHUNK):
            await trio.sleep(CHUNK / PCM_RATE)  # a microphone takes its time
            await session.append_audio(recording[start : start + CHUNK])


async def play(playback: Playback) -> None:
    """Take 20 ms every 20 ms, silence where there is nothing to be heard."""
    buffer, due = np.empty(CHUNK, np.int16), trio.current_time()
    while True:
        await trio.sleep_until(due)
        playback.fill(buffer)
        due += CHUNK / PCM_RATE


async def show(events: EventStream[ItemUpdated | ItemCompleted | ItemTruncated]) -> None:
    """Print what the model says, as soon as it is known, and where it was cut off."""
    async for event in events:
        match event:
            case ItemUpdated(delta=TranscriptDelta(text)):
                print(text, end="", flush=True)
            case ItemCompleted(item=item) if item.role == "assistant":
                print()
            case ItemTruncated(audio_end_ms=heard_ms):
                print(f"[interrupted after {heard_ms / 1000:.1f} s]")
            case _:
                pass


async def main(file: str | None = None, url: str | None = None) -> None:
    """Ask twice, by a recording or a second of silence; only the second answer is heard out."""
    silence = np.zeros(PCM_RATE, np.int16)
    recording = silence if file is None else await trio.to_thread.run_sync(read_wav, file)
    playback = Playback()
    async with (
        # Without turn detection: we say when a turn ends.
        open_session(url=url, turn_detection=None, playback=playback) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        nursery.start_soon(show, session.events(ItemUpdated, ItemCompleted, ItemTruncated))
        with session.events(ResponseOutputAudioDelta) as sounds:
            await hold_button(session, recording)
            await sounds.receive()
            await trio.sleep(1)
        await hold_button(session, recording)
        await session.wait_for(ResponseDone)
        await trio.sleep(playback.unheard / playback.rate)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
