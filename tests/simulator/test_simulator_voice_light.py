"""The extra `voice-light`: the one understands the other, as far as it goes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trio
import trio.testing

from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.roles import Ears, Voice
from realtime_trio.simulator.voice import EspeakVoice, PocketsphinxEars


def make_ears(*phrases: str) -> PocketsphinxEars:
    pytest.importorskip("pocketsphinx")
    return PocketsphinxEars(phrases)


def make_voice() -> EspeakVoice:
    pytest.importorskip("espeakng_loader")
    return EspeakVoice()


@pytest.fixture(scope="module")
def ears() -> PocketsphinxEars:
    return make_ears()


@pytest.fixture(scope="module")
def voice() -> EspeakVoice:
    return make_voice()


async def hear(ears: Ears, voice: Voice, text: str) -> str:
    return await ears.transcribe(await voice.speak(text)) or ""


# --- both -----------------------------------------------------------------------------------------


async def test_most_words_of_ordinary_sentences_are_heard(
    ears: PocketsphinxEars, voice: EspeakVoice
) -> None:
    said = [
        "what is the weather in Paris",
        "set a timer for ten minutes",
        "what is twelve times seven",
        "is it going to rain tomorrow",
    ]
    await trio.lowlevel.checkpoint()
    heard = [await hear(ears, voice, text) for text in said]
    assert "weather" in heard[0].split()
    assert "timer" in heard[1].split()
    words = [
        word.lower() in text.split()
        for sentence, text in zip(said, heard, strict=True)
        for word in sentence.split()
    ]
    assert sum(words) >= 0.6 * len(words), heard


async def test_expected_phrases_are_heard_as_they_are_and_others_as_before(
    ears: PocketsphinxEars, voice: EspeakVoice
) -> None:
    expected = [
        "Turn on the light in the kitchen!",
        "Please repeat after me: good morning.",
        "Hello, who are you?",
        "...",
    ]
    expecting = make_ears(*expected)
    assert await hear(expecting, voice, expected[0]) == "turn on the light in the kitchen"
    assert await hear(expecting, voice, expected[1]) == "please repeat after me good morning"
    assert await hear(expecting, voice, expected[2]) == "hello who are you"
    other = "the economy grew by four percent last year"
    assert await hear(expecting, voice, other) == await hear(ears, voice, other)


async def test_an_utterance_is_heard_alike_whatever_came_before(
    ears: PocketsphinxEars, voice: EspeakVoice
) -> None:
    samples = await voice.speak("how are you today")
    before = await ears.transcribe(samples)
    await hear(ears, voice, "where can I buy a good book")
    assert before
    assert await ears.transcribe(samples) == before


async def test_a_quiet_voice_is_heard_as_well(ears: PocketsphinxEars, voice: EspeakVoice) -> None:
    samples = await voice.speak("what is the weather in Paris")
    assert "weather" in (await ears.transcribe((samples // 32).astype(np.int16)) or "")


async def test_two_at_once_wait_for_each_other(ears: PocketsphinxEars, voice: EspeakVoice) -> None:
    heard: list[str] = []

    async def listen() -> None:
        heard.append(await hear(ears, voice, "what is the weather in Paris"))

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(listen)
    assert heard == ["what is the weather in paris"] * 2


async def test_cancelled_listening_stops_and_the_next_utterance_is_heard(
    ears: PocketsphinxEars, voice: EspeakVoice
) -> None:
    long = np.tile(await voice.speak("what is the weather in Paris"), 20)
    with trio.move_on_after(0.05) as scope:
        await ears.transcribe(long)
    assert scope.cancelled_caught
    assert "weather" in await hear(ears, voice, "what is the weather in Paris")


# --- ears -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "samples", [np.zeros(0, np.int16), np.zeros(24_000, np.int16), np.full(100, 20, np.int16)]
)
async def test_in_silence_there_are_no_words(
    ears: PocketsphinxEars, samples: np.ndarray[tuple[int], np.dtype[np.int16]]
) -> None:
    assert await ears.transcribe(samples) is None


async def test_a_click_has_no_words(ears: PocketsphinxEars) -> None:
    assert await ears.transcribe(np.array([20_000], np.int16)) is None


async def test_ears_want_16_bit_samples(ears: PocketsphinxEars) -> None:
    with pytest.raises(LocalProtocolError):
        await ears.transcribe(np.zeros(10, np.float32))


def test_a_phrase_that_nobody_can_pronounce_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="words of the phrases is not known: xqzzt"):
        make_ears("say xqzzt twice")


# --- voice ----------------------------------------------------------------------------------------


async def test_speech_takes_its_time_and_is_loud(voice: EspeakVoice) -> None:
    samples = await voice.speak("What is the weather in Paris?")
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    assert 1.0 < len(samples) / 24_000 < 4.0
    assert math.sqrt(np.mean(np.square(samples, dtype=np.float64))) > 500


async def test_more_words_a_minute_take_less_time(voice: EspeakVoice) -> None:
    text = "one two three four five six seven eight nine ten"
    calm, hurried = await voice.speak(text), await EspeakVoice(words_per_minute=300).speak(text)
    assert len(hurried) < 0.75 * len(calm)
    assert len(await voice.speak(text)) == len(calm)


@pytest.mark.parametrize("text", ["", " ", "\0", "\ud800", "…"])
async def test_what_has_no_sound_fails_nothing(voice: EspeakVoice, text: str) -> None:
    assert len(await voice.speak(text)) < 24_000


async def test_what_follows_a_null_character_is_spoken(voice: EspeakVoice) -> None:
    assert len(await voice.speak("one\0two three four")) > 1.5 * len(await voice.speak("one"))


async def test_speaking_is_a_checkpoint(voice: EspeakVoice) -> None:
    with trio.testing.assert_checkpoints():
        await voice.speak("hello")


def test_a_voice_that_does_not_exist_is_refused() -> None:
    make_voice()
    with pytest.raises(LocalProtocolError, match="no voice 'klingon-nonsense'"):
        EspeakVoice("klingon-nonsense")


@pytest.mark.parametrize(
    ("words_per_minute", "pitch_range"), [(79, 50), (451, 50), (150, -1), (150, 101)]
)
def test_numbers_out_of_range_are_refused(words_per_minute: int, pitch_range: int) -> None:
    with pytest.raises(LocalProtocolError, match="80 to 450, 0 to 100"):
        EspeakVoice(words_per_minute=words_per_minute, pitch_range=pitch_range)
