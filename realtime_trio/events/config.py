"""How a session or a single response is configured: audio, voices, tools, limits.

There are two families.  `...Config` classes are what a client asks for; there a field can be
`UNSET` (leave it), `None` (send null, which clears it) or a value.  `...Session` classes are what
the server reports; there absent and null both read as None.  The small objects that they share
(`FunctionTool`, `Prompt`, and those of `audio_settings`) leave out what is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal, TypedDict, TypeVar

from attrs import field, fields

from realtime_trio._frozen import frozen
from realtime_trio.errors import ToolDefinitionError
from realtime_trio.events._base import UNSET, WRITE_NULL, JsonObject, UnknownObject, Unset
from realtime_trio.events.audio_settings import (
    AudioFormat,
    AudioFormatName,
    NoiseReduction,
    NoiseReductionType,
    Transcription,
    TurnDetection,
    TurnDetectionName,
    to_audio_format,
    to_noise_reduction,
    to_optional_audio_format,
    to_transcription,
    to_turn_detection,
)

_T = TypeVar("_T")
_W = TypeVar("_W", bound=str)

Modality = Literal["text", "audio"]
"""What a response is made of.  Spoken output always comes with a transcript."""
ReasoningEffort = Literal["minimal", "low", "medium", "high", "xhigh"]
"""How much a reasoning model thinks before it speaks."""
Include = Literal["item.input_audio_transcription.logprobs"]
"""Extra fields a server event can carry."""


@frozen(kw_only=True)
class CustomVoice:
    """A voice made for your organisation."""

    id: str
    """Its id, `voice_...`."""


Voice = str | CustomVoice
"""A built-in voice (`marin`, `cedar`, `alloy`, ash, ballad, coral, echo, sage, shimmer, verse) or a
custom one."""


_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHOWN: Final = 80


def check_tool_name(name: object) -> None:
    """Refuse the name of a function that the service would not take.

    Ranges are left to the server elsewhere.  But it refuses a list of tools as a whole, and says
    which one by its index alone.  What servers report is not checked: some take more.

    Raises:
        ToolDefinitionError: It is not 1 to 64 letters, digits, `_` and `-`.
    """
    # What is not a text is left to the codec.
    if isinstance(name, str) and not _TOOL_NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"a tool cannot be called {name[:_SHOWN]!r}: "
            "a name is 1 to 64 of the letters a to z and A to Z, digits, _ and -"
        )


@frozen(kw_only=True)
class FunctionTool:
    """A function the model may call; the client runs it and sends back its output."""

    type: ClassVar[Literal["function"]] = "function"
    """Tells it from a hosted tool."""

    # Flat, where other interfaces of the service nest this under "function"; there is no `strict`.
    name: str
    """Name the model calls it by: 1 to 64 letters, digits, `_` and `-`."""
    description: str | None = None
    """When and how to call it, and what to tell the user meanwhile; up to 1024 characters."""
    parameters: JsonObject | None = None
    """JSON Schema of its arguments (an object schema)."""


@frozen(kw_only=True)
class McpToolFilter:
    """Picks tools of an MCP server."""

    tool_names: tuple[str, ...] | None = None
    """By name."""
    read_only: bool | None = None
    """By whether they declare to change nothing."""


@frozen(kw_only=True)
class McpApprovalFilter:
    """Which tools of an MCP server need approval for a call, and which do not."""

    always: McpToolFilter | None = None
    """These always do."""
    never: McpToolFilter | None = None
    """These never do."""


@frozen(kw_only=True)
class McpTool:
    """A remote MCP server whose tools the service calls by itself.

    Exactly one of `server_url`, `connector_id` and `tunnel_id` says which.
    """

    type: ClassVar[Literal["mcp"]] = "mcp"
    """Tells it from a function."""

    server_label: str
    """Your name for the server, unique within the session."""
    server_url: str | None = None
    """URL of the server."""
    connector_id: str | None = None
    """Id of a connector the service offers, e.g. `connector_gmail`."""
    tunnel_id: str | None = None
    """Id of a tunnel to a private server."""
    authorization: str | None = field(default=None, repr=False)
    """OAuth token for the server or connector; never shown."""
    server_description: str | None = None
    """What the server is for, in words for the model."""
    headers: JsonObject | None = field(default=None, repr=False)
    """HTTP headers sent to the server; never shown, since they often hold a key."""
    allowed_tools: tuple[str, ...] | McpToolFilter | None = None
    """Which of its tools the model may use; all of them when None."""
    allowed_callers: tuple[Literal["direct", "programmatic"] | str, ...] | None = None
    """Who may call them."""
    require_approval: Literal["always", "never"] | str | McpApprovalFilter | None = None
    """Which calls need an approval; the service's default is `always`."""
    defer_loading: bool | None = None
    """Whether its tools are loaded only when they are needed."""


Tool = FunctionTool | McpTool | UnknownObject
"""Something the model can call."""


@frozen(kw_only=True)
class ToolChoiceFunction:
    """The model must call this function."""

    type: ClassVar[Literal["function"]] = "function"
    """Tells it from a hosted tool."""

    name: str
    """Its name."""


@frozen(kw_only=True)
class ToolChoiceMcp:
    """The model must call this server's tools."""

    type: ClassVar[Literal["mcp"]] = "mcp"
    """Tells it from a function."""

    server_label: str
    """Label of the MCP server."""
    name: str | None = None
    """One tool of it; any when None."""


ToolChoice = (
    Literal["none", "auto", "required"] | str | ToolChoiceFunction | ToolChoiceMcp | UnknownObject
)
"""`none`, `auto`, `required`, or one particular tool."""


@frozen(kw_only=True)
class Tracing:
    """How the session appears in the service's traces dashboard.  Once on, it cannot be changed."""

    workflow_name: str | None = None
    """Name of the workflow."""
    group_id: str | None = None
    """Groups several sessions."""
    metadata: JsonObject | None = None
    """Your own data, shown with the trace."""


@frozen(kw_only=True)
class TokenLimits:
    """Bounds on what a truncated context may hold."""

    post_instructions: int | None = None
    """Most tokens in the conversation, instructions and tools not counted."""


@frozen(kw_only=True)
class RetentionRatio:
    """When the context is full, drop its oldest part down to a share, in one go.

    Dropping little by little would spoil the prompt cache each time.
    """

    type: ClassVar[Literal["retention_ratio"]] = "retention_ratio"
    """Wire tag."""

    retention_ratio: float
    """Share to keep, 0 to 1."""
    token_limits: TokenLimits | None = None
    """Limits that replace the model's own."""


Truncation = Literal["auto", "disabled"] | str | RetentionRatio | UnknownObject
"""What happens when the conversation outgrows the model's context."""


@frozen(kw_only=True)
class Prompt:
    """A stored prompt; settings given directly win over those of the prompt."""

    id: str
    """Its id, `pmpt_...`."""
    version: str | None = None
    """Which version; the newest when None."""
    variables: JsonObject | None = None
    """Values for its variables: strings, or content objects as the service documents them."""


@frozen(kw_only=True)
class Reasoning:
    """Settings of reasoning models; other models refuse them."""

    effort: ReasoningEffort | str | None = None
    """How much to think."""


MaxOutputTokens = int | Literal["inf"]
"""Most tokens one response may generate, calls included: 1 to 4096 on most models, or no limit of
your own."""


# --- what a client asks for -----------------------------------------------------------------------


@frozen(kw_only=True)
class AudioInputConfig:
    """Settings of the audio you send."""

    format: AudioFormat | Unset = field(default=UNSET, converter=to_audio_format)
    """Encoding of the audio; may be given by its name, such as `pcmu`."""
    transcription: Transcription | Unset | None = field(default=UNSET, converter=to_transcription)
    """Transcribe the user's speech; None turns it off.  May be given by the name of a model."""
    noise_reduction: NoiseReduction | Unset | None = field(
        default=UNSET, converter=to_noise_reduction
    )
    """Reduce noise; None turns it off.  May be given by its `type`."""
    turn_detection: TurnDetection | Unset | None = field(default=UNSET, converter=to_turn_detection)
    """Detect the user's turns; None turns it off, for push to talk.  May be given by its name:
    `server_vad`, `semantic_vad` or `none`."""


@frozen(kw_only=True)
class AudioOutputConfig:
    """Settings of the audio you receive."""

    format: AudioFormat | Unset = field(default=UNSET, converter=to_audio_format)
    """Encoding of the audio; may be given by its name, such as `pcmu`."""
    voice: Voice | Unset = UNSET
    """Voice that speaks; cannot change once the model has spoken."""
    speed: float | Unset = UNSET
    """Pace of speech, 0.25 to 1.5, 1 being natural; changes only between turns."""


@frozen(kw_only=True)
class AudioConfig:
    """Both directions of audio."""

    input: AudioInputConfig | Unset = UNSET
    """What you send."""
    output: AudioOutputConfig | Unset = UNSET
    """What you receive."""


def as_tuple(values: Iterable[_T] | Unset) -> tuple[_T, ...] | Unset:
    """What a frozen class keeps of any iterable, if one was given."""
    return values if isinstance(values, Unset) else tuple(values)


def as_words(words: _W | Iterable[_W]) -> tuple[_W, ...]:
    """What a frozen class keeps of one word or several."""
    # A text can be iterated, too: into letters, which nobody means.
    return (words,) if isinstance(words, str) else tuple(words)


class SessionSettings(TypedDict, total=False):
    """A voice session's settings as flat keywords; see `SessionConfig` for what each means.

    The tools are not among them: a list of tools may hold functions, which are more than a setting.
    """

    output_modalities: Modality | Iterable[Modality]
    instructions: str
    voice: Voice
    speed: float
    input_format: AudioFormat | AudioFormatName
    output_format: AudioFormat | AudioFormatName
    transcription: Transcription | str | None
    noise_reduction: NoiseReduction | NoiseReductionType | None
    turn_detection: TurnDetection | TurnDetectionName | None
    include: Include | str | Iterable[Include | str]
    tracing: Literal["auto"] | Tracing | None
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    reasoning: Reasoning
    max_output_tokens: MaxOutputTokens
    truncation: Truncation
    prompt: Prompt | None


@frozen(kw_only=True)
class SessionConfig:
    """Configuration of a voice session: what `session.update` carries.

    Only what is set is sent, and only what is sent changes.  `SessionConfig.of(voice="marin",
    turn_detection=None)` spares you the nesting.
    """

    type: ClassVar[Literal["realtime"]] = "realtime"
    """Kind of session; the server insists on it."""

    # One of two, although the wire has a list: audio and text together, as in beta, are refused.
    output_modalities: tuple[Modality, ...] | Unset = UNSET
    """Exactly one: `("audio",)`, the default, or `("text",)`."""
    model: str | Unset = UNSET
    """Model; fixed by the connection, so it can only be repeated."""
    instructions: str | Unset = UNSET
    """System instructions; `""` clears them."""
    audio: AudioConfig | Unset = UNSET
    """Audio settings."""
    include: tuple[Include | str, ...] | Unset = UNSET
    """Extra fields the server's events should carry; `()` for none."""
    tracing: Literal["auto"] | Tracing | Unset | None = UNSET
    """Traces in the service's dashboard; None turns them off."""
    tools: tuple[Tool, ...] | Unset = UNSET
    """Every tool of the session: the list replaces the previous one, `()` clears it."""
    tool_choice: ToolChoice | Unset = UNSET
    """Whether and which tool to call."""
    parallel_tool_calls: bool | Unset = UNSET
    """Whether one response may call several tools; reasoning models only."""
    reasoning: Reasoning | Unset = UNSET
    """Settings of reasoning models."""
    max_output_tokens: MaxOutputTokens | Unset = UNSET
    """Most tokens per response."""
    truncation: Truncation | Unset = UNSET
    """What to do with a conversation that outgrows the context."""
    prompt: Prompt | Unset | None = UNSET
    """Stored prompt to use."""

    @classmethod
    def of(
        cls,
        *,
        voice: Voice | Unset = UNSET,
        speed: float | Unset = UNSET,
        input_format: AudioFormat | AudioFormatName | Unset = UNSET,
        output_format: AudioFormat | AudioFormatName | Unset = UNSET,
        transcription: Transcription | str | Unset | None = UNSET,
        noise_reduction: NoiseReduction | NoiseReductionType | Unset | None = UNSET,
        turn_detection: TurnDetection | TurnDetectionName | Unset | None = UNSET,
        output_modalities: Modality | Iterable[Modality] | Unset = UNSET,
        model: str | Unset = UNSET,
        instructions: str | Unset = UNSET,
        include: Include | str | Iterable[Include | str] | Unset = UNSET,
        tracing: Literal["auto"] | Tracing | Unset | None = UNSET,
        tools: Iterable[Tool] | Unset = UNSET,
        tool_choice: ToolChoice | Unset = UNSET,
        parallel_tool_calls: bool | Unset = UNSET,
        reasoning: Reasoning | Unset = UNSET,
        max_output_tokens: MaxOutputTokens | Unset = UNSET,
        truncation: Truncation | Unset = UNSET,
        prompt: Prompt | Unset | None = UNSET,
    ) -> SessionConfig:
        """Build a configuration from flat keywords, the audio settings without their nesting.

        A format, a transcription, noise reduction and turn detection may be given by one word, such
        as `input_format="pcmu"` or `turn_detection="semantic_vad"`; and what is several of
        something may be one.

        Raises:
            LocalProtocolError: There is no format or turn detection of such a name.
        """
        audio_in = AudioInputConfig(
            format=input_format,
            transcription=transcription,
            noise_reduction=noise_reduction,
            turn_detection=turn_detection,
        )
        audio_out = AudioOutputConfig(format=output_format, voice=voice, speed=speed)
        audio = AudioConfig(
            input=UNSET if audio_in == AudioInputConfig() else audio_in,
            output=UNSET if audio_out == AudioOutputConfig() else audio_out,
        )
        return cls(
            output_modalities=UNSET
            if isinstance(output_modalities, Unset)
            else as_words(output_modalities),
            model=model,
            instructions=instructions,
            audio=UNSET if audio == AudioConfig() else audio,
            include=UNSET if isinstance(include, Unset) else as_words(include),
            tracing=tracing,
            tools=as_tuple(tools),
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            reasoning=reasoning,
            max_output_tokens=max_output_tokens,
            truncation=truncation,
            prompt=prompt,
        )

    def changes_from(self, present: object) -> SessionConfig | None:
        """The part of this configuration that differs from the one in force; None if nothing does.

        Args:
            present: The configuration in force, as the server reports it: a `RealtimeSession`.
        """
        changes = _difference(self, present)
        return changes if isinstance(changes, SessionConfig) else None

    def updated_by(self, change: SessionConfig) -> SessionConfig:
        """What both say when they are sent one after the other, the change later."""
        merged = _merged(self, change)
        assert isinstance(merged, SessionConfig)
        return merged


def _difference(wanted: object, present: object) -> object:
    """The part of a configuration, or of an object in it, that differs; UNSET if nothing does."""
    if wanted is UNSET or wanted == present:
        return UNSET
    if not isinstance(wanted, _NESTED) or present is None:
        return wanted
    changes: Any = {
        name: _difference(getattr(wanted, name), getattr(present, name))
        for name in (attribute.name for attribute in fields(type(wanted)))
    }
    return UNSET if all(change is UNSET for change in changes.values()) else type(wanted)(**changes)


def _merged(earlier: object, later: object) -> object:
    """What is in force after two updates."""
    if later is UNSET:
        return earlier
    if not isinstance(later, _NESTED) or type(earlier) is not type(later):
        return later
    both: Any = {
        name: _merged(getattr(earlier, name), getattr(later, name))
        for name in (attribute.name for attribute in fields(type(later)))
    }
    return type(later)(**both)


# Only these are compared and merged member by member.  Smaller objects are sent whole: the server
# reports them with every default filled in, and half a ServerVad on a SemanticVad is neither.
_NESTED: Final = (SessionConfig, AudioConfig, AudioInputConfig, AudioOutputConfig)


@frozen(kw_only=True)
class ResponseAudioOutputConfig:
    """Audio settings of one response."""

    format: AudioFormat | None = field(default=None, converter=to_optional_audio_format)
    """Encoding, or its name; the session's when None."""
    voice: Voice | None = None
    """Voice; the session's when None, and fixed once the model has spoken."""


@frozen(kw_only=True)
class ResponseAudioConfig:
    """Audio settings of one response."""

    output: ResponseAudioOutputConfig | None = None
    """What you receive."""


# --- what the server reports ----------------------------------------------------------------------


@frozen(kw_only=True)
class SessionAudioInput:
    """Settings of the audio the server expects."""

    format: AudioFormat | None = None
    """Encoding of the audio."""
    # Written as null: off is a setting, and a server that leaves out the key has said nothing.
    transcription: Transcription | None = field(default=None, metadata=WRITE_NULL)
    """Transcription of the user's speech; None means off."""
    noise_reduction: NoiseReduction | None = None
    """Noise reduction; None means off."""
    turn_detection: TurnDetection | None = field(default=None, metadata=WRITE_NULL)
    """Turn detection; None means off: the client commits."""


@frozen(kw_only=True)
class SessionAudioOutput:
    """Settings of the audio the server sends."""

    format: AudioFormat | None = None
    """Encoding of the audio."""
    voice: Voice | None = None
    """Voice that speaks."""
    speed: float | None = None
    """Pace of speech, 1 being natural."""


@frozen(kw_only=True)
class SessionAudio:
    """Both directions of audio."""

    input: SessionAudioInput | None = None
    """What the server expects."""
    output: SessionAudioOutput | None = None
    """What the server sends."""


@frozen(kw_only=True)
class RealtimeSession:
    """The effective configuration of a voice session, as the server reports it."""

    type: ClassVar[Literal["realtime"]] = "realtime"
    """Kind of session."""

    id: str = ""
    """`sess_...`."""
    object: str = "realtime.session"
    """Always `realtime.session`."""
    expires_at: int | None = None
    """When the server will end the session, in seconds since the epoch; an hour after its start."""
    output_modalities: tuple[Modality | str, ...] | None = None
    """What responses are made of."""
    model: str | None = None
    """Model that answers."""
    instructions: str | None = None
    """System instructions; the service has some of its own when you give none."""
    audio: SessionAudio | None = None
    """Audio settings."""
    include: tuple[Include | str, ...] | None = None
    """Extra fields the server's events carry."""
    tracing: Literal["auto"] | str | Tracing | None = None
    """Traces in the service's dashboard; None means off."""
    tools: tuple[Tool, ...] | None = None
    """Tools of the session."""
    tool_choice: ToolChoice | None = None
    """Whether and which tool to call."""
    parallel_tool_calls: bool | None = None
    """Whether one response may call several tools."""
    reasoning: Reasoning | None = None
    """Settings of reasoning models."""
    max_output_tokens: MaxOutputTokens | str | None = None
    """Most tokens per response."""
    truncation: Truncation | None = None
    """What happens with a conversation that outgrows the context."""
    prompt: Prompt | None = None
    """Stored prompt in use."""
