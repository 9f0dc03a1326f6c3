"""What applies to one response: the session's settings, with those of the request on top."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from realtime_trio.events import (
    AudioFormat,
    JsonObject,
    MaxOutputTokens,
    Modality,
    RealtimeSession,
    ResponseConfig,
    Tool,
    Truncation,
    Voice,
)
from realtime_trio.simulator.service.configuration import (
    PCM,
    check_format,
    check_max_tokens,
    check_modalities,
    check_tool_choice,
    check_tools,
    check_voice,
    is_reasoning,
    normalized,
    output_of,
)
from realtime_trio.simulator.service.refusal import Refusal, check_length

_SMALL_CONTEXT = 28_224
"""Tokens that the models with a context of 32k read at most: they keep 4,096 for their answer, and
a reserve."""
_LARGE_CONTEXT = 96_000
"""The same for those with a context of 128k, which answer with 32k at most."""


@frozen(kw_only=True)
class ResolvedSettings:
    """What applies to one response."""

    modality: Modality
    voice: Voice
    format: AudioFormat
    speed: float
    instructions: str
    tools: tuple[Tool, ...]
    max_output_tokens: MaxOutputTokens | str
    metadata: JsonObject | None
    max_input_tokens: int
    truncation: Truncation


def settings_for(
    session: RealtimeSession, config: ResponseConfig, *, has_spoken: bool
) -> ResolvedSettings:
    """The session's settings with those of the request on top.

    Raises:
        Refusal: The request asks for something impossible.
    """
    output = output_of(session)
    asked = config.audio.output if config.audio is not None else None
    voice, audio_format = output.voice or "alloy", output.format or PCM
    if asked is not None and asked.format is not None:
        check_format(asked.format, "response.audio.output.format")
        audio_format = normalized(asked.format)
    # One response cannot change its voice either, once the conversation has been spoken in one.
    if asked is not None and asked.voice is not None:
        check_voice(session, asked.voice, "response.audio.output.voice", has_spoken=has_spoken)
        voice = asked.voice
    if config.output_modalities is not None:
        check_modalities(config.output_modalities, "response.output_modalities")
    if config.max_output_tokens is not None:
        check_max_tokens(config.max_output_tokens, "response.max_output_tokens")
    if config.tools is not None:
        check_tools(config.tools, "response.tools")
    if config.tool_choice is not None:
        check_tool_choice(config.tool_choice, "response.tool_choice")
    _check_metadata(config.metadata or {}, "response.metadata")
    # An empty list was refused above, so `or` tells here only whether there is one.
    modalities: Iterable[Modality | str] = (
        config.output_modalities or session.output_modalities or ()
    )
    return ResolvedSettings(
        modality="audio" if "audio" in modalities else "text",
        voice=voice,
        format=audio_format,
        speed=output.speed or 1.0,
        # The empty text is a value: it takes the instructions away for this response.
        instructions=session.instructions or ""
        if config.instructions is None
        else config.instructions,
        tools=session.tools or () if config.tools is None else config.tools,
        max_output_tokens=config.max_output_tokens or session.max_output_tokens or "inf",
        metadata=config.metadata,
        max_input_tokens=_LARGE_CONTEXT if is_reasoning(session) else _SMALL_CONTEXT,
        truncation=session.truncation or "auto",
    )


def _check_metadata(metadata: JsonObject, param: str) -> None:
    # The limits are the specification's.  Clients rely on the room: they mark requests with it.
    if len(metadata) > 16:
        raise Refusal(
            f"Invalid '{param}': too many properties. "
            "Expected an object with at most 16 properties, "
            f"but got an object with {len(metadata)} properties instead.",
            code="object_above_max_properties",
            param=param,
        )
    for key, value in metadata.items():
        check_length(key, 64, param)
        if not isinstance(value, str):
            raise Refusal(
                f"Invalid type for '{param}.{key}': expected a string.",
                code="invalid_type",
                param=f"{param}.{key}",
            )
        check_length(value, 512, f"{param}.{key}")
