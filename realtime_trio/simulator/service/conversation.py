"""The server's side of the conversation: items in their order, and what may be done to them.

Owns what an item is to the server: the audio that belongs to it, its size in tokens, and how events
show it; and which items a client may make.  Which events tell of them is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import attrs
from attrs import define

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputItem,
    InputText,
    ItemReference,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    OutputAudio,
    OutputText,
    SystemMessage,
    UnknownObject,
    UserContent,
    UserMessage,
)
from realtime_trio.simulator.service.refusal import (
    Refusal,
    audio_bytes,
    check_length,
    check_range,
    missing,
    unsupported,
)
from realtime_trio.simulator.service.usage import (
    ASSISTANT_MS_PER_TOKEN,
    USER_MS_PER_TOKEN,
    audio_tokens,
    bytes_per_ms,
    duration_ms,
    text_tokens,
)

KnownItem: TypeAlias = (
    SystemMessage
    | UserMessage
    | AssistantMessage
    | FunctionCall
    | FunctionCallOutput
    | McpApprovalResponse
    | McpListTools
    | McpCall
    | McpApprovalRequest
)
"""An item that a conversation can hold."""

_ITEM_TYPES = (
    "message",
    "function_call",
    "function_call_output",
    "mcp_approval_response",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
)
_ROLES = (SystemMessage.role, UserMessage.role, AssistantMessage.role)
# Text alone for the assistant: the service does not take speech of the model from a client, so a
# conversation that is restored has its words and not its sound.
_CONTENT = {
    SystemMessage: (InputText,),
    UserMessage: (InputText, InputAudio, InputImage),
    AssistantMessage: (OutputText,),
}
# Limits that the live service was seen to keep; for ids, not yet with its newest models.
_MAX_ID = 32
_MAX_TEXT = 256_000
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")


@define(eq=False)
class ItemEntry:
    """An item of the conversation, or of an out-of-band response, as the server keeps it."""

    id: str
    item: KnownItem
    """With the user's audio; the model's is kept apart, since it grows.  Set only by `become`."""
    format: AudioFormat
    """Encoding of its audio."""
    spoken: bytearray = attrs.Factory(bytearray)
    """The model's speech so far."""
    transcript: str | None = None
    """What the user says in its audio, from the moment it is understood, which is before clients
    are told."""
    is_left_out: bool = False
    """Whether the model does not see it any more, to make room for newer items.  Clients still
    do."""
    is_cut: bool = attrs.field(default=False, init=False)
    """Whether it was truncated; then nothing that is still said of it belongs to it any more."""
    _counted: tuple[KnownItem, int, tuple[int, int]] | None = attrs.field(default=None, init=False)
    """Its tokens, and of what: every response reads all of a conversation, most of which does not
    change any more."""

    @property
    def shown(self) -> KnownItem:
        """The item as events show it: without audio."""
        if isinstance(self.item, UserMessage):
            return attrs.evolve(self.item, content=[_silent(part) for part in self.item.content])
        return self.item

    @property
    def whole(self) -> KnownItem:
        """The item as `retrieve` shows it: with audio."""
        if isinstance(self.item, AssistantMessage) and self.spoken:
            audio = AudioData(self.spoken)
            parts = [
                attrs.evolve(part, audio=audio) if isinstance(part, OutputAudio) else part
                for part in self.item.content
            ]
            return attrs.evolve(self.item, content=parts)
        return self.item

    @property
    def understood(self) -> KnownItem:
        """The item as the model reads it: with what was said, before the transcript is out."""
        if isinstance(self.item, UserMessage) and self.transcript is not None:
            parts = [
                attrs.evolve(part, transcript=self.transcript)
                if isinstance(part, InputAudio)
                else part
                for part in self.item.content
            ]
            return attrs.evolve(self.item, content=parts)
        return self.item

    @property
    def heard_ms(self) -> float:
        """Milliseconds of the user's audio in it."""
        if not isinstance(self.item, UserMessage):
            return 0.0
        sizes = (
            part.audio.nbytes
            for part in self.item.content
            if isinstance(part, InputAudio) and part.audio is not None
        )
        return duration_ms(sum(sizes), self.format)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of text and of audio that the model has to read."""
        size = len(self.spoken)
        if self._counted is None or self._counted[0] is not self.item or self._counted[1] != size:
            audio = audio_tokens(self.heard_ms, USER_MS_PER_TOKEN) + audio_tokens(
                duration_ms(size, self.format), ASSISTANT_MS_PER_TOKEN
            )
            self._counted = self.item, size, (text_tokens(_texts(self.item)), audio)
        return self._counted[2]

    def become(self, item: KnownItem) -> None:
        """Take a newer state of the item, without the words if it was truncated.

        The stream of a response goes on after a truncation, and states at its end all that was
        generated.  That must not bring back what the user did not hear.
        """
        if self.is_cut and isinstance(item, AssistantMessage):
            item = attrs.evolve(item, content=(OutputAudio(),))
        self.item = item

    def speak(self, audio: bytes) -> None:
        """Append to the model's speech, unless it was truncated."""
        if not self.is_cut:
            self.spoken += audio

    def truncate(self, content_index: int, audio_end_ms: int) -> None:
        """Cut the model's speech, and drop its transcript.

        Then the context holds nothing that the user did not hear.

        Raises:
            Refusal: There is no such audio.
        """
        check_range(audio_end_ms, 0, 2**31 - 1, "audio_end_ms")
        if not isinstance(self.item, AssistantMessage) or not self.spoken:
            raise Refusal(
                "Only model output audio messages can be truncated.",
                code="unsupported_content_type",
            )
        if content_index != 0:
            raise Refusal(
                f"Invalid 'content_index': the item has no part {content_index}.",
                code="invalid_value",
                param="content_index",
            )
        # Of what was sent so far, which is all that a client can have played.
        duration = int(duration_ms(len(self.spoken), self.format))
        if audio_end_ms > duration:
            raise Refusal(
                f"Audio content of {duration}ms is already shorter than {audio_end_ms}ms",
                code="invalid_value",
            )
        # Nobody knows which words belong to the rest, so the whole transcript goes, as the
        # specification has it; by the guide it is that of the unplayed part.
        del self.spoken[audio_end_ms * bytes_per_ms(self.format) :]
        self.is_cut = True
        self.become(self.item)


def _silent(part: UserContent) -> UserContent:
    return attrs.evolve(part, audio=None) if isinstance(part, InputAudio) else part


def _texts(item: InputItem) -> Iterator[str | None]:
    match item:
        case (
            SystemMessage(content=content)
            | UserMessage(content=content)
            | AssistantMessage(content=content)
        ):
            for part in content:
                match part:
                    case InputText(text=text) | OutputText(text=text):
                        yield text
                    case OutputAudio(transcript=transcript):
                        yield transcript
        case (
            FunctionCall(name=name, arguments=arguments)
            | McpApprovalRequest(name=name, arguments=arguments)
        ):
            yield from (name, arguments)
        case McpCall(name=name, arguments=arguments):
            yield from (name, arguments, item.output)
        case McpListTools(tools=tools):
            # A list is read with every response.  In which form is not known, so this is a guess.
            yield from map(str, tools)
        case FunctionCallOutput(output=output):
            yield output


class ServerConversation:
    """The items, in order."""

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self._entries: list[ItemEntry] = []

    def __iter__(self) -> Iterator[ItemEntry]:
        return iter(self._entries)

    @property
    def last_id(self) -> str | None:
        """Id of the last item."""
        return self._entries[-1].id if self._entries else None

    @property
    def has_spoken(self) -> bool:
        """Whether the model's speech is in it."""
        return any(entry.spoken for entry in self._entries)

    def find(self, item_id: str) -> ItemEntry | None:
        """The item of this id; the newest if there are several, which the service allows."""
        return next((entry for entry in reversed(self._entries) if entry.id == item_id), None)

    def get(self, item_id: str, doing: str, code: str) -> ItemEntry:
        """The item of this id.

        Raises:
            Refusal: There is none.
        """
        entry = self.find(item_id)
        if entry is None:
            # Without a `param`, unlike other refusals of values; clients find the id in the text.
            raise Refusal(
                f"Error {doing} item: the item with id '{item_id}' does not exist.", code=code
            )
        return entry

    def insert(self, entry: ItemEntry, previous_item_id: str | None = None) -> str | None:
        """Put an item after another one, `"root"` meaning the front and None or `""` the end.

        Returns:
            Id of the item before it, None for the first.

        Raises:
            Refusal: There is no such item to put it after.
        """
        # Events never say "root": they show the first item without one before it.
        if previous_item_id == "root":
            self._entries.insert(0, entry)
            return None
        previous = self.last_id
        position = len(self._entries)
        if previous_item_id:
            before = self.find(previous_item_id)
            if before is None:
                raise Refusal(
                    f"Error adding item: the previous item with id '{previous_item_id}' "
                    "does not exist.",
                    code="item_create_invalid_previous_item_id",
                )
            previous, position = before.id, self._entries.index(before) + 1
        self._entries.insert(position, entry)
        return previous

    def remove(self, entry: ItemEntry) -> None:
        """Take an item out."""
        self._entries.remove(entry)

    def check_call(self, item: KnownItem) -> None:
        """Refuse the output of a call that was never made, and an approval that nobody asked for.

        A request that is answered already asks no more.
        """
        if isinstance(item, McpApprovalResponse):
            self._check_approval(item.approval_request_id)
        # Restored conversations are checked as well: a call has to be inserted before its output.
        if isinstance(item, FunctionCallOutput) and not any(
            isinstance(entry.item, FunctionCall) and entry.item.call_id == item.call_id
            for entry in self
        ):
            raise Refusal(
                f"Tool call ID '{item.call_id}' not found in conversation.",
                code="invalid_tool_call_id",
            )

    def _check_approval(self, request_id: str) -> None:
        items = [entry.item for entry in self]
        if not any(
            isinstance(item, McpApprovalRequest) and item.id == request_id for item in items
        ):
            raise Refusal(
                f"Approval request ID '{request_id}' not found in conversation.",
                code="invalid_approval_request_id",
            )
        if any(
            isinstance(item, McpApprovalResponse) and item.approval_request_id == request_id
            for item in items
        ):
            raise Refusal(
                f"Approval request ID '{request_id}' is already answered.",
                code="invalid_approval_request_id",
            )


def check_item(item: InputItem, param: str) -> KnownItem:
    """Check an item that a client made up.

    Returns:
        The item itself.

    Raises:
        Refusal: A client cannot make such an item.
    """
    match item:
        case UnknownObject(type="message"):
            role = item.raw.get("role")
            raise unsupported(role if isinstance(role, str) else None, _ROLES, f"{param}.role")
        case UnknownObject() | ItemReference():  # references have a place in responses only
            raise unsupported(item.type, _ITEM_TYPES, f"{param}.type")
        case SystemMessage() | UserMessage() | AssistantMessage():
            _check_content(item, param)
        case FunctionCall(call_id=call_id):
            check_length(call_id, _MAX_ID, f"{param}.call_id")
            if call_id is not None and not _CALL_ID.fullmatch(call_id):
                raise Refusal(
                    f"Invalid '{param}.call_id': string does not match pattern. "
                    f"Expected a string that matches the pattern '^{_CALL_ID.pattern}$'.",
                    code="invalid_value",
                    param=f"{param}.call_id",
                )
    check_length(item.id, _MAX_ID, f"{param}.id")
    return item


def _check_content(message: SystemMessage | UserMessage | AssistantMessage, param: str) -> None:
    allowed = _CONTENT[type(message)]
    for index, part in enumerate(message.content):
        where = f"{param}.content[{index}]"
        if not isinstance(part, allowed):
            raise unsupported(part.type, [cls.type for cls in allowed], f"{where}.type")
        match part:
            case InputText(text=text) | OutputText(text=text):
                check_length(text, _MAX_TEXT, f"{where}.text")
            case InputAudio(audio=audio) if audio is not None:
                audio_bytes(audio, f"{where}.audio")
            case InputImage(image_url=None):
                raise missing(f"{where}.image_url")


def with_identity(item: KnownItem, item_id: str, call_id: str) -> KnownItem:
    """The item as the server keeps it: with ids, and with the status that its kind has.

    Args:
        item: What the client sent.
        item_id: Its id.
        call_id: For a call that came without one.
    """
    # Whatever a client says, its items are complete; and items in events have no `object`, though
    # the specification allows it.
    match item:
        case McpApprovalResponse() | McpListTools() | McpCall() | McpApprovalRequest():
            return attrs.evolve(item, id=item_id)
        case FunctionCall():
            # Without an id of the call no output could answer it.
            return attrs.evolve(
                item, id=item_id, status="completed", call_id=item.call_id or call_id, object=None
            )
        case _:
            return attrs.evolve(item, id=item_id, status="completed", object=None)
