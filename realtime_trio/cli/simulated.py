"""The agent, the ears and the voice of the command line's simulator, given the installed extras."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator import Cast, Ears, OfflineAgent, Voice
from realtime_trio.simulator.voice import (
    EspeakVoice,
    HibariVoice,
    PocketsphinxEars,
    WhisperEars,
    best_ears,
    best_voice,
)

_T = TypeVar("_T")

_NAMES: Final[Mapping[type, str]] = {
    WhisperEars: "Whisper",
    PocketsphinxEars: "pocketsphinx",
    HibariVoice: "hibari",
    EspeakVoice: "espeak-ng",
}
"""Who hears and who speaks."""


def cast_of(
    voice: bool | None,
    *,
    llm: str | None = None,
    model: str | None = None,
    key: str | None = None,
) -> Cast:
    """Choose what answers, listens and speaks.

    Args:
        voice: Whether there must be ears and a voice; None takes what is installed of the extras
            `voice` and `voice-light`.
        llm: Address of the endpoint of a language model; with None an agent answers by rules.
        model: What the language model is called there.
        key: Key of the language model.

    Raises:
        LocalProtocolError: An extra that is needed is not installed.

    Blocks while models are loaded, for up to a few seconds.
    """
    ears: Ears | None = None
    mouth: Voice | None = None
    if voice is not False:
        ears = _installed(best_ears, required=voice is True)
        mouth = _installed(best_voice, required=voice is True)
    if llm is None or model is None:
        return Cast(OfflineAgent(), ears=ears, voice=mouth)
    try:
        # By name and not by an import statement: the module needs an extra that may be missing.
        chat_completions = importlib.import_module("realtime_trio.simulator.chat_completions")
    except ModuleNotFoundError as error:
        raise LocalProtocolError(str(error)) from error
    return Cast(
        chat_completions.ChatCompletionsAgent(llm, model=model, api_key=key),
        ears=ears,
        voice=mouth,
    )


def _installed(best: Callable[[], _T], *, required: bool) -> _T | None:
    try:
        return best()
    except LocalProtocolError:  # the extra is not installed
        # An error only for those who asked for it: the default is what can be had.
        if required:
            raise
        return None


def described(cast: Cast) -> str:
    """Say what of the simulator is real and what is not, for a cast of `cast_of`."""
    who = (
        "an agent by rules answers"
        if isinstance(cast.agent, OfflineAgent)
        else "a language model answers"
    )
    hears = (
        f"what is said is recognized by {_NAMES[type(cast.ears)]}"
        if cast.ears
        else "it does not understand speech"
    )
    speaks = f"{_NAMES[type(cast.voice)]} speaks" if cast.voice else "its voice is synthetic babble"
    return f"{who}, {hears}, {speaks}"
