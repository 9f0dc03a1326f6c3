"""The agent, the ears and the voice of the command line's simulator, given the installed extras."""

from __future__ import annotations

import importlib

from realtime_trio import simulator
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator import Cast, Ears, Voice
from realtime_trio.simulator.voice import EspeakVoice, PocketsphinxEars


def cast_of(
    voice: bool | None,
    *,
    llm: str | None = None,
    model: str | None = None,
    key: str | None = None,
) -> Cast:
    """Choose what answers, listens and speaks.

    Args:
        voice: Whether there must be ears and a voice; None takes them if the extra is installed.
        llm: Address of the endpoint of a language model; with None an agent answers by rules.
        model: What the language model is called there.
        key: Key of the language model.

    Raises:
        LocalProtocolError: An extra that is needed is not installed.
    """
    ears: Ears | None = None
    mouth: Voice | None = None
    if voice is not False:
        try:
            ears, mouth = PocketsphinxEars(), EspeakVoice()
        except LocalProtocolError:  # the extra is not installed
            # An error only for those who asked for it: the default is what can be had.
            if voice:
                raise
    if llm is None or model is None:
        return Cast(simulator.OfflineAgent(), ears=ears, voice=mouth)
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


def described(cast: Cast) -> str:
    """Say what of the simulator is real and what is not."""
    who = (
        "an agent by rules answers"
        if isinstance(cast.agent, simulator.OfflineAgent)
        else "a language model answers"
    )
    hears = (
        "what is said is recognized by pocketsphinx"
        if cast.ears
        else "it does not understand speech"
    )
    speaks = "espeak-ng speaks" if cast.voice else "its voice is synthetic babble"
    return f"{who}, {hears}, {speaks}"
