"""What is said on both sides, as lines."""

from __future__ import annotations

import pytest
from simulated import open_simulated

from realtime_trio import InputTranscriptDelta, ItemUpdated, UserMessage
from realtime_trio.audio import PCM_RATE
from realtime_trio.cli.transcript import TRANSCRIBED, Silence, Transcript, meter
from realtime_trio.playback import Playback
from realtime_trio.simulator import LIFELIKE, Reply, synthesize_speech

LONG = "It was a dark and stormy night, and nobody slept."


async def test_both_sides_are_lines_when_they_are_finished() -> None:
    transcript = Transcript()
    lines: list[str] = []
    heard = synthesize_speech("What time is it?")
    async with open_simulated(
        Reply.speech("It is\nnoon.", synthesize_speech("It is noon.")),
        transcripts=["What time is it?"],
        turn_detection=None,
        transcription="gpt-4o-mini-transcribe",
    ) as session:
        with session.events(*TRANSCRIBED) as events:
            async with session.user_turn():
                await session.append_audio(heard)
            unfinished = set()
            while len(lines) < 2:
                lines += transcript.apply(await anext(events))
                unfinished.add(transcript.unfinished)
    assert sorted(lines) == ["model: It is noon.", "you: What time is it?"]
    assert any(text.startswith("model: It") for text in unfinished)
    assert transcript.unfinished == ""


async def test_what_is_cut_short_is_a_line_as_far_as_it_goes() -> None:
    transcript = Transcript()
    lines: list[str] = []
    playback = Playback()
    speech = Reply.speech(LONG, synthesize_speech(LONG), pacing=LIFELIKE)
    async with open_simulated(speech, playback=playback) as session:
        with session.events(*TRANSCRIBED) as events:
            await session.respond()
            while playback.queued < PCM_RATE:
                lines += transcript.apply(await anext(events))
            playback.take(PCM_RATE // 2)
            await session.cancel_response()
            while len(lines) < 2:
                lines += transcript.apply(await anext(events))
    words, cut = sorted(lines, reverse=True)
    assert words.startswith("model: It was")
    assert words.endswith("...")
    assert cut == "(interrupted; 0.5 s of it were heard)"


async def test_an_unfinished_line_of_the_user_is_shown() -> None:
    transcript = Transcript()
    async with open_simulated() as session:
        await session.insert_item(UserMessage.text("Hello"))
        item = session.conversation.items[0]
        update = ItemUpdated(item=item, delta=InputTranscriptDelta("What\n is"))
        assert transcript.apply(update) == ()
    assert transcript.unfinished == "you: What is"


@pytest.mark.parametrize(
    ("level", "bar"),
    [(-100.0, "----------"), (-60.0, "----------"), (-30.0, "#####-----"), (0.0, "##########")],
)
def test_a_level_is_a_bar(level: float, bar: str) -> None:
    assert meter(level) == bar


def test_silence_is_told_when_it_is_over() -> None:
    silence = Silence(10.0)
    assert silence.seconds(12.9) == 0
    assert silence.end(12.9) == ()
    assert silence.seconds(15.9) == pytest.approx(3.0)
    assert silence.seconds(17.3) == pytest.approx(4.4)
    assert silence.end(17.3) == ("(4 s of silence)",)
    assert (silence.seconds(18.0), silence.end(18.0)) == (0, ())
