r"""Translate a recording: the translation is printed and written to a file as it is spoken.

With a key:  OPENAI_API_KEY=... python examples/translate.py examples/question.wav es translated.wav
Without one:    realtime-trio serve
                python examples/translate.py examples/question.wav es translated.wav \
                ws://127.0.0.1:8765/v1/realtime
"""

import sys
from functools import partial

import trio

from realtime_trio import EventStream, open_translation_session
from realtime_trio.audio import WavWriter, read_wav
from realtime_trio.events import (
    TranslationSessionOutputAudioDelta,
    TranslationSessionOutputTranscriptDelta,
)

Heard = TranslationSessionOutputAudioDelta | TranslationSessionOutputTranscriptDelta


async def record(translation: EventStream[Heard], file: str) -> None:
    """Print the text and write the speech, until the session ends."""
    with WavWriter(file) as recording:
        async for event in translation:
            match event:
                case TranslationSessionOutputAudioDelta(delta=audio):
                    recording.append(audio.samples)
                case TranslationSessionOutputTranscriptDelta(delta=text):
                    print(text, end="", flush=True)
    print(f"\n[written to {file}]")


async def main(source: str, language: str, target: str, url: str | None = None) -> None:
    """Translate what is said in one file into the other."""
    samples = await trio.to_thread.run_sync(
        read_wav, source
    )  # whatever it is, now it is 24 kHz mono
    async with (
        open_translation_session(language=language, url=url) as session,
        trio.open_nursery() as nursery,
    ):
        translation = session.events(
            TranslationSessionOutputAudioDelta, TranslationSessionOutputTranscriptDelta
        )
        nursery.start_soon(record, translation, target)
        await session.append_audio(samples, chunk_ms=200)
        await session.finish()  # what was sent is still being translated


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
