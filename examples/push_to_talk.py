"""Push to talk: hold the button and speak, let go and listen; press it again to interrupt.

The button is played here: a recording stands for the microphone, and the first answer is
interrupted after a second.

With a key:     OPENAI_API_KEY=... python examples/push_to_talk.py examples/question.wav
Without one:  realtime-trio serve python examples/push_to_talk.py examples/question.wav
                ws://127.0.0.1:8765/v1/realtime
"""

import math
import sys
from functools import partial

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio import AudioDelta, Session, TranscriptDelta, open_session
from realtime_trio.audio import PCM_RATE, read_wav

CHUNK = PCM_RATE // 10  # 100 ms


async def speak(session: Session, recording: NDArray[np.int16]) -> None:
    """Hold the button.

    Leaving the block commits what was appended, and discards it if something goes wrong.
    """
    async with session.user_turn(respond=False):
        for start in range(0, len(recording), CHUNK):
            await session.append_audio(
                recording[start : start + CHUNK]
            )  # as a microphone delivers it


async def listen(session: Session, patience: float = math.inf) -> None:
    """Play the answer, for so many seconds at most."""
    heard = 0
    async with session.open_response() as response:  # leaving it early cancels the response
        async for delta in response:
            match delta:
                case TranscriptDelta(text):
                    print(text, end="", flush=True)
                case AudioDelta(samples):
                    heard += len(samples)
                    await trio.sleep(len(samples) / PCM_RATE)  # a loudspeaker takes its time
            if heard / PCM_RATE >= patience:
                break
        else:
            print()
            return
    # The model believes that it has said all that it sent, which is more than was played.
    spoken = next(
        item
        for item in session.conversation.items
        if item.response_id == response.id and item.audio_ms
    )
    await session.cancel_response(spoken.id, sample_count=heard)
    print(f"... [interrupted after {heard / PCM_RATE:.1f} s]")


async def main(file: str | None = None, url: str | None = None) -> None:
    """Ask twice, by a recording or a second of silence; only the second answer finishes."""
    silence = np.zeros(PCM_RATE, np.int16)
    recording = silence if file is None else await trio.to_thread.run_sync(read_wav, file)
    async with open_session(url=url, turn_detection=None) as session:  # we say when a turn ends
        await speak(session, recording)
        await listen(session, patience=1)
        await speak(session, recording)
        await listen(session)


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
