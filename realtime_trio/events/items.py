"""Conversation items and their content parts: what a conversation is made of.

Values only.  How items grow while a response streams is the conversation's business, not theirs.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeGuard, cast

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio._misuse import kind_of
from realtime_trio.audio.data import AudioData, AudioLike, is_array
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events._base import (
    SERVER_WRITES_NULL,
    JsonObject,
    UnknownObject,
    to_optional_audio,
)

ItemStatus = Literal["in_progress", "completed", "incomplete"]
"""How far an item has come.  The status of an item that a client creates has no effect."""
ImageDetail = Literal["auto", "low", "high"]
"""How closely the model looks at an image."""


# --- content parts --------------------------------------------------------------------------------


@frozen
class InputText:
    """Text in a user or system message."""

    type: ClassVar[Literal["input_text"]] = "input_text"
    """Wire tag."""

    text: str = ""
    """The text, up to 256,000 characters."""


@frozen
class InputAudio:
    """Audio in a user message."""

    type: ClassVar[Literal["input_audio"]] = "input_audio"
    """Wire tag."""

    audio: AudioData | None = field(default=None, converter=to_optional_audio)
    """Audio in the session's input format.  The server leaves it out except when an item is
    retrieved."""
    # The service writes null for a transcript that is still to come.
    transcript: str | None = field(default=None, metadata=SERVER_WRITES_NULL)
    """What was said, once transcribed; the model does not read it."""


@frozen
class InputImage:
    """A picture in a user message."""

    type: ClassVar[Literal["input_image"]] = "input_image"
    """Wire tag."""

    image_url: str | None = field(default=None, repr=False)
    """A PNG or JPEG as a data URI."""
    detail: ImageDetail | str | None = None
    """How closely to look; `auto` when None."""


@frozen
class OutputText:
    """Text in an assistant message."""

    type: ClassVar[Literal["output_text"]] = "output_text"
    """Wire tag; some servers write `text`, which reads the same."""

    text: str = ""
    """The text."""


@frozen
class OutputAudio:
    """Speech in an assistant message.

    A client cannot create it: give past speech as `OutputText`.
    """

    type: ClassVar[Literal["output_audio"]] = "output_audio"
    """Wire tag; some servers write `audio`, which reads the same."""

    audio: AudioData | None = field(default=None, converter=to_optional_audio)
    """Audio in the session's output format; only in retrieved items."""
    transcript: str | None = None
    """What is said: all that was generated, not what the user heard."""
    format: str | None = None
    """Encoding of the audio of a retrieved item, as the server names it."""


UserContent = InputText | InputAudio | InputImage | UnknownObject
"""A part of a user message."""
SystemContent = InputText | UnknownObject
"""A part of a system message."""
AssistantContent = OutputText | OutputAudio | UnknownObject
"""A part of an assistant message."""


@frozen(kw_only=True)
class ContentPart:
    """A part of an assistant message, as `response.content_part.*` shows it.

    The types have other names here than in items.
    """

    # Speech is `audio` here, `output_audio` in an item and `response.output_audio.*` in its events.
    type: Literal["text", "audio"] | str | None = None
    """`text` or `audio`, never `output_text` or `output_audio`."""
    text: str | None = None
    """Text so far: empty when added, whole when done."""
    audio: AudioData | None = field(default=None, converter=to_optional_audio)
    """Audio; usually left out, since the deltas carried it."""
    transcript: str | None = None
    """Transcript so far: empty when added, whole when done."""


MessageContent = str | AudioLike | UserContent | Iterable[str | UserContent]
"""What a message of the user can be made of: a text, audio, a content part, or several texts and
parts."""


# One converter for each union, for they all do the same: type checkers take what a constructor
# accepts from the signature of the field's converter.
def _system_content(
    content: str | SystemContent | Iterable[str | SystemContent],
) -> tuple[SystemContent, ...]:
    return _parts(content, InputText)


def _user_content(content: MessageContent) -> tuple[UserContent, ...]:
    if _is_audio(content):
        return (InputAudio(AudioData.of(content)),)
    return _parts(content, InputText)


def _assistant_content(
    content: str | AssistantContent | Iterable[str | AssistantContent],
) -> tuple[AssistantContent, ...]:
    return _parts(content, OutputText)


def _is_audio(content: object) -> TypeGuard[AudioLike]:
    # Asked before the question whether it can be iterated: bytes and arrays can be, into numbers.
    return is_array(content) or isinstance(
        content, bytes | bytearray | memoryview | array.array | AudioData
    )


def _parts(content: object, text: Callable[[str], object]) -> tuple[Any, ...]:
    """The parts of a message; what fits no message is left to the codec, which names its place."""
    alone = isinstance(content, str | Mapping) or not isinstance(content, Iterable)
    parts: list[object] = [content] if alone else [*cast("Iterable[object]", content)]
    for part in parts:
        # It would travel as it is, and neither the conversation nor a recording could read it.
        if isinstance(part, Mapping):
            raise LocalProtocolError(
                f"cannot send {kind_of(part)} in a message; allowed: texts, and parts such as "
                'InputText("...") or InputImage("data:...")'
            )
    return tuple(text(part) if isinstance(part, str) else part for part in parts)


# --- messages -------------------------------------------------------------------------------------

# Parameters named `id` and `input` shadow builtins (A002), because they are the protocol's words.


@frozen(kw_only=True)
class SystemMessage:
    """Instructions in the middle of a conversation."""

    type: ClassVar[Literal["message"]] = "message"
    """Wire tag."""
    role: ClassVar[Literal["system"]] = "system"
    """Who speaks."""

    content: tuple[SystemContent, ...] = field(converter=_system_content)
    """Its parts; a text stands for a part, and one part for several of one."""
    id: str | None = None
    """Item id, up to 32 characters; the server makes one when None."""
    object: str | None = None
    """`realtime.item`, if given at all."""
    status: ItemStatus | str | None = None
    """How far it has come."""

    @classmethod
    def text(cls, text: str, *, id: str | None = None) -> SystemMessage:  # noqa: A002
        """A message of one text part."""
        return cls(content=(InputText(text),), id=id)


@frozen(kw_only=True)
class UserMessage:
    """Something the user said, wrote or showed."""

    type: ClassVar[Literal["message"]] = "message"
    """Wire tag."""
    role: ClassVar[Literal["user"]] = "user"
    """Who speaks."""

    content: tuple[UserContent, ...] = field(converter=_user_content)
    """Its parts; a text stands for a part, and one part for several of one."""
    id: str | None = None
    """Item id, up to 32 characters; the server makes one when None."""
    object: str | None = None
    """`realtime.item`, if given at all."""
    status: ItemStatus | str | None = None
    """How far it has come."""

    @classmethod
    def of(cls, content: MessageContent) -> UserMessage:
        """Make a message of whatever a user says.

        Args:
            content: A text, audio, a content part, or several texts and parts.

        Raises:
            LocalProtocolError: It is not one of these.
        """
        message = cls(content=content)
        for part in message.content:
            if not isinstance(part, UserContent):
                raise LocalProtocolError(
                    f"cannot send {kind_of(part)} in a message; "
                    "allowed: text, audio, a part, or several texts and parts"
                )
        return message

    @classmethod
    def text(cls, text: str, *, id: str | None = None) -> UserMessage:  # noqa: A002
        """A message of one text part."""
        return cls(content=(InputText(text),), id=id)

    @classmethod
    def audio(
        cls,
        audio: AudioLike,
        *,
        transcript: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> UserMessage:
        """A message of one audio part.

        Args:
            audio: int16 or float32 array of shape (n,), or bytes, in the session's input format
                (24 kHz mono PCM by default).
            transcript: What is said, for your own records; the model does not read it.
            id: Item id.
        """
        return cls(content=(InputAudio(AudioData.of(audio), transcript),), id=id)


@frozen(kw_only=True)
class AssistantMessage:
    """Something the model said or wrote."""

    type: ClassVar[Literal["message"]] = "message"
    """Wire tag."""
    role: ClassVar[Literal["assistant"]] = "assistant"
    """Who speaks."""

    content: tuple[AssistantContent, ...] = field(converter=_assistant_content)
    """Its parts; a text stands for a part, and one part for several of one."""
    id: str | None = None
    """Item id, up to 32 characters; the server makes one when None."""
    object: str | None = None
    """`realtime.item`, if given at all."""
    status: ItemStatus | str | None = None
    """How far it has come."""

    @classmethod
    def text(cls, text: str, *, id: str | None = None) -> AssistantMessage:  # noqa: A002
        """A message of one text part, the only kind a client can create."""
        return cls(content=(OutputText(text),), id=id)


# --- function calls -------------------------------------------------------------------------------


@frozen(kw_only=True)
class FunctionCall:
    """The model calls a function.

    Run it when the item is done with status `completed`, not before.
    """

    type: ClassVar[Literal["function_call"]] = "function_call"
    """Wire tag."""

    name: str
    """Which function."""
    arguments: str
    """JSON text of the arguments: empty while they stream, and not always valid JSON at the end."""
    call_id: str | None = None
    """Names this call; its output must carry the same id."""
    id: str | None = None
    """Item id."""
    object: str | None = None
    """`realtime.item`, if given at all."""
    status: ItemStatus | str | None = None
    """How far it has come."""


@frozen(kw_only=True)
class FunctionCallOutput:
    """What a function returned."""

    type: ClassVar[Literal["function_call_output"]] = "function_call_output"
    """Wire tag."""

    call_id: str
    """Which call this answers."""
    output: str
    """Free text for the model, usually JSON."""
    id: str | None = None
    """Item id."""
    object: str | None = None
    """`realtime.item`, if given at all."""
    status: ItemStatus | str | None = None
    """How far it has come."""


# --- MCP ------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class McpListedTool:
    """A tool that an MCP server offers."""

    name: str
    """Its name."""
    input_schema: JsonObject
    """JSON Schema of its arguments."""
    description: str | None = None
    """What it does."""
    annotations: JsonObject | None = None
    """Hints the server gives about it."""


@frozen(kw_only=True)
class McpListTools:
    """The tools the service found on an MCP server."""

    type: ClassVar[Literal["mcp_list_tools"]] = "mcp_list_tools"
    """Wire tag."""

    server_label: str
    """Which server."""
    tools: tuple[McpListedTool, ...]
    """Its tools; empty until the list is complete."""
    id: str | None = None
    """Item id."""


@frozen(kw_only=True)
class McpProtocolError:
    """The MCP server answered with a protocol error."""

    type: ClassVar[Literal["protocol_error"]] = "protocol_error"
    """Wire tag."""

    code: int
    """JSON-RPC error code."""
    message: str
    """What went wrong."""


@frozen(kw_only=True)
class McpToolExecutionError:
    """The tool itself failed."""

    type: ClassVar[Literal["tool_execution_error"]] = "tool_execution_error"
    """Wire tag."""

    message: str
    """What went wrong."""


@frozen(kw_only=True)
class McpHttpError:
    """The MCP server could not be reached or refused."""

    type: ClassVar[Literal["http_error"]] = "http_error"
    """Wire tag."""

    code: int
    """HTTP status."""
    message: str
    """What went wrong."""


McpError = McpProtocolError | McpToolExecutionError | McpHttpError | UnknownObject
"""Why an MCP call failed."""


@frozen(kw_only=True)
class McpCall:
    """A call of an MCP tool, run by the service."""

    type: ClassVar[Literal["mcp_call"]] = "mcp_call"
    """Wire tag."""

    id: str
    """Item id."""
    server_label: str
    """Which server."""
    name: str
    """Which tool."""
    arguments: str
    """JSON text of the arguments."""
    approval_request_id: str | None = None
    """Approval request that allowed it."""
    output: str | None = None
    """What the tool returned; None while it runs, and if it failed."""
    error: McpError | None = None
    """Why it failed."""


@frozen(kw_only=True)
class McpApprovalRequest:
    """The service asks whether it may call an MCP tool."""

    type: ClassVar[Literal["mcp_approval_request"]] = "mcp_approval_request"
    """Wire tag."""

    id: str
    """Item id; the approval refers to it."""
    server_label: str
    """Which server."""
    name: str
    """Which tool."""
    arguments: str
    """JSON text of the arguments."""


@frozen(kw_only=True)
class McpApprovalResponse:
    """The answer to an approval request."""

    type: ClassVar[Literal["mcp_approval_response"]] = "mcp_approval_response"
    """Wire tag."""

    approval_request_id: str
    """Which request."""
    approve: bool
    """Whether the call may be made."""
    id: str | None = None
    """Item id."""
    reason: str | None = None
    """Why."""


@frozen(kw_only=True)
class ItemReference:
    """Stands for an item of the conversation; only in the `input` of a response."""

    type: ClassVar[Literal["item_reference"]] = "item_reference"
    """Wire tag."""

    id: str
    """Id of the item."""


Item = (
    SystemMessage
    | UserMessage
    | AssistantMessage
    | FunctionCall
    | FunctionCallOutput
    | McpApprovalResponse
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | UnknownObject
)
"""One entry of a conversation."""
InputItem = Item | ItemReference
"""One entry of the input of an out-of-band response."""
