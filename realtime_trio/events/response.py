"""Response events: the model's answer from the request to the last token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Literal, TypedDict

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio.audio.data import AudioData
from realtime_trio.events._base import UNSET, ClientEvent, JsonObject, ServerEvent, Unset, to_audio
from realtime_trio.events.audio_settings import AudioFormat, AudioFormatName
from realtime_trio.events.config import (
    FunctionTool,
    MaxOutputTokens,
    Modality,
    Prompt,
    Reasoning,
    ResponseAudioConfig,
    ResponseAudioOutputConfig,
    Tool,
    ToolChoice,
    Voice,
    as_words,
    check_tool_name,
)
from realtime_trio.events.items import ContentPart, InputItem, Item
from realtime_trio.events.usage import ResponseUsage

ResponseStatus = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]
"""How far a response has come; all but the first are final."""


class ResponseSettings(TypedDict, total=False):
    """The settings of one response as flat keywords; see `ResponseConfig` for what each means."""

    output_modalities: Modality | Iterable[Modality]
    instructions: str
    voice: Voice
    output_format: AudioFormat | AudioFormatName
    tools: Iterable[Tool]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    reasoning: Reasoning
    max_output_tokens: MaxOutputTokens
    conversation: Literal["auto", "none"] | str
    metadata: JsonObject
    prompt: Prompt
    input: Iterable[InputItem]


@frozen(kw_only=True)
class ResponseConfig:
    """Settings of one response; what is None is taken from the session.

    Instructions given here replace those of the session for this response.
    """

    output_modalities: tuple[Modality, ...] | None = None
    """Exactly one of `text` and `audio`."""
    instructions: str | None = None
    """Instructions for this response alone."""
    audio: ResponseAudioConfig | None = None
    """Voice and encoding."""
    tools: tuple[Tool, ...] | None = None
    """Tools for this response alone."""
    tool_choice: ToolChoice | None = None
    """Whether and which tool to call."""
    parallel_tool_calls: bool | None = None
    """Whether several tools may be called; reasoning models only."""
    reasoning: Reasoning | None = None
    """Settings of reasoning models."""
    max_output_tokens: MaxOutputTokens | None = None
    """Most tokens to generate."""
    conversation: Literal["auto", "none"] | str | None = None
    """`none` makes it out of band: it reads `input` instead, writes nothing to the conversation and
    needs no free turn."""
    metadata: JsonObject | None = None
    """Up to 16 pairs of strings (64 and 512 characters), repeated in the response's events."""
    prompt: Prompt | None = None
    """Stored prompt."""
    # None and () differ: without the key, the model reads the conversation; with [], nothing.
    input: tuple[InputItem, ...] | None = None
    """Context that replaces the conversation; `()` is none at all."""

    @classmethod
    def of(
        cls,
        *,
        voice: Voice | None = None,
        output_format: AudioFormat | AudioFormatName | None = None,
        output_modalities: Modality | Iterable[Modality] | None = None,
        instructions: str | None = None,
        tools: Iterable[Tool] | None = None,
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        reasoning: Reasoning | None = None,
        max_output_tokens: MaxOutputTokens | None = None,
        conversation: Literal["auto", "none"] | str | None = None,
        metadata: JsonObject | None = None,
        prompt: Prompt | None = None,
        input: Iterable[InputItem] | None = None,  # noqa: A002 - the protocol's name
    ) -> ResponseConfig:
        """Build the settings from flat keywords, voice and format without their nesting.

        Raises:
            LocalProtocolError: There is no format of such a name.
            ToolDefinitionError: The service would not take the name of a tool.
        """
        # Now: if they come from an iterator, there will be none left.
        given = None if tools is None else tuple(tools)
        for each in given or ():
            if isinstance(each, FunctionTool):
                check_tool_name(each.name)
        audio = None
        if voice is not None or output_format is not None:
            audio = ResponseAudioConfig(
                output=ResponseAudioOutputConfig(format=output_format, voice=voice)
            )
        return cls(
            output_modalities=None if output_modalities is None else as_words(output_modalities),
            instructions=instructions,
            audio=audio,
            tools=given,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            reasoning=reasoning,
            max_output_tokens=max_output_tokens,
            conversation=conversation,
            metadata=metadata,
            prompt=prompt,
            input=None if input is None else tuple(input),
        )


@frozen(kw_only=True)
class ResponseCreate(ClientEvent):
    """Ask for a response.  Refused while one is active, unless it is out of band."""

    type: ClassVar[Literal["response.create"]] = "response.create"
    """Wire name."""

    response: ResponseConfig | None = None
    """Settings for this response."""


@frozen(kw_only=True)
class ResponseCancel(ClientEvent):
    """Stop a response.

    `ResponseDone` with status `cancelled` follows; deltas that are under way arrive before it.
    """

    type: ClassVar[Literal["response.cancel"]] = "response.cancel"
    """Wire name."""

    response_id: str | None = None
    """Which one; the conversation's active response when None."""


@frozen(kw_only=True)
class ResponseErrorDetail:
    """Why a response failed."""

    type: str | None = None
    """Kind of error."""
    code: str | None = None
    """Code for programs, e.g. `insufficient_quota`."""
    message: str | None = None
    """Explanation for people."""


@frozen(kw_only=True)
class ResponseStatusDetails:
    """Why a response ended as it did."""

    type: ResponseStatus | str | None = None
    """The status again."""
    reason: (
        Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]
        | str
        | None
    ) = None
    """Cancelled because the user spoke or the client asked for it; incomplete because of the token
    limit or the content filter."""
    error: ResponseErrorDetail | None = None
    """Why it failed."""


@frozen(kw_only=True)
class ResponseAudioOutput:
    """The audio of a response."""

    format: AudioFormat | None = None
    """Encoding."""
    voice: Voice | None = None
    """Voice."""


@frozen(kw_only=True)
class ResponseAudio:
    """The audio settings a response was made with."""

    output: ResponseAudioOutput | None = None
    """What was sent."""


@frozen(kw_only=True)
class Response:
    """The model's answer: its items, how it ended and what it took."""

    # The specification requires almost nothing of a response, and compatible servers rely on it.
    id: str = ""
    """`resp_...`; `""` if the server gave none."""
    object: str | None = None
    """Always `realtime.response`."""
    status: ResponseStatus | str | None = None
    """How far it has come."""
    status_details: ResponseStatusDetails | None = None
    """Why it ended so; None when completed."""
    output: tuple[Item, ...] = ()
    """Its items: none at the start, all of them when done, without audio."""
    metadata: JsonObject | None = None
    """The metadata of its request."""
    audio: ResponseAudio | None = None
    """Audio settings."""
    usage: ResponseUsage | None = None
    """The tokens that it took; None until it is done, and sometimes then."""
    # The only mark of a response out of band, so a server has to write the null.  Some compatible
    # servers leave it out of all responses, which says nothing.
    conversation_id: str | Unset | None = UNSET
    """Conversation it belongs to; None when out of band, UNSET if the server does not say."""
    output_modalities: tuple[Modality | str, ...] | None = None
    """What it is made of."""
    max_output_tokens: MaxOutputTokens | str | None = None
    """The limit it was given."""


@frozen(kw_only=True)
class ResponseCreated(ServerEvent):
    """A response began."""

    type: ClassVar[Literal["response.created"]] = "response.created"
    """Wire name."""

    response: Response
    """The response, in progress and empty."""


@frozen(kw_only=True)
class ResponseDone(ServerEvent):
    """A response ended, whatever the outcome: always its last event."""

    # There is no `response.cancelled`, although the guide speaks of one.
    type: ClassVar[Literal["response.done"]] = "response.done"
    """Wire name."""

    response: Response
    """The response, with all its items but without audio."""


@frozen(kw_only=True)
class ResponseOutputItemAdded(ServerEvent):
    """The response starts a new item."""

    type: ClassVar[Literal["response.output_item.added"]] = "response.output_item.added"
    """Wire name."""

    response_id: str
    """Which response."""
    output_index: int
    """Position among its items, from 0."""
    item: Item
    """The item, in progress and empty."""


@frozen(kw_only=True)
class ResponseOutputItemDone(ServerEvent):
    """An item of the response has ended, perhaps because the response was interrupted."""

    type: ClassVar[Literal["response.output_item.done"]] = "response.output_item.done"
    """Wire name."""

    response_id: str
    """Which response."""
    output_index: int
    """Position among its items, from 0."""
    item: Item
    """The item; run a call only if its status is `completed`."""


@frozen(kw_only=True)
class ContentEvent(ServerEvent):
    """What the events about one part of one item have in common."""

    response_id: str
    """Which response."""
    item_id: str
    """Which item."""
    output_index: int
    """The item's position in the response, from 0."""
    content_index: int
    """The part's position in the item, from 0."""


@frozen(kw_only=True)
class ResponseContentPartAdded(ContentEvent):
    """The item starts a new part."""

    type: ClassVar[Literal["response.content_part.added"]] = "response.content_part.added"
    """Wire name."""

    part: ContentPart
    """The part, empty."""


@frozen(kw_only=True)
class ResponseContentPartDone(ContentEvent):
    """A part has ended, perhaps because the response was interrupted."""

    type: ClassVar[Literal["response.content_part.done"]] = "response.content_part.done"
    """Wire name."""

    part: ContentPart
    """The part, with its text or transcript but without audio."""


@frozen(kw_only=True)
class ResponseOutputTextDelta(ContentEvent):
    """More text."""

    type: ClassVar[Literal["response.output_text.delta"]] = "response.output_text.delta"
    """Wire name."""

    delta: str
    """Text to append."""
    obfuscation: str | None = None
    """Random padding that hides the length of the text; ignore it."""


@frozen(kw_only=True)
class ResponseOutputTextDone(ContentEvent):
    """The text is final, also if the response was interrupted."""

    type: ClassVar[Literal["response.output_text.done"]] = "response.output_text.done"
    """Wire name."""

    text: str
    """The whole text."""


@frozen(kw_only=True)
class ResponseOutputAudioDelta(ContentEvent):
    """More speech.  It comes faster than it is spoken: buffer what you cannot play yet."""

    type: ClassVar[Literal["response.output_audio.delta"]] = "response.output_audio.delta"
    """Wire name."""

    delta: AudioData = field(converter=to_audio)
    """Audio to append, in the session's output format (24 kHz mono PCM by default): `.samples` or
    `.data`."""


@frozen(kw_only=True)
class ResponseOutputAudioDone(ContentEvent):
    """The speech is final, also if the response was interrupted."""

    type: ClassVar[Literal["response.output_audio.done"]] = "response.output_audio.done"
    """Wire name."""


@frozen(kw_only=True)
class ResponseOutputAudioTranscriptDelta(ContentEvent):
    """More of what the speech says, usually a little ahead of it."""

    type: ClassVar[Literal["response.output_audio_transcript.delta"]] = (
        "response.output_audio_transcript.delta"
    )
    """Wire name."""

    delta: str
    """Text to append."""
    obfuscation: str | None = None
    """Random padding that hides the length of the text; ignore it."""


@frozen(kw_only=True)
class ResponseOutputAudioTranscriptDone(ContentEvent):
    """The transcript is final, also if the response was interrupted."""

    type: ClassVar[Literal["response.output_audio_transcript.done"]] = (
        "response.output_audio_transcript.done"
    )
    """Wire name."""

    transcript: str
    """All that was generated, which may be more than the user heard."""


@frozen(kw_only=True)
class ResponseFunctionCallArgumentsDelta(ServerEvent):
    """More of a call's arguments."""

    type: ClassVar[Literal["response.function_call_arguments.delta"]] = (
        "response.function_call_arguments.delta"
    )
    """Wire name."""

    response_id: str
    """Which response."""
    item_id: str
    """Which item."""
    output_index: int
    """The item's position in the response, from 0."""
    call_id: str
    """Which call."""
    delta: str
    """JSON text to append."""
    obfuscation: str | None = None
    """Random padding that hides the length of the text; ignore it."""


@frozen(kw_only=True)
class ResponseFunctionCallArgumentsDone(ServerEvent):
    """A call's arguments are final, also when the call was interrupted.

    Wait for `ResponseOutputItemDone` before you run it.
    """

    type: ClassVar[Literal["response.function_call_arguments.done"]] = (
        "response.function_call_arguments.done"
    )
    """Wire name."""

    response_id: str
    """Which response."""
    item_id: str
    """Which item."""
    output_index: int
    """The item's position in the response, from 0."""
    call_id: str
    """Which call."""
    arguments: str
    """JSON text of the arguments."""
    name: str = ""
    """Which function; older services leave it to the item."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = (
    ResponseCreate,
    ResponseCancel,
)
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
)
"""What a server sends."""
