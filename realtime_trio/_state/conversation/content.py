"""What an item is made of: the server's statements about an item, or a part of it, as a whole.

Owns how such a statement and what came before it in deltas are brought together.  Every function
returns what a statement has changed: a delta where it only added something, None for any other
change.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from realtime_trio._state.conversation.audio import Shelf
from realtime_trio._state.conversation.item import ConversationItem, GrowingPart, GrowingText, Part
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    Delta,
    InputTranscriptDelta,
    TextDelta,
    TranscriptDelta,
)
from realtime_trio.audio.data import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    McpApprovalResponse,
    McpCall,
    OutputAudio,
    OutputText,
    SystemMessage,
    UnknownObject,
    UserMessage,
)

Change: TypeAlias = Delta | None
"""What has changed."""
WordsDelta: TypeAlias = TextDelta | TranscriptDelta | ArgumentsDelta | InputTranscriptDelta
"""More of a text."""

_KINDS: Final[dict[str | None, str]] = {"text": "output_text", "audio": "output_audio"}
"""Types of content parts, as `response.content_part.*` names them -> as items do."""


def part_of(item: ConversationItem, index: int, kind: str | None) -> GrowingPart:
    """A part of an item, made if it is new."""
    part = item._parts.get(index)
    if part is None:
        part = item._parts[index] = GrowingPart(kind)
    return part


def adopt(
    text: GrowingText, whole: str | None, make: type[WordsDelta], *, final: bool
) -> list[Change]:
    """Take a statement of a text as a whole."""
    missing = text.adopt(whole or "", final=final)
    return [None] if missing is None else [make(missing)] if missing else []


def adopt_part(
    item: ConversationItem, index: int, whole: ContentPart, shelf: Shelf, *, final: bool
) -> list[Change]:
    """Take a part as the events of a response show it."""
    part = part_of(item, index, _KINDS.get(whole.type, whole.type))
    if part.is_cut:
        return []
    changes = adopt(part.text, whole.text, TextDelta, final=final)
    changes += adopt(part.transcript, whole.transcript, TranscriptDelta, final=final)
    return changes + _fill_output(item, index, whole.audio, shelf, replace=False)


def merge(
    item: ConversationItem, wire: Item, shelf: Shelf, *, final: bool, retrieved: bool = False
) -> list[Change]:
    """Take an item as the server describes it.

    Args:
        item: The item.
        wire: What the server says it is.
        shelf: Where audio is kept.
        final: Whether its texts are whole.
        retrieved: Whether it was asked for: then audio and transcript are what the model remembers,
            whatever they were before.
    """
    changes: list[Change] = []
    role = wire.role if isinstance(wire, SystemMessage | UserMessage | AssistantMessage) else None
    if (item._type, item._role) != (wire.type, role):
        item._type, item._role = wire.type, role
        changes.append(None)
    match wire:
        case SystemMessage() | UserMessage() | AssistantMessage():
            for index, part in enumerate(wire.content):
                changes += _merge_part(
                    item,
                    index,
                    part,
                    shelf,
                    final=final,
                    retrieved=retrieved,
                )
        case FunctionCall():
            changes += adopt(item._arguments, wire.arguments, ArgumentsDelta, final=final)
            name, call_id = wire.name or item._name, wire.call_id or item._call_id
            if (item._name, item._call_id) != (name, call_id):
                item._name, item._call_id = name, call_id
                changes.append(None)
        case McpCall():
            changes += adopt(item._arguments, wire.arguments, ArgumentsDelta, final=final)
            changes += _take_as_is(item, wire)
            item._name, item._output = wire.name, wire.output
        case FunctionCallOutput():
            changes += _take_as_is(item, wire)
            item._call_id, item._output = wire.call_id, wire.output
        case _:
            changes += _take_as_is(item, wire)
    return changes


def _merge_part(
    item: ConversationItem,
    index: int,
    wire: Part,
    shelf: Shelf,
    *,
    final: bool,
    retrieved: bool,
) -> list[Change]:
    part = part_of(item, index, wire.type)
    match wire:
        case InputText():
            # Not a delta: a TextDelta is for what the model says.
            return [None] if adopt(part.text, wire.text, TextDelta, final=final) else []
        case OutputText():
            return adopt(part.text, wire.text, TextDelta, final=final)
        case InputAudio():
            changes = adopt(part.transcript, wire.transcript, InputTranscriptDelta, final=final)
            # What was appended here is as good as what the server states, unless it was asked.
            if wire.audio and (retrieved or is_silent(part)):
                changes += fill_input(part, wire.audio, shelf)
            return changes
        case OutputAudio():
            # A statement of the item may be older than the truncation, a retrieved item is not.
            if part.is_cut and not retrieved:
                return []
            changes = adopt(part.transcript, wire.transcript, TranscriptDelta, final=final)
            return changes + _fill_output(item, index, wire.audio, shelf, replace=retrieved)
        case _:
            if part.as_is == wire:
                return []
            part.kind, part.as_is = wire.type, wire
            return [None]


def fill_input(part: GrowingPart, audio: AudioData, shelf: Shelf) -> list[Change]:
    """Give a part the user's audio, in place of what it had."""
    return [None] if shelf.append_input(shelf.input_track(part), audio) else []


def _fill_output(
    item: ConversationItem,
    index: int,
    audio: AudioData | None,
    shelf: Shelf,
    *,
    replace: bool,
) -> list[Change]:
    """Take speech that the server states as a whole, if it did not come in deltas."""
    part = item._parts[index]
    if not audio or not (replace or is_silent(part)):
        return []
    track = shelf.output_track(item, part)
    added = shelf.append_output(track, audio)
    if added is None:
        return []
    return [None if replace else AudioDelta(added, track.encoding, index)]


def is_silent(part: GrowingPart) -> bool:
    """Whether a part has received no audio so far."""
    return part.track is None or not part.track.received


def _take_as_is(item: ConversationItem, wire: Item) -> list[Change]:
    if item._as_is == wire:
        return []
    item._as_is = wire
    return [None]


# --- what kind of item it is ----------------------------------------------------------------------


def status_of(wire: Item) -> str | None:
    """The status that the server states, None if it states none or items of this kind have none."""
    match wire:
        case UnknownObject():
            status = wire.raw.get("status")
            return status if isinstance(status, str) else None
        case (
            SystemMessage()
            | UserMessage()
            | AssistantMessage()
            | FunctionCall()
            | FunctionCallOutput()
        ):
            return wire.status
        case _:
            return None


def is_whole_at_once(wire: Item) -> bool:
    """Whether such an item has all its content from the start; its status means nothing then."""
    return isinstance(wire, UserMessage | SystemMessage | FunctionCallOutput | McpApprovalResponse)


def comes_from_server(wire: Item) -> bool:
    """Whether the server made the item, as far as the item itself shows that."""
    if isinstance(wire, AssistantMessage | FunctionCall | UnknownObject):
        return status_of(wire) == "in_progress"
    return not is_whole_at_once(wire)
