"""The best ears and the best voice that are installed.

Owns the order: what understands and sounds better comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.roles import Ears, Voice
from realtime_trio.simulator.voice.espeak_voice import EspeakVoice
from realtime_trio.simulator.voice.hibari_voice import HibariVoice
from realtime_trio.simulator.voice.pocketsphinx_ears import PocketsphinxEars
from realtime_trio.simulator.voice.whisper_ears import WhisperEars

_T = TypeVar("_T")

_EARS: Final[tuple[Callable[[], Ears], ...]] = (WhisperEars, PocketsphinxEars)
_VOICES: Final[tuple[Callable[[], Voice], ...]] = (HibariVoice, EspeakVoice)


def best_ears() -> Ears:
    """The best ears that are installed: `WhisperEars`, or else `PocketsphinxEars`.

    Raises:
        LocalProtocolError: Neither of the extras `voice` and `voice-light` is installed.

    Loads a model, which takes up to a second.
    """
    return _first(_EARS)


def best_voice() -> Voice:
    """The best voice that is installed: `HibariVoice`, or else `EspeakVoice`.

    Raises:
        LocalProtocolError: Neither of the extras `voice` and `voice-light` is installed.

    Loads a model, which takes up to a second.
    """
    return _first(_VOICES)


def _first(kinds: tuple[Callable[[], _T], ...]) -> _T:
    missing: LocalProtocolError | None = None
    for kind in kinds:
        try:
            return kind()
        except LocalProtocolError as error:
            # What is said of the best is what to install.
            missing = missing or error
    assert missing is not None, "there is at least one kind"
    raise missing
