r"""Captions of recordings: each file is a line, and every line grows while it is transcribed.

With a key:     OPENAI_API_KEY=... python examples/captions.py examples/question.wav ...
Without one:    realtime-trio serve
                OPENAI_BASE_URL=ws://127.0.0.1:8765/v1/realtime \
                python examples/captions.py examples/question.wav ...
"""

import sys
from collections.abc import Sequence

import trio

from realtime_trio import Caption, Transcriber, open_transcription_session
from realtime_trio.audio import read_wav


async def speak(session: Transcriber, files: Sequence[str]) -> None:
    """Send the recordings, each as a piece of speech of its own, without waiting for captions."""
    recordings = await trio.to_thread.run_sync(
        lambda: [read_wav(file) for file in files]
    )  # whatever they are, now they are 24 kHz mono
    for samples in recordings:
        await session.append_audio(samples)
        await session.commit_audio()
    await trio.lowlevel.checkpoint()


def show(caption: Caption) -> None:
    """Write over the line, and leave it once it is final."""
    text = caption.text if caption.error is None else f"[{caption.error.message}]"
    print(f"\r{text}", end="\n" if caption.is_final else "", flush=True)


async def main(files: Sequence[str], url: str | None = None) -> None:
    """Print what is said in the files; without a URL, ask the service of the environment."""
    # A microphone would leave turn detection on and append what it hears, chunk by chunk, for as
    # long as it likes.
    async with (
        open_transcription_session(url=url, turn_detection=None) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(speak, session, files)
        captions = session.captions()
        for _ in files:
            async for caption in captions:  # goes on where it was left
                show(caption)
                if caption.is_final:
                    break


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
