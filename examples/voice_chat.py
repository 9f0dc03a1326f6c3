"""A spoken conversation, full duplex: talk, listen, and interrupt by talking.

With your microphone and loudspeaker (the extra `devices`), until Ctrl-C:

With a key:     OPENAI_API_KEY=... python examples/voice_chat.py
Without one:    realtime-trio serve
                OPENAI_BASE_URL=ws://127.0.0.1:8765/v1/realtime python examples/voice_chat.py

Without a sound card, in real time all the same: a WAV file is what the microphone hears, another
one gets what the loudspeaker plays, and it ends after the answer.

                python examples/voice_chat.py examples/question.wav answer.wav [URL]
"""

import math
import sys
from functools import partial

import trio

from realtime_trio import ItemCompleted, ItemTruncated, Session, open_session
from realtime_trio.audio import WavWriter, read_wav
from realtime_trio.devices import (
    Backend,
    Microphone,
    PortAudio,
    SimulatedDevices,
    open_microphone,
    open_speaker,
)
from realtime_trio.events import ConversationItemInputAudioTranscriptionCompleted


async def listen(microphone: Microphone, session: Session) -> None:
    """Send everything; the service finds out who speaks when."""
    async for chunk in microphone:
        await session.append_audio(chunk)


async def talk(backend: Backend, url: str | None = None, answers: float = math.inf) -> None:
    """Talk until so many answers were heard to their end."""
    async with (
        open_speaker(backend=backend) as speaker,
        # What is heard, and where an interruption cuts an answer, is between these two.
        open_session(
            url=url, playback=speaker.playback, transcription="gpt-4o-mini-transcribe"
        ) as session,
        # It knows the speaker, so that the model does not hear itself.
        open_microphone(speaker=speaker, backend=backend) as microphone,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(listen, microphone, session)
        async for event in session.events(
            ItemCompleted, ItemTruncated, ConversationItemInputAudioTranscriptionCompleted
        ):
            match event:
                case ConversationItemInputAudioTranscriptionCompleted(transcript=words):
                    print(f"you:   {words}")
                case ItemCompleted(item=item) if item.role == "assistant":
                    print(f"model: {item.transcript}")
                    answers -= 1
                case ItemTruncated(audio_end_ms=heard_ms):
                    print(f"[interrupted; {heard_ms / 1000:.1f} s of it were heard]")
                case _:
                    pass
            if answers <= 0:
                break
        await trio.sleep(speaker.playback.unheard / speaker.playback.rate + 0.2)
        nursery.cancel_scope.cancel()


async def rehearse(question: str, answer: str, url: str | None = None) -> None:
    """Ask by a file and answer into another one, as time passes."""
    devices = SimulatedDevices()
    said = await trio.to_thread.run_sync(read_wav, question)
    with WavWriter(answer) as heard:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(devices.run, said, heard.append)
            await talk(devices, url, answers=1)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(partial(rehearse, *sys.argv[1:]) if sys.argv[1:] else partial(talk, PortAudio()))
