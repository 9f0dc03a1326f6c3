"""A spoken conversation in real time, for real and without any service.

Questions are heard, a tool is called, answers are spoken, and one of them is interrupted.  At the
end there are a stereo WAV file, with the user on the left, and a transcript with latencies.

Without a key:  python3 noxfile.py -s demo
With one:       OPENAI_API_KEY=... python examples/spoken_conversation.py FOLDER

What is real without a key: nobody tells the simulator what is in the recordings.  It finds the
turns in the samples, recognizes the words (Whisper, or else pocketsphinx), decides by rules which
tool they ask for and with what arguments, and speaks (hibari, or else espeak-ng); the tool runs in
this program.  What is not: the agent understands little English, and nothing else; and the weather
is made up, here, in `get_weather`.  Without ears the simulator is told what the recordings say, and
without a voice it hums.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio import (
    AssistantMessage,
    Conversation,
    LocalProtocolError,
    ResponseDone,
    Session,
    Transcription,
    open_session,
)
from realtime_trio.audio import PCM_RATE, read_wav
from realtime_trio.playback import Playback
from realtime_trio.recorded_audio import recording_to_wav
from realtime_trio.recording import read_recording
from realtime_trio.simulator import LIFELIKE, Cast, OfflineAgent, Script, serve_simulator
from realtime_trio.simulator.voice import best_ears, best_voice

QUESTIONS = {
    "weather": "What is the weather like in Paris today?",
    "abilities": "What can you do for me?",
    "interruption": "Sorry, what is twelve times seven?",
    "goodbye": "Thank you, goodbye.",
}
INTERRUPTED = "abilities"  # after a second of its answer
CHUNK = PCM_RATE // 50  # 20 ms


async def get_weather(city: str) -> dict[str, object]:
    """What is the weather like in a city today?"""
    await trio.sleep(0.1)  # here you would ask a weather service
    return {"sky": "sunny", "temperature": 21}


class SoundCard:
    """A microphone and a loudspeaker that keep time: 20 ms are recorded and played every 20 ms."""

    def __init__(self, session: Session, playback: Playback) -> None:
        self.session, self.playback = session, playback
        self.words = np.zeros(0, np.int16)  # what is still to be said; then there is silence
        self.spoken = self.audible = trio.Event()

    async def run(self) -> None:
        """Record and play until cancelled."""
        buffer, due = np.empty(CHUNK, np.int16), trio.current_time()
        while True:
            due += CHUNK / PCM_RATE
            await trio.sleep_until(due)
            chunk, self.words = self.words[:CHUNK], self.words[CHUNK:]
            await self.session.append_audio(np.pad(chunk, (0, CHUNK - len(chunk))))
            if len(self.words) == 0:
                self.spoken.set()
            if self.playback.fill(buffer):
                self.audible.set()

    async def ask(self, words: NDArray[np.int16]) -> float:
        """Say something, and return how many seconds it then takes until an answer is heard."""
        self.spoken, self.words = trio.Event(), words
        await self.spoken.wait()
        asked, self.audible = trio.current_time(), trio.Event()
        await self.audible.wait()
        return trio.current_time() - asked


async def converse(folder: Path, url: str | None = None) -> None:
    """Ask one question after the other, and leave in a folder what was said."""
    files = [Path(__file__).with_name("questions") / f"{name}.wav" for name in QUESTIONS]
    questions = [await trio.to_thread.run_sync(read_wav, file) for file in files]
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing waits for us yet
    record, playback = folder / "conversation.jsonl", Playback()
    record.unlink(missing_ok=True)  # noqa: ASYNC240 - a recording replaces nothing
    latencies: list[float] = []
    async with (
        open_session(
            url=url,
            tools=[get_weather],
            transcription=Transcription(model="gpt-4o-mini-transcribe"),
            playback=playback,
            record=record,
        ) as session,
        trio.open_nursery() as nursery,
    ):
        card = SoundCard(session, playback)
        nursery.start_soon(card.run)
        with session.events(ResponseDone) as responses:
            for name, question in zip(QUESTIONS, questions, strict=True):
                before = {item.response_id for item in session.conversation.items}
                with trio.fail_after(60):
                    latencies.append(await card.ask(question))
                    if name == INTERRUPTED:
                        await trio.sleep(1)
                        continue
                    while True:
                        answer = (await responses.receive()).response
                        is_message = [isinstance(item, AssistantMessage) for item in answer.output]
                        # What calls a tool is followed by another response.
                        if answer.id not in before and is_message and all(is_message):
                            break
                    await trio.sleep(playback.unheard / playback.rate + 0.3)
        nursery.cancel_scope.cancel()
    lines = list(transcript(session.conversation, latencies))
    print(*lines, sep="\n")
    (folder / "transcript.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    seconds = recording_to_wav(read_recording(record), folder / "conversation.wav")
    print(f"[{seconds:.1f} s of both sides: {folder}/conversation.wav, and transcript.txt]")


def transcript(conversation: Conversation, latencies: list[float]) -> Iterator[str]:
    """What was heard and called, and how long the user waited for each answer."""
    waited = iter(latencies)
    is_answer = False
    for item in conversation.items:
        match item.role or item.type:
            case "user":
                yield f"user:   {item.transcript}"
                is_answer = True
            case "function_call":
                yield f"called: {item.name}({item.arguments})"
            case "function_call_output":
                yield f"result: {item.output}"
            case "assistant":
                after = f"[after {next(waited, 0.0):.1f} s] " if is_answer else ""
                seconds = (item.heard_ms or 0) / 1000
                cut = f" [interrupted after {seconds:.1f} s]" if item.is_interrupted else ""
                yield f"model:  {after}{item.heard_transcript}{cut}"
                is_answer = False


async def main(folder: str) -> None:
    """Talk with the service if there is a key, and else with a simulator."""
    if "OPENAI_API_KEY" in os.environ or "OPENAI_BASE_URL" in os.environ:
        await converse(Path(folder))
        return
    ears = voice = None
    with suppress(LocalProtocolError):  # neither of the extras voice and voice-light is there
        ears = best_ears()
    with suppress(LocalProtocolError):
        voice = best_voice()
    script = Script(transcripts=() if ears else QUESTIONS.values(), pacing=LIFELIKE)
    hears = f"hears with {type(ears).__name__}" if ears else "is told what is asked (no ears here)"
    speaks = f"speaks with {type(voice).__name__}" if voice else "hums (no voice here)"
    print(f"[no key: the simulator {hears} and {speaks};")
    print(" it answers by rules, and the weather is made up]")
    async with trio.open_nursery() as nursery:
        cast = Cast(OfflineAgent(), ears=ears, voice=voice)
        url = await nursery.start(partial(serve_simulator, script, cast=cast))
        await converse(Path(folder), url)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
