"""Barge-in: whoever speaks in the middle of an answer is listened to.

The answer stops at once, and the model knows how far it was heard.  Microphone and loudspeaker are
played here, in real time: a recording asks its question twice, the second time a second after the
answer has begun.  With a sound card, the loudspeaker is its callback, on whatever thread:

    sounddevice.OutputStream(24_000, channels=1, dtype="int16",
                             callback=lambda out, *_: playback.fill(out[:, 0]))

With a key:     OPENAI_API_KEY=... python examples/barge_in.py examples/question.wav
Without one:    realtime-trio serve
                python examples/barge_in.py examples/question.wav ws://127.0.0.1:8765/v1/realtime
"""

import sys
from functools import partial

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio import ItemTruncated, ResponseDone, Session, open_session
from realtime_trio.audio import PCM_RATE, read_wav
from realtime_trio.events import ResponseOutputAudioDelta
from realtime_trio.playback import Playback

CHUNK = PCM_RATE // 50  # 20 ms


async def speak(session: Session, recording: NDArray[np.int16]) -> None:
    """Say something, and be silent afterwards, by which the service knows that it was all."""
    start = trio.current_time()
    for begin in range(0, len(recording), CHUNK):
        await session.append_audio(recording[begin : begin + CHUNK])
        await trio.sleep_until(start + (begin + CHUNK) / PCM_RATE)  # a microphone takes its time
    await session.append_audio(np.zeros(PCM_RATE, np.int16))  # all at once, which is fine, too


async def play(playback: Playback) -> None:
    """Take 20 ms every 20 ms, silence where there is nothing to be heard."""
    buffer = np.empty(CHUNK, np.int16)
    due = trio.current_time()
    while True:
        await trio.sleep_until(due)
        playback.fill(buffer)
        due += CHUNK / PCM_RATE


async def main(file: str, url: str | None = None) -> None:
    """Ask, interrupt the answer by asking again, and listen to the second answer."""
    recording = await trio.to_thread.run_sync(read_wav, file)
    playback = Playback()
    async with (
        open_session(url=url, playback=playback) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        with (
            session.events(ResponseOutputAudioDelta) as sounds,
            session.events(ItemTruncated) as cuts,
            session.events(ResponseDone) as responses,
        ):
            await speak(session, recording)
            await sounds.receive()
            await trio.sleep(1)
            nursery.start_soon(speak, session, recording)
            # Nothing else is to be done: the session has stopped the answer and told the model.
            cut = await cuts.receive()
            print(f"[interrupted after {cut.audio_end_ms / 1000:.1f} s]")
            for _ in range(2):
                answer = (await responses.receive()).response
        await trio.sleep(playback.unheard / playback.rate)
        item = next(i for i in session.conversation.items if i.response_id == answer.id)
        print(f"{item.transcript} [heard {playback.heard_ms(item.id) / 1000:.1f} s]")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
