"""Who answers, hears and speaks in the command line's simulator, and what is said of that."""

from __future__ import annotations

import sys

import pytest
from commands import ABLE, HAS_VOICE, MUTE

from realtime_trio.cli.simulated import cast_of, described
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator import Cast, OfflineAgent
from realtime_trio.simulator.chat_completions import ChatCompletionsAgent
from realtime_trio.simulator.voice import EspeakVoice, HibariVoice, PocketsphinxEars, WhisperEars
from realtime_trio.simulator.voice.espeak_voice import _load_espeak

EARS = ("faster_whisper", "pocketsphinx")
VOICES = ("hibari", "espeakng_loader")
URL = "http://127.0.0.1:1/v1"


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    _load_espeak.cache_clear()


def test_what_is_installed_hears_and_speaks_unless_that_is_not_wanted() -> None:
    assert described(cast_of(None)) == ABLE
    assert described(cast_of(False)) == MUTE


@pytest.mark.skipif(not HAS_VOICE, reason="needs the extra voice or voice-light")
def test_ears_and_a_voice_that_are_wanted_are_there() -> None:
    cast = cast_of(True)
    assert cast.ears is not None
    assert cast.voice is not None


def test_without_the_extras_an_agent_by_rules_answers_what_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, *EARS, *VOICES)
    cast = cast_of(None)
    assert isinstance(cast.agent, OfflineAgent)
    assert (cast.ears, cast.voice) == (None, None)
    assert described(cast) == MUTE


@pytest.mark.parametrize("missing", [EARS, VOICES])
def test_what_is_wanted_and_not_installed_is_an_error(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    without(monkeypatch, *missing)
    with pytest.raises(LocalProtocolError, match=r"voice"):
        cast_of(True)


def test_a_language_model_answers_if_both_its_address_and_its_name_are_known() -> None:
    cast = cast_of(False, llm=URL, model="m", key="sk-1")
    assert isinstance(cast.agent, ChatCompletionsAgent)
    assert (cast.ears, cast.voice) == (None, None)
    assert described(cast) == MUTE.replace("an agent by rules", "a language model")
    for half in (cast_of(False, llm=URL), cast_of(False, model="m")):
        assert isinstance(half.agent, OfflineAgent)


def test_without_its_extra_there_is_no_language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "realtime_trio.simulator.chat_completions")
    with pytest.raises(LocalProtocolError, match="chat_completions"):
        cast_of(False, llm=URL, model="m")
    assert isinstance(cast_of(False).agent, OfflineAgent)


@pytest.mark.parametrize(
    ("ears", "voice", "said"),
    [
        (
            WhisperEars,
            HibariVoice,
            "an agent by rules answers, what is said is recognized by Whisper, hibari speaks",
        ),
        (
            PocketsphinxEars,
            EspeakVoice,
            "an agent by rules answers, what is said is recognized by pocketsphinx, "
            "espeak-ng speaks",
        ),
    ],
)
def test_ears_and_voices_are_named(
    ears: type[WhisperEars | PocketsphinxEars], voice: type[HibariVoice | EspeakVoice], said: str
) -> None:
    # Not made in the ordinary way, for which their models would have to be there.
    cast = Cast(OfflineAgent(), ears=ears.__new__(ears), voice=voice.__new__(voice))
    assert described(cast) == said
