"""The session's configuration: what it is at the start, and how an update changes it.

Pure functions on values.  An update is checked as a whole before anything changes, because the
service discards the whole update when any part of it is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar, cast

import attrs

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.events import (
    UNSET,
    AudioConfig,
    AudioFormat,
    AudioInputConfig,
    AudioOutputConfig,
    CustomVoice,
    FunctionTool,
    MaxOutputTokens,
    McpTool,
    NoiseReduction,
    Prompt,
    RealtimeSession,
    Reasoning,
    RetentionRatio,
    SemanticVad,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    SessionConfig,
    Tool,
    ToolChoice,
    Tracing,
    Transcription,
    TranscriptionAudioConfig,
    TranscriptionSession,
    TranscriptionSessionConfig,
    TranslationAudioConfig,
    TranslationAudioInputConfig,
    TranslationAudioOutputConfig,
    Truncation,
    TurnDetection,
    UnknownObject,
    Unset,
    Voice,
)
from realtime_trio.simulator.service.refusal import (
    Refusal,
    check_choice,
    check_depth,
    check_name,
    check_range,
    unsupported,
)

Session = RealtimeSession | TranscriptionSession
T = TypeVar("T", bound=attrs.AttrsInstance)
_S = TypeVar("_S", RealtimeSession, TranscriptionSession)

PCM: Final = AudioFormat.pcm()
_INSTRUCTIONS = (
    "You are a simulated assistant. Be brief and friendly, and answer in the language of the user."
)
"""The service starts with instructions of its own, too, and shows them; never with none."""
_VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
_FORMATS = ("audio/pcm", "audio/pcmu", "audio/pcma")
# Other models refuse the whole update that names one of these settings.
_REASONING = re.compile(r"gpt-realtime-2(?!\d)")
"""The models of the second generation; a year may stand in the same place."""
_STREAMING_MODELS = ("gpt-realtime-whisper", "gpt-live-transcribe")
"""They transcribe without a pause, so there are no turns."""
_TRANSCRIPTION_MODEL = re.compile(
    r"(?P<name>whisper-1|gpt-4o(?:-mini)?-transcribe|gpt-4o-transcribe-diarize|gpt-transcribe"
    r"|gpt-live-transcribe|gpt-realtime-whisper)(?:-\d{4}-\d\d-\d\d)?"
)
"""The models that are documented, as they are or as of a day."""
_TRANSCRIPTION_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "languages": ("gpt-transcribe", "gpt-live-transcribe"),
    "keywords": ("gpt-transcribe", "gpt-live-transcribe"),
    "prompt": (
        "whisper-1",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-transcribe",
        "gpt-live-transcribe",
    ),
    "delay": ("gpt-realtime-whisper",),
}
"""Settings that not every model has, with those that have them."""
_LONGEST_NAME = 64
"""Characters in the name of a function."""
_DELAYS = ("minimal", "low", "medium", "high", "xhigh")
# The silence is what the live wire says; the guide says 500 ms.
_SERVER_VAD = ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=200)
_TURN_DETECTIONS: Final = {
    SessionKind.REALTIME: (
        attrs.evolve(
            _SERVER_VAD, create_response=True, interrupt_response=True, idle_timeout_ms=None
        ),
        SemanticVad(eagerness="auto", create_response=True, interrupt_response=True),
    ),
    # Without the switches of responses, since there are none.
    SessionKind.TRANSCRIPTION: (_SERVER_VAD, SemanticVad(eagerness="auto")),
}
_SECTIONS = (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    TranscriptionAudioConfig,
    TranslationAudioConfig,
    TranslationAudioInputConfig,
    TranslationAudioOutputConfig,
)
_MERGED = (Transcription, NoiseReduction, ServerVad, SemanticVad, Reasoning)
"""Objects of which an update may name a part.  Everything else is replaced."""


def initial_session(
    kind: SessionKind, *, session_id: str, model: str, expires_at: int | None
) -> Session:
    """The configuration with which the service greets a client."""
    audio_in = SessionAudioInput(format=PCM, turn_detection=_TURN_DETECTIONS[kind][0])
    if kind is SessionKind.TRANSCRIPTION:
        return TranscriptionSession(
            id=session_id,
            object="realtime.transcription_session",
            expires_at=expires_at,
            audio=SessionAudio(input=audio_in),
        )
    return RealtimeSession(
        id=session_id,
        object="realtime.session",
        expires_at=expires_at,
        model=model,
        output_modalities=("audio",),
        instructions=_INSTRUCTIONS,
        audio=SessionAudio(
            input=audio_in, output=SessionAudioOutput(format=PCM, voice="alloy", speed=1.0)
        ),
        tools=(),
        tool_choice="auto",
        max_output_tokens="inf",
        truncation="auto",
    )


def input_of(session: Session) -> SessionAudioInput:
    """The settings of incoming audio, which every session has."""
    assert session.audio is not None
    assert session.audio.input is not None
    return session.audio.input


def input_format(session: Session) -> AudioFormat:
    """The encoding of the user's audio."""
    return input_of(session).format or PCM


def detection_of(session: Session) -> ServerVad | SemanticVad | None:
    """How the user's turns are detected, None for not at all."""
    detection = input_of(session).turn_detection
    assert not isinstance(detection, UnknownObject), "no update to anything else was accepted"
    return detection


def idle_timeout_ms(detection: ServerVad | SemanticVad | None) -> int | None:
    """After how many milliseconds of silence the service speaks up by itself, None for never."""
    return (detection.idle_timeout_ms or None) if isinstance(detection, ServerVad) else None


def updated_session(
    session: Session,
    change: SessionConfig | TranscriptionSessionConfig,
    *,
    has_spoken: bool,
    is_responding: bool,
) -> Session:
    """The session after an update.

    Args:
        session: As it is.
        change: What the client sent.
        has_spoken: Whether the conversation holds speech of the model, whose voice then cannot
            change any more.
        is_responding: Whether a response is under way, when the pace of speech cannot change.

    Raises:
        Refusal: Something in the update is wrong; none of it applies.
    """
    match session, change:
        case RealtimeSession(), SessionConfig(audio=audio):
            _check_settings(session, change)
            if not isinstance(audio, Unset):
                _check_input(audio.input)
                _check_output(
                    session, audio.output, has_spoken=has_spoken, is_responding=is_responding
                )
            # Everything has been checked by now, so an update applies as a whole or not at all.
            return _checked(merge(session, change, SessionKind.REALTIME), audio)
        case TranscriptionSession(), TranscriptionSessionConfig(audio=listening):
            if not isinstance(listening, Unset):
                _check_input(listening.input)
            return _checked(merge(session, change, SessionKind.TRANSCRIPTION), listening)
    raise Refusal(
        f"Passing a {change.type} session update event to a {session.type} session is not allowed.",
        code="invalid_parameter",
    )


def _checked(session: _S, change: AudioConfig | TranscriptionAudioConfig | Unset) -> _S:
    """Refuse settings that do not go together."""
    # Looked at when everything is merged, because either half may be older than the update.
    listening = input_of(session)
    if listening.transcription is None:
        return session
    if listening.turn_detection is not None and listening.transcription.model in _STREAMING_MODELS:
        param = "session.audio.input.turn_detection"
        raise Refusal(
            "Turn detection is not supported for this transcription model.",
            code="invalid_value",
            param=param,
        )
    if not isinstance(change, Unset) and not isinstance(change.input, Unset):
        asked = change.input.transcription
        if isinstance(asked, Transcription):
            _check_transcription(asked, listening.transcription.model)
    return session


def _check_transcription(asked: Transcription, model: str | None) -> None:
    """Refuse what a model for transcripts does not have."""
    param = "session.audio.input.transcription"
    for name in _TRANSCRIPTION_SETTINGS:
        if getattr(asked, name) is not None and not _has_setting(model, name):
            # That it is refused is documented, and not in which words.
            raise Refusal(
                f"'{name}' is not supported for this transcription model.",
                code="invalid_value",
                param=f"{param}.{name}",
            )
    if asked.delay is not None:
        check_choice(asked.delay, _DELAYS, f"{param}.delay")


def _has_setting(model: str | None, name: str) -> bool:
    """Whether a model for transcripts has a setting, as far as that is documented."""
    known = _TRANSCRIPTION_MODEL.fullmatch(model or "")
    models = _TRANSCRIPTION_SETTINGS.get(name)
    return known is None or models is None or known["name"] in models


def merge(current: T, change: attrs.AttrsInstance, kind: SessionKind) -> T:
    """The settings with a change on top, which names only what it changes."""
    values: dict[str, object] = {}
    for a in attrs.fields(type(change)):
        value = getattr(change, a.name)
        # Absent, or null where the class has no UNSET: None is not a value there.
        if value is UNSET or (value is None and a.default is not UNSET):
            continue
        values[a.name] = _merged(getattr(current, a.name), value, kind)
    # Both are attrs classes, and the field names of both families are the same.
    return attrs.evolve(current, **values)  # type: ignore[misc]  # mypy cannot see the fields


def _merged(old: object, value: object, kind: SessionKind) -> object:
    if isinstance(value, _SECTIONS):
        return merge(cast("attrs.AttrsInstance", old), value, kind)
    if isinstance(value, AudioFormat):
        return normalized(value)
    if isinstance(value, Transcription) and isinstance(old, Transcription) and value.model:
        # What the new model does not have goes with the old one: a client cannot take it back,
        # since null means here that nothing is said.
        gone = [
            a.name for a in attrs.fields(Transcription) if not _has_setting(value.model, a.name)
        ]
        old = attrs.evolve(old, **dict.fromkeys(gone))
    if isinstance(value, _MERGED) and type(old) is type(value):
        return merge(old, value, kind)
    if isinstance(value, ServerVad | SemanticVad):
        # The other kind than before, or after none: what is not named has its default.
        return merge(
            next(vad for vad in _TURN_DETECTIONS[kind] if type(vad) is type(value)), value, kind
        )
    return value


def normalized(value: AudioFormat) -> AudioFormat:
    """A format as the service reports it: with its rate where it has one, and only there."""
    return PCM if value.type == PCM.type else AudioFormat(type=value.type)


# --- checks ---------------------------------------------------------------------------------------


def _check_settings(session: RealtimeSession, change: SessionConfig) -> None:
    # What cannot change may be named again: clients send whole configurations back.
    if change.model not in (UNSET, session.model):
        raise Refusal(
            "Cannot update the model of a session.", code="invalid_parameter", param="session.model"
        )
    if (
        session.tracing is not None
        and change.tracing is not UNSET
        and change.tracing != session.tracing
    ):
        raise Refusal(
            "Cannot update tracing once it is enabled.",
            code="invalid_parameter",
            param="session.tracing",
        )
    if isinstance(change.tracing, Tracing):
        check_depth(change.tracing.metadata, "session.tracing.metadata")
    if isinstance(change.prompt, Prompt):
        check_depth(change.prompt.variables, "session.prompt.variables")
    if not isinstance(change.output_modalities, Unset):
        check_modalities(change.output_modalities, "session.output_modalities")
    if not isinstance(change.max_output_tokens, Unset):
        check_max_tokens(change.max_output_tokens, "session.max_output_tokens")
    if not isinstance(change.truncation, Unset):
        _check_truncation(change.truncation, "session.truncation")
    if not isinstance(change.tools, Unset):
        check_tools(change.tools, "session.tools")
    if not isinstance(change.tool_choice, Unset):
        check_tool_choice(change.tool_choice, "session.tool_choice")
    if not is_reasoning(session):
        for name in ("reasoning", "parallel_tool_calls"):
            if getattr(change, name) is not UNSET:
                raise Refusal(
                    f"'{name}' is not supported by this model.",
                    code="invalid_parameter",
                    param=f"session.{name}",
                )


def is_reasoning(session: RealtimeSession) -> bool:
    """Whether the model of a session thinks before it speaks."""
    return _REASONING.match(session.model or "") is not None


def _check_input(change: AudioInputConfig | Unset) -> None:
    if isinstance(change, Unset):
        return
    if not isinstance(change.format, Unset):
        check_format(change.format, "session.audio.input.format")
    if not isinstance(change.turn_detection, Unset | None):
        _check_turn_detection(change.turn_detection, "session.audio.input.turn_detection")


def _check_output(
    session: RealtimeSession,
    change: AudioOutputConfig | Unset,
    *,
    has_spoken: bool,
    is_responding: bool,
) -> None:
    if isinstance(change, Unset):
        return
    if not isinstance(change.format, Unset):
        check_format(change.format, "session.audio.output.format")
    if not isinstance(change.voice, Unset):
        check_voice(session, change.voice, "session.audio.output.voice", has_spoken=has_spoken)
    if not isinstance(change.speed, Unset):
        check_range(change.speed, 0.25, 1.5, "session.audio.output.speed")
        if is_responding and change.speed != output_of(session).speed:
            raise Refusal(
                "Cannot update the speed while a response is in progress.",
                code="invalid_parameter",
                param="session.audio.output.speed",
            )


def output_of(session: RealtimeSession) -> SessionAudioOutput:
    """The settings of outgoing audio, which every voice session has."""
    assert session.audio is not None
    assert session.audio.output is not None
    return session.audio.output


def check_modalities(value: tuple[str, ...], param: str) -> None:
    """Refuse anything but one modality."""
    # Speech always comes with its transcript, so there is no need for both.
    if value not in (("text",), ("audio",)):
        raise Refusal(
            f"Invalid modalities: {list(value)}. "
            "Supported combinations are: ['text'] and ['audio'].",
            code="invalid_value",
            param=param,
        )


def check_max_tokens(value: MaxOutputTokens | str, param: str) -> None:
    """Refuse anything but 1 to 4096 or `inf`."""
    if isinstance(value, int):
        # By the specification.  The newest models may allow more; their limit is not known.
        check_range(value, 1, 4096, param)
    else:
        check_choice(value, ("inf",), param)


def _check_truncation(value: Truncation, param: str) -> None:
    match value:
        case RetentionRatio(retention_ratio=ratio, token_limits=limits):
            check_range(ratio, 0.0, 1.0, f"{param}.retention_ratio")
            if limits is not None:
                check_range(
                    limits.post_instructions or 0,
                    0,
                    2**31 - 1,
                    f"{param}.token_limits.post_instructions",
                )
        case str():
            check_choice(value, ("auto", "disabled"), param)
        case _:
            raise unsupported(value.type, (RetentionRatio.type,), f"{param}.type")


def check_tools(tools: tuple[Tool, ...], param: str) -> None:
    """Refuse tools of an unknown kind, and functions that no model could call."""
    for index, tool in enumerate(tools):
        check_choice(tool.type, (FunctionTool.type, McpTool.type), f"{param}[{index}].type")
        if isinstance(tool, FunctionTool):
            check_name(tool.name, _LONGEST_NAME, f"{param}[{index}].name")
            check_depth(tool.parameters, f"{param}[{index}].parameters")


def check_tool_choice(choice: ToolChoice, param: str) -> None:
    """Refuse unknown words and objects of an unknown kind."""
    if isinstance(choice, str):
        check_choice(choice, ("none", "auto", "required"), param)
    else:
        check_choice(choice.type, ("function", "mcp"), f"{param}.type")


def check_format(value: AudioFormat, param: str) -> None:
    """Refuse formats and rates the service does not speak."""
    check_choice(value.type, _FORMATS, f"{param}.type")
    # A range of one rate, because the service words it so: "Expected a value >= 24000".
    if value.type == PCM.type and value.rate is not None:
        check_range(value.rate, 24_000, 24_000, f"{param}.rate")


def check_voice(session: RealtimeSession, voice: Voice, param: str, *, has_spoken: bool) -> None:
    """Refuse an unknown voice, and another one than before once the model has spoken."""
    if not isinstance(voice, CustomVoice):
        check_choice(voice, _VOICES, param)
    # The same voice again is fine, as it was seen on the live wire.
    if has_spoken and voice != output_of(session).voice:
        raise Refusal(
            "Cannot update a conversation's voice if assistant audio is present.",
            code="cannot_update_voice",
            param=param,
        )


def _check_turn_detection(value: TurnDetection, param: str) -> None:
    match value:
        case ServerVad():
            if value.threshold is not None:
                check_range(value.threshold, 0.0, 1.0, f"{param}.threshold")
            # Nobody documents a limit; this is that of the service's integers.
            for name in ("prefix_padding_ms", "silence_duration_ms"):
                check_range(getattr(value, name) or 0, 0, 2**31 - 1, f"{param}.{name}")
            if value.idle_timeout_ms not in (UNSET, None):
                check_range(value.idle_timeout_ms, 5_000, 30_000, f"{param}.idle_timeout_ms")
        case SemanticVad():
            pass
        case _:
            raise unsupported(value.type, (ServerVad.type, SemanticVad.type), f"{param}.type")
