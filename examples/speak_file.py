r"""Ask with a recording and get a recording back, which is written while it streams.

With a key:     OPENAI_API_KEY=... python examples/speak_file.py examples/question.wav answer.wav
Without one:    realtime-trio serve
                python examples/speak_file.py examples/question.wav answer.wav \
                ws://127.0.0.1:8765/v1/realtime
"""

import sys
from functools import partial

import trio

from realtime_trio import ResponseCreate, ResponseDone, Session, open_session
from realtime_trio.audio import PCM_RATE, WavWriter, read_wav
from realtime_trio.events import (
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
)

CHUNK = PCM_RATE // 10  # 100 ms


async def speak(session: Session, file: str) -> None:
    """Send a recording as one turn, and have it answered."""
    samples = await trio.to_thread.run_sync(read_wav, file)  # whatever it is, now it is 24 kHz mono
    for start in range(0, len(samples), CHUNK):
        await session.send(InputAudioBufferAppend(audio=samples[start : start + CHUNK]))
    await session.send(InputAudioBufferCommit())
    await session.send(ResponseCreate())


async def main(question: str, answer: str, url: str | None = None) -> None:
    """Ask what is recorded in one file, and record the answer in the other."""
    async with open_session(url=url, turn_detection=None) as session:  # we say when a turn ends
        await speak(session, question)
        with WavWriter(answer) as recording:
            async for event in session.events():
                match event:
                    case ResponseOutputAudioDelta(delta=audio):
                        recording.append(audio.samples)
                    case ResponseOutputAudioTranscriptDelta(delta=text):
                        print(text, end="", flush=True)
                    case ResponseDone(response=response):
                        print(f"\n[{response.status}, written to {answer}]")
                        break


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
