"""A spoken conversation, for real and without any service.

A question is heard, a tool is called, the answer is spoken.

Without a key:  python3 noxfile.py -s demo
With one:       OPENAI_API_KEY=... python examples/spoken_conversation.py QUESTION.wav ANSWER.wav

What is real without a key: nobody tells the simulator what is in the recording.  It finds the turn
in the samples, pocketsphinx recognizes the words, an agent decides by rules which tool they ask for
and with what arguments, the tool runs in this program, and espeak-ng speaks. What is not: the agent
understands little English, and nothing else; and the weather is made up, here, in `get_weather`.
Where there is no pocketsphinx for this Python, the simulator is told what the recording says.
"""

import os
import sys
from functools import partial

import numpy as np
import trio

from realtime_trio import (
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    LocalProtocolError,
    ResponseDone,
    ServerVad,
    ToolCallFinished,
    Transcription,
    open_session,
)
from realtime_trio.audio import PCM_RATE, WavWriter, read_wav
from realtime_trio.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ResponseOutputAudioDelta,
)
from realtime_trio.simulator import Cast, OfflineAgent, Script, serve_simulator
from realtime_trio.simulator.voice import EspeakVoice, PocketsphinxEars

CHUNK = PCM_RATE // 10  # 100 ms
SILENCE = np.zeros(PCM_RATE, np.int16)  # so that turn detection hears where the question ends


async def get_weather(city: str) -> dict[str, object]:
    """What is the weather like in a city today?"""
    await trio.sleep(0.1)  # here you would ask a weather service
    return {"sky": "sunny", "temperature": 21}


async def converse(question: str, answer: str, url: str | None = None) -> None:
    """Speak a recording into a session, print both sides, and record the spoken answer."""
    samples = np.concatenate([await trio.to_thread.run_sync(read_wav, question), SILENCE])
    async with open_session(
        url=url,
        tools=[get_weather],
        turn_detection=ServerVad(),
        transcription=Transcription(model="gpt-4o-mini-transcribe"),
    ) as session:
        with session.events() as events, WavWriter(answer) as recording:
            for start in range(0, len(samples), CHUNK):
                await session.append_audio(samples[start : start + CHUNK])
            async for event in events:
                match event:
                    case InputAudioBufferSpeechStarted(audio_start_ms=start_ms):
                        print(f"[speech from {start_ms / 1000:.1f} s", end="", flush=True)
                    case InputAudioBufferSpeechStopped(audio_end_ms=end_ms):
                        print(f" to {end_ms / 1000:.1f} s]")
                    case ConversationItemInputAudioTranscriptionCompleted(transcript=words):
                        print(f"heard:  {words}")
                    case ToolCallFinished(call=call, output=output):
                        print(f"called: {call.name}({call.arguments}) -> {output}")
                    case ResponseOutputAudioDelta(delta=audio):
                        recording.append(audio.samples)
                    case ResponseDone() if session.conversation.items[-1].role == "assistant":
                        break
    spoken = session.conversation.items[-1]
    print(f"said:   {spoken.transcript}")
    print(f"[{spoken.audio_ms / 1000:.1f} s of speech, written to {answer}]")


def hearing() -> tuple[Script, PocketsphinxEars | None]:
    """Ears, or a script that knows what will be said."""
    try:
        return Script(), PocketsphinxEars()
    except LocalProtocolError:
        return Script(transcripts=["what is the weather like in paris today"]), None


async def main(question: str, answer: str) -> None:
    """Talk with the service if there is a key, and else with a simulator that hears and speaks."""
    if "OPENAI_API_KEY" in os.environ or "OPENAI_BASE_URL" in os.environ:
        await converse(question, answer)
        return
    script, ears = hearing()
    hears = "hears with pocketsphinx" if ears else "is told the words (no pocketsphinx here)"
    print(f"[no key: the simulator {hears}, answers by rules and speaks with espeak-ng;")
    print(" the weather is made up]")
    async with trio.open_nursery() as nursery:
        cast = Cast(OfflineAgent(), ears=ears, voice=EspeakVoice())
        url = await nursery.start(partial(serve_simulator, script, cast=cast))
        await converse(question, answer, url)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
